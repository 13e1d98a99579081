"""Several fronts: one ready line, shared ports, one that is killed, numbers of all, the end."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import time

import grpc
import httpx
import pytest

from dlcv_tf.artifact import inference_messages
from tests.artifact import tiny
from tests.serve.test_server import dlcv_serve, failure, ready

PREDICT = "/v1/models/tiny:predict"
BODY = json.dumps({"instances": [tiny.ramp(4, 5).tolist()]}).encode()


def children(pid: int) -> set[int]:
    tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for task in tasks for child in task.read_text().split()}


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)


@contextlib.contextmanager
def running(tmp_path, *options: str):
    """Starts two fronts, whose directory for their numbers is the only thing in `temporary`."""
    tiny.artifact(tmp_path / "models")
    (tmp_path / "temporary").mkdir()
    options += ("--models", str(tmp_path / "models"), "--json", "--executor", "onnx")
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary")}
    with dlcv_serve(*options, "--fronts", "2", env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def server(tmp_path):
    with running(tmp_path, "--port", "0") as process:
        yield process, json.loads(ready(process))


def counted(url: str) -> float:
    text = httpx.get(url + "/metrics", timeout=10).text
    return sum(
        map(float, re.findall(r'^dlcv_requests_total{.*method="predict".*} (\S+)$', text, re.M))
    )


def test_fronts_share_the_ports_and_the_numbers_and_one_that_dies_comes_back(server):
    process, line = server
    first = children(process.pid)
    assert len(first) == 2
    for _ in range(30):  # each on a connection of its own, to whichever front
        assert httpx.post(line["rest"] + PREDICT, content=BODY).status_code == 200
    assert {counted(line["rest"]) for _ in range(6)} == {30}
    killed = min(first)
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: killed not in children(process.pid))
    for _ in range(10):  # the other one has the port alone
        assert httpx.post(line["rest"] + PREDICT, content=BODY).status_code == 200
    assert counted(line["rest"]) == 40
    wait_for(lambda: len(children(process.pid)) == 2)
    process.terminate()
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (0, "")
    assert "a front ended (status -9): another starts in 1 s" in errors
    with pytest.raises(httpx.ConnectError):
        httpx.get(line["rest"] + "/healthz")


def test_fronts_end_with_their_parent_and_leave_nothing(server, tmp_path):
    process, line = server
    fronts = children(process.pid)
    assert len([*(tmp_path / "temporary").iterdir()]) == 1
    process.kill()
    process.wait()
    wait_for(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in fronts))
    with pytest.raises(httpx.ConnectError):
        httpx.get(line["rest"] + "/healthz")
    assert [*(tmp_path / "temporary").iterdir()] == []


def test_fronts_whose_parent_is_killed_while_they_load_leave_nothing(tmp_path):
    with running(tmp_path, "--port", "0") as process:
        wait_for(lambda: len(children(process.pid)) == 2)
        fronts = children(process.pid)
        process.kill()
        process.wait()
        wait_for(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in fronts))
    assert [*(tmp_path / "temporary").iterdir()] == []


def test_fronts_follow_a_server_whose_connections_are_hardly_gone(tmp_path):
    port, _ = free_ports()
    models = tiny.artifact(tmp_path / "before").parents[1]
    with dlcv_serve("--models", str(models), "--port", str(port)) as one:
        ready(one)
        with httpx.Client() as client:
            client.get(f"http://127.0.0.1:{port}/healthz")
            one.terminate()  # the server closes first: its side of the connection is TIME-WAIT
            assert one.wait(20) == 0
    with running(tmp_path, "--port", str(port)) as process:
        assert json.loads(ready(process))["rest"].endswith(f":{port}")


def free_ports() -> list[int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as o:
        return [each.getsockname()[1] for each in (one, o)]


def grpc_health(port: int) -> str:
    """Returns what gRPC's health service says of the server, in one call of its own."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        answer = inference_messages.HealthCheckResponse.FromString(
            check(b"", timeout=10, wait_for_ready=True)
        )
    return inference_messages.HealthCheckResponse.ServingStatus.Name(answer.status)


def test_health_answers_before_a_front_does_and_when_none_is_left(tmp_path):
    port, grpc_port = free_ports()
    url = f"http://127.0.0.1:{port}"
    with running(tmp_path, "--port", str(port), "--grpc-port", str(grpc_port)) as process:

        def status(path: str) -> int:
            try:
                return httpx.get(url + path, timeout=10).status_code
            except httpx.TransportError:
                return 0

        def loading_then_ready() -> None:
            wait_for(lambda: status("/healthz") == 200)
            fronts = children(process.pid)
            for front in fronts:  # that start; they wait until all has been asked
                os.kill(front, signal.SIGSTOP)
            answer = httpx.post(url + PREDICT, content=BODY)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json() == {"error": "Model tiny is being loaded: try again"}
            assert status("/v2/health/ready") == 503
            assert grpc_health(grpc_port) == "NOT_SERVING"
            for front in fronts:
                os.kill(front, signal.SIGCONT)
            wait_for(lambda: status("/v2/health/ready") == 200)
            for _ in range(5):  # whichever front is asked, it can answer
                assert httpx.post(url + PREDICT, content=BODY).status_code == 200
                assert status("/v2/health/ready") == 200
            assert grpc_health(grpc_port) == "SERVING"

        loading_then_ready()
        assert json.loads(ready(process))["rest"] == url
        for front in children(process.pid):
            os.kill(front, signal.SIGKILL)
        loading_then_ready()
        process.terminate()
        assert process.wait(20) == 0
    assert [*(tmp_path / "temporary").iterdir()] == []


def test_what_fronts_cannot_start_with_is_one_line(tmp_path):
    message = failure("--models", str(tmp_path / "none"), "--port", "0", "--fronts", "2")
    assert "got no models directory" in message
