"""`dlcv quickstart`: the main job end to end on embedded real data, offline, in minutes."""

import argparse
import base64
import dataclasses
import json
import math
import os
import pathlib
import shutil
import sys
import time
import typing
import urllib.request

import numpy as np

from dlcv_tf.cli import console, tables

RECIPE = "digits_resnet"
MODEL = "digits"
PICTURES_SHOWN = 24
NEXT = (
    ("serve --models {models}", "this endpoint, until Ctrl-C"),
    ("predict {models}/digits PICTURE", "pictures from files"),
    ("benchmark {models}/digits", "every format, timed here"),
    ("train folder_resnet18 data=folder:DIR", "your own pictures, one folder per class"),
    ("train mnist_convnet --download", "a bigger data set"),
    ("list", "what else there is"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    parser.add_argument(
        "--out", default="runs/quickstart", metavar="DIR", help="where to (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(options: argparse.Namespace) -> int:
    """Trains, checks, exports, certifies, serves, calls and reports."""
    started = time.monotonic()
    out = pathlib.Path(options.out)
    models = out / "savedmodels"
    say = (lambda *_: None) if options.json else print
    with console.tensorflow_quietly():
        trained = _train(say, verbose=0 if options.json else 1)
    say(f"\n2. Export to four formats and certify each on {len(trained.pictures)} test pictures")
    manifest = _export(trained, models)
    if not options.json:
        tables.print_formats(manifest)
    say("3. Serve it and call it three ways")
    calls = _serve_and_call(models, trained, say)
    seconds = time.monotonic() - started
    report = _report(out, trained, manifest, calls, seconds)
    say(f"4. Report: {report}\n\nDone in {seconds:.0f} s. Next:")
    say(_next_commands(models))
    if options.json:
        console.print_json(
            {
                "test_accuracy": trained.accuracy,
                "first_loss": trained.first_loss,
                "formats": manifest.formats,
                "answers": calls,
                "report": str(report),
                "seconds": round(seconds, 1),
            }
        )
    return 0


def _next_commands(models: pathlib.Path) -> str:
    """Returns the commands to try, each beneath a comment that says what it gives."""
    # After `make quickstart` the command is in .venv/bin, which need not be on the path.
    program = "dlcv" if shutil.which("dlcv") else os.path.relpath(sys.argv[0])
    commands = ((what, command.format(models=models)) for command, what in NEXT)
    return "\n".join(f"# {what}\n{program} {command}" for what, command in commands)


@dataclasses.dataclass
class Trained:
    """The trained task and what is shown of it.

    Args:
        task: the classifier.
        recipe: what it was trained with.
        test: the test split, `(image, label)`.
        train: the training split.
        history: logs of every epoch.
        first_loss: loss of the untrained network on the training pictures.
        accuracy: on the test split.
        pictures: (n, height, width, channels) uint8 test pictures.
        truth: (n,) their class numbers.
        probabilities: (n, classes) the task's answers.
    """

    task: typing.Any
    recipe: typing.Any
    test: typing.Any
    train: typing.Any
    history: dict
    first_loss: float
    accuracy: float
    pictures: np.ndarray
    truth: np.ndarray
    probabilities: np.ndarray


def _train(say, verbose: int) -> Trained:
    """Trains the recipe's network with Keras's own `fit`."""
    from dlcv_tf import data, recipes
    from dlcv_tf.export import parity
    from dlcv_tf.recipes import run as runs

    recipe = recipes.get(RECIPE)
    runs.make_reproducible(recipe.seed)
    train, info = recipe.load("train")
    validation, _ = recipe.load("val")
    test, test_info = recipe.load("test")
    say(
        f"1. Train {recipe.network} with fit on {info.num_examples} real pictures of digits "
        f"({test_info.num_examples} more for the test)"
    )
    batches = data.TrainingBatches(
        train, info.num_examples, recipe.batch_size, recipe.seed, recipe.augmentations
    )
    task = recipe.task(info)
    recipe.compile(task, batches.steps_per_epoch)
    first_loss = task.evaluate(data.evaluation_batches(train), verbose=0)[0]
    say(
        f"   first loss {first_loss:.3f}; guessing among {info.num_classes} classes costs "
        f"log {info.num_classes} = {math.log(info.num_classes):.3f}"
    )
    history = task.fit(
        batches.stream(recipe.epochs),
        epochs=recipe.epochs,
        steps_per_epoch=batches.steps_per_epoch,
        validation_data=data.evaluation_batches(validation),
        shuffle=False,  # the stream is shuffled already
        verbose=verbose,
    ).history
    expected = parity.reference(task, test)
    say(f"   test accuracy {expected.accuracy:.4f}")
    return Trained(
        task,
        recipe,
        test,
        train,
        history,
        first_loss,
        expected.accuracy,
        expected.pictures,
        expected.labels,
        expected.probabilities,
    )


def _export(trained: Trained, models: pathlib.Path):
    from dlcv_tf import export
    from dlcv_tf.artifact.manifest import Manifest

    facts = {
        "recipe": dataclasses.asdict(trained.recipe),
        "data": {"name": "digits", "train_split": "train"},
        "metrics": {"test_accuracy": trained.accuracy},
        "certified_on": {"data": "digits test"},
        "licences": {"data": "UCI Optical Recognition of Handwritten Digits, CC BY 4.0"},
    }
    directory = export.export(
        trained.task,
        MODEL,
        test=trained.test,
        calibration=trained.train,
        root=models,
        facts=facts,
    )
    return Manifest.load(directory)


def _serve_and_call(models: pathlib.Path, trained: Trained, say) -> list[dict]:
    """Calls the served model with pixels, with base64 in JSON, and with the bare picture file."""
    from dlcv_tf.export import parity
    from dlcv_tf.serve import server

    picture = trained.pictures[0]
    png = parity.png(picture)
    encoded = base64.b64encode(png).decode()
    json_type = "application/json"
    requests = (
        ("pixel values", json_type, json.dumps({"instances": [picture.tolist()]}).encode()),
        (
            "base64 PNG",
            json_type,
            json.dumps({"signature_name": "image_bytes", "instances": [{"b64": encoded}]}).encode(),
        ),
        ("raw image/png body", "image/png", png),
    )
    calls = []
    with server.running(models) as url:
        address = f"{url}/v1/models/{MODEL}:predict"
        say(f"   {address}")
        for what, content_type, body in requests:
            request = urllib.request.Request(
                address, data=body, headers={"Content-Type": content_type}
            )
            with urllib.request.urlopen(request, timeout=30) as response:
                answer = json.load(response)["predictions"][0]
            best = answer["labels"][0] if "labels" in answer else answer["classes"][0]
            say(f"   {what:20} -> {best} ({answer['scores'][0]:.4f})")
            calls.append({"call": what, "answer": answer, "truth": int(trained.truth[0])})
    return calls


def _report(out, trained: Trained, manifest, calls, seconds: float) -> pathlib.Path:
    """Writes the page with curves, answers, confusion matrix and table."""
    from dlcv_tf.plots import confusion, curves, pictures, report, style

    labels = trained.task.labels
    predicted = trained.probabilities.argmax(axis=1)
    matrix = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(matrix, (trained.truth, predicted), 1)
    shown = np.argsort(predicted == trained.truth, kind="stable")[:PICTURES_SHOWN]  # errors first

    def picture(draw, description, caption):
        return report.Picture(draw(style.WIDE), description, caption, draw(style.NARROW))

    def draw_answers(width):
        return pictures.answers(
            trained.pictures[shown],
            labels,
            trained.probabilities[shown],
            trained.truth[shown],
            columns=8 if width == style.WIDE else 4,
            width=width,
        )

    references = {f"log {len(labels)}": math.log(len(labels))}
    smallest = min(manifest.formats.values(), key=lambda entry: entry["bytes"])
    sections = [
        report.Text(
            f"A {trained.recipe.network} learnt to read handwritten digits from real pictures, was "
            "exported to four formats, proven equal to the trained network, and served."
        ),
        report.Tiles(
            [
                (f"{trained.accuracy:.1%}", "test accuracy", f"{len(trained.truth)} pictures"),
                (
                    f"{trained.first_loss:.2f}",
                    "first loss",
                    f"guessing: {math.log(len(labels)):.2f}",
                ),
                (f"{smallest['bytes'] / 1e6:.2f} MB", "int8 file", "the smallest format"),
                (f"{seconds:.0f} s", "in all", "train, export, certify, serve"),
            ]
        ),
        report.Heading("Training"),
        picture(
            lambda width: curves.training_curves(trained.history, references, width),
            "Loss and accuracy after each epoch, on training and validation pictures",
            f"{trained.recipe.epochs} epochs of Keras's own `fit`.",
        ),
        report.Heading("Answers"),
        picture(
            draw_answers,
            "Test pictures with the likeliest digit and its probability",
            "Test pictures, wrong answers first.",
        ),
        report.Picture(
            confusion.confusion(matrix, labels),
            "Confusion matrix of the test pictures",
            "Rows are the true digits, columns the answers.",
            confusion.confusion(matrix, labels, width=style.NARROW),
        ),
        report.Heading("Certified formats"),
        report.Table(
            tables.HEADER,
            tables.format_rows(manifest),
            f"Every format ran on its own runtime on all {len(trained.truth)} test pictures and "
            "was compared with the Keras network: the largest difference of a probability, the "
            "accuracy, the size, and the median time of a call.",
        ),
        report.Heading("Served answers"),
        report.Table(
            ("call", "answer", "score", "truth"),
            [
                (
                    call["call"],
                    labels[call["answer"]["classes"][0]],
                    f"{call['answer']['scores'][0]:.4f}",
                    labels[call["truth"]],
                )
                for call in calls
            ],
            f"The same picture sent to `/v1/models/{MODEL}:predict` in three ways.",
        ),
        report.Heading("Next"),
        report.Code(_next_commands(out / "savedmodels")),
    ]
    path = out / "report.html"
    path.write_text(report.html("dlcv quickstart", sections))
    return path
