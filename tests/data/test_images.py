"""Palette PNGs and overlays."""

import io

import numpy as np
import pytest
from PIL import Image

from labor_jax.data import images
from labor_jax.data.labels import CAMVID, IGNORE
from labor_jax.util.errors import UserError


def label_map():
    label = np.arange(6 * 8, dtype=np.uint8).reshape(6, 8) % len(CAMVID)
    label[0, :3] = IGNORE
    return label


def test_a_label_map_survives_the_file(tmp_path):
    path = tmp_path / "deep" / "a.png"
    images.write_label_png(path, label_map(), CAMVID)
    np.testing.assert_array_equal(images.read_label_png(path), label_map())


def test_a_label_file_shows_the_colours_of_its_classes(tmp_path):
    images.write_label_png(tmp_path / "a.png", label_map(), CAMVID)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P"
        rgb = np.asarray(image.convert("RGB"))
    assert tuple(rgb[0, 4]) == CAMVID.palette[4]
    assert tuple(rgb[0, 0]) == (0, 0, 0)


def test_a_transparent_index_alone_lets_through_what_lies_beneath():
    encoded = images.encode_palette_png(label_map(), images.label_palette(CAMVID), IGNORE)
    with Image.open(io.BytesIO(encoded)) as image:
        alpha = np.asarray(image.convert("RGBA"))[..., 3]
    np.testing.assert_array_equal(alpha == 0, label_map() == IGNORE)


@pytest.mark.parametrize("damage", ["missing", "truncated", "text", "rgb"])
def test_a_damaged_label_file_is_named(tmp_path, damage):
    path = tmp_path / "street.png"
    images.write_label_png(path, label_map(), CAMVID)
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-30])
    elif damage == "text":
        path.write_text("not an image")
    else:
        path.write_bytes(images.encode_png(np.zeros((4, 4, 3), np.uint8)))
    with pytest.raises(UserError, match=r"street\.png"):
        images.read_label_png(path)


def test_an_overlay_leaves_void_bare_and_mixes_the_rest():
    image = np.full((6, 8, 3), 100, np.uint8)
    mixed = images.overlay(image, label_map(), CAMVID, alpha=0.25)
    np.testing.assert_array_equal(mixed[0, 0], [100, 100, 100])
    expected = 0.75 * 100 + 0.25 * np.array(CAMVID.palette[4])
    np.testing.assert_allclose(mixed[0, 4], expected, atol=0.5)


@pytest.mark.parametrize("encode", [images.encode_png, images.encode_jpeg])
def test_an_encoded_image_decodes_to_nearly_itself(encode):
    ramp = np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    with Image.open(io.BytesIO(encode(ramp))) as image:
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - ramp).mean() < 3
