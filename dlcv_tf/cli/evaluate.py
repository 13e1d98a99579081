"""`dlcv evaluate`: loss and metrics of a run, or the accuracy of an artifact's format."""

import argparse

from dlcv_tf import errors
from dlcv_tf.cli import console, targets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    parser.add_argument("target", help="directory of a finished run, or of an artifact")
    parser.add_argument("--data", help="data set (default: the recipe's)")
    parser.add_argument("--split", help="split (default: the recipe's test split)")
    parser.add_argument(
        "--format", default="onnx", help="format of an artifact (default: %(default)s)"
    )
    parser.add_argument(
        "--download", action="store_true", help="fetch the data set if it is not on disk"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(options: argparse.Namespace) -> int:
    """Evaluates and prints the metrics."""
    is_run = targets.is_run(options.target)
    with console.tensorflow_quietly():
        metrics = _run_metrics(options) if is_run else _artifact_metrics(options)
    if options.json:
        console.print_json(metrics)
    else:
        for name, value in metrics.items():
            print(f"{name} {value:.4f}" if isinstance(value, float) else f"{name} {value}")
    return 0


def _run_metrics(options: argparse.Namespace) -> dict:
    """Returns loss and metrics of a run's Keras task."""
    from dlcv_tf import data
    from dlcv_tf.recipes import run as runs

    recipe = runs.read_recipe(options.target)
    task = runs.load_task(options.target)
    dataset, info = _load(recipe, options)
    metrics = task.evaluate(data.evaluation_batches(dataset), return_dict=True, verbose=0)
    return {"data": f"{info.name} {info.split}", "pictures": info.num_examples} | {
        name: float(value) for name, value in metrics.items()
    }


def _artifact_metrics(options: argparse.Namespace) -> dict:
    """Returns the accuracy of one format of an artifact, run by its own runtime."""
    from dlcv_tf import recipes
    from dlcv_tf.artifact import manifest
    from dlcv_tf.export import parity

    directory = targets.artifact(options.target)
    facts = manifest.verify(directory)
    if options.format not in facts.formats:
        raise errors.unknown("format", options.format, facts.formats)
    size = facts.preprocessing["size"]
    recipe = recipes.Recipe(**facts.recipe).replace(image_size=tuple(size))
    dataset, info = _load(recipe, options)
    run_format = parity.runner(directory, options.format, tuple(size))
    right = 0
    for images, labels in dataset.batch(parity.BATCH).as_numpy_iterator():
        right += int((run_format(images)["classes"][:, 0] == labels).sum())
    return {
        "data": f"{info.name} {info.split}",
        "pictures": info.num_examples,
        "format": options.format,
        "accuracy": right / info.num_examples,
    }


def _load(recipe, options: argparse.Namespace):
    if options.data:
        recipe = recipe.replace(data=options.data)
    return recipe.load(options.split or recipe.test_split, download=options.download)
