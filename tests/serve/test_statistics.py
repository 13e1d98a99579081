"""What Triton's clients ask of a version's requests: `ModelStatistics`, over HTTP and gRPC."""

import json
import time

import numpy as np
import pytest

from dlcv_tf.serve.call import Call
from dlcv_tf.serve.errors import Code
from dlcv_tf.serve.statistics import Statistics
from tests.artifact import tiny
from tests.serve.test_kserve_rest import ask
from tests.serve.test_server import dlcv_serve, ready

triton_http = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")
triton_grpc = pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    """Triton's two clients of one server, which has two models."""
    models = tmp_path_factory.mktemp("models")
    tiny.artifact(models, "tiny", 3)
    tiny.artifact(models, "grey", 1, channels=1)
    options = ["--models", str(models), "--port", "0", "--json", "--executor", "onnx"]
    with dlcv_serve(*options) as process:
        try:
            line = json.loads(ready(process))
            host = line["rest"].removeprefix("http://")
            with triton_http.InferenceServerClient(host) as http:
                with triton_grpc.InferenceServerClient(line["grpc"]) as grpc:
                    yield http, grpc
        finally:
            process.kill()


def statistics(clients) -> dict:
    """Returns the numbers of `tiny`, which both clients must be told alike."""
    http, grpc = clients
    (listed,) = http.get_inference_statistics("tiny")["model_stats"]
    assert http.get_inference_statistics("tiny", "3") == {"model_stats": [listed]}
    for version in ("", "3"):
        (message,) = grpc.get_inference_statistics("tiny", version).model_stats
        assert message == type(message)(**listed)
    return listed


def test_requests_are_counted_over_both_protocols(clients):
    before = statistics(clients)
    assert (before["name"], before["version"]) == ("tiny", "3")
    assert before["inference_count"] == before["execution_count"] == 0  # no warm-up among them
    for _ in range(3):
        ask(triton_http, clients[0])
        ask(triton_grpc, clients[1])
    wrong = triton_http.InferInput("images", [1, 4, 5, 1], "UINT8")
    wrong.set_data_from_numpy(np.zeros((1, 4, 5, 1), np.uint8))
    with pytest.raises(triton_http.InferenceServerException):
        clients[0].infer("tiny", [wrong])
    after = statistics(clients)
    assert after["inference_count"] == 12  # two pictures each
    assert after["execution_count"] == 6
    assert abs(after["last_inference"] - 1000 * time.time()) < 60_000
    (batch,) = after["batch_stats"]
    assert (batch["batch_size"], batch["compute_infer"]["count"]) == (2, 6)
    parts = after["inference_stats"]
    assert parts["success"]["count"] == 6
    inside = ("queue", "compute_input", "compute_infer", "compute_output")
    assert {parts[name]["count"] for name in inside} == {6}
    assert 0 < sum(parts[name]["ns"] for name in inside) <= parts["success"]["ns"]
    assert 0 < batch["compute_infer"]["ns"] <= 6e9


def test_all_models_are_listed_and_what_is_not_served_is_not_found(clients):
    http, grpc = clients
    listed = [(each["name"], each["version"]) for each in stats_of_all(http)]
    assert listed == [("grey", "1"), ("tiny", "3")]
    assert len(grpc.get_inference_statistics().model_stats) == 2
    assert "statistics" in http.get_server_metadata()["extensions"]
    assert "statistics" in grpc.get_server_metadata().extensions
    for client, module in ((http, triton_http), (grpc, triton_grpc)):
        for spec in (("nope",), ("tiny", "9")):
            with pytest.raises(module.InferenceServerException, match="not found"):
                client.get_inference_statistics(*spec)


def stats_of_all(http) -> list[dict]:
    return http.get_inference_statistics()["model_stats"]


def test_stages_are_tritons_parts_and_failures_are_apart():
    numbers = Statistics()
    stages = {"parse": 0.5, "decode": 0.25, "queue": 1.0, "run": 2.0, "render": 0.125}
    numbers.answered(Call(pictures=4, stages=stages))
    numbers.answered(Call(pictures=4, stages=stages, code=Code.INTERNAL))
    numbers.executed(4, 2.0)
    for size in range(1000):  # a client's sizes do not take all the memory
        numbers.executed(size, 0.0)
    found = numbers.to_dict()
    parts = found["inference_stats"]
    nanoseconds = {name: parts[name]["ns"] for name in parts if name.startswith(("c", "q"))}
    assert nanoseconds == {
        "queue": 1_000_000_000,
        "compute_input": 750_000_000,
        "compute_infer": 2_000_000_000,
        "compute_output": 125_000_000,
    }
    assert (parts["success"]["count"], parts["fail"]["count"]) == (1, 1)
    assert (found["inference_count"], found["execution_count"]) == (4, 1001)
    assert len(found["batch_stats"]) < 1000
