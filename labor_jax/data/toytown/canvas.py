"""A canvas that is painted in metres: perspective, haze, polygons and textured walls.

X is to the right of the camera, Y up from the road, Z ahead along the street. Every size is in
metres, so that the number of pixels changes how finely a scene is drawn and nothing else.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import ArrayLike

from labor_jax.data.toytown.looks import Color

Option = TypeVar("Option")
Point = Sequence[float] | np.ndarray
"""(X, Y) of a flat figure, in metres."""


@dataclasses.dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks along the street; `horizon` and `drift` in image heights."""

    eye: float  # metres over the road
    focal: float  # image heights
    horizon: float  # from the top
    drift: float  # of the vanishing point, from the centre
    mirror: int  # -1 swaps left and right


@dataclasses.dataclass(frozen=True)
class Light:
    """What the air and the sun do to colours."""

    weather: str
    zenith: Color
    horizon: Color  # of the sky there, and of the haze
    clouds: float  # share of the sky, roughly
    haze: float  # 1/metres
    sun: tuple[float, float]  # a shadow's X and Z offset a metre of height
    dim: float  # brightness of what faces away from the sun
    shadow: float  # brightness of the ground in the shadow
    lit: float  # share of windows with a lamp behind


@dataclasses.dataclass(frozen=True)
class Canvas:
    """Pixels being painted."""

    image: np.ndarray  # [h, w, 3] uint8
    label: np.ndarray  # [h, w] uint8
    camera: Camera
    light: Light
    glows: list[tuple]  # (x, y, radius in pixels, color, class): lamps, lit in the photo

    @property
    def unit(self) -> float:
        """Pixels an image height."""
        return float(self.label.shape[0])

    @property
    def center(self) -> tuple[float, float]:
        """The vanishing point in pixels."""
        h, w = self.label.shape
        return 0.5 * w + self.camera.drift * h, self.camera.horizon * h

    def scale(self, z: float) -> float:
        """Pixels a metre at depth `z`."""
        return self.camera.focal * self.unit / max(z, 0.5)


def project(canvas: Canvas, points: np.ndarray) -> np.ndarray:
    """World points [N, 3] to pixels [N, 2]."""
    camera, (cx, cy) = canvas.camera, canvas.center
    scale = camera.focal * canvas.unit / np.maximum(points[:, 2], 0.5)
    pixels = np.empty((len(points), 2))
    pixels[:, 0] = cx + camera.mirror * points[:, 0] * scale
    pixels[:, 1] = cy + (camera.eye - points[:, 1]) * scale
    return pixels


def hazed(canvas: Canvas, color: Color, z: float, shade: float = 1.0) -> Color:
    """The colour, `shade` as bright, seen through `z` metres of air."""
    keep = math.exp(-canvas.light.haze * max(z, 0.0))
    (r, g, b), air = color, canvas.light.horizon
    return (
        min(255.0, r * shade) * keep + air[0] * (1 - keep),
        min(255.0, g * shade) * keep + air[1] * (1 - keep),
        min(255.0, b * shade) * keep + air[2] * (1 - keep),
    )


def toned(color: Color, shade: float) -> Color:
    """The colour, `shade` as bright."""
    return min(255.0, color[0] * shade), min(255.0, color[1] * shade), min(255.0, color[2] * shade)


def fill(canvas: Canvas, pixels: np.ndarray, color: Color, cls: int | None) -> None:
    """Fills the polygon `pixels` [N, 2]; `cls` None leaves the label as it is."""
    fixed = [np.rint(pixels * 16).astype(np.int32)]
    cv2.fillPoly(canvas.image, fixed, color, cv2.LINE_AA, 4)
    if cls is not None:
        cv2.fillPoly(canvas.label, fixed, cls, cv2.LINE_8, 4)


def shape(
    canvas: Canvas, points: ArrayLike, color: Color, cls: int | None, shade: float = 1.0
) -> None:
    """Fills the polygon of world `points` [N, 3]."""
    points = np.asarray(points, np.float64)
    depth = float(points[0, 2] + points[len(points) // 2, 2]) / 2
    fill(canvas, project(canvas, points), hazed(canvas, color, depth, shade), cls)


def card(
    canvas: Canvas,
    points: ArrayLike,
    x: float,
    z: float,
    color: Color,
    cls: int | None,
    shade: float = 1.0,
) -> None:
    """Fills a polygon of a flat figure that faces the camera; `points` [N, 2] are (X - x, Y)."""
    camera, scale, (cx, cy) = canvas.camera, canvas.scale(z), canvas.center
    scales = np.array((camera.mirror * scale, -scale))
    offset = np.array((cx + camera.mirror * x * scale, cy + camera.eye * scale))
    fill(canvas, np.asarray(points) * scales + offset, hazed(canvas, color, z, shade), cls)


def glow(canvas: Canvas, at: Sequence[float], radius: float, color: Color, cls: int) -> None:
    """Notes a lamp at world point `at` on a thing of class `cls`, to be lit in the photo."""
    x, y = project(canvas, np.array([at], np.float64))[0].tolist()
    canvas.glows.append((x, y, radius * canvas.scale(at[2]), color, cls))


HALF_CIRCLE = np.array([(-math.sin(a), math.cos(a)) for a in np.linspace(0, np.pi, 5)])


@functools.cache
def circle(n: int) -> np.ndarray:
    """The corners [n, 2] of a regular polygon of radius 1."""
    turn = np.arange(n) * (2 * np.pi / n)
    return np.stack([np.cos(turn), np.sin(turn)], 1)


def ellipse(cx: float, cy: float, rx: float, ry: float, n: int = 14) -> np.ndarray:
    """The outline [n, 2] of an ellipse."""
    return circle(n) * (rx, ry) + (cx, cy)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    """The corners [4, 2]."""
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float64)


def limb(p: Point, q: Point, wp: float, wq: float) -> np.ndarray:
    """The outline [10, 2] of a stroke from `p` to `q` with round ends; widths are diameters."""
    dx, dy = q[0] - p[0], q[1] - p[1]
    norm = math.hypot(dx, dy) or 1.0
    arc = HALF_CIRCLE @ np.array(((dx, dy), (-dy, dx))) * (0.5 / norm)
    return np.concatenate((arc * wp + p, arc * -wq + q))


def on_ground(points: ArrayLike, z: float = 0.0, x: float = 0.0) -> np.ndarray:
    """Plan coordinates [N, 2], (X - x, Z - z), as world points [N, 3] on the ground."""
    points = np.asarray(points, np.float64)
    return np.stack([points[:, 0] + x, np.zeros(len(points)), points[:, 1] + z], 1)


def pick(rng: np.random.Generator, options: tuple[Option, ...]) -> Option:
    """One of the options."""
    return options[int(rng.integers(len(options)))]


def jitter(rng: np.random.Generator, color: Color, amount: float = 10.0) -> Color:
    """The colour, lighter or darker and slightly off its hue."""
    value, *hue = (rng.standard_normal(4) * amount).tolist()
    return tuple([min(255.0, max(0.0, c + value + h / 3)) for c, h in zip(color, hue, strict=True)])


# ------------------------------------------------------------------------------------- textures


@functools.cache
def noise_tile(seed: int, octaves: int, roughness: float = 0.6, size: int = 256) -> np.ndarray:
    """Tileable value noise [size, size] float32 with mean 0 and deviation 1."""
    rng = np.random.default_rng(seed)
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        cells = 4 * 2**octave
        lattice = np.pad(rng.normal(size=(cells, cells)).astype(np.float32), 2, mode="wrap")
        step = size // cells
        layer = cv2.resize(lattice, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        total += roughness**octave * layer[2 * step : 2 * step + size, 2 * step : 2 * step + size]
    return (total - total.mean()) / total.std()


@functools.cache
def brick_tile() -> np.ndarray:
    """Tileable brickwork [64, 64] float32, factors of brightness; bricks are 16 x 8."""
    rng = np.random.default_rng(7)
    tile = np.full((64, 64), 1.3, np.float32)
    for row in range(8):
        course = np.full((7, 64), 1.3, np.float32)
        for column in range(4):
            course[:, column * 16 : column * 16 + 15] = 0.95 + 0.13 * rng.normal()
        tile[row * 8 : row * 8 + 7] = np.roll(course, 8 * (row % 2), 1)
    return tile


def spread(
    tile: np.ndarray,
    metres: tuple[float, float],
    size: tuple[int, ...],
    scale: tuple[float, float],
    shift: tuple[float, float] | np.ndarray = (0, 0),
) -> np.ndarray:
    """Tiles an array of `size` (h, w) with `tile`.

    The tile covers `metres` (width, height) at `scale` (x, y) pixels a metre, and starts `shift`
    (x, y) of itself away.
    """
    w, h = (max(1, round(m * s)) for m, s in zip(metres, scale, strict=True))
    smaller = w < tile.shape[1] or h < tile.shape[0]
    cell = cv2.resize(tile, (w, h), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    rows = (np.arange(size[0]) + int(shift[1] * h)) % h
    columns = (np.arange(size[1]) + int(shift[0] * w)) % w
    return cell.reshape(h, w)[rows[:, None], columns]


@dataclasses.dataclass
class Wall:
    """A rectangle with a texture that is painted in metres from its bottom left."""

    corners: np.ndarray  # [4, 3], top left first, clockwise as the texture sees it
    texture: np.ndarray  # [h, w, 3] uint8
    scale: tuple[float, float]  # pixels a metre, (x, y)
    size: tuple[float, float]  # metres, (width, height)
    shade: float = 1.0  # how bright the light on it is

    def box(self, x0: float, y0: float, x1: float, y1: float, color: Color) -> None:
        """Paints a rectangle."""
        (sx, sy), height = self.scale, self.size[1]
        corner = int(x0 * sx * 16), int((height - y1) * sy * 16)
        across = int(x1 * sx * 16) - 8, int((height - y0) * sy * 16) - 8
        cv2.rectangle(self.texture, corner, across, toned(color, self.shade), -1, cv2.LINE_AA, 4)

    def plaster(self, color: Color, brightness: np.ndarray) -> None:
        """Covers all of it with a colour, times `brightness` [h, w] float32."""
        paint = np.asarray(color, np.float32)[:, None] * np.float32(self.shade)
        self.texture = np.minimum(cv2.transform(brightness, paint), 255).astype(np.uint8)


def wall(
    canvas: Canvas,
    start: tuple[float, float],
    end: tuple[float, float],
    height: float,
    shade: float = 1.0,
) -> Wall:
    """An upright rectangle over the plan points `start` and `end`, both (X, Z)."""
    (x0, z0), (x1, z1) = start, end
    corners = np.array([(x0, height, z0), (x1, height, z1), (x1, 0, z1), (x0, 0, z0)])
    near, far = min(z0, z1), max(z0, z1)
    aspect = canvas.label.shape[1] / canvas.unit
    # Nearer parts of the wall are outside the picture and need no fine texture.
    enters = min(abs(x0), abs(x1)) * canvas.camera.focal / (0.5 * aspect + 0.15)
    depth = min(max(near, enters, 1.5), max(far, 1.5))
    width = float(np.hypot(x1 - x0, z1 - z0))
    along = abs(x1 - x0) / width + abs(z1 - z0) / width * max(abs(x0), abs(x1)) / depth
    finest = 0.13 * canvas.unit
    scale = (
        min(max(canvas.scale(depth) * along, 2.0), finest),
        min(max(canvas.scale(depth), 2.0), finest),
    )
    h, w = max(2, round(height * scale[1])), max(2, round(width * scale[0]))
    return Wall(corners, np.zeros((h, w, 3), np.uint8), scale, (width, height), shade)


def hang(canvas: Canvas, plane: Wall, cls: int, alpha: np.ndarray | None = None) -> None:
    """Puts a wall into the picture.

    `alpha` [h, w] uint8 lets the image behind show through (a railing); the label covers the
    whole rectangle.
    """
    pixels = project(canvas, plane.corners)
    height, width = canvas.label.shape
    (left, top), (right, bottom) = pixels.min(0).tolist(), pixels.max(0).tolist()
    x0, x1 = max(math.floor(left), 0), min(math.ceil(right) + 1, width)
    y0, y1 = max(math.floor(top), 0), min(math.ceil(bottom) + 1, height)
    if x1 <= x0 or y1 <= y0:
        return
    h, w = plane.texture.shape[:2]
    z0, z1 = plane.corners[:2, 2].tolist()
    keep = np.exp(-canvas.light.haze * (z0 + (z1 - z0) / w * np.arange(w, dtype=np.float32)))
    horizon = np.asarray(canvas.light.horizon, np.float32)
    texture = plane.texture * keep[:, None] + (1 - keep[:, None]) * horizon
    inside = np.asarray(pixels - (x0, y0), np.float32)
    whole = np.array([(0, 0), (w, 0), (w, h), (0, h)], np.float32)
    matrix = cv2.getPerspectiveTransform(whole, inside)
    warp = functools.partial(
        cv2.warpPerspective, M=matrix, dsize=(x1 - x0, y1 - y0), borderMode=cv2.BORDER_REPLICATE
    )
    cover = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillPoly(cover, [np.rint(inside * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    canvas.label[y0:y1, x0:x1][cover > 127] = cls
    if alpha is not None:
        cover = cv2.multiply(cover, warp(alpha), scale=1 / 255)
    region = canvas.image[y0:y1, x0:x1]
    blend = cover[..., None] * np.float32(1 / 255)
    region[:] = region + (warp(texture.astype(np.float32)) - region) * blend + 0.5
