"""Weights of a run or of a file as another kind of file, with an account of each tensor."""

import os
import pathlib
from collections.abc import Iterable

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from labor_jax.config import default_config
from labor_jax.infer import restore
from labor_jax.models import build
from labor_jax.util import errors, files
from labor_jax.weights import pretrained, state_dict, tensor_files

Values = dict[str, np.ndarray]


def from_run(workdir: str) -> tuple[Values, tuple[int, ...]]:
    """A run's newest segmenter, by path in its variables, and its dilations; prints what it is.

    Raises UserError as `restore.restore`.
    """
    run = restore.restore(workdir)
    values = flatten_dict(run.segmenter.variables, sep="/")
    model = run.config.model
    print(f"{workdir}: {model.backbone}, style {model.style}, after {run.step} steps of training")
    _tell("taken", values)
    return {name: np.asarray(value) for name, value in values.items()}, tuple(model.dilations)


def from_file(path: str) -> tuple[Values, tuple[int, ...]]:
    """The same of a file, whose dilations no one knows: 1, 2, … stand for them.

    Raises UserError as `pretrained.open_weights` and `fit`.
    """
    weights = pretrained.open_weights(path)
    network = weights.network
    if network.backbone not in build.BACKBONES:
        known = ", ".join(build.BACKBONES)
        raise errors.UserError(f"{path} looks like {network.backbone}; there is only {known}")
    values, account = pretrained.fit(weights, _shapes(network))
    heads = f"{network.branches} branches of {network.classes} classes"
    print(
        f"{path}: {network.backbone}, {heads if network.branches else 'no heads'},"
        f" style {weights.style or 'not told by its keys'}"
    )
    _tell("taken", account.taken)
    _tell_reasons("left out", account.left_out)
    for head in account.missing:
        print(f"missing          the {head} head: not written")
    return values, _dilations(network)


def _dilations(network: state_dict.Network) -> tuple[int, ...]:
    return tuple(range(1, 1 + network.branches))


def _shapes(network: state_dict.Network) -> dict[str, tuple[int, ...]]:
    """Of a whole segmenter's variables, or of its backbone's where a file has no heads."""
    model = default_config().model
    model.backbone, model.width = network.backbone, network.width
    model.dilations = _dilations(network) or model.dilations
    segmenter = build.build_segmenter(model, max(1, network.classes))
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), np.uint8)
    leaves = flatten_dict(jax.eval_shape(segmenter.init, jax.random.key(0), image), sep="/")
    return {
        name: leaf.shape
        for name, leaf in leaves.items()
        if network.branches or "/backbone/" in name
    }


def _tell(what: str, keys: Iterable[str], reason: str = "") -> None:
    keys = list(keys)
    some = ", ".join(keys[:3]) + (", …" if len(keys) > 3 else "")
    print(f"{what:<10} {len(keys):>4}  {some}{reason and f': {reason}'}")


def _tell_reasons(what: str, reasons: dict[str, str]) -> None:
    for reason in dict.fromkeys(reasons.values()):
        _tell(what, [key for key, why in reasons.items() if why == reason], reason)


def convert(source: str, destination: str, backbone_only: bool) -> None:
    """Reads, tells and writes.

    Raises UserError as `from_run` and `from_file`, and for a DST of another kind.
    """
    suffix = pathlib.Path(destination).suffix
    if suffix not in tensor_files.WRITTEN:
        raise errors.UserError(
            f"{destination}: give a DST that ends in {' or '.join(tensor_files.WRITTEN)}; PyTorch"
            " reads the first by safetensors.torch.load_file"
        )
    values, dilations = from_run(source) if os.path.isdir(source) else from_file(source)
    if backbone_only:
        _tell("left out", [n for n in values if "/backbone/" not in n], "--backbone_only")
        values = {name: value for name, value in values.items() if "/backbone/" in name}
    tensors, reasons = pretrained.export(values, dilations)
    files.write_atomic(destination, tensor_files.encode(tensors, suffix))
    _tell("written", tensors, destination)
    _tell_reasons("of these", reasons)
