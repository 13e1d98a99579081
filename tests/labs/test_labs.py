"""Every lab can be called with its defaults from the command line, and says what it is about."""

import inspect
import json
import pathlib
import re

import numpy as np
import pytest

from dlcv_tf import labs
from dlcv_tf.cli import arguments
from dlcv_tf.cli.lab import _defaults
from dlcv_tf.errors import InputError

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "labs"
ROWS = re.compile(r"^Curriculum: rows? \d+(, \d+)*\.", re.MULTILINE)


def test_names_are_listed_once():
    names = [lab.__name__ for chapter in labs.CHAPTERS for lab in chapter.LABS]
    assert len(names) == len(set(names)) == len(labs.LABS) > 0


@pytest.mark.parametrize("lab", labs.LABS.values(), ids=labs.LABS)
def test_a_lab_can_be_called_from_the_command_line(lab):
    signature = inspect.signature(lab)
    for parameter in signature.parameters.values():
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert parameter.default is not parameter.empty
    values = _defaults(lab)
    texts = [f"{key}={arguments.text_of(value)}" for key, value in vars(values).items()]
    assert arguments.changes(texts, values) == vars(values)
    assert signature.return_annotation is labs.Finding


@pytest.mark.parametrize("lab", labs.LABS.values(), ids=labs.LABS)
def test_a_lab_says_what_it_is_about_and_has_a_page(lab):
    text = inspect.getdoc(lab)
    assert len(text.partition("\n")[0]) <= 90
    assert ROWS.search(text), text
    chapter = lab.__module__.rpartition(".")[2]
    assert f"`dlcv lab {lab.__name__}" in (DOCS / f"{chapter}.md").read_text(encoding="utf-8")


def test_what_a_lab_found_can_be_written_as_json():
    numbers = {"ok": np.bool_(True), 3: [np.float32(0.5), (np.int64(2), np.arange(2))], "no": None}
    finding = labs.Finding("It is so.", np.True_, "It is.", numbers)
    assert finding.holds is True
    assert json.dumps(finding.numbers) == '{"ok": true, "3": [0.5, [2, [0, 1]]], "no": null}'


def test_an_unknown_lab_is_named_with_a_suggestion():
    name = next(iter(labs.LABS))
    with pytest.raises(InputError, match=f"unknown lab '{name}x': did you mean '{name}'"):
        labs.get(name + "x")
