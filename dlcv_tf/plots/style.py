"""The house style: one palette, one way to make figures, axes and text; nothing global is changed.

Figures are drawn in the colours of `LIGHT`. A report page replaces them by the palette's names, so
that the same drawing follows the reader's light or dark scheme. Blue and orange stay apart for
every kind of colour vision; grey is for what only serves as comparison. Further lines take `SERIES`
in order, and are named where they end, so that no line is known by its colour alone.
"""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

LIGHT = {
    "paper": "#ffffff",
    "panel": "#f5f6f8",
    "line": "#d8dde4",
    "muted": "#5c6774",
    "ink": "#18202b",
    "accent": "#1d5fc2",
    "wrong": "#bf4a00",
    "green": "#1c7350",
    "purple": "#7a45b5",
    "gold": "#7d6000",
}
DARK = {
    "paper": "#12161c",
    "panel": "#1b2129",
    "line": "#323b47",
    "muted": "#9aa6b4",
    "ink": "#e9edf2",
    "accent": "#7cb0ff",
    "wrong": "#ff9a5c",
    "green": "#5fcb9f",
    "purple": "#c7a0f5",
    "gold": "#dfbd55",
}
SERIES = ("accent", "wrong", "green", "purple", "gold", "muted")  # several lines in one panel

WIDE = 8.8  # inches: the full width of a report page, 100 of its pixels to the inch
NARROW = 3.5  # inches: the same for a phone
SIZE = 9  # points: text
TITLE_SIZE = 10.5
LINE_HEIGHT = 1.45 * SIZE / 72  # inches
FONT = "DejaVu Sans"  # comes with matplotlib, so that a figure is the same everywhere
CHARACTER_WIDTH = 0.6  # of the font size, on average and rather too wide than too narrow


def figure(width: float, height: float) -> Figure:
    """Returns an empty figure in the house style, of a size in inches.

    Drawings reach to its edges, as a page wants it; a file of its own wants a margin:
    `figure.savefig(path, dpi=200, bbox_inches="tight", pad_inches=0.2)`.
    """
    return Figure(figsize=(width, height), facecolor=LIGHT["paper"])


def axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Adds bare axes (no frame, no ticks) at a place in inches from the top left corner."""
    whole_width, whole_height = figure.get_size_inches()
    rectangle = (
        left / whole_width,
        1 - (top + height) / whole_height,
        width / whole_width,
        height / whole_height,
    )
    made = figure.add_axes(rectangle, facecolor="none")
    made.set_xticks([])
    made.set_yticks([])
    made.spines[:].set_visible(False)
    made.spines[:].set_color(LIGHT["line"])
    return made


def inches(axes: Axes) -> tuple[float, float]:
    """Returns the width and the height of axes."""
    width, height = axes.figure.get_size_inches() * axes.get_position().size
    return float(width), float(height)


def write(axes: Axes, x: float, y: float, text: str, colour: str = "ink", **options) -> Text:
    """Writes text as it stands ($ is no mathematics) in a colour of the palette.

    Args:
        axes: where to write.
        x: position, in axes fractions unless `transform` says otherwise.
        y: likewise.
        text: what to write.
        colour: name in the palette.
        options: any of `matplotlib.text.Text`, e.g. `ha`, `va`, `size`, `weight`, `rotation`.
    """
    options = {"transform": axes.transAxes, "size": SIZE, "clip_on": False} | options
    # Rotated about its anchor, text keeps its place when a page shows it in another font.
    return axes.text(
        x,
        y,
        text,
        color=LIGHT[colour],
        family=FONT,
        parse_math=False,
        rotation_mode="anchor",
        **options,
    )


def shorten(text: str, width: float, size: float = SIZE) -> str:
    """Returns the text, cut with an ellipsis where it would be wider than a width in inches."""
    room = max(1, int(width * 72 / (CHARACTER_WIDTH * size)))
    return text if len(text) <= room else text[: room - 1].rstrip() + "…"


def text_width(text: str, size: float = SIZE) -> float:
    """Returns the width of a text in inches, by its number of characters."""
    return len(text) * CHARACTER_WIDTH * size / 72
