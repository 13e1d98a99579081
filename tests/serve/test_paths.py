"""Paths and names that would lead out of the models: of requests, configurations, artifacts."""

import json
import shutil

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto

from dlcv_tf.artifact import inference_messages, tfs_messages
from dlcv_tf.errors import InputError
from dlcv_tf.serve import server
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import Code, ServingError
from dlcv_tf.serve.repository import Repository
from tests.artifact import tiny
from tests.serve import grpc_client
from tests.serve.test_security import BODY, PREDICT, disk, reload, send


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return disk(tmp_path_factory.mktemp("disk-nobody-may-know"))


@pytest.fixture(scope="module")
def client(place):
    with (
        server.running(place / "models", executor="onnx", batching="off") as base,
        httpx.Client(base_url=base, timeout=30) as http,
    ):
        yield http


@pytest.fixture(scope="module")
def rpc(place):
    with grpc_client.running(place / "models", executor="onnx", batching="off") as running:
        yield running


AWAY = [
    "..%2foutside",
    "%2e%2e%2foutside",
    "..%252foutside",
    "..%5coutside",
    "..\\outside",
    "../outside",
    "tiny%2f..%2f..%2foutside",
    "%2fetc",
    "/etc",
    "tiny%00",
    "..",
    ".",
    "%c0%ae%c0%ae%c0%afoutside",
    "..;/outside",
]
TEMPLATES = [
    "GET /v1/models/{}",
    "GET /v1/models/{}/metadata",
    "GET /v1/models/tiny/versions/{}",
    "GET /v1/models/tiny/versions/{}/metadata",
    "GET /v1/models/tiny/labels/{}/metadata",
    "POST /v1/models/{}:predict",
    "POST /v1/models/tiny/versions/{}:predict",
    "POST /v1/models/tiny/labels/{}:predict",
    "GET /v2/models/{}",
    "GET /v2/models/{}/config",
    "GET /v2/models/tiny/versions/{}",
    "POST /v2/models/{}/infer",
    "POST /v2/repository/models/{}/load",
    "POST /v2/repository/models/{}/unload",
    "GET /page/{}",
    "GET /page/samples/{}",
    "GET /page/{}/1/manifest.json",
    "GET /{}/1/manifest.json",
    "GET /openapi.json/{}",
]


def test_no_path_leads_out_of_the_models(client):
    """A label in a status URL is ignored, as in TF Serving; so nothing here is answered at all."""
    answered = []
    for template in TEMPLATES:
        for name in AWAY:
            head = f"{template.format(name)} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
            length = len(BODY) if template.startswith("POST") else 0
            data = f"{head}content-length: {length}\r\n\r\n".encode() + BODY[:length]
            answer = send(client, data)
            status = int(answer.split(b" ", 2)[1])
            assert b"root:" not in answer and b"disk-nobody-may-know" not in answer
            if not 400 <= status < 500:
                answered.append((template, name, answer[:200]))
    assert not answered
    assert client.post(PREDICT, content=BODY).status_code == 200


def test_no_name_in_a_message_leads_out_of_the_models(rpc):
    names = ["../outside", "..\\outside", "/etc", "tiny/../../outside", "tiny\0", ".", ".."]
    for name in names:
        request = tfs_messages.PredictRequest()
        request.model_spec.name = name
        assert rpc.error("PredictionService/Predict", request)[0] == "NOT_FOUND"
        request.model_spec.name = "tiny"
        request.model_spec.version_label = name
        assert rpc.error("PredictionService/Predict", request)[0] == "INVALID_ARGUMENT"
        status = tfs_messages.GetModelStatusRequest()
        status.model_spec.name = name
        assert rpc.error("ModelService/GetModelStatus", status)[0] == "NOT_FOUND"
        infer = inference_messages.ModelInferRequest(model_name=name)
        assert rpc.error("GRPCInferenceService/ModelInfer", infer)[0] == "NOT_FOUND"
        infer = inference_messages.ModelInferRequest(model_name="tiny", model_version=name)
        assert rpc.error("GRPCInferenceService/ModelInfer", infer)[0] == "INVALID_ARGUMENT"
        for verb in ("Load", "Unload"):
            load = getattr(inference_messages, f"RepositoryModel{verb}Request")(model_name=name)
            path = f"GRPCInferenceService/RepositoryModel{verb}"
            assert rpc.error(path, load)[0] == "NOT_FOUND"


def test_a_client_names_no_base_path_outside_of_the_models(place):
    repository = Repository(Config(str(place / "models"), executor="onnx", batching="off"))
    repository.load()
    link = place / "models" / "link"
    link.symlink_to(place / "outside")
    outside = str(place / "outside")
    try:
        for path in (
            "../outside",
            outside,
            "tiny/../../outside",
            "/",
            "/etc",
            f"{link}/../outside",
        ):
            with pytest.raises(ServingError, match="got a base_path that is not below") as caught:
                repository.reload(reload(path))
            assert caught.value.code == Code.PERMISSION_DENIED
        for path in ("file:///etc", "a\0b", "tiny\nrefused tiny/1"):
            with pytest.raises(InputError, match="expected a directory of this machine"):
                repository.reload(reload(path))
        for path in (
            "tiny",
            str(place / "models" / "tiny"),
            "link",
        ):  # links are the operator's own
            repository.reload(reload(path))
            assert repository.model_ready("moved")
    finally:
        link.unlink()
        repository.close()


def test_where_the_operator_keeps_models_clients_may_go(place, tmp_path):
    file = tmp_path / "models.config"
    file.write_text(f'model_config_list {{ config {{ name: "o" base_path: "{place}/outside" }} }}')
    options = {"models_config": str(file), "executor": "onnx", "batching": "off"}
    repository = Repository(Config(**options))
    repository.load()
    shutil.copytree(place / "outside", tmp_path / "beside")
    for path in (str(place / "models" / "tiny"), "beside"):
        repository.reload(reload(path))
        assert repository.model_ready("moved")
    with pytest.raises(ServingError, match="not below the directory of the models"):
        repository.reload(reload("/usr"))
    repository.close()


def test_a_manifest_names_files_of_its_artifact_alone(tmp_path):
    """`..` and absolute names are in test_manifest; links are the operator's: checksums hold."""
    directory = tiny.artifact(tmp_path / "whole", "tiny", 1)
    manifest = directory / "manifest.json"
    values = json.loads(manifest.read_text())
    for name in ("model\0.onnx", "model.onnx/../../../x", "..", "a/../../b"):
        manifest.write_text(json.dumps(values | {"files": {name: {"bytes": 1, "sha256": ""}}}))
        with pytest.raises(InputError, match="none of the models"):
            Repository(Config(str(tmp_path / "whole"), executor="onnx")).load()
    manifest.write_text(json.dumps(values))
    linked = tmp_path / "linked" / "tiny" / "1"
    linked.mkdir(parents=True)
    for file in directory.iterdir():
        (linked / file.name).symlink_to(file)
    repository = Repository(Config(str(tmp_path / "linked"), executor="onnx", batching="off"))
    repository.load()
    assert repository.model_ready("tiny")
    repository.close()
    (directory / "model.onnx").write_bytes(b"another file")
    with pytest.raises(InputError, match="does not match its checksum"):
        Repository(Config(str(tmp_path / "linked"), executor="onnx")).load()


def test_a_network_reads_no_file_outside_of_its_directory(tmp_path):
    """ONNX keeps large tensors in files beside it, and names them in the graph."""
    secret = np.arange(18, dtype=np.float32)
    (tmp_path / "secret.bin").write_bytes(secret.tobytes())
    directory = tiny.artifact(tmp_path / "models", "tiny", 1)
    model = onnx.load(directory / "model.onnx")
    (weights,) = [tensor for tensor in model.graph.initializer if tensor.name == "weights"]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for path in ("../../../secret.bin", str(tmp_path / "secret.bin")):
        del weights.external_data[:]
        weights.external_data.add(key="location", value=path)
        (directory / "model.onnx").write_bytes(model.SerializeToString())
        tiny.manifest().write(directory)
        with pytest.raises(InputError, match="none of the models"):
            Repository(Config(str(tmp_path / "models"), executor="onnx")).load()
    shutil.copy(tmp_path / "secret.bin", directory / "own.bin")  # so it is not the form that is bad
    weights.external_data[0].value = "own.bin"
    (directory / "model.onnx").write_bytes(model.SerializeToString())
    tiny.manifest().write(directory)
    repository = Repository(Config(str(tmp_path / "models"), executor="onnx", batching="off"))
    repository.load()
    repository.close()
