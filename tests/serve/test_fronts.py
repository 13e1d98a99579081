"""Several fronts: one ready line, shared ports, one that is killed, numbers of all, the end."""

import json
import os
import pathlib
import re
import signal
import time

import httpx
import pytest

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


@pytest.fixture
def server(tmp_path):
    tiny.artifact(tmp_path)
    options = ["--models", str(tmp_path), "--port", "0", "--json", "--executor", "onnx"]
    with dlcv_serve(*options, "--fronts", "2") as process:
        yield process, json.loads(ready(process))
        process.kill()


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


def test_fronts_end_with_their_parent(server):
    process, line = server
    process.kill()
    process.wait()

    def is_over():
        try:
            httpx.get(line["rest"] + "/healthz")
        except httpx.ConnectError:
            return True
        return False

    wait_for(is_over)


def test_what_fronts_cannot_start_with_is_one_line(tmp_path):
    message = failure("--models", str(tmp_path / "none"), "--port", "0", "--fronts", "2")
    assert "got no models directory" in message
