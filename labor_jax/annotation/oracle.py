"""The oracle: a simulated annotator that answers queries from the ground truth.

The noisy oracle gives some wrong answers, more of them at the border to another class, where people
err most.
"""

import cv2
import numpy as np

from labor_jax.annotation.journal import Answer, answer
from labor_jax.annotation.queries import Query
from labor_jax.data.labels import IGNORE
from labor_jax.selection.segments import components, run_pixels, segment_runs
from labor_jax.util.errors import UserError

NAME = "oracle"
NEAR = 3
"""An answer is at the border if another class is within this many pixels."""


def annotate(query: Query, truth: np.ndarray) -> list[Answer]:
    """Answers every piece of a query.

    A segment of several classes gets an answer for each part, an 8-connected region of one class:
    a person would have to click each part, and the ledger counts clicks. A segment that is asked
    whole gets its most frequent class, the lowest of equally frequent ones; void counts as a class.

    Args:
      query: of either kind.
      truth: [H, W] uint8 train ids, 255 = void.
    Returns:
      Lines for the journal.
    Raises:
      UserError: the truth is not of the query's size.
    """
    if list(truth.shape) != query["size"]:
        raise UserError(
            f"{query['image']}: its label is {truth.shape[1]}x{truth.shape[0]}, but was "
            f"{query['size'][1]}x{query['size'][0]} when the query was made; restore the label"
        )
    if query["kind"] == "points":
        return [
            answer(query, piece, truth[y, x], NAME, point=[x, y])
            for piece, (x, y) in enumerate(query["points"])
        ]
    answers = []
    for piece, runs in enumerate(query["segments"]):
        if query.get("whole"):
            dominant = int(np.bincount(truth.flat[run_pixels(runs)]).argmax())
            answers.append(answer(query, piece, dominant, NAME, runs=runs))
            continue
        inside = np.zeros(truth.size, bool)
        inside[run_pixels(runs)] = True
        for part in _parts(truth, inside.reshape(truth.shape)):
            answers.append(answer(query, piece, truth.flat[part[0]], NAME, runs=part))
    return answers


def annotate_noisily(
    query: Query,
    truth: np.ndarray,
    num_classes: int,
    error: float,
    border: float,
    random: np.random.Generator,
) -> list[Answer]:
    """The oracle's answers, some of them wrong [ours].

    A wrong class is drawn from the other classes within `NEAR` pixels, or from all other classes
    where there is none nearby. Void answers stay void.

    Args:
      query: of either kind.
      truth: [H, W] uint8 train ids, 255 = void.
      num_classes: how many classes there are.
      error: the expected share of wrong answers, from 0 to 1.
      border: how many times as likely an answer at the border is wrong as one elsewhere.
      random: draws which answers are wrong, and their classes.
    Returns:
      Lines for the journal.
    Raises:
      UserError: as `annotate`.
    """
    answers = annotate(query, truth)
    judged = [entry for entry in answers if entry["class"] != IGNORE]
    others = [_classes_nearby(entry, truth) for entry in judged]
    weights = np.array([border if near.size else 1.0 for near in others])
    chances = error * weights * weights.size / max(weights.sum(), 1e-9)
    for entry, near, wrong in zip(
        judged, others, random.random(weights.size) < chances, strict=True
    ):
        if wrong:
            entry["class"] = int(
                random.choice(near)
                if near.size
                else (entry["class"] + random.integers(1, num_classes)) % num_classes
            )
    return [entry | {"annotator": "noisy"} for entry in answers]


def at_border(truth: np.ndarray) -> np.ndarray:
    """The pixels that have another class within `NEAR` pixels: [H, W] bool.

    Args:
      truth: [H, W] uint8 train ids; 255 = void, which is no class and never at the border.
    """
    square = np.ones((2 * NEAR + 1, 2 * NEAR + 1), np.uint8)
    void = truth == IGNORE
    highest = cv2.dilate(np.where(void, 0, truth), square)
    lowest = cv2.erode(truth, square)
    return ~void & ((highest != truth) | (lowest != truth))


def _classes_nearby(entry: Answer, truth: np.ndarray) -> np.ndarray:
    """The other classes within `NEAR` pixels of an answer's pixels: [N] uint8, ascending."""
    if entry["kind"] == "points":
        columns, rows = entry["point"]
    else:
        rows, columns = np.divmod(run_pixels(entry["runs"]), truth.shape[1])
    top, left = max(0, np.min(rows) - NEAR), max(0, np.min(columns) - NEAR)
    box = truth[top : np.max(rows) + NEAR + 1, left : np.max(columns) + NEAR + 1]
    inside = np.zeros(box.shape, np.uint8)
    inside[rows - top, columns - left] = 1
    near = box[cv2.dilate(inside, np.ones((2 * NEAR + 1, 2 * NEAR + 1), np.uint8)) > 0]
    return np.setdiff1d(near, [entry["class"], IGNORE])


def _parts(truth: np.ndarray, inside: np.ndarray) -> list[list[int]]:
    """The runs of each region of one class inside a segment, [H, W] bool."""
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not rows.size:
        return []
    # Only the segment's bounding box is looked at: an image may have thousands of segments.
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    parts = np.zeros(truth.shape, np.int32)
    parts[box] = components(truth[box], inside[box])
    return segment_runs(parts)
