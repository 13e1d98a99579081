"""Pictures in rows and columns, with titles or with a classifier's answers."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcv_tf.errors import InputError
from dlcv_tf.plots import style

GAP = 0.14  # inches between pictures
BENEATH = 0.07  # inches between a picture and its first line
CRISP_BELOW = 50  # pixels to the inch: below, a picture's pixels are shown as squares


def grid(
    images: np.ndarray,
    titles: Sequence[str] | None = None,
    columns: int = 8,
    width: float = style.WIDE,
) -> Figure:
    """Draws pictures in rows and columns.

    Args:
        images: (n, height, width, channels) uint8, 1 channel (grey) or 3 (RGB).
        titles: (n,) one line for each picture.
        columns: pictures in a row.
        width: of a full row, in inches.

    Raises:
        InputError: wrong dtype or shape, no picture, or another number of titles.
    """
    _check_images(images)
    if titles is not None and len(titles) != len(images):
        raise InputError(f"got {len(titles)} titles for {len(images)} pictures: pass one for each")
    figure, cells = _cells(images, columns, width, lines=0 if titles is None else 1)
    for axes, title in zip(cells, titles or [], strict=titles is not None):
        _line(axes, 0, str(title), "ink")
    return figure


def answers(
    images: np.ndarray,
    labels: Sequence[str],
    probabilities: np.ndarray,
    truth: np.ndarray | None = None,
    columns: int = 8,
    width: float = style.WIDE,
) -> Figure:
    """Draws pictures with the likeliest class and its probability.

    With the truth known, a wrong answer has a thick frame, a cross, and the right one beneath.

    Args:
        images: (n, height, width, channels) uint8, 1 channel (grey) or 3 (RGB).
        labels: (classes,) names.
        probabilities: (n, classes).
        truth: (n,) true class numbers.
        columns: pictures in a row.
        width: of a full row, in inches.

    Raises:
        InputError: wrong dtype or shape, no picture, or numbers that do not match.
    """
    _check_images(images)
    probabilities = np.asarray(probabilities)
    if probabilities.shape != (len(images), len(labels)):
        raise InputError(
            f"got probabilities of shape {probabilities.shape}, expected "
            f"{(len(images), len(labels))}: a row for each picture, a column for each label"
        )
    if truth is not None and np.shape(truth) != (len(images),):
        raise InputError(
            f"got truth of shape {np.shape(truth)}, expected {(len(images),)}: one class number "
            "for each picture"
        )
    if truth is not None and not all(0 <= number < len(labels) for number in truth):
        raise InputError(
            f"got true class numbers from {np.min(truth)} to {np.max(truth)}, expected 0 to "
            f"{len(labels) - 1}: a place in the labels for each"
        )
    best = probabilities.argmax(axis=1)
    wrong = np.zeros(len(best), bool) if truth is None else best != np.asarray(truth)
    names = [
        f"× {labels[i]}" if bad else str(labels[i]) for i, bad in zip(best, wrong, strict=True)
    ]
    side = (width - GAP * (columns - 1)) / columns
    beside = max(style.text_width(f"{name}  100%") for name in names) <= side
    lines = (1 if beside else 2) + int(wrong.any())
    figure, cells = _cells(images, columns, width, lines)
    for number, (axes, name) in enumerate(zip(cells, names, strict=True)):
        score = f"{probabilities[number, best[number]]:.0%}"
        if beside:
            _line(axes, 0, score, "muted", x=1, ha="right")
        else:
            _line(axes, 1, score, "muted")
        if wrong[number]:
            axes.spines[:].set(color=style.LIGHT["wrong"], linewidth=3)
            _line(axes, 0, name, "wrong", weight="bold")
            _line(axes, lines - 1, f"is {labels[truth[number]]}", "ink")
        else:
            _line(axes, 0, name, "ink")
    return figure


def _check_images(images: np.ndarray) -> None:
    """Raises InputError unless the pictures are (n, height, width, 1 or 3) uint8, n > 0."""
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise InputError(
            f"got pictures of shape {images.shape} and type {images.dtype}, expected (n, height, "
            "width, 1 or 3) uint8: stack them, and scale them to 0..255"
        )
    if 0 in images.shape:
        raise InputError(f"got pictures of shape {images.shape}, expected at least one pixel")


def _cells(images: np.ndarray, columns: int, width: float, lines: int) -> tuple[Figure, list[Axes]]:
    """Draws the pictures with room for some lines beneath each; returns the axes of each."""
    count, height, across, channels = images.shape
    side = (width - GAP * (columns - 1)) / columns  # inches
    tall = side * height / across
    row = tall + BENEATH * (lines > 0) + lines * style.LINE_HEIGHT + GAP
    rows = -(-count // columns)
    margin = 0.02  # inches: half of the thickest frame
    used = min(count, columns)
    figure = style.figure(
        used * side + (used - 1) * GAP + 2 * margin, rows * row - GAP + 2 * margin
    )
    cells = []
    for number, image in enumerate(images):
        left = margin + number % columns * (side + GAP)
        axes = style.axes(figure, left, margin + number // columns * row, side, tall)
        axes.imshow(
            np.repeat(image, 3, axis=-1) if channels == 1 else image,  # a colour map would round
            aspect="auto",
            interpolation="none" if across < CRISP_BELOW * side else "antialiased",
        )
        axes.spines[:].set_visible(True)
        cells.append(axes)
    return figure, cells


def _line(axes: Axes, number: int, text: str, colour: str, x: float = 0, **options) -> None:
    """Writes a line beneath a picture; the first has number 0."""
    width, height = style.inches(axes)
    down = BENEATH + (number + 0.5) * style.LINE_HEIGHT
    text = style.shorten(text, width)
    style.write(axes, x, -down / height, text, colour, va="center", **options)
