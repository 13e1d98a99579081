"""What a lab returns: the claim it tried, the numbers it found, and the figures that show them."""

import dataclasses
import typing
from collections.abc import Sequence

if typing.TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of results.

    Args:
        columns: their names; the first column names the rows.
        rows: cells, text or numbers.
        caption: a line beneath.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence]
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a lab found.

    Args:
        claim: what the course says, in one sentence.
        holds: whether the numbers bear it out.
        summary: the numbers that decide it, in one or two sentences.
        numbers: all numbers, by name; NumPy's become plain JSON values.
        tables: to print and to show on the page.
        figures: by name; the name is the file's.
    """

    claim: str
    holds: bool
    summary: str
    numbers: dict
    tables: Sequence[Table] = ()
    figures: dict[str, "Figure"] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "holds", bool(self.holds))
        object.__setattr__(self, "numbers", _plain(self.numbers))


def _plain(value):
    """Returns a value without NumPy's types."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.tolist() if hasattr(value, "tolist") else value
