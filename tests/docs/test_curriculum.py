"""The curriculum has every row once, and what it points at is there."""

import collections
import pathlib
import re

import pytest

from dlcv_tf.cli.main import VERBS

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "curriculum.md"
LINK = re.compile(r"(?<!\\)\]\(([^)]+)\)")
Row = collections.namedtuple("Row", "number item run check state where")


def table_rows(number):
    """Returns the rows whose first cell matches, of all tables of the page."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if line.startswith("| ")]
    return [
        Row(*(cell.strip() for cell in row))
        for row in cells
        if re.fullmatch(number, row[0].strip())
    ]


ROWS = table_rows(r"\d+")
ERRATA = table_rows(r"E\d+")
BEGUN = [row for row in ROWS + ERRATA if row.state != "open"]


def test_every_row_is_there_once_and_in_order():
    assert [row.number for row in ROWS] == [str(number) for number in range(1, 189)]
    assert [row.number for row in ERRATA] == [f"E{number}" for number in range(1, 23)]


def test_states():
    assert {row.state for row in ROWS + ERRATA} <= {"done", "started", "open"}
    assert all(row.item and row.run and row.check for row in ROWS + ERRATA)
    count = collections.Counter(row.state for row in ROWS)
    summary = f"State: {count['done']} done, {count['started']} started, {count['open']} open."
    assert summary in PAGE.read_text(encoding="utf-8")


def test_only_what_is_begun_has_anything_to_show():
    assert not [row.number for row in ROWS + ERRATA if row.state == "open" and row.where]


@pytest.mark.parametrize("row", BEGUN, ids=lambda row: row.number)
def test_what_is_begun_has_code_and_test_and_says_what_is_missing(row):
    parts = dict(part.split(": ", 1) for part in row.where.split("; "))
    assert {"code", "test"} <= parts.keys() <= {"code", "test", "result", "missing"}
    assert ("missing" in parts) == (row.state == "started")
    assert "](../dlcv_tf/" in parts["code"]
    assert "](../tests/" in parts["test"]
    assert set(re.findall(r"`dlcv (\w+)", row.run)) <= VERBS.keys()


def test_every_link_leads_to_a_file():
    links = {link.partition("#")[0] for link in LINK.findall(PAGE.read_text(encoding="utf-8"))}
    assert links
    assert not [link for link in links if not (PAGE.parent / link).is_file()]
