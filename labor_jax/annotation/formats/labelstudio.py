"""Label Studio's JSON: shapes in percent of the image, brush masks as compressed runs.

A result is a region of an annotation of a task; its value says which shape it has. Later results
lie on top. Rectangles are turned clockwise about their upper left corner, ellipses about their
middle.
"""

import base64
import html
import io
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from labor_jax.annotation import formats
from labor_jax.annotation.formats import Drawn, DrawnImage, ImageShapes, Label, Shape, regions, runs
from labor_jax.annotation.formats.sources import Member, json_of
from labor_jax.util import files
from labor_jax.util.tally import LeftOut, Tally

NAME = "tasks.json"
SUFFIX = ".json"
SUFFIXED = re.compile(r"\.\w{3,4}$")
SHAPES = ("rle", "points", "radiusX", "height", "x", "imageDataURL", "vertices")
"""Keys of which a value has one if it is a region of the image."""


def write(folder: pathlib.Path, items: Iterable[ImageShapes], labels: Iterable[Label]) -> None:
    """Writes `tasks.json`, and `labels.xml` for the project's labelling interface."""
    tasks = [
        {
            "data": {"image": f"/data/local-files/?d={item.file}"},
            "annotations": [{"result": [_result(shape, item.size) for shape in item.shapes]}],
        }
        for item in items
    ]
    files.write_json(folder / NAME, tasks)
    choices = "".join(
        '    <Label value="{}" background="#{:02x}{:02x}{:02x}"/>\n'.format(
            html.escape(label.name), *label.color
        )
        for label in labels
    )
    blocks = "".join(
        f'  <{tag} name="{kind}" toName="image">\n{choices}  </{tag}>\n'
        for tag, kind in (("KeyPointLabels", "points"), ("BrushLabels", "segments"))
    )
    text = f'<View>\n  <Image name="image" value="$image"/>\n{blocks}</View>\n'
    files.write_atomic(folder / "labels.xml", text.encode())


def _result(shape: Shape, size: tuple[int, int]) -> dict[str, Any]:
    height, width = size
    common = {"from_name": shape.kind, "to_name": "image", "image_rotation": 0}
    common |= {"original_width": width, "original_height": height}
    if shape.kind == "points":
        x, y = formats.centre(shape.pixels[0], size)
        value: dict[str, Any] = {"x": 100 * x / width, "y": 100 * y / height, "width": 100 / width}
        return common | {
            "type": "keypointlabels",
            "value": value | {"keypointlabels": [shape.label]},
        }
    mask = 255 * formats.to_mask(shape.pixels, size).astype(np.uint8)
    value = {"format": "rle", "rle": runs.pack_bits(np.repeat(mask.ravel(), 4))}
    return common | {"type": "brushlabels", "value": value | {"brushlabels": [shape.label]}}


def read(member: Member, tally: Tally) -> Iterator[DrawnImage]:
    """Reads key points, brush and bit masks, polygons, rectangles and ellipses.

    A file is a list of tasks as exported (JSON or JSON-MIN), one task, or one annotation with its
    task as storages have it. Annotations that were cancelled are left out. Those of one task that
    several people made are an image each, since none lies on top of another.

    Raises:
      LeftOut: the file is damaged, or is none of this format.
    """
    value = json_of(member.read())
    if isinstance(value, dict):
        value = value["tasks"] if isinstance(value.get("tasks"), list) else [value]
    if not isinstance(value, list) or not value or not any(map(_is_task, value)):
        raise LeftOut("of another format", "it has no tasks with data and annotations")
    for position, task in enumerate(value, start=1):
        shown = task.get("id", position) if isinstance(task, dict) else position
        with tally.spare("task", f"task {shown} of {member.name}"):
            if not _is_task(task):
                raise LeftOut("without data and annotations")
            file, annotations = _task(task)
            if task.get("predictions") and not annotations:
                raise LeftOut("with predictions alone, which no person has confirmed")
            for number, annotation in enumerate(annotations, start=1):
                name = f"annotation {annotation.get('id', number)}"
                with tally.spare("annotation", f"{name} of {file}"):
                    if annotation.get("was_cancelled") or annotation.get("skipped"):
                        raise LeftOut("cancelled in the tool")
                    if not isinstance(annotation.get("result"), list):
                        raise LeftOut("without a result")
                    yield from _image(file, name, annotation["result"], tally)


def _is_task(task: Any) -> bool:
    if not isinstance(task, dict):
        return False
    whole = isinstance(task.get("data"), dict) or "annotation_id" in task
    return whole or (isinstance(task.get("result"), list) and isinstance(task.get("task"), dict))


def _task(task: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """A task's image and annotations, from any of the layouts."""
    if isinstance(task.get("result"), list):  # an annotation with its task
        return _file(task["task"]["data"]), [task]
    if isinstance(task.get("data"), dict):
        found = task.get("annotations") or task.get("completions") or []
        return _file(task["data"]), [a if isinstance(a, dict) else {} for a in found]
    results = []  # JSON-MIN: the regions stand under the names of their tags
    for values in task.values():
        if isinstance(values, list) and all(isinstance(value, dict) for value in values):
            results += [value | {"value": value} for value in values]
    return _file(task), [{"id": task["annotation_id"], "result": results}]


def _file(data: dict[str, Any]) -> str:
    """The image's address in a task's data: under "image", or the only text that is a path."""
    texts = [value for value in data.values() if isinstance(value, str)]
    paths = [text for text in texts if "?d=" in text or SUFFIXED.search(text.split("?")[0])]
    shown = data.get("image") or data.get("img") or (paths[0] if len(paths) == 1 else None)
    return formats.text_of(shown, "without an image")


def _image(file: str, name: str, results: list[Any], tally: Tally) -> Iterator[DrawnImage]:
    labelled = {r.get("id") for r in results if isinstance(r, dict) and _labels(r)}
    shapes, sizes = [], set()
    for number, result in enumerate(results, start=1):
        shown = result.get("id", number) if isinstance(result, dict) else number
        with tally.spare("region", f"region {shown} of {name} of {file}"):
            value = result.get("value")
            if result.get("type") == "relation" or (
                not _labels(result) and result.get("id") in labelled - {None}
            ):
                continue  # what a region without labels is stands in the result with its labels
            if not isinstance(value, dict) or not any(key in value for key in SHAPES):
                raise formats.no_area(result.get("type", "no type"))
            labels = _labels(result)
            if len(labels) != 1:
                raise LeftOut("with several labels" if labels else "without a label")
            label = formats.text_of(labels[0], "without a label")
            if result.get("image_rotation"):
                raise LeftOut("of an image that was turned in the tool")
            size = formats.size_of(result.get("original_height"), result.get("original_width"))
            sizes.add(size)
            kind, pixels = _drawn(value)
            shapes.append(Drawn(f"region {shown} of {name}", label, kind, pixels))
    sizes.discard(None)
    if len(sizes) > 1:
        raise LeftOut("whose regions are of images of several sizes")
    yield DrawnImage((file,), next(iter(sizes), None), shapes)


def _labels(result: dict[str, Any]) -> list[Any]:
    """The labels of a result: what its value has under "brushlabels", "labels" and the like."""
    value = result.get("value")
    if not isinstance(value, dict) or result.get("type") in ("choices", "taxonomy"):
        return []
    found = [v for k, v in value.items() if k.endswith("labels") and isinstance(v, list)]
    return found[0] if found else []


def _drawn(value: dict[str, Any]) -> tuple[str, Callable]:
    """A region's kind and its pixels, by what its value has."""
    if "rle" in value:
        return "areas", lambda size: _brush(value["rle"], size)
    if "imageDataURL" in value:
        return "areas", lambda size: _bitmap(value["imageDataURL"], size)
    if "points" in value:
        if value.get("closed") is False:
            raise formats.no_area("open polygon")
        return "areas", lambda size: regions.polygon(
            [_place(x, y, size) for x, y in value["points"]], size
        )
    if "vertices" in value:
        raise formats.no_area("vector")
    degrees = value.get("rotation") or 0
    if "radiusX" in value:
        keys = ("x", "y"), ("radiusX", "radiusY")

        def ellipse(size: tuple[int, int]) -> np.ndarray:
            middle, radii = (_place(value[a], value[b], size) for a, b in keys)
            return regions.ellipse(middle, radii, degrees, size)

        return "areas", ellipse
    if "height" in value:

        def rectangle(size: tuple[int, int]) -> np.ndarray:
            left, top = _place(value["x"], value["y"], size)
            width, height = _place(value["width"], value["height"], size)
            corners = (left, top), (left + width, top + height)
            return regions.box(*corners, degrees, (left, top), size)

        return "areas", rectangle
    return "points", lambda size: regions.pixel(_place(value["x"], value["y"], size), size)


def _place(x: Any, y: Any, size: tuple[int, int]) -> tuple[float, float]:
    """Percents of an image's width and height as pixels.

    They are rounded to a millionth of a pixel, so that a border on the grid stays there.
    """
    across, down = regions.number(x) * size[1] / 100, regions.number(y) * size[0] / 100
    return round(across, 6), round(down, 6)


def _brush(data: Any, size: tuple[int, int]) -> np.ndarray:
    return np.flatnonzero(runs.unpack_bits(data, 4 * size[0] * size[1])[3::4])


def _bitmap(address: str, size: tuple[int, int]) -> np.ndarray:
    """The pixels of a picture, in a data address, that are not transparent and not black."""
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as picture:
        if picture.size != size[::-1]:
            raise LeftOut(regions.MISFIT, f"a mask of {picture.size[0]}x{picture.size[1]}")
        values = np.array(picture.convert("RGBA"))
    return np.flatnonzero((values[..., 3] > 0) & values[..., :3].any(axis=-1))
