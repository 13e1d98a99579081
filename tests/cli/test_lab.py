"""`dlcv lab`: numbers, figures and a page, and an exit status that says whether the claim holds."""

import json

import pytest

from dlcv_tf import labs
from dlcv_tf.cli import main
from dlcv_tf.plots import charts

NAME = "margin_or_probability"


def test_a_lab_prints_and_leaves_its_page(capsys, tmp_path):
    assert main.main(["lab", NAME, "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("claim: ") and "\nholds: " in out and f"page: {tmp_path}" in out
    finding = labs.get(NAME)()
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["holds"] is True and finding.numbers.items() <= numbers.items()
    page = (tmp_path / "report.html").read_text()
    assert "<h1" in page and f"dlcv lab {NAME}" in page
    for name in finding.figures:
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
    assert page.count("<svg") == len(finding.figures)


def test_json_is_the_numbers_alone(capsys, tmp_path):
    assert main.main(["lab", NAME, "delta=0.5", "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["lab"] == NAME and found["holds"] is True
    assert found["numbers"] == json.loads(json.dumps(labs.get(NAME)(delta=0.5).numbers))


def test_a_claim_that_fails_is_exit_status_1(capsys, tmp_path, monkeypatch):
    def flat(*, height: float = 0.0) -> labs.Finding:
        """A claim that does not hold.

        Curriculum: row 1.
        """
        figure = charts.draw([charts.Panel("Flat", {"line": ([0, 1], [height, height])})])
        table = labs.Table(("x", "y"), [("0", height)], "What was found")
        return labs.Finding("It rises.", False, "It is flat.", {}, [table], {"flat": figure})

    monkeypatch.setitem(labs.LABS, "flat", flat)
    assert main.main(["lab", "flat", "height=2", "--out", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "DOES NOT HOLD: It is flat." in out and "What was found" in out
    assert "dlcv lab flat height=2.0" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["margin_or_probabilty"], f"unknown lab 'margin_or_probabilty': did you mean '{NAME}'"),
        ([NAME, "dleta=2"], "unknown key 'dleta': did you mean 'delta'"),
        (["first_loss", "classes=0"], "got classes=0, expected values the lab can be tried with"),
        (["curse_of_dimensionality", "most=0"], "got most=0, expected values the lab can be tried"),
        ([NAME, "delta=two"], "got delta=two, expected a number, as in delta=1.0"),
    ],
)
def test_bad_input_is_one_line(capsys, arguments, message):
    assert main.main(["lab", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
