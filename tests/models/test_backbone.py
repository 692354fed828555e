"""Every backbone that is registered is what its file says of it."""

import ast
import dataclasses
import itertools
import pathlib

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from labor_jax import models
from labor_jax.config import default_config
from labor_jax.models import backbone, build
from labor_jax.util.errors import UserError


def features(name: str, **values) -> tuple[jax.ShapeDtypeStruct, ...]:
    """The shapes of the levels of images [2, 40, 72, 3]."""
    known = backbone.find(name)
    model = ConfigDict(default_config().model.to_dict() | {"backbone": name, **values})
    module = known.build(model, None, False, jnp.dtype("float32"))
    image = jax.ShapeDtypeStruct((2, 40, 72, 3), jnp.float32)
    return jax.eval_shape(module.init_with_output, jax.random.key(0), image)[0]


@pytest.mark.parametrize("name", backbone.names())
def test_levels_go_from_fine_to_the_output_stride(name):
    known = backbone.find(name)
    for stride, style in itertools.product(known.output_strides, known.styles):
        levels = features(name, style=style, output_stride=stride)
        # A vision transformer has patches of one size.
        strides = (stride,) * 4 if name.startswith("dinov") else (4, 8, 16, 32)
        for level, usual in zip(levels, strides, strict=True):
            batch, height, width, _ = level.shape
            at = min(usual, stride)
            assert batch == 2
            # Pooling in Caffe's ceil mode adds a row and a column.
            assert height - -(-40 // at) in (0, 1)
            assert width - -(-72 // at) in (0, 1)


@pytest.mark.parametrize("name", backbone.names())
def test_the_layout_that_is_written_names_every_variable_by_a_key_of_its_own(name):
    known = backbone.find(name)
    model = default_config().model
    model.backbone, model.style = name, known.styles[0]
    model.output_stride = known.output_strides[0]
    segmenter = build.build_segmenter(model, 3)
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.uint8)
    variables = jax.eval_shape(segmenter.init, jax.random.key(0), image)
    keys, number = {}, 0
    for kind in variables.values():
        for path, leaf in jax.tree_util.tree_leaves_with_path(kind["backbone"]):
            own = "/".join(entry.key for entry in path)
            found = known.layouts[0].sources(own, leaf.shape)
            keys |= found
            number += len(found)
    assert len(keys) == number
    assert known.layouts[0].network(keys) == name


def test_a_module_that_defines_a_backbone_is_found_without_being_named_elsewhere():
    folder = pathlib.Path(models.__file__).parent
    defining = {
        path.stem
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Backbone"
    }
    found = {backbone.find(name).build.__module__.rpartition(".")[2] for name in backbone.names()}
    assert defining == found


def test_an_unknown_backbone_is_told_what_there_is():
    with pytest.raises(UserError, match=r"model\.backbone is .vgg16.: use one of .*resnet18"):
        backbone.find("vgg16")


def test_a_name_that_another_module_has_registered_is_refused():
    def build(model, axis_name, ordered, dtype):
        raise NotImplementedError

    taken = dataclasses.replace(backbone.find("resnet18"), build=build)
    with pytest.raises(UserError, match=r"'resnet18' is registered by .*resnet and by .*; rename"):
        backbone.register(taken)
    backbone.register(backbone.find("resnet18"))
