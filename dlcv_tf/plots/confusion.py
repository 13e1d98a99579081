"""The confusion matrix: which class was answered for which."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dlcv_tf.errors import InputError
from dlcv_tf.plots import style

LARGEST_CELL, SMALLEST_CELL = 0.8, 0.25  # inches
WIDTH = 6.0  # inches: of the figure
LONGEST_LABEL = 1.5  # inches
SMALLEST_TEXT = 5.0  # points
DARK_FROM = 0.66  # shade from which the paper's colour is easier to read than the ink's


def confusion(matrix: np.ndarray, labels: Sequence[str], width: float = WIDTH) -> Figure:
    """Draws a confusion matrix: a row for each true class, a column for each answer.

    The shade is the part of the row: right answers blue, mistakes orange and stronger than their
    part, so that rare ones are seen. Counts are written where they fit, zeros left out.

    Args:
        matrix: (classes, classes) counts, `matrix[truth, answer]`.
        labels: (classes,) names.
        width: of the figure, in inches, as near as legible cells allow.

    Raises:
        InputError: the matrix is not square, not of integers from 0 up, or does not match.
    """
    matrix = np.asarray(matrix)
    if matrix.shape != (len(labels), len(labels)) or not len(labels):
        raise InputError(
            f"got a matrix of shape {matrix.shape} for {len(labels)} labels, expected a row and "
            "a column for each label"
        )
    if matrix.dtype.kind not in "iu" or matrix.min() < 0:
        raise InputError(
            f"got a matrix of {matrix.dtype} from {matrix.min()} up, expected counts: integers "
            "from 0 up"
        )
    classes = len(labels)
    names = [style.shorten(str(label), LONGEST_LABEL) for label in labels]
    longest = max(style.text_width(name) for name in names)
    left = 0.12 + max(longest, style.text_width("truth ↓"))
    cell = float(np.clip((width - left - 0.1) / classes, SMALLEST_CELL, LARGEST_CELL))
    upright = longest > 0.9 * cell
    top = 0.4 + (longest if upright else style.LINE_HEIGHT)
    side = cell * classes
    figure = style.figure(left + side + 0.1, top + side + 0.1)
    axes = style.axes(figure, left, top, side, side)
    axes.set(xlim=(0, classes), ylim=(classes, 0))
    _write_names(axes, names, upright)
    style.write(axes, 0, 1 + (top - 0.18) / side, "answered →", "muted")
    style.write(axes, -0.08 / side, 1 + 0.08 / side, "truth ↓", "muted", ha="right", va="bottom")
    _draw_cells(axes, matrix, cell)
    return figure


def _write_names(axes: Axes, names: list[str], upright: bool) -> None:
    """Writes the classes at the left and above."""
    away = 0.08 * len(names) / style.inches(axes)[0]  # of a cell
    place = {"transform": axes.transData}
    for number, name in enumerate(names):
        style.write(axes, -away, number + 0.5, name, ha="right", va="center", **place)
        if upright:
            above = {"rotation": 90, "ha": "left", "va": "center"}
        else:
            above = {"ha": "center", "va": "bottom"}
        style.write(axes, number + 0.5, -away, name, **above, **place)


def _draw_cells(axes: Axes, matrix: np.ndarray, cell: float) -> None:
    """Draws the frame, and a square and a count for every cell that is not zero."""
    classes = len(matrix)
    axes.add_patch(
        Rectangle((0, 0), classes, classes, facecolor=style.LIGHT["panel"], clip_on=False)
    )
    size = _count_size(matrix, cell)
    parts = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    for truth, answer in np.argwhere(matrix):
        part = parts[truth, answer]
        right = truth == answer
        shade = 0.1 + 0.9 * part if right else 0.1 + 0.9 * np.sqrt(part)
        axes.add_patch(
            Rectangle(
                (answer, truth),
                1,
                1,
                facecolor=style.LIGHT["accent" if right else "wrong"],
                edgecolor="none",
                alpha=float(shade),
            )
        )
        if size:
            style.write(
                axes,
                answer + 0.5,
                truth + 0.5,
                str(matrix[truth, answer]),
                "paper" if shade > DARK_FROM else "ink",
                ha="center",
                va="center",
                size=size,
                transform=axes.transData,
            )
    lines = np.arange(1, classes)
    axes.hlines(lines, 0, classes, color=style.LIGHT["paper"], linewidth=1)
    axes.vlines(lines, 0, classes, color=style.LIGHT["paper"], linewidth=1)


def _count_size(matrix: np.ndarray, cell: float) -> float:
    """Returns the size at which the longest count fits its cell, in points; 0 if none does."""
    widest = style.text_width(str(matrix.max()), size=1)  # inches at one point
    size = min(style.SIZE, 0.78 * cell / widest)
    return size if size >= SMALLEST_TEXT else 0.0
