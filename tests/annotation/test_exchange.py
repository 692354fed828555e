"""Other tools' files: what goes out comes back the same; what was not asked is refused."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from support.annotating import make_run
from support.commands import call
from support.filed import packed

from labor_jax.annotation import exchange, journal
from labor_jax.annotation import queries as q
from labor_jax.data.labels import CAMVID, CITYSCAPES, CITYSCAPES_IDS
from labor_jax.selection.segments import run_pixels
from labor_jax.util import files
from labor_jax.util.errors import UserError

SIZE = (7, 9)


def picture(_):
    return np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)


def queries(kind):
    if kind == "points":
        return [
            q.point_query("deep/a", 1, SIZE, [(0, 0), (2, 3), (6, 8)]),
            q.point_query("b", 1, SIZE, [(5, 1), (0, 7)]),
            q.point_query("empty", 1, SIZE, []),
        ]
    segments = np.zeros(SIZE, np.int32)
    segments[0:2, 0:4], segments[3:7, 5:9], segments[4, 1] = 1, 2, 3
    return [
        q.segment_query("deep/a", 1, SIZE, segments),
        q.segment_query("b", 1, SIZE, np.eye(*SIZE, dtype=np.int32)),
    ]


def whole(query, piece, label, name="ana"):
    where = query[query["kind"]][piece]
    key = "point" if query["kind"] == "points" else "runs"
    return journal.answer(query, piece, label, name, **{key: where})


def make(path, kind):
    path.mkdir()
    q.write_queries(path, 1, queries(kind))
    return path


def answered(path, kind):
    """A run in which most is answered, one piece in two parts, one is unsure, one is open."""
    first, second = queries(kind)[:2]
    said = [whole(first, 0, 3), whole(first, 2, 255), whole(second, 0, 10)]
    if kind == "points":
        said.append(whole(first, 1, 6))
    else:
        runs = first["segments"][1]
        said += [
            journal.answer(first, 1, 1, "ana", runs=runs[:4]),
            journal.answer(first, 1, 8, "ana", runs=runs[4:6]),
        ]
    journal.append(make(path, kind), said, CAMVID)
    return path


def pixels(workdir, image):
    """What each pixel of an image is answered; -1 where it is not."""
    found = np.full(SIZE[0] * SIZE[1], -1)
    for entry in journal.read(workdir, CAMVID):
        if entry["image"] == image:
            found[journal.pixels(entry, SIZE)] = entry["class"]
    return found


@pytest.mark.parametrize("kind", ["points", "segments"])
@pytest.mark.parametrize("name", exchange.FORMATS)
def test_answers_that_go_out_and_come_back_are_the_same(tmp_path, name, kind):
    workdir, other = answered(tmp_path / "one", kind), make(tmp_path / "other", kind)
    assert exchange.export(workdir, tmp_path / "out", name, CAMVID, picture) == 2
    image = np.array(Image.open(tmp_path / "out" / "images" / "deep" / "a.png"))
    np.testing.assert_array_equal(image, picture(""))
    done = exchange.take_in(other, tmp_path / "out", name, CAMVID, "ben")
    assert done.tally.left_out == {} and done.known == 0
    for image in ("deep/a", "b"):
        expected = pixels(workdir, image)
        if name == "png":  # which has no way to say "unsure"
            expected[expected == 255] = -1
        np.testing.assert_array_equal(pixels(other, image), expected)
        assert {-1, 3 if image == "deep/a" else 10} <= set(expected.tolist())
    assert {a["annotator"] for a in journal.read(other, CAMVID)} == {"ben"}
    again = exchange.take_in(other, tmp_path / "out", name, CAMVID, "ben")
    assert again.taken == [] and again.known > 0 and again.tally.left_out == {}


@pytest.mark.parametrize("kind", ["points", "segments"])
@pytest.mark.parametrize("name", exchange.FORMATS)
def test_answers_to_another_query_are_refused_with_a_count_and_an_example(tmp_path, name, kind):
    workdir = answered(tmp_path / "one", kind)
    other = tmp_path / "other"
    other.mkdir()
    if kind == "points":
        asked = q.point_query("deep/a", 1, SIZE, [(0, 0), (1, 1)])
    else:
        shifted = np.zeros(SIZE, np.int32)
        shifted[0:2, 2:6] = 1
        asked = q.segment_query("deep/a", 1, SIZE, shifted)
    q.write_queries(other, 1, [asked])
    exchange.export(workdir, tmp_path / "out", name, CAMVID, picture)
    done = exchange.take_in(other, tmp_path / "out", name, CAMVID, "ben")
    what = "point" if kind == "points" and name != "png" else "pixel"
    count, examples = done.tally.left_out.pop((what, "outside of what is asked"))
    outside = (pixels(workdir, "deep/a") >= 0) & ~np.isin(np.arange(63), q.asked_pixels(asked))
    if name == "png":
        outside &= pixels(workdir, "deep/a") != 255
    assert count == outside.sum() and examples[0].startswith("deep/a (")
    assert done.tally.left_out.keys() == {("image", "whose name no image has")}
    assert all(e["class"] == 3 for e in done.taken) and done.taken
    assert set(np.flatnonzero(pixels(other, "deep/a") >= 0)) <= set(q.asked_pixels(asked))
    last = list(exchange.describe(done))[-1]
    assert last.startswith(f"{len(done.taken)} answer") and " taken; left out: " in last


@pytest.mark.parametrize("name", exchange.FORMATS)
def test_wrong_sizes_classes_and_answers_are_refused_with_counts(tmp_path, name):
    workdir = answered(tmp_path / "one", "segments")
    exchange.export(workdir, tmp_path / "out", name, CAMVID, picture)
    small = tmp_path / "small"
    q.write_queries(small, 1, [q.point_query("deep/a", 1, (5, 5), [(0, 0)])])
    done = exchange.take_in(small, tmp_path / "out", name, CAMVID, "ben")
    assert done.taken == []
    ((example,),) = [
        some.examples for why, some in done.tally.left_out.items() if why[1] == "of another size"
    ]
    assert example.endswith("is 9x7, not 5x5")

    otherwise = make(tmp_path / "otherwise", "segments")
    journal.append(otherwise, [whole(queries("segments")[0], 0, 5)], CAMVID)
    done = exchange.take_in(otherwise, tmp_path / "out", name, CAMVID, "ben")
    assert done.tally.left_out == {("pixel", "answered otherwise before"): (8, ("deep/a",))}
    assert (
        pixels(otherwise, "deep/a")[run_pixels(queries("segments")[0]["segments"][0])] == 5
    ).all()

    if name != "png":
        for file in (tmp_path / "out").rglob("*"):
            if file.suffix in (".json", ".xml"):
                file.write_text(file.read_text().replace('"road"', '"rode"'))
        done = exchange.take_in(
            make(tmp_path / "new", "segments"), tmp_path / "out", name, CAMVID, "b"
        )
        told = "'rode' in deep/a (nearest: 'road')"
        assert done.tally.left_out == {("shape", "of an unknown class"): (1, (told,))}


def test_values_of_no_class_in_a_label_map_are_refused(tmp_path):
    workdir = make(tmp_path / "run", "segments")
    label = np.full(SIZE, 255, np.uint8)
    label[0, 0], label[1, 1] = 77, 2
    (tmp_path / "maps" / "deep").mkdir(parents=True)
    Image.fromarray(label).save(tmp_path / "maps" / "deep" / "a.png")
    done = exchange.take_in(workdir, tmp_path / "maps", "png", CAMVID, "ben")
    told = "'value 77' in deep/a"
    assert done.tally.left_out == {("shape", "of an unknown class"): (1, (told,))}
    assert [(e["class"], e["runs"]) for e in done.taken] == [(2, [10, 1])]


def test_cityscapes_label_ids_go_out_and_come_back(tmp_path):
    workdir, other = make(tmp_path / "one", "segments"), make(tmp_path / "other", "segments")
    journal.append(workdir, [whole(queries("segments")[0], 0, 13)], CITYSCAPES)
    exchange.export(workdir, tmp_path / "out", "png", CITYSCAPES, picture, ids="label")
    label = np.array(Image.open(tmp_path / "out" / "labels" / "deep" / "a.png"))
    assert set(label.ravel().tolist()) == {CITYSCAPES_IDS[13], 255}
    asked = np.array(Image.open(tmp_path / "out" / "asked" / "deep" / "a.png"))
    assert asked.max() == 3 and (asked > 0).sum() == len(q.asked_pixels(queries("segments")[0]))
    (entry,) = exchange.take_in(other, tmp_path / "out", "png", CITYSCAPES, "b", ids="label").taken
    assert entry["class"] == 13
    with pytest.raises(UserError, match="--ids"):
        exchange.take_in(other, tmp_path / "out", "png", CAMVID, "b", ids="label")


@pytest.mark.parametrize("name", exchange.FORMATS)
def test_damaged_files_and_wrong_places_are_told_in_one_line(tmp_path, name):
    workdir = make(tmp_path / "run", "points")
    with pytest.raises(UserError, match=r"--file: .*nothing does not exist"):
        exchange.take_in(workdir, tmp_path / "nothing", name, CAMVID, "ben")
    folder = tmp_path / "folder"
    folder.mkdir()
    for file in ("annotations.xml", "annotations.json", "tasks.json", "a.png"):
        (folder / file).write_bytes(b"{]")
    with pytest.raises(UserError, match=f"cannot be read as {name}"):
        exchange.take_in(workdir, folder, name, CAMVID, "ben")
    with pytest.raises(UserError, match=r"--out: .* is not empty"):
        exchange.export(workdir, folder, name, CAMVID, picture)
    assert not journal.path(workdir).exists()


# ------------------------------------------------------------------- files that others wrote


def take(tmp_path, name, text, kind="segments", file="file"):
    workdir = make(tmp_path / "run", kind)
    path = tmp_path / file
    path.write_text(text)
    done = exchange.take_in(workdir, path, name, CAMVID, "ben")
    return done, pixels(workdir, "deep/a").reshape(SIZE)


def test_cvats_documented_elements_are_read(tmp_path):
    # As the documentation of "CVAT for images 1.1" has them.
    text = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><id>4</id></task></meta>
  <image id="0" name="deep/a.png" width="9" height="7">
    <mask label="car" source="manual" occluded="0" rle="1, 2, 1, 4" left="0" top="0" width="4"
      height="2" z_order="0"></mask>
    <polygon label="road" source="manual" occluded="0"
      points="5.00,3.00;9.00,3.00;9.00,7.00;5.00,7.00" z_order="0"></polygon>
    <points label="sky" occluded="0" source="manual" points="1.50,4.50;0.20,0.10"></points>
  </image>
</annotations>"""
    done, found = take(tmp_path, "cvat", text)
    expected = np.full(SIZE, -1)
    expected[0, 1:3] = expected[1, 0:4] = 8
    expected[3:7, 5:9] = 3
    np.testing.assert_array_equal(found, expected)
    assert done.tally.left_out["point", "outside of what is asked"].number == 2


def test_cvats_several_points_in_one_element_are_read(tmp_path):
    text = """<annotations><image id="0" name="deep/a.png" width="9" height="7">
    <points label="sky" points="0.99,0.01;3.50,2.50"/><points label="tree" points="9.00,6.50"/>
    </image></annotations>"""
    done, found = take(tmp_path, "cvat", text, "points")
    assert (found[0, 0], found[2, 3], found[6, 8]) == (0, 0, -1)
    assert done.tally.left_out["point", "outside of what is asked"].number == 1


def test_cocos_column_major_runs_packed_runs_and_polygons_are_read(tmp_path):
    mask = np.zeros(SIZE, bool)
    mask[0:2, 0:4] = True
    columns = "".join("1" if v else "0" for v in mask.T.ravel())
    counts = [len(run) for run in columns.replace("01", "0 1").replace("10", "1 0").split()]
    counts = [0, *counts]  # the first pixel is inside
    value = {
        "images": [{"id": 7, "file_name": "a.png", "height": 7, "width": 9}],
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "road"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 7,
                "category_id": 1,
                "iscrowd": 1,
                "segmentation": {"size": [7, 9], "counts": packed(counts)},
            },
            {
                "id": 2,
                "image_id": 7,
                "category_id": 2,
                "iscrowd": 0,
                "segmentation": [[5, 3, 9, 3, 9, 7, 5, 7]],
            },
        ],
    }
    files.write_json(tmp_path / "value.json", value)
    text = (tmp_path / "value.json").read_text()
    done, found = take(tmp_path, "coco", text)
    assert (found[mask] == 8).all() and (found[3:7, 5:9] == 3).all() and done.tally.left_out == {}


def test_labelmes_masks_points_and_polygons_are_read(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.array([[0, 255, 255, 0], [255] * 4], np.uint8)).save(buffer, "PNG")
    value = {
        "version": "5.4.1",
        "flags": {},
        "shapes": [
            {
                "label": "car",
                "points": [[0.0, 0.0], [3.0, 1.0]],
                "shape_type": "mask",
                "mask": base64.b64encode(buffer.getvalue()).decode(),
            },
            {
                "label": "road",
                "points": [[5.0, 3.0], [9.0, 3.0], [9.0, 7.0], [5.0, 7.0]],
                "shape_type": "polygon",
            },
            {"label": "sky", "points": [[1.0, 1.0], [2.0, 2.0]], "shape_type": "line"},
        ],
        "imagePath": "a.png",
        "imageData": None,
        "imageHeight": 7,
        "imageWidth": 9,
    }
    files.write_json(tmp_path / "value.json", value)
    text = (tmp_path / "value.json").read_text()
    _, found = take(tmp_path, "labelme", text, file="a.json")
    expected = np.full(SIZE, -1)
    expected[0, 1:3] = expected[1, 0:4] = 8
    expected[3:7, 5:9] = 3
    np.testing.assert_array_equal(found, expected)


# ----------------------------------------------------------------------------------- the program


def test_the_commands_export_and_import(tmp_path):
    asked = q.point_query("a", 1, SIZE, [(2, 3)])
    workdir = make_run(tmp_path / "run", {"a": picture("")}, [asked])

    def annotate(*flags):
        return call("annotate", *flags, f"--workdir={workdir}")

    out = tmp_path / "tasks"
    told = annotate("export", "--format=cvat", f"--out={out}")
    assert told.stdout == f"1 images with what is asked of them: {out}\n", told.stderr
    file = out / "annotations.xml"
    assert 'label="?"' in file.read_text()
    file.write_text(file.read_text().replace('label="?"', 'label="car"'))
    told = annotate("import", "--format=cvat", f"--file={file}", "--annotator=ana")
    assert told.stdout == "1 answer taken; nothing left out\n", told.stderr
    assert [(a["class"], a["annotator"]) for a in journal.read(workdir, CAMVID)] == [(8, "ana")]
    told = annotate("export", "--format=cvat")
    assert told == (2, "", "error: --out is missing; give --out=…\n")
    told = annotate("import", "--file=x")
    assert told == (2, "", "error: --format is missing; give --format=…\n")


# --------------------------------------------------------------------------------- whole images


@pytest.mark.parametrize("kind", ["points", "segments"])
@pytest.mark.parametrize("name", exchange.FORMATS)
def test_a_whole_export_has_answers_and_elsewhere_predictions(tmp_path, name, kind):
    workdir, out = answered(tmp_path / "one", kind), tmp_path / "out"
    predicted = np.random.default_rng(1).integers(0, 11, SIZE).astype(np.uint8)
    names = ("deep/a", "b", "nothing/asked")
    wholes = (out, name, CAMVID, [(image, picture(image), predicted) for image in names])
    assert exchange.export_whole(workdir, *wholes, {"ben": 0.0}) == 3
    other = tmp_path / "other"
    other.mkdir()
    one = np.ones(SIZE, np.int32)
    q.write_queries(other, 1, [q.segment_query(image, 1, SIZE, one) for image in names])
    done = exchange.take_in(other, out, name, CAMVID, "ben")
    assert done.tally.left_out == {}
    for image in names:
        given = pixels(workdir, image)
        expected = np.where((given == -1) | (given == 255), predicted.ravel(), given)
        np.testing.assert_array_equal(pixels(other, image), expected)
    assert (pixels(workdir, "deep/a") != predicted.ravel()).any()


def test_answers_of_a_person_who_is_not_trusted_are_not_in_a_whole_export(tmp_path):
    workdir, out = answered(tmp_path / "one", "segments"), tmp_path / "out"
    sky = np.zeros(SIZE, np.uint8)
    wholes = (out, "png", CAMVID, [("b", picture(""), sky)])
    exchange.export_whole(workdir, *wholes, {"ana": 0.0})
    np.testing.assert_array_equal(np.array(Image.open(out / "labels" / "b.png")), sky)


# ---------------------------------------------------------------------- images that went, and --out


@pytest.mark.parametrize("name", exchange.FORMATS)
def test_an_image_that_went_is_left_out_and_one_that_fails_leaves_no_half_output(tmp_path, name):
    workdir, out = make(tmp_path / "run", "points"), tmp_path / "out"

    def broken(image):
        if image == "b":
            raise UserError("b.png: unreadable image; replace or remove it")
        return picture(image)

    with pytest.raises(UserError, match=r"b\.png: unreadable"):
        exchange.export(workdir, out, name, CAMVID, broken)
    assert not out.exists()
    there = {"is_there": lambda image: image != "b"}
    assert exchange.export(workdir, out, name, CAMVID, broken, **there) == 1
    assert [path.name for path in (out / "images").rglob("*.png")] == ["a.png"]


def test_an_export_goes_neither_into_the_run_nor_into_its_images(tmp_path):
    workdir, photos = make(tmp_path / "run", "points"), tmp_path / "photos"
    photos.mkdir()
    for out in (workdir / "tasks", photos / "tasks", tmp_path / "photos" / ".." / "photos" / "x"):
        with pytest.raises(UserError, match=r"^--out: .* which is read"):
            exchange.export(workdir, out, "png", CAMVID, picture, reads=[photos])
        assert not out.exists()
