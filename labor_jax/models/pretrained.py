"""ImageNet weights from a file into a fresh network; every tensor is accounted for."""

import os
import zipfile
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from labor_jax.errors import UserError

CLASSIFIER = ("51_conv/kernel", "51_conv/bias", "52_conv/kernel", "52_conv/bias")


def load_backbone(
    path: str | os.PathLike, backbone: str, params: Mapping[str, Any]
) -> dict[str, Any]:
    """`params` with the backbone's part from a file, the rest untouched.

    params: a segmenter's or selector's {"backbone", …}. The file of a "mobilenet_v2" is an .npz
    of `NN_conv/kernel`, `NN_dw/kernel` and `…/bias`, batch norm folded in, kernels HWIO.
    Raises UserError for a backbone without such a file, a file that is absent or no .npz, and
    tensors that are missing, misshapen or unknown.
    """
    if backbone != "mobilenet_v2":
        raise UserError(
            f"model.weights: no reader for the weights of {backbone!r}, only of 'mobilenet_v2';"
            " leave model.weights empty or change model.backbone"
        )
    return {**params, "backbone": mobilenet_params(path, params["backbone"])}


def mobilenet_params(path: str | os.PathLike, fresh: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of `MobileNetV2` from its .npz file, shapes and names as in `fresh`."""
    wanted = flatten_dict(fresh, sep="/")
    found = {name: value for name, value in _read(path).items() if name not in CLASSIFIER}
    faults = [f"{name} is missing" for name in wanted if name not in found]
    faults += [f"{name} is unknown" for name in found if name not in wanted]
    faults += [
        f"{name} is {found[name].shape}, not {wanted[name].shape}"
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise UserError(
            f"{path}: {'; '.join(faults[:3])}{more}: model.weights must be a MobileNetV2 1.0"
            " file, and model.width 1.0"
        )
    values = {name: jnp.asarray(found[name], wanted[name].dtype) for name in wanted}
    return unflatten_dict(values, sep="/")


def _read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; mend model.weights") from None
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a whole .npz file; mend model.weights") from error
