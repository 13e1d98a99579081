"""Storms of requests, full disks, killed processes, idle crowds: who is next is answered.

What else may go wrong is in test_hot_swap and test_repository (versions that are damaged, half
copied, gone), test_limits and test_fronts (slow and idle clients, killed fronts), test_drain
(SIGTERM), test_tensorflow_executor (a killed worker, seen from inside), test_bombs.
"""

import contextlib
import json
import os
import pathlib
import resource
import signal
import socket
import threading
import time

import grpc
import httpx
import pytest

from dlcv_tf.artifact import tfs_messages
from dlcv_tf.serve import memory
from dlcv_tf.serve.errors import Code
from tests.artifact import tiny
from tests.serve import grpc_client
from tests.serve.test_server import dlcv_serve, ready

PREDICT = "/v1/models/tiny:predict"
BODY = json.dumps({"instances": [tiny.ramp(4, 5).tolist()]}).encode()
SHIPPED = pathlib.Path(__file__).parents[2] / "savedmodels"


@contextlib.contextmanager
def started(models: pathlib.Path, *options: str):
    """Runs `dlcv serve`; yields its process and its ready line."""
    fixed = ["--models", str(models), "--port", "0", "--json", "--executor", "onnx"]
    with dlcv_serve(*fixed, *options) as process:
        try:
            yield process, json.loads(ready(process))
        finally:
            process.kill()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models")
    tiny.artifact(directory)
    return directory


def megabytes(process, what: str) -> float:
    """Returns the memory of a process: VmRSS now, VmHWM at its most."""
    lines = pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what + ":")) / 1024


def predict_request(shade: int = 0) -> bytes:
    request = tfs_messages.PredictRequest()
    request.model_spec.name = "tiny"
    tensor = request.inputs["images"]
    image = tiny.ramp(4, 5) // 2 + shade
    tensor.dtype = 4  # DT_UINT8
    for size in (1, *image.shape):
        tensor.tensor_shape.dim.add(size=size)
    tensor.tensor_content = image.tobytes()
    return request.SerializeToString()


def test_a_storm_of_deadlines_leaves_the_server_free(models, tmp_path):
    """A thousand requests that nobody waits for any more are dropped before they run."""
    slow = tmp_path / "batching.pbtxt"  # requests wait 0.3 s for more of them to run with
    slow.write_text("max_batch_size { value: 5000 } batch_timeout_micros { value: 300000 }")
    with grpc_client.running(models, executor="onnx", batching=str(slow), threads=1) as client:
        method = client.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        method(predict_request(), timeout=30)
        calls = [method.future(predict_request(), timeout=0.1) for _ in range(1000)]
        codes = [call.code().name for call in calls]
        assert {*codes} <= {"OK", "DEADLINE_EXCEEDED", "UNAVAILABLE"}
        assert codes.count("OK") < 100
        start = time.monotonic()
        method(predict_request(), timeout=30)
        assert time.monotonic() - start < 2
        wait_for(lambda: not client.server.is_busy)
        with client.models.use("tiny") as model:
            assert model.executor.waiting == 0 and model.executor._free == model.executor.plan.lanes
        ran = [call for call in client.calls if call.batch]
        assert len(ran) <= codes.count("OK") + 100  # those that were running at the deadline
        assert {call.code for call in client.calls if not call.batch} <= {
            Code.DEADLINE_EXCEEDED,
            Code.UNAVAILABLE,
        }


def wait_for(condition, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


def test_a_disk_that_fills_up_costs_lines_until_there_is_room_again(models, tmp_path):
    """The file may grow to 3,000 bytes: the line that meets the limit is cut, as on a full disk."""
    path = tmp_path / "requests.jsonl"
    with started(models, "--request-log", str(path)) as (process, line):
        with httpx.Client(base_url=line["rest"]) as client:

            def ask(count: int) -> None:
                for _ in range(count):
                    assert client.post(PREDICT, content=BODY).status_code == 200

            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))
            ask(40)
            wait_for(lambda: path.stat().st_size == 3000)
            ask(40)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (-1, resource.RLIM_INFINITY))
            ask(10)
            wait_for(lambda: path.read_bytes().count(b"\n") >= 13)
            text = client.get("/metrics").text
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        said = process.stderr.read()
    assert said.count("lines are dropped") == 1
    lines = path.read_text().splitlines()
    whole = [each for each in lines if is_json(each)]
    assert len(lines) - len(whole) == 1  # the one that was cut, and nothing is glued to it
    dropped = float(text.partition("\ndlcv_request_log_dropped_total ")[2].split()[0])
    predictions = [each for each in whole if '"predict"' in each]
    assert len(predictions) + dropped == 90


def is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


@pytest.mark.slow
def test_a_killed_worker_costs_what_it_ran_and_no_request_after(tmp_path):
    """TensorFlow's process is killed (-9) while eight clients ask, half of them over gRPC."""
    if not (SHIPPED / "cifar10_airbench").is_dir():
        pytest.skip("the shipped classifier is not there")
    (tmp_path / "tiny").symlink_to(SHIPPED / "cifar10_airbench")
    picture = tiny.encoded(tiny.ramp(32, 32))
    with (
        started(tmp_path, "--executor", "tensorflow", "--batching", "off") as (process, line),
        grpc.insecure_channel(line["grpc"]) as channel,
    ):
        method = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        outcomes, stop = [], threading.Event()

        def over_http() -> None:
            headers = {"content-type": "image/png"}
            with httpx.Client(base_url=line["rest"], timeout=60) as client:
                while not stop.is_set():
                    answer = client.post(PREDICT, content=picture, headers=headers)
                    outcomes.append((time.monotonic(), answer.status_code))
                    if answer.status_code == 503:
                        assert answer.headers["retry-after"] == "1"

        def over_grpc() -> None:
            while not stop.is_set():
                try:
                    method(predict_request(), timeout=60)
                    outcomes.append((time.monotonic(), 200))
                except grpc.RpcError as error:
                    outcomes.append((time.monotonic(), error.code().name))

        threads = [threading.Thread(target=each) for each in [over_http, over_grpc] * 4]
        for thread in threads:
            thread.start()
        time.sleep(1)
        (worker,) = children(process.pid)
        os.kill(worker, signal.SIGKILL)
        killed = time.monotonic()
        wait_for(lambda: sum(when > killed + 1 and code == 200 for when, code in outcomes) > 50, 60)
        stop.set()
        for thread in threads:
            thread.join(30)
        failed = [code for _, code in outcomes if code != 200]
        assert {*failed} <= {503, "UNAVAILABLE"}
        assert len(failed) <= 2 * memory.available_cores() + 2  # as many as it ran at once
        assert children(process.pid) - {worker}


@pytest.mark.slow
def test_ten_thousand_idle_connections_harm_nobody(models):
    """On each port in turn; prints what docs/serving.md says of it (pytest -s)."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most[1] < 12_000:
        pytest.skip("this machine does not allow so many open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most[1], most[1]))
    try:
        with (
            started(models) as (process, line),
            httpx.Client(base_url=line["rest"]) as client,
            grpc.insecure_channel(line["grpc"]) as channel,
        ):
            method = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            asks = {
                "rest": lambda: client.post(PREDICT, content=BODY).raise_for_status(),
                "grpc": lambda: method(predict_request(), timeout=10),
            }
            for port, ask in asks.items():
                ask()
                before = megabytes(process, "VmRSS")
                address = line[port].removeprefix("http://").split(":")
                with contextlib.ExitStack() as idle:
                    for _ in range(9_990):
                        opened = socket.create_connection((address[0], int(address[1])), timeout=20)
                        idle.enter_context(opened)
                    times = []
                    for _ in range(500):
                        start = time.perf_counter()
                        ask()
                        times.append(1000 * (time.perf_counter() - start))
                    grown = megabytes(process, "VmRSS") - before
                times.sort()
                print(
                    f"{port}, 9,990 idle connections: p50 {times[250]:.1f} ms, "
                    f"p99 {times[495]:.1f} ms, {before:.0f} MB and {grown:.0f} more"
                )
                assert times[495] < 200 and grown < 600
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)


def children(pid: int) -> set[int]:
    tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for task in tasks for child in task.read_text().split()}
