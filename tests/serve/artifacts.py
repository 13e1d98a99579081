"""Tiny artifacts of other tasks than `tiny` has: a picture for a picture, whatever is wanted."""

import dataclasses
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dlcv_tf.artifact.manifest import Manifest
from tests.artifact import tiny

IMAGES = {"dtype": "uint8", "shape": [None, None, None, 3]}
FILES = {"dtype": "string", "shape": [None]}


def negative(
    models: pathlib.Path, name: str = "negative", saved_model: bool = False
) -> pathlib.Path:
    """Writes an image-to-image artifact, which answers the negative of each picture.

    Args:
        models: directory of models.
        name: of the model.
        saved_model: with TensorFlow's graph, which also has a `regress` and a `halves`.
    """
    directory = pathlib.Path(models) / name / "1"
    directory.mkdir(parents=True)
    _one_node(directory, "Sub", TensorProto.UINT8, ["white", "images"])
    signatures = {
        "serving_default": {"inputs": {"images": IMAGES}, "outputs": {"picture": IMAGES}},
        "image_bytes": {"inputs": {"image_bytes": FILES}, "outputs": {"picture_bytes": FILES}},
    }
    formats = {"onnx": {"path": "model.onnx", "runtime": "onnxruntime"}}
    if saved_model:
        signatures |= _save_with_tensorflow(directory)
        formats["saved_model"] = {"path": ".", "runtime": "tensorflow"}
    _manifest(name, signatures, formats).write(directory)
    return directory


def floats(models: pathlib.Path, name: str, dtype: str) -> pathlib.Path:
    """Writes an artifact that answers its input (batch, height, width, 3) of a float type."""
    directory = pathlib.Path(models) / name / "1"
    directory.mkdir(parents=True)
    onnx_type = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    _one_node(directory, "Identity", onnx_type, ["images"])
    tensor = IMAGES | {"dtype": dtype}
    signatures = {"serving_default": {"inputs": {"images": tensor}, "outputs": {"picture": tensor}}}
    formats = {"onnx": {"path": "model.onnx", "runtime": "onnxruntime"}}
    _manifest(name, signatures, formats).write(directory)
    return directory


def constant(
    models: pathlib.Path,
    name: str,
    task: str,
    outputs: dict,
    labels: list[str],
    version: int = 1,
) -> None:
    """Writes an artifact that answers the same, whatever the picture.

    Args:
        models: directory of models.
        name: of the model.
        task: by which answers are read.
        outputs: name to array without the batch axis; of a file, `class_map` is answered as a PNG.
        labels: names of the classes or joints.
        version: of the model.
    """
    nodes = [
        helper.make_node("Shape", ["images"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["batch"]),
    ]
    stored = [numpy_helper.from_array(np.array([0]), "first")]
    infos, specs = [], {}
    for key, value in outputs.items():
        value = np.asarray(value)
        rest = np.array(value.shape, np.int64)
        stored += [numpy_helper.from_array(value, f"{key}_value")]
        stored += [numpy_helper.from_array(rest, f"{key}_rest")]
        nodes += [
            helper.make_node("Concat", ["batch", f"{key}_rest"], [f"{key}_shape"], axis=0),
            helper.make_node("Expand", [f"{key}_value", f"{key}_shape"], [key]),
        ]
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        infos.append(helper.make_tensor_value_info(key, kind, ["batch", *value.shape]))
        specs[key] = {"dtype": value.dtype.name, "shape": [None, *value.shape]}
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", "h", "w", 3])
    graph = helper.make_graph(nodes, name, [images], infos, stored)
    directory = pathlib.Path(models) / name / str(version)
    directory.mkdir(parents=True)
    opset = [helper.make_opsetid("", 18)]
    made = helper.make_model(graph, opset_imports=opset, ir_version=9)
    onnx.save(made, directory / "model.onnx")
    base = tiny.manifest(name, version)
    signatures = {key: each | {"outputs": dict(specs)} for key, each in base.signatures.items()}
    of_files = signatures["image_bytes"]["outputs"]
    if "class_map" in of_files:
        of_files["class_map_bytes"] = FILES
        del of_files["class_map"]
    if "classes" in of_files:
        of_files["labels"] = of_files["classes"] | {"dtype": "string"}
    changed = dataclasses.replace(base, task=task, labels=labels, signatures=signatures)
    changed.write(directory)


def _one_node(directory: pathlib.Path, kind: str, onnx_type: int, inputs: list[str]) -> None:
    shape = ["batch", "height", "width", 3]
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, ["picture"])],
        "tiny",
        [helper.make_tensor_value_info("images", onnx_type, shape)],
        [helper.make_tensor_value_info("picture", onnx_type, shape)],
        [numpy_helper.from_array(np.array(255, np.uint8), "white")] if len(inputs) > 1 else [],
    )
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    onnx.save(model, directory / "model.onnx")


def _manifest(name: str, signatures: dict, formats: dict) -> Manifest:
    return Manifest(
        name=name,
        version=1,
        task="ImageToImage",
        labels=[],
        signatures=signatures,
        preprocessing={"size": [8, 8], "channels": 3, "mean": [0.0] * 3},
        formats=formats,
    )


def _save_with_tensorflow(directory: pathlib.Path) -> dict[str, dict]:
    """Writes the SavedModel; returns the signatures that only TensorFlow runs."""
    import tensorflow as tf

    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")])
    def from_images(images):
        return {"picture": 255 - images}

    def one_file(data):
        # As Pillow decodes a JPEG; PNG files it takes too.
        image = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
        return tf.io.encode_png(255 - image)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def from_bytes(image_bytes):
        files = tf.map_fn(one_file, image_bytes, fn_output_signature=tf.string)
        return {"picture_bytes": files}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def regress(inputs):
        feature = tf.io.FixedLenFeature([2], tf.float32)
        return {"outputs": tf.reduce_sum(tf.io.parse_example(inputs, {"x": feature})["x"], 1)}

    pair = [tf.TensorSpec([None], tf.float32, name=name) for name in ("a", "b")]

    @tf.function(input_signature=pair)
    def halves(a, b):
        return {"half": (a + b) / 2, "first": a[:1]}

    functions = {
        "serving_default": from_images,
        "image_bytes": from_bytes,
        "regress": regress,
        "halves": halves,
    }
    tf.saved_model.save(module, str(directory), signatures=functions)
    number = {"dtype": "float32", "shape": [None]}
    return {
        "regress": {
            "inputs": {"inputs": FILES},
            "outputs": {"outputs": number},
            "method": "tensorflow/serving/regress",
        },
        "halves": {
            "inputs": {"a": number, "b": number},
            "outputs": {"half": number, "first": number},
        },
    }
