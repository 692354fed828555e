"""LabOR in JAX: adapt a segmentation model to real streets, labelling only the pixels it needs.

Importing this imports nothing else; each name brings what it needs when it is first used.

    load                 a run's folder, or an exported file, as a `Predictor`
    Predictor            images to label maps and probabilities
    inconsistency_mask   where two heads disagree (equation 4)
    prototypes           PPL: the pixels of a mask that are most like their class's mean
    segments             SPL: a mask as segments
    build_segmenter      DeepLab-V2 as a Linen module
    build_selector       the same with two heads
    default_config       every key of a run, with its default
    losses               the losses, as (sum, count)
    UserError            what a user can mend

A trained segmenter, and the kernels on arrays of one's own:

>>> import labor_jax, numpy as np
>>> segmenter = labor_jax.load(workdir)             # a run's folder
>>> segmenter.predict(np.zeros((90, 120, 3), np.uint8)).shape
(90, 120)

>>> heads = np.random.default_rng(0).normal(size=(2, 1, 6, 8, 3)).astype(np.float32)
>>> mask = labor_jax.inconsistency_mask(*heads)     # [B, H, W] bool
>>> mask.shape, int(mask.sum())
((1, 6, 8), 34)
>>> probs = np.exp(heads).mean(0) / np.exp(heads).mean(0).sum(-1, keepdims=True)
>>> points, found = labor_jax.prototypes(
...     probs, mask, np.zeros(mask.shape, bool), points_per_class=2, radius=1)
>>> points.shape, bool(found.all())                 # [B, C, points, (row, column)]
((1, 3, 2, 2), True)
>>> labor_jax.segments(np.asarray(mask[0]), cell=4).max()   # [H, W] int32, segments from 1
np.int32(4)

>>> total, count = labor_jax.losses.cross_entropy(heads[0], np.full((1, 6, 8), 255, np.uint8))
>>> float(count)                                    # nothing is labelled
0.0

>>> config = labor_jax.default_config()
>>> config.model.width = 0.125
>>> network = labor_jax.build_segmenter(config.model, num_classes=3)
>>> image = np.zeros((1, 32, 32, 3), np.uint8)
>>> import jax
>>> jax.eval_shape(network.init, jax.random.key(0), image)["params"]["main"]["branch_0"]["bias"]
ShapeDtypeStruct(shape=(3,), dtype=float32)
>>> sorted(jax.eval_shape(
...     labor_jax.build_selector(config.model, 3).init, jax.random.key(0), image)["params"])
['backbone', 'c1', 'c2']
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labor_jax.config.schema import default_config
    from labor_jax.infer.segmenter import Predictor, load
    from labor_jax.models.build import build_segmenter, build_selector
    from labor_jax.selection.inconsistency import inconsistency_mask
    from labor_jax.selection.prototypes import representative_points as prototypes
    from labor_jax.selection.segments import cut_segments as segments
    from labor_jax.train import losses
    from labor_jax.util.errors import UserError

__version__ = "0.1.0"

__all__ = [
    "Predictor",
    "UserError",
    "build_segmenter",
    "build_selector",
    "default_config",
    "inconsistency_mask",
    "load",
    "losses",
    "prototypes",
    "segments",
]

_HOME = {
    "Predictor": "labor_jax.infer.segmenter:Predictor",
    "UserError": "labor_jax.util.errors:UserError",
    "build_segmenter": "labor_jax.models.build:build_segmenter",
    "build_selector": "labor_jax.models.build:build_selector",
    "default_config": "labor_jax.config.schema:default_config",
    "inconsistency_mask": "labor_jax.selection.inconsistency:inconsistency_mask",
    "load": "labor_jax.infer.segmenter:load",
    "losses": "labor_jax.train.losses",
    "prototypes": "labor_jax.selection.prototypes:representative_points",
    "segments": "labor_jax.selection.segments:cut_segments",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'labor_jax' has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    value: Any = importlib.import_module(module)
    return getattr(value, attribute) if attribute else value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
