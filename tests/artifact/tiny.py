"""A tiny classifier artifact, made in milliseconds without TensorFlow, and pictures to send it."""

import io
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from dlcv_tf.artifact.manifest import Manifest

LABELS = ["red", "green", "blue", "dark", "light", "grey"]


def probabilities(images: np.ndarray) -> np.ndarray:
    """The NumPy oracle of `onnx_classifier`: (batch, h, w, c) uint8 -> (batch, classes)."""
    logits = images.astype(np.float32).mean(axis=(1, 2)) @ _weights(images.shape[-1])
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def onnx_classifier(path: pathlib.Path, channels: int = 3) -> None:
    """Writes an ONNX classifier of the mean colour, with the names every export has."""
    k = np.array([min(5, len(LABELS))])
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("TopK", ["probabilities", "k"], ["scores", "top"], axis=1),
        helper.make_node("Cast", ["top"], ["classes"], to=TensorProto.INT32),
    ]
    shape = ["batch", "height", "width", channels]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, shape)],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", None]),
            helper.make_tensor_value_info("classes", TensorProto.INT32, ["batch", None]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", None]),
        ],
        [
            numpy_helper.from_array(np.array([1, 2]), "axes"),
            numpy_helper.from_array(_weights(channels), "weights"),
            numpy_helper.from_array(k, "k"),
        ],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)


def manifest(name: str = "tiny", version: int = 1, channels: int = 3) -> Manifest:
    """The manifest that belongs to `onnx_classifier`, without checksums."""
    k = min(5, len(LABELS))
    outputs = {
        "probabilities": {"dtype": "float32", "shape": [None, len(LABELS)]},
        "classes": {"dtype": "int32", "shape": [None, k]},
        "scores": {"dtype": "float32", "shape": [None, k]},
    }
    images = {"dtype": "uint8", "shape": [None, None, None, channels]}
    labels = {"dtype": "string", "shape": [None, k]}
    return Manifest(
        name=name,
        version=version,
        task="Classifier",
        labels=LABELS,
        signatures={
            "serving_default": {"inputs": {"images": images}, "outputs": outputs},
            "image_bytes": {
                "inputs": {"image_bytes": {"dtype": "string", "shape": [None]}},
                "outputs": outputs | {"labels": labels},
            },
        },
        preprocessing={"size": [8, 8], "channels": channels, "mean": [0.0] * channels},
        formats={
            "saved_model": {"path": ".", "runtime": "tensorflow"},
            "onnx": {"path": "model.onnx", "runtime": "onnxruntime"},
        },
    )


def artifact(models: pathlib.Path, name: str = "tiny", version: int = 1, channels: int = 3):
    """Writes the whole artifact below a models directory; returns its directory."""
    directory = pathlib.Path(models) / name / str(version)
    directory.mkdir(parents=True)
    onnx_classifier(directory / "model.onnx", channels)
    manifest(name, version, channels).write(directory)
    return directory


def ramp(height: int, width: int, channels: int = 3) -> np.ndarray:
    """A smooth uint8 picture in which no row, column or channel equals another."""
    rows = np.linspace(0, 120, height)[:, None, None]
    columns = np.linspace(0, 90, width)[None, :, None]
    return np.rint(rows + columns + np.arange(channels) * 20).astype(np.uint8)


def encoded(image, format: str = "PNG", **options) -> bytes:
    """Encodes a Pillow image, or an array as one, in memory."""
    stream = io.BytesIO()
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image if image.shape[-1] == 3 else image[..., 0])
    image.save(stream, format, **options)
    return stream.getvalue()


def _weights(channels: int) -> np.ndarray:
    """(channels, classes) weights that tell the colours apart."""
    ramp = np.arange(channels * len(LABELS), dtype=np.float32).reshape(channels, len(LABELS))
    return np.sin(ramp * 2.7) / 40
