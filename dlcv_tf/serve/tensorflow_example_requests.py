"""TensorFlow Serving's JSON bodies of classify and regress to tf.Example protos.

Semantics and error texts are those of `tensorflow_serving/util/json_tensor.cc`.
"""

from dlcv_tf.artifact import tfs_messages
from dlcv_tf.serve import tensorflow_requests
from dlcv_tf.serve.errors import ServingError, invalid
from dlcv_tf.serve.json_documents import Document, quote

LARGEST_FLOAT = 3.4028234663852886e38
LISTS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def examples(document: Document):
    """Returns the Input proto of a request: its examples, and their common context.

    Args:
        document: the parsed body, with lists rather than arrays.

    Raises:
        ServingError: in TF Serving's words.
    """
    values = document.values
    result = tfs_messages.Input()
    into = result.example_list
    if "context" in values:
        into = result.example_list_with_context
        _fill(into.context, values["context"])
    if "examples" not in values:
        raise _format_error(
            values, "When method is classify, key 'examples' is expected and was not found"
        )
    listed = values["examples"]
    if not isinstance(listed, list):
        raise _format_error(values, "Expecting 'examples' value to be an list/array")
    if not listed:
        raise _format_error(values, "'examples' value is an empty array")
    for example in listed:
        _fill(into.examples.add(), example)
    return result


def _fill(example, features) -> None:
    """Fills an Example from a JSON object of feature name to value or list of values."""
    if not isinstance(features, dict):
        kind = tensorflow_requests.json_type(features)
        raise invalid(f"Example must be JSON object but got JSON {kind}")
    for name, content in features.items():
        feature = example.features.feature[name.encode(errors="replace").decode()]
        for value in content if isinstance(content, list) else [content]:
            _append(feature, name, value)


def _append(feature, name: str, value) -> None:
    """Adds a JSON value to the list that its kind belongs to: one feature has one kind."""
    if isinstance(value, bool):
        kind, value = "int64_list", int(value)
    elif isinstance(value, str):
        kind, value = "bytes_list", value.encode(errors="replace")
    elif isinstance(value, dict) and tensorflow_requests.is_base64(value):
        kind, value = "bytes_list", tensorflow_requests.from_base64(value)
    elif isinstance(value, int) and -(2**63) <= value < 2**64:
        kind = "int64_list"
    elif isinstance(value, int | float):  # RapidJSON makes larger integers doubles
        kind = "float_list"
    else:
        raise invalid(
            f"Feature: {name} has element with unexpected JSON type: "
            f"{tensorflow_requests.json_type(value)}"
        )
    before = feature.WhichOneof("kind")
    if before not in (None, kind):
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {LISTS[before]}")
    if kind == "int64_list" and value >= 2**63:
        raise invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
    if kind == "float_list" and LARGEST_FLOAT < abs(value) < float("inf"):
        raise invalid(
            f"Cannot convert JSON value: {quote(value)} to float without loss of precision."
        )
    getattr(feature, kind).value.append(value)


def _format_error(values: dict, message: str) -> ServingError:
    return invalid(f"JSON Value: {quote(values)} {message}")
