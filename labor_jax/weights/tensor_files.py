"""Files of named tensors: `.pth` (only read), `.safetensors` and `.npz`.

The format is recognised by a file's content. This module knows no networks; `pretrained` does.
"""

import io
import json
import os
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from labor_jax.util import contents, outputs
from labor_jax.util.errors import UserError
from labor_jax.util.tally import one_line
from labor_jax.weights import pth

__all__ = [
    "LARGEST",
    "SUFFIXES",
    "WRITTEN",
    "TensorFile",
    "encode",
    "read",
    "texts",
]


SUFFIXES = (".pth", ".safetensors", ".npz")
WRITTEN = (".safetensors", ".npz")
"""The suffixes that `encode` writes. PyTorch reads the first with `safetensors.torch.load_file`."""
LARGEST = 6 * 10**9
"""The most bytes of a file, and of a compressed file's content; DINOv2's giant has 4.5 GB."""

# `safetensors.numpy` has no bfloat16.
_SAFETENSORS = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(jnp.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}


class TensorFile(NamedTuple):
    """`tensors` by name, in the file's dtypes; `beside` are the names of entries without use."""

    tensors: dict[str, np.ndarray]
    beside: tuple[str, ...]


def read(path: str | os.PathLike) -> TensorFile:
    """The tensors of a file. They may be one dict of tensors inside the dict of a checkpoint.

    Raises:
      UserError: there is no such file, it is broken or of no known format, or it needs code to run.
    """
    if not os.path.isfile(path):
        raise UserError(
            f"{path}: no such file of weights; docs/data_and_weights.md says where to get them"
        )
    if os.path.getsize(path) > LARGEST:
        raise UserError(f"{path}: larger than 6 GB; give a file of weights alone")
    data = pathlib.Path(path).read_bytes()
    is_safetensors = data[8:9] == b"{"
    if not is_safetensors and (mistaken := contents.mistaken(data[: contents.BEGIN])):
        raise UserError(f"{path}: not a whole file of weights: it {mistaken}")
    try:
        return _decode(data)
    except UserError as error:
        told = one_line(error, 800)  # names in a file can have any characters
        raise UserError(f"{path}: {told}") from None
    except Exception as error:  # a broken file can make the parsers raise anything
        kinds = ", ".join(SUFFIXES)
        raise UserError(
            f"{path}: not a whole file of weights ({kinds}); if it was one of these, compare its "
            f"{len(data):,} bytes with its site, and get it again"
        ) from error


def encode(
    tensors: Mapping[str, np.ndarray], suffix: str, beside: Mapping[str, str] | None = None
) -> bytes:
    """The bytes of a file with one of the suffixes WRITTEN; equal arguments give equal bytes.

    The file has the mark by which `outputs` knows it again.

    Args:
      tensors: by name.
      suffix: one of WRITTEN.
      beside: texts by name that are stored with the tensors, in `.safetensors` only; see `texts`.
    """
    if suffix == ".safetensors":
        contiguous = {name: np.asarray(value, order="C") for name, value in tensors.items()}
        # Some readers refuse files that don't say whose layout they have.
        texts = {"format": "pt", "writer": outputs.MARK, **(beside or {})}
        return _in_order(safetensors.numpy.save(contiguous, metadata=texts))
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **tensors)
    return outputs.sealed(buffer.getvalue(), suffix)


def _in_order(data: bytes) -> bytes:
    """A `.safetensors` with its texts sorted; the library writes them in any order."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    encoded = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    encoded += b" " * (-len(encoded) % 8)
    return len(encoded).to_bytes(8, "little") + encoded + data[8 + length :]


def texts(path: str | os.PathLike) -> dict[str, str]:
    """The texts that a `.safetensors` file has beside its tensors; {} for any other file."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return file.metadata() or {}
    except (safetensors.SafetensorError, OSError):
        return {}


def _decode(data: bytes) -> TensorFile:
    # The first 8 bytes of a .safetensors are a length, which may look like a zip or a pickle.
    is_safetensors = data[8:9] == b"{"
    if data[:2] == b"PK" and not is_safetensors:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
        if entries and all(entry.filename.endswith(".npy") for entry in entries):
            return TensorFile(_decode_npz(data, entries), ())
        names = [entry.filename for entry in entries]
        if inside := [name for name in names if name.lower().endswith(SUFFIXES)]:
            raise UserError(f"it is a zip archive; unpack it, and give {inside[0]} in it")
        return _state_dict(pth.decode(data))
    if data[:1] == b"\x80" and not is_safetensors:
        return _state_dict(pth.decode(data))
    return TensorFile(_decode_safetensors(data), ())


def _decode_npz(data: bytes, entries: list[zipfile.ZipInfo]) -> dict[str, np.ndarray]:
    if sum(entry.file_size for entry in entries) > LARGEST:
        raise UserError("it would unpack to more than 6 GB")
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return dict(archive)


def _decode_safetensors(data: bytes) -> dict[str, np.ndarray]:
    return {
        name: np.frombuffer(view["data"], _SAFETENSORS[view["dtype"]]).reshape(view["shape"])
        for name, view in sorted(safetensors.deserialize(data), key=lambda entry: entry[0])
    }


def _state_dict(value: Any) -> TensorFile:
    """The dict of tensors in a `.pth`: the whole object, or the only such item of a dict."""
    if _is_state_dict(value):
        return TensorFile(value, ())
    if not isinstance(value, dict):
        raise UserError("it holds no dict of tensors")
    inner = [name for name, item in value.items() if _is_state_dict(item)]
    if len(inner) != 1:
        several = f"several dicts of tensors ({', '.join(map(str, inner[:3]))})"
        raise UserError(
            f"it holds {several if inner else 'no dict of tensors'}; in PyTorch, save one alone"
        )
    beside = tuple(str(name) for name in value if name != inner[0])
    return TensorFile(value[inner[0]], beside)


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) > 0
        and all(isinstance(name, str) for name in value)
        and all(isinstance(item, np.ndarray) for item in value.values())
    )
