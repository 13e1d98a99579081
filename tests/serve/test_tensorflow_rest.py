"""TF Serving's REST contract, row by row, against a real server over loopback."""

import base64
import json

import numpy as np
import pytest

from tests.artifact import tiny

PREDICT = "/v1/models/tiny:predict"
IMAGES = np.stack([tiny.ramp(4, 5), tiny.ramp(4, 5)[::-1]])


def b64(data: bytes) -> dict:
    return {"b64": base64.b64encode(data).decode()}


def check_answers(answers: list[dict], images, has_labels=False):
    """Compares row-format answers with the oracle, picture by picture."""
    assert len(answers) == len(images)
    for answer, image in zip(answers, images, strict=True):
        expected = tiny.probabilities(image[None])[0]
        order = np.argsort(-expected)[:5]
        np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
        np.testing.assert_allclose(answer["scores"], expected[order], atol=1e-5)
        assert answer["classes"] == order.tolist()
        if has_labels:
            assert answer["labels"] == [tiny.LABELS[index] for index in order]
        assert ("labels" in answer) == has_labels


# Answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        PREDICT,
        "/v1/models/tiny/versions/10:predict",
        "/v1/models/tiny/versions/0010:predict",
        "/V1/Models/tiny:predict",
        "/v1/models/t%69ny:predict",
        "/v1/models/tiny:predict?query=ignored",
    ],
)
def test_row_format(client, path):
    answer = client.post(path, json={"instances": IMAGES.tolist()})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"predictions"}
    check_answers(answer.json()["predictions"], IMAGES)


def test_row_format_with_named_inputs(client):
    body = {
        "signature_name": "serving_default",
        "instances": [{"images": image.tolist()} for image in IMAGES],
    }
    check_answers(client.post(PREDICT, json=body).json()["predictions"], IMAGES)


@pytest.mark.parametrize("inputs", [IMAGES.tolist(), {"images": IMAGES.tolist(), "extra": 1}])
def test_columnar_format(client, inputs):
    answer = client.post(PREDICT, json={"inputs": inputs})
    assert answer.status_code == 200
    outputs = answer.json()["outputs"]
    assert outputs.keys() == {"probabilities", "classes", "scores"}
    rows = [
        dict(zip(outputs, values, strict=True)) for values in zip(*outputs.values(), strict=True)
    ]
    check_answers(rows, IMAGES)


def test_image_bytes_of_mixed_sizes_in_both_formats(client):
    images = [tiny.ramp(4, 5), tiny.ramp(7, 3)[::-1], tiny.ramp(1, 1), tiny.ramp(4, 5)[:, ::-1]]
    files = [b64(tiny.encoded(np.ascontiguousarray(image))) for image in images]
    for body in (
        {"instances": files},
        {"instances": [{"image_bytes": file} for file in files]},
    ):
        answer = client.post(PREDICT, json={"signature_name": "image_bytes", **body})
        assert answer.status_code == 200, answer.text
        check_answers(answer.json()["predictions"], images, has_labels=True)
    answer = client.post(PREDICT, json={"signature_name": "image_bytes", "inputs": files})
    assert answer.json()["outputs"]["labels"] == [
        row["labels"]
        for row in client.post(
            PREDICT, json={"signature_name": "image_bytes", "instances": files}
        ).json()["predictions"]
    ]


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "IMAGE/PNG; charset=binary"])
def test_a_raw_picture_as_the_body(client, kind):
    headers = {"content-type": kind}
    answer = client.post(PREDICT, content=tiny.encoded(IMAGES[0]), headers=headers)
    assert answer.status_code == 200
    check_answers(answer.json()["predictions"], IMAGES[:1], has_labels=True)


def test_a_grey_model_takes_coloured_pictures_and_one_channel(client):
    path = "/v1/models/grey:predict"
    grey = tiny.ramp(6, 4, channels=1)
    answer = client.post(path, json={"instances": [grey.tolist()]})
    check_answers(answer.json()["predictions"], [grey])
    headers = {"content-type": "image/png"}
    answer = client.post(path, content=tiny.encoded(grey), headers=headers)
    check_answers(answer.json()["predictions"], [grey], has_labels=True)


def test_trailing_garbage_is_ignored(client):
    body = json.dumps({"instances": IMAGES.tolist()}) + "} garbage"
    assert client.post(PREDICT, content=body).status_code == 200


def test_the_answer_is_laid_out_to_be_read(client):
    lines = client.post(PREDICT, json={"instances": IMAGES.tolist()}).text.splitlines()
    assert lines[:3] == ["{", '    "predictions": [', "        {"]
    assert lines[3].startswith('            "probabilities": [0.')


# Errors ---------------------------------------------------------------------------------------

PIXEL = [[[1, 2, 3]]]  # one picture of one pixel


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        (PREDICT, "", 400, "JSON Parse error: The document is empty"),
        (PREDICT, " \n", 400, "JSON Parse error: The document is empty"),
        (PREDICT, "{", 400, "JSON Parse error: "),
        (PREDICT, "[1]", 400, "JSON Value: [\n    1\n] Is not object"),
        (PREDICT, {}, 400, "Missing 'inputs' or 'instances' key"),
        (
            PREDICT,
            {"instances": [PIXEL], "inputs": [PIXEL]},
            400,
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
        ),
        (PREDICT, {"instances": []}, 400, "No values in 'instances' array"),
        (PREDICT, {"instances": 1}, 400, "Excepting 'instances' to be an list/array"),
        (
            PREDICT,
            {"signature_name": 5, "instances": [PIXEL]},
            400,
            "not formatted correctly. 'signature_name' key must be a string value.",
        ),
        (
            PREDICT,
            {"signature_name": "nope", "instances": [PIXEL]},
            400,
            'Serving signature name: "nope" not found in signature def',
        ),
        (
            PREDICT,
            {"inputs": {"pixels": 1}},
            400,
            "Missing named input: images in 'inputs' object.",
        ),
        (
            PREDICT,
            {"instances": [[[[1.0, 2, 3]]]]},
            400,
            "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: "
            "JSON Value: 1.0 Type: Number is not of expected type: uint8",
        ),
        (
            PREDICT,
            {"instances": [[[[True, 2, 3]]]]},
            400,
            "Type: True is not of expected type: uint8",
        ),
        (
            PREDICT,
            {"instances": [[[[256, 2, 3]]]]},
            400,
            "256 Type: Number is not of expected type",
        ),
        (
            PREDICT,
            {"instances": [1, 2]},
            400,
            "got images of shape (2,), expected (any, any, any, 3)",
        ),
        (PREDICT, {"instances": [[[[1, 2]]]]}, 400, "got images of shape (1, 1, 1, 2)"),
        (PREDICT, {"inputs": []}, 400, "got images of shape (0,)"),
        (
            PREDICT,
            {"signature_name": "image_bytes", "instances": [{"b64": "_-_-"}]},
            400,
            "Unable to base64 decode",
        ),
        (
            PREDICT,
            {"signature_name": "image_bytes", "instances": [[{"b64": "aGVsbG8="}]]},
            400,
            "got image_bytes of shape (1, 1), expected (any)",
        ),
        (
            "/v1/models/nope:predict",
            {"instances": [1]},
            404,
            "Servable not found for request: Latest(nope)",
        ),
        ("/v1/models/nope:predict", "{", 400, "JSON Parse error: "),
        (
            "/v1/models/tiny/versions/3:predict",
            {"instances": [1]},
            404,
            "Servable not found for request: Specific(tiny, 3)",
        ),
        (
            "/v1/models/tiny/versions/11:predict",  # the damaged one
            {"instances": [1]},
            404,
            "Servable not found for request: Specific(tiny, 11)",
        ),
        (
            "/v1/models/tiny/labels/canary:predict",
            {"instances": [1]},
            400,
            "Unrecognized servable version label: canary",
        ),
        (
            "/v1/models/tiny/versions/99999999999999999999:predict",
            {"instances": [1]},
            400,
            "Failed to convert version: 99999999999999999999 to numeric.",
        ),
        (
            "/v1/models/tiny:classify",
            {"examples": [{"x": 1}]},
            400,
            "Expected classification signature method_name to be tensorflow/serving/classify. "
            "Was: tensorflow/serving/predict",
        ),
        (
            "/v1/models/tiny:regress",
            {"examples": [{}]},
            400,
            "Expected regression signature method_name",
        ),
        (
            "/v1/models/tiny:PREDICT",
            {"instances": [1]},
            400,
            "Malformed request: POST /v1/models/tiny:PREDICT",
        ),
        ("/v1/models/tiny", {}, 400, "Malformed request: POST /v1/models/tiny"),
        ("/v1/models/a/b:predict", {}, 400, "Malformed request: POST /v1/models/a/b:predict"),
        ("/v1/nonsense", {}, 400, "Malformed request: POST /v1/nonsense"),
    ],
)
def test_post_errors(client, path, body, status, message):
    content = body if isinstance(body, str) else json.dumps(body)
    answer = client.post(path, content=content)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error"}
    assert message in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/models/nope", 404, "Could not find any versions of model nope"),
        ("GET", "/v1/models/tiny/versions/3", 404, "Could not find version 3 of model tiny"),
        ("GET", "/v1/models/nope/metadata", 404, "Servable not found for request: Latest(nope)"),
        (
            "GET",
            "/v1/models/tiny/versions/x",
            400,
            "Malformed request: GET /v1/models/tiny/versions/x",
        ),
        ("GET", PREDICT, 400, f"Malformed request: GET {PREDICT}"),
        ("GET", "/v1/models/", 400, "Malformed request: GET /v1/models/"),
        ("PUT", PREDICT, 400, f"Malformed request: PUT {PREDICT}"),
        ("DELETE", "/v1/models/tiny", 400, "Malformed request: DELETE /v1/models/tiny"),
        ("GET", "/v1/models/..%2F..%2Fetc", 404, "Could not find any versions of model ../../etc"),
        ("GET", "/v2/nothing", 404, "Not found: GET /v2/nothing"),
        ("GET", "/nothing", 404, "Not found: GET /nothing"),
        ("GET", "/v1", 404, "Not found: GET /v1"),
    ],
)
def test_errors_of_other_requests(client, method, path, status, message):
    answer = client.request(method, path)
    assert answer.status_code == status
    assert message in answer.json()["error"]


def test_a_large_payload_is_quoted_at_256_characters(client):
    body = {"signature_name": 5, "instances": list(range(10_000))}
    message = client.post(PREDICT, json=body).json()["error"]
    assert len(message) < 400


@pytest.mark.parametrize("depth", [40, 900, 100_000])
def test_deep_nesting_is_refused(client, depth):
    answer = client.post(PREDICT, content='{"instances": ' + "[" * depth + "]" * depth + "}")
    assert answer.status_code == 400


def test_half_a_surrogate_pair_is_quoted_harmlessly(client):
    body = '{"signature_name": "\\ud800", "instances": [NaN]}'
    answer = client.post(PREDICT, content=body)
    assert answer.status_code == 400
    assert 'signature name: "?" not found' in answer.json()["error"]
    body = '{"signature_name": "image_bytes", "instances": ["\\ud800"]}'
    assert "no picture" in client.post(PREDICT, content=body).json()["error"]


# Status and metadata --------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/models/tiny", "/v1/models/tiny/labels/ignored"])
def test_status_names_the_checksum_error_of_the_refused_version(client, path):
    answer = client.get(path)
    assert answer.status_code == 200
    refused, serving = answer.json()["model_version_status"]
    assert serving == {
        "version": "10",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    assert (refused["version"], refused["state"]) == ("11", "END")
    assert refused["status"]["error_code"] == "DATA_LOSS"
    assert "does not match its checksum" in refused["status"]["error_message"]


def test_status_of_one_version_is_printed_as_protobuf_prints_it(client):
    assert client.get("/v1/models/tiny/versions/10").text == (
        '{\n "model_version_status": [\n  {\n   "version": "10",\n   "state": "AVAILABLE",\n'
        '   "status": {\n    "error_code": "OK",\n    "error_message": ""\n   }\n  }\n ]\n}'
    )


@pytest.mark.parametrize(
    "path", ["/v1/models/tiny/metadata", "/v1/models/tiny/versions/10/metadata"]
)
def test_metadata(client, path):
    metadata = client.get(path).json()
    assert metadata["model_spec"] == {"name": "tiny", "signature_name": "", "version": "10"}
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert signatures.keys() == {"serving_default", "image_bytes", "classify"}
    assert signatures["classify"]["method_name"] == "tensorflow/serving/classify"
    signature = signatures["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["images"] == {
        "dtype": "DT_UINT8",
        "tensor_shape": {
            "dim": [{"size": size, "name": ""} for size in ("-1", "-1", "-1", "3")],
            "unknown_rank": False,
        },
        "name": "serving_default_images:0",
    }
    assert signature["outputs"].keys() == {"probabilities", "classes", "scores"}
    assert signatures["image_bytes"]["inputs"]["image_bytes"]["dtype"] == "DT_STRING"
    assert signatures["image_bytes"]["outputs"]["labels"]["tensor_shape"]["dim"][1]["size"] == "5"


def test_all_models_are_listed(client):
    models = client.get("/v1/models").json()["models"]
    assert [model["name"] for model in models] == ["grey", "tiny"]
    assert models[0]["model_version_status"][0]["state"] == "AVAILABLE"
