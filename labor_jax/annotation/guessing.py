"""Makes guesses at what a run of stages asks, by its newest model, while people answer.

A query that somebody begins before its guesses are made is asked without them.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np

from labor_jax.annotation import guesses
from labor_jax.annotation import queries as q
from labor_jax.annotation.desk import Desk
from labor_jax.infer import restore
from labor_jax.infer.segmenter import Predictor
from labor_jax.util import cache
from labor_jax.util.errors import UserError

__all__ = ["at_pieces", "guessing"]

LOOK = 2.0
"""Seconds between two looks whether more is asked."""


@contextlib.contextmanager
def guessing(
    workdir: str | os.PathLike, desk: Desk, read_image: Callable[[str], np.ndarray]
) -> Iterator[None]:
    """Makes guesses in a thread of its own, query by query.

    Args:
      workdir: of a run that waits for answers, or has waited.
      desk: is given them.
      read_image: an image's id -> [H, W, 3] uint8 RGB.
    Raises:
      UserError: the run has no model that has learnt anything.
    """
    cache.enable()
    run = restore.restore(workdir)
    if not run.step:
        raise UserError(
            "--mode: this run's model has not learnt anything yet; answer with --mode=ask"
        )
    stop = threading.Event()

    def guess() -> None:
        try:
            _follow(workdir, run, desk, read_image, stop)
        except Exception as error:  # answers are taken all the same
            print(f"no guesses are made any more: {error}", file=sys.stderr)

    thread = threading.Thread(target=guess, name="guesses", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _follow(
    workdir: str | os.PathLike,
    run: restore.Restored,
    desk: Desk,
    read_image: Callable[[str], np.ndarray],
    stop: threading.Event,
) -> None:
    """Makes guesses at all that is asked, now and later, until it is stopped."""
    now, stage = run, 0
    while not stop.is_set():
        for query in desk.without_guesses():
            if stop.is_set():
                return
            if query["stage"] != stage:  # a later stage has a newer model
                now = restore.restore(workdir) if stage else run
                predictor, stage = Predictor(now), query["stage"]
            try:
                image = read_image(query["image"])
            except (UserError, OSError, KeyError):
                continue  # it went, and nobody is asked about it
            found = at_pieces(query, predictor.probabilities(image))
            own = now.config
            desk.add_guesses(guesses.add(query, now.step, *found, own.verify.blind, own.seed))
        stop.wait(LOOK)


def at_pieces(query: q.Query, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest class of each piece and its probability: [N] int64, [N] float32.

    Args:
      probabilities: [H, W, C] float32 of the image; a segment has the mean of its pixels'.
    """
    flat = probabilities.reshape(-1, probabilities.shape[-1])
    means = np.stack(
        [flat[q.piece_pixels(query, piece)].mean(0) for piece in range(len(q.pieces(query)))]
    )
    return means.argmax(1), means.max(1)
