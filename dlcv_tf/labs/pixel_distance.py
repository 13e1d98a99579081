"""Labs of the chapter on distances of pixels: what they miss, and what many dimensions do."""

import math
from collections.abc import Callable

import numpy as np
from scipy import special

from dlcv_tf.data import digits, shapes
from dlcv_tf.errors import InputError
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.ops import distances
from dlcv_tf.plots import charts, pictures

HALVINGS = 60  # of an interval of about 1: to the last digit of float64
TINT = np.array([1.0, -0.2, -0.6])  # towards orange


def equal_distances(*, shift: int = 8, picture: int = 35) -> Finding:
    """A shifted, a tinted and a covered picture may all be equally far from the original.

    One drawn shape is shifted by a few pixels; then a tint is made as strong, and a black block in
    its middle as opaque, as it takes to reach the same L2 distance. The distance cannot tell them
    apart, though they look nothing alike, and pictures of other shapes are nearer than all three.

    Curriculum: row 8.

    Args:
        shift: pixels to the right and down.
        picture: number of the test picture.
    """
    images, labels = shapes.arrays("test")
    if not (0 <= picture < len(images) and 1 <= shift < shapes.SIZE):
        raise InputError(
            f"got picture={picture} and shift={shift}, expected a picture from 0 to "
            f"{len(images) - 1} and a shift from 1 to {shapes.SIZE - 1}"
        )
    original = images[picture].astype(np.float64)
    shifted = np.pad(original, ((shift, 0), (shift, 0), (0, 0)), mode="edge")
    shifted = shifted[: shapes.SIZE, : shapes.SIZE]
    wanted = _l2(original, shifted)

    def tinted(strength):
        return np.clip(original + strength * 255 * TINT, 0, 255)

    def covered(opacity):
        made = original.copy()
        made[side] *= 1 - opacity
        return made

    for half in range(1, 33):  # the smallest block that gets far enough
        side = (slice(32 - half, 32 + half),) * 2
        if _l2(original, covered(1.0)) >= wanted:
            break
    versions = {
        "shifted": shifted,
        "tinted": _at_distance(original, tinted, wanted),
        "covered": _at_distance(original, covered, wanted),
    }
    apart = {name: _l2(original, version) for name, version in versions.items()}
    is_other = labels != labels[picture]
    others = images[is_other]
    to_others = distances.one_loop(
        original.reshape(1, -1), others.reshape(len(others), -1).astype(np.float64)
    ).numpy()[0]
    nearer = int((to_others < wanted).sum())
    worst = max(apart.values()) - min(apart.values())
    nearest = others[to_others.argmin()]
    shown = [original, *versions.values(), nearest]
    names = ["original", *versions, shapes.LABELS[labels[is_other][to_others.argmin()]]]
    lengths = [0.0, *apart.values(), to_others.min()]
    return Finding(
        "Pictures that look nothing alike can be equally far from one another in L2.",
        worst < 1e-3,
        f"All three are {wanted:.1f} from the original, to {worst:.0e}; {nearer} of {len(others)} "
        "pictures of other shapes are nearer.",
        {"distances": apart, "nearer_of_other_shapes": nearer, "others": len(others)},
        [Table(["picture", "L2 distance"], list(zip(names, lengths, strict=True)))],
        {
            "equal_distances": pictures.grid(
                np.round(np.stack(shown)).astype(np.uint8),
                [f"{name} {length:.0f}" for name, length in zip(names, lengths, strict=True)],
                columns=5,
            )
        },
    )


def rotated_pixels(*, queries: int = 359, seed: int = 0) -> Finding:
    """L1 depends on the choice of the coordinates, L2 does not.

    All digits are multiplied by a random orthogonal matrix: the same points seen along other axes.
    L2 distances and neighbours stay what they were, L1 distances and neighbours do not.

    Curriculum: row 9.

    Args:
        queries: test pictures.
        seed: of the matrix.
    """
    known, labels = digits.arrays("train")
    asked, truth = (each[:queries] for each in digits.arrays("test"))
    known, asked = (each.reshape(len(each), -1) / 255.0 for each in (known, asked))
    matrix = np.random.default_rng(seed).normal(size=(known.shape[1],) * 2)
    rotation, _ = np.linalg.qr(matrix)
    before, after = {}, {}
    for kind in distances.KINDS:  # by differences, which keep every digit
        before[kind] = distances.one_loop(asked, known, kind).numpy()
        after[kind] = distances.one_loop(asked @ rotation, known @ rotation, kind).numpy()
    change = {kind: float(np.abs(after[kind] - before[kind]).max()) for kind in distances.KINDS}
    moved, accuracy, rows = {}, {}, []
    for kind in distances.KINDS:
        nearest = [each[kind].argmin(axis=1) for each in (before, after)]
        moved[kind] = float(np.mean(nearest[0] != nearest[1]))
        accuracy[kind] = [float(np.mean(labels[each] == truth)) for each in nearest]
        right = (f"{each:.1%}" for each in accuracy[kind])
        rows.append([kind.upper(), f"{change[kind]:.1e}", f"{moved[kind]:.1%}", *right])
    sample = np.random.default_rng(seed).integers(0, before["l1"].size, 800)
    panels = [
        charts.Panel(
            f"{kind.upper()} distances of 800 pairs",
            {
                "pairs": charts.Series(
                    before[kind].ravel()[sample],
                    after[kind].ravel()[sample],
                    marks=True,
                    line=False,
                )
            },
            "before the rotation",
            "after it",
        )
        for kind in distances.KINDS
    ]
    columns = ["distance", "largest change", "other neighbour", "right before", "right after"]
    return Finding(
        "A rotation of the axes changes L1 distances and neighbours, but no L2 distance.",
        bool(change["l2"] < 1e-9 and moved["l2"] == 0 and change["l1"] > 0.1 and moved["l1"] > 0),
        f"L2 distances change by {change['l2']:.0e} at most, and no neighbour; L1 distances by up "
        f"to {change['l1']:.2f}, and {moved['l1']:.1%} of the test pictures get another neighbour.",
        {"largest_change": change, "other_neighbour": moved, "accuracy": accuracy},
        [Table(columns, rows)],
        {"rotated_pixels": charts.draw(panels)},
    )


def curse_of_dimensionality(
    *, spacing: float = 0.25, most: int = 4096, points: int = 500, seed: int = 0
) -> Finding:
    """The points it takes to cover a cube grow as a power of the dimension.

    Cells of one spacing fill [0, 1]^d with (1 / spacing)^d of them. A neighbourhood that holds a
    hundredth of the volume is nearly as wide as the cube, and of random points the nearest is
    nearly as far as the farthest.

    Curriculum: row 13.

    Args:
        spacing: side of a cell, one over a whole number.
        most: dimensions up to which to look, in powers of two; CIFAR-10 has 3,072.
        points: random ones.
        seed: of the points.
    """
    if spacing <= 0 or not math.isclose(1 / spacing, round(1 / spacing)):
        raise InputError(f"got spacing={spacing}, expected one over a whole number, like 0.25")
    random = np.random.default_rng(seed)
    needed, visited = {}, {}
    for dimension in (1, 2, 3):
        needed[dimension] = round(1 / spacing) ** dimension
        cells = np.floor(random.random((needed[dimension] * 20, dimension)) / spacing)
        visited[dimension] = len(np.unique(cells, axis=0))
    dimensions = [2**power for power in range(math.floor(math.log2(most)) + 1)]
    edge = {part: [part ** (1 / d) for d in dimensions] for part in (0.01, 0.1)}
    ball = [_ball_part(d) for d in dimensions]
    contrast = []
    for dimension in dimensions:
        cloud = random.random((points, dimension))
        apart = distances.pairwise(cloud[:1], cloud[1:]).numpy()
        contrast.append(float(apart.min() / apart.max()))
    panels = [
        charts.Panel(
            f"Cells of {spacing:g} in the cube",
            {"cells": (dimensions, [d * math.log10(1 / spacing) for d in dimensions])},
            "dimensions",
            "log10 of their number",
            x_log=True,
        ),
        charts.Panel(
            "Width that holds a part of the volume",
            {f"{part:.0%}": (dimensions, widths) for part, widths in edge.items()},
            "dimensions",
            x_log=True,
            y_limits=(0, 1.02),
        ),
        charts.Panel(
            "Part of the cube inside its ball",
            {"ball": charts.Series(dimensions, ball, marks=True)},
            "dimensions",
            x_log=True,
        ),
        charts.Panel(
            f"Nearest over farthest of {points} points",
            {"ratio": charts.Series(dimensions, contrast, marks=True)},
            "dimensions",
            x_log=True,
            y_limits=(0, 1.02),
        ),
    ]
    last = dimensions[-1]
    return Finding(
        "Covering a space takes exponentially many points in its dimension.",
        needed == visited,
        f"At a spacing of {spacing:g} it takes {', '.join(map(str, needed.values()))} points in 1, "
        f"2 and 3 dimensions. In {last} dimensions a hundredth of the volume is "
        f"{edge[0.01][-1]:.3f} wide, and the nearest of {points} points {contrast[-1]:.2f} as far "
        "as the farthest.",
        {
            "points_needed": {str(d): count for d, count in needed.items()},
            "cells_visited": {str(d): count for d, count in visited.items()},
            "dimensions": dimensions,
            "width_of_a_hundredth": edge[0.01],
            "part_in_the_ball": ball,
            "nearest_over_farthest": contrast,
        },
        [Table(["dimensions", "points needed"], list(needed.items()), f"spacing {spacing:g}")],
        {"curse_of_dimensionality": charts.draw(panels)},
    )


def _l2(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one - other))


def _at_distance(original: np.ndarray, change: Callable, wanted: float) -> np.ndarray:
    """Returns `change(strength)` with the strength from 0 to 1 that gives the distance wanted."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _l2(original, change(middle)) < wanted:
            low = middle
        else:
            high = middle
    return change(high)


def _ball_part(dimension: int) -> float:
    """Returns the volume of the ball that just fits into the unit cube."""
    log = dimension * (math.log(math.pi) / 2 - math.log(2)) - special.gammaln(dimension / 2 + 1)
    return math.exp(log)


LABS = (equal_distances, rotated_pixels, curse_of_dimensionality)
