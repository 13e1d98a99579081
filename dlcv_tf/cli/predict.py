"""`dlcv predict`: says what is in pictures, and where, with an artifact and no TensorFlow."""

import argparse
import base64
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
    parser.add_argument(
        "--score",
        type=float,
        default=0.3,
        metavar="LEAST",
        help="least score of a thing that is found in a picture (default: %(default)s)",
    )
    parser.add_argument("--draw", metavar="FILE", help="draw the pictures with their answers")
    parser.add_argument("--json", action="store_true", help="print the answers as JSON")


def run(options: argparse.Namespace) -> int:
    """Predicts every picture; those that cannot be read are named, and the status is then 2."""
    from dlcv_tf.artifact import answers, manifest, pictures, runners

    directory = targets.artifact(options.artifact)
    facts = manifest.verify(directory)
    runner = runners.load(directory, options.format)
    results, shown, failed = [], [], []
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
        answer = {key: values[0] for key, values in runner(picture[None]).items()}
        things = answers.things(answer, facts.labels, picture.shape[:2], options.score)
        results.append({"picture": name, **_summary(answer, things)})
        if not options.json:
            print("\n".join(_lines(name, answer, things)))
        if options.draw:
            shown.append((picture, answer))
    for failure in failed:
        print(f"dlcv: {failure['picture']}: {failure['error']}", file=sys.stderr)
    if options.json:
        console.print_json({"predictions": results, "failed": failed})
    if shown:
        _draw(shown, facts, options.score, options.draw)
    return 2 if failed else 0


def _summary(answer: dict, things: list[dict]) -> dict:
    """Returns one picture's answers for JSON: a list for each thing, or for each of their facts."""
    from dlcv_tf.artifact import answers

    if "class_map" in answer:
        return {"class_map": _b64(answers.png(answer["class_map"])), "things": things}
    if "boxes" not in answer and "classes" in answer:
        values = {f"{key}s": [thing[key] for thing in things] for key in ("label", "score")}
        return values | ({"box": things[0]["box"]} if "box" in things[0] else {})
    encoded = [
        {key: _b64(value) if isinstance(value, bytes) else value for key, value in thing.items()}
        for thing in things
    ]
    return {"things": encoded}


def _b64(data: bytes) -> dict[str, str]:
    """Returns bytes as TensorFlow Serving's JSON has them."""
    return {"b64": base64.b64encode(data).decode()}


def _lines(name: str, answer: dict, things: list[dict]) -> list[str]:
    """Returns what is printed of one picture: one line for all its classes, or for each thing."""
    if "classes" in answer and "boxes" not in answer:
        named = ", ".join(f"{thing['label']} {thing['score']:.3f}" for thing in things)
        return [f"{name}: {named}{_at(things[0])}"]
    if not things:
        return [f"{name}: nothing found"]
    return [
        f"{name}: {thing['label']} {thing['share']:.1%}"
        if "share" in thing
        else f"{name}: {thing['label']} {thing['score']:.3f}{_at(thing)}"
        for thing in things
    ]


def _at(thing: dict) -> str:
    """Returns where a thing is, in words; nothing where that is not known."""
    numbers = thing.get("box") or thing.get("place")
    return f" at {' '.join(f'{number:.1f}' for number in numbers)}" if numbers else ""


def _draw(shown: list[tuple], facts, score: float, path: str) -> None:
    """Draws the pictures with their answers: named beneath, or what is where."""
    import numpy as np

    from dlcv_tf.artifact import pictures
    from dlcv_tf.plots import detections
    from dlcv_tf.plots import pictures as plots

    images, found = zip(*shown, strict=True)
    if found[0].keys() == {"probabilities", "classes", "scores"}:
        side = tuple(max(96, size) for size in facts.preprocessing["size"])
        resized = [np.rint(pictures.resize(picture[None], side)[0]) for picture in images]
        titles = [f"{facts.labels[a['classes'][0]]} {a['scores'][0]:.0%}" for a in found]
        images = np.clip(np.stack(resized), 0, 255).astype(np.uint8)
        figure = plots.grid(images, titles, columns=min(6, len(images)))
    else:
        answers = {key: [answer[key] for answer in found] for key in found[0]}
        columns = 1 if "class_map" in answers else min(4, len(images))
        figure = detections.draw(images, answers, facts.labels, score=score, columns=columns)
    try:
        figure.savefig(path, bbox_inches="tight", pad_inches=0.2)
    except ValueError as error:  # matplotlib's word for an ending it does not know
        raise InputError(f"got --draw {path}: {error}") from error
