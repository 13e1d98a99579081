"""Embedded data set `shapes`: drawn pictures of six shapes, made from a seed.

Each 64x64 RGB picture shows one shape of random colour, size, place and angle before a background
of another colour with a soft gradient and noise.
"""

import math

import numpy as np
from PIL import Image, ImageDraw

SIZE = 64
OVERSAMPLING = 4  # drawn four times as large, then averaged: smooth edges
COUNTS = {"train": 3000, "val": 500, "test": 1000}
SEEDS = {"train": 1, "val": 2, "test": 3}


def _regular(corners: int, inner: float = 1.0) -> list[tuple[float, float]]:
    """Returns a polygon on the unit circle; every second corner at the inner radius."""
    radii = [1.0 if corner % 2 == 0 else inner for corner in range(corners)]
    angles = [2 * math.pi * corner / corners for corner in range(corners)]
    return [(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]


_ARM = 0.35  # half width of the cross's arms
_CROSS = [
    *((1, _ARM), (_ARM, _ARM), (_ARM, 1), (-_ARM, 1), (-_ARM, _ARM), (-1, _ARM)),
    *((-1, -_ARM), (-_ARM, -_ARM), (-_ARM, -1), (_ARM, -1), (_ARM, -_ARM), (1, -_ARM)),
]
OUTLINES = {
    "circle": _regular(64),
    "cross": _CROSS,
    "ellipse": [(x, 0.5 * y) for x, y in _regular(64)],
    "square": _regular(4),
    "star": _regular(10, inner=0.4),
    "triangle": _regular(3),
}
LABELS = tuple(OUTLINES)


def draw(label: int, random: np.random.Generator, size: int = SIZE) -> np.ndarray:
    """Draws one picture.

    Args:
        label: index into `LABELS`.
        random: source of colour, place, size, angle and noise.
        size: side of the picture, pixels.

    Returns:
        (size, size, 3) uint8 picture.
    """
    return draw_with_box(label, random, size)[0]


def draw_with_box(
    label: int, random: np.random.Generator, size: int = SIZE
) -> tuple[np.ndarray, np.ndarray]:
    """Draws the picture of `draw`; returns it, and the (4,) float32 box around its shape.

    Args:
        label: as for `draw`, and so the others.
        random: as for `draw`.
        size: as for `draw`.
    """
    background, colour = _two_colours(random)
    canvas = Image.new("L", (size * OVERSAMPLING,) * 2)
    radius = random.uniform(0.18, 0.4)
    centre = random.uniform(radius, 1 - radius, 2)
    angle = random.uniform(0, 2 * math.pi)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    corners = (np.array(OUTLINES[LABELS[label]]) @ turn.T * radius + centre) * canvas.size[0]
    ImageDraw.Draw(canvas).polygon([tuple(corner) for corner in corners], fill=255)
    mask = np.asarray(canvas, np.float64).reshape(size, OVERSAMPLING, size, OVERSAMPLING)
    mask = mask.mean(axis=(1, 3))[..., None] / 255
    slope = random.uniform(-40, 40, 2)
    ramp = np.linspace(-0.5, 0.5, size)
    gradient = slope[0] * ramp[:, None, None] + slope[1] * ramp[None, :, None]
    noise = random.normal(0, 8, (size, size, 3))
    picture = background * (1 - mask) + colour * mask + gradient + noise
    columns, rows = (np.flatnonzero((mask[..., 0] > 0.5).any(axis=axis)) for axis in (0, 1))
    box = np.array((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1), np.float32)
    return np.clip(np.round(picture), 0, 255).astype(np.uint8), box


def _two_colours(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns two RGB colours that can be told apart."""
    while True:
        first, second = random.uniform(20, 235, (2, 3))
        if np.linalg.norm(first - second) > 90:
            return first, second


def arrays(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pictures and labels of a split, the same ones every time.

    Args:
        split: `"train"` (3,000), `"val"` (500) or `"test"` (1,000).

    Returns:
        (n, 64, 64, 3) uint8 pictures and (n,) int64 labels, classes equally frequent.
    """
    return arrays_with_boxes(split)[:2]


def arrays_with_boxes(split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns what `arrays` does, and the (n, 4) float32 boxes around the shapes.

    Args:
        split: as for `arrays`.
    """
    random = np.random.default_rng(SEEDS[split])
    labels = random.permutation(np.arange(COUNTS[split]) % len(LABELS))
    images, boxes = zip(*(draw_with_box(label, random) for label in labels), strict=True)
    return np.stack(images), labels.astype(np.int64), np.stack(boxes)


def captions(split: str) -> tuple[str, ...]:
    """Returns what the pictures of `load("shapes", split, targets="boxes")` show, in words.

    Args:
        split: as for `scenes.scenes`.
    """
    from dlcv_tf.data import scenes  # which draws with the outlines of this file

    return tuple(scenes.caption(scene) for scene in scenes.scenes(split))
