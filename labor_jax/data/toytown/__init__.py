"""Toytown: street scenes drawn from a seed, game-like (`source`) or seen by a camera.

A scene is laid out in metres, painted from far to near on a canvas of twice the size, and developed
into a photograph. `render` is a pure function: the size changes how finely a scene is drawn and
nothing else. All of it is ours [ours]; it resembles CamVid in the rough share of each class only.
"""

import cv2
import numpy as np

from labor_jax.data.toytown import layout, photo, street
from labor_jax.data.toytown.canvas import Camera, Canvas, Light, pick
from labor_jax.data.toytown.looks import LOOKS, SKY, Look
from labor_jax.data.toytown.street import FAR, Plan

SUPERSAMPLE = 2


def render(
    look: str, seed: int, index: int, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws scene number `index` of `seed`.

    Args:
      look: "source" (clean, sunny, saturated), "target" (another town, weather and camera) or
        "night" (the source's town, lit by lamps).
      seed: which town.
      index: which scene of it.
      height: pixels.
      width: pixels; the scene is framed for 4:3.
    Returns:
      image: [height, width, 3] uint8 RGB.
      label: [height, width] uint8, CamVid's eleven train ids, 255 on the camera car's bonnet.
    """
    rng = np.random.default_rng([seed, index, list(LOOKS).index(look)])
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
    if look == "night":
        photo.fall_dark(canvas)
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
    """Sun for the source, a dark sky at night, and four kinds of bad weather for the target."""
    if look == "source":
        sun = (float(pick(rng, (-1, 1))) * rng.uniform(0.3, 0.9), rng.uniform(-0.25, 0.6))
        clouds = pick(rng, (0.15, 0.3, 0.45, 0.9))
        return Light("sunny", (70, 136, 226), (206, 228, 246), clouds, 0.0035, sun, 0.74, 0.62, 0.0)
    if look == "night":
        return Light(
            "night", (60, 70, 110), (120, 116, 140), 0.3, 0.006, (0.15, 0.1), 0.9, 0.76, 0.5
        )
    weather = pick(rng, ("overcast", "overcast", "evening", "rain", "fog"))
    sun = (float(pick(rng, (-1, 1))) * 0.15, 0.1)
    air = {
        "overcast": ((164, 172, 182), (214, 216, 216), 0.006, 0.9, 0.0),
        "evening": ((92, 100, 140), (232, 178, 140), 0.006, 0.85, 0.5),
        "rain": ((128, 134, 142), (176, 180, 184), 0.013, 0.9, 0.2),
        "fog": ((196, 198, 198), (206, 206, 204), 0.024, 0.95, 0.08),
    }
    zenith, horizon, haze, dim, lit = air[weather]
    clouds = 0.0 if weather == "fog" else 0.8
    return Light(weather, zenith, horizon, clouds, haze, sun, dim, 0.76, lit)


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


def paint_scene(canvas: Canvas, rng: np.random.Generator, look: Look) -> None:
    """Everything, from far to near."""
    light = canvas.light
    plan = choose_plan(rng, look)
    houses = street.plan_buildings(rng, look, plan)
    trees = layout.gardens(rng, look, plan)
    there = layout.everything(rng, look, plan, light.sun)
    shadows = [thing.shadow for thing in there]
    if light.weather == "sunny":
        shadows += [house.shadow(light.sun) for house in houses]

    street.paint_sky(canvas, rng)
    street.paint_skyline(canvas, rng, look)
    street.paint_ground(canvas, rng, look, plan, shadows)
    street.paint_markings(canvas, rng, look, plan)
    for tree in trees:
        tree.paint(canvas)
    for house in houses:
        street.paint_building(canvas, rng, look, house)
    # Things between the walls are never behind a wall, so they come last, sorted by depth.
    for thing in there:
        thing.paint(canvas)
