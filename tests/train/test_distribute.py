"""Several replicas or workers do what one process does; a worker that dies loses nothing."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from dlcv_tf import layers
from dlcv_tf.errors import InputError
from dlcv_tf.train import cluster, distribute
from tests.train import together

ROOT = pathlib.Path(__file__).parents[2]
SECONDS = 200


def environment(**changes):
    quiet = {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return os.environ | quiet | changes


def start(out, config=None, **options):
    """Starts one process of `together`."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.train.together", json.dumps({"out": str(out), **options})],
        env=environment(TF_NUM_INTRAOP_THREADS="1", **{"TF_CONFIG": config} if config else {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pair(out, **options):
    """Starts two workers."""
    configs = cluster.local(2)
    return [start(f"{out}{index}.npz", config, **options) for index, config in enumerate(configs)]


def finished(*processes):
    try:
        errors = [process.communicate(timeout=SECONDS)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, error in zip(processes, errors, strict=True):
        assert process.returncode == 0, error[-3000:]


def state(path):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(str(arrays.pop("history"))), arrays


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    path = tmp_path_factory.mktemp("alone") / "state.npz"
    finished(start(path))
    return state(path)


def assert_as_alone(got, alone):
    history, arrays = got
    expected_history, expected = alone
    assert arrays.keys() == expected.keys()
    for name, values in expected.items():
        for replica in arrays[name]:
            np.testing.assert_allclose(replica, values[0], rtol=1e-4, atol=1e-5, err_msg=name)
    assert history.keys() == expected_history.keys()
    for name, values in expected_history.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_two_replicas_give_what_one_process_gives(alone, tmp_path):
    finished(start(tmp_path / "state.npz", mirrored=True))
    history, arrays = state(tmp_path / "state.npz")
    masks = arrays.pop("masks")
    assert_as_alone((history, arrays), alone)
    for name, replicas in arrays.items():
        np.testing.assert_array_equal(replicas[0], replicas[1], err_msg=name)
    assert not np.array_equal(masks[0], masks[1])  # each replica draws its own random numbers


@pytest.mark.slow
def test_one_process_goes_on_where_two_replicas_were(alone, tmp_path):
    checkpoint = {"checkpoint": str(tmp_path / "checkpoint.npz")}
    finished(start(tmp_path / "first.npz", mirrored=True, epochs=1, **checkpoint))
    finished(start(tmp_path / "state.npz", resume=True, **checkpoint))
    assert_as_alone(state(tmp_path / "state.npz"), alone)


@pytest.mark.slow
def test_two_workers_give_what_one_process_gives(alone, tmp_path):
    """Worker 1 alone wants to stop after epoch 2 of 5, and so both do."""
    finished(*pair(tmp_path / "worker", epochs=5, stop_at=1))
    first, second = (state(tmp_path / f"worker{index}.npz") for index in range(2))
    assert_as_alone(first, alone)
    assert_equal(second, first)


def assert_equal(got, expected):
    assert got[0] == expected[0]
    assert got[1].keys() == expected[1].keys()
    for name, values in expected[1].items():
        np.testing.assert_array_equal(got[1][name], values, err_msg=name)


@pytest.mark.slow
def test_a_killed_worker_is_noticed_at_once_and_the_restart_ends_with_the_same_weights(tmp_path):
    shared = {"dropout": 0.3, "epochs": 3}
    whole = pair(tmp_path / "whole", **shared)
    finished(*whole)
    checkpoint = {"checkpoint": str(tmp_path / "checkpoint.npz")}
    chief, victim = pair(tmp_path / "killed", die_at=8, **shared, **checkpoint)
    victim.communicate(timeout=SECONDS)
    killed_at = time.time()
    assert victim.returncode == -signal.SIGKILL
    message = chief.communicate(timeout=60)[1].splitlines()[-1]
    noticed_at, message = message.split(" ", 1)
    assert float(noticed_at) - killed_at < 5.0
    assert message.startswith("WorkerGoneError: another worker has ended or cannot be reached (127")
    assert "start all workers again with --resume" in message
    with np.load(checkpoint["checkpoint"]) as file:
        progress = json.loads(str(file["progress"]))
    assert (progress["epoch"], progress["step"]) == (1, 3)
    finished(*pair(tmp_path / "resumed", resume=True, **shared, **checkpoint))
    expected = state(tmp_path / "whole0.npz")
    for index in range(2):
        assert_equal(state(tmp_path / f"resumed{index}.npz"), expected)


@pytest.mark.slow
def test_dlcv_train_with_two_local_workers(tmp_path):
    command = [sys.executable, "-m", "dlcv_tf.cli.main", "train", "digits_linear"]
    made = subprocess.run(
        [*command, "--workers", "2", "--smoke", "--json", "--run", "run"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert made.returncode == 0, made.stderr[-3000:]
    result = json.loads(made.stdout)
    assert result["run"] == "run" and result["test_examples"] == 256 and made.stderr == ""
    kept = {path.name for path in (tmp_path / "run").iterdir()}
    assert kept >= {"recipe.json", "task.keras", "checkpoint.npz", "history.json", "metrics.json"}
    made = subprocess.run(
        [*command, "--workers", "2", "batch_size=33", "--run", "other"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert made.returncode == 2
    assert made.stderr.count("\n") == 1 and "got a batch of 33 pictures for 2 rep" in made.stderr


def test_workers_that_meet_too_late_are_refused(monkeypatch):
    np.asarray(together.keras.ops.zeros(1))
    monkeypatch.setenv("TF_CONFIG", cluster.EXAMPLE)
    distribute.join.cache_clear()  # another test may have found that this process is alone
    with pytest.raises(InputError, match="got a process in which TensorFlow runs already"):
        distribute.join()


def test_hand_written_batch_norm_is_refused_on_several_replicas(monkeypatch):
    strategy = together.tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        network = keras.Sequential([keras.Input((4,)), layers.BatchNorm(), keras.layers.Dense(2)])
        network.compile("sgd", "mse")
    distribute.check(network, 8)  # one replica sees the whole batch
    kind = type(strategy)
    monkeypatch.setattr(kind, "num_replicas_in_sync", property(lambda _: 2))
    with pytest.raises(InputError, match="take keras.layers.BatchNormalization"):
        distribute.check(network, 8)


def test_what_replicas_cannot_train_is_refused():
    strategy = together.tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        task = together.compiled(dropout=0.0)
    distribute.check(task, 8)
    task.compile("sgd")
    with pytest.raises(InputError, match="got an optimizer made outside the scope"):
        distribute.check(task, 8)
