import pathlib

import numpy as np
import pytest
from PIL import Image

from labor_jax.data import folder, image_files
from labor_jax.data.checking import checked
from labor_jax.data.labels import CAMVID, CITYSCAPES, ClassTable
from labor_jax.util.errors import UserError

Folders = tuple[pathlib.Path, pathlib.Path]


@pytest.fixture
def folders(tmp_path) -> Folders:
    """Two images, 6 wide and 4 high, one in a subfolder, with label maps of class 3."""
    for name in ("a", "sub/b"):
        for kind, pixels in (
            ("images", np.full((4, 6, 3), 9, np.uint8)),
            ("labels", np.full((4, 6), 3, np.uint8)),
        ):
            path = tmp_path / kind / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return tmp_path / "images", tmp_path / "labels"


def load(folders: Folders, table: ClassTable = CAMVID):
    return folder.load(str(folders[0]), str(folders[1]), table)


def told(action) -> str:
    with pytest.raises(UserError) as error:
        action()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_ids_are_relative_paths_without_suffix_in_order(folders):
    assert load(folders).ids == ("a", "sub/b")


def test_an_image_and_its_label_are_read(folders):
    domain = load(folders)
    image, label = domain.read_image(1), domain.read_label(1)
    assert image.shape == (4, 6, 3) and image.dtype == np.uint8 and (image == 9).all()
    assert label.shape == (4, 6) and label.dtype == np.uint8 and (label == 3).all()
    image[:] = 0  # a reader may write into what it got
    assert (domain.read_image(1) == 9).all()


def test_without_a_label_folder_a_domain_is_unlabelled(folders):
    assert folder.load(str(folders[0]), "", CAMVID).read_label is None


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "webp", "bmp", "JPG"])
def test_other_kinds_of_images_are_found(tmp_path, suffix):
    Image.fromarray(np.full((4, 6, 3), 90, np.uint8)).save(tmp_path / f"x.{suffix}")
    domain = folder.load(str(tmp_path), "", CAMVID)
    assert domain.ids == ("x",)
    np.testing.assert_allclose(domain.read_image(0), 90, atol=3)


def test_hidden_and_other_files_are_passed_over(folders):
    (folders[0] / "notes.txt").write_text("hello")
    (folders[0] / "._a.png").write_bytes(b"not an image")
    assert load(folders).ids == ("a", "sub/b")


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "LA"])
def test_grey_palette_and_transparent_images_become_rgb(tmp_path, mode):
    Image.new("RGB", (6, 4), (50, 50, 50)).convert(mode).save(tmp_path / "x.png")
    image = folder.load(str(tmp_path), "", CAMVID).read_image(0)
    assert image.shape == (4, 6, 3) and (np.abs(image.astype(int) - 50) < 3).all()


def test_a_photo_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    pixels = np.zeros((4, 6, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.jpg", exif=exif)
    assert folder.load(str(tmp_path), "", CAMVID).read_image(0).shape == (6, 4, 3)
    assert image_files.image_frame(tmp_path / "x.jpg", "x").size == (6, 4)


def test_palette_labels_are_read_by_index_not_colour(folders):
    label = Image.fromarray(np.full((4, 6), 5, np.uint8), "L").convert("P")
    label = Image.frombytes("P", (6, 4), bytes([5] * 24))
    label.putpalette([255, 0, 0] * 256)
    label.save(folders[1] / "a.png")
    assert (load(folders).read_label(0) == 5).all()


def test_sixteen_bit_labels_are_read_by_value(folders):
    table = ClassTable(("a", "b"), ((0, 0, 0), (1, 1, 1)), values=(3, 1000))
    Image.fromarray(np.full((4, 6), 1000, np.uint16)).save(folders[1] / "a.png")
    assert (load(folders, table).read_label(0) == 1).all()


def test_void_values_become_255(folders):
    Image.fromarray(np.full((4, 6), 11, np.uint8)).save(folders[1] / "a.png")
    assert (load(folders).read_label(0) == 255).all()


def test_a_folder_not_given_is_told():
    assert "images is empty; give" in told(lambda: folder.load("", "", CAMVID))


def test_a_missing_folder_is_named(tmp_path):
    message = told(lambda: folder.load(str(tmp_path / "nowhere"), "", CAMVID))
    assert "nowhere: there is no such folder; give one" in message


def test_an_empty_folder_is_named(tmp_path):
    message = told(lambda: folder.load(str(tmp_path), "", CAMVID))
    assert str(tmp_path) in message and "no files that end in .png, .jpg" in message


def test_images_without_labels_are_counted_and_named(folders):
    for name in "cdefg":
        Image.new("RGB", (6, 4)).save(folders[0] / f"{name}.png")
    message = told(lambda: load(folders))
    assert "5 images without label (c, d, e, …)" in message
    assert f"add the labels to {folders[1]} or remove the images" in message


def test_a_label_without_image_is_named(folders):
    Image.new("L", (6, 4)).save(folders[1] / "extra.png")
    message = told(lambda: load(folders))
    assert "1 label without image (extra)" in message and "remove the label" in message


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("a", "a_train_id"),
        ("aachen_19_leftImg8bit", "aachen_19_gtFine_labelIds"),
        ("Seq05_01", "Seq05_01_L"),
        ("o\u0308", "\u00f6"),
        ("sub/a", "sub/a_mask"),
    ],
)
def test_a_label_of_a_known_ending_is_its_images_and_that_is_told(tmp_path, image, label):
    for name, mode in ((f"images/{image}", "RGB"), (f"labels/{label}", "L")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, (6, 4)).save(tmp_path / f"{name}.png")
    domain = load((tmp_path / "images", tmp_path / "labels"))
    assert domain.ids == (image,) and (domain.read_label(0) == 0).all()
    assert f"paired: 1 label of another name than its image, such as {label} is" in "".join(
        domain.tally.reasons()
    )


def test_labels_that_fit_one_image_are_both_refused_and_shown(folders):
    (folders[1] / "a.png").rename(folders[1] / "a_mask.png")
    Image.new("L", (6, 4)).save(folders[1] / "a_labels.png")
    assert "1 image without label (a)" in (message := told(lambda: load(folders)))
    assert f"to {folders[1]} (nearest to a there: a_labels, a_mask) or remove" in message


def test_of_names_that_nothing_explains_the_nearest_is_shown(folders):
    (folders[1] / "sub" / "b.png").rename(folders[1] / "sub" / "b2.png")
    assert "(nearest to sub/b there: sub/b2)" in told(lambda: load(folders))


def test_two_images_of_one_name_are_told_apart(folders):
    Image.new("RGB", (6, 4)).save(folders[0] / "a.jpg")
    assert "rename one" in told(lambda: load(folders))


def test_a_label_of_another_size_is_told_with_both_sizes(folders):
    Image.new("L", (5, 4)).save(folders[1] / "a.png")
    message = told(lambda: load(folders).read_label(0))
    assert "labels/a.png: the label is 5x4 and its image 6x4; make them the same" in message


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("how", ["truncated", "text", "empty"])
def test_a_broken_file_is_named(folders, kind, how):
    path = folders[kind] / "a.png"
    noise = np.random.default_rng(0).integers(0, 11, (40, 60), np.uint8)
    Image.fromarray(noise).save(path)
    data = path.read_bytes()
    path.write_bytes({"truncated": data[: len(data) // 2], "text": b"hello", "empty": b""}[how])
    domain = load(folders)
    message = told(lambda: (domain.read_label if kind else domain.read_image)(0))
    assert message.startswith(f"{path}: unreadable {'label' if kind else 'image'}")
    assert message.endswith("replace or remove it")


def test_a_value_outside_the_table_is_told(folders):
    Image.fromarray(np.full((4, 6), 77, np.uint8)).save(folders[1] / "a.png")
    message = told(lambda: load(folders).read_label(0))
    assert "labels/a.png: label value 77 is not in the class table; add it" in message


def test_a_label_in_colours_is_told_to_be_of_one_channel(folders):
    Image.new("RGB", (6, 4)).save(folders[1] / "a.png")
    message = told(lambda: load(folders).read_label(0))
    assert "labels/a.png: a label must have a single channel" in message and "RGB" in message


def test_sixteen_bits_of_grey_become_eight_and_fractions_are_refused(tmp_path):
    grey = np.array([[0, 256, 65535], [32768, 255, 511]], np.uint16)
    for name in ("a.png", "b.tiff"):
        Image.fromarray(grey).save(tmp_path / name)
        read = image_files.read_image_file(tmp_path / name)
        np.testing.assert_array_equal(read, np.stack([grey // 256] * 3, axis=-1))
    Image.fromarray(np.ones((2, 3), np.float32)).save(tmp_path / "c.tif")
    assert "c.tif: unreadable image (its pixels are fractions" in told(
        lambda: image_files.read_image_file(tmp_path / "c.tif")
    )


def test_a_label_map_that_was_saved_as_jpeg_is_told_as_such(folders):
    (folders[1] / "a.png").unlink()
    (folders[1] / "a.jpg").touch()
    assert "labels/a.jpg: a label map must be PNG" in told(lambda: load(folders))


@pytest.mark.parametrize("kind", [0, 1])
def test_check_finds_what_only_reading_shows(folders, kind):
    domain = load(folders, CITYSCAPES)
    assert checked(domain, CITYSCAPES).images == len(domain.ids)
    (folders[kind] / "sub/b.png").write_bytes(b"")
    split = checked(domain, CITYSCAPES)
    assert split.images == len(domain.ids) - 1 and len(split.broken) == 1
    assert "left out: 1 image that cannot be used" in split.told[0] and "sub/b.png" in split.told[0]
