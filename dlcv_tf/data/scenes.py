"""Pictures with several drawn shapes, and with a stick figure: `shapes` with places as targets."""

import dataclasses
import functools
import math

import numpy as np
from PIL import Image, ImageDraw

from dlcv_tf.data import shapes

SIZE = 64
COUNTS = {"train": 2000, "val": 200, "test": 400}
SEEDS = {"train": 11, "val": 12, "test": 13}
FIGURE_SEEDS = {"train": 21, "val": 22, "test": 23}
MOST_SHAPES = 4
LEAST_VISIBLE = 0.7  # of a shape, where others are drawn over it
PLACES_TRIED = 20
COLOURS = {
    "red": (205, 45, 45),
    "orange": (240, 140, 30),
    "yellow": (235, 220, 60),
    "green": (50, 160, 60),
    "blue": (45, 85, 215),
    "purple": (150, 60, 175),
    "white": (240, 240, 240),
}
COLOUR_NOISE = 10  # grey levels, standard deviation of each channel of a shape

# The joints of Leeds Sports Pose, in its order.
JOINT_NAMES = (
    *("right ankle", "right knee", "right hip", "left hip", "left knee", "left ankle"),
    *("right wrist", "right elbow", "right shoulder"),
    *("left shoulder", "left elbow", "left wrist", "neck", "head top"),
)
LIMBS = {
    "right": ((0, 1), (1, 2), (6, 7), (7, 8)),
    "left": ((3, 4), (4, 5), (9, 10), (10, 11)),
    "trunk": ((2, 3), (8, 9), (2, 8), (3, 9)),
}
WARM, COOL, GREY = (215, 70, 45), (45, 100, 215), (120, 120, 120)


@dataclasses.dataclass(frozen=True)
class Scene:
    """One drawn picture.

    Args:
        image: (side, side, 3) uint8.
        classes: (n,) numbers in `shapes.LABELS`.
        colours: (n,) names in `COLOURS`.
        masks: (n, side, side) bool, the visible pixels of each shape.
    """

    image: np.ndarray
    classes: np.ndarray
    colours: tuple[str, ...]
    masks: np.ndarray


def draw(random: np.random.Generator, size: int = SIZE, most: int = MOST_SHAPES) -> Scene:
    """Draws a picture of one to `most` shapes, later ones over earlier ones.

    At least seven tenths of every shape can be seen; no two have the same colour.

    Args:
        random: source of number, class, colour, place, size, angle and noise.
        size: side of the picture, pixels.
        most: largest number of shapes.
    """
    wanted = random.integers(1, most + 1)
    names = tuple(random.choice(list(COLOURS), wanted, replace=False))
    colours = [np.array(COLOURS[name]) + random.normal(0, COLOUR_NOISE, 3) for name in names]
    picture = np.broadcast_to(_background(random, colours), (size, size, 3))
    classes, kept, whole, visible = [], [], [], np.zeros((0, size, size), bool)
    for name, colour in zip(names, colours, strict=True):
        for _ in range(PLACES_TRIED):
            label = int(random.integers(len(shapes.LABELS)))
            cover = _cover(label, random, size)
            mask = cover > 0.5
            left = visible & ~mask
            if all(left.sum(axis=(1, 2)) >= LEAST_VISIBLE * np.array(whole)):
                break
        else:
            continue  # no room
        picture = picture * (1 - cover[..., None]) + colour * cover[..., None]
        visible = np.concatenate([left, mask[None]])
        classes, kept, whole = [*classes, label], [*kept, str(name)], [*whole, mask.sum()]
    return Scene(_finished(picture, random), np.array(classes), tuple(kept), visible)


def boxes_of(masks: np.ndarray) -> np.ndarray:
    """Returns the boxes (n, 4) float32 around the pixels of masks (n, height, width), none empty.

    Pixel i covers [i, i + 1]: a mask of one pixel has a box of side 1.
    """
    boxes = []
    for mask in masks:
        columns, rows = (np.flatnonzero(mask.any(axis=axis)) for axis in (0, 1))
        boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    return np.array(boxes, np.float32).reshape(-1, 4)


@functools.cache
def scenes(split: str) -> tuple[Scene, ...]:
    """Returns the scenes of a split, the same ones every time.

    Args:
        split: `"train"` (2,000), `"val"` (200) or `"test"` (400).
    """
    random = np.random.default_rng(SEEDS[split])
    return tuple(draw(random) for _ in range(COUNTS[split]))


def caption(scene: Scene) -> str:
    """Returns what a scene shows in words, as "a red circle left of a blue star"."""
    centres = boxes_of(scene.masks).reshape(-1, 2, 2).mean(axis=1)  # (n, 2) x, y
    order = np.argsort(centres[:, 0], kind="stable")
    things = []
    for number in order:
        text = f"{scene.colours[number]} {shapes.LABELS[scene.classes[number]]}"
        things.append(f"{'an' if text[0] in 'aeiou' else 'a'} {text}")
    if len(things) == 1:
        return things[0]
    if len(things) > 2:
        return f"{', '.join(things[:-1])} and {things[-1]}"
    across, down = centres[order[1]] - centres[order[0]]
    if across >= abs(down):
        return f"{things[0]} left of {things[1]}"
    return f"{things[0]} {'above' if down > 0 else 'below'} {things[1]}"


def figure(
    random: np.random.Generator, size: int = SIZE
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws a stick figure that faces us: its right hand is on the left of the picture.

    The limbs of one side are warm in colour, those of the other cool; the lot decides which. So the
    two sides can be told apart, and a mirrored figure is such a figure too.

    Args:
        random: source of pose, place, size, turn, colours and noise.
        size: side of the picture, pixels.

    Returns:
        (size, size, 3) uint8 picture; (14, 3) float32 joints x, y, visible in the order of
        `JOINT_NAMES`, all of them visible; and the figure's pixels, (size, size) bool.
    """
    joints = _pose(random)
    low, high = joints.min(axis=0), joints.max(axis=0)
    margin = 0.08
    height = min(random.uniform(0.55, 0.85), (1 - 2 * margin) / (high - low).max())
    room = 1 - 2 * margin - (high - low) * height
    joints = (joints - low) * height + margin + random.uniform(0, 1, 2) * room
    sides = [WARM, COOL] if random.random() < 0.5 else [COOL, WARM]
    colours = [np.array(colour) + random.normal(0, 15, 3) for colour in (*sides, GREY)]
    colours = [tuple(np.clip(colour, 0, 255).astype(int)) for colour in colours]
    background = _background(random, [np.array(colour) for colour in colours])
    thickness = height * 0.07
    side = size * shapes.OVERSAMPLING
    canvas = Image.new("RGB", (side, side), tuple(background.astype(int)))
    cover = Image.new("L", (side, side))
    for image, inks in ((canvas, colours), (cover, (255,) * 3)):
        pencil = ImageDraw.Draw(image)
        for part in ("trunk", "right", "left"):
            ink = inks[("right", "left", "trunk").index(part)]
            for start, end in LIMBS[part]:
                _stroke(pencil, joints[[start, end]] * side, thickness * side, ink)
        middle = (joints[2] + joints[3]) / 2
        _stroke(pencil, np.stack([joints[12], middle]) * side, thickness * side, inks[2])
        _disc(pencil, joints[12:].mean(axis=0) * side, height * 0.09 * side, inks[2])
    picture = np.asarray(canvas.reduce(shapes.OVERSAMPLING), np.float64)
    mask = np.asarray(cover.reduce(shapes.OVERSAMPLING)) > 127
    placed = np.concatenate([joints * size, np.ones((len(joints), 1))], axis=1)
    return _finished(picture, random), placed.astype(np.float32), mask


@functools.cache
def figures(split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the figures of a split, the same ones every time.

    Args:
        split: `"train"` (2,000), `"val"` (200) or `"test"` (400).

    Returns:
        (n, 64, 64, 3) uint8 pictures, (n, 14, 3) float32 joints, (n, 4) float32 boxes.
    """
    random = np.random.default_rng(FIGURE_SEEDS[split])
    images, joints, masks = zip(*(figure(random) for _ in range(COUNTS[split])), strict=True)
    return np.stack(images), np.stack(joints), boxes_of(np.stack(masks))


def _background(random: np.random.Generator, colours: list[np.ndarray]) -> np.ndarray:
    """Returns an RGB colour from which all the others can be told."""
    while True:
        background = random.uniform(20, 235, 3)
        if all(np.linalg.norm(background - colour) > 90 for colour in colours):
            return background


def _cover(label: int, random: np.random.Generator, size: int) -> np.ndarray:
    """Returns the part of each pixel, (size, size) in [0, 1], that a shape somewhere covers."""
    radius = random.uniform(0.10, 0.22)
    centre = random.uniform(radius, 1 - radius, 2)
    angle = random.uniform(0, 2 * math.pi)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    corners = np.array(shapes.OUTLINES[shapes.LABELS[label]]) @ turn.T * radius + centre
    canvas = Image.new("L", (size * shapes.OVERSAMPLING,) * 2)
    ImageDraw.Draw(canvas).polygon([tuple(c) for c in corners * canvas.size[0]], fill=255)
    return np.asarray(canvas.reduce(shapes.OVERSAMPLING), np.float64) / 255


def _finished(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Adds a soft gradient and noise; returns uint8."""
    size = len(picture)
    slope = random.uniform(-40, 40, 2)
    ramp = np.linspace(-0.5, 0.5, size)
    gradient = slope[0] * ramp[:, None, None] + slope[1] * ramp[None, :, None]
    noise = random.normal(0, 8, picture.shape)
    return np.clip(np.round(picture + gradient + noise), 0, 255).astype(np.uint8)


def _pose(random: np.random.Generator) -> np.ndarray:
    """Returns joints (14, 2) of a figure about one unit tall, y downwards, around the origin."""

    def along(start, length, degrees):
        angle = math.radians(degrees)  # 0 is straight down, above 0 towards the picture's right
        return start + length * np.array([math.sin(angle), math.cos(angle)])

    joints = np.zeros((14, 2))
    joints[12], joints[13] = (0, -0.28), (random.uniform(-0.03, 0.03), -0.46)
    for outwards, hip, shoulder in ((-1, 2, 8), (1, 3, 9)):
        joints[hip] = (outwards * 0.08, 0.02)
        joints[shoulder] = (outwards * 0.13, -0.26)
        knee, ankle = (1, 0) if outwards < 0 else (4, 5)
        elbow, wrist = (7, 6) if outwards < 0 else (10, 11)
        thigh = random.uniform(-10, 45)
        joints[knee] = along(joints[hip], 0.24, outwards * thigh)
        joints[ankle] = along(joints[knee], 0.25, outwards * (thigh - random.uniform(0, 50)))
        upper = random.uniform(10, 140)
        joints[elbow] = along(joints[shoulder], 0.17, outwards * upper)
        joints[wrist] = along(joints[elbow], 0.17, outwards * (upper + random.uniform(-70, 90)))
    angle = math.radians(random.uniform(-25, 25))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return joints @ turn.T


def _stroke(pencil: ImageDraw.ImageDraw, ends: np.ndarray, thickness: float, ink) -> None:
    """Draws a line with round ends."""
    pencil.line([tuple(end) for end in ends], fill=ink, width=round(thickness))
    for end in ends:
        _disc(pencil, end, thickness / 2, ink)


def _disc(pencil: ImageDraw.ImageDraw, centre: np.ndarray, radius: float, ink) -> None:
    pencil.ellipse((*(centre - radius), *(centre + radius)), fill=ink)
