"""`dlcv train`: trains a recipe in a run directory, resumable at any moment."""

import argparse
import sys

from dlcv_tf.cli import arguments, console, workers
from dlcv_tf.train import cluster


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    parser.add_argument("recipe", help="a recipe's name; dlcv list recipes shows them")
    parser.add_argument(
        "changes", nargs="*", metavar="key=value", help="values to change, tune=off"
    )
    parser.add_argument("--run", metavar="DIR", help="run directory (default: runs/RECIPE/DATE-N)")
    parser.add_argument(
        "--resume", action="store_true", help="go on with --run, or with the recipe's newest run"
    )
    parser.add_argument(
        "--smoke", action="store_true", help="a few steps only, to see that all of it works"
    )
    parser.add_argument(
        "--download", action="store_true", help="fetch the data set if it is not on disk"
    )
    parser.add_argument(
        "--workers", metavar="N", default="1", help="train in N processes on this machine"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(options: argparse.Namespace) -> int:
    """Trains, evaluates and says what to do next."""
    from dlcv_tf import recipes

    recipe = recipes.get(options.recipe)
    tune, changes = arguments.taken(options.changes, "tune", ("on", "off"))
    recipe = recipe.replace(**arguments.changes(changes, recipe))
    if options.resume:
        arguments.refuse_changes(options.changes, "--resume", "a run keeps the recipe it has")
    if (count := workers.number(options.workers)) > 1:
        return workers.run(count, *_commands(options))
    workers.follow_parent()
    with console.tensorflow_quietly():
        from dlcv_tf.recipes import run as runs
    here = cluster.place()
    root = "runs/smoke" if options.smoke else "runs"  # a smoke run is nobody's newest run
    find = runs.newest_directory if options.resume else runs.new_directory
    if here.is_chief:
        directory = options.run or find(recipe.name, root)
        told = f"run {directory}"
    else:
        directory = options.run or root  # of no account: the chief has its own
        told = f"worker {here.index}; the run is on {here.addresses[0]}"
    if not options.json:
        print(f"{recipe.name}: {told}", flush=True)
    try:
        metrics = runs.run(
            recipe,
            directory,
            resume=options.resume,
            smoke=options.smoke,
            tune=tune == "on",
            download=options.download,
            verbose=_verbose(options.json),
        )
    except KeyboardInterrupt:
        console.interrupted(f"go on with: dlcv train {recipe.name} --resume --run {directory}")
        return 130
    if options.json:
        console.print_json({"run": str(directory), **metrics})
        return 0
    if metrics["skipped"]:
        print(f"{len(metrics['skipped'])} files were skipped, named above")
    name = next(iter(metrics))  # the task's main metric
    print(
        f"{name.replace('_', ' ')} {metrics[name]:.4f} on {metrics['test_examples']} pictures, "
        f"trained in {metrics['seconds']:.0f} s"
    )
    if here.is_chief:
        print(f"next: dlcv export {directory}")
    return 0


def _commands(options: argparse.Namespace) -> tuple[list[str], str]:
    """Returns what a local worker's command line has after `dlcv`, and the one to resume with."""
    given = vars(options)
    flags = [f"--{name}" for name in ("smoke", "download", "json") if given[name]]
    run_directory = ["--run", options.run] if options.run else []
    start = ["train", options.recipe, *options.changes, *run_directory, *flags]
    resumed = ["dlcv", "train", options.recipe, "--resume", "--workers", options.workers]
    resumed += [*run_directory, *(["--smoke"] if options.smoke and not options.run else [])]
    return start + ["--resume"] * options.resume, " ".join(resumed)


def _verbose(as_json: bool) -> int:
    """Returns Keras's `verbose`: a bar that redraws itself is for terminals alone."""
    if as_json:
        return 0
    return 1 if sys.stdout.isatty() else 2
