"""Runs the exported formats without TensorFlow: ONNX Runtime, LiteRT, OpenVINO.

A runner is called with pictures and answers with a dict of arrays. It may be called from many
threads at once. `load` gives one for an artifact; the classes also run foreign files.
"""

import collections
import contextlib
import functools
import os
import pathlib
import sys
import threading
from collections.abc import Callable, Iterator

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

# Of a call's input: after a larger one, its memory goes back to the system. What the graph works
# with is many times the input, and taking it anew each time would slow small calls down.
LARGE = 8 * 2**20  # bytes: 2.8 megapixels, or 32 pictures of 240 x 320

# The file that OpenVINO reads. Of the float ones ONNX: the same net from `.tflite` took five times
# as long where it resizes in the graph.
OPENVINO = {"openvino": "onnx", "openvino_int8": "tflite_int8"}


def load(
    directory: str | os.PathLike, format: str = "onnx", threads: int | None = None, lanes: int = 1
) -> "OnnxRunner | LiteRTRunner | OpenVinoRunner | DecodingRunner":
    """Returns the runner of one format of an artifact; all of them answer alike.

    Args:
        directory: the artifact, `.../NAME/VERSION`; call `manifest.verify` first where its files
            may have been damaged.
        format: `"onnx"`, `"tflite"` or `"tflite_int8"`; `"openvino"` and `"openvino_int8"` have
            OpenVINO run the first and the last of them.
        threads: for one call; None leaves it to the runtime.
        lanes: calls that run at once; more wait. ONNX Runtime has no such limit.

    Raises:
        InputError: for a format that the artifact does not have, or that only TensorFlow runs, and
            for OpenVINO where it is not installed.
        ArtifactError: for a directory that is no artifact.
    """
    manifest = Manifest.load(directory)
    formats = manifest.formats
    wanted = OPENVINO.get(format, format)
    if wanted in manifest.left_out:
        raise InputError(
            f"{directory} has no {wanted}: {manifest.left_out[wanted]}; it has {', '.join(formats)}"
        )
    if wanted not in formats:
        raise unknown("format", wanted, formats)
    entry = formats[wanted]
    path = pathlib.Path(directory) / entry["path"]
    if format in OPENVINO or path.suffix == ".tflite":
        kind = OpenVinoRunner if format in OPENVINO else LiteRTRunner
        runner = kind(path, threads, entry.get("image_size"), lanes)
        return DecodingRunner(runner, entry["decode"]) if "decode" in entry else runner
    if path.suffix == ".onnx":
        return OnnxRunner(path, threads)
    raise InputError(
        f"got format {format!r}, which TensorFlow runs, expected onnx, tflite or tflite_int8"
    )


class OnnxRunner:
    """Runs an ONNX file of one input with ONNX Runtime: on the GPU with `onnxruntime-gpu`.

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
        # Its threads would otherwise burn their cores for a while after each call, as a server
        # that has other work to do notices: half of the processor's time, for no shorter call.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                os.fspath(path), options, providers=_providers(onnxruntime)
            )
        except Exception as error:  # ONNX Runtime raises a class of its own for each status
            raise ArtifactError(f"{path} is no model ONNX Runtime can load: {error}") from error
        is_on_cpu = self._session.get_providers() == ["CPUExecutionProvider"]
        # A call works in no other thread than its own, and on no other processor.
        self.is_alone = threads == 1 and is_on_cpu
        self._thrifty = onnxruntime.RunOptions()
        if is_on_cpu:
            self._thrifty.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
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
        options = self._thrifty if images.nbytes > LARGE else None
        values = self._session.run(self.output_names, {self.input_name: images}, options)
        return dict(zip(self.output_names, values, strict=True))


class LiteRTRunner:
    """Runs a TensorFlow Lite file of one input with LiteRT, on the CPU.

    `runner(images)` gives output name to array. Any batch is taken, and any picture size where the
    graph allows it; where `image_size` is given, pictures are resized to it first. A LiteRT
    interpreter holds one call's tensors, so there is one for each call that runs at once.

    Args:
        path: the `.tflite` file.
        threads: for one call; None leaves it to LiteRT.
        image_size: (height, width) that the graph is fixed to, or None.
        lanes: calls that run at once; more wait for each other.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        threads: int | None = None,
        image_size: tuple[int, int] | None = None,
        lanes: int = 1,
    ):
        _check_file(path)
        # Of no method of its own: a cycle would keep the weights until the garbage is collected.
        make = functools.partial(_interpreter, os.fspath(path), threads)
        first = make()
        self._lanes = _Lanes(lanes, make, first)
        self.is_alone = threads == 1  # a call works in no other thread than its own
        self._image_size = image_size and tuple(image_size)
        inputs = first.get_input_details()
        self.input_name = _only_input(path, list(inputs))
        tensor = inputs[self.input_name]
        self.input_dtype = np.dtype(tensor["dtype"])
        shape = tensor["shape_signature"]
        self.input_shape = tuple(int(size) if size >= 0 else None for size in shape)
        self.output_names = list(first.get_output_details())

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Runs the model on pictures, or on whatever its one input is."""
        images = _resized(np.asarray(images), self._image_size)
        _check_input(images, self)
        with self._lanes.one(is_kept=images.nbytes <= LARGE) as run:
            return run(**{self.input_name: images})


class OpenVinoRunner:
    """Runs an ONNX or TensorFlow Lite file of one input with OpenVINO, on the CPU.

    `runner(images)` gives output name to array, by the names the file's own runtime gives them.

    Args:
        path: the `.onnx` or `.tflite` file.
        threads: for one call; None leaves it to OpenVINO.
        image_size: (height, width) that the graph is fixed to, or None.
        lanes: calls that run at once; more wait for each other.

    Raises:
        InputError: if OpenVINO is not installed.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        threads: int | None = None,
        image_size: tuple[int, int] | None = None,
        lanes: int = 1,
    ):
        # Where this package is missing, OpenVINO does not tell its makers each time it is imported.
        sys.modules.setdefault("openvino_telemetry", None)
        try:
            import openvino
        except ImportError:
            raise InputError(
                "got OpenVINO as the runtime, which is not installed: install the extra `openvino` "
                "of dlcv-tf (pip install '.[openvino]' in its directory)"
            ) from None
        _check_file(path)
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": str(lanes),
            "INFERENCE_PRECISION_HINT": "f32",  # no shorter floats where the processor has them
        }
        if threads:
            options["INFERENCE_NUM_THREADS"] = str(threads * lanes)
        try:
            self._model = openvino.Core().compile_model(os.fspath(path), "CPU", options)
        except RuntimeError as error:
            raise ArtifactError(f"{path} is no model OpenVINO can load: {error}") from error
        self._lanes = _Lanes(lanes, self._model.create_infer_request)
        self._image_size = image_size and tuple(image_size)
        tensor = _only_input(path, self._model.inputs)
        self.input_name, self.output_names = _names(path, self._model)
        self.input_dtype = np.dtype(tensor.get_element_type().to_dtype())
        shape = tensor.get_partial_shape()
        self.input_shape = tuple(
            size.get_length() if size.is_static else None for size in list(shape)
        )

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Runs the model on pictures, or on whatever its one input is."""
        images = _resized(np.asarray(images), self._image_size)
        _check_input(images, self)
        with self._lanes.one() as request:
            values = request.infer([np.ascontiguousarray(images)], share_inputs=True)
            arrays = [np.array(values[port]) for port in self._model.outputs]
        return dict(zip(self.output_names, arrays, strict=True))


class DecodingRunner:
    """Runs a file of raw outputs and decodes them, so that it answers as the other formats do.

    Args:
        raw: runner of the file.
        facts: the manifest's `decode`, see `decoding.decode`.
    """

    def __init__(self, raw: LiteRTRunner | OpenVinoRunner, facts: dict):
        self.raw = raw
        self.facts = facts
        self.input_name = raw.input_name
        self.input_dtype = raw.input_dtype
        self.input_shape = raw.input_shape

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Answers pictures of any size; places are in their pixels."""
        images = np.asarray(images)
        return decoding.decode(self.raw(images), self.facts, images.shape[1:3])


def _providers(onnxruntime) -> list[str]:
    """Returns what runs the graph, the first that can: CUDA where this ONNX Runtime has it."""
    providers = ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        onnxruntime.preload_dlls()  # CUDA's libraries, where they are Python packages
        providers.insert(0, "CUDAExecutionProvider")
    return providers


class _Lanes:
    """What runs one call at a time, once for each call that runs at once; more wait.

    Args:
        count: calls at once.
        make: makes one, when first it is needed.
        made: those that there are already.
    """

    def __init__(self, count: int, make: Callable, *made):
        self._make = make
        self._idle = collections.deque(made)
        self._free = threading.BoundedSemaphore(count)

    @contextlib.contextmanager
    def one(self, is_kept: bool = True) -> Iterator:
        """Holds one that nobody else holds.

        Args:
            is_kept: for later calls; otherwise it goes afterwards, with all that it took.
        """
        with self._free:
            try:
                lane = self._idle.pop()
            except IndexError:
                lane = self._make()
            try:
                yield lane
            finally:
                if is_kept:
                    self._idle.append(lane)


def _interpreter(path: str, threads: int | None):
    """Returns what runs one call of a `.tflite` file at a time, by names."""
    from ai_edge_litert import interpreter

    try:
        made = interpreter.Interpreter(path, num_threads=threads)
        made.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ArtifactError(f"{path} is no model LiteRT can load: {error}") from error
    keys = list(made.get_signature_list())
    return made.get_signature_runner(keys[0]) if keys else _WithoutSignature(made)


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


def _names(path: str | os.PathLike, model) -> tuple[str, list[str]]:
    """Returns the names of input and outputs; those of a `.tflite` file are its signature's."""
    inside = [[port.get_any_name() for port in ports] for ports in (model.inputs, model.outputs)]
    if pathlib.Path(path).suffix != ".tflite":
        return inside[0][0], inside[1]
    from ai_edge_litert import interpreter

    read = interpreter.Interpreter(os.fspath(path))
    keys = list(read.get_signature_list())
    if not keys:
        return inside[0][0], inside[1]
    run = read.get_signature_runner(keys[0])
    given = {
        tensor["name"]: name
        for tensors in (run.get_input_details(), run.get_output_details())
        for name, tensor in tensors.items()
    }
    return given[inside[0][0]], [given[name] for name in inside[1]]


def _resized(images: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """Returns pictures of the size a graph is fixed to; what is no picture as it is."""
    if not size or images.ndim != 4 or images.shape[1:3] == size or not images.size:
        return images
    return np.clip(np.rint(pictures.resize(images, size)), 0, 255).astype(images.dtype)


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
