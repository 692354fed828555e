"""Converts the weights of a run or of a file to another kind of file; accounts for each tensor."""

import os
import pathlib
from collections.abc import Iterable
from typing import NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from labor_jax.config import default_config
from labor_jax.infer import restore
from labor_jax.models import backbone, build
from labor_jax.util import errors, outputs
from labor_jax.weights import pretrained, state_dict, tensor_files


class Read(NamedTuple):
    """Weights as they were read.

    Attributes:
      values: arrays by their path in a segmenter's variables.
      backbone: a name that `model.backbone` can have.
      dilations: of the heads' branches. A file does not have them, so they are 1, 2, … for a file.
      account: lines that say what became of each tensor.
    """

    values: dict[str, np.ndarray]
    backbone: str
    dilations: tuple[int, ...]
    account: list[str]


def convert(source: str, destination: str, backbone_only: bool, accepted: str = "") -> list[str]:
    """Writes the weights of a run or of a file in the format of the destination's suffix.

    Args:
      source: a run's DIR, or a file that `model.weights` can take.
      destination: the file to write.
      backbone_only: whether the heads are left out.
      accepted: the licence of weights that was accepted, see `licences`.
    Returns:
      Lines that say what became of each tensor.
    Raises:
      UserError: the errors of `from_run` and `from_file`, or a destination of an unknown suffix
        or that may not be written (see `outputs`).
    """
    suffix = pathlib.Path(destination).suffix
    if suffix not in tensor_files.WRITTEN:
        raise errors.UserError(
            f"{destination}: give a DST that ends in {' or '.join(tensor_files.WRITTEN)}; PyTorch"
            " reads the first by safetensors.torch.load_file"
        )
    outputs.check_file(destination, "DST", [source])
    read = from_run(source) if os.path.isdir(source) else from_file(source, accepted)
    values, account = read.values, read.account
    if backbone_only:
        heads = [name for name in values if "/backbone/" not in name]
        account.append(_line("left out", heads, "--backbone_only"))
        values = {name: value for name, value in values.items() if "/backbone/" in name}
    tensors, reasons = pretrained.export(values, read.backbone, read.dilations)
    outputs.write_file(destination, tensor_files.encode(tensors, suffix), "DST", [source])
    return [
        *account,
        _line("written", tensors, destination),
        *_lines_by_reason("of these", reasons),
    ]


def from_run(workdir: str) -> Read:
    """The weights of a run's newest checkpoint. Raises the UserErrors of `restore.restore`."""
    run = restore.restore(workdir)
    values = flatten_dict(run.segmenter.variables, sep="/")
    model = run.config.model
    account = [
        f"{workdir}: {model.backbone}, style {model.style}, after {run.step} steps of training",
        _line("taken", values),
    ]
    arrays = {name: np.asarray(value) for name, value in values.items()}
    return Read(arrays, model.backbone, tuple(model.dilations), account)


def from_file(path: str, accepted: str = "") -> Read:
    """The weights of a file that `model.weights` can take.

    Args:
      accepted: as of `convert`.
    Raises:
      UserError: the errors of `open_weights` and `fit`, or a backbone that is not registered.
    """
    weights = pretrained.open_weights(path, accepted)
    network = weights.network
    if network.backbone not in backbone.names():
        known = ", ".join(backbone.names())
        raise errors.UserError(
            f"{path} looks like {network.backbone}; there is only {known}; give the weights of one"
        )
    values, fitted = pretrained.fit(weights, _shapes(network))
    heads = f"{network.head} of {network.branches} branches, {network.classes} classes"
    account = [
        f"{path}: {network.backbone}, {heads if network.head else 'no heads'},"
        f" style {weights.style or 'not told by its keys'}",
        _line("taken", fitted.taken),
        *_lines_by_reason("left out", fitted.left_out),
        *(f"missing          {part}: not written" for part in fitted.missing),
    ]
    return Read(values, network.backbone, _dilations(network), account)


def _dilations(network: state_dict.Network) -> tuple[int, ...]:
    return tuple(range(1, 1 + network.branches))


def _shapes(network: state_dict.Network) -> dict[str, tuple[int, ...]]:
    """Shapes of a segmenter's variables by path; of the backbone's alone if there are no heads."""
    model = default_config().model
    model.backbone, model.width = network.backbone, network.width
    known = backbone.find(network.backbone)
    model.style, model.output_stride = known.styles[0], known.output_strides[0]
    model.head = network.head or model.head
    model.dilations = _dilations(network) or model.dilations
    segmenter = build.build_segmenter(model, max(1, network.classes))
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), np.uint8)
    leaves = flatten_dict(jax.eval_shape(segmenter.init, jax.random.key(0), image), sep="/")
    return {
        name: leaf.shape for name, leaf in leaves.items() if network.head or "/backbone/" in name
    }


def _line(what: str, keys: Iterable[str], reason: str = "") -> str:
    keys = list(keys)
    some = ", ".join(keys[:3]) + (", …" if len(keys) > 3 else "")
    return f"{what:<10} {len(keys):>4}  {some}{reason and f': {reason}'}"


def _lines_by_reason(what: str, reasons: dict[str, str]) -> list[str]:
    return [
        _line(what, [key for key, why in reasons.items() if why == reason], reason)
        for reason in dict.fromkeys(reasons.values())
    ]
