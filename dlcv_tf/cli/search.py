"""`dlcv search`: good hyperparameters of a recipe, coarse to fine, resumable at any moment."""

import argparse
import dataclasses
import json
import pathlib
import sys

from dlcv_tf.cli import arguments, console
from dlcv_tf.errors import InputError, RefusedError

TRIALS = 12
ROOT = "runs/search"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    parser.add_argument("recipe", help="a recipe's name; dlcv list recipes shows them")
    parser.add_argument(
        "ranges",
        nargs="*",
        metavar="key=range",
        help="what to search: learning_rate=1e-4..1e-1 (log by default), batch_size=32,64,128, "
        "image_size=8,8/16,16 (tuples), momentum (a range about the recipe's); options of the "
        "network too; key=value fixes a value (default: learning_rate weight_decay)",
    )
    parser.add_argument(
        "--trials", metavar="N", help=f"in all; a third are of the fine stage (default: {TRIALS})"
    )
    parser.add_argument("--jobs", metavar="N", default="1", help="trials side by side")
    parser.add_argument("--run", metavar="DIR", help=f"directory (default: {ROOT}/RECIPE/DATE-N)")
    parser.add_argument(
        "--resume", action="store_true", help="go on with --run, or with the newest search"
    )
    parser.add_argument("--sampler", help="random, grid or tpe (default: random)")
    parser.add_argument(
        "--median", action="store_true", help="stop trials that are worse than the median, too"
    )
    parser.add_argument(
        "--download", action="store_true", help="fetch the data set if it is not on disk"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(options: argparse.Namespace) -> int:
    """Searches, prints a line for each trial, and writes the report."""
    from dlcv_tf import recipes
    from dlcv_tf.cli import search_ranges
    from dlcv_tf.recipes import directories
    from dlcv_tf.recipes import search as recipe_search

    base = recipes.get(options.recipe)
    base.require_classifier("dlcv search")
    jobs = _number("--jobs", options.jobs)
    if options.resume:
        _refuse_settings(options)
        found = options.run or directories.newest_directory(base.name, ROOT, "search")
        directory = pathlib.Path(found)
        recipe, settings = recipe_search.read(directory)
        if recipe.name != base.name:
            raise InputError(f"got {base.name}, expected {recipe.name}, which {directory} searches")
    else:
        directory = pathlib.Path(options.run or directories.new_directory(base.name, ROOT))
        recipe, space = search_ranges.parse(options.ranges, base)
        trials = _number("--trials", options.trials or str(TRIALS))
        choices = {"sampler": options.sampler or "random", "median": options.median}
        settings = recipe_search.settings(recipe, space, trials, **choices)
        recipe_search.start(directory, recipe, settings)
    if options.download:
        with console.tensorflow_quietly():
            for split in (recipe.train_split, recipe.validation_split):
                recipe.load(split, download=True)
    try:
        with recipe_search.alone(directory):
            return _search(options, directory, base, recipe, settings, jobs)
    except KeyboardInterrupt:
        console.interrupted(f"go on with: {_resume(base.name, directory)}")
        return 130


def _search(options, directory, base, recipe, settings, jobs: int) -> int:
    """Carries the search out in its directory and tells what was found."""
    from dlcv_tf.cli import search_progress
    from dlcv_tf.recipes import search as recipe_search
    from dlcv_tf.train import search, search_workers

    made = search.Search(settings, directory / "trials.sqlite")
    told = search_progress.Progress(made, sys.stderr if options.json else sys.stdout)
    told.begin(base.name, directory)
    objective = _Quietly(recipe_search.Objective(recipe))
    with told.bar():
        search_workers.run(made, objective, jobs, on_trial=told.trial, on_epoch=told.epoch)
    result = _result(made, directory, base, recipe)
    (directory / "results.json").write_text(json.dumps(result, indent=1))
    if result["best"] is None:
        reason = next(trial.reason for trial in made.trials() if trial.reason)
        raise RefusedError(
            f"none of {len(made.trials())} trials was completed; the first: {reason}. Search lower "
            f"learning rates, as learning_rate=1e-6..1e-3; the trials are in {directory}"
        )
    _tell(options, directory, made, result)
    return 0


def _tell(options, directory: pathlib.Path, made, result: dict) -> None:
    """Prints what was found and writes the page."""
    from dlcv_tf.cli import search_report, tables

    sentences = [_improvement(made)] if made.improved() is not None else []
    sentences += [f"Warning: {warning}" for warning in result["warnings"]]
    page = directory / "report.html"
    title = f"Search of {result['recipe']}"
    page.write_text(search_report.page(title, made, result["command"], sentences))
    if options.json:
        console.print_json(result)
        return
    header, rows = search_report.table(made.trials())
    tables.print_table("best trials", header, rows)
    for sentence in sentences:
        print(sentence)
    print(f"{len(result['trials'])} trials, {result['seconds']:.0f} s; report: {page}")
    print(f"next: {result['command']}")


def _improvement(made) -> str:
    from dlcv_tf.cli.search_progress import counted

    coarse, fine = made.best(0), made.best(len(made.settings.stages) - 1)
    verdict = "the fine stage holds it" if made.improved() else "the fine stage did NOT reach it"
    return (
        f"Best of the coarse stage {coarse.value:.4f} after {counted(coarse.epochs, 'epoch')}, of "
        f"the fine stage {fine.value:.4f} after {fine.epochs}: {verdict}."
    )


def _result(made, directory: pathlib.Path, base, recipe) -> dict:
    """Returns the result as plain JSON values."""
    from dlcv_tf.cli import search_ranges

    best = made.best()
    stages = enumerate(made.settings.stages)
    return {
        "run": str(directory),
        "recipe": base.name,
        "best": best and dict(best.values),
        "val_accuracy": best and best.value,
        "stage_bests": {s.name: b.value if (b := made.best(n)) else None for n, s in stages},
        "improved": made.improved(),
        "warnings": made.warnings(),
        "command": best and search_ranges.command(recipe, base, best.values),
        "seconds": round(sum(trial.seconds for trial in made.trials()), 1),
        "trials": [dataclasses.asdict(trial) for trial in made.trials()],
    }


def _resume(name: str, directory: pathlib.Path) -> str:
    return f"dlcv search {name} --resume --run {directory}"


def _number(option: str, text: str) -> int:
    """Returns the number that an option gives."""
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"got {option} {text}, expected a whole number above zero, as {option} 2")
    return int(text)


def _refuse_settings(options: argparse.Namespace) -> None:
    """Raises an InputError for what a search that goes on has already."""
    why = "a search keeps the settings it has"
    arguments.refuse_changes(options.ranges, "--resume", why)
    for name in ("trials", "sampler", "median"):
        if getattr(options, name):
            raise InputError(f"got --{name} beside --resume, expected it without: {why}")


@dataclasses.dataclass(frozen=True)
class _Quietly:
    """An objective whose process keeps TensorFlow's messages to itself."""

    objective: object

    def __call__(self, task, report):
        with console.tensorflow_quietly():
            import tensorflow as tf

            tf.get_logger().setLevel("ERROR")  # it warns of tracing, which every trial must do
            return self.objective(task, report)
