"""Files of weights with any mistake end in tensors or in one line.

    pytest -m slow tests/weights/test_any_weights.py --seconds=120

tries as many mistakes as there is time for, for each format.
"""

import json
import pathlib

import numpy as np
import pytest
from hypothesis import strategies as st
from support import mutated
from support.trying import one_line, try_for

from labor_jax.util.errors import UserError
from labor_jax.weights import pretrained, tensor_files

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
DATA = pathlib.Path(__file__).parent / "data"


def tensors() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "conv1.weight": random.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "bn1.weight": random.normal(size=4).astype(np.float16),
        "bn1.num_batches_tracked": np.array(7),
    }


@st.composite
def headers(draw: st.DrawFn, source: bytes) -> bytes:
    """A .safetensors with mistakes in its header, whose length fits."""
    length = int.from_bytes(source[:8], "little")
    header = draw(mutated.jsons(json.dumps(json.loads(source[8 : 8 + length])).encode()))
    return len(header).to_bytes(8, "little") + header + source[8 + length :]


def sources() -> dict[str, tuple[bytes, ...]]:
    safetensors = tensor_files.encode(tensors(), ".safetensors", {"labor_jax": "{}"})
    return {
        ".safetensors": safetensors,
        ".npz": tensor_files.encode(tensors(), ".npz"),
        "zip.pth": (DATA / "torch_zip.pth").read_bytes(),
        "legacy.pth": (DATA / "torch_legacy.pth").read_bytes(),
    }


@pytest.mark.parametrize("kind", [".safetensors", ".npz", "zip.pth", "legacy.pth"])
def test_any_mistake_in_weights_is_tensors_or_one_line(tmp_path, kind, seconds):
    path, read = tmp_path / f"a{kind}", [0]
    source = sources()[kind]
    values = mutated.texts(source)
    if kind == ".safetensors":
        values = st.one_of(values, headers(source))

    def check(data: bytes) -> None:
        path.write_bytes(data)
        for use in (tensor_files.read, pretrained.open_weights, tensor_files.texts):
            try:
                found = use(path)
            except UserError as error:
                one_line(error)
                continue
            if use is tensor_files.read:
                assert all(isinstance(x, np.ndarray) for x in found.tensors.values())
                read[0] += 1

    tried = try_for(seconds, values, check)
    print(f"weights {kind}: {tried} tried in {seconds:.0f} s, {read[0]} read")
    assert tried > seconds
