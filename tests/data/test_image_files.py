"""What a file is, its content says: labels keep their numbers, images are turned upright."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from support import pngs

from labor_jax.data import checking, folder, image_files
from labor_jax.data.image_files import Frame
from labor_jax.data.labels import ClassTable
from labor_jax.util.errors import UserError

TABLE = ClassTable(("a", "b", "c"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def raw(data):
    return image_files.read_raw_label(io.BytesIO(data), "a.png")


# ---------------------------------------------------------------------------------------- labels


@given(st.data())
def test_a_label_keeps_its_numbers_whatever_their_bits(data):
    depth, colour = data.draw(
        st.sampled_from(
            [(1, pngs.GREY), (2, pngs.GREY), (4, pngs.GREY), (8, pngs.GREY), (16, pngs.GREY)]
            + [(depth, pngs.PALETTE) for depth in (1, 2, 4, 8)]
        )
    )
    size = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    numbers = st.lists(
        st.integers(0, 2**depth - 1), min_size=size[0] * size[1], max_size=size[0] * size[1]
    )
    values = np.array(data.draw(numbers)).reshape(size)
    np.testing.assert_array_equal(raw(pngs.png(values, depth, colour)), values)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_label_that_is_no_png_whatever_its_name_is_told(kind):
    data = encoded(Image.fromarray(np.zeros((4, 6), np.uint8)), kind)
    with pytest.raises(UserError) as told:
        raw(data)
    line = str(told.value)
    assert f"a.png: a label map must be PNG, and this is {kind} by its content" in line
    assert ("changes a label's numbers" in line) == (kind in ("JPEG", "WEBP"))


# ---------------------------------------------------------------------------------- turned images


@given(st.integers(1, 8), st.sampled_from(["PNG", "TIFF", "WEBP"]), st.booleans())
def test_an_image_is_turned_as_its_exif_data_say(tmp_path_factory, orientation, kind, grey):
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    pixels = pixels if grey and kind != "WEBP" else np.stack([pixels] * 3, -1)
    path = tmp_path_factory.mktemp("turned") / "a.png"
    data = encoded(Image.fromarray(pixels), kind, exif=exif(orientation), lossless=True)
    path.write_bytes(data)
    with Image.open(io.BytesIO(data)) as file:
        upright = np.asarray(ImageOps.exif_transpose(file).convert("RGB"))
    np.testing.assert_array_equal(image_files.read_image_file(path), upright)
    assert image_files.image_frame(path, "a") == Frame(upright.shape[:2], orientation)


BROKEN = [
    b"",
    b"Exif",
    b"II*\0\x08\0\0\0\xff\xff",
    b"II*\0\x08\0\0\0\x01\0\x12\x01\x05\0\x01\0\0\0\x1a\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0",  # 6 / 0
    b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0six\0\0\0\0\0",
    b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0\0\0\0\0",  # 99
    b"MM\0*\xff\xff\xff\xff",
]


@given(st.one_of(st.sampled_from(BROKEN), st.binary(max_size=60)))
def test_an_image_with_exif_data_that_nobody_can_read_is_read(tmp_path_factory, data):
    pixels = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    png = encoded(Image.fromarray(pixels), "PNG")
    path = tmp_path_factory.mktemp("exif") / "a.png"
    path.write_bytes(png[:33] + pngs.chunk(b"eXIf", data) + png[33:])
    found = image_files.read_image_file(path)
    assert found.shape == (*image_files.image_frame(path, "a").size, 3)
    assert sorted(found.ravel()) == sorted(pixels.ravel())


@given(st.integers(1, 8), st.booleans(), st.booleans(), st.integers(0, 2**32))
def test_a_label_is_turned_like_its_image_or_refused_where_both_ways_fit(
    tmp_path_factory, orientation, as_stored, square, seed
):
    stored = np.random.default_rng(seed).integers(0, 3, (4, 4 if square else 6), np.uint8)
    shown = image_files.turned(stored, orientation)
    frame = Frame(shown.shape, orientation)
    path = tmp_path_factory.mktemp("label") / "a.png"
    Image.fromarray(stored if as_stored else shown).save(path)
    same_size = stored.shape == shown.shape
    drawn = stored if as_stored else shown
    if same_size and (image_files.turned(drawn, orientation) != drawn).any():
        with pytest.raises(UserError, match="fits it both as it is stored and as it is shown"):
            image_files.read_label_file(path, TABLE, frame)
    else:
        np.testing.assert_array_equal(image_files.read_label_file(path, TABLE, frame), shown)
        turns = as_stored and not same_size
        assert image_files.label_is_turned(path, "a.png", frame) == turns


@given(st.integers(1, 8))
def test_a_label_that_says_itself_how_it_lies_is_turned_by_that(tmp_path_factory, orientation):
    label = np.random.default_rng(orientation).integers(0, 3, (4, 6), np.uint8)
    path = tmp_path_factory.mktemp("label") / "a.png"
    Image.fromarray(label).save(path, exif=exif(orientation))
    shown = image_files.turned(label, orientation)
    for of_image in (1, 3):
        found = image_files.read_label_file(path, TABLE, Frame(shown.shape, of_image))
        np.testing.assert_array_equal(found, shown)


# --------------------------------------------------------------------------------- damaged pixels


@given(st.data())
def test_a_bit_that_was_flipped_among_a_pngs_pixels_is_found(tmp_path_factory, data):
    label = np.random.default_rng(0).integers(0, 3, (20, 30), np.uint8)
    whole = bytearray(encoded(Image.fromarray(label), "PNG"))
    begin = whole.index(b"IDAT") + 4
    bit = data.draw(st.integers(8 * begin, 8 * (len(whole) - 16) - 1))
    whole[bit // 8] ^= 1 << bit % 8
    path = tmp_path_factory.mktemp("flipped") / "a.png"
    path.write_bytes(whole)
    for read in (lambda: raw(bytes(whole)), lambda: image_files.read_image_file(path)):
        with pytest.raises(UserError, match=r"a\.png: unreadable .*checksum"):
            read()


@pytest.mark.parametrize(
    "data",
    [b"\x89PNG\r\n\x1a\n", b"II*\0\x08\0\0\0\0\0", b"MM\0*", b"\xff\xd8\xff\xe0"],
)
def test_an_image_of_which_only_the_beginning_is_right_is_called_damaged(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(UserError) as told:
        image_files.read_image_file(tmp_path / "a.png")
    assert "damaged" in str(told.value) or "Truncated" in str(told.value)
    assert "give another file" not in str(told.value)


def test_pixels_that_are_fractions_are_not_called_no_image(tmp_path):
    cv2.imwrite(str(tmp_path / "a.tiff"), np.ones((4, 6, 3), np.float32))
    with pytest.raises(UserError, match=r"a TIFF image .* numbers of a kind that is not read"):
        image_files.read_image_file(tmp_path / "a.tiff")


# --------------------------------------------------------------------------------- several frames


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF"])
def test_of_several_frames_the_first_is_an_image_and_none_a_label(tmp_path, kind):
    frames = [Image.fromarray(np.full((4, 6), k, np.uint8)) for k in (0, 90, 200)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    (tmp_path / "a.png").write_bytes(data)
    assert image_files.image_frame(tmp_path / "a.png", "a").several
    assert (image_files.read_image_file(tmp_path / "a.png") < 5).all()
    (headers, _) = checking.headers(folder.load(str(tmp_path), "", TABLE))
    assert headers[0].changes == (image_files.FIRST,)
    if kind == "PNG":
        with pytest.raises(UserError, match=r"a\.png: a label map of several frames"):
            raw(data)


# ------------------------------------------------------------------------------------ odd pixels


@pytest.mark.parametrize("value", [-1, 65536, 2**31 - 1])
def test_numbers_of_more_than_sixteen_bits_are_refused(tmp_path, value):
    Image.fromarray(np.full((2, 3), value, np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"more than 16 bits; save it with 8 or 16"):
        image_files.read_image_file(tmp_path / "a.tif")
