"""`dlcv check`: the nine-step training recipe on a recipe or a saved model, before it is trained.

Exit status: 0 where no step fails, 1 where one does.
"""

import argparse
import dataclasses
import json
import pathlib
import shlex
import sys

from dlcv_tf.cli import arguments, console, targets
from dlcv_tf.errors import InputError

SUFFIX = ".keras"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    parser.epilog = "Exit status 0: no step fails (warnings are allowed). 1: one does."
    parser.add_argument("target", help=f"a recipe's name, or a compiled model saved as {SUFFIX}")
    parser.add_argument("changes", nargs="*", metavar="key=value", help="values of the recipe")
    parser.add_argument("--data", help="data set of a saved model: a name or folder:PATH")
    parser.add_argument(
        "--out", metavar="DIR", help="where the report goes (default: runs/check/NAME)"
    )
    parser.add_argument(
        "--download", action="store_true", help="fetch the data set if it is not on disk"
    )
    parser.add_argument("--json", action="store_true", help="print the steps as JSON")


def run(options: argparse.Namespace) -> int:
    """Takes the nine steps, prints a row for each, and writes the report."""
    is_model = options.target.endswith(SUFFIX)
    if not is_model:
        from dlcv_tf import recipes

        recipe = recipes.get(options.target)
        recipe = recipe.replace(**arguments.changes(options.changes, recipe))
        recipe.require_classifier("dlcv check")
        if options.data:
            raise InputError(f"got --data beside a recipe, expected data={options.data}")
    with console.tensorflow_quietly(), _Progress() as progress:
        if is_model:
            name, found = _of_model(options, progress)
        else:
            name, found = _of_recipe(recipe, options, progress)
    directory = pathlib.Path(options.out or f"runs/check/{name}")
    page = _write(directory, name, found)
    if options.json:
        steps = [_facts(step) for step in found.steps]
        result = {"target": options.target, "passed": found.passed, "steps": steps}
        console.print_json(result | {"seconds": round(found.seconds, 1), "report": str(page)})
        return int(not found.passed)
    _print(name, found)
    failed = [str(step.number) for step in found.steps if step.status == "FAIL"]
    verdict = f"steps that fail: {', '.join(failed)}" if failed else "no step fails"
    print(f"{verdict}; {found.seconds:.0f} s; report: {page}")
    if command := found[7].numbers.get("command"):
        print(f"next: {command}")
    return int(not found.passed)


def _of_recipe(recipe, options: argparse.Namespace, say):
    """Returns the recipe's name and the report on it."""
    from dlcv_tf import train
    from dlcv_tf.recipes import run as runs

    runs.make_reproducible(recipe.seed)
    dataset, info = recipe.load(recipe.train_split, download=options.download)
    validation, _ = recipe.load(recipe.validation_split, download=options.download)
    task = recipe.task(info)
    # The command for the search has ranges of its own of these two.
    searched = ("learning_rate", "weight_decay")
    others = [text for text in options.changes if text.partition("=")[0] not in searched]
    recipe.initialize(task, dataset)
    recipe.compile(task, max(1, info.num_examples // recipe.batch_size))
    return recipe.name, train.babysit(
        task,
        dataset,
        validation,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        target=shlex.join([recipe.name, *others]),
        seed=recipe.seed,
        say=say,
    )


def _of_model(options: argparse.Namespace, say):
    """Returns the name of a saved model and the report on it."""
    from dlcv_tf import train
    from dlcv_tf.recipes import run as runs

    arguments.refuse_changes(options.changes, options.target, "they are for recipes")
    if not options.data:
        raise InputError(f"got no data for {options.target}: add --data NAME or folder:PATH")
    model = _load(options.target)
    runs.make_reproducible(0)
    steps = int(model.optimizer.iterations)
    if steps:
        model = train.untrained(model)
        told = f"{options.target} was trained for {steps:,} steps: checked with new initial weights"
        print(told, file=sys.stderr)
    dataset, validation = _splits(model, options)
    return pathlib.Path(options.target).stem, train.babysit(model, dataset, validation, say=say)


def _load(path: str):
    """Returns the compiled model in a file."""
    import keras

    from dlcv_tf import layers, losses, optimizers, tasks  # noqa: F401  the file names classes

    if not pathlib.Path(path).is_file():
        raise InputError(f"got {path}, expected a model saved by model.save: there is no such file")
    targets.check_keras_file(path)
    try:
        model = keras.models.load_model(path)
    except (ValueError, TypeError, OSError) as error:
        reason = str(error).splitlines()[0][:200]
        raise InputError(f"got {path}, expected a file of model.save: {reason}") from error
    if not getattr(model, "compiled", False):
        raise InputError(f"got {path}, saved without compile: compile the model, then save it")
    return model


def _splits(model, options: argparse.Namespace):
    """Returns training and held-out pictures of the size that a model takes."""
    from dlcv_tf import data
    from dlcv_tf.train import sanity

    shape = sanity.input_shape(model) or ()
    if len(shape) != 4:
        raise InputError(
            f"got a model of inputs {shape}, expected (batch, height, width, channels): "
            "for other data call dlcv_tf.train.babysit(model, dataset)"
        )
    _, height, width, channels = shape
    wanted = {"image_size": (height, width) if height and width else None, "channels": channels}
    wanted |= {"download": options.download}
    dataset, info = data.load(options.data, "train", **wanted)
    for split in ("val", "validation", "test"):
        try:
            return dataset, data.load(options.data, split, **wanted)[0]
        except InputError:
            continue
    print(f"{info.name} has no held-out split: step 1 looks at its training", file=sys.stderr)
    return dataset, None


def _write(directory: pathlib.Path, name: str, found) -> pathlib.Path:
    """Writes report.html, numbers.json and the figures; returns the page."""
    from dlcv_tf.cli import check_report

    directory.mkdir(parents=True, exist_ok=True)
    steps = [_facts(step) for step in found.steps]
    (directory / "numbers.json").write_text(json.dumps({"name": name, "steps": steps}, indent=1))
    for title, draw in check_report.figures(found).items():
        figure = draw(check_report.style.WIDE)
        figure.savefig(directory / f"{title}.png", dpi=150, bbox_inches="tight", pad_inches=0.2)
    page = directory / "report.html"
    page.write_text(check_report.page(name, found))
    return page


def _facts(step) -> dict:
    """Returns a step as plain JSON values, without its curves."""
    facts = dataclasses.asdict(step)
    del facts["curves"]
    return facts


def _print(name: str, found) -> None:
    """Prints the table of the steps."""
    import rich.box
    import rich.console
    import rich.markup
    import rich.table

    from dlcv_tf.cli import tables

    colours = {"PASS": "green", "WARN": "yellow", "FAIL": "bold red"}
    table = rich.table.Table(
        title=f"{name}: the nine steps", title_justify="left", box=rich.box.SIMPLE_HEAD
    )
    table.add_column("", justify="right")
    for header, ratio in (("step", 3), ("measured", 6), ("expected", 5), ("what to do", 8)):
        table.add_column(header, ratio=ratio, overflow="fold")
    for step in found.steps:
        texts = (step.name, step.measured, step.expected, step.advice)
        name, *others = map(rich.markup.escape, texts)
        state = f"[{colours[step.status]}]{step.status}[/]"
        table.add_row(str(step.number), f"{name}\n{state}", *others)
        table.add_section()
    out = rich.console.Console()
    if not out.is_terminal:
        out.width = max(out.width, tables.WIDE)
    out.print(table)


class _Progress:
    """Says on stderr which step is taken, where there is a terminal."""

    def __enter__(self):
        import rich.console

        shown = rich.console.Console(stderr=True)
        self.status = shown.status("reading the data") if sys.stderr.isatty() else None
        if self.status:
            self.status.start()
        return self

    def __call__(self, text: str) -> None:
        if self.status:
            self.status.update(text)

    def __exit__(self, *_):
        if self.status:
            self.status.stop()
