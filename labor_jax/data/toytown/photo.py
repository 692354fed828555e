"""From a painted canvas to a photograph: lamps, wet roads, lens, sensor and compression."""

import cv2
import numpy as np

from labor_jax.data.toytown.canvas import Canvas, noise_tile
from labor_jax.data.toytown.looks import ROAD, VOID


def mirror_wet_road(canvas: Canvas, rng: np.random.Generator, strength: float) -> None:
    """Blends the picture above the horizon into the road, upside down and smeared."""
    cy, (h, w) = round(canvas.center[1]), canvas.label.shape
    depth = min(h - cy, cy)
    above = cv2.flip(canvas.image[cy - depth : cy], 0)
    smeared = cv2.blur(above, (max(1, w // 160), max(1, h // 14)))
    puddles = cv2.resize(noise_tile(41, 5), (w, depth), interpolation=cv2.INTER_LINEAR)
    amount = strength * np.clip(0.6 + 0.35 * np.roll(puddles, int(rng.integers(w)), 1), 0.1, 1)
    amount *= np.linspace(1, 0, depth, dtype=np.float32)[:, None] ** 0.5  # weaker near the camera
    amount = amount * (canvas.label[cy : cy + depth] == ROAD)
    below = canvas.image[cy : cy + depth].astype(np.float32)
    below += (smeared - below) * amount[..., None]
    canvas.image[cy : cy + depth] = np.clip(below, 0, 255)


def fall_dark(canvas: Canvas) -> None:
    """Leaves a quarter of the light, and more blue than red; lamps are lit later."""
    canvas.image[:] = canvas.image * np.array((0.23, 0.25, 0.31), np.float32)


def add_glows(canvas: Canvas) -> None:
    """Lights the lamps that nothing stands in front of, with a halo."""
    h, w = canvas.label.shape
    layer = np.zeros(canvas.image.shape, np.uint8)
    for x, y, radius, color, cls in canvas.glows:
        if 0 <= x < w and 0 <= y < h and canvas.label[int(y), int(x)] == cls:
            r = int(max(radius, 0.6) * 16)
            cv2.circle(layer, (int(x * 16), int(y * 16)), r, color, -1, cv2.LINE_AA, 4)
    if layer.any():
        small = cv2.resize(layer, (w // 2, h // 2), interpolation=cv2.INTER_AREA)
        halo = cv2.GaussianBlur(small, (0, 0), 0.016 * h)
        halo = cv2.resize(halo, (w, h), interpolation=cv2.INTER_LINEAR)
        canvas.image[:] = cv2.add(canvas.image, cv2.addWeighted(halo, 1.6, layer, 0.6, 0))


def draw_rain(canvas: Canvas, rng: np.random.Generator) -> None:
    """Short pale streaks."""
    h, w = canvas.label.shape
    slant = rng.uniform(-0.25, 0.25)
    layer = canvas.image.copy()
    for x, y, length in rng.uniform((0, -0.1, 0.02), (1, 1, 0.07), (90, 3)):
        p = (int(x * w * 16), int(y * h * 16))
        q = (int(p[0] + slant * length * h * 16), int(p[1] + length * h * 16))
        cv2.line(layer, p, q, (196, 200, 206), max(1, h // 300), cv2.LINE_AA, 4)
    cv2.addWeighted(layer, 0.3, canvas.image, 0.7, 0, canvas.image)


def hood(canvas: Canvas, rng: np.random.Generator) -> None:
    """The camera car's own bonnet at the lower edge, void in the label."""
    h, w = canvas.label.shape
    x = np.linspace(-0.1, 1.1, 24)
    rise = rng.uniform(0.035, 0.06) * (1 - ((x - 0.5) / 0.72) ** 2 * 0.7)
    edge = np.stack([x * w, (1 - rise) * h], 1)
    for drop, color in ((0.0, (20, 20, 24)), (0.012, (44, 46, 52)), (0.024, (30, 31, 35))):
        outline = [*np.add(edge, (0, drop * h)), (1.1 * w, 2 * h), (-0.1 * w, 2 * h)]
        fixed = np.rint(np.multiply(outline, 16)).astype(np.int32)
        cv2.fillPoly(canvas.image, [fixed], color, cv2.LINE_AA, 4)
        cv2.fillPoly(canvas.label, [fixed], VOID, cv2.LINE_8, 4)


def develop_game(image: np.ndarray) -> np.ndarray:
    """A touch of saturation and contrast; [h, w, 3] uint8 both ways."""
    pixels = image.astype(np.float32)
    grey = pixels.mean(-1, keepdims=True)
    pixels = grey + (pixels - grey) * 1.12
    return np.clip((pixels - 128) * 1.06 + 131, 0, 255).astype(np.uint8)


def develop_camera(image: np.ndarray, rng: np.random.Generator, weather: str) -> np.ndarray:
    """Exposure, cast, flat contrast, vignette, blur, sensor noise and JPEG; uint8 both ways."""
    h, w = image.shape[:2]
    exposure = {"overcast": 1.02, "evening": 0.82, "rain": 0.88, "fog": 0.96, "night": 1.1}[weather]
    cast = {
        "overcast": (0.97, 1.0, 1.03),
        "evening": (1.07, 0.97, 0.93),
        "rain": (0.92, 0.99, 1.06),
        "fog": (1.0, 1.01, 0.98),
        "night": (1.04, 0.99, 0.94),
    }[weather]
    blur = h * rng.uniform(0.0016, 0.0032)
    pixels = cv2.GaussianBlur(image, (0, 0), blur).astype(np.float32)
    grey = pixels.mean(-1, keepdims=True)
    pixels = grey + (pixels - grey) * rng.uniform(0.85, 1.1)
    gain = exposure * rng.uniform(0.9, 1.1) * np.array(cast) * rng.normal(1, 0.025, 3)
    pixels = pixels * gain.astype(np.float32) * np.float32(0.9) + np.float32(rng.uniform(8, 20))
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j].astype(np.float32)
    pixels *= (1 - rng.uniform(0.14, 0.3) * (x * x + y * y) / 2)[..., None].astype(np.float32)
    noise = rng.standard_normal((h, w, 4), np.float32)
    strength = rng.uniform(1.8, 3.6) * {"evening": 1.5, "night": 2.5}.get(weather, 1.0)
    pixels += strength * (noise[..., :1] + 0.6 * noise[..., 1:])
    quality = int(rng.integers(55, 82))
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    _, jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    seen = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    assert seen is not None  # it was encoded here
    return seen
