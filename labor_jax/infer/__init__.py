"""A trained segmenter at work: prediction, evaluation, export."""
