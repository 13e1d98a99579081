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
from dlcv_tf.export import isolated, parity, quantised
from dlcv_tf.export.saved_model import bytes_outputs, export_saved_model
from dlcv_tf.export.warmup import write_warmup
from dlcv_tf.layers import fold_batch_norm
from dlcv_tf.tasks.picture_task import PictureTask
from dlcv_tf.tasks.region_detector import RegionDetector

FILES = {
    "saved_model": ".",
    "onnx": "model.onnx",
    "tflite": "model.tflite",
    "tflite_int8": "model_int8.tflite",
}
CALIBRATION_PICTURES = 200


def export(
    task: PictureTask,
    name: str,
    *,
    test: tf.data.Dataset,
    calibration: tf.data.Dataset,
    root: str | pathlib.Path = "savedmodels",
    version: int | None = None,
    facts: dict | None = None,
) -> pathlib.Path:
    """Exports a trained task in every format and certifies each.

    Tasks that answer places may do without an int8 file: a detector with a second stage can have
    none, and one outside of its bound is left out. The manifest says why under `left_out`.

    Args:
        task: trained task.
        name: of the model.
        test: real `(image, targets)` pictures, unbatched, on which every format is compared.
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
        InputError: the version exists already, a name that cannot be served, or a task that looks
            for proposals outside of the graph.
    """
    if isinstance(task, RegionDetector):
        raise InputError(
            f"got a {type(task).__name__}, whose proposals come from selective search, which is no "
            "part of a graph: expected a detector that finds its own, such as models.faster_rcnn"
        )
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
        left_out = _convert_all(task, staging, name, calibration)
        expected = parity.reference(task, test)
        formats, unfaithful = _certify_all(task, staging, expected, left_out)
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
            left_out=left_out | unfaithful,
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


def signatures(task: PictureTask) -> dict:
    """Returns the inputs and outputs of both signatures, for the manifest."""
    outputs = task.answer_signature()
    images = {"dtype": "uint8", "shape": [None, None, None, task.preprocess.channels]}
    return {
        "serving_default": {"inputs": {"images": images}, "outputs": outputs},
        "image_bytes": {
            "inputs": {"image_bytes": {"dtype": "string", "shape": [None]}},
            "outputs": bytes_outputs(outputs),
        },
    }


def _convert_all(
    task: PictureTask, staging: pathlib.Path, name: str, calibration: tf.data.Dataset
) -> dict[str, str]:
    """Writes all formats; the converters run side by side, each in a process of its own.

    Returns:
        The formats that the task can have none of, and why.
    """
    pictures = np.stack(
        [image for image, _ in calibration.take(CALIBRATION_PICTURES).as_numpy_iterator()]
    )
    if pictures.shape[1:3] != task.preprocess.size:
        raise InputError(
            f"got calibration pictures of {pictures.shape[1:3]}, expected the network's "
            f"{task.preprocess.size}: load them with image_size={task.preprocess.size}"
        )
    left_out = {"tflite_int8": reason} if (reason := quantised.refusal(task)) else {}
    task = _folded(task)  # certified against the task as it was trained
    export_saved_model(task, staging)
    write_warmup(task, staging, name)
    jobs = [("onnx", staging, None), ("tflite", staging, None)]
    fixed = staging / "fixed_size"
    if not left_out:
        raw = not quantised.answers_whole(task)
        export_saved_model(task, fixed, fixed_size=True, raw=raw)
        jobs.append(("tflite_int8", fixed, pictures))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        running = {
            format: pool.submit(isolated.convert, format, source, staging / FILES[format], pictures)
            for format, source, pictures in jobs
        }
        for format, job in running.items():
            try:
                job.result()
            except isolated.ConversionError as error:
                if not _may_be_missing(task, format):
                    raise
                left_out[format] = str(error)
    shutil.rmtree(fixed, ignore_errors=True)
    return left_out


def _may_be_missing(task: PictureTask, format: str) -> bool:
    """Tells whether an artifact is of use without a format: int8 where places are answered.

    Max unpooling, for one, goes by comparisons that eight bits cannot make.
    """
    return format == "tflite_int8" and not quantised.answers_whole(task)


def _folded(task: PictureTask) -> PictureTask:
    """Returns a task that answers the same with batch norms folded into the layers before them.

    The converters of ONNX and TensorFlow Lite do so themselves; a SavedModel of ResNet-20 answers a
    quarter sooner.
    """
    if not hasattr(task.network, "operations"):  # no functional network
        return task
    network = fold_batch_norm(task.network)
    if network is task.network:
        return task
    parts = {"network": network, "preprocess": task.preprocess}
    return type(task).from_config(task.get_config() | parts)


def _certify_all(
    task: PictureTask, staging: pathlib.Path, expected: parity.Reference, left_out: dict[str, str]
) -> tuple[dict[str, dict], dict[str, str]]:
    """Returns the manifest's entry of every format that is faithful, and what is amiss in others.

    Raises:
        ExportError: a format is outside its bound that an artifact must have.
    """
    formats, unfaithful = {}, {}
    for format, path in FILES.items():
        if format in left_out:
            continue
        entry = {"path": path, "runtime": parity.runtime_name(format)}
        if format == "tflite_int8":
            entry["image_size"] = list(task.preprocess.size)
            if not quantised.answers_whole(task):
                entry["decode"] = quantised.decode_facts(task)
        run = parity.runner(staging, format, entry.get("image_size"), entry.get("decode"))
        try:
            entry |= parity.certify(format, run, expected, other_sizes=format != "tflite_int8")
        except parity.ExportError as error:
            if not _may_be_missing(task, format):
                raise
            unfaithful[format] = str(error).removesuffix(": nothing was exported")
            (staging / path).unlink()
            continue
        if format == "saved_model":
            bytes_error = parity.certify_bytes(staging, task, expected)
            entry["worst_error"] = max(entry["worst_error"], bytes_error)
        entry["bytes"] = _format_bytes(staging, path)
        formats[format] = entry
    return formats, unfaithful


def _format_bytes(staging: pathlib.Path, path: str) -> int:
    if path != ".":
        return (staging / path).stat().st_size
    files = [staging / "saved_model.pb", *(staging / "variables").iterdir()]
    return sum(file.stat().st_size for file in files)


def _preprocessing(task: PictureTask) -> dict:
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
