"""What is chosen at load: the executor, by speed and agreement, its threads, and batches."""

import json
import logging
import sys
import time

import numpy as np
import onnx
import pytest
from onnx import helper

from dlcv_tf.artifact import runners
from dlcv_tf.artifact.manifest import Manifest
from dlcv_tf.errors import InputError
from dlcv_tf.serve import executors, tuning
from dlcv_tf.serve.batching import Plan
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.repository import Repository
from tests.artifact import tiny


def two_formats(models, slow: str, bound: float | None = 1e-4, wrong: bool = False):
    """Writes an artifact of two formats, of which one is slow; both are really ONNX files.

    The other format of an ONNX file stands for a `.tflite` one, which only TensorFlow writes.
    """
    directory = tiny.artifact(models)
    files = {"onnx": directory / "model.onnx", "tflite": directory / "other.onnx"}
    tiny.onnx_classifier(files["tflite"])
    for format, path in files.items():
        model = onnx.load(path)
        nodes = list(model.graph.node)
        del model.graph.node[:]
        if format == slow:  # as large a product as takes some milliseconds, times nothing
            large = onnx.numpy_helper.from_array(np.ones((600, 600), np.float32), "large")
            zeros = onnx.numpy_helper.from_array(np.float32(0), "zero")
            model.graph.initializer.extend([large, zeros])
            # It depends on the input, or ONNX Runtime would compute it once, at load.
            nodes[0].output[0] = "raw"
            nodes[1:1] = [
                helper.make_node("ReduceMax", ["raw"], ["most"], keepdims=0),
                helper.make_node("Mul", ["large", "most"], ["scaled"]),
                helper.make_node("MatMul", ["scaled", "large"], ["product"]),
                helper.make_node("ReduceMean", ["product"], ["sum"], keepdims=0),
                helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
                helper.make_node("Add", ["raw", "nothing"], ["pixels"]),
            ]
        if wrong and format == "tflite":
            nodes[-3].input[0], nodes[-3].op_type = "flipped", "Softmax"
            nodes.insert(-3, helper.make_node("Neg", ["logits"], ["flipped"]))
        model.graph.node.extend(nodes)
        onnx.save(model, path)
    values = tiny.manifest()
    values.formats["tflite"] = {"path": "other.onnx", "bound": bound}
    values.write(directory)
    return directory


def chosen(directory, **options):
    queue = tuning.load("tiny/1", directory, Manifest.load(directory), Config(**options))
    queue(tiny.ramp(8, 8)[None], Call())
    return queue


@pytest.mark.parametrize(
    ("slow", "options", "expected"),
    [
        ("onnx", {}, "tflite"),
        ("tflite", {}, "onnx"),
        ("onnx", {"wrong": True}, "onnx"),  # fast, but of other answers
        ("onnx", {"bound": None}, "onnx"),  # fast, but not certified
    ],
)
def test_auto_takes_the_fastest_that_agrees(tmp_path, caplog, slow, options, expected):
    caplog.set_level(logging.INFO)
    assert chosen(two_formats(tmp_path, slow, **options), threads=1).name == expected
    assert ("answers otherwise" in caplog.text) == ("wrong" in options)
    assert f"tiny/1: {expected}, 1 threads" in caplog.text


def test_a_format_that_cannot_be_loaded_is_passed_over(tmp_path, caplog):
    directory = two_formats(tmp_path, slow="onnx")
    (directory / "other.onnx").write_bytes(b"nothing")
    assert chosen(directory).name == "onnx"
    assert "does not run with tflite" in caplog.text


def test_an_executor_is_had_by_its_name(tmp_path):
    directory = two_formats(tmp_path, slow="tflite")
    assert chosen(directory, executor="tflite").name == "tflite"
    assert chosen(directory, executor="onnx").name == "onnx"
    with pytest.raises(InputError, match="unknown format 'tflite_int8'"):
        chosen(directory, executor="tflite_int8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"executor": "torch"}, "got executor 'torch', expected one of auto, onnx"),
        ({"executor": "openvino_int8"}, "not installed: install the extra `openvino`"),
        ({"executor": "tensorflow"}, "not installed: install the package tensorflow"),
        ({"batching": "none.txt"}, "cannot read the batching parameters none.txt"),
    ],
)
def test_what_no_model_could_be_run_with_is_said_before_any_is_loaded(
    tmp_path, monkeypatch, caplog, options, message
):
    tiny.artifact(tmp_path)
    for package in ("openvino", "tensorflow"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=message):
        Repository(Config(str(tmp_path), **options))
    assert not caplog.records


def test_threads_and_lanes_share_the_cores(tmp_path, monkeypatch):
    directory = tiny.artifact(tmp_path)
    monkeypatch.setattr(tuning, "available_cores", lambda: 8)
    assert chosen(directory, threads=2).plan.lanes == 5  # one more than have cores of their own
    assert chosen(directory, threads=16).plan.lanes == 2
    assert chosen(directory, threads=1, fronts=4).plan.lanes == 3
    monkeypatch.setattr(tuning, "available_cores", lambda: 1)
    assert chosen(directory).plan.lanes == 2


def test_batching_is_measured_switched_off_or_given(tmp_path):
    directory = tiny.artifact(tmp_path)
    assert chosen(directory, batching="off", threads=1, queue=7).plan.max_batch == 1
    parameters = tmp_path / "batching.txt"
    parameters.write_text("max_batch_size { value: 8 } num_batch_threads { value: 3 }")
    plan = chosen(directory, batching=str(parameters), queue=7).plan
    assert plan == Plan(lanes=3, limit=7, max_batch=8)
    with pytest.raises(InputError, match="cannot read the batching parameters"):
        chosen(directory, batching=str(tmp_path / "none.txt"))


def test_the_table_of_batches_is_of_a_picture_and_bounded(tmp_path):
    onnx_executor = executors.InProcess(tiny.artifact(tmp_path), "onnx", threads=1)
    table = tuning.batch_table(onnx_executor, tiny.ramp(8, 8)[None])
    assert [*table] == [2**power for power in range(len(table))]
    assert table[1] > 2 * table[max(table)] > 0  # of so small a network mostly the call counts
    assert tuning.best_batch(table) > 1


class Interrupted(executors.InProcess):
    """One whose thread loses the processor to other work for a while, in each call."""

    def __call__(self, images, call):
        time.sleep(0.02)
        return super().__call__(images, call)


def test_other_work_on_the_machine_does_not_count(tmp_path):
    directory, images = tiny.artifact(tmp_path), tiny.ramp(8, 8)[None]
    alone = Interrupted(directory, "onnx", threads=1)
    assert alone.is_alone and max(tuning._times([alone, alone], images, 0.2)) < 0.01
    together = Interrupted(directory, "onnx", threads=2)
    assert not together.is_alone
    (seconds,) = tuning._times([together], images, 0.2)  # only the clock knows
    assert seconds > 0.02


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        ([], False),
        ([5.0, 5.0], False),
        ([9.0, 5.0, 5.1, 8.0, 5.2], True),
        ([5.0, 5.1, 4.0], False),  # of a new least there may be more
        ([5.0, 5.0, 6.0], False),
    ],
)
def test_times_are_settled_once_the_least_came_back(milliseconds, expected):
    assert tuning._is_settled(milliseconds) is expected


@pytest.mark.parametrize(
    ("milliseconds", "best"),
    [
        ({1: 1.0}, 1),
        ({1: 1.0, 2: 0.95, 4: 0.92}, 1),  # not worth the wait for the rest of a batch
        ({1: 1.0, 2: 0.6, 4: 0.4, 8: 0.39, 16: 0.5}, 4),
        ({1: 1.0, 2: 1.5, 4: 2.0}, 1),
        ({1: 1.0, 2: 0.7, 4: 1.1}, 2),
    ],
)
def test_batches_are_as_large_as_pays(milliseconds, best):
    assert tuning.best_batch(milliseconds) == best


def answers(**changes):
    values = {
        "scores": np.float32([[0.9, 0.1], [0.5, 0.5]]),
        "classes": np.int32([[1, 2], [3, 4]]),
    }
    return values | changes


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (answers(), True),
        (answers(scores=np.float32([[0.90005, 0.1], [0.5, 0.5]])), True),
        (answers(scores=np.float32([[0.92, 0.1], [0.5, 0.5]])), False),
        (answers(scores=np.float32([[np.nan, 0.1], [0.5, 0.5]])), False),
        (answers(scores=np.float64([[0.9, 0.1], [0.5, 0.5]])), False),
        (answers(classes=np.int32([[1, 2], [4, 3]])), False),
        (answers(classes=np.int32([[1, 2]])), False),
        ({"scores": answers()["scores"]}, False),
    ],
)
def test_agreement(got, expected):
    assert tuning.agree(got, answers()) is expected


def test_a_few_pixels_of_a_class_map_may_differ():
    expected = np.zeros((1, 100, 100), np.uint8)
    got = expected.copy()
    got[0, 0, :9] = 1
    assert tuning.agree({"class_map": got}, {"class_map": expected})
    got[0, 0, :11] = 1
    assert not tuning.agree({"class_map": got}, {"class_map": expected})


def test_openvino_answers_as_the_others(tmp_path):
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install .[openvino]")
    directory = tiny.artifact(tmp_path)
    queue = chosen(directory, executor="openvino", batching="off")
    assert queue.name == "openvino"
    for shape in [(1, 8, 8, 3), (3, 5, 9, 3), (1, 8, 8, 3)]:
        images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        got, expected = queue(images, Call()), runners.load(directory)(images)
        assert got.keys() == expected.keys()
        assert tuning.agree(got, expected)
    with pytest.raises(InputError, match="expected uint8"):
        queue(np.zeros((1, 8, 8, 3), np.float32), Call())


def test_without_openvino_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(InputError, match=r"pip install '\.\[openvino\]'"):
        chosen(tiny.artifact(tmp_path), executor="openvino")


def test_what_openvino_cannot_run_is_left_out_with_the_reason(tmp_path):
    directory = tiny.artifact(tmp_path)
    path = directory / "manifest.json"
    values = json.loads(path.read_text()) | {"left_out": {"tflite_int8": "it loses accuracy"}}
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match="has no tflite_int8: it loses accuracy"):
        chosen(directory, executor="openvino_int8")
