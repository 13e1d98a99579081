"""Runs the exported formats without TensorFlow: ONNX Runtime and LiteRT.

A runner is called with pictures and answers with a dict of arrays. It may be called from many
threads at once. `load` gives one for an artifact; the classes also run foreign files.
"""

import os
import pathlib
import threading

import numpy as np

from dlcv_tf.artifact import decoding, pictures
from dlcv_tf.artifact.manifest import ArtifactError, Manifest
from dlcv_tf.errors import InputError, unknown

_ONNX_TYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(bool)": "bool",
} | {
    f"tensor({kind}{bits})": f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
}


def load(
    directory: str | os.PathLike, format: str = "onnx", threads: int | None = None
) -> "OnnxRunner | LiteRTRunner | DecodingRunner":
    """Returns the runner of one format of an artifact; all of them answer alike.

    Args:
        directory: the artifact, `.../NAME/VERSION`; call `manifest.verify` first where its files
            may have been damaged.
        format: `"onnx"`, `"tflite"` or `"tflite_int8"`.
        threads: for one call; None leaves it to the runtime.

    Raises:
        InputError: for a format that the artifact does not have, or that only TensorFlow runs.
        ArtifactError: for a directory that is no artifact.
    """
    manifest = Manifest.load(directory)
    formats = manifest.formats
    if format in manifest.left_out:
        raise InputError(
            f"{directory} has no {format}: {manifest.left_out[format]}; it has {', '.join(formats)}"
        )
    if format not in formats:
        raise unknown("format", format, formats)
    entry = formats[format]
    path = pathlib.Path(directory) / entry["path"]
    if path.suffix == ".onnx":
        return OnnxRunner(path, threads)
    if path.suffix == ".tflite":
        runner = LiteRTRunner(path, threads, entry.get("image_size"))
        return DecodingRunner(runner, entry["decode"]) if "decode" in entry else runner
    raise InputError(
        f"got format {format!r}, which TensorFlow runs, expected onnx, tflite or tflite_int8"
    )


class OnnxRunner:
    """Runs an ONNX file of one input with ONNX Runtime, on the CPU.

    `runner(images)` gives output name to array. ONNX Runtime sessions are thread-safe.

    Args:
        path: the `.onnx` file.
        threads: for one call; None leaves it to ONNX Runtime.
    """

    def __init__(self, path: str | os.PathLike, threads: int | None = None):
        import onnxruntime

        _check_file(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0  # 0: ONNX Runtime chooses
        try:
            self._session = onnxruntime.InferenceSession(
                os.fspath(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime raises a class of its own for each status
            raise ArtifactError(f"{path} is no model ONNX Runtime can load: {error}") from error
        tensor = _only_input(path, self._session.get_inputs())
        if tensor.type not in _ONNX_TYPES:
            raise ArtifactError(f"{path} takes {tensor.type}, expected one of {[*_ONNX_TYPES]}")
        self.input_name = tensor.name
        self.input_dtype = np.dtype(_ONNX_TYPES[tensor.type])
        self.input_shape = tuple(s if isinstance(s, int) else None for s in tensor.shape)
        self.output_names = [output.name for output in self._session.get_outputs()]

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Runs the model on pictures, or on whatever its one input is."""
        images = np.asarray(images)
        _check_input(images, self)
        values = self._session.run(self.output_names, {self.input_name: images})
        return dict(zip(self.output_names, values, strict=True))


class LiteRTRunner:
    """Runs a TensorFlow Lite file of one input with LiteRT, on the CPU.

    `runner(images)` gives output name to array. Any batch is taken, and any picture size where the
    graph allows it; where `image_size` is given, pictures are resized to it first. A LiteRT
    interpreter holds one call's tensors, so calls wait for each other.

    Args:
        path: the `.tflite` file.
        threads: for one call; None leaves it to LiteRT.
        image_size: (height, width) that the graph is fixed to, or None.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        threads: int | None = None,
        image_size: tuple[int, int] | None = None,
    ):
        from ai_edge_litert import interpreter

        _check_file(path)
        try:
            self._interpreter = interpreter.Interpreter(os.fspath(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ArtifactError(f"{path} is no model LiteRT can load: {error}") from error
        keys = list(self._interpreter.get_signature_list())
        self._run = (
            self._interpreter.get_signature_runner(keys[0])
            if keys
            else _WithoutSignature(self._interpreter)
        )
        self._lock = threading.Lock()
        self._image_size = image_size and tuple(image_size)
        inputs = self._run.get_input_details()
        self.input_name = _only_input(path, list(inputs))
        tensor = inputs[self.input_name]
        self.input_dtype = np.dtype(tensor["dtype"])
        shape = tensor["shape_signature"]
        self.input_shape = tuple(int(size) if size >= 0 else None for size in shape)
        self.output_names = list(self._run.get_output_details())

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Runs the model on pictures, or on whatever its one input is."""
        images = np.asarray(images)
        if self._image_size and images.ndim == 4 and images.shape[1:3] != self._image_size:
            resized = np.rint(pictures.resize(images, self._image_size))
            images = np.clip(resized, 0, 255).astype(images.dtype)
        _check_input(images, self)
        with self._lock:
            return self._run(**{self.input_name: images})


class DecodingRunner:
    """Runs a file of raw outputs and decodes them, so that it answers as the other formats do.

    Args:
        raw: runner of the file.
        facts: the manifest's `decode`, see `decoding.decode`.
    """

    def __init__(self, raw: LiteRTRunner, facts: dict):
        self.raw = raw
        self.facts = facts
        self.input_name = raw.input_name
        self.input_dtype = raw.input_dtype
        self.input_shape = raw.input_shape

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Answers pictures of any size; places are in their pixels."""
        images = np.asarray(images)
        return decoding.decode(self.raw(images), self.facts, images.shape[1:3])


class _WithoutSignature:
    """The calls of LiteRT's signature runner, for a file that has no signature."""

    def __init__(self, interpreter):
        self._interpreter = interpreter

    def get_input_details(self) -> dict[str, dict]:
        return {tensor["name"]: tensor for tensor in self._interpreter.get_input_details()}

    def get_output_details(self) -> dict[str, dict]:
        return {tensor["name"]: tensor for tensor in self._interpreter.get_output_details()}

    def __call__(self, **values) -> dict[str, np.ndarray]:
        for name, tensor in self.get_input_details().items():
            self._interpreter.resize_tensor_input(tensor["index"], values[name].shape)
        self._interpreter.allocate_tensors()
        for name, tensor in self.get_input_details().items():
            self._interpreter.set_tensor(tensor["index"], values[name])
        self._interpreter.invoke()
        outputs = self.get_output_details().items()
        return {name: self._interpreter.get_tensor(tensor["index"]) for name, tensor in outputs}


def _check_file(path: str | os.PathLike) -> None:
    if not pathlib.Path(path).is_file():
        raise ArtifactError(f"got no file at {path}, expected an exported model")


def _only_input(path, inputs: list):
    if len(inputs) != 1:
        raise ArtifactError(f"{path} has {len(inputs)} inputs, expected a model of one input")
    return inputs[0]


def _check_input(images: np.ndarray, runner) -> None:
    """Raises InputError unless the array is one that the runner's model takes."""
    expected = runner.input_shape
    fits = len(images.shape) == len(expected) and all(
        want in (None, got) for got, want in zip(images.shape, expected, strict=True)
    )
    if images.dtype != runner.input_dtype or not fits or not images.size:
        sizes = ", ".join("any" if size is None else str(size) for size in expected)
        raise InputError(
            f"got {runner.input_name} of type {images.dtype} and shape {images.shape}, expected "
            f"{runner.input_dtype} and ({sizes}), not empty: convert them, or add the batch axis"
        )
