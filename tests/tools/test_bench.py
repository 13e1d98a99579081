"""The benchmark compares like with like, and its workers measure what they are asked for."""

import importlib
import json
import os
import pathlib
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from dlcv_tf import data, models, train
from dlcv_tf.models import summary
from tests.artifact import tiny

TOOLS = pathlib.Path(__file__).parents[2] / "tools"


@pytest.fixture
def tool(monkeypatch):
    """Imports a script of `tools/`, which finds its siblings there when it is run."""
    monkeypatch.syspath_prepend(TOOLS)
    return importlib.import_module


def test_plain_fit_trains_the_same_network_as_we_do(tool):
    bench_training = tool("bench_training")
    plain = bench_training.compiled("resnet20")
    ours = models.resnet20(bench_training.IMAGE_SHAPE, bench_training.CLASSES)
    assert bench_training.facts(plain, 8) == {"parameters": 269_722, "batch_size": 8}
    assert summary.macs(plain) == summary.macs(ours) == pytest.approx(40.6e6, rel=0.01)
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
        assert process.facts.pop("start_seconds") >= 0.02
        assert process.facts == {"parameters": 3}
        started = time.perf_counter()
        blocks = [process.measure(steps=steps) for steps in (2, 10)]
        seconds = time.perf_counter() - started
    assert [block["steps"] for block in blocks] == [2, 10]
    assert 0.04 <= blocks[0]["seconds"] and 0.2 <= blocks[1]["seconds"]
    assert sum(block["seconds"] for block in blocks) <= seconds - 0.04  # one uncounted step each
    assert int((tmp_path / "steps").read_text()) == 3 + (1 + 2) + (1 + 10)
    assert "not an answer" in (tmp_path / "test.log").read_text()


def test_a_worker_that_fails_says_why(tool, tmp_path, monkeypatch):
    error = tool("bench_worker").WorkerError
    with pytest.raises(error, match=r"(?s)test ended with status 1:.*too little memory"):
        worker(tool, tmp_path, monkeypatch, "raise SystemExit('too little memory')")


def stub_steps(tool, monkeypatch, steps):
    """Returns `Channel.steps` that is asked for one block, and the list of its answers."""
    channel = tool("bench_worker").Channel.__new__(tool("bench_worker").Channel)
    answers = []
    channel._started = time.time()
    monkeypatch.setattr(channel, "requests", lambda: iter([{"steps": steps}]))
    monkeypatch.setattr(channel, "answer", lambda **values: answers.append(values))
    return channel.steps(), answers


@pytest.mark.parametrize("at_once, counted", [(1, 7), (2, 8), (3, 9), (4, 10), (6, 10)])
def test_blocks_count_steps_where_a_call_has_several(tool, monkeypatch, at_once, counted):
    steps, answers = stub_steps(tool, monkeypatch, 7)
    callback = tool("bench_training").Blocks(steps)
    callback.set_params({"steps": 10})
    with pytest.raises(SystemExit):
        for _ in range(10):
            for first in range(0, 10, at_once):  # the last call of an epoch may have fewer
                callback.on_train_batch_begin(first)
    assert answers[1]["steps"] == counted


@pytest.mark.parametrize("loop", ["ours", "fit"])
def test_blocks_measure_both_loops_with_several_steps_in_a_call(tool, monkeypatch, loop):
    steps, answers = stub_steps(tool, monkeypatch, 5)
    callback = tool("bench_training").Blocks(steps)
    model = keras.Sequential([keras.Input((2,)), layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, steps_per_execution=4 if loop == "fit" else 1)
    dataset = tf.data.Dataset.from_tensor_slices((np.ones((12, 2), np.float32), np.arange(12) % 3))
    options = {"epochs": 99, "callbacks": [callback], "verbose": 0}
    with pytest.raises(SystemExit):
        if loop == "ours":
            variant = train.Variant(steps_per_call=4)
            train.train(model, data.TrainingBatches(dataset, 12, 2), variant=variant, **options)
        else:
            model.fit(dataset.batch(2), shuffle=False, **options)
    assert answers[0]["start_seconds"] > 0
    assert answers[1]["steps"] == 6  # an epoch is a call of four steps and one of two


@pytest.mark.parametrize("name", ["resnet18", "unet", "char_lstm"])
def test_our_loop_is_given_batches_that_fit_the_network(tool, tmp_path, monkeypatch, name):
    bench_training, bench_workloads = tool("bench_training"), tool("bench_workloads")
    monkeypatch.setitem(bench_training.NETWORKS, name, lambda: keras.Sequential([]))
    workload = bench_workloads.WORKLOADS[name]
    path = tmp_path / "pictures.npz"
    np.savez(path, images=np.zeros((3, 32, 32, 3), np.uint8), labels=np.zeros(3))
    _, batches = bench_training.loop_training(name, path)
    inputs, targets = batches.stream(1).element_spec
    assert inputs.shape == (workload.batch_size, *workload.input_shape)
    assert targets.shape == (workload.batch_size, *workload.target_shape)


def test_pictures_of_the_file_are_used_where_they_fit(tool, tmp_path):
    bench_workloads = tool("bench_workloads")
    path = tmp_path / "pictures.npz"
    np.savez(path, images=np.zeros((3, 32, 32, 3), np.uint8), labels=np.arange(3))
    inputs, targets = bench_workloads.examples(bench_workloads.WORKLOADS["resnet20"], path)
    assert len(inputs) == 3 and targets.tolist() == [0, 1, 2]
    inputs, targets = bench_workloads.examples(bench_workloads.WORKLOADS["char_lstm"], path)
    assert inputs.shape == targets.shape == (20_000, 100)


# Trainable parameters of each network, in Keras and in PyTorch.
PARAMETERS = {
    "resnet20": 269_722,
    "resnet18": 11_181_642,
    "mobilenetv2": 2_236_682,
    "mlp": 535_818,
    "char_lstm": 349_569,
    "unet": 482_907,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_keras_networks_have_the_parameters_and_shapes_of_the_workload(tool, name):
    model = tool("bench_networks").NETWORKS[name]()
    workload = tool("bench_workloads").WORKLOADS[name]
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == PARAMETERS[name]
    assert model.inputs[0].shape[1:] == workload.input_shape
    assert model.outputs[0].shape[1:] == (*workload.target_shape, workload.classes)
    kinds = {row.kind for row in summary.summarize(model).rows}
    assert workload.convolutional is ("Conv2D" in kinds)


TORCH_PROGRAM = """
import json
import torch
from bench_torch_networks import NETWORKS
from bench_workloads import WORKLOADS
found = {}
for name, network in NETWORKS.items():
    workload, model = WORKLOADS[name], network()
    shape = workload.input_shape if workload.vocabulary else workload.input_shape[::-1]
    inputs = torch.zeros(2, *shape, dtype=torch.long if workload.vocabulary else torch.float)
    number = sum(p.numel() for p in model.parameters() if p.requires_grad)
    found[name] = [number, list(model(inputs).shape)]
print(json.dumps(found))
"""


def test_torch_networks_are_twins_of_the_keras_networks(tool):
    workloads, python = tool("bench_workloads").WORKLOADS, tool("bench_machine").torch_python_made()
    if python is None:
        pytest.skip("there is no .venv-bench with PyTorch: make bench makes it")
    environment = os.environ | {"PYTHONPATH": str(TOOLS)}
    output = subprocess.run(
        [python, "-c", TORCH_PROGRAM], env=environment, stdout=subprocess.PIPE, check=True
    ).stdout
    assert json.loads(output) == {
        name: [PARAMETERS[name], [2, workload.classes, *workload.target_shape]]
        for name, workload in workloads.items()
    }


def measured(plain_seconds):
    """Returns the facts and blocks of ours and of a plain fit: 50 pictures a second by the median.

    Ours takes 1, 4 and 10 seconds, with twice the steps in the second block.
    """
    ours = [(1, 5), (4, 10), (10, 5)]
    plain = [(plain_seconds, 5), (2 * plain_seconds, 5), (100, 5)]
    return {
        name: [
            {"seconds": seconds, "cpu_seconds": 2 * seconds, "steps": steps}
            for seconds, steps in blocks
        ]
        for name, blocks in {"ours": ours, "plain": plain}.items()
    }


@pytest.mark.parametrize("plain_seconds, passed", [(0.96, True), (0.94, False)])
def test_verdict_allows_five_percent_by_the_median_round(tool, capsys, plain_seconds, passed):
    bench, bench_worker = tool("bench"), tool("bench_worker")
    workload = tool("bench_workloads").Workload("a network", (8, 8, 3), batch_size=20)
    process = bench_worker.Worker.__new__(bench_worker.Worker)
    process.facts = {"parameters": 1, "batch_size": 20, "macs": 5e6, "start_seconds": 3.0}
    networks = {}
    for name, seconds in (("fast", 2), ("this", plain_seconds)):
        blocks = measured(seconds)
        networks[name] = bench.summarize(workload, dict.fromkeys(blocks, process), blocks)
        networks[name] |= {"unit": workload.unit, "failed": {"torch eager": "no environment"}}
        bench.add_gflops(networks[name], workload, 6.0)
    variants = networks["this"]["variants"]
    assert variants["ours"]["per_second"] == 50
    assert variants["ours"]["gflops"] == pytest.approx(3 * 2 * 5e6 * 50 / 1e9)
    assert variants["ours"]["of_sgemm"] == pytest.approx(0.25)
    assert variants["plain"]["ours_to_this"] == pytest.approx(plain_seconds)
    found, sentence = bench.verdict(networks)
    assert found is passed
    assert f"{plain_seconds:.3f} times (this)" in sentence
    assert ("too slow: this" in sentence) is not passed
    bench.print_training({"networks": networks}, 1 - bench.TOLERANCE)
    printed = capsys.readouterr().out
    assert printed.count("PASSED") == 1 + passed and printed.count("FAILED") == 1 - passed
    assert max(len(line.rstrip()) for line in printed.splitlines()) <= 100


def test_only_takes_networks_that_there_are(tool, capsys):
    bench = tool("bench")
    assert bench.names("mlp,unet") == ["mlp", "unet"]
    with pytest.raises(SystemExit) as ended:
        bench.main(["--only", "mlp,resnet21"])
    assert ended.value.code == 2
    assert "got 'resnet21', expected some of ['resnet20'" in capsys.readouterr().err


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


def test_neighbours_are_compared_with_those_of_scikit_learn(tool, tmp_path, capsys):
    bench_neighbours = tool("bench_neighbours")
    result = bench_neighbours.measure(rounds=2, examples=200, logs=tmp_path)
    assert result["seconds"].keys() == result["ratios"].keys() == {"ours", "task", "sklearn"}
    assert all(len(times) == 2 and min(times) > 0 for times in result["seconds"].values())
    assert result["ratios"]["sklearn"] == 1
    result["ratios"] |= {"ours": 1.01, "task": 1.0}
    assert bench_neighbours.verdict(result)[0]
    result["ratios"]["task"] = 0.99
    passed, sentence = bench_neighbours.verdict(result)
    assert not passed and sentence.startswith("FAILED: nearest neighbours are found 0.99 times")
    bench_neighbours.print_result(result)
    assert "The 10 nearest of 200 points of 3,072 numbers" in capsys.readouterr().out
    assert tool("bench").names("mlp,neighbours") == ["mlp", "neighbours"]


def test_boxes_are_compared_with_those_of_tf_image(tool, tmp_path, capsys, monkeypatch):
    bench_detection = tool("bench_detection")
    monkeypatch.setattr(bench_detection, "TASKS", {"nms_100": "few boxes"})  # the others are slow
    result = bench_detection.measure(rounds=2, seconds=0, logs=tmp_path)["nms_100"]
    assert result["milliseconds"].keys() == result["ratios"].keys() == {"greedy", "image", "padded"}
    assert all(len(times) == 2 and min(times) > 0 for times in result["milliseconds"].values())
    assert result["ratios"]["greedy"] == 1
    bench_detection.print_result({"nms_100": result})
    assert "tf.image.non_max_suppression" in capsys.readouterr().out
    assert tool("bench").names("boxes") == ["boxes"]


def test_the_shipped_tasks_train_on_sound_examples(tool, capsys):
    from dlcv_tf import recipes

    bench_tasks = tool("bench_tasks")
    assert tool("bench").names("tasks") == ["tasks"]
    images, targets = bench_tasks.examples(recipes.get("bccd_ssd"), 3)
    assert images.shape[1:] == (240, 320, 3) and targets["classes"].max() == 2
    boxes = targets["boxes"]
    assert (boxes[..., 2:] > boxes[..., :2]).all() and boxes.min() >= 0
    assert boxes[..., 2].max() <= 320 and boxes[..., 3].max() <= 240
    images, class_map = bench_tasks.examples(recipes.get("camvid_unet"), 11)
    assert class_map.shape == images.shape[:3] and class_map.max() == 10
    speeds = {"ours": [30.0, 50.0], "fit": [20.0, 20.0]}
    facts = {"parameters": 1234, "batch_size": 8}
    bench_tasks.print_result(
        {"bccd_ssd": {"pictures_per_second": speeds, "ratio": 2.0, "facts": facts}}
    )
    printed = capsys.readouterr().out
    assert "40.0" in printed and "30.0 to 50.0" in printed and "2.00" in printed
