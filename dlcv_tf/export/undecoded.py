"""An exported graph up to its raw outputs, to tell how much of the time decoding takes.

`PictureTask.answer` decodes in a scope of that name; the nodes in it, and all that follow them, are
the decoding. Files of raw outputs are compared with their runner's answers instead.
"""

import pathlib
import tempfile
from collections.abc import Callable, Iterable

from dlcv_tf.artifact import runners

SCOPE = "/decode/"


def runner(directory: str | pathlib.Path, format: str) -> Callable | None:
    """Returns what runs one format of an artifact without decoding.

    Args:
        directory: of the artifact.
        format: its name.

    Returns:
        Function of uint8 pictures; None where the graph has no decoding of its own, as those that
        were exported before it had a scope.
    """
    whole = pathlib.Path(directory)
    if format == "saved_model":
        return _saved_model(whole)
    if format == "tflite_int8":
        found = runners.load(whole, format)
        return found.raw if isinstance(found, runners.DecodingRunner) else None
    cut, name, kind = {
        "onnx": (_onnx, "model.onnx", runners.OnnxRunner),
        "tflite": (_tflite, "model.tflite", runners.LiteRTRunner),
    }[format]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / name
        data = cut(whole / name)
        if data is None:
            return None
        path.write_bytes(data)
        return kind(path, threads=None if format == "onnx" else 2)


def boundary(nodes: Iterable[tuple[str, list, list]]) -> list:
    """Returns the tensors that decoding takes from the rest of a graph.

    Args:
        nodes: name, input tensors and output tensors of each, in an order they can run in.
    """
    made, decoded, taken = set(), set(), {}
    for name, inputs, outputs in nodes:
        if SCOPE in f"/{name}" or decoded.intersection(inputs):
            decoded.update(outputs)
            taken |= dict.fromkeys(tensor for tensor in inputs if tensor in made)
        else:
            made.update(outputs)
    return list(taken)


def _onnx(path: pathlib.Path) -> bytes | None:
    """Returns the ONNX file without its decoding."""
    import onnx

    model = onnx.load(path)
    nodes = [(node.name, list(node.input), list(node.output)) for node in model.graph.node]
    outputs = boundary(nodes)
    if not outputs:
        return None
    inputs = [tensor.name for tensor in model.graph.input]
    extractor = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model))
    return extractor.extract_model(inputs, outputs).SerializeToString()


def _tflite(path: pathlib.Path) -> bytes | None:
    """Returns the TensorFlow Lite file without its decoding."""
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()))
    graph = model.subgraphs[0]
    nodes = [
        (graph.tensors[each.outputs[0]].name.decode(), list(each.inputs), list(each.outputs))
        for each in graph.operators
    ]
    outputs = boundary(nodes)
    if not outputs:
        return None
    needed, kept = set(outputs), []
    for operator in reversed(graph.operators):
        if needed.intersection(operator.outputs):
            kept.insert(0, operator)
            needed.update(operator.inputs)
    graph.operators, graph.outputs = kept, outputs
    model.signatureDefs = []
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _saved_model(directory: pathlib.Path) -> Callable | None:
    """Returns the graph of `serving_default` without its decoding."""
    import tensorflow as tf

    from dlcv_tf.export.saved_model import frozen_function

    frozen, _ = frozen_function(directory)
    nodes = [
        (each.name, [t.name for t in each.inputs], [t.name for t in each.outputs])
        for each in frozen.graph.get_operations()
    ]
    outputs = boundary(node for node in nodes if node[1])  # constants are nobody's
    if not outputs:
        return None
    raw = frozen.prune(frozen.inputs[0], [frozen.graph.get_tensor_by_name(t) for t in outputs])
    return lambda images: [values.numpy() for values in raw(tf.constant(images))]
