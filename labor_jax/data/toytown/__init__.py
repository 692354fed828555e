"""Toytown: street scenes drawn from a seed, in a game-like `source` or camera-like `target` look.

A scene is laid out in metres, painted from far to near on a canvas of twice the size, and developed
into a photograph. `render` is a pure function: the size changes how finely a scene is drawn and
nothing else. All of it is ours [ours]; it resembles CamVid in the rough share of each class only.
"""

import functools
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from labor_jax.data.toytown import cars, photo, street, things
from labor_jax.data.toytown.canvas import Camera, Canvas, Light, jitter, on_ground, pick
from labor_jax.data.toytown.looks import LOOKS, SKY, Look
from labor_jax.data.toytown.street import FAR, Plan

SUPERSAMPLE = 2


def render(
    look: str, seed: int, index: int, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws scene number `index` of `seed`.

    Args:
      look: "source" (clean, sunny, saturated) or "target" (another town, weather and camera).
      seed: which town.
      index: which scene of it.
      height: pixels.
      width: pixels; the scene is framed for 4:3.
    Returns:
      image: [height, width, 3] uint8 RGB.
      label: [height, width] uint8, CamVid's eleven train ids, 255 on the camera car's bonnet.
    """
    rng = np.random.default_rng([seed, index, sorted(LOOKS).index(look)])
    style = LOOKS[look]
    h, w = SUPERSAMPLE * height, SUPERSAMPLE * width
    light = choose_light(rng, look)
    canvas = Canvas(
        np.zeros((h, w, 3), np.uint8),
        np.full((h, w), SKY, np.uint8),
        choose_camera(rng, style),
        light,
        [],
    )
    paint_scene(canvas, rng, style)
    if light.weather == "rain":
        photo.mirror_wet_road(canvas, rng, 0.5)
        photo.draw_rain(canvas, rng)
    photo.add_glows(canvas)
    if look == "target" and rng.random() < 0.25:
        photo.hood(canvas, rng)
    image = cv2.resize(canvas.image, (width, height), interpolation=cv2.INTER_AREA)
    label = np.ascontiguousarray(canvas.label[SUPERSAMPLE // 2 :: SUPERSAMPLE, 1::SUPERSAMPLE])
    if look == "source":
        return photo.develop_game(image), label
    return photo.develop_camera(image, rng, light.weather), label


def choose_camera(rng: np.random.Generator, look: Look) -> Camera:
    """Where the camera is and looks."""
    return Camera(
        eye=rng.uniform(*look.eye),
        focal=rng.uniform(*look.focal),
        horizon=rng.uniform(*look.horizon),
        drift=rng.normal(0, 0.07),
        mirror=look.mirror,
    )


def choose_light(rng: np.random.Generator, look: str) -> Light:
    """Sun for the source, one of four kinds of bad weather for the target."""
    if look == "source":
        sun = (float(pick(rng, (-1, 1))) * rng.uniform(0.3, 0.9), rng.uniform(-0.25, 0.6))
        return Light("sunny", (70, 136, 226), (206, 228, 246), 0.0035, sun, 0.74, 0.62, 0.0)
    weather = pick(rng, ("overcast", "overcast", "evening", "rain", "fog"))
    sun = (float(pick(rng, (-1, 1))) * 0.15, 0.1)
    air = {
        "overcast": ((164, 172, 182), (214, 216, 216), 0.006, 0.9, 0.0),
        "evening": ((92, 100, 140), (232, 178, 140), 0.006, 0.85, 0.5),
        "rain": ((128, 134, 142), (176, 180, 184), 0.013, 0.9, 0.2),
        "fog": ((196, 198, 198), (206, 206, 204), 0.024, 0.95, 0.08),
    }
    zenith, horizon, haze, dim, lit = air[weather]
    return Light(weather, zenith, horizon, haze, sun, dim, 0.76, lit)


def choose_plan(rng: np.random.Generator, look: Look) -> Plan:
    """The street's width, its pavements and whether there is a crossing."""
    lane = rng.uniform(*look.lane)
    centre = -0.5 * lane
    left = centre - lane - (2.2 if rng.random() < look.parked_left else 0.3)
    right = centre + lane + (2.2 if rng.random() < look.parked_right else 0.3)
    return Plan(
        left=left,
        right=right,
        outer_left=left - rng.uniform(*look.pavement_width),
        outer_right=right + rng.uniform(*look.pavement_width),
        centre=centre,
        lane=lane,
        crossing=rng.uniform(20, 45) if rng.random() < 0.5 else 10 * FAR,
        side_street=rng.uniform(3.2, 5.0),
    )


# ---------------------------------------------------------------------------- what stands where

Thing = tuple[float, Callable[[Canvas], None], np.ndarray]
"""Depth, how to paint it, and its shadow on the ground [N, 3]."""


def paint_scene(canvas: Canvas, rng: np.random.Generator, look: Look) -> None:
    """Everything, from far to near."""
    plan, sun = choose_plan(rng, look), canvas.light.sun
    houses = street.plan_buildings(rng, look, plan)
    backdrop = list(gardens(rng, look, plan, sun))
    things_there = [
        *furniture(rng, look, plan, sun),
        *traffic(rng, look, plan, sun),
        *people(rng, look, plan, sun),
    ]
    shadows = [shadow for _, _, shadow in things_there]
    if canvas.light.weather == "sunny":
        shadows += [house.shadow(sun) for house in houses]

    cloudiness = pick(rng, (0.15, 0.3, 0.45, 0.9)) if canvas.light.weather == "sunny" else 0.8
    street.paint_sky(canvas, rng, 0.0 if canvas.light.weather == "fog" else cloudiness)
    street.paint_skyline(canvas, rng, look)
    street.paint_ground(canvas, rng, look, plan, shadows)
    street.paint_markings(canvas, rng, look, plan)
    for _, paint, _ in sorted(backdrop, key=lambda thing: -thing[0]):
        paint(canvas)
    for house in houses:
        street.paint_building(canvas, rng, look, house)
    # Whatever stands between the walls is never behind one, so the rest can follow by depth.
    for _, paint, _ in sorted(things_there, key=lambda thing: -thing[0]):
        paint(canvas)


def thing(paint: Callable, rng, look: Look, x: float, z: float, *args, shadow) -> Thing:
    """A thing that `paint` draws at (x, z)."""
    draw = functools.partial(paint, rng=rng, look=look, x=x, z=z)
    return z, lambda canvas: draw(canvas, **dict(args)), on_ground(shadow, z, x)


def cast(half: float, height: float, sun: tuple[float, float], start: float = 0.0) -> list:
    """The shadow in plan of an upright thing between heights `start` and `height`."""
    (dx, dz), (sx, sz) = np.multiply(sun, height), np.multiply(sun, start)
    low = [(sx - half, sz - 0.1), (sx + half, sz - 0.1), (sx + half, sz + 0.1)]
    return [*low, (dx + half, dz + 0.1), (dx, dz + 0.2), (dx - half, dz), (sx - half, sz)]


def gardens(rng, look: Look, plan: Plan, sun) -> Iterator[Thing]:
    """Trees behind and between the houses."""
    for side, outer in ((-1, plan.outer_left), (1, plan.outer_right)):
        z = rng.uniform(6, 14)
        while z < FAR:
            x = outer + side * rng.uniform(2.5, 16)
            height = rng.uniform(5, 10)
            yield thing(things.paint_tree, rng, look, x, z, ("height", height), shadow=[(0, 0)] * 3)
            z += rng.uniform(6, 14)


def furniture(rng, look: Look, plan: Plan, sun) -> Iterator[Thing]:
    """Fences, hedges, street trees, lamps, signs, traffic lights and bollards."""
    for side, kerb, outer in (
        (-1, plan.left, plan.outer_left),
        (1, plan.right, plan.outer_right),
    ):
        yield from fences(rng, look, plan, side, kerb, outer, sun)
        z = rng.uniform(6, 16)
        planted = rng.random() < look.avenues
        while z < 80:
            if planted and not plan.at_crossing(z, z, 2):
                x, height = kerb + side * rng.uniform(0.7, 1.1), rng.uniform(5.0, 9.0)
                crown = cast(0.25 * height, 0.95 * height, sun, 0.35 * height)
                yield thing(things.paint_tree, rng, look, x, z, ("height", height), shadow=crown)
            z += rng.uniform(*look.street_trees)
        z = rng.uniform(5, 13)
        while z < 50:
            x = kerb + side * rng.uniform(0.3, 0.6)
            if not plan.at_crossing(z, z):
                yield thing(things.paint_lamp, rng, look, x, z, shadow=cast(0.1, 6, sun))
            z += rng.uniform(*look.lamps)
        for _ in range(int(rng.integers(1, 4))):
            x, z = kerb + side * rng.uniform(0.35, 0.9), rng.uniform(6, 22)
            if not plan.at_crossing(z, z):
                yield thing(things.paint_sign, rng, look, x, z, shadow=cast(0.3, 2.8, sun))
        if rng.random() < look.bollards:
            for z in rng.uniform(5, 9) + 1.8 * np.arange(5):
                x = kerb + side * 0.35
                yield thing(things.paint_bollard, rng, look, x, z, shadow=cast(0.1, 1, sun))
        if plan.crossing < FAR:
            x = kerb + side * 0.5
            for z in (plan.crossing - plan.side_street - 4.8, plan.crossing + plan.side_street + 1):
                yield thing(things.paint_traffic_light, rng, look, x, z, shadow=cast(0.2, 4, sun))


def fences(rng, look: Look, plan: Plan, side: int, kerb: float, outer: float, sun):
    """Runs of fence or hedge at the back of the pavement, or a railing at the kerb."""
    if rng.random() > look.fenced:
        return
    kind, height = pick(rng, look.fences), rng.uniform(0.95, 1.6)
    at_kerb = kind == "rail" and rng.random() < 0.5
    x = kerb + side * 0.3 if at_kerb else outer - side * 0.05
    z, end = rng.uniform(3, 9), rng.uniform(20, 50)
    color = jitter(rng, pick(rng, look.fence_colors[kind]), 8)
    hedge = rng.random() < look.hedges
    while z < end:
        if not plan.at_crossing(z, z + 3.0):
            ends = (x, z), (x, z + 3.0)
            paint = functools.partial(
                street.paint_fence,
                rng=rng,
                kind=kind,
                color=color,
                start=ends[0],
                end=ends[1],
                height=height,
            )
            dx, dz = np.multiply(sun, height)
            yield z + 1.5, paint, on_ground([(0, 0), (0, 3), (dx, 3 + dz), (dx, dz)], z, x)
            if hedge and not at_kerb:
                for offset in (0.5, 1.5, 2.5):
                    bush = x + side * 0.7
                    yield thing(
                        things.paint_hedge,
                        rng,
                        look,
                        bush,
                        z + offset + 1.5,
                        ("size", 1.5 * height),
                        shadow=[(0, 0)] * 3,
                    )
        z += 3.0


def traffic(rng, look: Look, plan: Plan, sun) -> Iterator[Thing]:
    """Parked cars, moving cars in both directions, cars in the side street."""
    kinds = ("hatch", "saloon", "hatch", "estate", "van")

    def car(kind: str, x: float, z: float, heading: float) -> Thing:
        body = cars.BODIES[kind]
        dx, dz = np.multiply(sun, body.roof * 0.8)
        a, b = body.half, body.length
        if abs(np.cos(heading)) < 0.5:
            a, b = 0.5 * b, 2 * a
        plan_shadow = cv2.convexHull(
            np.float32(
                [
                    (s * (a + 0.1) + k * dx, e + k * dz)
                    for s in (-1, 1)
                    for e in (0, b)
                    for k in (0, 1)
                ]
            )
        )[:, 0]
        return thing(
            cars.paint_car,
            rng,
            look,
            x,
            z,
            ("kind", kind),
            ("heading", heading),
            shadow=plan_shadow,
        )

    for side, kerb, middle in (
        (-1, plan.left, plan.centre - plan.lane),
        (1, plan.right, plan.centre + plan.lane),
    ):
        if abs(kerb - middle) < 1:
            continue
        z = rng.uniform(4, 9)
        while z < 80:
            if rng.random() < look.parked and not plan.at_crossing(z, z + 5, 4):
                heading = 0.0 if side > 0 or rng.random() < 0.3 else np.pi
                yield car(pick(rng, kinds), kerb - side * 1.1, z, heading)
            z += rng.uniform(5.6, 7.5)
    z = rng.uniform(8, 30)
    while z < 90:
        kind = pick(rng, (*kinds, "bus"))
        yield car(kind, plan.centre + 0.5 * plan.lane + rng.uniform(-0.2, 0.2), z, 0.0)
        z += rng.uniform(*look.traffic) + cars.BODIES[kind].length
    z = rng.uniform(5, 20)
    while z < 90:
        kind = pick(rng, (*kinds, "bus"))
        yield car(kind, plan.centre - 0.5 * plan.lane + rng.uniform(-0.2, 0.2), z, np.pi)
        z += rng.uniform(*look.traffic) + cars.BODIES[kind].length
    if plan.crossing < FAR:
        for _ in range(int(rng.integers(0, 3))):
            way = pick(rng, (-1, 1))
            x, z = rng.uniform(-14, 14), plan.crossing - way * 0.4 * plan.side_street - 0.8
            yield car(pick(rng, kinds), x, z, way * np.pi / 2)


def people(rng, look: Look, plan: Plan, sun) -> Iterator[Thing]:
    """People on the pavements and on crossings, cyclists on the road."""
    for _ in range(int(rng.integers(look.people[0], look.people[1] + 1))):
        side = pick(rng, (-1, 1))
        kerb, outer = (plan.left, plan.outer_left) if side < 0 else (plan.right, plan.outer_right)
        z = rng.uniform(4.5, 14)
        x = kerb + side * rng.uniform(0.6, abs(outer - kerb) - 0.4)
        if rng.random() < 0.12:
            x = rng.uniform(plan.left, plan.right)
            z = rng.uniform(9, 16)
        height = rng.uniform(1.62, 1.92)
        for k in range(1 + (rng.random() < 0.3)):
            yield thing(
                things.paint_person,
                rng,
                look,
                x + 0.55 * k,
                z + 0.2 * k,
                ("height", height - 0.08 * k),
                shadow=cast(0.22, height, sun),
            )
    for _ in range(int(rng.integers(look.cyclists[0], look.cyclists[1] + 1))):
        side = pick(rng, (-1, 1, 1))
        z = rng.uniform(5.5, 13)
        x = plan.right - rng.uniform(0.5, 1.2) if side > 0 else plan.left + rng.uniform(0.5, 1.2)
        turn = rng.uniform(0.0, 0.5)
        if rng.random() < 0.3:
            x, turn = rng.uniform(plan.left, plan.right), pick(rng, (-1.0, 1.0))
            z = rng.uniform(8, 14)
        yield thing(
            things.paint_cyclist, rng, look, x, z, ("turn", turn), shadow=cast(0.4, 1.6, sun)
        )
