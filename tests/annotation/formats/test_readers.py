"""What other tools draw is read as they mean it; what cannot be is told by its id, and why."""

import json
import re
import unicodedata

import numpy as np
import pytest
from PIL import Image
from support import filed
from support.annotating import make_run
from support.commands import call
from support.filed import CORNER, INNER, asked, flat, labels, percent, region, shape, task

from labor_jax.annotation import exchange
from labor_jax.annotation import queries as q
from labor_jax.annotation.formats import runs
from labor_jax.data.labels import CAMVID
from labor_jax.util.errors import UserError

QUARTER = {"car": 24}
STACK = {"road": 18, "car": 6}


def take(tmp_path, name, content, file=None, images=("deep/a", "b"), **options):
    """Takes a file in; what was given to deep/a, or to the first image, and what was left out."""
    path = tmp_path / (file or {"cvat": "a.xml", "labelme": "deep/a.json"}.get(name, "a.json"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    root = tmp_path if name == "labelme" and file is None else path
    return take_in(tmp_path, name, root, images, **options)


def take_in(tmp_path, name, path, images=("deep/a", "b"), **options):
    workdir = asked(tmp_path / "run", images)
    done = exchange.take_in(workdir, path, name, CAMVID, "ben", **options)
    reasons = {" ".join(why): some for why, some in done.tally.left_out.items()}
    # A reason follows "1 file" and "2 files".
    assert not any(re.match("that (is|was|has|lies) ", reason) for _, reason in done.tally.left_out)
    return labels(workdir, images[0]) if done.taken else {}, reasons


def points(corners):
    return ";".join(f"{x:.2f},{y:.2f}" for x, y in corners)


PERCENT = percent(CORNER)
CAR = f'<polygon label="car" points="{points(CORNER)}"/>'


# ----------------------------------------------------------------------------- shapes of each tool


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('<box label="car" xtl="0.00" ytl="0.00" xbr="5.00" ybr="3.00"/>', {"car": 15}),
        ('<box label="car" xtl="5" ytl="3" xbr="9" ybr="5" rotation="90"/>', {"car": 8}),
        ('<ellipse label="tree" cx="6" cy="4" rx="1" ry="3" rotation="90"/>', {"tree": 12}),
        ('<mask label="car" rle="0, 15" left="0" top="0" width="5" height="3"/>', {"car": 15}),
        (CAR, QUARTER),
    ],
)
def test_cvats_shapes_cover_their_pixels(tmp_path, body, expected):
    assert take(tmp_path, "cvat", filed.cvat(body)) == (expected, {})


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (region("polygon", "car", points=PERCENT), QUARTER),
        (region("rectangle", "car", x=50, y=50, width=50, height=50, rotation=0), QUARTER),
        (region("rectangle", "car", x=50, y=25, width=100 / 3, height=25, rotation=90), {"car": 8}),
        (region("ellipse", "car", x=50, y=50, radiusX=100 / 6, radiusY=25), {"car": 12}),
        ({"type": "labels", "value": {"points": percent(CORNER), "labels": ["car"]}}, QUARTER),
    ],
)
def test_label_studios_shapes_cover_their_pixels(tmp_path, result, expected):
    assert take(tmp_path, "labelstudio", json.dumps([task(result)])) == (expected, {})


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        (shape("rectangle", "car", [[5, 3], [0, 0]]), {"car": 15}),
        (shape("rectangle", "car", [[5, 0], [0, 3]]), {"car": 15}),
        (shape("circle", "car", [[6, 4], [6, 6]]), {"car": 12}),
        (shape("oriented_rectangle", "car", CORNER), QUARTER),
    ],
)
def test_labelmes_shapes_cover_their_pixels(tmp_path, drawn, expected):
    assert take(tmp_path, "labelme", filed.labelme(drawn)) == (expected, {})


CHOICE = {"type": "choices", "value": {"choices": ["a"]}}
MASK = np.zeros(filed.SIZE, bool)
MASK[4:, 6:] = True
COUNTS = runs.counts_of(MASK.ravel(order="F"))


@pytest.mark.parametrize(
    "annotation",
    [
        {"bbox": [6, 4, 6, 4], "segmentation": []},
        {"bbox": [6, 4, 6, 4]},
        {"segmentation": [flat(CORNER)]},
        {"segmentation": [CORNER]},
        {"segmentation": flat(CORNER)},
        {"segmentation": [flat(CORNER), flat(INNER)]},
        {"segmentation": {"size": [8, 12], "counts": COUNTS}},
        {"segmentation": {"size": [8, 12], "counts": [float(count) for count in COUNTS]}},
        {"segmentation": {"size": [8, 12], "counts": filed.packed(COUNTS)}},
        {"segmentation": {"size": [8, 12], "counts": str(filed.packed(COUNTS).encode())}},
        {"image_id": "1", "segmentation": [flat(CORNER)]},
        {"image_id": 1.0, "category_id": "6", "segmentation": [flat(CORNER)]},
    ],
)
def test_cocos_dialects_cover_the_same_pixels(tmp_path, annotation):
    assert take(tmp_path, "coco", filed.coco(annotation)) == (QUARTER, {})


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("cvat", filed.cvat('<polyline label="road" points="0,0;4,2"/>' + CAR), "polyline"),
        ("cvat", filed.cvat('<tag label="sky"/>' + CAR), "tag"),
        (
            "labelme",
            filed.labelme(shape("linestrip", "sky", CORNER), shape("polygon", "car", CORNER)),
            "linestrip",
        ),
        (
            "labelstudio",
            json.dumps([task(CHOICE, region("polygon", "car", points=PERCENT))]),
            "choices",
        ),
    ],
)
def test_what_has_no_area_is_counted_by_its_kind(tmp_path, name, content, what):
    given, left = take(tmp_path, name, content)
    ((reason, some),) = left.items()
    assert given == QUARTER and f"without an area ({what})" in reason and some.number == 1


# ---------------------------------------------------------------------------- what lies on top


ABOVE = f'<polygon label="car" points="{points(INNER)}" z_order="1"/>'
BELOW = f'<polygon label="road" points="{points(CORNER)}" z_order="-3"/>'
ROAD, INSIDE = shape("polygon", "road", CORNER), shape("polygon", "car", INNER)


@pytest.mark.parametrize("body", [ABOVE + BELOW, BELOW + ABOVE])
def test_cvats_order_says_what_lies_on_top(tmp_path, body):
    assert take(tmp_path, "cvat", filed.cvat(body)) == (STACK, {})


def test_later_shapes_lie_on_top(tmp_path):
    below, above = (
        {"segmentation": [flat(corners)], "category_id": k}
        for corners, k in ((CORNER, 3), (INNER, 6))
    )
    assert take(tmp_path / "1", "coco", filed.coco(below, above)) == (STACK, {})
    assert take(tmp_path / "2", "labelme", filed.labelme(ROAD, INSIDE)) == (STACK, {})
    both = [
        region("polygon", name, points=percent(corners))
        for name, corners in (("road", CORNER), ("car", INNER))
    ]
    assert take(tmp_path / "3", "labelstudio", json.dumps([task(*both)])) == (STACK, {})
    same = BELOW.replace("-3", "0") + ABOVE.replace('"1"', '"0"')
    assert take(tmp_path / "4", "cvat", filed.cvat(same)) == (STACK, {})


def test_what_an_unknown_class_hides_is_given_none(tmp_path):
    given, left = take(tmp_path, "labelme", filed.labelme(ROAD, INSIDE | {"label": "lorry"}))
    assert given == {"road": 18} and list(left) == ["shape of an unknown class"]


def test_two_people_who_differ_do_not_cover_each_other(tmp_path):
    one, other = (
        task(region("polygon", name, points=percent(corners)))
        for name, corners in (("car", CORNER), ("road", INNER))
    )
    one["annotations"] += other["annotations"]
    given, left = take(tmp_path, "labelstudio", json.dumps([one]))
    assert given == QUARTER and left["pixel answered otherwise before"].number == 6


def test_an_area_answers_the_points_that_it_covers(tmp_path):
    workdir = tmp_path / "run"
    q.write_queries(workdir, 1, [q.point_query("deep/a", 1, filed.SIZE, [(5, 7), (0, 0)])])
    (tmp_path / "a.xml").write_text(filed.cvat(CAR))
    done = exchange.take_in(workdir, tmp_path / "a.xml", "cvat", CAMVID, "ben")
    assert [entry["point"] for entry in done.taken] == [[7, 5]]


# --------------------------------------------------------------------- what does not add up


@pytest.mark.parametrize(
    "body",
    [
        '<mask label="car" rle="0, 5" left="0" top="0" width="5" height="3"/>',
        '<mask label="car" rle="0, 15" left="9" top="0" width="5" height="3"/>',
        f'<mask label="car" rle="{9 * 10**30}" left="0" top="0" width="5" height="3"/>',
        '<polygon label="car" points="1,1;5,1;5,nan"/>',
        '<polygon label="car" points="1,1;500,1;500,300"/>',
        '<polygon label="car" points="1,1;5,1"/>',
        '<polygon label="car" points="1,1;5;3,3"/>',
        '<box label="car" xtl="5" ytl="0" xbr="0" ybr="3"/>',
        '<ellipse label="car" cx="5" cy="5" rx="-1" ry="3"/>',
        '<points label="car" points="1e400,3"/>',
        '<polygon label="car" points="1,1;5,1;5,5" z_order="top"/>',
    ],
)
def test_a_shape_that_does_not_add_up_is_told_by_its_number_and_the_rest_is_taken(tmp_path, body):
    given, left = take(tmp_path, "cvat", filed.cvat(body + CAR))
    some = left.pop("shape whose geometry does not add up")
    assert given == QUARTER and left == {} and some.number == 1
    assert some.examples[0].startswith(f"{body[1:].partition(' ')[0]} 1 in deep/a")


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [8, 12], "counts": COUNTS[:-1]},
        {"size": [8, 12], "counts": filed.packed(COUNTS)[:-1]},
        {"size": [12, 8], "counts": COUNTS},
        {"size": [8, 12], "counts": [*COUNTS[:-1], -4]},
        {"size": [8, 12], "counts": "\ud800€"},
        {"size": [8, 12]},
        {"size": None, "counts": COUNTS},
        [[]],
        [[1, 2, 3]],
        [[1, 1, 2, 1, 2, None]],
        [[1, 1, 2, 1, 2, float("nan")]],
        "mask",
    ],
)
def test_a_segmentation_that_does_not_add_up_is_told_by_its_id(tmp_path, segmentation):
    content = filed.coco({"id": 40, "segmentation": segmentation}, {"segmentation": [flat(CORNER)]})
    given, left = take(tmp_path, "coco", content)
    ((_, some),) = left.items()
    assert given == QUARTER and some.number == 1 and "annotation 40" in some.examples[0]


@pytest.mark.parametrize(
    "more",
    [
        {"category_id": None},
        {"category_id": 99},
        {"image_id": 77},
        {"image_id": None},
        {"image_id": [1]},
    ],
)
def test_an_annotation_of_nothing_is_told_by_its_id(tmp_path, more):
    polygon = {"segmentation": [flat(CORNER)]}
    given, left = take(tmp_path, "coco", filed.coco({"id": 40, **polygon, **more}, polygon))
    ((reason, some),) = left.items()
    assert given == QUARTER and "the file does not have" in reason and "40" in some.examples[0]


def test_an_id_that_stands_for_two_classes_is_refused(tmp_path):
    twice = [{"id": 6, "name": "car"}, {"id": 6, "name": "road"}]
    content = filed.coco({"segmentation": [flat(CORNER)]}, categories=twice)
    given, left = take(tmp_path, "coco", content)
    assert given == {} and list(left) == ["annotation of a category whose id stands twice"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"value": None}, "without an area (polygonlabels)"),
        ({"value": {"points": percent(CORNER), "polygonlabels": []}}, "without a label"),
        ({"value": {"points": percent(CORNER), "polygonlabels": ["a", "b"]}}, "several labels"),
        ({"image_rotation": 90}, "turned in the tool"),
        ({"original_width": "wide"}, "without a size"),
    ],
)
def test_a_region_that_says_nothing_is_told_by_its_id(tmp_path, change, reason):
    good = region("polygon", "car", points=PERCENT)
    content = json.dumps([task(good | change, good)])
    given, left = take(tmp_path, "labelstudio", content)
    ((told, some),) = left.items()
    assert given == QUARTER and reason in told and "r0 of annotation 11" in some.examples[0]


def test_a_cancelled_annotation_is_left_out(tmp_path):
    bad = task(region("polygon", "car", points=PERCENT))
    bad["annotations"][0]["was_cancelled"] = True
    given, left = take(tmp_path, "labelstudio", json.dumps([bad]))
    assert given == {} and list(left) == ["annotation cancelled in the tool"]


# ------------------------------------------------------------------------- files as they come


GOOD = {
    "cvat": filed.cvat(CAR),
    "coco": filed.coco({"segmentation": [flat(CORNER)]}),
    "labelstudio": json.dumps([task(region("polygon", "car", points=PERCENT))]),
    "labelme": filed.labelme(shape("polygon", "car", CORNER)),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", GOOD)
def test_files_of_every_unicode_encoding_are_read(tmp_path, name, encoding):
    assert take(tmp_path, name, GOOD[name].encode(encoding)) == (QUARTER, {})


def test_an_encoding_that_xml_declares_is_read(tmp_path):
    text = filed.cvat(CAR, "ä/a.png").replace("utf-8", "gb18030")
    content = text.encode("gb18030")
    assert take(tmp_path, "cvat", content, images=("ä/a", "b")) == (QUARTER, {})


@pytest.mark.parametrize("name", GOOD)
def test_archives_are_read_as_they_were_downloaded(tmp_path, name):
    file = {"cvat": "annotations.xml", "labelme": "deep/a.json"}.get(name, "instances.json")
    members = {
        f"job/{file}": GOOD[name].encode(),
        "job/images/deep/a.png": b"no picture",
        f"__MACOSX/job/._{file.rpartition('/')[2]}": b"\0\5\x16\7",
        f"job/._{file.rpartition('/')[2]}": b"\0\5\x16\7",
    }
    archive = filed.archived(tmp_path / "job.zip", members)
    assert take_in(tmp_path, name, archive) == (QUARTER, {})


@pytest.mark.parametrize("alone", [True, False])
def test_archives_in_archives_are_opened(tmp_path, alone):
    inner = filed.archived(tmp_path / "task.zip", {"annotations.xml": GOOD["cvat"].encode()})
    for depth in range(2):
        members = {f"{depth}/job.zip": inner.read_bytes(), f"{depth}/images/x.png": b"no picture"}
        inner = filed.archived(tmp_path / f"{depth}.zip", members)
    if not alone:
        (tmp_path / "all").mkdir()
        inner = inner.rename(tmp_path / "all" / "1.zip").parent
    assert take_in(tmp_path, "cvat", inner) == (QUARTER, {})


def test_label_maps_that_have_numbers_of_their_own_are_refused(tmp_path):
    members = {
        "labelmap.txt": b"# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:0,0,142::\n",
        "SegmentationClass/deep/a.png": filed.png(np.ones(filed.SIZE)),
    }
    archive = filed.archived(tmp_path / "masks.zip", members)
    with pytest.raises(UserError, match=r"^--file: labelmap\.txt gives .* numbers of their own"):
        take_in(tmp_path, "png", archive)


def test_archives_that_are_not_opened_are_counted(tmp_path):
    folder = tmp_path / "all"
    folder.mkdir()
    (folder / "a.xml").write_text(GOOD["cvat"])
    (folder / "b.tar.gz").write_bytes(b"\x1f\x8b\x08\0")
    deep = filed.archived(tmp_path / "deep.zip", {"annotations.xml": GOOD["cvat"].encode()})
    for _ in range(5):
        deep = filed.archived(tmp_path / "deep.zip", {"deep.zip": deep.read_bytes()})
    deep.rename(folder / "deep.zip")
    filed.archived(folder / "c.zip", {"task.7z": b"7z", "task.zip": b"PK\3\4"})
    given, left = take_in(tmp_path, "cvat", folder)
    assert given == QUARTER
    assert {reason: some.number for reason, some in left.items()} == {
        "archive that cannot be read": 3,
        "archive too deep in others": 1,
    }


def test_a_folder_of_good_and_bad_files_gives_what_is_good(tmp_path):
    folder = tmp_path / "all"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.json").write_text(GOOD["labelme"])
    (folder / "deep" / "z.json").write_text("[" * 100_000)
    (folder / "classes.json").write_text('["car"]')
    (folder / "._b.json").write_bytes(b"\0\5\x16\7")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "b.json").write_text("{")
    filed.archived(folder / "more.zip", {"b.json": b"{"})
    (folder / "cut.zip").write_bytes((folder / "more.zip").read_bytes()[:40])
    given, left = take_in(tmp_path, "labelme", folder)
    assert given == QUARTER
    assert {reason: some.number for reason, some in left.items()} == {
        "archive that cannot be read": 1,
        "file of another format": 1,
        "file not in JSON": 2,
    }


def test_labelmes_older_files_are_read(tmp_path):
    old = json.loads(GOOD["labelme"])
    picture = filed.png(np.zeros(filed.SIZE))
    old |= {"version": "3.5.0", "imageData": filed.base64_of(picture)}
    del old["imageHeight"], old["imageWidth"], old["shapes"][0]["shape_type"]
    assert take(tmp_path, "labelme", json.dumps(old)) == (QUARTER, {})
    old["imageData"] = None
    assert take(tmp_path / "2", "labelme", json.dumps(old)) == (QUARTER, {})


def test_predictions_are_no_answers(tmp_path):
    value = task(region("polygon", "car", points=PERCENT))
    value["predictions"] = value.pop("annotations")
    given, left = take(tmp_path, "labelstudio", json.dumps([value]))
    ((reason, some),) = left.items()
    assert given == {} and "predictions alone" in reason and some.number == 1


def test_label_studios_layouts_are_read(tmp_path):
    result = region("polygon", "car", points=PERCENT)
    one = task(result)
    (annotation,) = one["annotations"]
    stored = annotation | {"task": {"id": 4, "data": one["data"]}}
    minimal = {"image": "deep/a.png", "annotation_id": 3, "label": [result["value"]]}
    older = {"data": one["data"], "completions": one["annotations"]}
    layouts = [one, stored, {"tasks": [one], "total": 1}, [minimal], [older], [one, None, 3]]
    for number, value in enumerate(layouts):
        given, left = take(tmp_path / str(number), "labelstudio", json.dumps(value))
        assert given == QUARTER and set(left) <= {"task without data and annotations"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"\x1f\x8b\x08junk", "gzip archive"),
        (b"PK\x03\x04junk", "damaged zip archive"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"null", "another format"),
        (b'{"a": 1}', "another format"),
        (b"{]", "not in JSON"),
        (b"[" * 100_000, "nested too deep"),
        (b"1" * 5000, "not in JSON"),
    ],
)
@pytest.mark.parametrize("name", ["coco", "labelme", "labelstudio"])
def test_a_file_of_something_else_is_told_in_one_line(tmp_path, name, content, told):
    with pytest.raises(UserError, match=f"cannot be read as {name} .*{told}") as error:
        take(tmp_path, name, content)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_an_archive_with_a_password_is_told_in_one_line(tmp_path):
    archive = filed.archived(tmp_path / "a.zip", {"a.xml": GOOD["cvat"].encode()})
    data = bytearray(archive.read_bytes())
    for start in (data.index(b"PK\x03\x04") + 6, data.index(b"PK\x01\x02") + 8):
        data[start] |= 1  # the flag that says so
    archive.write_bytes(data)
    with pytest.raises(UserError, match=r"with a password: a\.xml: unpack the archive .*folder\)$"):
        take_in(tmp_path, "cvat", archive)


def test_a_folder_with_nothing_but_a_systems_files_is_told_which(tmp_path):
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "._b.json").write_bytes(b"\0\5\x16\7")
    with pytest.raises(UserError, match=r"file hidden or made by a tool: \._b\.json"):
        take_in(tmp_path, "labelme", tmp_path / "all")


def test_an_archive_that_unpacks_to_much_more_is_refused(tmp_path):
    archive = filed.archived(tmp_path / "a.zip", {"a.xml": b" " * 2**25})
    assert archive.stat().st_size < 2**17
    with pytest.raises(UserError, match=r"of a suspicious size: .*if you trust it\)$"):
        take_in(tmp_path, "cvat", archive)


def test_one_bad_label_map_does_not_harm_the_others(tmp_path):
    folder = tmp_path / "maps"
    (folder / "deep").mkdir(parents=True)
    good = filed.png(np.where(MASK, 8, 255))
    (folder / "deep" / "a.png").write_bytes(good)
    (folder / "b.png").write_bytes(good[:48])
    Image.fromarray(np.zeros((*filed.SIZE, 3), np.uint8)).save(folder / "c.png")
    given, left = take_in(tmp_path, "png", folder)
    assert given == QUARTER and left["file that cannot be read"].number == 2


# ------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("images\\1a2b3c4d-a.png", "deep/a"),
        ("C:\\data\\deep\\a.png", "deep/a"),
        ("a_png.rf.0123456789abcdef0123456789abcdef.jpg", "deep/a"),
        (unicodedata.normalize("NFD", "é/a.png"), "é/a"),
        ("DEEP/A.PNG", "DEEP/a"),
    ],
)
def test_an_image_is_found_by_the_name_that_the_tool_gave_it(tmp_path, name, image):
    content = filed.coco({"segmentation": [flat(CORNER)]}, name=name)
    assert take(tmp_path, "coco", content, images=(image, "b")) == (QUARTER, {})


@pytest.mark.parametrize(
    ("name", "images", "told"),
    [
        ("a.png", ("day/a", "night/a"), "a.png (day/a, night/a)"),
        ("night/0001.png", ("0001",), "night/0001.png (nearest: 0001)"),
        ("x.png", ("0001", "b"), "x.png (the run's names are such as 0001, b)"),
        ("steet_0001.png", ("street_0001",), "steet_0001.png (nearest: street_0001)"),
    ],
)
def test_a_name_that_does_not_tell_is_refused_with_those_that_are_near(
    tmp_path, name, images, told
):
    given, left = take(tmp_path, "cvat", filed.cvat(CAR, name), images=images)
    ((_, some),) = left.items()
    assert given == {} and some.examples == (told,)


def test_two_images_of_the_tool_are_not_both_one_of_ours(tmp_path):
    one, other = filed.cvat(CAR, "/x/night/a.png"), filed.cvat(CAR, "/x/day/a.png")
    both = one.replace("</annotations>", "") + other[other.index("<image") :]
    given, left = take(tmp_path, "cvat", both, images=("a",))
    assert (
        given == {} and left["image whose name fits an image that another's fits, too"].number == 2
    )
    exact = both.replace("/x/day/a.png", "a.png")
    given, left = take(tmp_path / "2", "cvat", exact, images=("a",))
    assert given == QUARTER and sum(some.number for some in left.values()) == 1


def test_the_folder_of_the_images_may_stand_before_their_names(tmp_path):
    content = filed.cvat(CAR, "night/0001.png")
    assert take(tmp_path, "cvat", content, images=("0001",), folders=["night"]) == (QUARTER, {})


def test_a_class_of_another_spelling_is_told_and_taken(tmp_path):
    content = filed.cvat(CAR.replace('"car"', '" Car "'))
    assert take(tmp_path, "cvat", content) == (QUARTER, {})


# ------------------------------------------------------------------------------- the program


def test_an_import_that_takes_nothing_says_why_and_ends_with_status_2(tmp_path):
    picture = np.zeros((*filed.SIZE, 3), np.uint8)
    workdir = make_run(
        tmp_path / "run", {"a": picture}, [q.point_query("a", 1, filed.SIZE, [(5, 7)])]
    )
    file = tmp_path / "a.xml"

    def import_(body):
        file.write_text(filed.cvat(body, "a.png"))
        return call("annotate", "import", f"--workdir={workdir}", "--format=cvat", f"--file={file}")

    told = import_('<polyline label="road" points="0,0;4,2"/>')
    assert told.status == 2
    assert told.stdout.splitlines() == [
        "left out: 1 shape without an area (polyline), such as polyline 1 in a.png",
        "0 answers taken; left out: 1 shape",
    ]
    assert told.stderr.startswith("error: --file: nothing in ") and told.stderr.count("\n") == 1
    told = import_('<polygon label="?" points="6,4;12,4;12,8;6,8"/>')
    assert told.status == 2 and "nothing is answered" in told.stderr
    told = import_(CAR + '<polyline label="road" points="0,0;4,2"/>')
    assert told.status == 0
    assert told.stdout.splitlines()[-1] == "1 answer taken; left out: 1 shape, 23 pixels"
    told = import_(CAR)
    assert told.status == 0 and "known already: 1 pixel\n" in told.stdout


def test_what_is_told_of_a_file_is_one_printable_line_each(tmp_path):
    shapes = [shape("line\n\x07" * 99, "a\r\nb", CORNER), shape("polygon", "x\n" * 999, CORNER)]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.json").write_text(filed.labelme(*shapes))
    workdir = asked(tmp_path / "run")
    done = exchange.take_in(workdir, tmp_path / "deep" / "a.json", "labelme", CAMVID, "ben")
    told = list(exchange.describe(done))
    assert len(told) == 3 and all(line.isprintable() and len(line) < 500 for line in told)


def test_a_point_counts_before_an_area_that_covers_it(tmp_path):
    workdir = tmp_path / "run"
    q.write_queries(workdir, 1, [q.point_query("deep/a", 1, filed.SIZE, [(5, 7), (6, 8)])])
    (tmp_path / "a.xml").write_text(filed.cvat('<points label="sky" points="7.5,5.5"/>' + CAR))
    done = exchange.take_in(workdir, tmp_path / "a.xml", "cvat", CAMVID, "ben")
    assert {(*entry["point"], CAMVID.names[entry["class"]]) for entry in done.taken} == {
        (7, 5, "sky"),
        (8, 6, "car"),
    }
