"""The fastest variant is found by a trial and remembered; whatever fails, the default is left."""

import functools
import json
import math
import os
import pathlib
import re

import keras
import numpy as np
import pytest
from keras import layers

from dlcv_tf import train
from dlcv_tf.errors import InputError
from dlcv_tf.train import tuning

CHOICE = tuning.Choice(
    train.Variant(parts=2, threads=1, steps_per_call=4),
    {str(train.Variant()): 3.5, str(train.Variant(parts=2, threads=1)): 1.25},
    "1.25 ms a step",
)


def tiny(activation="relu"):
    """Returns a compiled convolutional model and a batch: what a trial takes."""
    images = keras.Input((6, 6, 1))
    x = layers.Conv2D(2, 3, activation=activation)(images)
    model = keras.Model(images, layers.Dense(3)(layers.Flatten()(x)))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model, (np.zeros((4, 6, 6, 1), np.float32), np.arange(4) % 3)


def dying():
    """Ends its process as a crash in a compiler would."""
    os._exit(3)


def printing(path):
    """Prints what nobody should see, and leaves a line in a file for each trial."""
    os.write(1, b"printed by a trial")
    os.write(2, b"printed by a trial")
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    return tiny()


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "below" / "tuning.json"


@pytest.fixture
def no_trial(monkeypatch):
    """Puts a known choice in the place of a trial; returns the builds that were to be tried."""
    tried = []
    monkeypatch.setattr(tuning, "_try_all", lambda build: tried.append(build) or CHOICE)
    return tried


def test_a_trial_finds_a_variant_and_is_quiet(tmp_path, cache, capfd):
    said, log = [], tmp_path / "log"
    build = functools.partial(printing, str(log))
    choice = tuning.choose(build, {"a": 1}, cache=cache, say=said.append)
    tried = [train.Variant(), *tuning.candidates({"Conv2D"}, os.cpu_count())]
    assert set(choice.milliseconds) == set(map(str, tried))
    assert all(value > 0 for value in choice.milliseconds.values())
    assert choice.variant.steps_per_call > 1  # a step of so small a network takes no 25 ms
    assert str(choice.variant) in choice.milliseconds
    assert len(said) == 1
    pids = log.read_text().split()
    assert len(set(pids)) == len(tried) and str(os.getpid()) not in pids
    assert capfd.readouterr() == ("", "")
    assert tuning.choose(dying, {"a": 1}, cache=cache).variant == choice.variant


@pytest.mark.parametrize(
    "build, reason",
    [
        (functools.partial(tiny, "reul"), "the trial failed: ValueError: .*reul"),
        (dying, "the trial failed: its process ended"),
    ],
)
def test_where_the_trial_fails_the_default_is_taken_and_nothing_remembered(build, reason, cache):
    choice = tuning.choose(build, {}, cache=cache)
    assert choice.variant == train.Variant() and choice.milliseconds == {}
    assert re.match(reason, choice.reason)
    assert not cache.exists()


def test_a_choice_is_remembered_for_its_subject_alone(cache, no_trial):
    first = tuning.choose("one", {"network": "a"}, cache=cache)
    again = tuning.choose("two", {"network": "a"}, cache=cache)
    assert no_trial == ["one"]
    assert (again.variant, again.milliseconds) == (first.variant, first.milliseconds)
    assert f"remembered in {cache}" in again.reason
    tuning.choose("three", {"network": "b"}, cache=cache)
    assert no_trial == ["one", "three"]
    tuning.choose("four", {"network": "a"}, cache=cache)  # b has not driven a out
    assert no_trial == ["one", "three"]


def test_another_machine_is_another_trial(cache, no_trial, monkeypatch):
    tuning.choose("here", {}, cache=cache)
    monkeypatch.setattr(tuning.os, "cpu_count", lambda: 77)
    tuning.choose("there", {}, cache=cache)
    assert no_trial == ["here", "there"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"text"', b"\xff\x00"])
def test_a_broken_cache_is_written_anew(text, cache, no_trial):
    cache.parent.mkdir()
    cache.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert tuning.choose("one", {}, cache=cache).variant == CHOICE.variant
    tuning.choose("two", {}, cache=cache)
    assert no_trial == ["one"]


@pytest.mark.parametrize(
    "entry",
    [
        3,
        {},
        {"variant": {}, "milliseconds": {}},
        {"variant": {"of_tomorrow": 1}, "milliseconds": {"a": 1.0}},
        {"variant": {}},
    ],
)
def test_a_broken_entry_is_written_anew(entry, cache, no_trial):
    tuning.choose("one", {}, cache=cache)
    (key,) = json.loads(cache.read_text())
    cache.write_text(json.dumps({key: entry}))
    assert tuning.choose("two", {}, cache=cache).variant == CHOICE.variant
    assert no_trial == ["one", "two"]


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, no_trial):
    file = tmp_path / "file"
    file.write_text("")
    for cache in (file / "tuning.json", tmp_path):  # below a file; a directory
        assert tuning.choose("one", {}, cache=cache).variant == CHOICE.variant
    assert sorted(tmp_path.iterdir()) == [file]


def test_the_cache_is_in_the_users_cache_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert tuning.default_cache() == tmp_path / "dlcv_tf" / "tuning.json"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tuning.default_cache() == tmp_path / ".cache" / "dlcv_tf" / "tuning.json"


def test_candidates():
    split = train.Variant(parts=4, threads=1)
    dense = {"Dense", "ReLU"}
    convolutional = {*dense, "Conv2D"}
    assert tuning.candidates(convolutional, 4) == [split]
    assert set(tuning.candidates(dense, 4)) == {
        train.Variant(threads=1),
        split,
        train.Variant(xla=True),
    }
    assert tuning.candidates(convolutional, 1) == []
    assert tuning.candidates(dense, 1) == [train.Variant(xla=True)]


def measured(monkeypatch, seconds):
    """Returns the choice where steps take these seconds, and those of another variant fail."""
    raced = seconds | {train.Variant(xla=True): math.inf}
    monkeypatch.setattr(tuning, "_race", lambda build: raced)
    return tuning._try_all(None)


def test_another_variant_must_beat_the_default_by_more_than_noise(monkeypatch):
    one_thread = train.Variant(threads=1)
    hardly = measured(monkeypatch, {train.Variant(): 0.100, one_thread: 0.099})
    assert hardly.variant == train.Variant()
    clearly = measured(monkeypatch, {train.Variant(): 0.100, one_thread: 0.090})
    assert clearly.variant == one_thread
    assert clearly.milliseconds == {str(train.Variant()): 100.0, str(one_thread): 90.0}
    assert clearly.reason.startswith("90 ms a step; 100 ms for ")


def test_the_reason_gives_the_chosen_variants_time_also_where_another_was_a_little_faster(
    monkeypatch,
):
    one_thread = train.Variant(threads=1)
    hardly = measured(monkeypatch, {train.Variant(): 0.100, one_thread: 0.099})
    assert hardly.reason == f"100 ms a step; 99 ms for {one_thread}"


@pytest.mark.parametrize("seconds, steps", [(0.1, 1), (0.026, 1), (0.010, 3), (1e-5, 32)])
def test_short_steps_are_taken_together(seconds, steps, monkeypatch):
    choice = measured(monkeypatch, {train.Variant(): seconds})
    assert choice.variant == train.Variant(steps_per_call=steps)


def test_a_choice_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "variant.json"
    tuning.write_choice(CHOICE, path)
    assert tuning.read_choice(path) == CHOICE


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[]",
        "{}",
        '{"variant": 3, "milliseconds": {}, "reason": ""}',
        '{"variant": {"part": 2}, "milliseconds": {}, "reason": ""}',
        '{"variant": {"parts": "two"}, "milliseconds": {}, "reason": ""}',
        '{"variant": {"parts": 0}, "milliseconds": {}, "reason": ""}',
        '{"variant": {}, "milliseconds": {}, "reason": "", "more": 1}',
    ],
)
def test_a_file_that_is_no_choice_is_named(text, tmp_path):
    path = tmp_path / "variant.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=f"{path} is not a choice of a variant .*: remove it"):
        tuning.read_choice(path)


def test_threads_are_set_before_tensorflow_runs_or_not_at_all():
    train.Variant().use_threads()  # the default asks for nothing
    keras.ops.ones(1)
    with pytest.raises(InputError, match="expected a new one to train with .*: use dlcv train"):
        train.Variant(threads=77).use_threads()


def test_a_machine_is_told_by_its_processor_and_by_versions():
    machine = tuning._machine()
    assert machine["processor"].strip() and machine["cores"] == os.cpu_count()
    assert machine["tensorflow"] and machine["keras"]
    json.dumps(machine)
    if pathlib.Path("/proc/cpuinfo").exists():
        model = pathlib.Path("/proc/cpuinfo").read_text().partition("model name")[2].splitlines()[0]
        assert model.partition(":")[2].strip() in machine["processor"]
