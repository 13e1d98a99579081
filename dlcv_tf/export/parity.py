"""Certification: every format is run by its own runtime and compared with the Keras task."""

import dataclasses
import io
import pathlib
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from PIL import Image

from dlcv_tf.artifact import runners
from dlcv_tf.errors import RefusedError
from dlcv_tf.tasks import Classifier

FLOAT_BOUND = 1e-4  # worst difference of a probability, float32 formats
FLOAT_ACCURACY_BOUND = 0.001
INT8_ACCURACY_BOUND = 0.01
BATCH = 64
BYTES_CHECKED = 256  # pictures sent through the `image_bytes` signature
OTHER_SIZE_CHECKED = 16  # pictures checked at another size than the network's


class ExportError(RefusedError):
    """A format is outside its bound; the artifact was not written."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """What the Keras task answers on the pictures of certification.

    Args:
        pictures: (n, height, width, channels) uint8.
        labels: (n,) true class numbers.
        probabilities: (n, classes) the task's answers.
        resized: a few of the pictures at another size.
        resized_probabilities: the task's answers to those.
    """

    pictures: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    resized: np.ndarray
    resized_probabilities: np.ndarray

    @property
    def accuracy(self) -> float:
        """Accuracy of the Keras task."""
        return accuracy(self.probabilities, self.labels)


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the part of pictures whose likeliest class is the true one."""
    return float(np.mean(np.argmax(probabilities, axis=1) == labels))


def reference(task: Classifier, dataset: tf.data.Dataset) -> Reference:
    """Runs the Keras task on a whole data set of `(image, label)`."""
    pairs = list(dataset.batch(BATCH).as_numpy_iterator())
    pictures = np.concatenate([images for images, _ in pairs])
    labels = np.concatenate([labels for _, labels in pairs])
    height, width = pictures.shape[1:3]
    other = (height + height // 2 + 1, width + 3)  # neither size nor aspect ratio of the network
    resized = tf.image.resize(pictures[:OTHER_SIZE_CHECKED], other, antialias=True)
    resized = tf.cast(tf.round(resized), tf.uint8).numpy()

    spec = tf.TensorSpec((None, None, None, pictures.shape[-1]), tf.uint8)

    @tf.function(input_signature=[spec])
    def answer(images):
        return task.answer(images)["probabilities"]

    def run(images):
        return {"probabilities": answer(tf.constant(images)).numpy()}

    probabilities = run_all(run, pictures)["probabilities"]
    return Reference(pictures, labels, probabilities, resized, run(resized)["probabilities"])


def run_all(run: Callable, pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the answers for all pictures, run in batches."""
    batches = np.array_split(pictures, max(1, len(pictures) // BATCH))
    answers = [run(batch) for batch in batches]
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def worst_error(got: np.ndarray, expected: np.ndarray) -> float:
    """Returns the largest difference; infinity where a value is not a number or is missing."""
    if got.shape != expected.shape or not np.isfinite(got).all():
        return float("inf")
    return float(np.abs(got.astype(np.float64) - expected).max())


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
        format: its name, for messages; int8 formats have a bound on accuracy only.
        run: function from uint8 pictures to a dict of arrays.
        expected: the Keras task's answers.
        other_sizes: whether to check pictures of another size than the network's too.

    Returns:
        `worst_error`, `bound`, `accuracy`, `accuracy_bound` and `latency_ms` for the manifest.

    Raises:
        ExportError: outside a bound; names the format and the figure.
    """
    answers = run_all(run, expected.pictures)
    _check_top(format, answers)
    probabilities = answers["probabilities"]
    error = worst_error(probabilities, expected.probabilities)
    if other_sizes:
        resized = run(expected.resized)["probabilities"]
        error = max(error, worst_error(resized, expected.resized_probabilities))
    is_int8 = format.endswith("int8")
    got = accuracy(probabilities, expected.labels)
    check_bounds(
        format,
        error,
        abs(got - expected.accuracy),
        bound=float("inf") if is_int8 else FLOAT_BOUND,
        accuracy_bound=INT8_ACCURACY_BOUND if is_int8 else FLOAT_ACCURACY_BOUND,
    )
    return {
        "worst_error": error,
        "bound": None if is_int8 else FLOAT_BOUND,
        "accuracy": got,
        "accuracy_bound": INT8_ACCURACY_BOUND if is_int8 else FLOAT_ACCURACY_BOUND,
        "latency_ms": {str(n): latency(run, expected.pictures, n) for n in (1, 32)},
    }


def check_bounds(
    format: str, error: float, accuracy_change: float, *, bound: float, accuracy_bound: float
) -> None:
    """Raises ExportError where a figure is outside its bound; NaN counts as outside."""
    if not (np.isfinite(error) and error <= bound):
        raise ExportError(
            f"{format} differs from the Keras task by {error:.3g} in a probability, expected at "
            f"most {bound:g}: nothing was exported"
        )
    if not accuracy_change <= accuracy_bound:
        raise ExportError(
            f"the accuracy of {format} differs from the Keras task's by "
            f"{100 * accuracy_change:.2f} points, expected at most {100 * accuracy_bound:g}: "
            "nothing was exported"
        )


def _check_top(format: str, answers: dict[str, np.ndarray]) -> None:
    """Raises ExportError unless `classes` and `scores` are the best `probabilities`, in order."""
    types = {name: str(values.dtype) for name, values in answers.items()}
    expected = {"probabilities": "float32", "classes": "int32", "scores": "float32"}
    if types != expected:
        raise ExportError(f"{format} answers {types}, expected {expected}: nothing was exported")
    best = -np.sort(-answers["probabilities"], axis=1)[:, : answers["scores"].shape[1]]
    named = np.take_along_axis(answers["probabilities"], answers["classes"], axis=1)
    if not (np.allclose(answers["scores"], best) and np.allclose(named, best)):
        raise ExportError(
            f"the classes or scores of {format} are not the best of its probabilities: "
            "nothing was exported"
        )


def certify_bytes(directory: str | pathlib.Path, task: Classifier, expected: Reference) -> float:
    """Compares the `image_bytes` signature, fed with PNG files, with the Keras task.

    Returns:
        The worst difference of a probability.

    Raises:
        ExportError: outside the bound, or a label that is not the class's name.
    """
    loaded = tf.saved_model.load(str(directory))
    pictures = expected.pictures[:BYTES_CHECKED]
    answers = loaded.signatures["image_bytes"](
        image_bytes=tf.constant([png(picture) for picture in pictures])
    )
    error = worst_error(answers["probabilities"].numpy(), expected.probabilities[:BYTES_CHECKED])
    check_bounds(
        "saved_model (image_bytes)", error, 0.0, bound=FLOAT_BOUND, accuracy_bound=float("inf")
    )
    labels = np.array([label.encode() for label in task.labels], dtype=object)
    names = labels[answers["classes"].numpy()]
    if not (answers["labels"].numpy() == names).all():
        raise ExportError("saved_model (image_bytes) answers labels that are not its classes'")
    return error


def latency(run: Callable, pictures: np.ndarray, batch_size: int, repeats: int = 30) -> float:
    """Returns the median milliseconds of a call."""
    batch = np.resize(pictures, (batch_size, *pictures.shape[1:]))
    seconds = []
    for _ in range(repeats + 3):
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


def runner(directory: pathlib.Path, format: str, image_size: tuple[int, int]) -> Callable:
    """Returns what runs one format of an artifact that has no manifest yet."""
    if format == "saved_model":
        return saved_model_runner(directory)
    if format == "onnx":
        return runners.OnnxRunner(directory / "model.onnx")
    if format == "tflite":
        return runners.LiteRTRunner(directory / "model.tflite", threads=2)
    return runners.LiteRTRunner(directory / "model_int8.tflite", threads=2, image_size=image_size)
