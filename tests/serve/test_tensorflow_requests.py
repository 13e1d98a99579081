"""JSON to arrays: every type and every refusal of TF Serving's `json_tensor.cc`."""

import json

import numpy as np
import pytest

from dlcv_tf.serve import json_documents
from dlcv_tf.serve import tensorflow_requests as requests
from dlcv_tf.serve.errors import Code, ServingError


def parse(body, **dtypes):
    """Parses a body against inputs of these types."""
    text = body if isinstance(body, str) else json.dumps(body)
    expected = {name: {"dtype": dtype, "shape": []} for name, dtype in dtypes.items()}
    return requests.inputs(json_documents.parse(text.encode()), expected)


@pytest.mark.parametrize(
    ("body", "dtype", "expected"),
    [
        ('{"instances": [[1,2],[3,4],[5,6]]}', "int32", [[1, 2], [3, 4], [5, 6]]),
        ('{"instances": [1, 2.0, 3, 5.003, 0.0]}', "float32", [1, 2, 3, 5.003, 0]),
        ('{"instances": [1.0, 2, 0.662]}', "float64", [1, 2, 0.662]),
        ('{"instances": [NaN, Infinity, -Infinity, 1]}', "float32", [np.nan, np.inf, -np.inf, 1]),
        ('{"instances": [16777215, 0.5]}', "float32", [16777215, 0.5]),
        ('{"instances": [true, false]}', "bool", [True, False]),
        ('{"instances": [-128, 127]}', "int8", [-128, 127]),
        ('{"instances": [0, 255]}', "uint8", [0, 255]),
        ('{"instances": [18446744073709551615, 1]}', "uint64", [2**64 - 1, 1]),
        ('{"instances": [-9223372036854775808]}', "int64", [-(2**63)]),
        ('{"instances": [[], []]}', "int32", np.zeros((2, 0))),
        ('{"inputs": 3}', "int32", 3),
        ('{"inputs": {"x": [[1]]}}', "int32", [[1]]),
        ('{"instances": [{"x": [1]}, {"x": [2]}]}', "int32", [[1], [2]]),
        ('\ufeff {"instances": [1]} trailing', "int32", [1]),
    ],
)
def test_numbers(body, dtype, expected):
    arrays, is_row = parse(body, x=dtype)
    assert is_row == ("instances" in body)
    assert arrays["x"].dtype == np.dtype(dtype)
    np.testing.assert_array_equal(arrays["x"], np.array(expected, dtype))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"instances": [{"b64": "aGVsbG8="}, {"b64": "d29y bGQ"}]}, [b"hello", b"world"]),
        ({"instances": [[{"b64": "aGVsbG8="}], ["é"]]}, [[b"hello"], ["é".encode()]]),
        ({"instances": [{"x": [{"b64": "aGVsbG8="}]}]}, [[b"hello"]]),
        ({"inputs": {"b64": "aGVsbG8="}}, b"hello"),
        ({"inputs": {"x": {"b64": ""}}}, b""),
    ],
)
def test_strings(body, expected):
    array = parse(body, x="string")[0]["x"]
    assert array.dtype == object
    assert array.tolist() == expected


def test_many_inputs_in_both_formats():
    rows = {"instances": [{"a": [1], "b": "x"}, {"a": [2], "b": "y"}]}
    columns = {"inputs": {"a": [[1], [2]], "b": ["x", "y"], "extra": None}}
    for body in (rows, columns):
        arrays, _ = parse(body, a="int32", b="string")
        assert arrays["a"].tolist() == [[1], [2]]
        assert arrays["b"].tolist() == [b"x", b"y"]


@pytest.mark.parametrize(
    ("body", "dtypes", "message"),
    [
        ({"instances": [[1], [1, 2]]}, {"x": "int32"}, "Expecting tensor size: 1 but got: 2"),
        ({"instances": [[1, 2], [[3, 4]]]}, {"x": "int32"}, r"Expecting shape [2] but got: [1,2]"),
        (
            {"instances": [[1, [2]]]},
            {"x": "int32"},
            "Encountered list at unexpected level: 1 expected < 1",
        ),
        (
            {"instances": [[[1], 2]]},
            {"x": "int32"},
            "found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
        (
            {"inputs": [[1], [2, 3]]},
            {"x": "int32"},
            "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
        ),
        (
            {"inputs": [1, 3000000000]},
            {"x": "int32"},
            "3000000000 Type: Number is not of expected type: int32",
        ),
        ({"inputs": [1.5]}, {"x": "int64"}, "1.5 Type: Number is not of expected type: int64"),
        ({"inputs": ["1"]}, {"x": "float32"}, '"1" Type: String is not of expected type: float'),
        ({"inputs": [None]}, {"x": "float64"}, "null Type: Null is not of expected type: double"),
        ({"inputs": [True, 1]}, {"x": "int32"}, "true Type: True is not of expected type: int32"),
        (
            {"inputs": [1, False]},
            {"x": "float32"},
            "false Type: False is not of expected type: float",
        ),
        ({"inputs": [1]}, {"x": "bool"}, "1 Type: Number is not of expected type: bool"),
        ({"inputs": [1]}, {"x": "string"}, "1 Type: Number is not of expected type: string"),
        ({"inputs": [{"a": 1}]}, {"x": "int32"}, "Type: Object is not of expected type: int32"),
        (
            {"inputs": [16777216]},
            {"x": "float32"},
            "Cannot convert JSON value: 16777216 to float without loss of precision.",
        ),
        (
            {"inputs": [1e39]},
            {"x": "float32"},
            "Cannot convert JSON value: 1e39 to float without loss",
        ),
        ({"inputs": [{"b64": 1}]}, {"x": "string"}, "not formatted correctly for base64 data"),
        (
            {"inputs": [{"b64": "a", "c": 1}]},
            {"x": "string"},
            "not formatted correctly for base64 data",
        ),
        ({"inputs": [{"b64": "aGVsb-8="}]}, {"x": "string"}, "Unable to base64 decode"),
        ({"inputs": [{"b64": "aGVsbG8=AAAA"}]}, {"x": "string"}, "Unable to base64 decode"),
        ({"inputs": [{"b64": "é"}]}, {"x": "string"}, "Unable to base64 decode"),
        (
            {"instances": [{"x": 1}, 2]},
            {"x": "int32"},
            "Expecting object but got list at item 1 of input list",
        ),
        (
            {"instances": [1, {"x": 2}]},
            {"x": "int32"},
            "Expecting value/list but got object at item 1 of input list",
        ),
        (
            {"instances": [{"x": 1}, {"y": 2}]},
            {"x": "int32"},
            "Failed to process element: 1 key: y of 'instances' list. Error: INVALID_ARGUMENT: "
            "JSON object: does not have named input: y",
        ),
        ({"instances": [{"x": 1}]}, {"x": "int32", "a": "int32"}, "keys must be equal to: a,x"),
        (
            {"instances": [1]},
            {"x": "int32", "a": "int32"},
            "instances is a plain list, but expecting list of objects",
        ),
        (
            {"inputs": [1]},
            {"x": "int32", "a": "int32"},
            "inputs is a plain value/list, but expecting an object",
        ),
        (
            {"inputs": {"x": 1}},
            {"x": "int32", "a": "int32"},
            "Missing named input: a in 'inputs' object.",
        ),
        (
            {"instances": [{"x": [1]}, {"x": ["a"]}]},
            {"x": "int32"},
            "Failed to process element: 1 key: x of 'instances' list. Error: INVALID_ARGUMENT: ",
        ),
    ],
)
def test_refusals(body, dtypes, message):
    with pytest.raises(ServingError) as caught:
        parse(body, **dtypes)
    assert caught.value.code == Code.INVALID_ARGUMENT
    assert message in caught.value.message


@pytest.mark.parametrize("dtype", ["float16", "uint16", "bfloat16", "complex64"])
def test_types_json_cannot_carry_are_unimplemented(dtype):
    with pytest.raises(ServingError, match="Conversion of JSON Value: 1 to type: ") as caught:
        parse({"inputs": [1]}, x=dtype)
    assert caught.value.http_status == 501
    with pytest.raises(ServingError, match="UNIMPLEMENTED: Conversion") as caught:
        parse({"instances": [1]}, x=dtype)
    assert caught.value.http_status == 400  # TF Serving wraps whatever went wrong in a row


@pytest.mark.parametrize("text", ["", "nonsense", '{"a": 1', '{"a" 1}', "{'a': 1}", "9" * 5000])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(ServingError, match="JSON Parse error: "):
        json_documents.parse(text.encode())


def test_invalid_utf8_does_not_crash():
    values = json_documents.parse(b'{"instances": ["\xff"]}').values
    assert values.keys() == {"instances"}
