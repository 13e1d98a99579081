"""A real TensorFlow process: the SavedModel's own answers, its errors, its death and its end."""

import concurrent.futures
import logging
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from dlcv_tf.artifact import runners
from dlcv_tf.artifact.manifest import ArtifactError
from dlcv_tf.serve import worker_messages
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import Code, ServingError
from dlcv_tf.serve.model import Model
from tests.artifact import tiny

ROOT = pathlib.Path(__file__).parents[2]
SHIPPED = ROOT / "savedmodels" / "cifar10_airbench" / "1"


@pytest.mark.parametrize("count", [1, 100_000])
def test_messages_come_over_as_they_were_sent(count):
    strings = np.empty((2, 1), dtype=object)
    strings[:, 0] = [b"", b"\xff\0jpeg" * count]
    arrays = {
        "images": np.arange(12 * count, dtype=np.uint8).reshape(count, 2, 2, 3)[:, ::-1],
        "scores": np.float32(1.5),
        "flags": np.array([True, False]),
        "none": np.zeros((0, 3), np.int64),
        "files": strings,
    }
    arrays["scores"] = np.asarray(arrays["scores"])
    ours, theirs = socket.socketpair()
    with ours, theirs:
        thread = threading.Thread(
            target=worker_messages.send, args=(ours, {"id": 7, "deadline": None}, arrays)
        )
        thread.start()
        header, got = worker_messages.receive(theirs)
        thread.join()
        assert header == {"id": 7, "deadline": None}
        assert got.keys() == arrays.keys()
        for name, array in arrays.items():
            assert got[name].dtype == array.dtype
            np.testing.assert_array_equal(got[name], array)
        ours.close()
        assert worker_messages.receive(theirs) is None


def test_half_a_message_is_none():
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(b"\x10\0\0\0\0\0\0\0\0\0\0\0{half")
        assert worker_messages.receive(theirs) is None


def test_an_artifact_without_a_saved_model_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="TensorFlow cannot run .*no saved_model.pb"):
        Model("tiny", 1, tiny.artifact(tmp_path), Config(executor="tensorflow"))


@pytest.fixture(scope="module")
def model():
    if not SHIPPED.is_dir():
        pytest.skip("the shipped classifier is not there")
    found = Model("net", 1, SHIPPED, Config(executor="tensorflow", batching="off"))
    yield found
    found.close()


def test_it_answers_as_the_other_formats_do(model):
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 33, 3), np.uint8)
    call = Call(deadline=time.monotonic() + 30)
    got = model.predict({"images": images}, call=call)
    expected = runners.load(SHIPPED)(images)
    np.testing.assert_allclose(got["probabilities"], expected["probabilities"], atol=1e-4)
    assert call.stages["run"] > 0 and call.batch == 2


def test_it_decodes_pictures_in_the_graph(model):
    files = np.array([tiny.encoded(tiny.ramp(30, 50)), tiny.encoded(tiny.ramp(20, 20))], object)
    got = model.predict({"image_bytes": files}, "image_bytes")
    assert all(isinstance(label, str) for label in got["labels"].flat)
    assert got["labels"].shape == (2, 5)
    single = model.predict({"image_bytes": files[1:]}, "image_bytes")
    np.testing.assert_allclose(got["scores"][1:], single["scores"], atol=1e-5)
    bad = np.array([tiny.encoded(tiny.ramp(30, 50))[:200]], dtype=object)
    with pytest.raises(ServingError) as caught:
        model.predict({"image_bytes": bad}, "image_bytes")
    assert caught.value.code == Code.INVALID_ARGUMENT
    with pytest.raises(ServingError, match="got 5 bytes that are no picture"):
        model.predict({"image_bytes": np.array([b"hello"], dtype=object)}, "image_bytes")


def test_a_wrong_input_is_the_clients_error(model):
    with pytest.raises(ServingError) as caught:
        model.predict({"images": np.zeros((1, 8, 8, 3), np.float32)})
    assert caught.value.code == Code.INVALID_ARGUMENT


def test_requests_past_their_deadline_fail_and_the_next_is_answered(model):
    many = np.zeros((256, 32, 32, 3), np.uint8)
    with pytest.raises(ServingError) as caught:
        model.predict({"images": many}, call=Call(deadline=time.monotonic() + 0.02))
    assert caught.value.code == Code.DEADLINE_EXCEEDED
    assert len(model.predict({"images": many[:1]})["scores"]) == 1


def test_a_killed_worker_fails_what_it_ran_and_comes_back(model, caplog):
    caplog.set_level(logging.WARNING)
    executor = model.executor._executor
    first = executor.process
    many = np.zeros((2000, 32, 32, 3), np.uint8)
    one = np.full((1, 32, 32, 3), 99, np.uint8)
    before = model.predict({"images": one})
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        running = [threads.submit(model.predict, {"images": many}) for _ in range(2)]
        end = time.monotonic() + 10
        while len(executor._worker._asked) < 2:
            assert time.monotonic() < end
            time.sleep(0.001)
        waiting = [threads.submit(model.predict, {"images": one}) for _ in range(4)]
        os.kill(first, signal.SIGKILL)
        for future in running:
            with pytest.raises(ServingError, match="process ended while it ran") as caught:
                future.result(timeout=30)
            assert caught.value.code == Code.UNAVAILABLE
        for future in waiting:
            np.testing.assert_allclose(future.result(timeout=30)["scores"], before["scores"])
    assert executor.process != first
    assert "starting another" in caplog.text


def test_closing_ends_the_process(model):
    worker = model.executor._executor._worker
    model.close()
    assert worker.process.returncode == 0  # by itself, once the other end was closed
    with pytest.raises(ServingError) as caught:
        model.predict({"images": np.zeros((1, 8, 8, 3), np.uint8)})
    assert caught.value.code == Code.UNAVAILABLE


FRONT = """
import sys, time
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.tensorflow_executor import TensorFlowExecutor
executor = TensorFlowExecutor(sys.argv[1], Config())
print(executor.process, flush=True)
time.sleep(60)
"""


def test_the_worker_ends_when_the_server_is_killed():
    if not SHIPPED.is_dir():
        pytest.skip("the shipped classifier is not there")
    command = [sys.executable, "-c", FRONT, str(SHIPPED)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as front:
        worker = int(front.stdout.readline())
        assert is_alive(worker)
        front.kill()
    end = time.monotonic() + 10
    while is_alive(worker):
        assert time.monotonic() < end
        time.sleep(0.01)


def is_alive(process: int) -> bool:
    try:
        state = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
