"""Checkpoints of the whole state: atomic, asynchronous, the newest two kept (Orbax)."""

import contextlib
import errno
import os
import pathlib
import shutil
import zlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from labor_jax.data.labels import ClassTable
from labor_jax.util.errors import UserError
from labor_jax.util.stopping import stop_asked


class Checkpoints:
    """The checkpoints of a run, by step.

    Args:
      workdir: the run's DIR; they are in DIR/checkpoints.
      table: goes with every checkpoint, so that none is read with another one.
      keep: a step whose checkpoint is never deleted, besides the newest two; None to read only,
        which leaves alone what a run may be saving at this moment.
    """

    def __init__(
        self, workdir: str | os.PathLike, table: ClassTable, keep: int | None = None
    ) -> None:
        policies = ocp.training.preservation_policies
        # Every device has the same state. Sharing the writing out slices every array by device,
        # which takes longer than writing them.
        context = ocp.Context()
        context.array.saving.use_replica_parallel = False
        self._table = table
        self._pending: Any = None
        self._checkpointer = ocp.training.Checkpointer(
            pathlib.Path(workdir, "checkpoints").absolute(),
            preservation_policy=policies.AnyPreservationPolicy(
                [policies.LatestN(2), policies.CustomSteps([] if keep is None else [keep])]
            ),
            cleanup_tmp_directories=keep is not None,
            context=context,
        )

    @property
    def latest(self) -> int | None:
        """The newest whole checkpoint's step; None if there is none."""
        latest = self._checkpointer.latest
        return None if latest is None else latest.step

    @property
    def steps(self) -> list[int]:
        """The steps at which there is a checkpoint, oldest first."""
        return [checkpoint.step for checkpoint in self._checkpointer.checkpoints]

    def save(self, step: int, state: Any, wait: bool = False) -> None:
        """Saves in the background, or with `wait` until it is on disk; a step is saved once.

        Raises:
          UserError: a number is not finite, or the disk is full; older checkpoints are untouched.
        """
        with _full_disk():
            self.wait()
            if step not in self.steps:
                _check_space(self._checkpointer.directory, state)
                _check_finite(step, state)
                beside = {"classes": list(self._table.names), "checksum": checksum(state)}
                self._pending = self._checkpointer.save_async(
                    step, state, custom_metadata=beside, force=True
                )
            if wait:
                self.wait()

    def wait(self) -> None:
        """Until what is being saved is on disk."""
        pending, self._pending = self._pending, None
        if pending is not None:
            with _full_disk():
                pending.result()

    def load(self, step: int, like: Any) -> Any:
        """The state at a step, shaped and placed like `like`.

        Raises:
          UserError: it was made with other classes, or cannot be read.
        """
        # Orbax would tell of a signal as of a checkpoint that cannot be read.
        with stop_asked():
            return self._load(step, like)

    def _load(self, step: int, like: Any) -> Any:
        path = self._checkpointer.directory / str(step)
        try:
            beside = self._checkpointer.metadata(step).custom_metadata
            names = beside["classes"]
        except Exception as error:
            raise _damaged(path, error) from None
        if tuple(names) != self._table.names:
            raise UserError(
                f"{path} was trained with the {len(names)} classes {', '.join(names[:3])}, …, "
                f"config.classes has {len(self._table)}: {', '.join(self._table.names[:3])}, …; "
                f"give the classes it was trained with"
            )
        try:
            state = self._checkpointer.load(step, like)
        except Exception as error:
            raise _damaged(path, error) from None
        if beside.get("checksum") not in (None, checksum(state)):
            raise _damaged(path, ValueError("its checksum is another"))
        return state

    def close(self) -> None:
        """Waits for what is being saved, and frees Orbax's threads.

        Raises:
          UserError: the disk is full; Orbax says so once more than it is asked.
        """
        with _full_disk():
            try:
                self.wait()
            finally:
                self._checkpointer.close()


def checksum(state: Any) -> int:
    """CRC-32 of all arrays of a pytree: Orbax does not notice a byte that changed on the disk."""
    crc = 0
    for leaf in jax.tree.leaves(state):
        crc = zlib.crc32(np.ascontiguousarray(leaf).data, crc)
    return crc


def _check_finite(step: int, state: Any) -> None:
    """A step's losses are finite even if what it made of the parameters is not."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        # A sum is finite unless a number in it is not, and needs no second array.
        with np.errstate(all="ignore"):
            total = np.sum(np.asarray(leaf))
        if not np.isfinite(total):
            raise UserError(
                f"{jax.tree_util.keystr(path, simple=True, separator='.')} is not finite after "
                f"step {step}, which is not saved; the last checkpoint is good: lower "
                f"config.optimizer.learning_rate and start in another --workdir"
            )


def _check_space(directory: Any, state: Any) -> None:
    """Asked first, since Orbax's threads leave tracebacks behind when the disk gets full."""
    needed = 1.1 * sum(x.nbytes for x in jax.tree.leaves(state))
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise UserError(
            f"the disk is full: a checkpoint in {directory} may take {needed / 1e6:.1f} MB and "
            f"{free / 1e6:.1f} MB are free; older ones are untouched; free some space and run the "
            f"same command again"
        )


def _damaged(path: Any, error: Exception) -> UserError:
    reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return UserError(
        f"{path} cannot be read ({reason}); delete that folder to go on from the one before"
    )


@contextlib.contextmanager
def _full_disk() -> Iterator[None]:
    """Orbax wraps a full disk in errors of several kinds; here it becomes one line."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
            if full or any(os.strerror(e) in str(cause) for e in (errno.ENOSPC, errno.EDQUOT)):
                raise UserError(
                    "the disk is full: this checkpoint was not saved, older ones are untouched; "
                    "free some space and run the same command again"
                ) from None
            cause = cause.__cause__ or cause.__context__
        raise
