"""What stands still behind everything else: sky, skyline, ground, buildings and fences."""

import dataclasses

import cv2
import numpy as np

from labor_jax.data.toytown.canvas import (
    Canvas,
    Wall,
    brick_tile,
    card,
    hang,
    jitter,
    noise_tile,
    on_ground,
    pick,
    project,
    rectangle,
    shape,
    spread,
    toned,
    wall,
)
from labor_jax.data.toytown.looks import BUILDING, FENCE, PAVEMENT, ROAD, SKY, TREE, Color, Look

WHITE = (255.0, 255.0, 255.0)

FAR = 90.0
"""Where the street ends, in metres."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """The street from above; the camera is at X = 0, all in metres."""

    left: float  # the road's edges
    right: float
    outer_left: float  # the pavements' outer edges
    outer_right: float
    centre: float  # the line between the directions
    lane: float
    crossing: float  # depth of the side street; beyond FAR if there is none
    side_street: float  # its half width

    def kerb(self, side: int) -> float:
        """X of the road's edge on a side, -1 or 1."""
        return self.left if side < 0 else self.right

    def outer(self, side: int) -> float:
        """X of the pavement's outer edge on a side, -1 or 1."""
        return self.outer_left if side < 0 else self.outer_right

    def at_crossing(self, z0: float, z1: float, margin: float = 0.0) -> bool:
        """Whether the stretch from `z0` to `z1` meets the side street."""
        reach = self.side_street + margin
        return z0 < self.crossing + reach and z1 > self.crossing - reach


# --------------------------------------------------------------------------------- sky, skyline


def paint_sky(canvas: Canvas, rng: np.random.Generator) -> None:
    """A gradient with clouds in perspective, on everything above the horizon."""
    (cx, cy), w, cloudiness = canvas.center, canvas.label.shape[1], canvas.light.clouds
    rows = int(np.ceil(cy)) + 2
    y, x = np.arange(rows, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)[None]
    rise = np.clip((cy - y) / max(cy, 1), 0, 1) ** 0.7
    zenith = np.asarray(canvas.light.zenith, np.float32)
    horizon = np.asarray(canvas.light.horizon, np.float32)
    sky = horizon + (zenith - horizon) * rise[..., None]
    sky = np.broadcast_to(sky, (rows, w, 3))
    if cloudiness:
        away = 1 / ((cy - y) / canvas.unit + 0.12)
        u = np.mod(((x - cx) / canvas.unit * away * 34 + rng.uniform(0, 256)), 256)
        v = np.mod(away * 44 + rng.uniform(0, 256) + 0 * x, 256)
        tile = noise_tile(11, 6, 0.62)
        cloud = cv2.remap(tile, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        cover = np.clip((cloud - 1.1 + 2.0 * cloudiness) / 1.3, 0, 1) * np.clip(rise * 5, 0, 1)
        body = np.float32(255) if cloudiness < 0.5 else horizon.max() * 0.9
        tint = body - np.clip(cloud, 0, 2)[..., None] * np.array((13, 10, 6), np.float32) * (
            1 + cloudiness
        )
        sky = sky + (tint - sky) * cover[..., None] * 0.9
    canvas.image[:rows] = np.clip(sky, 0, 255)
    canvas.label[:rows] = SKY


def paint_skyline(canvas: Canvas, rng: np.random.Generator, look: Look) -> None:
    """Hazy roofs and tree tops that close the view."""
    for z in (170.0, 130.0):
        x = -0.85 * z
        while x < 0.85 * z:
            width, leafy = rng.uniform(12, 30), rng.random() < 0.5
            color = jitter(rng, pick(rng, look.leaves if leafy else look.walls), 8)
            color = toned(color, 0.72)
            height = rng.uniform(5, 11) if leafy else rng.uniform(6, 17)
            if leafy:
                turn = np.linspace(0, np.pi, 9)
                bumps = 1 + rng.normal(0, 0.09, 9)
                top = np.stack([-np.cos(turn) * width * 0.6, np.sin(turn) * height * bumps], 1)
                points = np.concatenate([top, [(width * 0.6, -4), (-width * 0.6, -4)]])
            else:
                points = rectangle(-width / 2, -4, width / 2, height)
                if rng.random() < 0.5:
                    peak = [(width / 2, height), (0, height + rng.uniform(2, 5))]
                    points = np.concatenate([points[:2], peak, points[3:]])
            card(canvas, points, x, z, color, TREE if leafy else BUILDING)
            x += width * rng.uniform(0.7, 1.0)


# --------------------------------------------------------------------------------------- ground


def paint_ground(
    canvas: Canvas, rng: np.random.Generator, look: Look, plan: Plan, shadows: list[np.ndarray]
) -> None:
    """Road, kerbs, pavement and what lies beyond, each with its texture, below the horizon.

    Args:
      shadows: polygons on the ground, world points [N, 3].
    """
    (cx, cy), (h, w) = canvas.center, canvas.label.shape
    camera, light = canvas.camera, canvas.light
    top = int(np.ceil(cy))
    focal = camera.focal * canvas.unit
    z = np.minimum(focal * camera.eye / (np.arange(top, h) + 0.5 - cy), 400)[:, None]
    x = (camera.mirror * (np.arange(w) + 0.5 - cx)[None] * z / focal).astype(np.float32)
    z = z.astype(np.float32)

    cross = np.abs(z - plan.crossing) < plan.side_street
    road = ((x > plan.left) & (x < plan.right)) | cross
    lawn = ((x < plan.outer_left) | (x > plan.outer_right)) & ~cross & (rng.random() < look.lawns)

    near = np.exp(-z / 22)
    fine = look.grain * near * sample(noise_tile(21, 6, 0.9), x, z, 5.0, rng)
    texture = 1 + fine + look.stains * sample(noise_tile(22, 4, 0.6), x, z, 26.0, rng)
    outside = np.where(x > plan.centre, x - plan.right, plan.left - x)  # metres from the kerb
    gutter = 0.14 * ((np.abs(outside + 0.12) < 0.12) & ~cross)
    tracks = look.tracks * near * np.cos(4 * np.pi * (x - plan.centre) / plan.lane)
    kerb = 0.16 * (np.abs(outside - 0.12) < 0.12)
    joints = 0.16 * near * near * ((np.mod(x, 0.8) < 0.06) | (np.mod(z, 0.8) < 0.06))
    brightness = texture + np.where(road, -gutter - tracks, np.where(lawn, fine * 2, kerb - joints))

    colors = np.array(
        [
            jitter(rng, pick(rng, look.pavement), 8),
            jitter(rng, pick(rng, look.road), 7),
            jitter(rng, pick(rng, look.leaves), 6),
        ],
        np.float32,
    )
    kind = np.where(road, 1, np.where(lawn, 2, 0))
    brightness *= shaded(canvas, shadows)[top:]
    keep = np.exp(-light.haze * z)
    seen = colors[kind] * (brightness * keep)[..., None]
    haze = (1 - keep) * np.asarray(light.horizon, np.float32)
    canvas.image[top:] = np.clip(seen + haze[:, None], 0, 255)
    canvas.label[top:] = np.array((PAVEMENT, ROAD, TREE), np.uint8)[kind]


def sample(
    tile: np.ndarray, x: np.ndarray, z: np.ndarray, metres: float, rng: np.random.Generator
) -> np.ndarray:
    """The tile laid on the ground from a random corner, repeating after `metres`."""
    u = np.mod(x * np.float32(256 / metres) + np.float32(rng.uniform(0, 256)), np.float32(256))
    v = np.mod(z * np.float32(256 / metres) + np.float32(rng.uniform(0, 256)), np.float32(256))
    v = np.ascontiguousarray(np.broadcast_to(v, u.shape))
    return cv2.remap(tile, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def shaded(canvas: Canvas, shadows: list[np.ndarray]) -> np.ndarray:
    """Brightness [h, w] float32 of the ground under the shadows."""
    mask = np.zeros(canvas.label.shape, np.uint8)
    for polygon in shadows:
        fixed = np.rint(project(canvas, polygon) * 16).astype(np.int32)
        cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, 4)
    soft = canvas.unit * (0.003 if canvas.light.shadow < 0.7 else 0.012)
    blurred = cv2.GaussianBlur(mask, (0, 0), soft)
    return 1 - (1 - canvas.light.shadow) * blurred * np.float32(1 / 255)


def paint_markings(canvas: Canvas, rng: np.random.Generator, look: Look, plan: Plan) -> None:
    """Lane lines, edge lines, arrows and zebra crossings."""
    paint = jitter(rng, look.marking, 6)

    def stripe(x0: float, x1: float, z0: float, z1: float) -> None:
        if z1 > 1.2:
            shape(canvas, on_ground(rectangle(x0, max(z0, 1.2), x1, z1)), paint, None)

    dash, space = pick(rng, ((2.0, 4.0), (3.0, 3.0), (1.2, 2.0)))
    start = rng.uniform(-6, 0)
    for z in np.arange(start, 70, dash + space):
        if not plan.at_crossing(z, z + dash, 3):
            stripe(plan.centre - 0.08, plan.centre + 0.08, z, z + dash)
    if rng.random() < look.edge_lines:
        for x in (plan.left + 0.35, plan.right - 0.35):
            stripe(x - 0.06, x + 0.06, 1.2, min(plan.crossing - plan.side_street - 1, 70))
    zebras = [plan.crossing - plan.side_street - 4.5, plan.crossing + plan.side_street + 1.0]
    if rng.random() < 0.45:
        zebras.append(rng.uniform(5, 16))
    for z in zebras:
        if 1.5 < z < 60:
            for x in np.arange(plan.left + 0.4, plan.right - 0.3, 1.1):
                stripe(x, x + 0.55, z, z + 3.0)
    if plan.crossing < 50:
        z = plan.crossing - plan.side_street - 5.6
        stripe(plan.centre, plan.right, z, z + 0.4)
    elif rng.random() < 0.5:
        z, x = rng.uniform(8, 22), 0.5 * (plan.centre + plan.centre + plan.lane)
        stripe(x - 0.1, x + 0.1, z, z + 2.4)
        head = [(-0.35, 2.3), (0.35, 2.3), (0.0, 3.6)]
        shape(canvas, on_ground(head, z, x), paint, None)


# ------------------------------------------------------------------------------------ buildings


@dataclasses.dataclass(frozen=True)
class Building:
    """A house beside the street; `side` is -1 on the left and 1 on the right."""

    side: int
    x: float  # of the wall along the street
    z0: float
    z1: float
    open_end: bool  # whether its end wall can be seen
    floors: int
    storey: float  # metres
    roof: str  # "gable", "hip" or "flat"

    @property
    def height(self) -> float:
        return self.floors * self.storey + (0.9 if self.roof == "flat" else 0.3)

    def hidden_by(self, near: "Building | None") -> bool:
        """Whether the house in front hides this one's end wall."""
        return bool(
            near
            and self.z0 - near.z1 < 0.1
            and abs(near.x) <= abs(self.x)
            and near.height >= self.height
        )

    def shadow(self, sun: tuple[float, float]) -> np.ndarray:
        """The shadow of its wall along the street, [4, 3]."""
        dx, dz = sun[0] * self.height, sun[1] * self.height
        x, z0, z1 = self.x, self.z0, self.z1
        return on_ground([(x, z0), (x, z1), (x + dx, z1 + dz), (x + dx, z0 + dz)])


def plan_buildings(rng: np.random.Generator, look: Look, plan: Plan) -> list[Building]:
    """Houses along both sides, far ones first."""
    houses = []
    for side in (-1, 1):
        setback = rng.uniform(*look.setback)
        z, before = rng.uniform(1.5, 6.0), None
        while z < FAR:
            width = rng.uniform(*look.building_width)
            if plan.at_crossing(z, z + width, 1.0):
                beyond = plan.crossing + plan.side_street + plan.lane
                z = max(z + 0.5, beyond) if z < plan.crossing else z + width
                continue
            if rng.random() < look.gap:
                z += width
                continue
            house = Building(
                side=side,
                x=plan.outer(side) + side * (setback + rng.uniform(0, 0.8)),
                z0=z,
                z1=z + width,
                open_end=True,
                floors=int(rng.integers(look.floors[0], look.floors[1] + 1)),
                storey=rng.uniform(2.8, 3.4),
                roof=pick(rng, look.roof_kinds),
            )
            houses.append(dataclasses.replace(house, open_end=not house.hidden_by(before)))
            before = house
            z += width + (rng.uniform(0.8, 3.0) if rng.random() < 0.3 else 0.0)
    return sorted(houses, key=lambda house: -house.z1)


def paint_building(canvas: Canvas, rng: np.random.Generator, look: Look, house: Building) -> None:
    """Roof, the wall along the street, and the wall that faces the camera."""
    light = canvas.light
    kind, base = pick(rng, look.wall_kinds), jitter(rng, pick(rng, look.walls), 9)
    facing = 1.0 if light.sun[0] * house.side > 0 else light.dim
    front = 1.0 if light.sun[1] > 0 else light.dim
    depth = rng.uniform(8, 12)
    back = house.x + house.side * depth
    if house.roof != "flat":
        paint_roof(canvas, rng, house, back, jitter(rng, pick(rng, look.roofs), 8), facing)
        if house.roof == "gable":
            ridge = house.height + 0.32 * depth
            gable = [(house.x, house.height - 0.1, house.z0), (back, house.height - 0.1, house.z0)]
            gable.append((0.5 * (house.x + back), ridge, house.z0))
            shape(canvas, gable, base, BUILDING, front * 0.96)
    style = window_style(rng, look)
    shop = rng.random() < look.shops
    if house.open_end:
        end = wall(canvas, (house.x, house.z0), (back, house.z0), house.height, front)
        paint_facade(canvas, rng, end, house, base, kind, style, False)
        hang(canvas, end, BUILDING)
    along = wall(canvas, (house.x, house.z0), (house.x, house.z1), house.height, facing)
    paint_facade(canvas, rng, along, house, base, kind, style, shop)
    hang(canvas, along, BUILDING)


def paint_roof(
    canvas: Canvas,
    rng: np.random.Generator,
    house: Building,
    back: float,
    color: Color,
    shade: float,
) -> None:
    """The slope over the street with its chimneys; `back` is X of the rear wall."""
    ridge_x, eaves, eye = 0.5 * (house.x + back), house.height, canvas.camera.eye
    ridge = eaves + 0.32 * abs(back - house.x)
    inset = 0.0 if house.roof == "gable" else 2.5
    over, near, far = house.x - house.side * 0.35, house.z0 - 0.2, house.z1 + 0.2
    if house.roof == "hip" and (ridge - eye) / (house.z0 + inset) > (eaves - eye) / near:
        hip = [(over, eaves, near), (back, eaves, near), (ridge_x, ridge, house.z0 + inset)]
        shape(canvas, hip, color, BUILDING, 0.85)
    if (ridge - eye) / abs(ridge_x) <= (eaves - eye) / abs(over):
        return  # too steep to see from the street
    for _ in range(int(rng.integers(0, 3))):
        z = rng.uniform(house.z0 + inset, max(house.z1 - inset, house.z0 + inset + 0.1))
        stack = rectangle(-0.4, ridge - 1, 0.4, ridge + 1.0)
        card(canvas, stack, ridge_x, z, toned(color, 0.8), BUILDING)
    slope = [(over, eaves, near), (over, eaves, far)]
    slope += [(ridge_x, ridge, house.z1 - inset), (ridge_x, ridge, house.z0 + inset)]
    shape(canvas, slope, color, BUILDING, shade)


def window_style(rng: np.random.Generator, look: Look) -> dict:
    """How all windows of a house look, in metres."""
    return {
        "width": rng.uniform(0.9, 1.5),
        "height": rng.uniform(1.3, 1.8),
        "pitch": rng.uniform(2.0, 3.1),
        "frame": jitter(rng, pick(rng, look.frames), 6),
        "glass": jitter(rng, pick(rng, look.glass), 8),
        "shutter": jitter(rng, pick(rng, look.cloth), 8) if rng.random() < look.shutters else None,
        "split": rng.random() < 0.6,
    }


def paint_facade(
    canvas: Canvas,
    rng: np.random.Generator,
    plane: Wall,
    house: Building,
    base: Color,
    kind: str,
    style: dict,
    shop: bool,
) -> None:
    """The wall's material, windows, door or shop front, plinth and cornice, onto `plane`."""
    width, height = plane.size
    size, shift = plane.texture.shape[:2], rng.random(2)
    brightness = spread(noise_tile(31, 4, 0.7, 64), (7, 7), size, plane.scale, shift) * 0.05 + 1
    if kind == "brick":
        brightness *= spread(brick_tile(), (1.2, 0.85), size, plane.scale, shift)
    plane.plaster(base, brightness)
    dark, pale = toned(base, 0.72), toned(base, 1.14)
    if kind == "panel":
        for y in np.arange(house.storey, height - 0.3, house.storey):
            plane.box(0, y - 0.06, width, y + 0.06, dark)
    if kind == "concrete":
        for y in np.arange(house.storey, height, house.storey):
            plane.box(0, y - 0.45, width, y, pale)
    plane.box(0, 0, width, 0.5, dark)
    plane.box(0, height - 0.3, width, height, pale)

    columns = max(1, int((width - 0.6) / style["pitch"]))
    pitch = width / columns
    door = int(rng.integers(columns))
    for floor in range(house.floors):
        if floor == 0 and shop:
            paint_shop(canvas, rng, plane, house.storey)
            continue
        for column in range(columns):
            x, y = (column + 0.5) * pitch, floor * house.storey + 0.95
            if floor == 0 and column == door:
                color = jitter(rng, (96, 62, 48), 22)
                plane.box(x - 0.62, 0, x + 0.62, 2.25, style["frame"])
                plane.box(x - 0.48, 0.05, x + 0.48, 2.1, color)
            else:
                paint_window(canvas, rng, plane, x, y, style, house.z0 < 35)


def paint_window(
    canvas: Canvas,
    rng: np.random.Generator,
    plane: Wall,
    x: float,
    y: float,
    style: dict,
    near: bool,
) -> None:
    """One window, centred at `x`, its sill at `y`; details only if `near`."""
    w, h = 0.5 * style["width"], style["height"]
    glass = jitter(rng, style["glass"], 9)
    if rng.random() < canvas.light.lit:
        glass = jitter(rng, (250, 206, 128), 12)
    if style["shutter"]:
        plane.box(x - w - 0.5, y, x - w, y + h, style["shutter"])
        plane.box(x + w, y, x + w + 0.5, y + h, style["shutter"])
    plane.box(x - w - 0.12, y - 0.12, x + w + 0.12, y + h + 0.12, style["frame"])
    plane.box(x - w, y, x + w, y + h, glass)
    if not near:
        return
    plane.box(x - w, y + 0.62 * h, x + w, y + h, toned(glass, 1.25))
    if style["split"]:
        plane.box(x - 0.05, y, x + 0.05, y + h, style["frame"])


def paint_shop(canvas: Canvas, rng: np.random.Generator, plane: Wall, storey: float) -> None:
    """A shop front over the whole ground floor, with a fascia and perhaps an awning."""
    width = plane.size[0]
    color = jitter(rng, pick(rng, ((150, 40, 44), (36, 74, 120), (40, 96, 70), (52, 46, 60))), 14)
    lit = rng.random() < canvas.light.lit + 0.15
    glass = (246, 214, 156) if lit else (70, 84, 98)
    plane.box(0.1, 0.0, width - 0.1, storey, color)
    for x in np.arange(0.4, width - 1.2, 2.0):
        plane.box(x, 0.5, min(x + 1.7, width - 0.3), storey - 0.85, jitter(rng, glass, 10))
        plane.box(x, 0.5, min(x + 1.7, width - 0.3), 1.0, jitter(rng, (96, 84, 76), 18))
    plane.box(width * 0.2, storey - 0.58, width * 0.8, storey - 0.25, (236, 228, 206))
    if rng.random() < 0.5:
        for i, x in enumerate(np.arange(0.2, width - 0.3, 0.5)):
            stripe = (240, 236, 226) if i % 2 else color
            plane.box(x, storey - 1.35, x + 0.5, storey - 0.75, stripe)


# --------------------------------------------------------------------------------------- fences


def paint_fence(
    canvas: Canvas,
    rng: np.random.Generator,
    kind: str,
    color: Color,
    start: tuple[float, float],
    end: tuple[float, float],
    height: float,
) -> None:
    """A fence over the plan points `start` and `end`, both (X, Z)."""
    plane = wall(canvas, start, end, height)
    width, alpha = plane.size[0], None
    plane.texture[:] = color
    if kind == "board":
        for x in np.arange(0, width, 0.32):
            plane.box(x, 0, x + 0.29, height, jitter(rng, color, 9))
            plane.box(x + 0.28, 0, x + 0.32, height, toned(color, 0.55))
        plane.box(0, height - 0.1, width, height, toned(color, 0.8))
    else:
        bars = dataclasses.replace(plane, texture=np.zeros_like(plane.texture))
        step, bar = {"picket": (0.26, 0.17), "rail": (0.22, 0.07), "wire": (0.3, 0.04)}[kind]
        if kind == "wire":
            bars.texture[:] = 70
        for i, x in enumerate(np.arange(0, width, step)):
            bars.box(x, 0, x + bar, height - 0.06 * (i % 2), WHITE)
        for y in (0.18, height - 0.3 if kind == "picket" else height - 0.08):
            bars.box(0, y, width, y + 0.1, WHITE)
        for x in np.arange(0, width + 0.1, 2.0):
            bars.box(x - 0.08, 0, x + 0.08, height, WHITE)
        alpha = bars.texture[..., 0].copy()
    hang(canvas, plane, FENCE, alpha)
