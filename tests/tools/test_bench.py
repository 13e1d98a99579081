"""The benchmark compares like with like, and its workers measure what they are asked for."""

import importlib
import json
import pathlib
import sys
import time

import keras
import numpy as np
import pytest

from dlcv_tf import models
from tests.artifact import tiny

TOOLS = pathlib.Path(__file__).parents[2] / "tools"


@pytest.fixture
def tool(monkeypatch):
    """Imports a script of `tools/`, which finds its siblings there when it is run."""
    monkeypatch.syspath_prepend(TOOLS)
    return importlib.import_module


def test_plain_fit_trains_the_same_network_as_we_do(tool):
    bench_training = tool("bench_training")
    plain = bench_training.plain_network()
    ours = models.resnet20(bench_training.IMAGE_SHAPE, bench_training.CLASSES)
    assert bench_training.num_parameters(plain) == 269_722
    for got, expected in (
        (plain.trainable_variables, ours.trainable_variables),
        (plain.non_trainable_variables, ours.non_trainable_variables),
    ):
        assert [tuple(v.shape) for v in got] == [tuple(v.shape) for v in expected]
    assert convolved(plain) == convolved(ours)  # strides too: as much work


def convolved(model):
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    return [layer.output.shape for layer in convolutions]


def test_plain_augmentation_keeps_the_pixels_of_the_picture(tool):
    image = np.arange(32 * 32 * 3).reshape(32, 32, 3)
    crop, label = tool("bench_training").plain_augment(image, 7)
    inside = crop.numpy()[crop.numpy().any(axis=-1)]
    assert crop.shape == image.shape and label == 7
    assert len(inside) >= 28 * 28 - 1  # a shift of up to four pixels each way; the first pixel is 0
    assert {tuple(pixel) for pixel in inside} <= {tuple(pixel) for pixel in image.reshape(-1, 3)}


WORKER = """
import time
from bench_worker import Channel
channel = Channel()
print("not an answer")
number = 0
for _ in channel.steps(parameters=3):
    number += 1
    time.sleep(0.02)
open("steps", "w").write(str(number))
"""


def worker(tool, tmp_path, monkeypatch, program):
    path = tmp_path / "program.py"
    path.write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(TOOLS))
    monkeypatch.chdir(tmp_path)
    return tool("bench_worker").Worker("test", [sys.executable, path], tmp_path)


def test_a_worker_runs_the_steps_of_each_block_and_no_more(tool, tmp_path, monkeypatch):
    with worker(tool, tmp_path, monkeypatch, WORKER) as process:
        assert process.facts == {"parameters": 3}
        started = time.perf_counter()
        blocks = [process.measure(steps=steps) for steps in (2, 10)]
        seconds = time.perf_counter() - started
    assert 0.04 <= blocks[0]["seconds"] and 0.2 <= blocks[1]["seconds"]
    assert sum(block["seconds"] for block in blocks) <= seconds - 0.04  # one uncounted step each
    assert int((tmp_path / "steps").read_text()) == 3 + (1 + 2) + (1 + 10)
    assert "not an answer" in (tmp_path / "test.log").read_text()


def test_a_worker_that_fails_says_why(tool, tmp_path, monkeypatch):
    error = tool("bench_worker").WorkerError
    with pytest.raises(error, match=r"(?s)test ended with status 1:.*too little memory"):
        worker(tool, tmp_path, monkeypatch, "raise SystemExit('too little memory')")


def blocks(*seconds):
    return [{"seconds": each, "cpu_seconds": 2 * each} for each in seconds]


@pytest.mark.parametrize("plain_seconds, passed", [(0.96, True), (0.94, False)])
def test_verdict_allows_five_percent_by_the_median_round(tool, plain_seconds, passed):
    bench, bench_worker = tool("bench"), tool("bench_worker")
    process = bench_worker.Worker.__new__(bench_worker.Worker)
    process.facts = {"parameters": 1, "batch_size": 100}
    measured = {"ours": blocks(1, 2, 10), "plain": blocks(plain_seconds, 2 * plain_seconds, 100)}
    workers = dict.fromkeys(measured, process)
    training = bench.summarize("pictures", workers, measured, 100)
    assert training["variants"]["ours"]["pictures_per_second"] == 50
    assert training["variants"]["plain"]["ours_to_this"] == pytest.approx(plain_seconds)
    assert bench.verdict(training)[0] is passed


def test_inference_calls_the_runtime_and_the_server_in_every_way(tool, tmp_path, monkeypatch):
    bench = tool("bench")
    directory = tiny.artifact(tmp_path / "models", "tiny", 3)
    path = directory / "manifest.json"
    facts = json.loads(path.read_text())
    del facts["formats"]["saved_model"]  # its files are not there
    path.write_text(json.dumps(facts))
    pictures = tmp_path / "pictures.npz"
    np.savez(pictures, images=np.stack([tiny.ramp(8, 8)] * 32))
    monkeypatch.setattr(bench, "OUTPUT", tmp_path)
    result = bench.measure_inference(directory, pictures, {"rounds": 1, "block_seconds": 0.01})
    assert result["artifact"] == "tiny/3"
    bare = {entry["batch"]: entry["milliseconds"] for entry in result["runtimes"]}
    assert bare.keys() == {1, 32}
    found = [(entry["request"], entry["batch"]) for entry in result["server"]]
    assert found == [("png", 1), ("pixels", 1), ("pixels", 32), ("base64", 1), ("base64", 32)]
    for entry in result["server"]:
        added = entry["milliseconds"] - bare[entry["batch"]]
        assert entry["overhead_milliseconds"] == pytest.approx(added)
        assert added > 0
