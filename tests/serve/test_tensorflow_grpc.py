"""TensorFlow Serving's gRPC services: answers, every row of the error table, and stock clients."""

import json
import subprocess
import sys

import numpy as np
import pytest

from dlcv_tf.artifact import tfs_messages
from dlcv_tf.serve import tensorflow_tensors
from tests.artifact import tiny
from tests.serve import grpc_client

PREDICT = "PredictionService/Predict"
PICTURES = np.stack([tiny.ramp(6, 5), tiny.ramp(6, 5)[::-1]])


@pytest.fixture(scope="module")
def client(models_dir):
    with grpc_client.running(models_dir) as client:
        yield client


def spec(name="tiny", version=None, label=None, signature=""):
    message = tfs_messages.ModelSpec(name=name, signature_name=signature)
    if version is not None:
        message.version.value = version
    if label is not None:
        message.version_label = label
    return message


def predict_request(inputs=None, output_filter=(), **options):
    inputs = {"images": PICTURES} if inputs is None else inputs
    request = tfs_messages.PredictRequest(model_spec=spec(**options), output_filter=output_filter)
    for name, values in inputs.items():
        request.inputs[name].CopyFrom(tfs_messages.tensor(values))
    return request


def arrays(response):
    return {
        name: tensorflow_tensors.to_array(tensor, name, 10**6)
        for name, tensor in response.outputs.items()
    }


# Answers ----------------------------------------------------------------------------------------


def test_predict_answers_lists_of_values_by_default(client):
    response = client(PREDICT, predict_request())
    assert response.model_spec == spec(version=10, signature="serving_default")
    expected = tiny.probabilities(PICTURES)
    assert response.outputs["probabilities"].tensor_content == b""
    np.testing.assert_allclose(
        np.reshape(response.outputs["probabilities"].float_val, (2, -1)), expected, rtol=1e-5
    )
    np.testing.assert_array_equal(
        np.reshape(response.outputs["classes"].int_val, (2, -1))[:, 0], expected.argmax(axis=1)
    )
    call = client.calls[-1]
    assert (call.api, call.method, call.model, call.version) == (
        "tensorflow_grpc",
        "predict",
        "tiny",
        10,
    )
    assert (call.code.name, call.pictures, call.signature) == ("OK", 2, "serving_default")
    assert call.bytes_in == predict_request().ByteSize()
    assert call.bytes_out == response.ByteSize()
    assert call.stages.keys() >= {"parse", "run", "render"}


def test_inputs_may_be_lists_of_values_too(client):
    request = predict_request({})
    tensor = request.inputs["images"]
    tensorflow_tensors.fill(tensor, PICTURES, tensor_content=False)
    assert len(tensor.int_val) == PICTURES.size
    np.testing.assert_allclose(
        arrays(client(PREDICT, request))["probabilities"],
        tiny.probabilities(PICTURES),
        rtol=1e-5,
    )


def test_tensor_content_where_the_option_says_so(models_dir):
    with grpc_client.running(models_dir, tensor_content=True) as client:
        tensor = client(PREDICT, predict_request()).outputs["probabilities"]
    assert not tensor.float_val
    values = np.frombuffer(tensor.tensor_content, np.float32).reshape(2, -1)
    np.testing.assert_allclose(values, tiny.probabilities(PICTURES), rtol=1e-5)


def test_a_version_can_be_asked_for_and_the_filter_chooses_outputs(client):
    response = client(PREDICT, predict_request(version=10, output_filter=["scores"]))
    assert response.model_spec.version.value == 10
    assert list(response.outputs) == ["scores"]


def test_encoded_pictures(client):
    files = [tiny.encoded(picture) for picture in PICTURES]
    request = predict_request({"image_bytes": files}, signature="image_bytes")
    response = client(PREDICT, request)
    assert response.model_spec.signature_name == "image_bytes"
    answer = arrays(response)
    best = tiny.probabilities(PICTURES).argmax(axis=1)
    assert [name.decode() for name in answer["labels"][:, 0]] == [tiny.LABELS[i] for i in best]


def test_metadata(client):
    request = tfs_messages.GetModelMetadataRequest(
        model_spec=spec(), metadata_field=["signature_def"]
    )
    response = client("PredictionService/GetModelMetadata", request)
    assert response.model_spec == spec(version=10)
    signatures = tfs_messages.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    definition = signatures.signature_def["serving_default"]
    assert definition.method_name == "tensorflow/serving/predict"
    assert [dim.size for dim in definition.inputs["images"].tensor_shape.dim] == [-1, -1, -1, 3]
    assert client.calls[-1].method == "metadata"


@pytest.mark.parametrize("options", [{}, {"version": 10}, {"label": "ignored"}])
def test_status(client, options):
    request = tfs_messages.GetModelStatusRequest(model_spec=spec(**options))
    versions = client("ModelService/GetModelStatus", request).model_version_status
    states = {v.version: tfs_messages.ModelVersionStatus.State.Name(v.state) for v in versions}
    assert states[10] == "AVAILABLE"
    assert (11 in states) == ("version" not in options)


# Errors -----------------------------------------------------------------------------------------

INPUTS_ERROR = (
    "input size does not match signature: 2!=1 len({a,images}) != len({images}). Sent extra: {a}. "
    "Missing but required: {}."
)
TWO = {"images": PICTURES, "a": PICTURES}
ROWS = [
    (predict_request(name="no"), "NOT_FOUND", "Servable not found for request: Latest(no)"),
    (
        predict_request(version=3),
        "NOT_FOUND",
        "Servable not found for request: Specific(tiny, 3)",
    ),
    (
        predict_request(version=-1),
        "NOT_FOUND",
        "Servable not found for request: Specific(tiny, -1)",
    ),
    (
        predict_request(label="y"),
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: y",
    ),
    (predict_request(name=""), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
    (tfs_messages.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
    (
        predict_request(signature="s"),
        "FAILED_PRECONDITION",
        'Serving signature key "s" not found.',
    ),
    (predict_request(TWO), "INVALID_ARGUMENT", INPUTS_ERROR),
    (
        predict_request({}),
        "INVALID_ARGUMENT",
        "input size does not match signature: 0!=1 len({}) != len({images}). Sent extra: {}. "
        "Missing but required: {images}.",
    ),
    (
        predict_request({"a": PICTURES}),
        "INVALID_ARGUMENT",
        "input tensor alias not found in signature: a. Inputs expected to be in the set {images}.",
    ),
    (
        predict_request(output_filter=["no"]),
        "INVALID_ARGUMENT",
        "output tensor alias not found in signature: no Outputs expected to be in the set "
        "{classes,probabilities,scores}.",
    ),
    (
        predict_request(output_filter=["scores", "scores"]),
        "INVALID_ARGUMENT",
        "duplicate output tensor alias: scores",
    ),
    (
        predict_request({"images": PICTURES.astype(np.float32)}),
        "INVALID_ARGUMENT",
        "Expects arg[0] to be uint8 but float is provided",
    ),
    (predict_request({"images": PICTURES[0]}), "INVALID_ARGUMENT", "got images of shape (6, 5, 3)"),
    (predict_request({"images": PICTURES[:0]}), "INVALID_ARGUMENT", "not empty"),
    (
        predict_request({"image_bytes": [b"no picture"]}, signature="image_bytes"),
        "INVALID_ARGUMENT",
        "got 10 bytes that are no picture",
    ),
]


@pytest.mark.parametrize(("request_", "code", "text"), ROWS)
def test_errors_of_predict(client, request_, code, text):
    got, details = client.error(PREDICT, request_)
    assert got == code
    assert details.startswith(text) or text in details
    assert client.calls[-1].code.name == code
    assert client.calls[-1].error == details


def metadata_request(*fields, **options):
    return tfs_messages.GetModelMetadataRequest(model_spec=spec(**options), metadata_field=fields)


def tasks(*tasks):
    return tfs_messages.MultiInferenceRequest(
        tasks=[
            tfs_messages.InferenceTask(
                model_spec=spec(name, signature=signature), method_name=method
            )
            for name, signature, method in tasks
        ],
        input=one_example(),
    )


def one_example():
    return tfs_messages.Input(example_list={"examples": [tfs_messages.Example()]})


CLASSIFY = "tensorflow/serving/classify"
OTHER_ROWS = [
    (
        "PredictionService/GetModelMetadata",
        metadata_request("signature_def", name="no"),
        "NOT_FOUND",
        "Servable not found for request: Latest(no)",
    ),
    (
        "PredictionService/GetModelMetadata",
        tfs_messages.GetModelMetadataRequest(),
        "INVALID_ARGUMENT",
        "Missing ModelSpec",
    ),
    (
        "PredictionService/GetModelMetadata",
        metadata_request(),
        "INVALID_ARGUMENT",
        "GetModelMetadataRequest must specify at least one metadata_field",
    ),
    (
        "PredictionService/GetModelMetadata",
        metadata_request("nonsense"),
        "INVALID_ARGUMENT",
        "Metadata field nonsense is not supported",
    ),
    (
        "ModelService/GetModelStatus",
        tfs_messages.GetModelStatusRequest(),
        "INVALID_ARGUMENT",
        "Missing ModelSpec",
    ),
    (
        "ModelService/GetModelStatus",
        tfs_messages.GetModelStatusRequest(model_spec=spec("no")),
        "NOT_FOUND",
        "Could not find any versions of model no",
    ),
    (
        "ModelService/GetModelStatus",
        tfs_messages.GetModelStatusRequest(model_spec=spec(version=3)),
        "NOT_FOUND",
        "Could not find version 3 of model tiny",
    ),
    (
        "ModelService/HandleReloadConfigRequest",
        tfs_messages.ReloadConfigRequest(),
        "INVALID_ARGUMENT",
        "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList "
        "is currently supported",
    ),
    (
        "PredictionService/Classify",
        tfs_messages.ClassificationRequest(),
        "INVALID_ARGUMENT",
        "Missing ModelSpec",
    ),
    (
        "PredictionService/Classify",
        tfs_messages.ClassificationRequest(model_spec=spec(signature="s")),
        "INVALID_ARGUMENT",
        "No signature was found with the name: s",
    ),
    (
        "PredictionService/Classify",
        tfs_messages.ClassificationRequest(model_spec=spec()),
        "INVALID_ARGUMENT",
        "Expected classification signature method_name to be tensorflow/serving/classify. Was: "
        "tensorflow/serving/predict",
    ),
    (
        "PredictionService/Regress",
        tfs_messages.RegressionRequest(model_spec=spec()),
        "INVALID_ARGUMENT",
        "Expected regression signature method_name to be tensorflow/serving/regress. Was: "
        "tensorflow/serving/predict",
    ),
    (
        "PredictionService/MultiInference",
        tasks(),
        "INVALID_ARGUMENT",
        "Inference request has no tasks specified",
    ),
    (
        "PredictionService/MultiInference",
        tasks(("", "", CLASSIFY)),
        "INVALID_ARGUMENT",
        "Found ModelSpec with an empty model name.",
    ),
    (
        "PredictionService/MultiInference",
        tasks(("tiny", "", CLASSIFY), ("grey", "", CLASSIFY)),
        "INVALID_ARGUMENT",
        "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
    ),
    (
        "PredictionService/MultiInference",
        tasks(("tiny", "s", CLASSIFY)),
        "INVALID_ARGUMENT",
        "Requested signature not found in model graph: s",
    ),
    (
        "PredictionService/MultiInference",
        tasks(("tiny", "", "tensorflow/serving/predict")),
        "UNIMPLEMENTED",
        "Unsupported signature method_name: tensorflow/serving/predict",
    ),
]


@pytest.mark.parametrize(("path", "request_", "code", "text"), OTHER_ROWS)
def test_errors_of_the_other_methods(client, path, request_, code, text):
    assert client.error(path, request_) == (code, text)


def test_a_long_error_is_cut(client):
    code, details = client.error(PREDICT, predict_request(name="x" * 5000))
    assert code == "NOT_FOUND"
    assert len(details) == 1024 + len("...TRUNCATED") and details.endswith("...TRUNCATED")


def test_a_shape_that_would_fill_the_memory_is_refused(client):
    request = predict_request({})
    tensor = request.inputs["images"]
    tensor.dtype = tensorflow_tensors.NUMBERS["uint8"]
    for size in (1, 10**6, 10**6, 3):
        tensor.tensor_shape.dim.add(size=size)
    code, details = client.error(PREDICT, request)
    assert code == "INVALID_ARGUMENT" and "tensor parsing error: images" in details


def test_a_reload_serves_what_it_lists(models_dir, tmp_path):
    tiny.artifact(tmp_path, "tiny", 1)
    other = tiny.artifact(tmp_path, "other", 4).parent
    with grpc_client.running(tmp_path) as client:
        request = tfs_messages.ReloadConfigRequest()
        request.config.model_config_list.config.add(
            name="other", base_path=str(other), model_platform="tensorflow"
        )
        response = client("ModelService/HandleReloadConfigRequest", request)
        assert response.status.error_code == 0
        assert client(PREDICT, predict_request(name="other")).model_spec.version.value == 4
        assert client.error(PREDICT, predict_request())[0] == "NOT_FOUND"


# Stock clients ----------------------------------------------------------------------------------

STOCK = """
import json, sys
import grpc, numpy as np, tensorflow as tf
from tensorflow_serving.apis import classification_pb2, get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
address, pictures = sys.argv[1], np.load(sys.argv[2])
channel = grpc.insecure_channel(address)
predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
models = model_service_pb2_grpc.ModelServiceStub(channel)
found = {}
request = predict_pb2.PredictRequest()
request.model_spec.name = "tiny"
request.inputs["images"].CopyFrom(tf.make_tensor_proto(pictures))
response = predictions.Predict(request, 30)
found["probabilities"] = tf.make_ndarray(response.outputs["probabilities"]).tolist()
found["version"] = response.model_spec.version.value
request.inputs["images"].CopyFrom(tf.make_tensor_proto(pictures.tolist(), tf.uint8))
response = predictions.Predict(request, 30)
found["from values"] = tf.make_ndarray(response.outputs["probabilities"]).tolist()
request = predict_pb2.PredictRequest()
request.model_spec.name, request.model_spec.signature_name = "tiny", "image_bytes"
files = [tf.io.encode_png(picture).numpy() for picture in pictures]
request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(files))
labels = tf.make_ndarray(predictions.Predict(request, 30).outputs["labels"])
found["labels"] = [name.decode() for name in labels[:, 0]]
request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
request.model_spec.name = "tiny"
answer = predictions.GetModelMetadata(request, 30)
signatures = get_model_metadata_pb2.SignatureDefMap()
answer.metadata["signature_def"].Unpack(signatures)
found["signatures"] = sorted(signatures.signature_def)
request = get_model_status_pb2.GetModelStatusRequest()
request.model_spec.name = "tiny"
answer = models.GetModelStatus(request, 30)
found["states"] = {v.version: v.state for v in answer.model_version_status}
request = classification_pb2.ClassificationRequest()
request.model_spec.name, request.model_spec.signature_name = "tiny", "classify"
for file in files:
    example = request.input.example_list.examples.add()
    example.features.feature["image_bytes"].bytes_list.value.append(file)
result = predictions.Classify(request, 30).result
found["classified"] = [best.classes[0].label for best in result.classifications]
try:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "no"
    predictions.Predict(request, 30)
except grpc.RpcError as error:
    found["error"] = [error.code().name, error.details()]
print(json.dumps(found))
"""


def test_the_stubs_of_tensorflow_serving_api(client, tmp_path):
    pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is not installed")
    np.save(tmp_path / "pictures.npy", PICTURES)
    done = subprocess.run(
        [sys.executable, "-c", STOCK, client.address, str(tmp_path / "pictures.npy")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    expected = tiny.probabilities(PICTURES)
    np.testing.assert_allclose(found["probabilities"], expected, rtol=1e-5)
    assert found["from values"] == found["probabilities"]
    assert found["labels"] == [tiny.LABELS[i] for i in expected.argmax(axis=1)]
    assert found["classified"] == found["labels"]
    assert found["version"] == 10
    assert {"image_bytes", "serving_default"} <= {*found["signatures"]}
    assert found["states"]["10"] == 30  # AVAILABLE
    assert found["error"] == ["NOT_FOUND", "Servable not found for request: Latest(no)"]
