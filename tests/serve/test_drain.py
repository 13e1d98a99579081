"""SIGTERM: what was accepted is answered, on both ports; then, or at a second one, it is cut."""

import concurrent.futures
import http.client
import json
import signal
import socket
import time

import grpc
import pytest

from dlcv_tf.artifact import tfs_messages
from tests.artifact import tiny
from tests.serve.test_server import dlcv_serve, ready

PATH = "/v1/models/tiny:predict"
PREDICT = "/tensorflow.serving.PredictionService/Predict"
SLOW = "max_batch_size {{ value: 128 }} batch_timeout_micros {{ value: {micros} }}"


@pytest.fixture
def slow(tmp_path):
    """Starts a server whose batches wait so many seconds for more pictures."""
    tiny.artifact(tmp_path / "models")
    started = []

    def start(seconds: float, *arguments: str):
        parameters = tmp_path / "batching.pbtxt"
        parameters.write_text(SLOW.format(micros=int(1e6 * seconds)))
        options = [
            "--models",
            str(tmp_path / "models"),
            "--port",
            "0",
            "--json",
            "--executor",
            "onnx",
        ]
        options += ["--batching", str(parameters), "--request-threads", "120"]
        process = dlcv_serve(*options, *arguments)
        started.append(process)
        return process, json.loads(ready(process))

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ask_http(url: str, shade: int) -> tuple[list, list]:
    image = tiny.ramp(4, 5) // 2 + shade
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    connection.request("POST", PATH, json.dumps({"instances": [image.tolist()]}))
    answer = connection.getresponse()
    body = json.loads(answer.read())
    assert answer.status == 200, body
    assert answer.headers["connection"] == "close"
    got = body["predictions"][0]["probabilities"]
    return got, tiny.probabilities(image[None])[0].tolist()


def ask_grpc(channel: grpc.Channel, shade: int) -> tuple[list, list]:
    image = tiny.ramp(4, 5) // 2 + shade
    request = tfs_messages.PredictRequest()
    request.model_spec.name = "tiny"
    tensor = request.inputs["images"]
    tensor.dtype = 4  # DT_UINT8
    for size in (1, *image.shape):
        tensor.tensor_shape.dim.add(size=size)
    tensor.tensor_content = image.tobytes()
    response = channel.unary_unary(PREDICT)(request.SerializeToString(), timeout=30)
    outputs = tfs_messages.PredictResponse.FromString(response).outputs
    return list(outputs["probabilities"].float_val), tiny.probabilities(image[None])[0].tolist()


def test_a_hundred_requests_under_way_are_answered(slow):
    process, line = slow(3.0)
    with (
        grpc.insecure_channel(line["grpc"]) as channel,
        concurrent.futures.ThreadPoolExecutor(100) as threads,
    ):
        asked = [threads.submit(ask_http, line["rest"], shade) for shade in range(50)]
        asked += [threads.submit(ask_grpc, channel, shade) for shade in range(50)]
        time.sleep(0.9)  # the first of them waits for others for three seconds
        assert not any(future.done() for future in asked)
        process.send_signal(signal.SIGTERM)
        for future in asked:
            got, expected = future.result(20)
            assert got == pytest.approx(expected, abs=1e-5)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert output == errors == ""


def test_during_the_drain_it_is_not_ready_and_takes_no_connection(slow):
    process, line = slow(0.5)
    host, port = line["rest"].removeprefix("http://").split(":")
    kept, half = (http.client.HTTPConnection(host, int(port), timeout=10) for _ in range(2))
    kept.request("GET", "/v2/health/ready")
    assert kept.getresponse().read() == b'{"ready": true}'
    body = json.dumps({"instances": [tiny.ramp(4, 5).tolist()]}).encode()
    half.putrequest("POST", PATH)
    half.putheader("content-length", str(len(body)))
    half.endheaders(body[:10])
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    kept.request("GET", "/v2/health/ready")
    answer = kept.getresponse()
    assert answer.status == 503 and answer.headers["connection"] == "close"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)
    half.send(body[10:])  # it was accepted: the rest of its body is waited for
    assert half.getresponse().status == 200
    assert process.wait(20) == 0


@pytest.mark.parametrize("again", [False, True])
def test_what_takes_longer_than_the_drain_is_cut(slow, again):
    process, line = slow(2.0, "--drain", "60" if again else "0.5")
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        asked = threads.submit(ask_http, line["rest"], 1)
        time.sleep(0.3)
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        if again:
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
        assert time.monotonic() - start < 1.5
        with pytest.raises(http.client.RemoteDisconnected):
            asked.result(5)
    assert process.returncode == 1
    assert "cut" in errors.splitlines()[-1]
