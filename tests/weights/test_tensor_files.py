"""Files of tensors are read exactly, and whatever is in them, nothing else happens."""

import io
import os
import pathlib
import pickle
import struct
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labor_jax.util.errors import UserError
from labor_jax.weights import tensor_files

DATA = pathlib.Path(__file__).parent / "data"  # written by PyTorch 2.13
BASE = np.arange(24, dtype=np.float32).reshape(4, 6)
EXPECTED = {
    "conv.weight": np.arange(36, dtype=np.float32).reshape(2, 2, 3, 3) / 8,
    "transposed": BASE.T[1:4, ::2],
    "tied": BASE[2],
    "half": np.array([0.5, -1.25], np.float16),
    "bfloat16": np.array([0.5, -1.25], jnp.bfloat16),
    "double": np.array([1, 3]) / 3,
    "count": np.array(7),
    "empty": np.zeros((0, 3), np.float32),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


def read(folder: pathlib.Path, data: bytes) -> dict[str, np.ndarray]:
    (folder / "file").write_bytes(data)
    return tensor_files.read(folder / "file").tensors


def refusal(folder: pathlib.Path, data: bytes) -> str:
    with pytest.raises(UserError) as error:
        read(folder, data)
    message = str(error.value)
    assert message.startswith(str(folder / "file")) and "\n" not in message
    return message


def assert_same(ours: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(ours) == list(expected)
    for name, value in expected.items():
        assert ours[name].dtype == value.dtype and ours[name].shape == value.shape, name
        np.testing.assert_array_equal(ours[name], value)


def contents(path: pathlib.Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("layout", ["zip", "legacy"])
def test_what_pytorch_wrote_is_read_as_it_was(layout):
    tensors, beside = tensor_files.read(DATA / f"torch_{layout}.pth")
    assert beside == ("epoch", "best")
    assert_same(tensors, EXPECTED)


@pytest.mark.parametrize("suffix", tensor_files.WRITTEN)
def test_a_file_comes_back_bit_for_bit_and_is_a_function_of_its_tensors(folder, suffix):
    tensors = {name: EXPECTED[name] for name in sorted(EXPECTED) if name != "bfloat16"}
    data = tensor_files.encode(tensors, suffix)
    assert data == tensor_files.encode(tensors, suffix)
    ours = read(folder, data)
    assert_same({name: ours[name] for name in tensors}, tensors)
    assert len(ours) == len(tensors)


def test_safetensors_of_bfloat16_are_read(folder):
    header = b'{"x":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    value = np.array([0.5, -1.25], jnp.bfloat16)
    data = struct.pack("<Q", len(header)) + header + value.tobytes()
    assert_same(read(folder, data), {"x": value})


def test_safetensors_are_known_whatever_the_length_of_their_header(folder):
    """Their first bytes, which are that length, may be those of a pickle (128) or of a zip."""
    for length in (*range(1, 257, 8), 19_191):
        tensors = {"x" * length: np.arange(3, dtype=np.float32)}
        assert_same(read(folder, tensor_files.encode(tensors, ".safetensors")), tensors)


# ---------------------------------------------------------------------------------------- hostile


class Touch:
    """Pickled, it creates a file when it is unpickled."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def legacy(*pickles: bytes) -> bytes:
    start = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    return b"".join([pickle.dumps(value, 2) for value in start]) + b"".join(pickles)


def test_a_malicious_pickle_does_nothing_and_is_told_by_what_it_asks(folder):
    victim = folder / "victim"
    for protocol, told in ((2, "asks for posix.system"), (4, "needs pickle's FRAME")):
        attack = pickle.dumps({"conv1.weight": Touch(victim)}, protocol)
        for data in (zipped({"a/data.pkl": attack}), legacy(attack), attack):
            assert told in refusal(folder, data)
            assert not victim.exists()
    pickle.loads(attack)
    assert victim.exists(), "the attack is real"


@pytest.mark.parametrize(
    "program",
    [
        b"cbuiltins\neval\n(X\x01\x00\x00\x001tR.",
        b"ctorch.hub\nload\n)R.",
        b"ccollections\nOrderedDict.fromkeys\n)R.",  # a dotted name
        b"(S'ls'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nX\x02\x00\x00\x00lso.",  # OBJ
        b"ccollections\nOrderedDict\n)\x81.",  # NEWOBJ
        b"\x82\x01.",  # EXT1
        b"\x8c\x02os\x8c\x06system\x93.",  # STACK_GLOBAL
        b"ctorch\nFloatStorage\n}b.",  # BUILD
        b"]r\xff\xff\xff\x7f.",  # a memo of 2^31
        b"\x96\xff\xff\xff\xff\xff\xff\x00\x00.",  # BYTEARRAY8 of 2^48
        b"}" + b"(" * 200_000 + b"t" * 200_000 + b"Ns.",  # a key nested deeply
        b"}(" + b"(" * 200_000 + b"t" * 200_000 + b"Nu.",
        b"})q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"Ns.",  # a key of 2^60 parts
        b"ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aNsb.",  # BUILD of a function
        b"]" * 5000 + b"a" * 4999 + b".",
        b"]q\x00h\x00a.",  # a list in itself
        b"]q\x00" + b"".join(b"](" + b"h%c" % i * 50 + b"eq%c" % (i + 1) for i in range(18)) + b".",
        b"}q\x00X\x01\x00\x00\x00ah\x00s.",  # a dict in itself
        b"X\x01\x00\x00\x00aQ.",  # a storage that is a string
        b"0.",
        b"",
    ],
)
def test_a_pickle_that_is_no_state_dict_is_one_line(folder, program):
    refusal(folder, zipped({"a/data.pkl": b"\x80\x02" + program}))
    refusal(folder, legacy(b"\x80\x02" + program))


def one_tensor(offset, shape, strides, count, storage=b"FloatStorage") -> bytes:
    """A pickle of {"x": a tensor}."""

    def plain(value):
        return pickle.dumps(value, 2)[2:-1]

    return (
        b"\x80\x02}X\x01\x00\x00\x00xctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage"
        b"ctorch\n" + storage + b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + plain(count)
        + b"tQ" + plain(offset) + plain(shape) + plain(strides) + b"\x89NtRs."
    )  # fmt: skip


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "count"),
    [
        (0, (5,), (1,), 4),
        (1, (4,), (1,), 4),
        (0, (2, 2), (3, 1), 4),
        (0, (2**40, 2**40), (0, 0), 4),
        (0, (4,), (-1,), 4),
        (-1, (2,), (1,), 4),
        (0, (-1,), (1,), 4),
        (0, (2**62, 2**62, 4), (1, 1, 1), 4),
        (0, (4, 1), (1,), 4),
        (0, (1,) * 33, (1,) * 33, 4),
        (0, 4, 1, 4),
        (0, (4.0,), (1,), 4),
        (0, (5,), (1,), 5),
        (None, (4,), (1,), 4),
    ],
)
def test_a_tensor_sees_nothing_beyond_its_storage(folder, offset, shape, strides, count):
    numbers = np.arange(4, dtype=np.float32).tobytes()
    good = zipped({"a/data.pkl": one_tensor(0, (2, 2), (1, 2), 4), "a/data/0": numbers})
    np.testing.assert_array_equal(read(folder, good)["x"], [[0, 2], [1, 3]])
    pickled = one_tensor(offset, shape, strides, count)
    refusal(folder, zipped({"a/data.pkl": pickled, "a/data/0": numbers}))


def test_a_tensor_is_no_storage(folder):
    """A transposed one would give strides that lie beyond what it is a view of."""
    inner = one_tensor(0, (2, 2), (1, 2), 4)[len(b"\x80\x02}X\x01\x00\x00\x00x") : -len(b"s.")]
    view = b"(" + inner + b"K\x00K\x02\x85K\x02\x85\x89NtR"
    pickled = b"\x80\x02}X\x01\x00\x00\x00xctorch._utils\n_rebuild_tensor_v2\n" + view + b"s."
    refusal(folder, zipped({"a/data.pkl": pickled, "a/data/0": bytes(16)}))


def test_a_legacy_tensor_whose_numbers_do_not_come_is_refused(folder):
    pickled, numbers = one_tensor(0, (4,), (1,), 4), struct.pack("<q", 4) + bytes(16)
    for keys in ([], ["1"], ["0", "1"], {"0": 1}, "0", None):
        refusal(folder, legacy(pickled + pickle.dumps(keys, 2) + numbers))
    many = one_tensor(0, (4,), (1,), 2**40) + pickle.dumps(["0"], 2)
    refusal(folder, legacy(many + struct.pack("<q", 2**40) + bytes(16)))


@pytest.mark.parametrize("count", [-1, 5, 2**62])
def test_a_legacy_storage_longer_than_its_file_is_refused(folder, count):
    pickled = one_tensor(0, (4,), (1,), 4) + pickle.dumps(["0"], 2)
    numbers = np.arange(4, dtype=np.float32).tobytes()
    assert len(read(folder, legacy(pickled + struct.pack("<q", 4) + numbers))["x"]) == 4
    refusal(folder, legacy(pickled + struct.pack("<q", count) + numbers))


def test_a_state_dict_that_python_2_wrote_is_read(folder):
    """A list of pairs for the OrderedDict, byte strings, and a storage that is part of another."""
    pickled = (
        b"\x80\x02ccollections\nOrderedDict\n(]q\x00]q\x01(U\x01xq\x02ctorch._utils\n_rebuild_tensor\n"
        b"((U\x07storagectorch\nFloatStorage\nU\x03140U\x06cuda:0K\x06(U\x03141K\x02K\x04ttQ"
        b"K\x01K\x03\x85\x8a\x01\x01\x85tReatR."
    )
    numbers = struct.pack("<q", 6) + np.arange(6, dtype=np.float32).tobytes()
    data = legacy(pickled, pickle.dumps(["140"], 2), numbers)
    np.testing.assert_array_equal(read(folder, data)["x"], [3, 4, 5])


def test_strange_archives_are_refused(folder):
    entries = contents(DATA / "torch_zip.pth")
    root = next(iter(entries)).split("/")[0]
    assert "big-endian" in refusal(folder, zipped(entries | {f"{root}/byteorder": b"big"}))
    assert "compressed" in refusal(folder, zipped(entries, zipfile.ZIP_DEFLATED))
    refusal(folder, zipped({name: data for name, data in entries.items() if "data/" not in name}))
    refusal(folder, zipped(entries | {"other/data.pkl": entries[f"{root}/data.pkl"]}))
    refusal(folder, zipped({}))
    with pytest.warns(UserWarning, match="Duplicate name"):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, data in [*entries.items(), *entries.items()]:
                archive.writestr(name, data)
    assert "one name" in refusal(folder, buffer.getvalue())
    assert "big-endian" in refusal(
        folder, legacy(b"").replace(b"\x88", b"\x89") + pickle.dumps({}, 2)
    )


def test_a_checkpoint_of_several_networks_is_not_guessed_at(folder):
    one = one_tensor(0, (4,), (1,), 4).removeprefix(b"\x80\x02").removesuffix(b".")
    two = b"\x80\x02}(X\x04\x00\x00\x00netG" + one + b"X\x04\x00\x00\x00netD" + one + b"u."
    message = refusal(folder, zipped({"a/data.pkl": two, "a/data/0": bytes(16)}))
    assert "netG, netD" in message
    refusal(folder, zipped({"a/data.pkl": b"\x80\x02}."}))


def test_a_file_that_is_not_there_or_of_another_kind_is_named(folder):
    with pytest.raises(UserError, match=r"absent\.npz: no such file"):
        tensor_files.read(folder / "absent.npz")
    with pytest.raises(UserError, match="no such file"):
        tensor_files.read(folder)
    for content in (b"", b"PK\3\4 cut short", b"something else", b"\x80\x02", b"\0" * 100):
        assert "not a whole file of weights" in refusal(folder, content)
    objects = io.BytesIO()
    np.savez(objects, x=np.array([{}], object))
    refusal(folder, objects.getvalue())


def damaged(data: bytes) -> st.SearchStrategy[bytes]:
    """`data` with a byte changed, or cut off, or with bytes left out."""
    places = st.integers(0, len(data) - 1)
    flipped = st.builds(
        lambda at, byte: data[:at] + bytes([data[at] ^ byte]) + data[at + 1 :],
        places,
        st.integers(1, 255),
    )
    cut = st.builds(lambda at: data[:at], places)
    shortened = st.builds(lambda at, n: data[:at] + data[at + n :], places, st.integers(1, 40))
    return st.one_of(flipped, flipped, cut, shortened)


@given(damaged((DATA / "torch_zip.pth").read_bytes()))
def test_a_damaged_archive_gives_what_was_in_it_or_one_line(folder, data):
    try:
        tensors = read(folder, data)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert_same(tensors, EXPECTED)  # every entry has a checksum


@given(damaged((DATA / "torch_legacy.pth").read_bytes()))
def test_a_damaged_legacy_file_gives_tensors_or_one_line(folder, data):
    try:
        for tensor in read(folder, data).values():
            tensor.copy()
    except UserError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@given(data=st.data())
def test_a_damaged_file_of_another_kind_gives_tensors_or_one_line(folder, suffix, data):
    whole = {"conv.weight": EXPECTED["conv.weight"], "count": EXPECTED["count"]}
    try:
        read(folder, data.draw(damaged(tensor_files.encode(whole, suffix))))
    except UserError as error:
        assert "\n" not in str(error)


def test_a_file_of_something_else_is_told_by_what_it_is(folder):
    assert "Git LFS pointer" in refusal(folder, b"version https://git-lfs.github.com/spec/v1\n")
    assert "a web page ('Quota')" in refusal(folder, b"<html><title>Quota</title>")
    whole = zipped({"w/resnet18.pth": b"x", "w/README": b""})
    assert "unpack it, and give w/resnet18.pth in it" in refusal(folder, whole)
    assert "compare its 100 bytes with its site" in refusal(folder, b"\0" * 100)
