"""Toytown by night: the source's town, seen by a camera."""

from labor_jax.data.dataset import register
from labor_jax.data.datasets.toytown import drawn

register(
    drawn(
        "toytown_night",
        "1.0.0",
        "Procedural street scenes of toytown's source, by night and seen by a camera.",
        {"train": ("night", 4), "val": ("night", 5)},
    )
)
