"""Images, labels and archives with any mistake end in pixels or in one line.

    pytest -m slow tests/data/test_any_image.py --seconds=120

tries as many mistakes as there is time for.
"""

import io
import pathlib
import shutil
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image
from support import mutated, pngs
from support.trying import one_line, try_for

from labor_jax.data import folder, image_files
from labor_jax.data.builders import paired
from labor_jax.data.datasets import gta5
from labor_jax.data.image_files import Frame
from labor_jax.data.labels import CAMVID
from labor_jax.util.errors import UserError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

RANDOM = np.random.default_rng(0)
SIZE = (7, 9)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def whole() -> dict[str, bytes]:
    """Files that can be read, by name."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    grey = RANDOM.integers(0, 11, SIZE, np.uint8)
    colour = Image.fromarray(RANDOM.integers(0, 255, (*SIZE, 3), np.uint8))
    deep = Image.fromarray(RANDOM.integers(0, 65535, SIZE, np.uint16))
    found = {
        "colour.png": encoded(colour, "PNG", exif=exif),
        "alpha.png": encoded(colour.convert("RGBA"), "PNG"),
        "deep.png": encoded(deep, "PNG"),
        "colour.jpg": encoded(colour, "JPEG", exif=exif),
        "progressive.jpg": encoded(colour, "JPEG", progressive=True),
        "cmyk.jpg": encoded(colour.convert("CMYK"), "JPEG"),
        "colour.webp": encoded(colour, "WEBP", exif=exif),
        "colour.bmp": encoded(colour, "BMP"),
        "colour.tif": encoded(colour, "TIFF", exif=exif),
        "packed.tif": encoded(colour, "TIFF", compression="tiff_lzw"),
        "deep.tif": encoded(deep, "TIFF"),
        "moving.png": encoded(colour, "PNG", save_all=True, append_images=[colour.rotate(180)]),
    }
    for depth in (1, 2, 4, 8):
        found[f"grey{depth}.png"] = pngs.png(grey.astype(int) % 2**depth, depth, pngs.GREY)
        found[f"palette{depth}.png"] = pngs.png(grey.astype(int) % 2**depth, depth, pngs.PALETTE)
    return found


@st.composite
def chunks(draw: st.DrawFn, source: bytes) -> bytes:
    """A PNG with mistakes inside its chunks, whose checksums fit."""
    parts, at = [], 8
    while at + 12 <= len(source):
        (length,) = struct.unpack(">I", source[at : at + 4])
        parts.append((source[at + 4 : at + 8], source[at + 8 : at + 8 + length]))
        at += 12 + length
    for _ in range(draw(st.integers(1, 3))):
        number = draw(st.integers(0, len(parts) - 1))
        kind, data = parts[number]
        action = draw(st.integers(0, 5))
        if action == 0:
            kind = draw(st.sampled_from([b"eXIf", b"tRNS", b"PLTE", b"iCCP", b"IDAT", b"zTXt"]))
        if action == 1:
            parts.insert(draw(st.integers(0, len(parts))), (kind, data))
        elif action == 2 and len(parts) > 1:
            del parts[number]
        else:
            parts[number] = (kind, draw(mutated.texts(data)))
    return source[:8] + b"".join(pngs.chunk(kind, data) for kind, data in parts)


def mistakes() -> st.SearchStrategy[tuple[str, bytes]]:
    """A name and a file with mistakes; names and contents need not fit."""
    some = []
    for name, data in whole().items():
        some.append(mutated.texts(data))
        if name.endswith(".png"):
            some.append(chunks(data))
    return st.tuples(st.sampled_from(image_files.SUFFIXES), st.one_of(some))


def test_any_mistake_in_an_image_is_pixels_or_one_line(tmp_path, seconds):
    read = [0]

    def check(value: tuple[str, bytes]) -> None:
        path = tmp_path / f"a{value[0]}"
        path.write_bytes(value[1])
        try:
            pixels = image_files.read_image_file(path)
            assert pixels.dtype == np.uint8 and pixels.shape[2:] == (3,)
            assert image_files.image_frame(path, "a").size == pixels.shape[:2]
            read[0] += 1
        except UserError as error:
            one_line(error)
        path.unlink()

    tried = try_for(seconds, mistakes(), check)
    print(f"images: {tried} tried in {seconds:.0f} s, {read[0]} read")
    assert tried > seconds


def test_any_mistake_in_a_label_is_its_numbers_or_one_line(tmp_path, seconds):
    path, read = tmp_path / "a.png", [0]

    def check(value: tuple[tuple[str, bytes], int]) -> None:
        (_, data), orientation = value
        path.write_bytes(data)
        size = SIZE[::-1] if orientation > 4 else SIZE
        try:
            raw = image_files.read_raw_label(path, "a.png")
            assert raw.ndim == 2 and raw.dtype in (np.uint8, np.uint16)
            label = image_files.read_label_file(path, CAMVID, Frame(size, orientation))
            assert label.shape == size and set(np.unique(label)) <= {*range(11), 255}
            read[0] += 1
        except UserError as error:
            one_line(error)

    tried = try_for(seconds, st.tuples(mistakes(), st.integers(1, 8)), check)
    print(f"labels: {tried} tried in {seconds:.0f} s, {read[0]} read")
    assert tried > seconds


def archive() -> bytes:
    """A zip as GTA5's site ships it, in small."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name in ("00001", "00002"):
            made.writestr(f"images/{name}.png", whole()["colour.png"])
            label = pngs.png(RANDOM.integers(0, 34, SIZE[::-1]), 8, pngs.PALETTE)
            made.writestr(f"labels/{name}.png", label, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def test_any_mistake_in_an_archive_of_images_is_samples_or_one_line(tmp_path, seconds, capsys):
    read = [0]

    def check(data: bytes) -> None:
        shutil.rmtree(tmp_path, ignore_errors=True)
        tmp_path.mkdir()
        for name in ("01_images.zip", "01_labels.zip"):
            (tmp_path / name).write_bytes(data)
        files = paired.dataclasses.replace(gta5.FILES, shipped=(("01_images.zip",),) * 2)
        try:
            for samples in paired.make(files, "", str(tmp_path)).values():
                read[0] += len(list(samples))
        except UserError as error:
            one_line(error)
        capsys.readouterr()

    tried = try_for(seconds, mutated.texts(archive()), check)
    with capsys.disabled():
        print(f"archives of images: {tried} tried in {seconds:.0f} s, {read[0]} read")
    assert tried > seconds


@st.composite
def trees(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Paths and what is there: a file, or a link and where it leads."""
    names = st.sampled_from(["a", "b", ".c", "@eaDir", "d.png", "e.jpg", "f.heic", "**", "[x].png"])
    paths = st.lists(names, min_size=1, max_size=3).map("/".join)
    kinds = st.one_of(st.just(""), paths, st.sampled_from([".", "..", "../..", "/nowhere", "a/.."]))
    return draw(st.lists(st.tuples(paths, kinds), max_size=8))


def test_any_tree_of_files_and_links_is_images_or_one_line(tmp_path, seconds):
    good, read = whole()["colour.png"], [0]

    def check(tree: list[tuple[str, str]]) -> None:
        root = tmp_path / "images"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        for name, target in tree:
            path = root / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                pathlib.Path.symlink_to(path, target) if target else path.write_bytes(good)
            except OSError:  # a file is there, or a link leads nowhere
                continue
        try:
            domain = folder.load(str(root), "", CAMVID)
            for index in range(len(domain.ids)):
                domain.read_image(index)
                read[0] += 1
        except UserError as error:
            one_line(error)

    tried = try_for(seconds, trees(), check)
    print(f"trees: {tried} tried in {seconds:.0f} s, {read[0]} images read")
    assert tried > seconds
