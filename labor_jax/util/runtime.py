"""What the runtime's own failures mean: devices that are not there, and memory that is over."""

import os
import traceback

__all__ = ["told"]


MEMORY = (
    "make config.batch_size smaller, config.accumulate larger, config.input.size smaller or "
    "config.model.remat=true to train; config.eval_batch_size smaller, or fewer --scales, or "
    "--tile=HEIGHTxWIDTH to predict"
)
"""What can be turned where memory is over."""


def told(error: BaseException) -> str:
    """One line about an error of JAX, of its devices or of memory; "" for any other error.

    The runtime has no classes for these errors: it tells of them by its texts, and by where they
    are raised.
    """
    text = str(error)
    if isinstance(error, MemoryError):
        return f"out of memory of this machine ({_first(text) or 'no more can be had'}): {MEMORY}"
    if "RESOURCE_EXHAUSTED" in text or ("ut of memory" in text and _is_jaxs(error)):
        asked = _first(text).removeprefix("RESOURCE_EXHAUSTED: ")
        return f"out of memory on the device ({asked}): {MEMORY}"
    if _was_finding_devices(error):
        wanted = os.environ.get("JAX_PLATFORMS") or os.environ.get("JAX_PLATFORM_NAME")
        reason = _first(text).partition(" (set JAX_PLATFORMS")[0] or "it finds none"
        if wanted:
            return (
                f"JAX_PLATFORMS={wanted}: JAX cannot use such a device here ({reason}); leave the "
                f"variable out, set it to cpu, or install JAX for that device"
            )
        return f"JAX cannot use a device here ({reason}); set JAX_PLATFORMS=cpu to go without"
    return ""


def _first(text: str) -> str:
    """The first line of a text, without its full stop and not too long."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "").rstrip(".")
    return line if len(line) <= 200 else f"{line[:199]}…"


def _is_jaxs(error: BaseException) -> bool:
    return any(cls.__module__.startswith(("jax", "xla")) for cls in type(error).__mro__)


def _was_finding_devices(error: BaseException) -> bool:
    """Whether JAX raised an error while it looked for devices, which it does at the first use."""
    frames = traceback.extract_tb(error.__traceback__)
    return any(
        frame.filename.endswith("xla_bridge.py") and frame.name in ("backends", "_init_backend")
        for frame in frames
    )
