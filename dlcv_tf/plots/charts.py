"""Charts of numbers: panels of lines and points, bars, and small histograms."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from dlcv_tf.errors import InputError
from dlcv_tf.plots import style
from dlcv_tf.plots.curves import spread

PLOT_HEIGHT = 2.3  # inches
ABOVE, BELOW, LEFT = 0.42, 0.62, 0.62  # inches: title, numbers and name of x, numbers of y
LABELLED = 0.18  # inches more at the top where the y axis has a name
NAMELESS = 0.2  # inches less at the bottom where no x axis has a name
BESIDE = 0.1  # inches between a line's end and its name
BAR_HEIGHT = 0.3  # inches
LONGEST_NAME = 2.4  # inches beside a bar
MOST_TICKS = 5


@dataclasses.dataclass(frozen=True)
class Series:
    """One line of a panel.

    Args:
        x: (n,) numbers, or texts for categories.
        y: (n,) numbers; those that the axis cannot show (not finite, or 0 where it is
            logarithmic) are left out.
        low: (n,) lower edge of a band about the line.
        high: (n,) its upper edge.
        marks: draw the points themselves.
        line: join the points.
        colour: name in the palette; the next of `style.SERIES` by default.
    """

    x: Sequence
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    marks: bool = False
    line: bool = True
    colour: str = ""


@dataclasses.dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Args:
        title: above it.
        series: by name, each a `Series` or a pair (x, y). A single series is not named.
        x_label: what x is, with its unit.
        y_label: likewise.
        x_log: logarithmic x.
        y_log: logarithmic y.
        references: values of y to compare with, by name: dashed lines.
        y_limits: (low, high); from the numbers by default.
        x_limits: likewise.
    """

    title: str
    series: Mapping[str, Series | tuple]
    x_label: str = ""
    y_label: str = ""
    x_log: bool = False
    y_log: bool = False
    references: Mapping[str, float] | None = None
    y_limits: tuple[float, float] | None = None
    x_limits: tuple[float, float] | None = None


def draw(panels: Sequence[Panel], columns: int = 2, width: float = style.WIDE) -> Figure:
    """Draws panels in rows and columns.

    Args:
        panels: what to draw, row by row.
        columns: panels in a row.
        width: of the figure, in inches.

    Raises:
        InputError: no panel, a series whose x and y differ in length, or no number to show.
    """
    if not panels:
        raise InputError("got no panel, expected at least one")
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    cell_width = width / columns
    above = ABOVE + LABELLED * any(panel.y_label for panel in panels)
    cell_height = above + PLOT_HEIGHT + BELOW - NAMELESS * all(not p.x_label for p in panels)
    figure = style.figure(width, rows * cell_height)
    for number, panel in enumerate(panels):
        series = _checked(panel)
        beside = all(each.line for each in series.values())
        margin = _margin(panel, series, beside, cell_width)
        axes = style.axes(
            figure,
            number % columns * cell_width + LEFT,
            number // columns * cell_height + above,
            cell_width - LEFT - margin,
            PLOT_HEIGHT,
        )
        _frame(axes, panel, series, above)
        notes = _lines(axes, panel, series)
        if len(series) == 1:
            notes = notes[1:]
        if beside:
            _write_beside(axes, notes, margin)
        else:
            references = notes[len(series) :] if len(series) > 1 else notes
            _write_beside(axes, references, margin)
            if len(series) > 1:
                _legend(axes, notes[: len(series)], panel.y_label)
    return figure


def bars(
    values: Mapping[str, float],
    x_label: str = "",
    log: bool = False,
    references: Mapping[str, float] | None = None,
    width: float = style.WIDE,
) -> Figure:
    """Draws horizontal bars, each with its value at its end.

    Args:
        values: length of each bar, by name; from top to bottom.
        x_label: what the lengths are, with their unit.
        log: logarithmic lengths.
        references: lengths to compare with, by name: dashed lines.
        width: of the figure, in inches.

    Raises:
        InputError: no bar, or a length that is not finite (on a logarithmic axis: not above 0).
    """
    numbers = np.asarray(list(values.values()), float)
    if not numbers.size or not np.isfinite(numbers).all() or (log and numbers.min() <= 0):
        expected = "at least one, finite" + (" and above 0: the axis is logarithmic" if log else "")
        raise InputError(f"got bars of {dict(values)}, expected {expected}")
    beside = min(LONGEST_NAME, max(style.text_width(name) for name in values) + BESIDE)
    above = LABELLED * 2 if references else 0.05
    plot_height = BAR_HEIGHT * len(values)
    figure = style.figure(width, above + plot_height + 0.55)
    axes = style.axes(figure, beside, above, width - beside - 0.7, plot_height)
    if log:
        axes.set_xscale("log")
        low = min([*numbers, *(references or {}).values()]) / 3
    else:
        low = min(0.0, 1.1 * numbers.min())
    axes.set_xlim(low, max([*numbers, *(references or {}).values()]) * (1.5 if log else 1.02))
    axes.set_ylim(len(values) - 0.5, -0.5)
    places = np.arange(len(values))
    axes.barh(places, numbers - (low if log else 0), left=low if log else 0, height=0.62,
              color=style.LIGHT["accent"])  # fmt: skip
    for place, (name, value) in enumerate(values.items()):
        fraction = (len(values) - place - 0.5) / len(values)
        start = -BESIDE / style.inches(axes)[0]
        text = style.shorten(name, beside)
        style.write(axes, start, fraction, text, ha="right", va="center")
        end = {"transform": axes.transData, "va": "center"}
        style.write(axes, value, place, "  " + number(value), "muted", **end)
    _ticks(axes, "x", log)
    _references(axes, references or {}, plot_height)
    _axis_name(axes, x_label)
    return figure


def histograms(
    values: Mapping[str, np.ndarray],
    columns: int = 5,
    limits: tuple[float, float] | None = None,
    bins: int = 41,
    width: float = style.WIDE,
) -> Figure:
    """Draws a small histogram of each array, all over the same range.

    Args:
        values: numbers by name, of any shape.
        columns: histograms in a row.
        limits: range of all of them; from the least to the largest number by default.
        bins: number of bars.
        width: of the figure, in inches.

    Raises:
        InputError: nothing to show, or numbers that are not finite.
    """
    arrays = {name: np.asarray(each, float).ravel() for name, each in values.items()}
    if not arrays or not all(each.size and np.isfinite(each).all() for each in arrays.values()):
        raise InputError("got no numbers or some that are not finite, expected finite numbers")
    if limits is None:
        limits = (min(map(np.min, arrays.values())), max(map(np.max, arrays.values())))
    columns = min(columns, len(arrays))
    rows = -(-len(arrays) // columns)
    gap, plot_height, above, below = 0.18, 0.75, 0.28, 0.34
    cell = (width + gap) / columns
    figure = style.figure(width, rows * (above + plot_height + below))
    for place, (name, each) in enumerate(arrays.items()):
        left, top = place % columns * cell, place // columns * (above + plot_height + below)
        axes = style.axes(figure, left, top + above, cell - gap, plot_height)
        edges = np.linspace(*limits, bins + 1)
        counts, _ = np.histogram(np.clip(each, *limits), edges)
        axes.stairs(counts, edges, fill=True, color=style.LIGHT["accent"])
        axes.set_xlim(*limits)
        axes.set_ylim(0, max(counts.max(), 1) * 1.05)
        axes.spines["bottom"].set_visible(True)
        style.write(axes, 0, 1.06, style.shorten(name, cell - gap), va="bottom")
        down = -0.08 / plot_height
        style.write(axes, 0, down, number(limits[0]), "muted", va="top", size=style.SIZE - 1)
        style.write(
            axes, 1, down, number(limits[1]), "muted", va="top", ha="right", size=style.SIZE - 1
        )
    return figure


def number(value: float) -> str:
    """Returns a number with three digits, as short as goes."""
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _checked(panel: Panel) -> dict[str, Series]:
    """Returns a panel's series with colours, or raises what is wrong with them."""
    series, colours = {}, iter(style.SERIES * len(panel.series))
    for name, each in panel.series.items():
        each = each if isinstance(each, Series) else Series(*each)
        if len(each.x) != len(each.y) or not len(each.x):
            raise InputError(
                f"got {len(each.x)} x and {len(each.y)} y for {name!r} in {panel.title!r}, "
                "expected as many of both, and at least one"
            )
        series[name] = dataclasses.replace(each, colour=each.colour or next(colours))
    if not series:
        raise InputError(f"got no series for {panel.title!r}, expected at least one")
    return series


def _margin(panel: Panel, series: dict[str, Series], beside: bool, cell: float) -> float:
    """Returns the room at the right of a panel, in inches, for the names that stand there."""
    names = [f"{name} {number(value)}" for name, value in (panel.references or {}).items()]
    if beside and len(series) > 1:
        names += list(series)
    widest = max((style.text_width(name) for name in names), default=0.0)
    return min(widest + 2 * BESIDE, 0.4 * cell) if names else 0.25


def _frame(axes: Axes, panel: Panel, series: dict[str, Series], above: float) -> None:
    """Gives axes their title, at the same height in all panels, scales, limits and ticks."""
    width, height = style.inches(axes)
    title = {"size": style.TITLE_SIZE, "weight": "bold"}
    up = 1 + (0.16 + above - ABOVE) / height
    text = style.shorten(panel.title, width + 1.0, style.TITLE_SIZE)
    style.write(axes, -LEFT / width, up, text, **title)
    style.write(axes, -LEFT / width, 1 + 0.1 / height, panel.y_label, "muted")
    if panel.x_log:
        axes.set_xscale("log")
    if panel.y_log:
        axes.set_yscale("log")
    y = np.concatenate([np.asarray(each.y, float) for each in series.values()])
    y = np.concatenate([y, list((panel.references or {}).values())])
    y = y[np.isfinite(y) & ((y > 0) | (not panel.y_log))]
    if not y.size:
        raise InputError(f"got no number to show in {panel.title!r}, expected finite ones")
    axes.set_ylim(panel.y_limits or _limits(y, panel.y_log))
    _ticks(axes, "y", panel.y_log)
    axes.grid(axis="y", color=style.LIGHT["line"], linewidth=0.7)
    axes.set_axisbelow(True)
    categories = isinstance(next(iter(series.values())).x[0], str)
    if categories:
        names = list(dict.fromkeys(text for each in series.values() for text in each.x))
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.4, len(names) - 0.6)
        _tick_texts(axes, "x")
    else:
        x = np.concatenate([np.asarray(each.x, float) for each in series.values()])
        low, high = x.min(), x.max()
        if low == high:
            low, high = (low / 2, high * 2) if panel.x_log else (low - 0.5, high + 0.5)
        axes.set_xlim(panel.x_limits or (low, high))
        _ticks(axes, "x", panel.x_log)
    axes.spines["bottom"].set_visible(True)
    _axis_name(axes, panel.x_label)


def _limits(values: np.ndarray, log: bool) -> tuple[float, float]:
    """Returns the ends of an axis that has room for all values."""
    low, high = values.min(), values.max()
    if log:
        room = max((high / low) ** 0.06, 1.1)
        return low / room, high * room
    room = 0.06 * (high - low) or 0.5
    return (low if low == 0 else low - room), high + room


def _ticks(axes: Axes, side: str, log: bool) -> None:
    """Sets few, plain ticks."""
    axis = getattr(axes, f"{side}axis")
    if log:
        low, high = np.log10(axis.get_view_interval())
        between = (1, 2, 5) if np.floor(high) <= np.ceil(low) else (1,)  # one power is no scale
        axis.set_major_locator(LogLocator(subs=between, numticks=MOST_TICKS + 2))
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(MOST_TICKS, steps=(1, 2, 5, 10)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    _tick_texts(axes, side)


def _tick(value: float) -> str:
    """Returns a tick's number, small ones short: 1e-4."""
    if 0 < value < 1e-3:
        return np.format_float_scientific(value, precision=3, trim="-", exp_digits=1)
    return f"{value:g}"


def _tick_texts(axes: Axes, side: str) -> None:
    axes.tick_params(
        axis=side,
        length=0,
        pad=5,
        labelsize=style.SIZE,
        labelcolor=style.LIGHT["muted"],
        labelfontfamily=style.FONT,
    )


def _axis_name(axes: Axes, text: str) -> None:
    height = style.inches(axes)[1]
    style.write(axes, 0.5, -0.46 / height, text, "muted", ha="center")


def _lines(axes: Axes, panel: Panel, series: dict[str, Series]) -> list[tuple[float, str, str]]:
    """Draws the series and references; returns (value, text, colour) of each, for its name."""
    notes = []
    for name, each in series.items():
        y, colour = np.asarray(each.y, float), style.LIGHT[each.colour]
        good = np.isfinite(y) & ((y > 0) | (not panel.y_log))
        x = [value for value, keep in zip(each.x, good, strict=True) if keep]
        limited = panel.y_limits is not None or panel.x_limits is not None
        if not each.line and limited:  # points at the very limits are shown whole
            good &= _within(each.x, *axes.get_xlim()) & _within(y, *axes.get_ylim())
            x = [value for value, keep in zip(each.x, good, strict=True) if keep]
        if isinstance(each.x[0], str):
            names = [text.get_text() for text in axes.get_xticklabels()]
            x = [names.index(text) for text in x]
        if each.low is not None and each.high is not None:
            edges = (np.asarray(edge, float)[good] for edge in (each.low, each.high))
            axes.fill_between(x, *edges, color=colour, alpha=0.16, linewidth=0)
        marks = {"marker": "o", "markersize": 4} if each.marks or not each.line else {}
        axes.plot(
            x,
            y[good],
            color=colour,
            linewidth=1.8 if each.line else 0,
            clip_on=limited and each.line,
            label=name,
            **marks,
        )
        end = y[good][-1] if good.any() else axes.get_ylim()[0]
        notes.append((float(np.clip(end, *axes.get_ylim())), name, each.colour))
    for name, value in (panel.references or {}).items():
        axes.axhline(value, color=style.LIGHT["muted"], linewidth=1, linestyle=(0, (4, 3)))
        notes.append((value, f"{name} {number(value)}", "muted"))
    return notes


def _within(values: Sequence, low: float, high: float) -> np.ndarray:
    if isinstance(values[0], str):
        return np.ones(len(values), bool)
    values = np.asarray(values, float)
    return (values >= low) & (values <= high)


def _write_beside(axes: Axes, notes: list[tuple[float, str, str]], margin: float) -> None:
    """Writes names at the right of the axes, each as near the end of its line as goes."""
    if not notes:
        return
    width, height = style.inches(axes)
    data = np.array([[axes.get_xlim()[0], value] for value, _, _ in notes])
    heights = axes.transAxes.inverted().transform(axes.transData.transform(data))[:, 1]
    for place, (_, text, colour) in zip(
        spread(heights, style.LINE_HEIGHT / height, low=0.03), notes, strict=True
    ):
        text = style.shorten(text, margin - BESIDE)
        style.write(axes, 1 + BESIDE / width, place, text, colour, va="center")


def _legend(axes: Axes, notes: list[tuple[float, str, str]], y_label: str) -> None:
    """Writes the names of points in a row above the axes' upper edge, behind the name of y."""
    width, height = style.inches(axes)
    left = max(0.0, style.text_width(y_label) + 2 * BESIDE - LEFT)
    room = (width - left) / len(notes) - 2 * BESIDE  # inches a name has where not all fit
    whole = sum(style.text_width(f"● {name}") + 2 * BESIDE for _, name, _ in notes)
    for _, name, colour in notes:
        text = f"● {name}" if left + whole <= width else style.shorten(f"● {name}", room)
        style.write(axes, left / width, 1 + 0.1 / height, text, colour)
        left += style.text_width(text) + 2 * BESIDE
        whole -= style.text_width(f"● {name}") + 2 * BESIDE


def _references(axes: Axes, references: Mapping[str, float], height: float) -> None:
    """Draws upright dashed lines with their names above."""
    for place, (name, value) in enumerate(references.items()):
        axes.axvline(value, color=style.LIGHT["muted"], linewidth=1, linestyle=(0, (4, 3)))
        style.write(
            axes,
            value,
            1 + (0.05 + place * style.LINE_HEIGHT) / height,
            f"{name} {number(value)}",
            "muted",
            transform=axes.get_xaxis_transform(),
            ha="center",
        )
