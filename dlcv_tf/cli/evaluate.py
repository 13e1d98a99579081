"""`dlcv evaluate`: loss and metrics of a run, or the metrics of an artifact's format."""

import argparse
import types

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
    if options.data:
        recipe = recipe.replace(data=options.data)
    dataset, info = recipe.load(options.split or recipe.test_split, download=options.download)
    _check_labels(info, task.labels)
    batches = data.evaluation_batches(dataset, **_batch_size(recipe))
    metrics = task.evaluate(batches, return_dict=True, verbose=0)
    if task.targets != "labels":
        metrics |= task.measure(batches)
    return {"data": f"{info.name} {info.split}", "pictures": info.num_examples} | {
        name: float(value) for name, value in metrics.items()
    }


def _batch_size(recipe) -> dict[str, int]:
    """Returns the recipe's batch size for the larger pictures of detection and the like."""
    return {} if recipe.targets == "labels" else {"batch_size": recipe.batch_size}


def _artifact_metrics(options: argparse.Namespace) -> dict:
    """Returns the metrics of one format of an artifact, run by its own runtime."""
    from dlcv_tf import data, tasks
    from dlcv_tf.artifact import manifest
    from dlcv_tf.export import parity

    directory = targets.artifact(options.target)
    facts = manifest.verify(directory)
    if options.format not in facts.formats:
        raise errors.unknown("format", options.format, facts.formats)
    name = options.data or facts.recipe.get("data")
    if not name:
        raise errors.InputError(f"{directory} does not say what it was trained on: add --data NAME")
    task = getattr(tasks, facts.task, tasks.Classifier)  # an ensemble answers as a classifier
    kind = task.measured_on(facts.signatures["serving_default"]["outputs"])
    is_class = kind == "labels"
    size = tuple(facts.preprocessing["size"])
    dataset, info = data.load(
        name,
        options.split or facts.recipe.get("test_split", "test"),
        image_size=size,
        channels=facts.preprocessing["channels"],
        download=options.download,
        **({} if is_class else {"targets": kind}),
    )
    _check_labels(info, facts.labels)
    entry = facts.formats[options.format]
    run_format = parity.runner(directory, options.format, size, entry.get("decode"))
    # The metric reads the labels alone: no network is needed.
    metric = None if is_class else task.new_metric(types.SimpleNamespace(labels=facts.labels))
    right = 0
    for images, truth in dataset.batch(parity.BATCH).as_numpy_iterator():
        answers = run_format(images)
        if is_class:
            right += int((answers["classes"][:, 0] == truth).sum())
        else:
            metric.update_state(truth, answers)
    measured = {"accuracy": right / info.num_examples} if is_class else metric.result()
    return {
        "data": f"{info.name} {info.split}",
        "pictures": info.num_examples,
        "format": options.format,
        **{key: float(value) for key, value in measured.items()},
    }


def _check_labels(info, labels: list[str]) -> None:
    """Raises an InputError unless a class number means the same in the data and in the model."""
    known = info.joint_names if info.targets == "joints" else info.labels
    if list(known) != list(labels):
        raise errors.InputError(
            f"got the classes {', '.join(known)} in {info.name}, expected those of the model "
            f"in their order: {', '.join(labels)}"
        )
