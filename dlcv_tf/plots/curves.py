"""Training curves: loss, accuracy and learning rate per epoch."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from dlcv_tf.errors import InputError
from dlcv_tf.plots import style

PLOT_HEIGHT = 2.2  # inches
ABOVE, BELOW, LEFT = 0.42, 0.55, 0.5  # inches: title, numbers and name of the x axis, numbers of y
RIGHT = 1.15  # inches: names of the lines
BESIDE = 0.08  # inches between a line and its name
END = 0.15  # inches: at the right of the last panel, where it has no such names
TWO_COLUMNS_FROM = 6.0  # inches

# History's name of a quantity -> title of its panel. A third panel shows the learning rate.
PANELS = {"loss": "Loss", "accuracy": "Accuracy", "learning_rate": "Learning rate"}


def training_curves(
    history: dict[str, list[float]],
    references: dict[str, float] | None = None,
    width: float = style.WIDE,
) -> Figure:
    """Draws what a training's history holds of loss, accuracy and learning rate, per epoch.

    Args:
        history: numbers of every epoch by name, as `train.train` and Keras's `fit` give them:
            `loss`, `accuracy`, `val_loss`, `val_accuracy`, `learning_rate`; others are left out.
        references: values to compare the loss with, by name, e.g. `{"log C": 2.303}`.
        width: of the figure, in inches; below 6 the panels stand one under the other.

    Raises:
        InputError: the history holds none of these, or no epoch.
    """
    names = [name for name in PANELS if history.get(name) or history.get(f"val_{name}")]
    if not names:
        raise InputError(
            f"got a history of {sorted(history)}, expected numbers of at least one epoch of "
            f"{', '.join(PANELS)}: pass what train.train returns, or fit(...).history"
        )
    side_by_side = width >= TWO_COLUMNS_FROM
    height = ABOVE + PLOT_HEIGHT + BELOW
    figure = style.figure(width, height if side_by_side else height * len(names))
    left, top = 0.0, 0.0
    for name, plot_width in zip(names, _plot_widths(names, width), strict=True):
        axes = style.axes(figure, left + LEFT, top + ABOVE, plot_width, PLOT_HEIGHT)
        lines = {
            "training": history.get(name, []),
            "validation": history.get(f"val_{name}", []),
        }
        _panel(axes, name, lines, (references or {}) if name == "loss" else {})
        if side_by_side:
            left += LEFT + plot_width + RIGHT
        else:
            top += height
    return figure


def _plot_widths(names: Sequence[str], width: float) -> list[float]:
    """Returns the width of each panel's plot in inches; the learning rate has no names beside."""
    if width < TWO_COLUMNS_FROM:
        return [width - LEFT - RIGHT] * len(names)
    margins = [LEFT + (END if name == "learning_rate" else RIGHT) for name in names]
    shares = [0.75 if name == "learning_rate" else 1 for name in names]
    return [(width - sum(margins)) * share / sum(shares) for share in shares]


def _panel(axes: Axes, name: str, lines: dict, references: dict[str, float]) -> None:
    """Draws one quantity: a title, a line per part of the data, and their names beside them."""
    lines = {part: np.asarray(values, float) for part, values in lines.items() if len(values)}
    _prepare(axes, name, max(len(values) for values in lines.values()))
    axes.set_ylim(_limits(name, [*lines.values(), np.asarray(list(references.values()))]))
    notes = []
    for reference, value in references.items():
        axes.axhline(value, color=style.LIGHT["muted"], linewidth=1, linestyle=(0, (4, 3)))
        notes.append((value, f"{reference} {_number(value)}", "muted"))
    colours = {"training": "muted", "validation": "accent"}
    if len(lines) == 1:
        colours = dict.fromkeys(lines, "accent")
    for part, values in lines.items():
        colour = colours[part]
        epochs = np.arange(1, len(values) + 1)
        axes.plot(
            epochs, values, color=style.LIGHT[colour], linewidth=1.8, clip_on=False, label=part
        )
        finite = np.flatnonzero(np.isfinite(values))
        if len(finite):
            last = finite[-1]
            axes.plot(
                epochs[last],
                values[last],
                "o",
                color=style.LIGHT[colour],
                markersize=4.5,
                clip_on=False,
            )
            notes.append((values[last], f"{part} {_number(values[last])}", colour))
    if name != "learning_rate":
        _write_beside(axes, notes)


def _prepare(axes: Axes, name: str, num_epochs: int) -> None:
    """Gives axes their title, their ticks and the hairlines of the house style."""
    width, height = style.inches(axes)
    title = {"size": style.TITLE_SIZE, "weight": "bold"}
    style.write(axes, -LEFT / width, 1 + 0.16 / height, PANELS[name], **title)
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axes.set_xlim((1, num_epochs) if num_epochs > 1 else (0.5, 1.5))
    axes.set_xticks(np.unique(np.linspace(1, num_epochs, 4).round()))
    axes.xaxis.set_major_formatter(plain)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))
    axes.yaxis.set_major_formatter(plain)
    axes.tick_params(
        length=0,
        pad=5,
        labelsize=style.SIZE,
        labelcolor=style.LIGHT["muted"],
        labelfontfamily=style.FONT,
    )
    axes.grid(axis="y", color=style.LIGHT["line"], linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines["bottom"].set_visible(True)
    style.write(axes, 0.5, -0.42 / height, "epoch", "muted", ha="center")


def _limits(name: str, values: list[np.ndarray]) -> tuple[float, float]:
    """Returns the ends of the y axis: 0 upwards, accuracy from the tenth below to 1."""
    numbers = np.concatenate(values)
    numbers = numbers[np.isfinite(numbers)]
    low, high = (numbers.min(), numbers.max()) if len(numbers) else (0.0, 1.0)
    if name == "accuracy":
        return float(np.clip(np.floor(low * 10 - 0.2) / 10, 0, 0.9)), 1.0
    return min(low, 0.0), high * 1.06 if high > 0 else 1.0


def _write_beside(axes: Axes, notes: list[tuple[float, str, str]]) -> None:
    """Writes (value, text, colour) at the right of the axes, each as near its value as goes."""
    low, high = axes.get_ylim()
    heights = np.asarray([(value - low) / (high - low) for value, _, _ in notes])
    for height, (_, text, colour) in zip(
        spread(heights, style.LINE_HEIGHT / PLOT_HEIGHT, low=0.03), notes, strict=True
    ):
        style.write(axes, 1 + BESIDE / style.inches(axes)[0], height, text, colour, va="center")


def _number(value: float) -> str:
    """Returns a number with three decimals, or as a power of ten where those would be 0."""
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.0005 else f"{value:.1e}"


def spread(heights: np.ndarray, gap: float, low: float = -np.inf) -> np.ndarray:
    """Returns heights that lie at least a gap apart, in the same order, moved as little as goes.

    Args:
        heights: (n,) wished positions, in any order.
        gap: least distance of neighbours.
        low: least height.
    """
    order = np.argsort(heights, kind="stable")
    blocks: list[list[float]] = []  # (middle, size) of those that touch, from below
    for height in np.asarray(heights, float)[order]:
        blocks.append([max(height, low), 1])
        while len(blocks) > 1 and _overlap(*blocks[-2:], gap):
            (lower, below), (upper, above) = blocks.pop(-2), blocks.pop()
            size = below + above
            middle = (lower * below + upper * above) / size
            blocks.append([max(middle, low + (size - 1) / 2 * gap), size])
    placed = [
        middle + (place - (size - 1) / 2) * gap
        for middle, size in blocks
        for place in range(int(size))
    ]
    result = np.empty(len(order))
    result[order] = placed
    return result


def _overlap(low: list[float], high: list[float], gap: float) -> bool:
    """Says whether two blocks of (middle, size) lie nearer than their sizes allow."""
    return high[0] - low[0] < (low[1] + high[1]) / 2 * gap
