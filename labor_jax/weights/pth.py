"""Reads PyTorch's `.pth` files without PyTorch, and runs no code that is in them.

A `.pth` is a pickle, and a pickle is a program that can call any function by its name. Python's own
unpickler reads it here with three limits: it finds only the names in a short table, it does only
the operations in OPERATIONS, and a tensor must lie within its storage. Two layouts are read: the
zip archive (PyTorch 1.6 and later), and the earlier one, several pickles followed by the numbers.
[cited: torch/serialization.py, torch/_utils.py]
"""

import io
import math
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple, NoReturn

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
OPERATIONS = (
    *("PROTO", "STOP", "MARK", "GLOBAL", "REDUCE", "BUILD", "BINPERSID"),
    *("BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
    *("BINUNICODE", "BINSTRING", "SHORT_BINSTRING"),
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "NONE", "NEWTRUE", "NEWFALSE"),
    *("EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "APPEND", "APPENDS"),
    *("EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "TUPLE"),
)
"""Pickle's operations that a state dict needs. Others can reserve memory for missing data."""
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001


class _Storage(NamedTuple):
    """The numbers [N], of one of STORAGES' dtypes, that tensors are views of.

    It is not a plain array, so that a file cannot pass off a tensor as a storage.
    """

    numbers: np.ndarray


FindStorage = Callable[[str, np.dtype, int], np.ndarray]
"""(key, dtype, count) -> a storage's numbers: at least `count`, or fewer in a broken file."""


def decode(data: bytes) -> Any:
    """The object that was given to `torch.save`, with each tensor as a read-only array.

    Args:
      data: the bytes of a whole file.
    Returns:
      Dicts, lists and tuples. Arrays have the file's dtypes and strides.
    Raises:
      UserError: the pickle needs more than tensors.
      Exception: the file is broken; the parser may raise anything.
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

        def find(key: str, dtype: np.dtype, count: int) -> np.ndarray:
            return np.frombuffer(archive.read(f"{root}data/{key}"), dtype)

        return _Reader(io.BytesIO(archive.read(f"{root}data.pkl")), find).load()


def _decode_legacy(data: bytes) -> Any:
    stream = io.BytesIO(data)
    storages: dict[str, np.ndarray] = {}
    room = len(data)

    def reserve(key: str, dtype: np.dtype, count: int) -> np.ndarray:
        """Zeros in place of a storage's numbers, which come after the pickle that mentions it."""
        nonlocal room
        room -= count * dtype.itemsize
        if room < 0:
            raise ValueError("the storages are larger than the file")
        storages[key] = np.zeros(count, dtype)
        return storages[key]

    def load() -> Any:
        return _Reader(stream, reserve).load()

    if load() != LEGACY_MAGIC or load() != LEGACY_PROTOCOL:
        raise UserError("a pickle, but none that torch.save wrote")
    if load()["little_endian"] is not True:
        raise UserError("its numbers are big-endian; save it on another machine")
    value, keys = load(), load()
    if not isinstance(keys, list) or keys != sorted(storages):
        raise ValueError("its storages are not those that its tensors need")
    for key in keys:
        numbers = storages[key].view(np.uint8).data
        (count,) = struct.unpack("<q", stream.read(8))
        if count != len(storages[key]) or stream.readinto(numbers) != len(numbers):
            raise ValueError("a storage is shorter or longer than its tensors say")
    return value


# ------------------------------------------------------------------------------------ the pickle


def _dict(pairs: Iterable[Any] = ()) -> dict[Any, Any]:
    """A dict in place of an OrderedDict; `pairs` are given in files that Python 2 wrote."""
    made: dict[Any, Any] = {}
    for key, value in pairs:
        _set(made, key, value)
    return made


def _set(target: Any, key: Any, value: Any) -> None:
    # Other keys are refused before they are hashed: hashing deeply nested tuples can exhaust the
    # stack.
    if not isinstance(target, dict) or not isinstance(key, str | int):
        raise ValueError("a dict is wanted, of strings or numbers")
    target[key] = value


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> np.ndarray:
    """A tensor, a view of a storage; offset and strides are in elements."""
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor of what is no storage")
    numbers = storage.numbers[_size(offset) :]
    shape, strides = _sizes(shape), _sizes(strides)
    last = sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    elements = math.prod(shape)
    # A stride of 0 could make terabytes out of one number.
    if elements > len(numbers) or (elements and last >= len(numbers)):
        raise ValueError("a tensor reaches beyond its storage")
    in_bytes = [stride * numbers.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(numbers, shape, in_bytes, writeable=False)


def _parameter(tensor: Any, *_: Any) -> np.ndarray:
    if not isinstance(tensor, np.ndarray):
        raise ValueError("a parameter of what is no tensor")
    return tensor


def _size(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**48:
        raise ValueError("a size that none can be")
    return value


def _sizes(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple) or len(values) > 32:
        raise ValueError("a shape that none can be")
    return tuple(_size(value) for value in values)


def _not_done(operation: str) -> Callable[[Any], NoReturn]:
    def refuse(reader: Any) -> NoReturn:
        raise UserError(
            f"it needs pickle's {operation}, which no state dict does; save one by torch.save"
        )

    return refuse


class _Reader(pickle._Unpickler):
    """Python's unpickler with a short list of names and of operations.

    The base class is the unpickler written in Python. The one written in C, `pickle.Unpickler`, has
    no table of operations to shorten, and a single number in a file can make it reserve gigabytes.
    """

    stack: list[Any]
    pop_mark: Callable[[], list[Any]]

    NAMES: ClassVar[dict[str, Any]] = {
        "collections.OrderedDict": _dict,
        "torch._utils._rebuild_parameter": _parameter,
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v2": _tensor,
        **{f"torch.{name}": dtype for name, dtype in STORAGES.items()},
    }

    def __init__(self, stream: io.BytesIO, find: FindStorage) -> None:
        super().__init__(stream, encoding="latin1")  # for strings from Python 2; takes any byte
        self.find, self.storages = find, dict[str, np.ndarray]()

    def find_class(self, module: str, name: str) -> Any:
        if (full := f"{module}.{name}") not in self.NAMES:
            raise UserError(
                f"it asks for {full}, which is not run; in PyTorch, save its state dict alone, a"
                " dict of tensors"
            )
        return self.NAMES[full]

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage. Old PyTorch could save a view of it: (own key, first element, elements)."""
        kind, dtype, key, _, count, *view = pid
        if kind != "storage" or not isinstance(dtype, np.dtype) or not isinstance(key, str):
            raise ValueError("a reference to what is no storage")
        if key not in self.storages:
            self.storages[key] = self.find(key, dtype, _size(count))
        numbers = self.storages[key]
        if numbers.dtype != dtype:
            raise ValueError("a storage of two types")
        start, count = map(_size, view[0][1:]) if view and view[0] else (0, _size(count))
        return _Storage(numbers[start : start + count])

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _set(self.stack[-1], key, value)

    def load_setitems(self) -> None:
        items = self.pop_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            _set(self.stack[-1], key, value)

    def load_build(self) -> None:
        self.stack.pop()  # an OrderedDict's `_metadata`, the versions of modules: not needed
        if not isinstance(self.stack[-1], dict):
            raise UserError("it sets the insides of an object, which is not done")

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **{
            ord(op.code): pickle._Unpickler.dispatch[ord(op.code)]
            if op.name in OPERATIONS
            else _not_done(op.name)
            for op in pickletools.opcodes
        },
        ord(pickle.SETITEM): load_setitem,
        ord(pickle.SETITEMS): load_setitems,
        ord(pickle.BUILD): load_build,
    }
