"""Pictures of what was predicted, asked and answered: layers over a photograph, as inline SVG.

A page holds each photograph once; every picture with it refers to it by name.
"""

import base64
from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from markupsafe import Markup

from labor_jax.annotation import ledger
from labor_jax.data import images
from labor_jax.data.labels import IGNORE, ClassTable
from labor_jax.report.template import percent, plural

PHOTO_SIDE = 960
"""The longest side of a photograph in the page, in pixels; larger ones are made smaller."""
LAYER_SIDE = 640
"""About the longest side of drawn segments, in pixels: even a single pixel can have an outline."""
PIXELS_SIDE = 400
"""Images whose longest side is below this, in pixels, are enlarged without interpolation."""
ASKED = (0, 229, 255)
"""The colour of what was asked."""
DISAGREE = (255, 179, 0)
"""The colour of the pixels on which the selector's two heads disagree."""
HATCH, OUTLINE = 253, 254
"""Values in drawn segments besides train ids: unsure answers, and outlines."""


def photo(image: np.ndarray, name: str) -> Markup:
    """Defines a photograph and a dim grey copy of it.

    Args:
      image: [H, W, 3] uint8 RGB.
      name: pictures refer to the photograph by this, and to its copy as `name`-dim.
    """
    size = image.shape[:2]
    scale = min(1.0, PHOTO_SIDE / max(size))
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    # Relative to the photograph's light parts: of one taken at night, too, something is seen.
    light = np.minimum(grey / max(np.percentile(grey, 99), 64), 1)
    dim = np.repeat((12 + 108 * light).astype(np.uint8)[..., None], 3, axis=2)
    return Markup("").join(
        _image(images.encode_jpeg(pixels), "image/jpeg", size, id=id_, **_rendering(size))
        for pixels, id_ in ((image, name), (dim, f"{name}-dim"))
    )


def picture(size: tuple[int, int], base: str, layers: Iterable[Markup], title: str) -> Markup:
    """A picture: layers over a photograph.

    Args:
      size: (H, W) of the image; layers have its coordinates.
      base: the photograph's name, as of `photo`.
      layers: from the bottom to the top.
      title: what the picture shows, for screen readers.
    """
    height, width = size
    return Markup(
        '<svg class="picture" viewBox="0 0 {w} {h}" role="img" aria-label="{title}">'
        '<use href="#{base}"/>{layers}</svg>'
    ).format(w=width, h=height, title=title, base=base, layers=Markup("").join(layers))


def prediction_layer(label: np.ndarray, table: ClassTable) -> Markup:
    """The layer of a prediction, [H, W] uint8 train ids; the photograph shows through a little."""
    encoded = images.encode_palette_png(label, images.label_palette(table), IGNORE)
    layer = _image(encoded, "image/png", label.shape, **_rendering(label.shape))
    return Markup('<g opacity="0.78">{}</g>').format(layer)


def mask_layer(mask: np.ndarray) -> Markup:
    """The layer of the inconsistency mask, [H, W] bool, in `DISAGREE`."""
    palette = np.full((256, 3), DISAGREE, np.uint8)
    drawn = enlarge(np.where(mask, 0, IGNORE).astype(np.uint8))
    return _image(images.encode_palette_png(drawn, palette, IGNORE), "image/png", mask.shape)


def asked_layers(query: dict[str, Any]) -> list[Markup]:
    """The layers of a query: rings around its points, or its segments' pixels in `ASKED`."""
    size = tuple(query["size"])
    if query["kind"] == "points":
        radius = _radius(size)
        ring = '<circle cx="{}" cy="{}" r="{}"/>'
        rings = (Markup(ring).format(x + 0.5, y + 0.5, radius) for x, y in query["points"])
        return [Markup('<g class="asked">{}</g>').format(Markup("").join(rings))]
    asked = fill(size, ((runs, 0) for runs in query["segments"]))
    palette = np.full((256, 3), ASKED, np.uint8)
    return [_image(images.encode_palette_png(enlarge(asked), palette, IGNORE), "image/png", size)]


def what_was_asked(query: dict[str, Any]) -> str:
    """A query's points or segments, and its pixels, in words."""
    (row,) = ledger.rows([query], [])
    if not row["pixels"]:
        return "Asked: nothing"
    share = row["pixels"] / (query["size"][0] * query["size"][1])
    return f"Asked: {plural(row[query['kind']], query['kind'])}, {percent(share)} % of pixels"


def answer_layers(
    answers: Sequence[dict[str, Any]], size: tuple[int, int], table: ClassTable
) -> list[Markup]:
    """The layers of answers: discs at points and segments' pixels, in the colours of the classes.

    Unsure answers are dashed rings and hatched pixels.
    """
    pieces = [
        (a["runs"], HATCH if a["class"] == IGNORE else a["class"])
        for a in answers
        if _is_segment(a)
    ]
    layers = []
    if pieces:
        palette = images.label_palette(table)
        palette[[HATCH, OUTLINE]] = 255
        drawn = outline(hatch(enlarge(fill(size, pieces))), table)
        encoded = images.encode_palette_png(drawn, palette, IGNORE)
        layers.append(_image(encoded, "image/png", size))
    discs = [_disc(a, _radius(size), table) for a in answers if not _is_segment(a)]
    return [*layers, *discs]


def fill(size: tuple[int, int], pieces: Iterable[tuple[Sequence[int], int]]) -> np.ndarray:
    """Draws runs [start, length, ...], row-major, each with its value.

    Returns:
      [H, W] uint8, 255 where there is no run.
    """
    flat = np.full(size[0] * size[1], IGNORE, np.uint8)
    for runs, value in pieces:
        for start, length in zip(runs[::2], runs[1::2], strict=True):
            flat[start : start + length] = value
    return flat.reshape(size)


def enlarge(drawn: np.ndarray) -> np.ndarray:
    """Scales a drawing to about `LAYER_SIDE` pixels.

    It is enlarged by a whole factor. When it is made smaller, every pixel that is drawn is kept.

    Args:
      drawn: [H, W] uint8, 255 where nothing is drawn.
    Returns:
      [h, w] uint8, in the same way.
    """
    height, width = drawn.shape
    factor = LAYER_SIDE // max(height, width)
    if factor >= 1:
        return drawn.repeat(factor, axis=0).repeat(factor, axis=1)
    scale = LAYER_SIDE / max(height, width)
    small = np.full((round(height * scale), round(width * scale)), IGNORE, np.uint8)
    rows, columns = np.nonzero(drawn != IGNORE)
    small[
        np.minimum((rows * scale).astype(int), small.shape[0] - 1),
        np.minimum((columns * scale).astype(int), small.shape[1] - 1),
    ] = drawn[rows, columns]
    return small


def hatch(drawn: np.ndarray) -> np.ndarray:
    """Turns pixels of unsure answers into stripes, with nothing drawn between them."""
    rows, columns = np.indices(drawn.shape)
    gaps = (drawn == HATCH) & ((rows + columns) % 4 >= 2)
    return np.where(gaps, IGNORE, drawn).astype(np.uint8)


def outline(drawn: np.ndarray, table: ClassTable) -> np.ndarray:
    """Draws a line of one pixel around dark classes: they would not stand out from the dim copy."""
    dark = np.flatnonzero(np.array(table.palette) @ (0.299, 0.587, 0.114) < 80)
    solid = np.isin(drawn, dark).astype(np.uint8)
    edge = cv2.dilate(solid, np.ones((3, 3), np.uint8)).astype(bool) & (drawn == IGNORE)
    return np.where(edge, OUTLINE, drawn).astype(np.uint8)


def _is_segment(answer: dict[str, Any]) -> bool:
    return answer["kind"] == "segments"


def _radius(size: tuple[int, int]) -> float:
    return round(max(size) / 55, 2)


def _disc(answer: dict[str, Any], radius: float, table: ClassTable) -> Markup:
    x, y = answer["point"]
    if answer["class"] == IGNORE:
        name, style = "unsure or void", Markup('class="unsure"')
    else:
        name = table.names[answer["class"]]
        style = Markup('class="answered" fill="{}"').format(css(table.palette[answer["class"]]))
    return Markup('<circle cx="{}" cy="{}" r="{}" {}><title>{}</title></circle>').format(
        x + 0.5, y + 0.5, radius, style, name
    )


def css(color: Sequence[int]) -> str:
    """An RGB colour, 0 to 255, as CSS writes it."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def _image(data: bytes, kind: str, size: Sequence[int], **more: str) -> Markup:
    uri = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    attributes = {**more, "width": size[1], "height": size[0], "href": uri}
    pairs = (Markup('{}="{}"').format(name, value) for name, value in attributes.items())
    return Markup("<image {}/>").format(Markup(" ").join(pairs))


def _rendering(size: Sequence[int]) -> dict[str, str]:
    """The attributes of an image: small ones are enlarged without interpolation."""
    return {"class": "pixels"} if max(size) < PIXELS_SIDE else {}
