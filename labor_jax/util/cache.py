"""What is kept between runs in the user's cache folder, such as JAX's compiled programs."""

import os
import pathlib

__all__ = ["enable", "folder"]


def folder(name: str) -> pathlib.Path:
    """A folder of ours in the user's cache folder; it may not exist yet."""
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(home, "labor_jax", name)


def enable() -> None:
    """Turns JAX's cache on, unless a folder for it was already chosen.

    A resumed run, or one of the same shapes, then compiles nothing.
    """
    import jax  # not where only `folder` is needed

    if jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]  # added as it runs
        return
    jax.config.update("jax_compilation_cache_dir", str(folder("xla")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
