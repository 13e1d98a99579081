"""A figure as SVG to stand inside an HTML page, in the page's own colours and font."""

import html
import io
import re
import warnings

import matplotlib
from matplotlib.figure import Figure

from dlcv_tf.plots import style

IMAGE_DPI = 200  # of pictures that must be resampled: two pixels to a pixel of the page
PIXELS_PER_INCH = 100
LEAST_SCALE = 0.55  # a figure is not shown smaller than this; the page lets the reader scroll


def inline(figure: Figure, description: str, prefix: str) -> str:
    """Returns a figure as one `<svg>` element that refers to nothing outside itself.

    Colours of the palette become `var(--NAME)`, text stays text.

    Args:
        figure: drawn in the house style.
        description: what the figure shows, for those who do not see it.
        prefix: put before every id, so that several figures fit into one page.
    """
    written = _savefig(figure)
    body = re.sub(r"^.*?<svg[^>]*>|</svg>\s*$", "", written, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->|<style.*?</style>", "", body, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', body))
    # Only inside tags: what a label says is not touched (in text, < and > are escaped).
    body = re.sub(r"<[^>]*>", lambda tag: _own_tag(tag[0], used, prefix), body)
    body = re.sub(r">\s+<", "><", body.strip()).replace("<defs></defs>", "")
    inches = figure.get_size_inches()
    width, height = (f"{72 * side:g}" for side in inches)
    pixels = round(inches[0] * PIXELS_PER_INCH)
    return (
        f'<svg role="img" aria-label="{html.escape(description)}" viewBox="0 0 {width} {height}" '
        f'width="{pixels}" style="min-width: {round(LEAST_SCALE * pixels)}px">{body}</svg>'
    )


def _savefig(figure: Figure) -> str:
    """Returns the figure as matplotlib writes it, the same text every time."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    # matplotlib offers these two only as settings; the context puts the old ones back.
    settings = {"svg.fonttype": "none", "svg.hashsalt": "dlcv_tf"}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # The page's fonts have the characters that matplotlib's own has not.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", dpi=IMAGE_DPI, transparent=True, metadata=nothing)
    return buffer.getvalue()


def _own_tag(tag: str, used: set[str], prefix: str) -> str:
    """Returns a tag with the page's colours and font, and with ids of its own where used."""
    for name, colour in style.LIGHT.items():
        tag = tag.replace(colour, f"var(--{name})")
    tag = re.sub(r"font-family: [^;\"]*;?\s*", "", tag)
    tag = re.sub(r'\s+id="([^"]*)"', lambda id: id[0] if id[1] in used else "", tag)
    return re.sub(r'(url\(#|href="#|\sid=")', rf"\g<1>{prefix}", tag)
