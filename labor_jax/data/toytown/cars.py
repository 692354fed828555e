"""Cars: boxes with sloping ends, whose visible faces carry windows, lamps and plates."""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from labor_jax.data.toytown.canvas import (
    Canvas,
    ellipse,
    fill,
    glow,
    hazed,
    jitter,
    pick,
    project,
    toned,
)
from labor_jax.data.toytown.looks import CAR, Color, Look


@dataclasses.dataclass(frozen=True)
class Body:
    """The shape of a car, in metres."""

    length: float
    half: float  # half of its width
    waist: float  # where the windows start
    roof: float
    cabin: tuple[float, float]  # from and to, in shares of the length
    slopes: tuple[float, float]  # how far rear and front window lean


BODIES = {
    "hatch": Body(3.9, 0.86, 0.92, 1.5, (0.02, 0.72), (0.35, 0.75)),
    "saloon": Body(4.5, 0.88, 0.9, 1.44, (0.14, 0.74), (0.6, 0.8)),
    "estate": Body(4.6, 0.9, 0.95, 1.6, (0.0, 0.74), (0.2, 0.75)),
    "van": Body(5.2, 0.98, 1.15, 2.2, (0.0, 0.84), (0.05, 0.5)),
    "bus": Body(10.5, 1.25, 1.2, 3.0, (0.0, 1.0), (0.05, 0.1)),
}
DARK, PLATE = (34, 34, 38), (232, 226, 190)

# Corners are (end, side, top) bits: rear or front, left or right, bottom or top. Each face goes
# counter-clockwise from its bottom left as seen from outside.
FACES = {
    "rear": ((0, 0, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1)),
    "front": ((1, 1, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1)),
    "left": ((1, 0, 0), (0, 0, 0), (0, 0, 1), (1, 0, 1)),
    "right": ((0, 1, 0), (1, 1, 0), (1, 1, 1), (0, 1, 1)),
    "top": ((0, 0, 1), (0, 1, 1), (1, 1, 1), (1, 0, 1)),
}
CORNERS = {name: [4 * e + 2 * s + t for e, s, t in face] for name, face in FACES.items()}
SHADES = {"rear": 0.92, "front": 0.92, "left": 0.8, "right": 0.8, "top": 1.12}

Patch = tuple[float, float, float, float, Color]
"""A rectangle on a face in shares of it, (u0, v0, u1, v1), and its colour."""


@dataclasses.dataclass(frozen=True)
class Pose:
    """Where a car is and where it heads (radians; 0 is straight ahead)."""

    middle: np.ndarray  # [3]
    heading: float

    def place(self, points: ArrayLike) -> np.ndarray:
        """(along, across, height) from the middle, [N, 3], as world points."""
        along, across, height = np.asarray(points, np.float64).T
        sin, cos = np.sin(self.heading), np.cos(self.heading)
        offset = (along * sin + across * cos, height, along * cos - across * sin)
        return self.middle + np.stack(offset, 1)


def paint_car(
    canvas: Canvas,
    rng: np.random.Generator,
    look: Look,
    x: float,
    z: float,
    kind: str,
    heading: float,
) -> None:
    """A car whose near end is at depth `z`; if it stands across the street, its near side is."""
    body = BODIES[kind]
    color, glass = jitter(rng, pick(rng, look.paint), 8), jitter(rng, pick(rng, look.glass), 6)
    reach = 0.5 * body.length * abs(np.cos(heading)) + body.half * abs(np.sin(heading))
    pose = Pose(np.array([x, 0.0, z + reach]), heading)
    night = canvas.light.weather in ("evening", "rain", "fog", "night")
    faces = body_patches(color, night)
    half, end = body.half, 0.5 * body.length
    box(canvas, pose, (0.1 - end, end - 0.1), (half - 0.06,) * 2, (0, 0.4), (0, 0), DARK, {})
    heights = (0.26, body.waist)
    box(canvas, pose, (-end, end), (half, half - 0.02), heights, (0.04, 0.06), color, faces)
    paint_wheels(canvas, pose, body)
    cabin = (body.cabin[0] * body.length - end, body.cabin[1] * body.length - end)
    sides = (half - 0.04, half - (0.06 if body.roof > 2 else 0.16))
    heights = (body.waist - 0.02, body.roof)
    box(canvas, pose, cabin, sides, heights, body.slopes, color, cabin_patches(kind, glass))
    if night and abs(np.cos(heading)) > 0.5 and z > 2:
        ahead = np.cos(heading) > 0
        tint, radius = ((236, 40, 36), 0.13) if ahead else ((255, 244, 214), 0.22)
        for lamp in pose.place([(-end if ahead else end, s * 0.75 * half, 0.68) for s in (-1, 1)]):
            glow(canvas, lamp, radius, tint, CAR)


def body_patches(color: Color, night: bool) -> dict[str, list[Patch]]:
    """Bumpers, lamps, plates and trim."""
    tail = (236, 40, 36) if night else (190, 30, 34)
    lamp = (255, 250, 226) if night else (226, 226, 216)
    bumper = (0.0, 0.0, 1.0, 0.22, DARK)
    side = [(0.0, 0.0, 1.0, 0.14, DARK), (0.0, 0.62, 1.0, 0.66, toned(color, 0.7))]
    return {
        "rear": [
            bumper,
            (0.02, 0.5, 0.2, 0.85, tail),
            (0.8, 0.5, 0.98, 0.85, tail),
            (0.36, 0.3, 0.64, 0.48, PLATE),
        ],
        "front": [
            bumper,
            (0.03, 0.5, 0.24, 0.82, lamp),
            (0.76, 0.5, 0.97, 0.82, lamp),
            (0.3, 0.5, 0.7, 0.75, DARK),
            (0.36, 0.26, 0.64, 0.42, PLATE),
        ],
        "left": side,
        "right": side,
    }


def cabin_patches(kind: str, glass: Color) -> dict[str, list[Patch]]:
    """The windows."""
    pane = [(0.09, 0.12, 0.91, 0.88, glass), (0.09, 0.62, 0.91, 0.88, toned(glass, 1.2))]
    side = [(0.07, 0.1, 0.48, 0.88, glass), (0.52, 0.1, 0.93, 0.88, glass)]
    if kind == "bus":
        side = [(i / 6 + 0.015, 0.15, i / 6 + 0.15, 0.8, glass) for i in range(6)]
    if kind == "van":
        side = [(0.74, 0.2, 0.95, 0.85, glass)]
    mirrored = [(1 - u1, v0, 1 - u0, v1, color) for u0, v0, u1, v1, color in side]
    return {"rear": pane, "front": pane, "right": side, "left": mirrored}


def box(
    canvas: Canvas,
    pose: Pose,
    ends: tuple[float, float],
    halves: tuple[float, float],
    heights: tuple[float, float],
    slopes: tuple[float, float],
    color: Color,
    patches: dict[str, list[Patch]],
) -> None:
    """Paints the faces that can be seen; `halves` are half widths at the bottom and at the top."""
    corners = [
        ((ends[0] + slopes[0] * t, ends[1] - slopes[1] * t)[e], (2 * s - 1) * halves[t], heights[t])
        for e in (0, 1)
        for s in (0, 1)
        for t in (0, 1)
    ]
    world = pose.place(corners)
    pixels = project(canvas, world)
    for name, order in CORNERS.items():
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = pixels[order].tolist()
        turn = (cx - ax) * (dy - by) - (dx - bx) * (cy - ay)
        if turn * canvas.camera.mirror >= 0:  # clockwise: seen from inside
            continue
        quad = world[order]
        depth, shade = float(quad[:, 2].mean()), SHADES[name]
        fill(canvas, pixels[order], hazed(canvas, color, depth, shade), CAR)
        on_face = patches.get(name, [])[: 9 if depth < 35 else 1]  # far ones keep the first only
        for u0, v0, u1, v1, patch in on_face:
            u, v = np.array([[u0], [u1], [u1], [u0]]), np.array([[v0], [v0], [v1], [v1]])
            low = quad[0] + (quad[1] - quad[0]) * u
            points = low + (quad[3] + (quad[2] - quad[3]) * u - low) * v
            fill(canvas, project(canvas, points), hazed(canvas, patch, depth, shade), CAR)


def paint_wheels(canvas: Canvas, pose: Pose, body: Body) -> None:
    """The two wheels on the side towards the camera."""
    left, right = pose.place([(0, -body.half, 0), (0, body.half, 0)])
    outward, side = (left - right, -1) if left @ (left - right) < 0 else (right - left, 1)
    if (left if side < 0 else right) @ outward > 0:
        return
    for along in (-0.31 * body.length, 0.3 * body.length):
        for radius, color in ((0.34, (24, 24, 26)), (0.19, (150, 152, 156))):
            rim = ellipse(along, 0.34, radius, radius, 12)
            points = pose.place([(a, side * (body.half + 0.01), y) for a, y in rim])
            tone = hazed(canvas, color, float(points[0, 2]))
            fill(canvas, project(canvas, points), tone, CAR)
