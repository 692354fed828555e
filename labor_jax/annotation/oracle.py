"""The simulated annotator: answers from the ground truth, and only what is asked."""

import numpy as np

from labor_jax.annotation.journal import Answer, answer
from labor_jax.annotation.query import Query, components, label_runs, run_pixels
from labor_jax.errors import UserError

NAME = "oracle"


def annotate(query: Query, truth: np.ndarray) -> list[Answer]:
    """Answers every piece of a query.

    A segment that holds several classes is answered part by part, each a connected region of one
    class: that is what a person would have to click, so it is what the ledger counts.

    Args:
      query: points or segments.
      truth: [H, W] uint8 train ids, 255 = void.
    Raises:
      UserError: the truth has another size than the query.
    """
    if list(truth.shape) != query["size"]:
        raise UserError(
            f"{query['image']}: the label is {truth.shape[1]}x{truth.shape[0]}, the query was made "
            f"for {query['size'][1]}x{query['size'][0]}; restore the file"
        )
    if query["kind"] == "points":
        return [
            answer(query, piece, truth[y, x], NAME, point=[x, y])
            for piece, (x, y) in enumerate(query["points"])
        ]
    answers = []
    for piece, runs in enumerate(query["segments"]):
        inside = np.zeros(truth.size, bool)
        inside[run_pixels(runs)] = True
        for part in _parts(truth, inside.reshape(truth.shape)):
            answers.append(answer(query, piece, truth.flat[part[0]], NAME, runs=part))
    return answers


def _parts(truth: np.ndarray, inside: np.ndarray) -> list[list[int]]:
    """Runs of the connected regions of one class inside a segment, worked out in its box only."""
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not rows.size:
        return []
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    parts = np.zeros(truth.shape, np.int32)
    parts[box] = components(truth[box], inside[box])
    return label_runs(parts)
