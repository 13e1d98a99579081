"""A report as one HTML page that needs nothing outside itself: no script, font or picture."""

import dataclasses
import re
import typing
from collections.abc import Sequence
from html import escape

from matplotlib.figure import Figure

from dlcv_tf.errors import InputError
from dlcv_tf.plots import stylesheet, svg

LONG_CELL = 40  # characters from which a table's cell is broken into lines
NUMBER = re.compile(r"[<>≤≥±~≈]?\s?[+\-−]?\d[\d.,\s]*(e[+\-−]?\d+)?\s?[%×\w/]*")


@dataclasses.dataclass(frozen=True)
class Heading:
    """Begins a part of the page; what follows, up to the next heading, belongs to it.

    Args:
        text: the heading.
    """

    text: str


@dataclasses.dataclass(frozen=True)
class Text:
    """Paragraphs. Before the first heading they are the page's opening lines, set larger.

    Args:
        text: an empty line parts paragraphs; what stands between backticks is shown as code.
    """

    text: str


@dataclasses.dataclass(frozen=True)
class Tiles:
    """Key figures in a row.

    Args:
        tiles: (value, name, note) of each, as text; the note may be empty.
    """

    tiles: Sequence[tuple[str, str, str]]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table. The first column names the rows; columns of numbers are aligned right.

    Args:
        columns: their names.
        rows: cells: text as it stands; whole numbers get thousands separators, other numbers four
            digits; None is a dash.
        caption: a line beneath.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | int | float | None]]
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure of this room, drawn into the page in the page's own colours and font.

    Args:
        figure: at most `style.WIDE` inches wide.
        description: what it shows, for those who do not see it.
        caption: a line beneath.
        narrow: the same drawn `style.NARROW` inches wide; a phone shows it instead.
    """

    figure: Figure
    description: str
    caption: str = ""
    narrow: Figure | None = None


@dataclasses.dataclass(frozen=True)
class Code:
    """Commands or a program's text, as it stands; lines that begin with # are set back.

    Args:
        text: the lines.
        caption: a line above.
    """

    text: str
    caption: str = ""


Section = Heading | Text | Tiles | Table | Picture | Code


def html(title: str, sections: Sequence[Section]) -> str:
    """Returns a report as one HTML page.

    Args:
        title: of the page.
        sections: what it holds, in order.

    Raises:
        InputError: not a section, or a table's row of another length than its columns.

    Example:
        >>> page = html("Digits", [Heading("Result"), Tiles([("99.2%", "test accuracy", "")])])
        >>> page.count("<h2")
        1
    """
    parts = ['<section class="lead">']
    for number, section in enumerate(sections):
        if isinstance(section, Heading):
            name = f"part-{number}"
            parts.append(f'</section>\n<section aria-labelledby="{name}">')
            parts.append(f'<h2 id="{name}">{_inline(section.text)}</h2>')
        else:
            parts.append(_render(section, number))
    parts.append("</section>")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{stylesheet.css()}</style>
</head>
<body>
<main>
<header>
<p class="mark">dlcv_tf</p>
<h1>{escape(title)}</h1>
</header>
{chr(10).join(parts)}
</main>
</body>
</html>
"""


def _render(section: Section, number: int) -> str:
    """Returns a section's HTML; the number makes its ids unique in the page."""
    match section:
        case Text(text):
            paragraphs = re.split(r"\n\s*\n", text.strip())
            return "\n".join(f"<p>{_inline(paragraph)}</p>" for paragraph in paragraphs)
        case Tiles(tiles):
            return f'<dl class="tiles">{"".join(_tile(*tile) for tile in tiles)}</dl>'
        case Table():
            return _table(section)
        case Picture():
            return _picture(section, number)
        case Code(text, caption):
            lines = [
                f'<span class="comment">{escape(line)}</span>'
                if line.lstrip().startswith("#")
                else escape(line)
                for line in text.strip("\n").splitlines()
            ]
            block = f"<pre><code>{chr(10).join(lines)}</code></pre>"
            return f'<figure class="code">{_caption(caption)}{block}</figure>'
    kinds = ", ".join(kind.__name__ for kind in typing.get_args(Section))
    raise InputError(f"got a section of type {type(section).__name__}, expected one of {kinds}")


def _tile(value: str, name: str, note: str) -> str:
    """Returns the HTML of one key figure."""
    below = f'<dd class="note">{_inline(note)}</dd>' if note else ""
    return f'<div><dt>{_inline(name)}</dt><dd class="value">{escape(value)}</dd>{below}</div>'


def _picture(picture: Picture, number: int) -> str:
    """Returns the HTML of a figure, and of its narrow twin if there is one."""
    wide = svg.inline(picture.figure, picture.description, f"f{number}-")
    if picture.narrow is None:
        drawn = _scrollable(wide, picture.description)
    else:
        narrow = svg.inline(picture.narrow, picture.description, f"n{number}-")
        drawn = (
            f'<div class="has-narrow"><div class="wide">{wide}</div>'
            f'<div class="narrow">{narrow}</div></div>'
        )
    return f"<figure>{drawn}{_caption(picture.caption)}</figure>"


def _table(table: Table) -> str:
    """Returns the HTML of a table."""
    for row in table.rows:
        if len(row) != len(table.columns):
            raise InputError(
                f"got a row of {len(row)} cells {list(row)!r}, expected {len(table.columns)}: "
                f"one for each of {', '.join(table.columns)}"
            )
    cells = [[_cell_text(cell) for cell in row] for row in table.rows]
    kinds = [_kind(column) for column in zip(*cells, strict=True)] or [""] * len(table.columns)
    kinds = [f' class="{kind}"' if kind else "" for kind in kinds]
    head = "".join(
        f'<th scope="col"{kind}>{_inline(name)}</th>'
        for name, kind in zip(table.columns, kinds, strict=True)
    )
    body = ""
    for row in cells:
        first, *others = (f"{kind}>{_inline(cell)}" for cell, kind in zip(row, kinds, strict=True))
        body += f'<tr><th scope="row"{first}</th>'
        body += "".join(f"<td{other}</td>" for other in others) + "</tr>\n"
    drawn = f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"
    name = table.caption or ", ".join(table.columns)
    return f"<figure>{_scrollable(drawn, name)}{_caption(table.caption)}</figure>"


def _cell_text(cell: str | int | float | None) -> str:
    """Returns a cell as text; what is not there is a dash."""
    if cell is None or cell == "":
        return "–"
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return str(cell)
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:.4g}"


def _kind(cells: Sequence[str]) -> str:
    """Returns how a column is set: `number` (aligned right), `long` (in lines), or plainly."""
    there = [cell for cell in cells if cell != "–"]
    if there and all(NUMBER.fullmatch(cell) for cell in there):
        return "number"
    return "long" if any(len(cell) > LONG_CELL for cell in there) else ""


def _scrollable(content: str, name: str) -> str:
    """Lets wide content scroll by itself, with the keyboard too."""
    named = f'role="region" aria-label="{escape(name)}" tabindex="0"'
    return f'<div class="scroll" {named}>{content}</div>'


def _caption(text: str) -> str:
    """Returns a caption, or nothing."""
    return f"<figcaption>{_inline(text)}</figcaption>" if text else ""


def _inline(text: str) -> str:
    """Escapes text and sets what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
