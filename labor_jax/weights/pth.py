"""PyTorch's `.pth` files without PyTorch: tensors in and out, and never any code.

A `.pth` is a pickle, and a pickle is a program: this one is parsed by `pickletools` and followed
here, where nothing is imported and nothing of the file is called. Only what a state dict needs is
understood; the rest is refused by its name. Both layouts are read: the zip archive (PyTorch 1.6
and later) and the row of pickles before it. [cited: torch/serialization.py, torch/_utils.py]
"""

import io
import pickletools
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from labor_jax.util.errors import UserError

STORAGES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(jnp.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
GLOBALS = (
    "collections OrderedDict",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    *(f"torch {storage}" for storage in STORAGES),
)
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001


class _Global(NamedTuple):
    """A name that the pickle mentions; never the thing itself."""

    name: str


class _Storage(NamedTuple):
    """A typed row of numbers: `length` of them, from the `start`-th of what `key` holds."""

    key: str
    dtype: np.dtype
    start: int
    length: int


class _Tensor(NamedTuple):
    """A view of a storage; offset and strides in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def decode(data: bytes) -> Any:
    """What `torch.save` was given: dicts, lists and tuples; every tensor as a read-only array.

    data: a whole file. Arrays keep the file's dtype and strides.
    Raises UserError for a pickle that wants more than tensors, and any exception of a parser for
    a file that is broken.
    """
    return _decode_zip(data) if data[:2] == b"PK" else _decode_legacy(data)


def _decode_zip(data: bytes) -> Any:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if len(entries) != len(archive.infolist()):
            raise UserError("two of its entries have one name")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
            raise UserError("its entries are compressed, which PyTorch never does")
        if sum(entry.file_size for entry in entries.values()) > len(data):
            raise UserError("its entries overlap")
        (root,) = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")]
        if f"{root}byteorder" in entries and archive.read(f"{root}byteorder") != b"little":
            raise UserError("its numbers are big-endian; save it on another machine")
        value = _unpickle(io.BytesIO(archive.read(f"{root}data.pkl")))
        read = {}
        for storage in _storages(value):
            if storage.key not in read:
                read[storage.key] = archive.read(f"{root}data/{storage.key}")
        return _with_arrays(value, read.__getitem__)


def _decode_legacy(data: bytes) -> Any:
    stream = io.BytesIO(data)
    if _unpickle(stream) != LEGACY_MAGIC or _unpickle(stream) != LEGACY_PROTOCOL:
        raise UserError("a pickle, but none that torch.save wrote")
    if _unpickle(stream)["little_endian"] is not True:
        raise UserError("its numbers are big-endian; save it on another machine")
    value = _unpickle(stream)
    sizes = {storage.key: storage.dtype.itemsize for storage in _storages(value)}
    read = {}
    for key in _unpickle(stream):
        (count,) = struct.unpack("<q", stream.read(8))
        start, end = stream.tell(), stream.tell() + count * sizes[key]
        if count < 0 or end > len(data):
            raise ValueError("the file ends within a tensor")
        read[key] = memoryview(data)[start:end]
        stream.seek(end)
    return _with_arrays(value, read.__getitem__)


def _unpickle(stream: io.BytesIO) -> Any:
    """One pickle: plain values, `_Tensor`s and `_Global`s. The stream is left behind its end."""
    stack: list[Any] = []
    marks: list[list[Any]] = []
    memo: dict[int, Any] = {}

    def marked() -> list[Any]:
        nonlocal stack
        items, stack = stack, marks.pop()
        return items

    argument: Any
    for opcode, argument, _ in pickletools.genops(stream):
        match opcode.name:
            case "PROTO":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                marks.append(stack)
                stack = []
            case "GLOBAL":
                if argument not in GLOBALS:
                    name = argument.replace(" ", ".")
                    raise UserError(
                        f"it asks for {name}, which is not run; in PyTorch, save its state dict"
                        " alone, a dict of tensors"
                    )
                stack.append(_Global(argument))
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case (
                "BINUNICODE" | "BINSTRING" | "SHORT_BINSTRING"
                | "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT"
            ):  # fmt: skip
                stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode.name])
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                length = int(opcode.name[-1])
                stack[-length:] = [tuple(stack[-length:])]
            case "TUPLE":
                items = marked()
                stack.append(tuple(items))
            case "APPEND":
                _extend(stack[-2], [stack.pop()])
            case "APPENDS":
                items = marked()
                _extend(stack[-1], items)
            case "SETITEM":
                _update(stack[-3], stack[-2:])
                del stack[-2:]
            case "SETITEMS":
                items = marked()
                _update(stack[-1], items)
            case "BINPERSID":
                stack.append(_storage(*stack.pop()))
            case "REDUCE":
                arguments = stack.pop()
                stack.append(_rebuilt(stack.pop(), arguments))
            case "BUILD":  # an OrderedDict's `_metadata`: versions of modules, which no one needs
                stack.pop()
                if not isinstance(stack[-1], dict):
                    raise UserError("it sets the insides of an object, which is not done")
            case other:
                raise UserError(f"it needs pickle's {other}, which no state dict does")
    raise ValueError("the pickle has no end")


def _extend(target: Any, items: list[Any]) -> None:
    if not isinstance(target, list):
        raise ValueError("appends to what is no list")
    target.extend(items)


def _update(target: Any, items: list[Any]) -> None:
    names = items[::2]
    if not isinstance(target, dict) or not all(isinstance(name, str | int) for name in names):
        raise ValueError("a dict is wanted, of strings or numbers")
    target.update(zip(names, items[1::2], strict=True))


def _rebuilt(function: Any, arguments: Any) -> Any:
    """What a call in the pickle stands for. Raises ValueError for any that it cannot be."""
    match function, arguments:
        case _Global("collections OrderedDict"), ():
            return {}
        case _Global("collections OrderedDict"), ([*pairs],):  # Python 2's way
            items = dict[str, Any]()
            for pair in pairs:
                _update(items, pair)
            return items
        case (
            _Global("torch._utils _rebuild_tensor" | "torch._utils _rebuild_tensor_v2"),
            (_Storage() as storage, offset, shape, strides, *_),
        ):
            return _Tensor(storage, _size(offset), _sizes(shape), _sizes(strides))
        case _Global("torch._utils _rebuild_parameter"), (_Tensor() as tensor, *_):
            return tensor
    raise ValueError("a call that makes no tensor")


def _storage(
    kind: Any, type_: Any, key: Any, location: Any, count: Any, view: Any = None
) -> _Storage:
    """A persistent id. `view`, long gone from PyTorch: (its own key, first element, elements)."""
    if kind != "storage" or not isinstance(type_, _Global) or not isinstance(key, str):
        raise ValueError("a reference to what is no storage")
    dtype = STORAGES[type_.name.removeprefix("torch ")]
    start, count = (0, _size(count)) if view is None else (_size(view[1]), _size(view[2]))
    return _Storage(key, dtype, start, count)


def _size(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**48:
        raise ValueError("a size that none can be")
    return value


def _sizes(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple) or len(values) > 32:
        raise ValueError("a shape that none can be")
    return tuple(_size(value) for value in values)


def _storages(value: Any) -> list[_Storage]:
    """Those of every tensor, each key of one dtype only."""
    found: list[_Storage] = []
    _mapped(value, lambda tensor: found.append(tensor.storage))
    dtypes = {storage.key: storage.dtype for storage in found}
    if any(storage.dtype != dtypes[storage.key] for storage in found):
        raise ValueError("a storage of two types")
    return found


def _with_arrays(value: Any, read: Callable[[str], Any]) -> Any:
    """`value` with arrays for tensors. `read` gives the bytes of a storage's key."""

    def array(tensor: _Tensor) -> np.ndarray:
        storage = tensor.storage
        numbers = np.frombuffer(read(storage.key), storage.dtype)
        numbers = numbers[storage.start : storage.start + storage.length][tensor.offset :]
        spans = zip(tensor.shape, tensor.strides, strict=True)
        last = sum((length - 1) * stride for length, stride in spans)
        elements = int(np.prod(tensor.shape, dtype=object))
        # A stride of 0 could make terabytes of one number.
        if elements > len(numbers) or (elements and last >= len(numbers)):
            raise ValueError("a tensor reaches beyond its storage")
        strides = [stride * storage.dtype.itemsize for stride in tensor.strides]
        return np.lib.stride_tricks.as_strided(numbers, tensor.shape, strides, writeable=False)

    return _mapped(value, array)


def _mapped(value: Any, function: Callable[[_Tensor], Any]) -> Any:
    """`value` with `function` of every tensor. Raises ValueError if it is nested too deeply."""
    done: dict[int, Any] = {}  # what is in many places is seen once: it could be 2^20 of them

    def visit(value: Any, depth: int = 0) -> Any:
        if depth > 20:
            raise ValueError("nested too deeply")
        if id(value) not in done:
            if isinstance(value, _Tensor):
                done[id(value)] = function(value)
            elif isinstance(value, dict):
                done[id(value)] = {key: visit(item, depth + 1) for key, item in value.items()}
            elif type(value) in (list, tuple):
                done[id(value)] = type(value)(visit(item, depth + 1) for item in value)
            else:
                return value
        return done[id(value)]

    return visit(value)


# ------------------------------------------------------------------------------------------- out


def encode(tensors: Mapping[str, np.ndarray]) -> bytes:
    """An OrderedDict of tensors as `torch.save` writes it; a function of names and values alone.

    tensors: of a dtype in STORAGES. `torch.load(…, weights_only=True)` reads it.
    """
    arrays = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # stored, not compressed; dated 1980

        def write(name: str, content: Any) -> None:
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), content)

        write("data.pkl", _pickled(tensors))
        write("byteorder", b"little")
        for number, array in enumerate(arrays.values()):
            write(f"data/{number}", array.tobytes())
        write("version", b"3\n")
    return buffer.getvalue()


def _pickled(tensors: Mapping[str, np.ndarray]) -> bytes:
    """`OrderedDict(name → _rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict()))`.

    Written by hand, since `pickle` would import what it names.
    """
    storages = {dtype: name for name, dtype in STORAGES.items()}

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()

    def integer(value: int) -> bytes:
        return b"\x8a\x08" + struct.pack("<q", value)

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(integer, values)) + b"t"

    def tensor(number: int, array: np.ndarray) -> bytes:
        storage = b"(" + text("storage") + f"ctorch\n{storages[array.dtype]}\n".encode()
        storage += text(str(number)) + text("cpu") + integer(array.size) + b"tQ"
        strides = tuple(
            int(np.prod(array.shape[axis + 1 :], dtype=int)) for axis in range(array.ndim)
        )
        view = integer(0) + numbers(array.shape) + numbers(strides)
        return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + view + b"\x89" + empty + b"tR"

    empty = b"ccollections\nOrderedDict\n)R"
    items = (text(name) + tensor(n, array) for n, (name, array) in enumerate(tensors.items()))
    return b"\x80\x02" + empty + b"(" + b"".join(items) + b"u."
