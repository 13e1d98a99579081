"""Tiny artifacts that answer places, made in milliseconds without TensorFlow.

The detector finds two boxes in every picture, at parts of its sides; the segmenter calls a pixel
"red" where its first channel is above 127.
"""

import dataclasses
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.artifact import tiny

PARTS = np.float32([[0, 0, 0.5, 1], [0.25, 0.25, 0.75, 0.75], [0, 0, 0, 0]])  # x1, y1, x2, y2
SCORES = np.float32([0.9, 0.4, 0.0])
CLASSES = np.int32([2, 0, 0])
LABELS = ["cell", "platelet", "disc"]
MAP_LABELS = ["rest", "red"]
TYPES = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32, "uint8": TensorProto.UINT8}
DETECTIONS = {
    "boxes": {"dtype": "float32", "shape": [None, 3, 4]},
    "scores": {"dtype": "float32", "shape": [None, 3]},
    "classes": {"dtype": "int32", "shape": [None, 3]},
    "num_detections": {"dtype": "int32", "shape": [None]},
}
CLASS_MAP = {"class_map": {"dtype": "uint8", "shape": [None, None, None]}}


def detector(models: pathlib.Path, name: str = "boxes") -> pathlib.Path:
    """Writes the detector's artifact below a models directory; returns its directory."""
    nodes = [
        helper.make_node("Shape", ["images"], ["shape"]),
        helper.make_node("Gather", ["shape", "sides"], ["sizes"]),  # width, height, width, height
        helper.make_node("Cast", ["sizes"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["parts", "pixels"], ["places"]),
        helper.make_node("Gather", ["shape", "first"], ["batch"]),
    ]
    constants = {
        "sides": np.array([2, 1, 2, 1]),
        "first": np.array([0]),
        "parts": PARTS,
        "all_scores": SCORES,
        "all_classes": CLASSES,
        "count": np.int32(2),
    }
    sources = ("places", "all_scores", "all_classes", "count")
    for (answer, spec), source in zip(DETECTIONS.items(), sources, strict=True):
        rest = np.array(spec["shape"][1:], np.int64)
        constants[f"{answer}_rest"] = rest
        nodes += [
            helper.make_node("Concat", ["batch", f"{answer}_rest"], [f"{answer}_shape"], axis=0),
            helper.make_node("Expand", [source, f"{answer}_shape"], [answer]),
        ]
    labelled = DETECTIONS | {"labels": {"dtype": "string", "shape": [None, 3]}}
    return _artifact(models / name / "1", nodes, constants, LABELS, DETECTIONS, labelled)


def segmenter(models: pathlib.Path, name: str = "maps") -> pathlib.Path:
    """Writes the segmenter's artifact below a models directory; returns its directory."""
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Gather", ["pixels", "channel"], ["reds"], axis=3),
        helper.make_node("Greater", ["reds", "half"], ["above"]),
        helper.make_node("Cast", ["above"], ["class_map"], to=TensorProto.UINT8),
    ]
    constants = {"channel": np.array(0), "half": np.float32(127)}
    encoded = {"class_map_bytes": {"dtype": "string", "shape": [None]}}
    return _artifact(models / name / "1", nodes, constants, MAP_LABELS, CLASS_MAP, encoded)


def _artifact(directory, nodes, constants, labels, outputs, of_bytes) -> pathlib.Path:
    directory.mkdir(parents=True)
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["b", "h", "w", 3])
    answers = [
        helper.make_tensor_value_info(name, TYPES[spec["dtype"]], [None] * len(spec["shape"]))
        for name, spec in outputs.items()
    ]
    stored = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()]
    graph = helper.make_graph(nodes, "tiny", [images], answers, stored)
    opset = [helper.make_opsetid("", 18)]
    path = directory / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    manifest = tiny.manifest(directory.parent.name)
    signatures = {
        "serving_default": manifest.signatures["serving_default"] | {"outputs": outputs},
        "image_bytes": manifest.signatures["image_bytes"] | {"outputs": of_bytes},
    }
    task = "Segmenter" if "class_map" in outputs else "Detector"
    dataclasses.replace(manifest, task=task, labels=labels, signatures=signatures).write(directory)
    return directory
