"""Quick runs on a frozen backbone."""

import pathlib
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
import numpy as np
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
    path = folder / "backbone.safetensors"
    if not path.exists():
        image = np.zeros((1, *config.input.size, 3), np.uint8)
        backbone = filled(build_segmenter(config.model, 11), image)
        weights = {
            f"{kind}/backbone/{'/'.join(names)}": leaf
            for kind, tree in backbone.items()
            for names, leaf in jax.tree_util.tree_leaves_with_path(tree["backbone"])
            for names in [[entry.key for entry in names]]
        }
        tensors, _ = pretrained.export(weights, "resnet18", ())
        path.write_bytes(tensor_files.encode(tensors, ".safetensors"))
    config.model.weights = str(path)
    return config
