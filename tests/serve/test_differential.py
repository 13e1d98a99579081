"""Every protocol answers what TensorFlow answers when it runs the same artifact's SavedModel.

The server runs each artifact by ONNX Runtime, the oracle is `tf.saved_model.load` in this process:
two implementations of the network, of the decoding of pictures and of the resizing, which agree up
to float32's rounding.
"""

import base64
import io
import json
import os
import pathlib
import shutil

import httpx
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from PIL import Image

from dlcv_tf.artifact import tfs_messages
from dlcv_tf.serve import server, tensorflow_tensors
from tests.artifact import tiny
from tests.serve import artifacts, grpc_client

SHIPPED = pathlib.Path(__file__).parents[2] / "savedmodels"
NAMES = ("cifar10_airbench", "bccd_ssd", "camvid_unet", "negative")

# How far an answer may be from TensorFlow's. The artifacts' certified bounds are 1e-4 of a
# probability, half a pixel of a box and 0.1 % of the pixels of a class map, over whole test sets;
# on these pictures 7e-7, 2e-5 and none were measured. So there is room for other processors.
ABSOLUTE = {"probabilities": 1e-5, "scores": 1e-5, "boxes": 1e-3}
# Not measured at load, so that two servers run the networks alike.
ONE_WAY = {"executor": "onnx", "threads": 1}
SHARE = 1e-3  # of a class map


def photograph(height, width, seed):
    """A picture with smooth and busy parts, and no symmetry."""
    random = np.random.default_rng(seed)
    busy = random.integers(0, 256, (height // 6 + 1, width // 6 + 1, 3)).astype(np.uint8)
    large = Image.fromarray(busy).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(large) // 2 + tiny.ramp(height, width) // 2


PICTURES = np.stack([photograph(70, 93, 1), photograph(70, 93, 2)[:, ::-1]])
FILES = [tiny.encoded(Image.fromarray(PICTURES[0])), tiny.encoded(Image.fromarray(PICTURES[1]))]
JPEG = tiny.encoded(Image.fromarray(PICTURES[0]), "JPEG", quality=90)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models")
    for name in NAMES[:3]:
        shutil.copytree(SHIPPED / name, directory / name, copy_function=os.link)
    artifacts.negative(directory, saved_model=True)
    return directory


@pytest.fixture(scope="module")
def client(models):
    with server.running(models, **ONE_WAY) as url, httpx.Client(base_url=url, timeout=60) as http:
        yield http


@pytest.fixture(scope="module")
def rpc(models):
    with grpc_client.running(models, **ONE_WAY) as running:
        yield running


@pytest.fixture(scope="module")
def oracle(models):
    """Runs a signature of a SavedModel by TensorFlow itself; remembers what it answered."""
    import tensorflow as tf

    loaded, known = {}, {}

    def run(name, signature, value):
        key = name, signature, repr(value)[:2000], len(value)
        if key not in known:
            if name not in loaded:
                loaded[name] = tf.saved_model.load(str(models / name / "1"))
            input_name = "images" if signature == "serving_default" else signature
            found = loaded[name].signatures[signature](**{input_name: tf.constant(value)})
            known[key] = {key: tensor.numpy() for key, tensor in found.items()}
        return known[key]

    return run


def check(found, expected):
    """Compares named outputs (nested lists or arrays) with TensorFlow's."""
    assert found.keys() == expected.keys()
    kept = slice(None)
    if "num_detections" in expected:
        np.testing.assert_array_equal(found["num_detections"], expected["num_detections"])
        kept = np.arange(100) < np.asarray(expected["num_detections"])[:, None]
        expected = {k: v for k, v in expected.items() if k != "num_detections"}
    for name, wanted in expected.items():
        if name.endswith("_bytes"):
            pairs = zip(found[name], wanted, strict=True)
            for got, want in pairs:
                check_pixels(pixels(got), pixels(want))
        elif name in ("class_map", "picture"):
            check_pixels(np.array(found[name]), wanted)
        elif wanted.dtype.kind == "O":
            texts = np.array(found[name], dtype=object)[kept]
            assert [as_text(v) for v in texts.ravel()] == [v.decode() for v in wanted[kept].ravel()]
        else:
            bound = ABSOLUTE.get(name, 0)
            np.testing.assert_allclose(
                np.array(found[name])[kept], wanted[kept], atol=bound, rtol=0
            )


def check_pixels(got, want):
    assert got.shape == want.shape
    assert (got != want).mean() <= SHARE


def pixels(file):
    if isinstance(file, dict):
        file = base64.b64decode(file["b64"])
    return np.asarray(Image.open(io.BytesIO(file)))


def as_text(value):
    return value.decode() if isinstance(value, bytes) else value


def b64(files):
    return [{"b64": base64.b64encode(file).decode()} for file in files]


# Every way in gives signature, value and outputs, of named arrays or nested lists -------------


def rest_rows(client, name, signature, value):
    listed = b64(value) if signature == "image_bytes" else value.tolist()
    body = {"signature_name": signature, "instances": listed}
    answer = client.post(f"/v1/models/{name}:predict", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def rest_columns(client, name, signature, value):
    listed = b64(value) if signature == "image_bytes" else value.tolist()
    input_name = "images" if signature == "serving_default" else signature
    body = {"signature_name": signature, "inputs": {input_name: listed}}
    answer = client.post(f"/v1/models/{name}:predict", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["outputs"]


def named(values, expected):
    """Gives an only output, which JSON leaves without a name, its name."""
    if len(expected) == 1:
        return {next(iter(expected)): values}
    return values


@pytest.mark.parametrize("signature", ["serving_default", "image_bytes"])
@pytest.mark.parametrize("name", NAMES)
def test_tf_servings_json(client, oracle, name, signature):
    value = PICTURES if signature == "serving_default" else FILES
    expected = oracle(name, signature, value)
    check(named(rest_columns(client, name, signature, value), expected), expected)
    rows = rest_rows(client, name, signature, value)
    assert len(rows) == len(value)
    rows = [named(row, expected) for row in rows]
    check({key: [row[key] for row in rows] for key in rows[0]}, expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_jpeg_as_the_body(client, oracle, name):
    """TensorFlow's decoder of JPEG and Pillow's are both libjpeg-turbo, of perhaps two versions."""
    headers = {"content-type": "image/jpeg"}
    answer = client.post(f"/v1/models/{name}:predict", content=JPEG, headers=headers)
    assert answer.status_code == 200, answer.text
    expected = oracle(name, "image_bytes", [JPEG])
    (row,) = answer.json()["predictions"]
    check({key: [value] for key, value in named(row, expected).items()}, expected)


def kserve(module, client, name, signature, value, binary=None):
    """Asks by Triton's own client: HTTP with JSON or binary tensors, or gRPC."""
    input_name = "images" if signature == "serving_default" else signature
    array = value if signature == "serving_default" else np.array(value, dtype=object)
    datatype = "UINT8" if signature == "serving_default" else "BYTES"
    tensor = module.InferInput(input_name, list(array.shape), datatype)
    options = {} if binary is None else {"binary_data": binary}
    tensor.set_data_from_numpy(array, **options)
    metadata = client_metadata(client, name, signature)
    wanted = [module.InferRequestedOutput(key, **options) for key in metadata]
    answer = client.infer(name, [tensor], outputs=wanted)
    return {key: answer.as_numpy(key) for key in metadata}


def client_metadata(client, name, signature):
    manifest = json.loads((SHIPPED / name / "1" / "manifest.json").read_text())
    return [*manifest["signatures"][signature]["outputs"]]


@pytest.mark.parametrize("signature", ["serving_default", "image_bytes"])
@pytest.mark.parametrize("name", NAMES[:3])
def test_all_protocols_answer_the_same_bits(client, rpc, oracle, name, signature):
    value = PICTURES if signature == "serving_default" else FILES
    address = str(client.base_url).removeprefix("http://").rstrip("/")
    with tritonclient.http.InferenceServerClient(address) as http:
        answers = {"binary": kserve(tritonclient.http, http, name, signature, value, True)}
        if signature == "serving_default":  # Triton's client sends no bytes that are not UTF-8
            answers["JSON"] = kserve(tritonclient.http, http, name, signature, value, False)
    with tritonclient.grpc.InferenceServerClient(rpc.address, verbose=False) as stub:
        answers["KServe gRPC"] = kserve(tritonclient.grpc, stub, name, signature, value)
    answers["TF Serving gRPC"] = tf_serving_grpc(rpc, name, signature, value)
    answers["TF Serving JSON"] = named(
        rest_columns(client, name, signature, value), answers["binary"]
    )
    first = answers.pop("binary")
    check(first, oracle(name, signature, value))
    for way, answer in answers.items():
        assert answer.keys() == first.keys(), way
        for key, wanted in first.items():
            got = answer[key]
            if key.endswith("_bytes"):
                got = [base64.b64decode(v["b64"]) if isinstance(v, dict) else v for v in got]
                assert [*got] == [*wanted], way
            elif wanted.dtype.kind == "O":
                texts = np.array(got, dtype=object)
                assert [*map(as_text, texts.ravel())] == [*map(as_text, wanted.ravel())], way
            else:  # JSON's digits are those that round-trip
                np.testing.assert_array_equal(np.array(got).astype(wanted.dtype), wanted, way)


def tf_serving_grpc(rpc, name, signature, value):
    request = tfs_messages.PredictRequest(model_spec={"name": name, "signature_name": signature})
    input_name = "images" if signature == "serving_default" else signature
    request.inputs[input_name].CopyFrom(tfs_messages.tensor(value))
    outputs = rpc("PredictionService/Predict", request).outputs
    return {key: tensorflow_tensors.to_array(t, key, 10**8) for key, t in outputs.items()}


# A picture for a picture, as a file ------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/models/{}:predict", "/v2/models/{}/infer"])
@pytest.mark.parametrize("name", ["negative", "camvid_unet"])
def test_pictures_are_answered_as_png_files(client, oracle, name, path):
    headers = {"content-type": "image/png", "accept": "image/png"}
    answer = client.post(path.format(name), content=FILES[1], headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    (wanted,) = oracle(name, "image_bytes", FILES[1:]).values()
    check_pixels(pixels(answer.content), pixels(wanted[0]))


@pytest.mark.parametrize("path", ["/v1/models/{}:predict", "/v2/models/{}/infer"])
@pytest.mark.parametrize("name", ["cifar10_airbench", "bccd_ssd"])
def test_what_answers_no_picture_says_406_or_answers_json(client, name, path):
    headers = {"content-type": "image/jpeg", "accept": "image/png"}
    answer = client.post(path.format(name), content=JPEG, headers=headers)
    assert answer.status_code == 406
    assert "none of which is a picture: accept application/json" in answer.json()["error"]
    headers["accept"] = "image/png, application/json;q=0.5"
    answer = client.post(path.format(name), content=JPEG, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"


def test_pixels_in_json_may_be_answered_as_a_png_file(client):
    body = json.dumps({"instances": PICTURES[:1].tolist()})
    headers = {"accept": "image/png"}
    for name, wanted in (("negative", 255 - PICTURES[0]), ("camvid_unet", None)):
        answer = client.post(f"/v1/models/{name}:predict", content=body, headers=headers)
        assert answer.headers["content-type"] == "image/png"
        found = pixels(answer.content)
        assert found.shape[:2] == PICTURES[0].shape[:2]
        if wanted is not None:
            np.testing.assert_array_equal(found, wanted)
    body = json.dumps({"instances": PICTURES.tolist()})
    answer = client.post("/v1/models/negative:predict", content=body, headers=headers)
    assert answer.status_code == 400
    assert "got 2 pictures with Accept: image/png, expected one" in answer.json()["error"]


# What only TensorFlow runs: numbers of examples, several inputs ---------------------------------


@pytest.fixture(scope="module")
def in_graph(models, tmp_path_factory):
    directory = tmp_path_factory.mktemp("in_graph")
    (directory / "negative").symlink_to(models / "negative")
    with grpc_client.running(directory, executor="tensorflow", batching="off") as rpc:
        with server.running(directory, executor="tensorflow", batching="off") as url:
            with httpx.Client(base_url=url, timeout=60) as http:
                yield http, rpc


def test_regress_over_both_protocols(in_graph):
    client, rpc = in_graph
    path = "/v1/models/negative:regress"
    body = {"signature_name": "regress", "examples": [{"x": [0.5, 2.0]}, {"x": [1.0, -3.25]}]}
    answer = client.post(path, json=body)
    assert (answer.status_code, answer.json()) == (200, {"results": [2.5, -2.25]})
    body["context"] = {"x": [1.0, 1.5]}
    body["examples"].append({})
    assert client.post(path, json=body).json() == {"results": [2.5, -2.25, 2.5]}
    answer = client.post(path, json={"signature_name": "regress", "examples": [{"x": [1.5]}]})
    assert answer.status_code == 400 and "x" in answer.json()["error"]
    request = tfs_messages.RegressionRequest(
        model_spec={"name": "negative", "signature_name": "regress"}
    )
    for values in ([0.5, 2.0], [1.0, -3.25]):
        example = request.input.example_list.examples.add()
        example.features.feature["x"].float_list.value.extend(values)
    response = rpc("PredictionService/Regress", request)
    assert [one.value for one in response.result.regressions] == [2.5, -2.25]
    assert response.model_spec.signature_name == "regress"


def test_several_inputs_in_rows_and_columns(in_graph):
    client, _ = in_graph
    path = "/v1/models/negative:predict"
    rows = [{"a": 1, "b": 2.0}, {"a": -4.5, "b": 0}]
    answer = client.post(path, json={"signature_name": "halves", "inputs": {"a": [1], "b": [2]}})
    assert answer.json() == {"outputs": {"half": [1.5], "first": [1.0]}}
    answer = client.post(path, json={"signature_name": "halves", "instances": rows[:1]})
    assert answer.json() == {"predictions": [{"half": 1.5, "first": 1.0}]}
    answer = client.post(path, json={"signature_name": "halves", "instances": rows})
    assert answer.status_code == 400
    assert answer.json() == {
        "error": "Tensor name: first has inconsistent batch size: 1 expecting: 2"
    }
    body = {"signature_name": "halves", "instances": [{"a": 1}]}
    assert client.post(path, json=body).json()["error"].endswith("keys must be equal to: a,b")
