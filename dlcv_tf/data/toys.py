"""Small sets of points in the plane (and of bits), each made from a seed to try one claim on.

`make(name, num_examples, seed)` makes any of them. They are points, not pictures: plain arrays for
`keras.Model.fit`, without a split.
"""

import numpy as np

from dlcv_tf.errors import InputError, unknown

SPIRAL_TURN = 4.0  # radians each arm of the spiral turns through
PARITY_BITS = 4


def blobs(labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns two clusters side by side, which a straight line divides."""
    centres = np.array([[-1.5, 0.0], [1.5, 0.0]])
    return centres[labels] + random.normal(0, 0.5, (len(labels), 2))


def xor(labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns points of a square: class 1 where exactly one coordinate is positive.

    A straight line gets three of the four quadrants right at best: 75 %.
    """
    size = random.uniform(0.1, 1.0, (len(labels), 2))
    sign = random.choice([-1.0, 1.0], len(labels))
    return size * np.stack([sign, np.where(labels == 1, -sign, sign)], axis=1)


def annulus(labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns class 1 in the ring 1 < |x| < 2, class 0 within and around it."""
    inside = random.uniform(0.0, 0.9, len(labels))
    around = random.uniform(2.1, 3.0, len(labels))
    elsewhere = np.where(random.random(len(labels)) < 0.5, inside, around)
    return _polar(np.where(labels == 1, random.uniform(1.05, 1.95, len(labels)), elsewhere), random)


def modes(labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns class 1 in three clusters at the corners of a triangle, class 0 in between.

    One template cannot be near all three.
    """
    angles = 2 * np.pi * random.integers(0, 3, len(labels)) / 3 + np.pi / 2
    corners = 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return corners * (labels == 1)[:, None] + random.normal(0, 0.3, (len(labels), 2))


def parity(labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns four noisy bits of -1 or 1 each: class 1 where an odd number of them is 1."""
    bits = random.integers(0, 2, (len(labels), PARITY_BITS))
    bits[:, 0] = (labels + bits[:, 1:].sum(axis=1)) % 2
    return 2.0 * bits - 1 + random.normal(0, 0.1, bits.shape)


def spiral(labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns arms that wind about each other, one for each class.

    The points of an arm lie at even distances from the centre; their angles have normal noise of
    0.2 radians. Reference: CS231n notes, "Putting it together", with three arms of 100 points.
    """
    radius, along = np.zeros(len(labels)), np.zeros(len(labels))
    for arm in np.unique(labels):
        members = np.flatnonzero(labels == arm)
        radius[members] = np.linspace(0, 1, len(members))
        along[members] = SPIRAL_TURN * np.linspace(0, 1, len(members))
    angle = SPIRAL_TURN * labels + along + random.normal(0, 0.2, len(labels))
    return radius[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)


TOYS = {each.__name__: each for each in (blobs, xor, annulus, modes, parity, spiral)}
CLASSES = {"spiral": 3}  # all others have two


def make(name: str, num_examples: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns a toy set, its classes equally frequent.

    Args:
        name: key of `TOYS`.
        num_examples: points in all.
        seed: of the points.

    Returns:
        (num_examples, 2) float32 points, (num_examples, 4) of `parity`, and (num_examples,) int64
        labels.

    Raises:
        InputError: unknown name, or too few points for the classes.

    Example:
        >>> points, labels = make("spiral", 300)
        >>> points.shape, np.bincount(labels).tolist()
        ((300, 2), [100, 100, 100])
    """
    if name not in TOYS:
        raise unknown("toy set", name, TOYS)
    num_classes = CLASSES.get(name, 2)
    if num_examples < num_classes:
        raise InputError(
            f"got num_examples={num_examples} for {name}, expected {num_classes} or more: it has "
            f"{num_classes} classes"
        )
    random = np.random.default_rng(seed)
    labels = np.arange(num_examples) % num_classes
    return TOYS[name](labels, random).astype(np.float32), labels


def _polar(radius: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns points at these distances from the origin, in random directions."""
    angle = random.uniform(0, 2 * np.pi, len(radius))
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
