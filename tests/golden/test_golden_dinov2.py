"""DINOv2 computes what the published code computes, and no trap of it is left open."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from support import golden

from labor_jax.models import positions, vision_transformer
from labor_jax.models.dinov2 import PLAIN, SIZES, WITH_REGISTERS
from labor_jax.models.vision_transformer import Size, VisionTransformer

NETWORKS = {
    "small": VisionTransformer(SIZES["dinov2_small"], PLAIN),
    "reg": VisionTransformer(SIZES["dinov2_small"], WITH_REGISTERS),
    "swiglu": VisionTransformer(Size(96, 2, 3, "swiglu"), PLAIN, levels=1),
}
IN_BLOCKS = {
    "qkv": "attn.qkv",
    "proj": "attn.proj",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
    "w12": "mlp.w12",
    "w3": "mlp.w3",
}


def weight(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """A tensor of the state dict, in PyTorch's layout, by the recipe of these numbers."""
    noise = golden.rng(key).standard_normal(shape)
    if key == "mask_token":
        return np.zeros(shape)
    if key in ("cls_token", "pos_embed", "register_tokens"):
        return 0.5 * noise
    if len(shape) > 1:
        return noise / np.sqrt(np.prod(shape[1:]))
    return 1 + 0.1 * noise if key.endswith(("gamma", "weight")) else 0.1 * noise


@functools.cache
def params(name: str) -> dict[str, np.ndarray]:
    """A network's parameters by path, float64."""
    image = jax.ShapeDtypeStruct((1, 70, 98, 3), np.float32)
    shapes = jax.eval_shape(NETWORKS[name].init, jax.random.key(0), image)["params"]
    found = {}
    for path, leaf in flatten_dict(shapes).items():
        *modules, part = [{"kernel": "weight", "scale": "weight"}.get(n, n) for n in path]
        if modules[:1] == ["blocks"]:
            key = f"{IN_BLOCKS.get(modules[1], modules[1])}.{part}"
            each = [weight(f"blocks.{i}.{key}", leaf.shape[:0:-1]).T for i in range(len(leaf))]
            found["/".join(path)] = np.stack(each)
        elif modules == ["patch_embed"]:
            shape = leaf.shape[-1:] if part == "bias" else (leaf.shape[-1], 3, 14, 14)
            value = weight(f"patch_embed.proj.{part}", shape)
            found["/".join(path)] = value if part == "bias" else value.transpose(2, 3, 1, 0)
        else:
            found["/".join(path)] = weight(".".join([*modules, part]), leaf.shape)
    return found


def tokens(name: str, size: tuple[int, int], network=None, dtype=np.float32, **changed):
    """[levels, T, C] of the image of a size, with some parameters changed."""
    network = (network or NETWORKS[name]).clone(dtype=dtype)
    flat = {path: value.astype(dtype) for path, value in (params(name) | changed).items()}
    image = golden.nhwc(golden.rng(f"input{size}").standard_normal((1, 3, *size))).astype(dtype)
    apply = jax.jit(functools.partial(network.apply, method="tokens"))
    return np.asarray(apply({"params": unflatten_dict(flat, sep="/")}, image))[:, 0]


def distances(name: str, size: tuple[int, int], found: np.ndarray) -> dict[str, float]:
    """How far each of the numbers is from the published one, as a share of the largest."""
    patches = found[:, 1 + NETWORKS[name].kind.registers :]
    ours = {
        "cls": found[-1, 0],
        "patch": patches[-1],
        "last4_first64": patches[..., :64],
        "every37th_first64": patches[-1, ::37, :64],
    }
    prefix = f"{name}_{size[0]}x{size[1]}_"
    theirs = {key.removeprefix(prefix): x for key, x in golden.load("dinov2").items()}
    return {
        key: float(np.abs(value - theirs[key]).max() / np.abs(theirs[key]).max())
        for key, value in ours.items()
        if key in theirs
    }


CASES = [
    ("small", (70, 98), 3),
    ("small", (126, 140), 2),
    ("small", (518, 518), 1),
    ("reg", (70, 98), 3),
    ("reg", (126, 140), 2),
    ("swiglu", (70, 98), 1),
]


@pytest.mark.parametrize(("name", "size", "number"), CASES)
def test_all_tokens_agree_with_the_published_code_in_float32(name, size, number):
    far = distances(name, size, tokens(name, size))
    assert len(far) == number
    assert max(far.values()) < 2e-5, far


@pytest.mark.parametrize(("name", "size", "number"), [c for c in CASES if c[1] != (518, 518)])
def test_all_tokens_agree_with_the_published_code_in_float64(name, size, number):
    with jax.enable_x64(True):
        far = distances(name, size, tokens(name, size, dtype=np.float64))
    assert len(far) == number
    assert max(far.values()) < 1e-6, far


@pytest.mark.parametrize("name", ["small", "reg"])
def test_positions_agree_with_the_published_code(name):
    wanted = golden.load("dinov2")[f"{name}_position_5x7"]
    own = params(name)["pos_embed"][0].astype(np.float32)
    kernel = NETWORKS[name].kind.kernel
    of_patches = positions.resized(jnp.asarray(own[1:].reshape(37, 37, -1)), (5, 7), kernel)
    np.testing.assert_array_equal(own[0], wanted[0])
    np.testing.assert_allclose(np.reshape(of_patches, (35, -1)), wanted[1:], atol=1e-6)


# ------------------------------------------------------------------- each trap, by itself

SWIGLU = NETWORKS["swiglu"]
REGISTERS = NETWORKS["reg"]


def with_kind(network: VisionTransformer, **changed) -> VisionTransformer:
    return network.clone(kind=network.kind._replace(**changed))


def changed_kernel(a: float):
    cubic = positions._cubic
    return lambda x, _: cubic(x, a)


def swapped(x: np.ndarray) -> np.ndarray:
    return np.concatenate(np.split(x, 2, axis=-1)[::-1], axis=-1)


TRAPS = {
    "plain positions by a kernel of a = -0.5": ("swiglu", "_cubic", lambda: changed_kernel(-0.5)),
    "plain positions at centres of n patches": ("swiglu", "OFFSET", lambda: 0.0),
    "plain positions antialiased": ("swiglu", with_kind(SWIGLU, kernel="antialiased"), {}),
    "registers' positions by a kernel of a = -0.75": (
        "reg",
        "_cubic",
        lambda: changed_kernel(-0.75),
    ),
    "registers' positions by the plain kernel": ("reg", with_kind(REGISTERS, kernel="plain"), {}),
    "registers with a position": (
        "reg",
        REGISTERS,
        {"register_tokens": lambda p: p["register_tokens"] + p["pos_embed"][:, 1:5]},
    ),
    "class token without a position": (
        "swiglu",
        SWIGLU,
        {"cls_token": lambda p: p["cls_token"] - p["pos_embed"][:, :1]},
    ),
    "no LayerScale": (
        "swiglu",
        SWIGLU,
        {"blocks/ls2/gamma": lambda p: 1 + 0 * p["blocks/ls2/gamma"]},
    ),
    "epsilon of 1e-5": ("swiglu", with_kind(SWIGLU, epsilon=1e-5), {}),
    "GELU by tanh": ("small", "gelu", lambda: functools.partial(jax.nn.gelu, approximate=True)),
    "SwiGLU's gate last": (
        "swiglu",
        SWIGLU,
        {
            f"blocks/w12/{n}": lambda p, n=n: swapped(p[f"blocks/w12/{n}"])
            for n in ("kernel", "bias")
        },
    ),
    "the last norm left out": (
        "swiglu",
        SWIGLU,
        {
            "norm/scale": lambda p: 1 + 0 * p["norm/scale"],
            "norm/bias": lambda p: 0 * p["norm/bias"],
        },
    ),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_that_is_walked_into_is_seen(trap, monkeypatch):
    name, where, change = TRAPS[trap]
    network, changed = NETWORKS[name], {}
    if not isinstance(where, str):
        network, changed = where, {path: new(params(name)) for path, new in change.items()}
    elif where == "gelu":
        tanh = change()
        monkeypatch.setattr(vision_transformer.nn, "gelu", lambda x, approximate: tanh(x))
    else:
        monkeypatch.setattr(positions, where, change())
    with jax.enable_x64(True):
        found = tokens(name, (70, 98), network, np.float64, **changed)
        assert max(distances(name, (70, 98), found).values()) > 1e-6


def test_registers_stand_between_class_token_and_patches():
    found = tokens("reg", (70, 98))
    misplaced = np.concatenate([found[:, :1], found[:, 5:], found[:, 1:5]], 1)
    assert distances("reg", (70, 98), misplaced)["patch"] > 0.1


def test_swiglu_is_as_wide_as_the_giants():
    assert vision_transformer.swiglu_width(1536) == 4096
    assert params("swiglu")["blocks/w12/kernel"].shape == (2, 96, 512)
