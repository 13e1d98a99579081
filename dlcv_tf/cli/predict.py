"""`dlcv predict`: names what is in pictures, with an artifact and no TensorFlow."""

import argparse
import pathlib
import sys

from dlcv_tf.cli import console, targets
from dlcv_tf.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    parser.add_argument("artifact", help="savedmodels/NAME or savedmodels/NAME/VERSION")
    parser.add_argument("pictures", nargs="+", help="picture files")
    parser.add_argument(
        "--format", default="onnx", help="onnx, tflite or tflite_int8 (default: %(default)s)"
    )
    parser.add_argument("--draw", metavar="FILE", help="draw the pictures with their answers")
    parser.add_argument("--json", action="store_true", help="print the answers as JSON")


def run(options: argparse.Namespace) -> int:
    """Predicts every picture; those that cannot be read are named, and the status is then 2."""
    from dlcv_tf.artifact import manifest, pictures, runners

    directory = targets.artifact(options.artifact)
    facts = manifest.verify(directory)
    runner = runners.load(directory, options.format)
    answers, shown, failed = [], [], []
    for name in options.pictures:
        try:
            data = pathlib.Path(name).read_bytes()
            picture = pictures.decode(data, channels=facts.preprocessing["channels"])
        except OSError as error:
            failed.append({"picture": name, "error": f"{error.strerror}"})
            continue
        except pictures.PictureError as error:
            failed.append({"picture": name, "error": str(error)})
            continue
        result = runner(picture[None])
        answers.append(
            {
                "picture": name,
                "labels": [facts.labels[number] for number in result["classes"][0]],
                "scores": [round(float(score), 6) for score in result["scores"][0]],
            }
        )
        if options.draw:
            shown.append(picture)
    for failure in failed:
        print(f"dlcv: {failure['picture']}: {failure['error']}", file=sys.stderr)
    if options.json:
        console.print_json({"predictions": answers, "failed": failed})
    else:
        for answer in answers:
            best = zip(answer["labels"], answer["scores"], strict=True)
            named = ", ".join(f"{label} {score:.3f}" for label, score in best)
            print(f"{answer['picture']}: {named}")
    if shown:
        _draw(shown, answers, facts.preprocessing["size"], options.draw)
    return 2 if failed else 0


def _draw(shown, answers, size, path: str) -> None:
    """Draws the pictures, brought to one size, with the best answer above each."""
    import numpy as np

    from dlcv_tf.artifact import pictures
    from dlcv_tf.plots import pictures as plots

    side = (max(96, size[0]), max(96, size[1]))
    resized = [np.rint(pictures.resize(picture[None], side)[0]) for picture in shown]
    titles = [f"{answer['labels'][0]} {answer['scores'][0]:.0%}" for answer in answers]
    images = np.clip(np.stack(resized), 0, 255).astype(np.uint8)
    figure = plots.grid(images, titles, columns=min(6, len(images)))
    try:
        figure.savefig(path, bbox_inches="tight", pad_inches=0.2)
    except ValueError as error:  # matplotlib's word for an ending it does not know
        raise InputError(f"got --draw {path}: {error}") from error
