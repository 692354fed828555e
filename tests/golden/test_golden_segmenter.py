"""DeepLab-V2 on a "caffe" ResNet-101 computes what the published PyTorch program computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from support import golden

from labor_jax.models.build import build_segmenter
from labor_jax.models.normalise import CAFFE_MEAN_BGR
from labor_jax.models.resize import upsample
from labor_jax.models.segmenter import Segmenter
from labor_jax.train.losses import cross_entropy


def segmenter(dilations: tuple[int, ...], batch_norm: str, dtype: str) -> Segmenter:
    config = ConfigDict(
        {
            "backbone": "resnet101",
            "head": "deeplab_v2",
            "style": "caffe",
            "width": 1.0,
            "output_stride": 8,
            "dilations": dilations,
            "batch_norm": batch_norm,
            "remat": False,
            "dtype": dtype,
        }
    )
    return build_segmenter(config, 19)


def images(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """RGB images that the network's own normalisation turns into the golden input."""
    return (golden.nhwc(golden.rng(key).standard_normal(shape)) + CAFFE_MEAN_BGR)[..., ::-1]


def golden_variables(network: Segmenter, dtype: type) -> dict:
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), dtype)
    return golden.variables(jax.eval_shape(network.init, jax.random.key(0), image), dtype)


def assert_close(ours: jax.Array, reference: np.ndarray, tolerance: float) -> None:
    scale = np.abs(reference).max()
    np.testing.assert_allclose(np.asarray(ours) / scale, reference / scale, atol=tolerance)


@pytest.mark.parametrize("size", [(64, 128), (65, 97)], ids=str)
def test_both_heads_and_their_upsampling_agree_with_the_published_program(size):
    reference = golden.load(f"segmenter_{size[0]}x{size[1]}")
    image = images(f"input{size}", (1, 3, *size)).astype(np.float32)
    four = segmenter((6, 12, 18, 24), "frozen", "float32")
    values = golden_variables(four, np.float32)
    output = four.apply(values, image)
    assert_close(output["main"], golden.nhwc(reference["four_branch_main"]), 1e-4)
    assert_close(output["aux"], golden.nhwc(reference["four_branch_aux"]), 1e-4)

    two = segmenter((6, 12), "frozen", "float32")
    heads = two.bind(values)
    main = heads.main(output["features"])
    assert_close(main, golden.nhwc(reference["two_branch_main"]), 1e-4)
    assert_close(
        upsample(main, size)[..., 0], reference["two_branch_main_upsampled_first_class"], 1e-4
    )


def test_a_training_step_agrees_with_the_published_program():
    reference = golden.load("train_step")
    size = (65, 97)
    labels = golden.rng("train_label").integers(0, 19, (2, *size))
    labels[golden.rng("train_ignore").random((2, *size)) < 0.3] = 255

    with jax.enable_x64(True):
        network = segmenter((6, 12), "sync", "float64")
        image = jnp.asarray(images("train_input", (2, 3, *size)))
        values = golden_variables(network, np.float64)

        def loss(params):
            output, moved = network.apply(
                {**values, "params": params}, image, train=True, mutable=["batch_stats"]
            )
            terms = {}
            for head in ("main", "aux"):
                total, count = cross_entropy(upsample(output[head], size), jnp.asarray(labels))
                terms[head] = total / count
            return terms["main"] + 0.1 * terms["aux"], (output, terms, moved["batch_stats"])

        gradients, (output, terms, moved) = jax.grad(loss, has_aux=True)(values["params"])

    for head in ("main", "aux"):
        assert_close(output[head], golden.nhwc(reference[head]), 1e-5)
        np.testing.assert_allclose(terms[head], reference[f"ce_{head}"], rtol=1e-6)

    moved = moved["backbone"]
    for ours, name in ((moved["bn1"], "bn1"), (moved["layer3_22"]["bn3"], "layer3_22_bn3")):
        assert_close(ours["mean"], reference[f"{name}_running_mean"], 1e-6)
        assert_close(ours["var"], reference[f"{name}_running_var"], 1e-6)

    norms = {
        golden.torch_key("/".join(entry.key for entry in path)): np.linalg.norm(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(gradients)
    }
    ours = [norms[name] for name in reference["grad_names"]]
    np.testing.assert_allclose(ours, reference["grad_norms"], rtol=1e-5)
    stem = gradients["backbone"]["conv1"]["kernel"].transpose(3, 2, 0, 1)
    assert_close(stem, reference["grad_conv1"], 1e-5)
    assert_close(gradients["main"]["branch_0"]["bias"], reference["grad_main_head_bias0"], 1e-5)
