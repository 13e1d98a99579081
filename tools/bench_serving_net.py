"""The network and the picture that `tools/bench_serving.py` has all servers answer for."""

import json
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from dlcv_tf.artifact.manifest import Manifest

NAME, INPUT, OUTPUT = "net", "images", "probabilities"
SIDE, CLASSES = 64, 10
LAYERS = ((1, 2), (2, 2), (4, 1), (4, 2), (4, 1), (4, 1))  # channels in units of the width; strides


def write(models: pathlib.Path, width: int) -> pathlib.Path:
    """Writes the network as an artifact: six convolutions, the mean over the picture, softmax.

    Args:
        models: directory of models, in which it becomes `net/1`.
        width: channels of the first convolution; 16 make 27 MFLOP, and the work grows with the
            square.

    Returns:
        The ONNX file, which takes (batch, 64, 64, 3) float32.
    """
    folder = models / NAME / "1"
    folder.mkdir(parents=True)
    onnx.save(_network(width), folder / "model.onnx")
    images = {"dtype": "float32", "shape": [None, SIDE, SIDE, 3]}
    answers = {"dtype": "float32", "shape": [None, CLASSES]}
    Manifest(
        name=NAME,
        version=1,
        task="ImageToNumbers",
        labels=[],
        signatures={"serving_default": {"inputs": {INPUT: images}, "outputs": {OUTPUT: answers}}},
        preprocessing={"size": [SIDE, SIDE], "channels": 3, "mean": [0.0] * 3},
        formats={"onnx": {"path": "model.onnx", "runtime": "onnxruntime"}},
    ).write(folder)
    return folder / "model.onnx"


def _network(width: int) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    nodes = [helper.make_node("Transpose", [INPUT], ["picture"], perm=[0, 3, 1, 2])]
    weights, values, channels = [], "picture", 3
    for number, (units, stride) in enumerate(LAYERS):
        shape = (units * width, channels, 3, 3)
        kernel = rng.normal(size=shape, scale=np.sqrt(2 / 9 / channels)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"kernel{number}"))
        inputs, convolved = [values, f"kernel{number}"], [f"convolved{number}"]
        strides, pads = [stride, stride], [1, 1, 1, 1]
        nodes.append(helper.make_node("Conv", inputs, convolved, strides=strides, pads=pads))
        values, channels = f"values{number}", units * width
        nodes.append(helper.make_node("Relu", convolved, [values]))
    dense = rng.normal(size=(channels, CLASSES)).astype(np.float32)
    weights.append(numpy_helper.from_array(dense, "dense"))
    nodes += [
        helper.make_node("GlobalAveragePool", [values], ["means"]),
        helper.make_node("Flatten", ["means"], ["features"]),
        helper.make_node("MatMul", ["features", "dense"], ["scores"]),
        helper.make_node("Softmax", ["scores"], [OUTPUT]),
    ]
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", CLASSES])],
        weights,
    )
    opsets = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def picture() -> np.ndarray:
    """Returns the one picture of all requests: (1, 64, 64, 3) float32."""
    return np.random.default_rng(0).random((1, SIDE, SIDE, 3), dtype=np.float32)


def expected(path: pathlib.Path) -> np.ndarray:
    """Returns what ONNX Runtime itself answers: (1, 10) float32."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {INPUT: picture()})[0]


def kserve_body(tensor: str, values: np.ndarray, output: str | None = None) -> tuple[bytes, int]:
    """Returns a KServe v2 request with its tensor as bytes, and the length of the JSON in it."""
    datatypes = {"float32": "FP32", "uint8": "UINT8"}
    one = {
        "name": tensor,
        "shape": list(values.shape),
        "datatype": datatypes[values.dtype.name],
        "parameters": {"binary_data_size": values.nbytes},
    }
    request = {"inputs": [one]}
    if output is None:
        request["parameters"] = {"binary_data_output": True}
    else:
        request["outputs"] = [{"name": output, "parameters": {"binary_data": True}}]
    head = json.dumps(request).encode()
    return head + values.tobytes(), len(head)
