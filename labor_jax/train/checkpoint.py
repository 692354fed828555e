"""Checkpoints of the whole state by Orbax: written atomically in the background, two kept."""

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
      keep: a step whose checkpoint is never deleted, besides the newest two. None opens them for
        reading only, so that a checkpoint that a run is just saving is left alone.
    """

    def __init__(
        self, workdir: str | os.PathLike, table: ClassTable, keep: int | None = None
    ) -> None:
        policies = ocp.training.preservation_policies
        # Every device has the same state. If the devices shared the writing, every array would be
        # sliced by device, which takes longer than writing it.
        context = ocp.Context()
        context.array.saving.use_replica_parallel = False
        # A reader asks for what it needs: a part of the state, or one made by an earlier version.
        context.pytree.loading.partial_load = True
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
                beside = {"classes": list(self._table.names), "checksums": checksums(state)}
                self._pending = self._checkpointer.save_async(
                    step, state, custom_metadata=beside, force=True
                )
            if wait:
                self.wait()

    def wait(self) -> None:
        """Waits until what is being saved is on disk."""
        pending, self._pending = self._pending, None
        if pending is not None:
            with _full_disk():
                pending.result()

    def load(self, step: int, like: Any) -> Any:
        """The state at a step, or a part of it; only what is asked for is read.

        Args:
          like: a pytree of `jax.ShapeDtypeStruct` with shardings, such as a whole state or
            `{"segmenter": {"params": ...}}`. The checkpoint may hold more.
        Returns:
          The same pytree of arrays.
        Raises:
          UserError: it was made with other classes, cannot be read, or lacks an array.
        """
        # A signal that arrives inside Orbax would look like a checkpoint that cannot be read.
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
        for name, leaf in _by_name(state).items():
            if isinstance(leaf, jax.ShapeDtypeStruct):  # Orbax returns it so if it is not there
                raise _damaged(path, ValueError(f"it does not hold {name}"))
        saved = beside.get("checksums", {})  # the first version's has one sum of everything
        for name, found in checksums(state).items():
            if saved.get(name, found) != found:
                raise _damaged(path, ValueError(f"the checksum of {name} does not match"))
        return state

    def close(self) -> None:
        """Waits for what is being saved, and frees Orbax's threads.

        Raises:
          UserError: the disk is full. Orbax reports this here even if `wait` already has.
        """
        with _full_disk():
            try:
                self.wait()
            finally:
                self._checkpointer.close()


def checksums(state: Any) -> dict[str, int]:
    """CRC-32 of each array of a pytree by its dotted name, such as "segmenter.params.main.bias".

    Orbax does not notice a byte that changed on the disk.
    """
    return {n: zlib.crc32(np.ascontiguousarray(x).data) for n, x in _by_name(state).items()}


def _by_name(state: Any) -> dict[str, Any]:
    """A pytree's leaves by their dotted names."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _check_finite(step: int, state: Any) -> None:
    """Raises UserError if an array is not finite; a step's losses can be finite all the same."""
    for name, leaf in _by_name(state).items():
        # The sum shows a number that is not finite, and unlike np.isfinite needs no second array.
        with np.errstate(all="ignore"):
            total = np.sum(np.asarray(leaf))
        if not np.isfinite(total):
            raise UserError(
                f"{name} is not finite after step {step}, which is not saved; "
                f"the last checkpoint is good: lower config.optimizer.learning_rate and start in "
                f"another --workdir"
            )


def _check_space(directory: Any, state: Any) -> None:
    """Raises UserError if the disk has no room; Orbax's threads would print tracebacks later."""
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
    """Turns each of the errors by which Orbax reports a full disk into one UserError."""
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
