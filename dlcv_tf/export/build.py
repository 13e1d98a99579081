"""`export`: the whole artifact directory, certified, or nothing."""

import concurrent.futures
import datetime
import os
import pathlib
import re
import shutil

import numpy as np
import tensorflow as tf

import dlcv_tf
from dlcv_tf.artifact.manifest import Manifest
from dlcv_tf.errors import InputError, RefusedError
from dlcv_tf.export import isolated, parity
from dlcv_tf.export.saved_model import export_saved_model
from dlcv_tf.export.warmup import write_warmup
from dlcv_tf.layers import fold_batch_norm
from dlcv_tf.tasks import Classifier

FILES = {
    "saved_model": ".",
    "onnx": "model.onnx",
    "tflite": "model.tflite",
    "tflite_int8": "model_int8.tflite",
}
CALIBRATION_PICTURES = 200


def export(
    task: Classifier,
    name: str,
    *,
    test: tf.data.Dataset,
    calibration: tf.data.Dataset,
    root: str | pathlib.Path = "savedmodels",
    version: int | None = None,
    facts: dict | None = None,
) -> pathlib.Path:
    """Exports a trained task in every format and certifies each.

    Args:
        task: trained task.
        name: of the model.
        test: real `(image, label)` pictures, unbatched, on which every format is compared.
        calibration: real pictures of the training split, for the int8 ranges.
        root: directory of models; the artifact is `root/NAME/VERSION`.
        version: whole number; the next free one by default.
        facts: what the manifest says besides: `recipe`, `data`, `metrics`, `licences`,
            `certified_on`.

    Returns:
        The artifact's directory.

    Raises:
        ExportError: a format is outside its bound; nothing is left behind.
        ConversionError: a converter failed; nothing is left behind.
        RefusedError: TensorFlow could not write, e.g. on a full disk; nothing is left behind.
        InputError: the version exists already, or a name that cannot be served.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][\w.-]*", name):
        raise InputError(f"got the name {name!r}, expected letters, digits, '_', '-' and '.'")
    parent = pathlib.Path(root) / name
    version = version or next_version(parent)
    directory = parent / str(version)
    if directory.exists():
        raise InputError(f"{directory} exists already: choose another version, or remove it")
    parent.mkdir(parents=True, exist_ok=True)
    staging = parent / f".{version}.{os.getpid()}.tmp"
    try:
        _convert_all(task, staging, name, calibration)
        expected = parity.reference(task, test)
        formats = _certify_all(task, staging, expected)
        manifest = Manifest(
            name=name,
            version=version,
            task=type(task).__name__,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            dlcv_tf=dlcv_tf.__version__,
            labels=task.labels,
            signatures=signatures(task),
            preprocessing=_preprocessing(task),
            formats=formats,
            **_with_count(facts or {}, len(expected.pictures)),
        )
        manifest.write(staging)
        os.replace(staging, directory)
    except tf.errors.ResourceExhaustedError as error:
        raise RefusedError(f"nothing was exported: {error.message}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if not any(parent.iterdir()):
            parent.rmdir()
    return directory


def next_version(parent: pathlib.Path) -> int:
    """Returns one more than the newest version in a model's directory."""
    taken = [int(path.name) for path in parent.glob("*") if path.name.isdecimal()]
    return max(taken, default=0) + 1


def signatures(task: Classifier) -> dict:
    """Returns the inputs and outputs of both signatures, for the manifest."""
    classes = len(task.labels)
    top = task.num_answers
    outputs = {
        "probabilities": {"dtype": "float32", "shape": [None, classes]},
        "classes": {"dtype": "int32", "shape": [None, top]},
        "scores": {"dtype": "float32", "shape": [None, top]},
    }
    images = {"dtype": "uint8", "shape": [None, None, None, task.preprocess.channels]}
    return {
        "serving_default": {"inputs": {"images": images}, "outputs": outputs},
        "image_bytes": {
            "inputs": {"image_bytes": {"dtype": "string", "shape": [None]}},
            "outputs": outputs | {"labels": {"dtype": "string", "shape": [None, top]}},
        },
    }


def _convert_all(
    task: Classifier, staging: pathlib.Path, name: str, calibration: tf.data.Dataset
) -> None:
    """Writes all formats; the converters run side by side, each in a process of its own."""
    task = _folded(task)  # certified against the task as it was trained
    export_saved_model(task, staging)
    write_warmup(task, staging, name)
    fixed = staging / "fixed_size"
    export_saved_model(task, fixed, fixed_size=True)
    pictures = np.stack(
        [image for image, _ in calibration.take(CALIBRATION_PICTURES).as_numpy_iterator()]
    )
    if pictures.shape[1:3] != task.preprocess.size:
        raise InputError(
            f"got calibration pictures of {pictures.shape[1:3]}, expected the network's "
            f"{task.preprocess.size}: load them with image_size={task.preprocess.size}"
        )
    jobs = [
        ("onnx", staging, None),
        ("tflite", staging, None),
        ("tflite_int8", fixed, pictures),
    ]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        running = [
            pool.submit(isolated.convert, format, source, staging / FILES[format], pictures)
            for format, source, pictures in jobs
        ]
        for job in running:
            job.result()
    shutil.rmtree(fixed)


def _folded(task: Classifier) -> Classifier:
    """Returns a task that answers the same with batch norms folded into the layers before them.

    The converters of ONNX and TensorFlow Lite do so themselves; a SavedModel of ResNet-20 answers a
    quarter sooner.
    """
    if not hasattr(task.network, "operations"):  # no functional network
        return task
    network = fold_batch_norm(task.network)
    return type(task)(network, task.preprocess, task.labels, task.test_time_flip)


def _certify_all(task: Classifier, staging: pathlib.Path, expected: parity.Reference) -> dict:
    formats = {}
    for format, path in FILES.items():
        run = parity.runner(staging, format, task.preprocess.size)
        entry = {"path": path, "runtime": parity.runtime_name(format)}
        entry |= parity.certify(format, run, expected, other_sizes=format != "tflite_int8")
        if format == "saved_model":
            bytes_error = parity.certify_bytes(staging, task, expected)
            entry["worst_error"] = max(entry["worst_error"], bytes_error)
        if format == "tflite_int8":
            entry["image_size"] = list(task.preprocess.size)
        entry["bytes"] = _format_bytes(staging, path)
        formats[format] = entry
    return formats


def _format_bytes(staging: pathlib.Path, path: str) -> int:
    if path != ".":
        return (staging / path).stat().st_size
    files = [staging / "saved_model.pb", *(staging / "variables").iterdir()]
    return sum(file.stat().st_size for file in files)


def _preprocessing(task: Classifier) -> dict:
    layer = task.preprocess
    return {
        "size": list(layer.size),
        "channels": layer.channels,
        "mean": list(layer.mean),
        "std": list(layer.std),
        "how": layer.how,
        "resize": "antialiased bilinear",
    }


def _with_count(facts: dict, pictures: int) -> dict:
    """Adds the number of pictures, and says so where there were fewer than the 256 wanted."""
    certified_on = facts.get("certified_on", {}) | {"pictures": pictures}
    if pictures < parity.BYTES_CHECKED:
        certified_on["note"] = f"all {pictures} pictures there are; {parity.BYTES_CHECKED} wanted"
    return facts | {"certified_on": certified_on}
