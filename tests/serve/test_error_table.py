"""The table of TF Serving's errors, row by row: HTTP code and the whole body, byte for byte.

The gRPC half of the table is `test_tensorflow_grpc.py`. The texts are those of `json_tensor.cc`,
`http_rest_api_handler.cc` and `http_rest_api_util.cc`; where a row is this server's own, more
helpful one, its comment says so.
"""

import gzip
import http.client
import json
import math
import socket
import urllib.parse

import numpy as np
import pytest

from dlcv_tf.serve import server
from dlcv_tf.serve.tensorflow_answers import render
from tests.artifact import tiny
from tests.serve import artifacts

PREDICT = "/v1/models/tiny:predict"
TOO_BIG = "JSON Parse error: Number too big to be stored in double."
FLOATS = "/v1/models/floats:predict"
PIXEL = [[[1, 2, 3]]]  # one picture of one pixel
PIXEL_TEXT = json.dumps({"instances": [PIXEL]}, indent=4)


@pytest.fixture(scope="module")
def address(models_dir, tmp_path_factory):
    """Host and port of a server with inputs of every kind that JSON has, or has not."""
    models = tmp_path_factory.mktemp("models")
    (models / "tiny").symlink_to(models_dir / "tiny")
    artifacts.floats(models, "floats", "float32")
    artifacts.floats(models, "halves", "float16")
    with server.running(models, executor="onnx", max_body=10_000, cors=True) as url:
        parts = urllib.parse.urlsplit(url)
        yield parts.hostname, parts.port


def ask(address, method, path, body="", **headers):
    """Sends a request over one connection; returns status, headers and body."""
    data = body.encode() if isinstance(body, str) else body
    connection = http.client.HTTPConnection(*address, timeout=30)
    try:
        connection.request(method, path, data, {k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def error(message):
    """The body as RapidJSON's PrettyWriter lays it out."""
    return '{\n    "error": ' + json.dumps(message, ensure_ascii=False) + "\n}"


def pretty(values):
    return json.dumps(values, indent=4)


LONG = {"signature_name": 5, "instances": [10**9] * 100}
QUOTED = pretty(LONG)[:256] + "..."
BOTH = {"instances": [PIXEL], "inputs": [PIXEL]}
UPPER = "/v1/models/tiny:PREDICT"
ROWS = [
    # Paths and methods.
    ("GET", "/v1/models/tiny:predict", "", 400, f"Malformed request: GET {PREDICT}"),
    ("PUT", PREDICT, "", 400, f"Malformed request: PUT {PREDICT}"),
    ("DELETE", "/v1/models/tiny", "", 400, "Malformed request: DELETE /v1/models/tiny"),
    ("POST", "/v1/models/tiny", "", 400, "Malformed request: POST /v1/models/tiny"),
    ("POST", UPPER, PIXEL_TEXT, 400, f"Malformed request: POST {UPPER}"),
    (
        "GET",
        "/v1/models/tiny/versions/x",
        "",
        400,
        "Malformed request: GET /v1/models/tiny/versions/x",
    ),
    ("POST", "/v1/models/a/b:predict", "", 400, "Malformed request: POST /v1/models/a/b:predict"),
    ("GET", "/v1/", "", 400, "Malformed request: GET /v1/"),
    ("GET", "/v1/models/versions/3", "", 400, "Missing model name in request."),
    ("GET", "/v1/models/labels/stable", "", 400, "Missing model name in request."),
    (
        "POST",
        "/v1/models/tiny/versions/9223372036854775808:predict",
        PIXEL_TEXT,
        400,
        "Failed to convert version: 9223372036854775808 to numeric.",
    ),
    # Models and versions.
    ("GET", "/v1/models/no", "", 404, "Could not find any versions of model no"),
    ("GET", "/v1/models/tiny/versions/3", "", 404, "Could not find version 3 of model tiny"),
    ("GET", "/v1/models/no/metadata", "", 404, "Servable not found for request: Latest(no)"),
    (
        "POST",
        "/v1/models/no:predict",
        PIXEL_TEXT,
        404,
        "Servable not found for request: Latest(no)",
    ),
    (
        "POST",
        "/v1/models/tiny/versions/3:predict",
        PIXEL_TEXT,
        404,
        "Servable not found for request: Specific(tiny, 3)",
    ),
    (
        "POST",
        "/v1/models/tiny/labels/y:predict",
        PIXEL_TEXT,
        400,
        "Unrecognized servable version label: y",
    ),
    # Documents.
    ("POST", PREDICT, "", 400, "JSON Parse error: The document is empty"),
    ("POST", PREDICT, " \n", 400, "JSON Parse error: The document is empty. at offset: 2"),
    ("POST", PREDICT, "nonsense", 400, "JSON Parse error: Invalid value. at offset: 0"),
    ("POST", PREDICT, '{"a": "1e999", "b": [1, 1e999]}', 400, f"{TOO_BIG} at offset: 24"),
    ("POST", PREDICT, '{"b": [0, -' + "9" * 310 + "]}", 400, f"{TOO_BIG} at offset: 10"),
    ("POST", PREDICT, "{", 400, "JSON Parse error: Missing a name for object member. at offset: 1"),
    (
        "POST",
        PREDICT,
        '{"instances": [1 2]}',
        400,
        "JSON Parse error: Missing a comma or ] after an array element. at offset: 17",
    ),
    ("POST", PREDICT, "[1]", 400, "JSON Value: [\n    1\n] Is not object"),
    ("POST", PREDICT, "{}", 400, "Missing 'inputs' or 'instances' key"),
    (
        "POST",
        PREDICT,
        pretty(BOTH),
        400,
        f"JSON Value: {pretty(BOTH)[:256]}{'...' if len(pretty(BOTH)) > 256 else ''} Not formatted "
        "correctly expecting only one of 'inputs' or 'instances' keys to exist ",
    ),
    (
        "POST",
        PREDICT,
        pretty(LONG),
        400,
        f"JSON Value: {QUOTED} not formatted correctly. 'signature_name' key must be a string "
        "value.",
    ),
    (
        "POST",
        PREDICT,
        pretty({"signature_name": "s", "instances": [PIXEL]}),
        400,
        'Serving signature name: "s" not found in signature def',
    ),
    # Rows.
    (
        "POST",
        PREDICT,
        '{"instances": 1}',
        400,
        "JSON Value: {\n    \"instances\": 1\n} Excepting 'instances' to be an list/array",
    ),
    (
        "POST",
        PREDICT,
        '{"instances": []}',
        400,
        "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array",
    ),
    (
        "POST",
        PREDICT,
        '{"instances": [[[[1.0, 2, 3]]]]}',
        400,
        "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: "
        "1.0 Type: Number is not of expected type: uint8",
    ),
    (
        "POST",
        PREDICT,
        '{"instances": [{"images": [[[1, 2, 3]]]}, 1]}',
        400,
        "Expecting object but got list at item 1 of input list",
    ),
    (
        "POST",
        PREDICT,
        '{"instances": [1, {"images": 1}]}',
        400,
        "Expecting value/list but got object at item 1 of input list",
    ),
    (
        "POST",
        PREDICT,
        '{"instances": [{"images": 1, "more": 2}]}',
        400,
        "Failed to process element: 0 key: more of 'instances' list. Error: INVALID_ARGUMENT: JSON "
        "object: does not have named input: more",
    ),
    (
        "POST",
        PREDICT,
        '{"instances": [[[[1, 2, 3]]], [[[1, 2, 3], [1, 2, 3]]]]}',
        400,
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting "
        "tensor size: 3 but got: 6",
    ),
    (
        "POST",
        PREDICT,
        '{"instances": [[[[1, 2, 3]]], [[1, 2, 3]]]}',
        400,
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting "
        "shape [1,1,3] but got: [1,3]",
    ),
    # Columns.
    (
        "POST",
        PREDICT,
        '{"inputs": {"x": 1}}',
        400,
        "Missing named input: images in 'inputs' object.",
    ),
    (
        "POST",
        PREDICT,
        '{"inputs": [[1, 2], [1]]}',
        400,
        "Encountered list at unexpected size: 1 at level: 1 expected size: 2",
    ),
    # Strings in base64: the standard alphabet alone (how to mend it is this server's own).
    (
        "POST",
        PREDICT,
        '{"signature_name": "image_bytes", "inputs": {"image_bytes": [{"b64": "_-_-"}]}}',
        400,
        "Unable to base64 decode: expected the standard alphabet (A-Z a-z 0-9 + /), without a "
        "data: prefix",
    ),
    # Types that JSON has not.
    (
        "POST",
        "/v1/models/halves:predict",
        '{"inputs": [[[[1, 2, 3]]]]}',
        501,
        "Conversion of JSON Value: 1 to type: float16",
    ),
    (
        "POST",
        FLOATS,
        '{"inputs": [[[[1e39, 2, 3]]]]}',
        400,
        "Cannot convert JSON value: 1e39 to float without loss of precision.",
    ),
    # Classes and numbers of examples.
    (
        "POST",
        "/v1/models/tiny:classify",
        '{"examples": [{"x": 1}]}',
        400,
        "Expected classification signature method_name to be tensorflow/serving/classify. Was: "
        "tensorflow/serving/predict",
    ),
    (
        "POST",
        "/v1/models/tiny:regress",
        '{"examples": [{"x": 1}]}',
        400,
        "Expected regression signature method_name to be tensorflow/serving/regress. Was: "
        "tensorflow/serving/predict",
    ),
    (
        "POST",
        "/v1/models/tiny:regress",
        '{"signature_name": "s", "examples": [{"x": 1}]}',
        400,
        "No signature was found with the name: s",
    ),
    (
        "POST",
        "/v1/models/tiny:classify",
        "{}",
        400,
        "JSON Value: {} When method is classify, key 'examples' is expected and was not found",
    ),
    (
        "POST",
        "/v1/models/tiny:classify",
        '{"examples": 1}',
        400,
        "JSON Value: {\n    \"examples\": 1\n} Expecting 'examples' value to be an list/array",
    ),
    (
        "POST",
        "/v1/models/tiny:classify",
        '{"examples": []}',
        400,
        "JSON Value: {\n    \"examples\": []\n} 'examples' value is an empty array",
    ),
    (
        "POST",
        "/v1/models/tiny:classify",
        '{"examples": [1]}',
        400,
        "Example must be JSON object but got JSON Number",
    ),
    (
        "POST",
        "/v1/models/tiny:classify",
        '{"examples": [{"x": [1, "a"]}]}',
        400,
        "Unexpected element type in feature: x expecting type: int64",
    ),
    (
        "POST",
        "/v1/models/tiny:classify",
        '{"examples": [{"x": null}]}',
        400,
        "Feature: x has element with unexpected JSON type: Null",
    ),
    (
        "POST",
        "/v1/models/tiny:classify",
        '{"examples": [{"x": 9223372036854775808}]}',
        400,
        "Feature: x has uint64 element. Only int64 is supported.",
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "message"), ROWS)
def test_rows(address, method, path, body, status, message):
    got, headers, text = ask(address, method, path, body)
    assert (got, text) == (status, error(message))
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "body",
    [
        PIXEL_TEXT + " trailing garbage",
        '{"inputs": {"images": [[[[1, 2, 3]]]], "more": "ignored"}}',
        '{"instances": [[[[1, 2, 3]]]], "instances": 0}',  # the first of a name counts
    ],
)
def test_what_tf_serving_lets_pass(address, body):
    assert ask(address, "POST", PREDICT, body)[0] == 200
    assert (
        ask(address, "POST", PREDICT.upper().replace("TINY:PREDICT", "tiny:predict"), body)[0]
        == 200
    )


def test_numbers_that_are_none_pass_both_ways(address):
    status, _, text = ask(address, "POST", FLOATS, '{"inputs": [[[[NaN, Infinity, -Infinity]]]]}')
    assert (status, text) == (200, '{\n    "outputs": [[[[NaN, Infinity, -Infinity]]]]\n}')
    (values,) = json.loads(text)["outputs"][0][0]
    assert math.isnan(values[0]) and values[1:] == [math.inf, -math.inf]


def test_rows_of_outputs_without_a_common_batch():
    outputs = {"a": np.zeros(2), "b": np.zeros(3)}
    with pytest.raises(
        Exception, match="^Tensor name: b has inconsistent batch size: 3 expecting: 2$"
    ):
        render(outputs, is_row=True)
    with pytest.raises(Exception, match="^Tensor name: a has no shape information $"):
        render({"a": np.float32(1)}, is_row=True)


def test_paths_below_no_protocol_are_404(address):
    status, headers, text = ask(address, "GET", "/v3/models")
    assert status == 404 and headers["content-type"] == "application/json"
    assert json.loads(text)["error"].startswith("Not found: GET /v3/models; there are ")


def test_an_origin_that_is_none_is_400(address):
    status, headers, _ = ask(address, "OPTIONS", PREDICT, Origin="http://example.com")
    assert status == 200
    assert headers["access-control-allow-origin"] == "*"
    assert headers["access-control-allow-methods"] == "POST, GET"
    assert "Content-Type" in headers["access-control-allow-headers"]
    assert ask(address, "OPTIONS", PREDICT)[0] == 400


def test_gzip_that_is_none_or_too_long(address):
    """TF Serving takes these for an empty body; here the client hears what is wrong."""
    good = gzip.compress(PIXEL_TEXT.encode())
    assert ask(address, "POST", PREDICT, good, Content_Encoding="gzip")[0] == 200
    status, _, text = ask(address, "POST", PREDICT, good[:-9], Content_Encoding="gzip")
    assert status == 400 and "cut short" in json.loads(text)["error"]
    status, _, text = ask(address, "POST", PREDICT, b"xx", Content_Encoding="gzip")
    assert status == 400 and "does not inflate" in json.loads(text)["error"]
    bomb = gzip.compress(bytes(20_000))
    status, _, text = ask(address, "POST", PREDICT, bomb, Content_Encoding="gzip")
    assert status == 413 and "over 10000 bytes inflated" in json.loads(text)["error"]
    assert ask(address, "POST", PREDICT, " " * 10_001)[0] == 413


def test_answers_are_those_bytes_on_the_wire(address):
    """The whole of an answer, read from a bare socket."""
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(
            b"POST /v1/models/tiny:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
            b"Connection: close\r\n\r\n{}"
        )
        data = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\ncontent-type: application/json\r\n" in head
    assert body == error("Missing 'inputs' or 'instances' key").encode()


def test_missing_deadlines_queues_and_acceptance_have_their_codes(address):
    """406 is HTTP's own; the rest are ToHTTPStatusCode's, and met in test_batching and test_app."""
    picture = tiny.encoded(tiny.ramp(4, 4))
    headers = {"Content_Type": "image/png", "Accept": "image/png"}
    status, _, text = ask(address, "POST", PREDICT, picture, **headers)
    assert status == 406
    assert json.loads(text)["error"].startswith("got Accept: image/png for outputs probabilities, ")
