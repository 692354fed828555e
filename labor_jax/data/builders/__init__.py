"""TFDS builders (array_record): every domain that is prepared once and read by index."""
