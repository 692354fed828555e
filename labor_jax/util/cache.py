"""JAX's compilation cache on disk: a resumed run, or one of the same shapes, compiles nothing."""

import os
import pathlib

import jax


def enable() -> None:
    """Turns the cache on, in the user's cache folder, unless a folder for it was already chosen."""
    if jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]  # added as it runs
        return
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(home, "labor_jax", "xla")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
