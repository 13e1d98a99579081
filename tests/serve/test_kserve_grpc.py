"""KServe v2 over gRPC: the stock tritonclient, typed contents, streams, and errors."""

import queue

import numpy as np
import pytest

from dlcv_tf.artifact import inference_messages
from dlcv_tf.serve import kserve_tensors
from tests.artifact import tiny
from tests.serve import grpc_client

triton = pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")

INFER = "GRPCInferenceService/ModelInfer"
PICTURES = np.stack([tiny.ramp(6, 5), tiny.ramp(6, 5)[::-1]])


@pytest.fixture(scope="module")
def client(models_dir):
    with grpc_client.running(models_dir) as client:
        yield client


@pytest.fixture(scope="module")
def stock(client):
    with triton.InferenceServerClient(client.address) as stock:
        yield stock


def infer_input(name="images", array=PICTURES, datatype="UINT8"):
    tensor = triton.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return tensor


# The stock client -------------------------------------------------------------------------------


def test_the_parameter_timeout_shortens_the_deadline(client, stock):
    with pytest.raises(triton.InferenceServerException, match="deadline") as caught:
        stock.infer("tiny", [infer_input()], timeout=1)  # microseconds
    assert caught.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    assert stock.infer("tiny", [infer_input()], timeout=10_000_000)


def test_server_and_models(stock):
    assert stock.is_server_live() and stock.is_server_ready()
    assert stock.is_model_ready("tiny") and stock.is_model_ready("tiny", "10")
    assert not stock.is_model_ready("tiny", "11") and not stock.is_model_ready("nope")
    assert stock.get_server_metadata().name == "dlcv_tf"
    metadata = stock.get_model_metadata("tiny")
    assert (metadata.name, list(metadata.versions)) == ("tiny", ["10"])
    (tensor,) = metadata.inputs
    assert (tensor.name, tensor.datatype, list(tensor.shape)) == (
        "images",
        "UINT8",
        [-1, -1, -1, 3],
    )
    assert [output.name for output in metadata.outputs] == ["probabilities", "classes", "scores"]
    config = stock.get_model_config("tiny").config
    assert config.name == "tiny"
    assert list(config.input[0].dims) == [-1, -1, -1, 3]
    assert triton.model_config_pb2.DataType.Name(config.input[0].data_type) == "TYPE_UINT8"
    models = stock.get_model_repository_index().models
    states = {(model.name, model.version): model.state for model in models}
    assert states["tiny", "10"] == states["grey", "1"] == "READY"
    assert states["tiny", "11"] == "UNAVAILABLE"


def test_infer(client, stock):
    outputs = [triton.InferRequestedOutput("probabilities")]
    result = stock.infer("tiny", [infer_input()], outputs=outputs, request_id="mine")
    expected = tiny.probabilities(PICTURES)
    np.testing.assert_allclose(result.as_numpy("probabilities"), expected, rtol=1e-5)
    response = result.get_response()
    assert (response.model_name, response.model_version, response.id) == ("tiny", "10", "mine")
    assert [output.name for output in response.outputs] == ["probabilities"]
    call = client.calls[-1]
    assert (call.api, call.method, call.model, call.version, call.pictures) == (
        "kserve_grpc",
        "infer",
        "tiny",
        10,
        2,
    )


def test_infer_of_a_version_and_all_outputs(stock):
    result = stock.infer("tiny", [infer_input()], model_version="10")
    expected = tiny.probabilities(PICTURES)
    np.testing.assert_array_equal(result.as_numpy("classes")[:, 0], expected.argmax(axis=1))
    np.testing.assert_allclose(result.as_numpy("scores")[:, 0], expected.max(axis=1), rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"parameters": {"signature_name": "image_bytes"}}])
def test_encoded_pictures_are_bytes(stock, options):
    files = np.array([tiny.encoded(picture) for picture in PICTURES], dtype=object)
    result = stock.infer("tiny", [infer_input("image_bytes", files, "BYTES")], **options)
    best = tiny.probabilities(PICTURES).argmax(axis=1)
    labels = [label.decode() for label in result.as_numpy("labels")[:, 0]]
    assert labels == [tiny.LABELS[i] for i in best]


def test_a_stream_answers_errors_and_goes_on(client, stock):
    answers = queue.Queue()
    stock.start_stream(lambda result, error: answers.put((result, error)))
    before = len(client.calls)
    stock.async_stream_infer("tiny", [infer_input()], request_id="1")
    stock.async_stream_infer("nope", [infer_input()], request_id="2")
    stock.async_stream_infer("tiny", [infer_input()], request_id="3")
    found = [answers.get(timeout=10) for _ in range(3)]
    stock.stop_stream()
    assert [error is None for _, error in found] == [True, False, True]
    assert "nope" in found[1][1].message()
    for result in (found[0][0], found[2][0]):
        np.testing.assert_allclose(
            result.as_numpy("probabilities"), tiny.probabilities(PICTURES), rtol=1e-5
        )
    assert [call.code.name for call in client.calls[before:]] == ["OK", "NOT_FOUND", "OK"]


def test_models_are_unloaded_and_loaded(models_dir):
    with grpc_client.running(models_dir) as client:
        with triton.InferenceServerClient(client.address) as stock:
            stock.unload_model("grey")
            assert not stock.is_model_ready("grey") and stock.is_model_ready("tiny")
            stock.load_model("grey")
            assert stock.is_model_ready("grey")
            with pytest.raises(triton.InferenceServerException, match="nope"):
                stock.load_model("nope")


# Typed contents and errors ----------------------------------------------------------------------


def infer_request(*tensors, name="tiny", version="", raw=(), outputs=(), **parameters):
    message = inference_messages.ModelInferRequest(
        model_name=name, model_version=version, inputs=tensors, raw_input_contents=raw
    )
    for output in outputs:
        message.outputs.add(name=output)
    for key, value in parameters.items():
        message.parameters[key].string_param = value
    return message


def tensor(array=PICTURES, name="images", datatype="UINT8", shape=None, **contents):
    if not contents:
        contents = {"uint_contents": array.ravel().tolist()}
    return {
        "name": name,
        "datatype": datatype,
        "shape": array.shape if shape is None else shape,
        "contents": contents,
    }


def test_typed_contents(client):
    response = client(INFER, infer_request(tensor()))
    index = [output.name for output in response.outputs].index("probabilities")
    assert response.outputs[index].datatype == "FP32"
    array = kserve_tensors.from_bytes(
        response.raw_output_contents[index], "FP32", tuple(response.outputs[index].shape)
    )
    np.testing.assert_allclose(array, tiny.probabilities(PICTURES), rtol=1e-5)
    files = {"bytes_contents": [tiny.encoded(picture) for picture in PICTURES]}
    request = infer_request(tensor(name="image_bytes", datatype="BYTES", shape=[2], **files))
    assert "labels" in [output.name for output in client(INFER, request).outputs]


RAW = {"name": "images", "datatype": "UINT8", "shape": PICTURES.shape}


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (infer_request(tensor(), name="nope"), "NOT_FOUND", "Latest(nope)"),
        (infer_request(tensor(), version="3"), "NOT_FOUND", "Specific(tiny, 3)"),
        (infer_request(tensor(), version="x"), "INVALID_ARGUMENT", "version 'x'"),
        (
            infer_request(tensor(), outputs=["no"]),
            "INVALID_ARGUMENT",
            "unexpected inference output 'no'",
        ),
        (infer_request(), "INVALID_ARGUMENT", "expected 1 inputs but got 0 inputs"),
        (infer_request(tensor(name="a")), "INVALID_ARGUMENT", "unexpected inference input 'a'"),
        (
            infer_request(tensor(), tensor()),
            "INVALID_ARGUMENT",
            "'images' already exists in request",
        ),
        (
            infer_request(tensor(shape=[1, 2])),
            "INVALID_ARGUMENT",
            "180 values in uint_contents of input 'images', expected 2",
        ),
        (infer_request(tensor(shape=[-1, 2])), "INVALID_ARGUMENT", "got shape (-1, 2)"),
        (
            infer_request(tensor(datatype="FP32", fp32_contents=[0] * 180)),
            "INVALID_ARGUMENT",
            "data-type is 'FP32', but model 'tiny' ",
        ),
        (infer_request(tensor(datatype="FP16")), "INVALID_ARGUMENT", "expected them as raw bytes"),
        (infer_request(tensor(datatype="NO")), "INVALID_ARGUMENT", "got datatype 'NO'"),
        (infer_request(tensor(uint_contents=[256] * 180)), "INVALID_ARGUMENT", "do not fit UINT8"),
        (
            infer_request(RAW, raw=[b"abc"]),
            "INVALID_ARGUMENT",
            "unexpected total byte size 3 for input 'images', expecting 180",
        ),
        (infer_request(RAW, raw=[b"", b""]), "INVALID_ARGUMENT", "expected 1 raw_input_contents"),
        (infer_request(tensor(), signature_name="s"), "INVALID_ARGUMENT", '"s" not found'),
    ],
)
def test_errors(client, request_, code, text):
    got, details = client.error(INFER, request_)
    assert got == code and text in details
    assert client.calls[-1].code.name == code


def test_shared_memory_is_refused(client):
    request = infer_request(RAW)
    request.inputs[0].parameters["shared_memory_region"].string_param = "region"
    code, text = client.error(INFER, request)
    assert code == "INVALID_ARGUMENT" and "shared memory" in text


def test_what_the_server_does_not_offer_is_unimplemented(client):
    request = inference_messages.SystemSharedMemoryStatusRequest()
    code, _ = client.error("GRPCInferenceService/SystemSharedMemoryStatus", request)
    assert code == "UNIMPLEMENTED"
