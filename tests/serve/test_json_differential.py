"""The quick way through a JSON body gives the arrays of the careful way, or its very error.

`json_documents.parse` cuts long lists of numbers out of the text; without (`has_arrays=False`) the
standard parser reads every value. Hypothesis writes the bodies as text, so that what no serializer
would write is among them: 1E5, -0, leading zeros, NaN, 19 and 40 digits, two members of a name.
"""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlcv_tf.serve import json_documents, kserve_requests, tensorflow_requests
from dlcv_tf.serve.errors import ServingError
from dlcv_tf.serve.http_messages import Request
from tests.artifact import tiny

DTYPES = ("uint8", "int64", "uint64", "float32", "float64", "bool", "string", "float16")
EXAMPLES = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,  # the same ones in each run: CI is no place for surprises
    suppress_health_check=[HealthCheck.too_slow],
)

SPACE = st.sampled_from(["", " ", "\n\t", "\r "])
ODD_NUMBERS = st.sampled_from(
    """NaN Infinity -Infinity nan +1 01 -01 1. .5 - 1e 1e5 1E+2 1e-3 1e400 -1e400 5e-324 1e-400 -0
    -0.0 0.1 16777217 16777216 9007199254740993 9223372036854775807 9223372036854775808
    -9223372036854775809 18446744073709551615 18446744073709551616 1e-64206 3.4028236e38
    3.4028235e38 0x1 1_0 true false null""".split()
    + ["9" * 40, "0." + "3" * 40, "1" + "0" * 400]
)
NUMBERS = st.one_of(
    st.integers(0, 255).map(str),
    st.integers(-(2**70), 2**70).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)


@st.composite
def nested(draw, scalars):
    """Text of nested lists of a random shape, now and then with an odd thing in them."""
    shape = draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    shape[draw(st.integers(0, len(shape) - 1))] = draw(st.integers(1, 90))  # long enough to be cut
    pool = draw(st.lists(scalars, min_size=1, max_size=5))
    separator = draw(SPACE) + "," + draw(SPACE)
    size = int(np.prod(shape))
    values = [pool[index % len(pool)] for index in range(size)]
    if size and draw(st.integers(0, 2)) == 0:
        odd = st.one_of(ODD_NUMBERS, st.sampled_from(['"x"', "[]", "[1]", "{}", '{"b64": "AA=="}']))
        values[draw(st.integers(0, size - 1))] = draw(odd)
    for length in reversed(shape):
        rows = len(values) // length if length else 1
        values = [
            "[" + separator.join(values[row * length : (row + 1) * length]) + "]"
            for row in range(rows)
        ]
    text = values[0] if values else "[]"
    if draw(st.integers(0, 5)) == 0:  # a list that is cut short, or has a bracket too many
        where = draw(st.integers(0, len(text)))
        text = (
            text[:where] + draw(st.sampled_from(["", "]", "[", ",", " ", '"', "}"])) + text[where:]
        )
    return text


STRINGS = st.one_of(
    st.text(max_size=300).map(json.dumps),
    st.text(max_size=20).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from(['"1e-64206"', '"[1,2]"', '"\\ud800"', '": [1, 2, 3]"', '"\\"["']),
    st.binary(max_size=300).map(lambda data: json.dumps({"b64": data.hex()})),
)
VALUES = st.one_of(nested(NUMBERS), nested(NUMBERS), nested(ODD_NUMBERS), nested(STRINGS), STRINGS)


@st.composite
def bodies(draw):
    """Text of a predict request, or of something near one."""
    keys = st.sampled_from(["instances", "inputs", "signature_name", "extra", "instances "])
    members = [draw(keys), *draw(st.lists(keys, max_size=2))]
    parts = []
    for key in members:
        value = draw(VALUES)
        wrap = draw(st.integers(0, 3))
        if wrap == 0:
            value = (
                '{"x": ' + value + ("" if draw(st.booleans()) else f', "y": {draw(VALUES)}') + "}"
            )
        elif wrap == 1:
            value = "[" + ", ".join(['{"x": ' + value + "}"] * draw(st.integers(1, 3))) + "]"
        parts.append(f'"{key}"{draw(SPACE)}:{draw(SPACE)}{value}')
    tail = draw(st.sampled_from(["", "", " trailing [1, 2]", "}", "\x00", ","]))
    text = draw(SPACE) + "{" + (draw(SPACE) + "," + draw(SPACE)).join(parts) + "}" + tail
    data = text.encode(errors="surrogatepass")
    if draw(st.integers(0, 9)) == 0:
        where = draw(st.integers(0, len(data)))
        data = data[:where] + draw(st.sampled_from([b"\xff", b"\xe2\x82", b"\x00"])) + data[where:]
    return data


def outcome(function, *arguments):
    """Returns what a function gives, or the code and text of its error."""
    try:
        return function(*arguments)
    except ServingError as error:
        return error.code, error.message


def same(first, second):
    """Whether two outcomes are equal to the bit: arrays in type, shape and values, -0 and NaN."""
    if isinstance(first, np.ndarray):
        if not isinstance(second, np.ndarray) or first.dtype != second.dtype:
            return False
        if first.shape != second.shape:
            return False
        if first.dtype == object:
            return first.ravel().tolist() == second.ravel().tolist()
        return first.tobytes() == second.tobytes()
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


def tensors(body, expected, has_arrays):
    document = json_documents.parse(body, has_arrays)
    return tensorflow_requests.signature_name(document), tensorflow_requests.inputs(
        document, expected
    )


def check(body, names, dtype):
    expected = {name: {"dtype": dtype, "shape": [None]} for name in names}
    quick = outcome(tensors, body, expected, True)
    careful = outcome(tensors, body, expected, False)
    assert same(quick, careful), (quick, careful)


@EXAMPLES
@given(bodies(), st.sampled_from([("x",), ("x", "y")]), st.sampled_from(DTYPES))
def test_tf_servings_bodies(body, names, dtype):
    check(body, names, dtype)


@EXAMPLES
@given(nested(NUMBERS), st.sampled_from(DTYPES), st.sampled_from(["instances", "inputs"]))
def test_plain_lists(text, dtype, key):
    check(f'{{"{key}": {text}}}'.encode(), ("x",), dtype)


@EXAMPLES
@given(nested(NUMBERS), st.sampled_from(["UINT8", "INT64", "FP32", "FP64", "BOOL"]), st.data())
def test_kserves_bodies(text, datatype, data):
    try:
        count = np.asarray(json.loads(text)).size
    except ValueError:
        count = data.draw(st.integers(0, 90))
    parts = f'"name": "x", "shape": [{count}], "datatype": "{datatype}", "data": {text}'
    text = '{"inputs": [{' + parts + "}]}"
    request = Request("POST", "/v2/models/x/infer", body=text.encode())
    quick = outcome(kserve_inputs, request)
    least, json_documents.LEAST = json_documents.LEAST, 10**9  # nothing is long enough to be cut
    try:
        careful = outcome(kserve_inputs, request)
    finally:
        json_documents.LEAST = least
    assert same(quick, careful), (quick, careful)


def kserve_inputs(request):
    return kserve_requests.parse(request)[1]


@pytest.mark.parametrize("key", ["instances", "inputs"])
def test_the_quick_way_is_taken_at_all(key):
    """Else the tests above would compare the careful way with itself."""
    body = json.dumps({key: tiny.ramp(20, 20)[None].tolist()}).encode()
    assert json_documents.parse(body).has_arrays
    assert not json_documents.parse(body, has_arrays=False).has_arrays
