"""Quick runs on a backbone that stays as a file has it."""

import pathlib
from collections.abc import Callable
from typing import Any

import ml_collections
import numpy as np
from flax.traverse_util import flatten_dict
from support.filling import filled

from labor_jax.models.build import build_segmenter
from labor_jax.weights import pretrained, tensor_files


def frozen_config(
    make_config: Callable[..., ml_collections.ConfigDict],
    folder: pathlib.Path,
    method: str,
    **values: Any,
) -> ml_collections.ConfigDict:
    """A method's quick run on a frozen narrow ResNet whose weights are in a file of a folder."""
    changes = {"model.head": "linear", "adapt": "none", "stages": 2, "model.freeze": True}
    config = make_config(method, **changes | values)
    config.optimizer.weight_decay = 1e-2
    config.loss.balance = 0.5
    config.model.weights = weights_of(config, folder)
    return config


def weights_of(config: ml_collections.ConfigDict, folder: pathlib.Path) -> str:
    """A file in a folder with a filled backbone of a config; written once."""
    path = folder / "backbone.safetensors"
    if not path.exists():
        model = config.model.copy_and_resolve_references()
        model.lora_rank = 0
        image = np.zeros((1, *config.input.size, 3), np.uint8)
        values = flatten_dict(filled(build_segmenter(model, 11), image), sep="/")
        weights = {name: np.asarray(x) for name, x in values.items() if "/backbone/" in name}
        tensors, _ = pretrained.export(weights, model.backbone, ())
        path.write_bytes(tensor_files.encode(tensors, ".safetensors"))
    return str(path)
