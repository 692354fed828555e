"""Files of other annotation tools as these tools write them, for images of 12x8 pixels."""

import base64
import io
import json
import pathlib
import zipfile
from typing import Any

import numpy as np
from PIL import Image

from labor_jax.annotation import journal
from labor_jax.annotation import queries as q
from labor_jax.annotation.formats import runs
from labor_jax.data.labels import CAMVID

SIZE = (8, 12)
CORNER = [[6, 4], [12, 4], [12, 8], [6, 8]]
"""A polygon: the lower right quarter, 24 pixels."""
INNER = [[8, 5], [11, 5], [11, 7], [8, 7]]
"""A polygon inside of it, 6 pixels."""


def asked(path: pathlib.Path, images: tuple[str, ...] = ("deep/a", "b")) -> pathlib.Path:
    """A run that asks about every pixel of some images: their left and their right halves."""
    halves = np.ones(SIZE, np.int32)
    halves[:, SIZE[1] // 2 :] = 2
    q.write_queries(path, 1, [q.segment_query(image, 1, SIZE, halves) for image in images])
    return path


def labels(workdir: pathlib.Path, image: str = "deep/a") -> dict[str, int]:
    """How many pixels of an image were given which class."""
    own = [entry for entry in journal.read(workdir, CAMVID) if entry["image"] == image]
    found, numbers = np.unique(journal.label_map(own, SIZE), return_counts=True)
    named = {CAMVID.names[k]: int(n) for k, n in zip(found, numbers, strict=True) if k != 255}
    pixels = np.concatenate([np.empty(0, int), *(journal.pixels(entry, SIZE) for entry in own)])
    assert len(pixels) == len(np.unique(pixels)), "each pixel is answered once"
    return named


def cvat(body: str, name: str = "deep/a.png") -> str:
    """An `annotations.xml` with the elements of one image."""
    image = f'<image id="0" name="{name}" width="12" height="8">{body}</image>'
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    return f"{head}<annotations><version>1.1</version>{image}</annotations>"


def coco(*annotations: dict[str, Any], name: str = "deep/a.png", **more: Any) -> str:
    """An `annotations.json` with the annotations of one image."""
    common = {"image_id": 1, "category_id": 6, "iscrowd": 0}
    value = {
        "images": [{"id": 1, "file_name": name, "height": 8, "width": 12}],
        "categories": [{"id": 3, "name": "road"}, {"id": 6, "name": "car"}],
        "annotations": [{"id": i, **common, **a} for i, a in enumerate(annotations, start=1)],
    }
    return json.dumps(value | more)


def task(*results: dict[str, Any], name: str = "/data/local-files/?d=deep/a.png") -> dict:
    """A task of Label Studio with one annotation."""
    common = {"original_width": 12, "original_height": 8, "image_rotation": 0}
    found = [{"id": f"r{i}", **common, **result} for i, result in enumerate(results)]
    annotation = {"id": 11, "was_cancelled": False, "result": found}
    return {"id": 7, "data": {"image": name}, "annotations": [annotation], "predictions": []}


def region(kind: str, label: str, **value: Any) -> dict[str, Any]:
    """A result of Label Studio."""
    return {"type": f"{kind}labels", "value": value | {f"{kind}labels": [label]}}


def percent(corners: list[list[float]]) -> list[list[float]]:
    """Corners in percent of the image's size."""
    return [[100 * x / SIZE[1], 100 * y / SIZE[0]] for x, y in corners]


def flat(corners: list[list[float]]) -> list[float]:
    """Corners as COCO has them: [x, y, x, y, …]."""
    return [value for corner in corners for value in corner]


def labelme(*shapes: dict[str, Any], **more: Any) -> str:
    """A JSON file of LabelMe; a key that is None is left out."""
    value = {"version": "5.5.0", "flags": {}, "shapes": list(shapes), "imagePath": "a.png"}
    value |= {"imageData": None, "imageHeight": 8, "imageWidth": 12}
    return json.dumps({k: v for k, v in (value | more).items() if v is not None})


def shape(kind: str, label: str, points: list[list[float]], **more: Any) -> dict[str, Any]:
    """A shape of LabelMe."""
    return {"label": label, "points": points, "shape_type": kind} | more


def png(mask: np.ndarray) -> bytes:
    """A picture [H, W] uint8 as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def base64_of(data: bytes) -> str:
    """Bytes as text."""
    return base64.b64encode(data).decode()


def archived(path: pathlib.Path, members: dict[str, bytes]) -> pathlib.Path:
    """A zip archive of files by their paths in it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def examples() -> dict[str, list[tuple[str, bytes]]]:
    """By format, files (name, content) that together have every kind of shape."""
    mask = np.zeros(SIZE, bool)
    mask[4:, 6:] = True
    counts = runs.counts_of(mask.ravel(order="F"))
    brush = runs.pack_bits(np.repeat(255 * mask.ravel().astype(np.uint8), 4))
    body = (
        '<box label="car" xtl="0" ytl="0" xbr="5" ybr="3" z_order="0"/>'
        '<box label="car" xtl="6" ytl="4" xbr="11" ybr="7" rotation="30.5" z_order="1"/>'
        '<polygon label="road" points="6.00,4.00;12.00,4.00;12.00,8.00" z_order="-2"/>'
        '<ellipse label="tree" cx="8.5" cy="6" rx="2" ry="1.5" rotation="45" z_order="3"/>'
        '<mask label="car" rle="1, 2, 1, 4" left="0" top="4" width="4" height="2" z_order="0"/>'
        '<points label="sky" points="1.5,4.5;0.2,0.1"/><tag label="sky"/>'
        '<polyline label="road" points="0.5,0.5;4.5,2.5"/>'
    )
    annotations = [
        {"segmentation": [flat(CORNER), flat(INNER)]},
        {"segmentation": {"size": [8, 12], "counts": counts}},
        {"segmentation": {"size": [8, 12], "counts": packed(counts)}, "category_id": 3},
        {"bbox": [0, 0, 5, 3], "segmentation": []},
        {"keypoints": [1.5, 1.5, 2, 3, 3, 0]},
    ]
    results = [
        region("polygon", "car", points=percent(CORNER)),
        region("rectangle", "road", x=50, y=50, width=25, height=25, rotation=15),
        region("ellipse", "tree", x=70, y=70, radiusX=9, radiusY=9, rotation=0),
        region("brush", "car", format="rle", rle=brush),
        region("keypoint", "sky", x=20, y=20, width=1),
        {"type": "choices", "value": {"choices": ["yes"]}},
        {"type": "relation", "from_id": "r0", "to_id": "r1"},
    ]
    shapes = [
        shape("polygon", "car", CORNER),
        shape("rectangle", "road", [[5, 3], [0, 0]]),
        shape("circle", "tree", [[6, 4], [6, 6]]),
        shape("point", "sky", [[1, 1]]),
        shape("line", "sky", [[1, 1], [2, 2]]),
        shape("mask", "car", [[0, 0], [3, 1]], mask=base64_of(png(np.ones((2, 4))))),
    ]
    old = labelme(
        {"label": "car", "points": CORNER}, version="3.5.0", imageData=base64_of(png(mask))
    )
    old = old.replace('"imageHeight": 8, "imageWidth": 12', '"flags": {}')
    minimal = [{"image": "b.png", "annotation_id": 3, "label": [r["value"] for r in results[:2]]}]
    classes = np.where(mask, 8, 255)
    return {
        "cvat": [("a.xml", cvat(body).encode()), ("b.xml", cvat(body, "b.png").encode("utf-16"))],
        "coco": [("a.json", coco(*annotations).encode())],
        "labelstudio": [
            ("a.json", json.dumps([task(*results)]).encode()),
            ("b.json", json.dumps(minimal).encode()),
        ],
        "labelme": [("deep/a.json", labelme(*shapes).encode()), ("b.json", old.encode())],
        "png": [("deep/a.png", png(classes)), ("b.png", png(classes))],
    }


def packed(counts: list[int]) -> str:
    """COCO's packed string of run lengths, after `rleToString` of cocoapi's maskApi.c."""
    text = ""
    for i, count in enumerate(counts):
        x = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            c = x & 0x1F
            x >>= 5
            more = x != -1 if c & 0x10 else x != 0
            text += chr((c | 0x20 if more else c) + 48)
    return text
