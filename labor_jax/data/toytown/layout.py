"""What stands where in a street: trees, furniture, cars and people, each with its shadow."""

import dataclasses
import functools
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from labor_jax.data.toytown import cars, street, things
from labor_jax.data.toytown.canvas import Canvas, jitter, on_ground, pick
from labor_jax.data.toytown.looks import Look
from labor_jax.data.toytown.street import FAR, Plan

Rng = np.random.Generator
Sun = tuple[float, float]
"""X and Z offset of a shadow a metre of height."""

CARS = ("hatch", "saloon", "hatch", "estate", "van")
TRAFFIC = (*CARS, "bus")
NO_SHADOW = np.zeros((3, 2))


@dataclasses.dataclass(frozen=True)
class Thing:
    """Something that faces the camera or moves."""

    z: float  # depth, by which things are painted
    paint: Callable[[Canvas], None]
    shadow: np.ndarray  # [N, 3] on the ground


def stand(
    paint: Callable, rng: Rng, look: Look, x: float, z: float, shadow: np.ndarray, **how: object
) -> Thing:
    """A thing that `paint` draws at (x, z); its shadow [N, 2] is in plan, from there."""
    draw = functools.partial(paint, rng=rng, look=look, x=x, z=z, **how)
    return Thing(z, draw, on_ground(shadow, z, x))


def cast(half: float, height: float, sun: Sun, start: float = 0.0) -> np.ndarray:
    """The shadow in plan [N, 2] of an upright thing between heights `start` and `height`."""
    (dx, dz), (sx, sz) = np.multiply(sun, height), np.multiply(sun, start)
    low = [(sx - half, sz), (sx - half, sz - 0.1), (sx + half, sz - 0.1), (sx + half, sz + 0.1)]
    return np.array([*low, (dx + half, dz + 0.1), (dx, dz + 0.2), (dx - half, dz)])


def everything(rng: Rng, look: Look, plan: Plan, sun: Sun) -> list[Thing]:
    """All that stands between the walls, far things first."""
    found = [*traffic(rng, look, plan, sun), *people(rng, look, plan, sun)]
    found += cyclists(rng, look, plan, sun)
    for side in (-1, 1):
        found += fences(rng, look, plan, side, sun)
        found += furniture(rng, look, plan, side, sun)
    return sorted(found, key=lambda thing: -thing.z)


def gardens(rng: Rng, look: Look, plan: Plan) -> list[Thing]:
    """Trees behind and between the houses, far ones first."""
    trees = []
    for side in (-1, 1):
        z = rng.uniform(6, 14)
        while z < 75:
            x, height = plan.outer(side) + side * rng.uniform(2.5, 16), rng.uniform(5, 10)
            trees.append(stand(things.paint_tree, rng, look, x, z, NO_SHADOW, height=height))
            z += rng.uniform(6, 14)
    return sorted(trees, key=lambda tree: -tree.z)


def furniture(rng: Rng, look: Look, plan: Plan, side: int, sun: Sun) -> Iterator[Thing]:
    """Trees, lamps, signs, traffic lights and bollards along one kerb."""
    kerb, put = plan.kerb(side), functools.partial(stand, rng=rng, look=look)
    z, planted = rng.uniform(6, 16), rng.random() < look.avenues
    while z < 60 and planted:
        if not plan.at_crossing(z, z, 2):
            x, height = kerb + side * rng.uniform(0.7, 1.1), rng.uniform(5.0, 9.0)
            crown = cast(0.25 * height, 0.95 * height, sun, 0.35 * height)
            yield put(things.paint_tree, x=x, z=z, shadow=crown, height=height)
        z += rng.uniform(*look.street_trees)
    z = rng.uniform(5, 13)
    while z < 50:
        x = kerb + side * rng.uniform(0.3, 0.6)
        if not plan.at_crossing(z, z):
            yield put(things.paint_lamp, x=x, z=z, shadow=cast(0.1, 6, sun))
        z += rng.uniform(*look.lamps)
    for _ in range(int(rng.integers(1, 4))):
        x, z = kerb + side * rng.uniform(0.35, 0.9), rng.uniform(6, 22)
        if not plan.at_crossing(z, z):
            yield put(things.paint_sign, x=x, z=z, shadow=cast(0.3, 2.8, sun))
    if rng.random() < look.bollards:
        for z in rng.uniform(5, 9) + 1.8 * np.arange(5):
            yield put(things.paint_bollard, x=kerb + side * 0.35, z=z, shadow=cast(0.1, 1, sun))
    if plan.crossing < FAR:
        x = kerb + side * 0.5
        for z in (plan.crossing - plan.side_street - 4.8, plan.crossing + plan.side_street + 1):
            yield put(things.paint_traffic_light, x=x, z=z, shadow=cast(0.2, 4, sun))


def fences(rng: Rng, look: Look, plan: Plan, side: int, sun: Sun) -> Iterator[Thing]:
    """A fence at the back of the pavement, perhaps with a hedge, or a railing at the kerb."""
    if rng.random() > look.fenced:
        return
    kind, height = pick(rng, look.fences), rng.uniform(0.95, 1.6)
    at_kerb = kind == "rail" and rng.random() < 0.5
    hedged = rng.random() < look.hedges and not at_kerb
    x = plan.kerb(side) + side * 0.3 if at_kerb else plan.outer(side) - side * 0.05
    draw = functools.partial(
        street.paint_fence,
        rng=rng,
        kind=kind,
        color=jitter(rng, pick(rng, look.fence_colors[kind]), 8),
        height=height,
    )
    dx, dz = np.multiply(sun, height)
    for z in np.arange(rng.uniform(3, 9), rng.uniform(20, 50), 3.0):
        if plan.at_crossing(z, z + 3.0):
            continue
        shadow = on_ground([(0, 0), (0, 3), (dx, 3 + dz), (dx, dz)], z, x)
        yield Thing(z + 1.5, functools.partial(draw, start=(x, z), end=(x, z + 3.0)), shadow)
        for behind in (2.0, 3.0, 4.0) if hedged else ():
            bush = functools.partial(stand, things.paint_hedge, rng, look, size=1.5 * height)
            yield bush(x=x + side * 0.7, z=z + behind, shadow=NO_SHADOW)


def car(rng: Rng, look: Look, kind: str, x: float, z: float, heading: float, sun: Sun) -> Thing:
    """A car whose near end is at (x, z)."""
    body = cars.BODIES[kind]
    (dx, dz), half, length = np.multiply(sun, 0.8 * body.roof), body.half, body.length
    if abs(np.cos(heading)) < 0.5:
        half, length = 0.5 * length, 2 * half
    low = np.array([(-half - 0.1, 0), (half + 0.1, 0), (half + 0.1, length), (-half - 0.1, length)])
    shadow = cv2.convexHull(np.array([*low, *np.add(low, (dx, dz))], np.float32))[:, 0]
    return stand(cars.paint_car, rng, look, x, z, shadow, kind=kind, heading=heading)


def traffic(rng: Rng, look: Look, plan: Plan, sun: Sun) -> Iterator[Thing]:
    """Parked cars, moving cars in both directions, cars in the side street."""
    place = functools.partial(car, rng, look, sun=sun)
    for side in (-1, 1):
        if abs(plan.kerb(side) - plan.centre) < plan.lane + 1:
            continue  # no room to park
        z = rng.uniform(4, 9)
        while z < 60:
            if rng.random() < look.parked and not plan.at_crossing(z, z + 5, 4):
                heading = 0.0 if side > 0 or rng.random() < 0.3 else np.pi
                yield place(pick(rng, CARS), plan.kerb(side) - side * 1.1, z, heading)
            z += rng.uniform(5.6, 7.5)
    for side, heading, nearest in ((1, 0.0, 8.0), (-1, np.pi, 5.0)):
        z = rng.uniform(nearest, nearest + 18)
        while z < 65:
            kind, x = pick(rng, TRAFFIC), plan.centre + side * 0.5 * plan.lane
            yield place(kind, x + rng.uniform(-0.2, 0.2), z, heading)
            z += rng.uniform(*look.traffic) + cars.BODIES[kind].length
    if plan.crossing < FAR:
        for _ in range(int(rng.integers(0, 3))):
            way = pick(rng, (-1, 1))
            z = plan.crossing - way * 0.4 * plan.side_street - 0.8
            yield place(pick(rng, CARS), rng.uniform(-14, 14), z, way * np.pi / 2)


def people(rng: Rng, look: Look, plan: Plan, sun: Sun) -> Iterator[Thing]:
    """People, alone or in pairs, on the pavements; some cross the road."""
    for _ in range(int(rng.integers(look.people[0], look.people[1] + 1))):
        side, z = pick(rng, (-1, 1)), rng.uniform(4.5, 14)
        wide = abs(plan.outer(side) - plan.kerb(side))
        x = plan.kerb(side) + side * rng.uniform(0.6, wide - 0.4)
        if rng.random() < 0.12:
            x, z = rng.uniform(plan.left, plan.right), rng.uniform(9, 16)
        height = rng.uniform(1.62, 1.92)
        shadow = cast(0.22, height, sun)
        yield stand(things.paint_person, rng, look, x, z, shadow, height=height)
        if rng.random() < 0.3:
            height -= 0.08
            yield stand(things.paint_person, rng, look, x + 0.55, z + 0.2, shadow, height=height)


def cyclists(rng: Rng, look: Look, plan: Plan, sun: Sun) -> Iterator[Thing]:
    """Cyclists along the kerb; some ride across."""
    for _ in range(int(rng.integers(look.cyclists[0], look.cyclists[1] + 1))):
        side, z, turn = pick(rng, (-1, 1, 1)), rng.uniform(5.5, 13), rng.uniform(0.0, 0.5)
        x = plan.kerb(side) - side * rng.uniform(0.5, 1.2)
        if rng.random() < 0.3:
            x, z = rng.uniform(plan.left, plan.right), rng.uniform(8, 14)
            turn = pick(rng, (-1.0, 1.0))
        yield stand(things.paint_cyclist, rng, look, x, z, cast(0.4, 1.6, sun), turn=turn)
