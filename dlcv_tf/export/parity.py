"""Certification: every format is run by its own runtime and compared with the Keras task."""

import dataclasses
import io
import pathlib
import time
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from PIL import Image

from dlcv_tf.artifact import runners
from dlcv_tf.errors import RefusedError
from dlcv_tf.export import agreement
from dlcv_tf.export.agreement import worst_error as worst_error
from dlcv_tf.tasks.picture_task import PictureTask

FLOAT_BOUND = 1e-4  # worst difference of a probability, float32 formats
FLOAT_ACCURACY_BOUND = 0.001
INT8_ACCURACY_BOUND = 0.01
FLOAT_METRIC_BOUND = 0.002  # of other tasks' main metrics
INT8_METRIC_BOUND = 0.015
BATCH = 64
BYTES_CHECKED = 256  # pictures sent through the `image_bytes` signature
OTHER_SIZE_CHECKED = 16  # pictures checked at another size than the network's
PATIENCE = 10.0  # seconds: the most that one latency is measured for


class ExportError(RefusedError):
    """A format is outside its bound; the artifact was not written."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """What the Keras task answers on the pictures of certification.

    Args:
        task: the task.
        pictures: (n, height, width, channels) uint8.
        targets: the truth: (n,) class numbers, or what else the task is trained on, batched.
        answers: the task's answers by name.
        resized: a few of the pictures at another size.
        resized_answers: the task's answers to those.
    """

    task: PictureTask
    pictures: np.ndarray
    targets: np.ndarray | dict
    answers: dict[str, np.ndarray]
    resized: np.ndarray
    resized_answers: dict[str, np.ndarray]

    @property
    def labels(self) -> np.ndarray:
        """True class numbers (n,), of a classifier."""
        return self.targets

    @property
    def probabilities(self) -> np.ndarray:
        """The probabilities (n, classes) that the task answers."""
        return self.answers["probabilities"]

    @property
    def accuracy(self) -> float:
        """Accuracy of the Keras task, or what its main metric is."""
        return self.measure(self.answers)

    def measure(self, answers: dict[str, np.ndarray]) -> float:
        """Returns the task's main metric of some answers to the pictures."""
        if self.task.targets == "labels":
            return accuracy(answers["probabilities"], self.targets)
        metric = self.task.new_metric()
        for rows in np.array_split(np.arange(len(self.pictures)), _parts(self.pictures)):
            targets, answered = (
                tf.nest.map_structure(lambda values, rows=rows: values[rows], all_values)
                for all_values in (self.targets, answers)
            )
            metric.update_state(targets, answered)
        return float(metric.result()[self.task.main_metric])

    def compare(self, answers: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> dict:
        """Returns the `Agreement` of each kind of answer with the expected one."""
        thresholds = [getattr(self.task, f"{kind}_threshold", 0.0) for kind in ("score", "iou")]
        return agreement.compare(
            answers, expected, probability_bound=FLOAT_BOUND, thresholds=tuple(thresholds)
        )


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the part of pictures whose likeliest class is the true one."""
    return float(np.mean(np.argmax(probabilities, axis=1) == labels))


def reference(task: PictureTask, dataset: tf.data.Dataset) -> Reference:
    """Runs the Keras task on a whole data set of `(image, targets)`."""
    pairs = list(dataset.batch(BATCH).as_numpy_iterator())
    pictures, targets = tf.nest.map_structure(lambda *parts: np.concatenate(parts), *pairs)
    height, width = pictures.shape[1:3]
    other = (height + height // 2 + 1, width + 3)  # neither size nor aspect ratio of the network
    resized = tf.image.resize(pictures[:OTHER_SIZE_CHECKED], other, antialias=True)
    resized = tf.cast(tf.round(resized), tf.uint8).numpy()

    spec = tf.TensorSpec((None, None, None, pictures.shape[-1]), tf.uint8)

    @tf.function(input_signature=[spec])
    def answer(images):
        return task.answer(images)

    def run(images):
        return {name: values.numpy() for name, values in answer(tf.constant(images)).items()}

    answers = run_all(run, pictures)
    return Reference(task, pictures, targets, answers, resized, run(resized))


def run_all(run: Callable, pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the answers for all pictures, run in batches."""
    answers = [run(batch) for batch in np.array_split(pictures, _parts(pictures))]
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def _parts(pictures: np.ndarray) -> int:
    return max(1, len(pictures) // BATCH)


def saved_model_runner(directory: str | pathlib.Path) -> Callable:
    """Returns the `serving_default` signature as a function of NumPy pictures."""
    loaded = tf.saved_model.load(str(directory))
    signature = loaded.signatures["serving_default"]

    def run(images, loaded=loaded):  # holds `loaded`: signatures do not keep their variables alive
        return {name: v.numpy() for name, v in signature(images=tf.constant(images)).items()}

    return run


def certify(format: str, run: Callable, expected: Reference, *, other_sizes: bool) -> dict:
    """Compares one format with the Keras task and times it.

    Args:
        format: its name, for messages; int8 formats have a bound on the main metric only.
        run: function from uint8 pictures to a dict of arrays.
        expected: the Keras task's answers.
        other_sizes: whether to check pictures of another size than the network's too.

    Returns:
        `worst_error`, `bound`, the main metric (`accuracy`), its bound (`accuracy_bound`) and
        `latency_ms` for the manifest; `agreement`, by kind of answer, of float formats that answer
        more than probabilities.

    Raises:
        ExportError: outside a bound; names the format and the figure.
    """
    main = expected.task.main_metric
    is_class = expected.task.targets == "labels"
    is_int8 = format.endswith("int8")
    answers = run_all(run, expected.pictures)
    _check_types(format, answers, expected.task)
    found = expected.compare(answers, expected.answers)
    if other_sizes:
        resized = expected.compare(run(expected.resized), expected.resized_answers)
        found = {name: one.worse(resized[name]) for name, one in found.items()}
    got = expected.measure(answers)
    if is_class:
        metric_bound = INT8_ACCURACY_BOUND if is_int8 else FLOAT_ACCURACY_BOUND
    else:
        metric_bound = INT8_METRIC_BOUND if is_int8 else FLOAT_METRIC_BOUND
    if not is_int8:
        check_agreement(format, found)
    change = abs(got - expected.accuracy)
    first = next(iter(found.values()))
    check_bounds(
        format,
        first.worst_error,
        change,
        bound=float("inf") if is_int8 else first.bound,
        accuracy_bound=metric_bound,
        metric=main,
    )
    entry = {
        "worst_error": first.worst_error,
        "bound": None if is_int8 else first.bound,
        main: got,
        f"{main}_bound": metric_bound,
        "latency_ms": {str(n): latency(run, expected.pictures, n) for n in (1, 32)},
    }
    if not (is_class or is_int8):
        entry["agreement"] = {name: one.facts() for name, one in found.items()}
    return entry


def check_agreement(format: str, found: dict[str, agreement.Agreement]) -> None:
    """Raises ExportError where a kind of answer is outside its bounds."""
    for one in found.values():
        check_bounds(
            format, one.worst_error, 0.0, bound=one.bound, accuracy_bound=0.0, what=one.what
        )
        if not one.disagreeing <= one.disagreeing_bound:
            raise ExportError(
                f"{100 * one.disagreeing:.2f} % of the {one.things} of {format} have no "
                f"counterpart in the Keras task's answers, expected at most "
                f"{100 * one.disagreeing_bound:g} %: nothing was exported"
            )


def check_bounds(
    format: str,
    error: float,
    accuracy_change: float,
    *,
    bound: float,
    accuracy_bound: float,
    what: str = "a probability",
    metric: str = "accuracy",
) -> None:
    """Raises ExportError where a figure is outside its bound; NaN counts as outside."""
    if not (np.isfinite(error) and error <= bound):
        raise ExportError(
            f"{format} differs from the Keras task by {error:.3g} in {what}, expected at "
            f"most {bound:g}: nothing was exported"
        )
    if not accuracy_change <= accuracy_bound:
        raise ExportError(
            f"the {metric} of {format} differs from the Keras task's by "
            f"{100 * accuracy_change:.2f} points, expected at most {100 * accuracy_bound:g}: "
            "nothing was exported"
        )


def _check_types(format: str, answers: dict[str, np.ndarray], task: PictureTask) -> None:
    """Raises ExportError unless all answers are there, `classes` and `scores` the best ones."""
    types = {name: str(values.dtype) for name, values in answers.items()}
    expected = {name: spec["dtype"] for name, spec in task.answer_signature().items()}
    if types != expected:
        raise ExportError(f"{format} answers {types}, expected {expected}: nothing was exported")
    if "probabilities" not in types:
        return
    best = -np.sort(-answers["probabilities"], axis=1)[:, : answers["scores"].shape[1]]
    named = np.take_along_axis(answers["probabilities"], answers["classes"], axis=1)
    if not (np.allclose(answers["scores"], best) and np.allclose(named, best)):
        raise ExportError(
            f"the classes or scores of {format} are not the best of its probabilities: "
            "nothing was exported"
        )


def certify_bytes(directory: str | pathlib.Path, task: PictureTask, expected: Reference) -> float:
    """Compares the `image_bytes` signature, fed with PNG files, with the Keras task.

    Places are sent pictures of two sizes in one batch: they are answered in pixels of each.

    Returns:
        The worst difference of the task's first kind of answer, as `certify` gives it.

    Raises:
        ExportError: outside the bound, or a label that is not the class's name.
    """
    signature = tf.saved_model.load(str(directory)).signatures["image_bytes"]
    sets = [(expected.pictures[:BYTES_CHECKED], expected.answers)]
    if task.targets != "labels":
        sets.append((expected.resized, expected.resized_answers))
    files = [png(picture) for pictures, _ in sets for picture in pictures]
    order = np.random.default_rng(0).permutation(len(files))
    mixed = run_all(
        lambda batch: {
            name: values.numpy()
            for name, values in signature(image_bytes=tf.constant(batch)).items()
        },
        np.array(files, dtype=object)[order],
    )
    answers = {name: values[np.argsort(order)] for name, values in mixed.items()}
    start, worst = 0, 0.0
    for pictures, full in sets:
        rows = slice(start, start + len(pictures))
        start = rows.stop
        got = {name: values[rows] for name, values in answers.items()}
        if "class_map_bytes" in got:
            maps = [np.asarray(Image.open(io.BytesIO(data))) for data in got["class_map_bytes"]]
            got["class_map"] = np.stack(maps)
        found = expected.compare(got, {name: v[: len(pictures)] for name, v in full.items()})
        check_agreement("saved_model (image_bytes)", found)
        worst = max(worst, next(iter(found.values())).worst_error)
        _check_labels(got, task.labels)
    return worst


def _check_labels(answers: dict[str, np.ndarray], labels: list[str]) -> None:
    """Raises ExportError unless each class is named; what fills detections up has no name."""
    if "classes" not in answers:
        return
    names = np.array([label.encode() for label in labels], dtype=object)[answers["classes"]]
    if "num_detections" in answers:
        is_found = np.arange(names.shape[1]) < answers["num_detections"][:, None]
        names = np.where(is_found, names, b"")
    if not (answers["labels"] == names).all():
        raise ExportError("saved_model (image_bytes) answers labels that are not its classes'")


def latency(run: Callable, pictures: np.ndarray, batch_size: int, repeats: int = 30) -> float:
    """Returns the median milliseconds of a call; of fewer calls where they take seconds."""
    batch = np.resize(pictures, (batch_size, *pictures.shape[1:]))
    seconds = []
    while len(seconds) < repeats + 3 and (len(seconds) < 6 or sum(seconds) < PATIENCE):
        started = time.perf_counter()
        run(batch)
        seconds.append(time.perf_counter() - started)
    return round(1000 * float(np.median(seconds[3:])), 3)


def png(picture: np.ndarray) -> bytes:
    """Returns a (height, width, 1 or 3) uint8 picture as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(buffer, "PNG")
    return buffer.getvalue()


def runtime_name(format: str) -> str:
    """Returns the runtime of a format with its version."""
    import importlib.metadata

    package = {"saved_model": "tensorflow", "onnx": "onnxruntime"}.get(format, "ai-edge-litert")
    return f"{package} {importlib.metadata.version(package)}"


def runner(
    directory: pathlib.Path,
    format: str,
    image_size: Sequence[int] | None = None,
    decode: dict | None = None,
) -> Callable:
    """Returns what runs one format of an artifact that has no manifest yet.

    Args:
        directory: of the artifact.
        format: its name.
        image_size: (height, width) that an int8 file is fixed to.
        decode: how an int8 file's raw outputs become answers, where it has them.
    """
    if format == "saved_model":
        return saved_model_runner(directory)
    if format == "onnx":
        return runners.OnnxRunner(directory / "model.onnx")
    if format == "tflite":
        return runners.LiteRTRunner(directory / "model.tflite", threads=2)
    raw = runners.LiteRTRunner(directory / "model_int8.tflite", threads=2, image_size=image_size)
    return runners.DecodingRunner(raw, decode) if decode else raw
