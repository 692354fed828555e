"""What stands and moves in the street beside cars: trees, poles, signs, people, cyclists."""

import cv2
import numpy as np
from numpy.typing import ArrayLike

from labor_jax.data.toytown.canvas import (
    Canvas,
    Point,
    card,
    ellipse,
    glow,
    hazed,
    jitter,
    limb,
    pick,
    rectangle,
)
from labor_jax.data.toytown.looks import (
    BICYCLIST,
    PEDESTRIAN,
    POLE,
    SIGN,
    TREE,
    Color,
    Look,
)

Rng = np.random.Generator

# ---------------------------------------------------------------------------------------- trees


def blobs(
    canvas: Canvas,
    rng: Rng,
    centers: np.ndarray,
    radii: np.ndarray,
    x: float,
    z: float,
    color: Color,
) -> None:
    """Leaves: discs at `centers` [N, 2], dark below and behind, light above and in front."""
    camera, scale, (cx, cy) = canvas.camera, canvas.scale(z), canvas.center
    low, high = centers[:, 1].min(), np.ptp(centers[:, 1]) + 1e-6
    lift, front = (centers[:, 1] - low) / high, np.linspace(0, 1, len(centers))
    sunny = 0.06 * np.sign(canvas.light.sun[0]) * centers[:, 0] / high
    shades = 0.62 + (0.28 + 0.3 * front) * lift - sunny + rng.normal(0, 0.09, len(centers))
    xs = np.rint((cx + camera.mirror * (x + centers[:, 0]) * scale) * 16).astype(int).tolist()
    ys = np.rint((cy + (camera.eye - centers[:, 1]) * scale) * 16).astype(int).tolist()
    rs = np.maximum(8, np.rint(radii * scale * 16)).astype(int).tolist()
    for px, py, r, shade in zip(xs, ys, rs, shades.tolist(), strict=True):
        leaf = hazed(canvas, color, z, shade)
        cv2.circle(canvas.image, (px, py), r, leaf, -1, cv2.LINE_AA, 4)
        cv2.circle(canvas.label, (px, py), r, TREE, -1, cv2.LINE_8, 4)


def paint_tree(canvas: Canvas, rng: Rng, look: Look, x: float, z: float, height: float) -> None:
    """A trunk, boughs, and a crown of leaves."""
    kind = pick(rng, look.trees)
    bark = jitter(rng, pick(rng, look.bark), 8)
    crown = height * (0.45 if kind == "ball" else rng.uniform(0.3, 0.42))
    thick = 0.045 * height
    card(canvas, limb((0, -0.1), (0, crown + 0.15 * height), thick * 1.3, thick), x, z, bark, TREE)
    count = int(np.clip(64 - z, 18, 56))
    color = jitter(rng, pick(rng, look.leaves), 9)
    if kind == "cone":
        rise = np.sort(rng.uniform(0, 1, count))
        spread = (1 - rise) * 0.24 * height
        centers = np.stack([rng.uniform(-1, 1, count) * spread, height * (0.16 + 0.8 * rise)], 1)
        blobs(canvas, rng, centers, 0.03 * height + 0.09 * height * (1 - rise), x, z, color)
        return
    if kind in ("bare", "thin"):
        for _ in range(12 if z < 25 else 5):
            p = np.array([0, rng.uniform(0.25, 0.55) * height])
            for width in (0.5, 0.28, 0.14)[: 3 if z < 25 else 2]:
                bend = rng.uniform(-1.0, 1.0)
                q = p + np.array([np.sin(bend), np.cos(bend)]) * height * rng.uniform(0.1, 0.2)
                outline = limb(p, q, thick * width, thick * width * 0.6)
                card(canvas, outline, x, z, bark, TREE, 0.9)
                p = q
    count = {"bare": count // 2, "thin": 2 * count}.get(kind, count)
    turn, away = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.uniform(0, 1, count))
    rx, ry = (0.26, 0.26) if kind == "ball" else (rng.uniform(0.24, 0.34), rng.uniform(0.26, 0.34))
    centers = np.stack([np.cos(turn) * away * rx, np.sin(turn) * away * ry], 1) * height
    centers += (0, crown + 0.6 * ry * height)
    size = {"ball": 0.095, "broad": 0.066, "thin": 0.03, "bare": 0.022}[kind]
    radii = height * size * rng.uniform(0.6, 1.2, count)
    order = np.argsort(np.abs(turn - np.pi / 2) < 1.2, kind="stable")
    blobs(canvas, rng, centers[order], radii[order], x, z, color)


def paint_hedge(canvas: Canvas, rng: Rng, look: Look, x: float, z: float, size: float) -> None:
    """A bush, wider than high."""
    count = 22
    centers = np.stack([rng.uniform(-1, 1, count) * size, rng.uniform(0.1, 0.75, count) * size], 1)
    blobs(
        canvas,
        rng,
        centers,
        size * rng.uniform(0.2, 0.34, count),
        x,
        z,
        jitter(rng, pick(rng, look.leaves), 7),
    )


# ------------------------------------------------------------------------------ poles and signs


def paint_pole(
    canvas: Canvas, x: float, z: float, height: float, thick: float, color: Color
) -> None:
    """A post with a darker side."""
    card(canvas, rectangle(-thick / 2, 0, thick / 2, height), x, z, color, POLE)
    card(canvas, rectangle(-thick / 2, 0, -thick / 6, height), x, z, color, POLE, 0.75)


def paint_lamp(canvas: Canvas, rng: Rng, look: Look, x: float, z: float) -> None:
    """A street lamp with an arm over the road."""
    color, height = jitter(rng, pick(rng, look.pole), 6), rng.uniform(5.5, 7.5)
    reach = -np.sign(x) * rng.uniform(0.9, 1.6)
    paint_pole(canvas, x, z, height, rng.uniform(0.14, 0.2), color)
    card(canvas, rectangle(-0.15, 0, 0.15, 0.8), x, z, color, POLE, 0.85)
    card(canvas, limb((0, height), (reach, height + 0.3), 0.14, 0.12), x, z, color, POLE)
    head = limb((reach, height + 0.28), (reach * 1.45, height + 0.26), 0.3, 0.2)
    card(canvas, head, x, z, (90, 92, 96), POLE)
    if canvas.light.weather in ("evening", "night"):
        glow(canvas, (x + reach * 1.2, height + 0.2, z), 0.3, (255, 220, 165), POLE)


def paint_traffic_light(canvas: Canvas, rng: Rng, look: Look, x: float, z: float) -> None:
    """A traffic light on its post."""
    color, height = jitter(rng, pick(rng, look.pole), 6), rng.uniform(2.7, 3.2)
    paint_pole(canvas, x, z, height, 0.17, color)
    card(canvas, rectangle(-0.3, height - 0.2, 0.3, height + 1.1), x, z, (34, 36, 38), SIGN)
    on = int(rng.integers(3))
    for i, lamp in enumerate(((70, 220, 120), (250, 190, 60), (240, 50, 44))):
        at = (0, height + 0.05 + 0.4 * i)
        shade = 1.0 if i == on else 0.3
        card(canvas, ellipse(*at, 0.16, 0.16), x, z, lamp, SIGN, shade)
        if i == on and canvas.light.weather != "sunny":
            glow(canvas, (x, at[1], z), 0.2, lamp, SIGN)


def paint_sign(canvas: Canvas, rng: Rng, look: Look, x: float, z: float) -> None:
    """A traffic sign on its post; the larger, the farther."""
    kind, color = pick(rng, look.signs), jitter(rng, pick(rng, look.pole), 6)
    r = rng.uniform(0.42, 0.6)
    y = rng.uniform(2.3, 2.8)
    fade = look.sign_fade

    def plate(points: ArrayLike, paint: Color) -> None:
        faded = tuple(np.add(np.multiply(paint, 1 - fade), 118 * fade))
        card(canvas, np.add(points, (0, y)), x, z, faded, SIGN)

    paint_pole(canvas, x, z, y + 0.2, 0.13, color)
    red, blue, white, yellow, green = (
        (214, 30, 36),
        (28, 86, 190),
        (246, 246, 244),
        (250, 204, 40),
        (24, 120, 80),
    )
    if kind == "stop":
        plate(ellipse(0, 0, r, r, 8), white)
        plate(ellipse(0, 0, r * 0.9, r * 0.9, 8), red)
        plate(rectangle(-r * 0.6, -r * 0.16, r * 0.6, r * 0.16), white)
    elif kind == "round":
        plate(ellipse(0, 0, r, r, 18), red)
        plate(ellipse(0, 0, r * 0.7, r * 0.7, 18), white)
        plate(rectangle(-r * 0.3, -r * 0.3, r * 0.3, r * 0.3), (40, 40, 44))
    elif kind == "disc":
        plate(ellipse(0, 0, r, r, 18), blue)
        plate(limb((0, -r * 0.5), (0, r * 0.5), r * 0.2, r * 0.2), white)
    elif kind == "triangle":
        corners = np.array([(-1, -0.8), (1, -0.8), (0, 1.0)]) * r * 1.1
        plate(corners, red)
        plate(corners * 0.62 + (0, -0.06 * r), white)
    elif kind == "diamond":
        corners = np.array([(-1, 0), (0, -1), (1, 0), (0, 1)]) * r * 1.1
        plate(corners, white)
        plate(corners * 0.8, yellow)
    elif kind == "square":
        plate(rectangle(-r, -r, r, r), blue)
        plate(np.array([(-0.6, -0.6), (0.6, -0.6), (0, 0.6)]) * r, white)
    elif kind == "plate":
        plate(rectangle(-r * 0.75, -r * 1.1, r * 0.75, r * 1.1), white)
        plate(ellipse(0, r * 0.35, r * 0.5, r * 0.5), red)
        plate(rectangle(-r * 0.5, -r * 0.85, r * 0.5, -r * 0.5), (60, 60, 64))
    else:
        back = pick(rng, (green, blue, white))
        ink = (40, 40, 44) if back is white else white
        plate(rectangle(-1.15, -0.55, 1.15, 0.55), ink)
        plate(rectangle(-1.08, -0.48, 1.08, 0.48), back)
        for row in (-0.22, 0.18):
            plate(rectangle(-0.85, row - 0.08, rng.uniform(0.1, 0.7), row + 0.1), ink)


def paint_bollard(canvas: Canvas, rng: Rng, look: Look, x: float, z: float) -> None:
    """A short post with a pale band."""
    color = jitter(rng, pick(rng, look.pole), 6)
    paint_pole(canvas, x, z, 1.05, 0.22, color)
    card(canvas, rectangle(-0.11, 0.75, 0.11, 0.92), x, z, (226, 222, 210), POLE)


# ------------------------------------------------------------------------- people and cyclists


def paint_person(canvas: Canvas, rng: Rng, look: Look, x: float, z: float, height: float) -> None:
    """A walking figure, seen from the side or along its way."""
    skin = jitter(rng, pick(rng, ((232, 188, 156), (198, 144, 108), (120, 82, 60))), 6)
    hair = jitter(rng, pick(rng, ((60, 44, 34), (30, 28, 28), (160, 120, 70), (120, 116, 112))), 6)
    top, legs = jitter(rng, pick(rng, look.cloth), 7), jitter(rng, pick(rng, look.trousers), 7)
    sideways, phase = rng.random() < 0.5, rng.uniform(-1, 1)
    swing = (0.2 if sideways else 0.05) * phase
    apart = 0.0 if sideways else 0.055
    skirt, bag = rng.random() < 0.2, rng.random() < 0.35

    def part(p: Point, q: Point, wp: float, wq: float, color: Color, shade: float = 1.0) -> None:
        card(canvas, limb(p, q, wp, wq) * height, x, z, color, PEDESTRIAN, shade)

    for side, shade in ((-1, 0.78), (1, 1.0)):
        foot = (side * (apart + swing), 0.02)
        knee = (side * (apart + swing * 0.62) + 0.02 * sideways, 0.26)
        part((side * apart * 0.9, 0.5), knee, 0.105, 0.08, legs, shade)
        part(knee, foot, 0.08, 0.06, legs, shade)
        part(foot, np.add(foot, (0.05 * sideways + 0.01, 0)), 0.05, 0.045, (40, 36, 36))
    if skirt:
        card(
            canvas,
            np.array([(-0.07, 0.56), (0.07, 0.56), (0.12, 0.3), (-0.12, 0.3)]) * height,
            x,
            z,
            top,
            PEDESTRIAN,
            0.85,
        )
    wide = 0.13 if sideways else 0.19
    part((0.0, 0.76), (0.0, 0.52), wide, wide * 0.85, top)
    if bag:
        part((-0.09, 0.74), (-0.09, 0.6), 0.11, 0.11, jitter(rng, pick(rng, look.cloth), 8), 0.8)
    for side, shade in ((-1, 0.8), (1, 1.08)):
        shoulder = (side * (0.02 if sideways else 0.105), 0.79)
        elbow = (side * (0.03 if sideways else 0.13) - side * swing * 0.5, 0.63)
        hand = (elbow[0] - side * swing * 0.35 + 0.02 * sideways, 0.49)
        part(shoulder, elbow, 0.07, 0.06, top, shade)
        part(elbow, hand, 0.055, 0.045, top if rng.random() < 0.7 else skin, shade)
    part((0, 0.86), (0, 0.82), 0.06, 0.07, skin, 0.9)
    card(canvas, ellipse(0, 0.925, 0.062, 0.075) * height, x, z, hair, PEDESTRIAN)
    if rng.random() < 0.65:
        card(canvas, ellipse(0.012, 0.91, 0.048, 0.058) * height, x, z, skin, PEDESTRIAN)


def paint_cyclist(canvas: Canvas, rng: Rng, look: Look, x: float, z: float, turn: float) -> None:
    """A rider on a bicycle; `turn` 0 is along the street, 1 seen from the side, -1 mirrored."""
    skin = jitter(rng, pick(rng, ((232, 188, 156), (198, 144, 108), (120, 82, 60))), 6)
    top, legs = jitter(rng, pick(rng, look.cloth), 7), jitter(rng, pick(rng, look.trousers), 7)
    frame, helmet = jitter(rng, pick(rng, look.bicycle), 6), jitter(rng, pick(rng, look.cloth), 9)
    squeeze = np.array([np.sign(turn) * max(abs(turn), 0.1) if turn else 0.1, 1.0])
    pedal = rng.uniform(0, 2 * np.pi)

    def draw(points: ArrayLike, color: Color, shade: float = 1.0) -> None:
        card(canvas, points, x, z, color, BICYCLIST, shade)

    def part(p: Point, q: Point, wp: float, wq: float, color: Color, shade: float = 1.0) -> None:
        draw(limb(np.multiply(p, squeeze), np.multiply(q, squeeze), wp, wq), color, shade)

    for axle in (-0.52, 0.54):
        rim = ellipse(0, 0, 0.36, 0.36, 16) * squeeze
        draw(rim + np.multiply((axle, 0.36), squeeze), (30, 30, 32))
        if abs(turn) > 0.4:
            ring = rim * (0.74, 0.74) + np.multiply((axle, 0.36), squeeze)
            draw(ring, (132, 134, 136) if canvas.light.weather == "sunny" else (98, 98, 98))
    crank, seat, bar = (-0.06, 0.34), (-0.2, 0.88), (0.42, 0.98)
    for p, q in (
        (crank, seat),
        (crank, (0.38, 0.8)),
        ((-0.16, 0.76), (0.38, 0.82)),
        ((-0.52, 0.36), crank),
        ((-0.52, 0.36), (-0.17, 0.74)),
        ((0.54, 0.36), bar),
    ):
        part(p, q, 0.06, 0.06, frame)
    part((-0.32, 0.9), (-0.08, 0.92), 0.08, 0.06, (34, 32, 32))
    apart = 0.13 * (1 - abs(turn))
    for side, shade in ((-1, 0.78), (1, 1.0)):
        step = pedal + np.pi * (side > 0)
        foot = (-0.06 + 0.16 * np.cos(step), 0.34 + 0.16 * np.sin(step))
        knee = (0.2 + 0.05 * np.cos(step), 0.72 + 0.1 * np.sin(step))
        shift = np.array([side * apart, 0])
        draw(
            limb(
                np.multiply((-0.18, 0.96), squeeze) + shift,
                np.multiply(knee, squeeze) + shift,
                0.19,
                0.15,
            ),
            legs,
            shade,
        )
        draw(
            limb(np.multiply(knee, squeeze) + shift, np.multiply(foot, squeeze) + shift, 0.14, 0.1),
            legs,
            shade,
        )
    shoulder = (0.14, 1.42)
    part((-0.17, 1.0), shoulder, 0.3 + 0.1 * (1 - abs(turn)), 0.32 + 0.12 * (1 - abs(turn)), top)
    for side in (-1, 1):
        shift = np.array([side * apart * 1.9, 0])
        draw(
            limb(
                np.multiply((0.14, 1.4), squeeze) + shift,
                np.multiply((0.28, 1.14), squeeze) + shift,
                0.12,
                0.1,
            ),
            top,
            0.88,
        )
        draw(
            limb(
                np.multiply((0.28, 1.14), squeeze) + shift,
                np.multiply((0.42, 1.04), squeeze) + shift,
                0.09,
                0.08,
            ),
            skin,
        )
    head = np.multiply((0.24, 1.66), squeeze)
    draw(ellipse(head[0], head[1], 0.12, 0.15), skin)
    draw(ellipse(head[0], head[1] + 0.06, 0.135, 0.11), helmet)
