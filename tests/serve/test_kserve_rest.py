"""KServe v2 over HTTP by Triton's own client, and gRPC beside HTTP in `dlcv serve`."""

import json
import os
import signal
import subprocess
import sys

import httpx
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http

from dlcv_tf.serve import server
from tests.artifact import tiny

IMAGES = np.stack([tiny.ramp(4, 5), tiny.ramp(4, 5)[::-1]])


def ask(module, client, binary: bool | None = None) -> np.ndarray:
    """Returns the probabilities that Triton's client gets for two pictures."""
    tensor = module.InferInput("images", list(IMAGES.shape), "UINT8")
    options = {} if binary is None else {"binary_data": binary}
    tensor.set_data_from_numpy(IMAGES, **options)
    wanted = [module.InferRequestedOutput("probabilities", **options)]
    return client.infer("tiny", [tensor], outputs=wanted).as_numpy("probabilities")


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_over_http(url, binary):
    with tritonclient.http.InferenceServerClient(url.removeprefix("http://")) as client:
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready("tiny")
        assert client.get_model_metadata("tiny")["inputs"][0]["name"] == "images"
        answer = ask(tritonclient.http, client, binary)
    np.testing.assert_allclose(answer, tiny.probabilities(IMAGES), atol=1e-5)


def test_what_is_not_there_is_not_found(client):
    answer = client.post("/v2/models/nope/infer", json={"inputs": []})
    assert answer.status_code in (400, 404)
    assert client.get("/v2/models/nope").status_code == 404
    assert client.get("/v2/nothing").status_code == 404


def test_dlcv_serve_answers_on_both_ports_and_ends_on_sigterm(tmp_path):
    tiny.artifact(tmp_path)
    command = [sys.executable, "-m", "dlcv_tf.cli.main", "serve", "--models", str(tmp_path)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--json"], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    try:
        ready = json.loads(process.stdout.readline())
        with tritonclient.grpc.InferenceServerClient(ready["grpc"]) as client:
            answer = ask(tritonclient.grpc, client)
        np.testing.assert_allclose(answer, tiny.probabilities(IMAGES), atol=1e-5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def test_a_model_without_versions_is_listed_beside_the_others(tmp_path):
    tiny.artifact(tmp_path, "net", 1)
    config = tmp_path / "models.config"
    entries = ('name: "net" base_path: "net"', 'name: "lost" base_path: "nowhere"')
    listed = " ".join(f"config {{ {entry} }}" for entry in entries)
    config.write_text(f"model_config_list {{ {listed} }}")
    with server.running(tmp_path, models_config=str(config)) as url:
        lost, net = httpx.post(url + "/v2/repository/index").json()
        assert (net["name"], net["version"], net["state"]) == ("net", "1", "READY")
        assert (lost["name"], lost["state"]) == ("lost", "UNAVAILABLE")
        assert "Could not find base path" in lost["reason"]
        assert len(httpx.post(url + "/v2/repository/index", json={"ready": True}).json()) == 1
        models = httpx.get(url + "/v1/models").json()["models"]
        assert [len(model["model_version_status"]) for model in models] == [0, 1]
        assert httpx.get(url + "/v2/health/ready").status_code == 503
