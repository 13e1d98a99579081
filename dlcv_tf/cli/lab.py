"""`dlcv lab`: tries one claim of the course, prints the numbers and draws the figure."""

import argparse
import inspect
import json
import pathlib
import time

from dlcv_tf.cli import arguments, console, tables
from dlcv_tf.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    parser.add_argument("lab", help="a lab's name; dlcv list labs shows them")
    parser.add_argument("changes", nargs="*", metavar="key=value", help="arguments of the lab")
    parser.add_argument(
        "--out", metavar="DIR", help="where report and figures go (default: runs/labs/NAME)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(options: argparse.Namespace) -> int:
    """Runs the lab, prints what it found and writes its page. Exit status 1: the claim failed."""
    with console.tensorflow_quietly():
        import tensorflow as tf

        from dlcv_tf import labs

    tf.get_logger().setLevel("ERROR")  # labs train many small networks: a graph for each is right
    lab = labs.get(options.lab)
    values = arguments.changes(options.changes, _defaults(lab))
    started = time.perf_counter()
    try:
        finding = lab(**values)
    except (ValueError, ArithmeticError) as error:
        if isinstance(error, InputError) or not values:
            raise
        given = " ".join(options.changes)
        reason = f"{type(error).__name__}: {error}"
        raise InputError(
            f"got {given}, expected values the lab can be tried with ({reason})"
        ) from error
    seconds = time.perf_counter() - started
    directory = pathlib.Path(options.out or f"runs/labs/{options.lab}")
    page = _write(directory, lab, values, finding)
    if options.json:
        console.print_json(
            {
                "lab": options.lab,
                "claim": finding.claim,
                "holds": finding.holds,
                "seconds": round(seconds, 1),
                "numbers": finding.numbers,
                "page": str(page),
            }
        )
        return int(not finding.holds)
    print(f"claim: {finding.claim}")
    for table in finding.tables:
        rows = [tuple(map(_cell, row)) for row in table.rows]
        tables.print_table(table.caption, tuple(table.columns), rows)
    print(_verdict(finding))
    print(f"{seconds:.1f} s; page: {page}")
    return int(not finding.holds)


def _defaults(lab):
    """Returns a lab's arguments and their defaults."""
    return arguments.of_function(inspect.signature(lab).parameters.values())


def _write(directory: pathlib.Path, lab, values: dict, finding) -> pathlib.Path:
    """Writes report.html, numbers.json and the figures; returns the page."""
    from dlcv_tf.plots import report

    directory.mkdir(parents=True, exist_ok=True)
    numbers = {"claim": finding.claim, "holds": finding.holds, "arguments": values}
    (directory / "numbers.json").write_text(json.dumps(numbers | finding.numbers, indent=1))
    parts = [report.Text(finding.claim), report.Heading("What was found")]
    parts.append(report.Text(_verdict(finding)))
    for name, figure in finding.figures.items():
        figure.savefig(directory / f"{name}.png", dpi=150, bbox_inches="tight", pad_inches=0.2)
        parts.append(report.Picture(figure, _title(name)))
    parts += [report.Table(each.columns, each.rows, each.caption) for each in finding.tables]
    changes = [f"{key}={arguments.text_of(value)}" for key, value in values.items()]
    parts += [report.Heading("How"), report.Text(inspect.getdoc(lab).partition("\n\nArgs:")[0])]
    parts.append(report.Code(" ".join(["dlcv lab", lab.__name__, *changes])))
    page = directory / "report.html"
    page.write_text(report.html(_title(lab.__name__), parts))
    return page


def _verdict(finding) -> str:
    return f"{'holds' if finding.holds else 'DOES NOT HOLD'}: {finding.summary}"


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _cell(value) -> str:
    """Returns a cell of a table as text."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
