"""Pictures of the plane: contour lines of a surface, regions of classes, points and paths."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from dlcv_tf.errors import InputError
from dlcv_tf.plots import style

ABOVE, BELOW, LEFT, GAP = 0.32, 0.5, 0.42, 0.25  # inches: title, numbers of x, of y, between planes
LEVELS = 14
TINT = 0.2  # opacity of a class's region


@dataclasses.dataclass(frozen=True)
class Plane:
    """One part of the plane.

    Args:
        title: above it.
        x_limits: (left, right).
        y_limits: (low, high).
        heights: (n, m) surface over the plane, rows from low to high y: contour lines.
        classes: (n, m) class numbers, likewise: coloured regions.
        points: ((n, 2) places, (n,) class numbers).
        paths: (steps, 2) places by name; start and end are marked.
        x_label: what x is.
        y_label: what y is.
        log_heights: contour lines by ratio rather than by difference.
    """

    title: str
    x_limits: tuple[float, float]
    y_limits: tuple[float, float]
    heights: np.ndarray | None = None
    classes: np.ndarray | None = None
    points: tuple[np.ndarray, np.ndarray] | None = None
    paths: Mapping[str, np.ndarray] | None = None
    x_label: str = ""
    y_label: str = ""
    log_heights: bool = False


def draw(planes: Sequence[Plane], columns: int = 3, width: float = style.WIDE) -> Figure:
    """Draws planes in rows and columns, each true to scale where its limits allow.

    Args:
        planes: what to draw, row by row.
        columns: planes in a row.
        width: of a full row, in inches.

    Raises:
        InputError: no plane, a surface that is not two-dimensional or nowhere finite.
    """
    if not planes:
        raise InputError("got no plane, expected at least one")
    columns = min(columns, len(planes))
    cell = (width + GAP) / columns
    side = min(cell - GAP - LEFT, 3.8)
    names = max(len(plane.paths or ()) for plane in planes)
    below = BELOW + names * style.LINE_HEIGHT
    row = ABOVE + side + below
    figure = style.figure(columns * (LEFT + side + GAP) - GAP, -(-len(planes) // columns) * row)
    for number, plane in enumerate(planes):
        left = number % columns * (LEFT + side + GAP) + LEFT
        axes = style.axes(figure, left, number // columns * row + ABOVE, side, side)
        _frame(axes, plane)
        if plane.classes is not None:
            _regions(axes, plane)
        if plane.heights is not None:
            _contours(axes, plane)
        if plane.points is not None:
            _points(axes, plane)
        _paths(axes, plane)
    return figure


def grid(
    x_limits: tuple[float, float], y_limits: tuple[float, float], size: int = 121
) -> np.ndarray:
    """Returns the places whose values `Plane` takes as `heights` or `classes`.

    Args:
        x_limits: (left, right).
        y_limits: (low, high).
        size: places on a side.

    Returns:
        (size, size, 2) float64 places (x, y), rows from low to high y.
    """
    x, y = np.meshgrid(np.linspace(*x_limits, size), np.linspace(*y_limits, size))
    return np.stack([x, y], axis=-1)


def _frame(axes: Axes, plane: Plane) -> None:
    """Gives axes their title, limits, numbers and frame."""
    width, height = style.inches(axes)
    title = style.shorten(plane.title, width + LEFT, style.TITLE_SIZE)
    style.write(axes, 0, 1 + 0.1 / height, title, size=style.TITLE_SIZE, weight="bold")
    axes.set_xlim(plane.x_limits)
    axes.set_ylim(plane.y_limits)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4, steps=(1, 2, 5, 10)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.tick_params(
        length=0,
        pad=4,
        labelsize=style.SIZE - 1,
        labelcolor=style.LIGHT["muted"],
        labelfontfamily=style.FONT,
    )
    axes.spines[:].set_visible(True)
    style.write(axes, 0.5, -0.42 / height, plane.x_label, "muted", ha="center")
    style.write(
        axes, -0.34 / width, 0.5, plane.y_label, "muted", rotation=90, ha="center", va="bottom"
    )


def _places(plane: Plane, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if np.ndim(values) != 2:
        raise InputError(f"got shape {np.shape(values)} for {plane.title!r}, expected (n, m)")
    rows, columns = np.shape(values)
    return np.linspace(*plane.x_limits, columns), np.linspace(*plane.y_limits, rows)


def _contours(axes: Axes, plane: Plane) -> None:
    heights = np.asarray(plane.heights, float)
    x, y = _places(plane, heights)
    finite = heights[np.isfinite(heights)]
    if not finite.size or finite.min() == finite.max():
        raise InputError(f"got a surface without heights for {plane.title!r}, expected a slope")
    if plane.log_heights:
        least = max(finite.min(), finite.max() * 1e-5)
        levels = np.geomspace(least, finite.max(), LEVELS)
    else:
        levels = np.linspace(finite.min(), finite.max(), LEVELS)
    axes.contour(x, y, heights, levels=levels, colors=style.LIGHT["muted"], linewidths=0.5)


def _regions(axes: Axes, plane: Plane) -> None:
    classes = np.asarray(plane.classes)
    _places(plane, classes)
    colours = ListedColormap([style.LIGHT[name] for name in style.SERIES])
    axes.imshow(
        classes % len(style.SERIES),
        extent=(*plane.x_limits, *plane.y_limits),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=colours,
        vmin=-0.5,
        vmax=len(style.SERIES) - 0.5,
        alpha=TINT,
    )


def _points(axes: Axes, plane: Plane) -> None:
    places, labels = (np.asarray(each) for each in plane.points)
    for label in np.unique(labels):
        here = places[labels == label]
        colour = style.LIGHT[style.SERIES[int(label) % len(style.SERIES)]]
        marker = "osD^vP"[int(label) % 6]  # not by colour alone
        axes.plot(*here.T, marker, color=colour, markersize=3, markeredgewidth=0)


def _paths(axes: Axes, plane: Plane) -> None:
    """Draws the paths, and their names in rows beneath the plane."""
    height = style.inches(axes)[1]
    for number, (name, path) in enumerate((plane.paths or {}).items()):
        path = np.asarray(path, float)
        if path.ndim != 2 or path.shape[1] != 2 or not len(path):
            raise InputError(f"got a path of shape {path.shape} for {name!r}, expected (steps, 2)")
        colour = style.SERIES[number % len(style.SERIES)]
        ink = style.LIGHT[colour]
        axes.plot(*path.T, color=ink, linewidth=1.3, marker=".", markersize=2.5)
        axes.plot(*path[0], "o", color=ink, markersize=6, fillstyle="none")
        axes.plot(*path[-1], "o", color=ink, markersize=6)
        down = 0.46 + (number + 0.5 * bool(plane.x_label)) * style.LINE_HEIGHT
        style.write(axes, 0, -down / height, f"● {name}", colour)
