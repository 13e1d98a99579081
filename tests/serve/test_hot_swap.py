"""Versions that come, go and break on disk while the server runs: it never stops answering."""

import logging
import shutil
import threading
import time

import pytest

from dlcv_tf.serve import version
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import Code, ServingError
from dlcv_tf.serve.model import Model
from dlcv_tf.serve.repository import Repository
from tests.artifact import tiny

IMAGE = tiny.ramp(6, 6)[None]


@pytest.fixture
def repository(tmp_path):
    """A repository of `net`, version 1, that is looked at when a test says so."""
    tiny.artifact(tmp_path, "net", 1)
    result = Repository(Config(str(tmp_path), batching="off", drain=2))
    result.load()
    yield result
    result.close()


def serving(repository, name="net"):
    """Returns the version that answers; it must really answer."""
    with repository.use(name) as model:
        answer = model.predict({"images": IMAGE}, call=Call())
        assert answer["probabilities"] == pytest.approx(tiny.probabilities(IMAGE), abs=1e-5)
        return model.version


def states(repository, name="net"):
    return {v.number: v.state for v in repository.versions(name)}


def wait_for(condition, seconds=10.0):
    """Waits until a condition holds; fails if it never does."""
    last = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < last, "waited in vain"
        time.sleep(0.005)


def test_a_new_version_takes_over_and_the_old_one_ends(tmp_path, repository):
    tiny.artifact(tmp_path, "net", 2)
    repository.look()
    assert serving(repository) == 2
    wait_for(lambda: states(repository) == {2: "AVAILABLE", 1: "END"})
    assert not repository.model_ready("net", 1) and repository.model_ready("net", 2)


def test_the_clock_finds_a_new_version_and_a_new_model(tmp_path):
    tiny.artifact(tmp_path, "net", 1)
    repository = Repository(Config(str(tmp_path), batching="off", poll=0.02))
    repository.load()
    repository.watch()
    tiny.artifact(tmp_path, "net", 2)
    tiny.artifact(tmp_path, "other", 1)
    wait_for(
        lambda: [(m.name, m.version) for m in repository.loaded()] == [("net", 2), ("other", 1)]
    )
    repository.close()
    assert not any(t.name.startswith("look") for t in threading.enumerate())


def test_removing_the_newest_version_goes_back(tmp_path, repository):
    tiny.artifact(tmp_path, "net", 2)
    repository.look()
    shutil.rmtree(tmp_path / "net" / "2")
    repository.look()
    assert serving(repository) == 1
    wait_for(lambda: states(repository)[2] == "END")
    repository.look()
    assert states(repository) == {1: "AVAILABLE"}


def test_a_new_version_is_warm_before_it_answers_and_the_old_one_answers_meanwhile(
    tmp_path, repository, monkeypatch
):
    """Holds the warm-up open and looks from outside."""
    is_warming, may_end = threading.Event(), threading.Event()

    def warm_up(self):
        is_warming.set()
        assert may_end.wait(10)

    monkeypatch.setattr(Model, "warm_up", warm_up)
    tiny.artifact(tmp_path, "net", 2)
    look = threading.Thread(target=repository.look)
    look.start()
    assert is_warming.wait(10)
    started = time.monotonic()
    assert serving(repository) == 1
    assert states(repository) == {2: "LOADING", 1: "AVAILABLE"}
    with pytest.raises(ServingError, match=r"Specific\(net, 2\)"):
        repository.use("net", 2).__enter__()
    assert repository.ready and repository.model_ready("net")
    assert time.monotonic() - started < 5  # readers do not wait for the load
    may_end.set()
    look.join(10)
    assert serving(repository) == 2


@pytest.mark.parametrize("stage", ["__init__", "warm_up"])
def test_a_version_that_fails_leaves_the_old_one_and_is_tried_again_in_time(
    tmp_path, repository, monkeypatch, caplog, stage
):
    closed = []
    with monkeypatch.context() as broken:
        broken.setattr(Model, stage, lambda *_: 1 / 0)
        broken.setattr(Model, "close", lambda self: closed.append(self))
        tiny.artifact(tmp_path, "net", 2)
        repository.look()
    assert serving(repository) == 1
    refused = repository.versions("net", 2)[0]
    assert (refused.state, refused.code) == ("END", Code.INTERNAL)
    assert refused.error == "division by zero"
    assert len(closed) == (stage == "warm_up")  # what was loaded half is given back
    repository.look()  # not yet: the files are the same
    assert serving(repository) == 1
    assert caplog.text.count("refused net/2") == 1
    monkeypatch.setattr(version, "RETRY", 0)
    repository.look()
    assert serving(repository) == 2


def test_a_version_that_is_being_copied_is_passed_over_in_silence(tmp_path, repository, caplog):
    caplog.set_level(logging.WARNING)
    whole = tiny.artifact(tmp_path / "elsewhere", "net", 2)
    copy = tmp_path / "net" / "2"
    copy.mkdir()
    steps = {"manifest.json": None, "model.onnx": 0}
    (copy / "manifest.json").write_bytes(b"")
    seen = []
    for name in steps:  # as `cp -r` does: file by file, piece by piece
        data = (whole / name).read_bytes()
        for end in (len(data) // 3, len(data) - 1, len(data)):
            repository.look()
            seen.append(serving(repository))
            refused = repository.versions("net", 2)[0]
            assert "net/2 is not complete yet: " in refused.error
            (copy / name).write_bytes(data[:end])
    assert set(seen) == {1}
    repository.look()
    assert serving(repository) == 2
    assert not caplog.records


def test_a_version_that_nobody_copies_any_more_is_said_once(
    tmp_path, repository, caplog, monkeypatch
):
    copy = tiny.artifact(tmp_path, "net", 2)
    size = (copy / "model.onnx").stat().st_size
    texts = {"manifest.json": "{", "model.onnx": "cut"}
    expected = {
        "model.onnx": f"net/2 is not complete yet: model.onnx has 3 bytes, expected {size}",
        "manifest.json": "net/2 is not complete yet: net/2/manifest.json is not JSON",
    }
    for name, error in expected.items():
        (copy / name).write_text(texts[name])
        monkeypatch.setattr(version, "FORGOTTEN", 10.0)
        repository.look()
        repository.look()
        assert repository.versions("net", 2)[0].error.startswith(error)
        assert not caplog.records
        monkeypatch.setattr(version, "FORGOTTEN", 0)
        repository.look()
        repository.look()
        (said,) = caplog.messages
        assert said.startswith("passed over net/2, whose files have not changed for 0 s: " + error)
        caplog.clear()
    assert serving(repository) == 1


def test_a_damaged_version_is_refused_once_and_tried_again_when_its_files_change(
    tmp_path, repository, caplog
):
    whole = tiny.artifact(tmp_path / "elsewhere", "net", 2)
    damaged = whole / "model.onnx"
    good = damaged.read_bytes()
    damaged.write_bytes(b"\0" + good[1:])
    shutil.copytree(whole, tmp_path / "net" / "2")
    for _ in range(3):
        repository.look()
    assert serving(repository) == 1
    assert caplog.text.count("refused net/2") == 1
    refused = repository.versions("net", 2)[0]
    assert (refused.state, refused.code) == ("END", Code.DATA_LOSS)
    assert "does not match its checksum" in refused.error
    (tmp_path / "net" / "2" / "model.onnx").write_bytes(good)
    repository.look()
    assert serving(repository) == 2


@pytest.mark.parametrize("vanished", ["net/1", "net", "."])
def test_what_vanishes_is_served_on_and_its_status_says_so(tmp_path, repository, caplog, vanished):
    shutil.rmtree(tmp_path / vanished)
    for _ in range(2):
        repository.look()
    assert serving(repository) == 1
    status = repository.versions("net")[0]
    assert (status.state, status.code) == ("AVAILABLE", Code.OK)
    expected = "No versions of servable net" if vanished == "net/1" else "Could not find base path"
    assert expected in status.error
    assert caplog.text.count(expected) == 1
    tiny.artifact(tmp_path, "net", 2)
    repository.look()
    assert serving(repository) == 2
    assert repository.versions("net")[0].error == ""


def test_an_emptied_directory_unloads_its_model_if_the_options_say_so(tmp_path):
    tiny.artifact(tmp_path, "net", 1)
    tiny.artifact(tmp_path, "other", 1)
    repository = Repository(Config(str(tmp_path), batching="off", unload_emptied=True))
    repository.load()
    shutil.rmtree(tmp_path / "other")  # a mount that is lost is not an empty one
    shutil.rmtree(tmp_path / "net" / "1")
    repository.look()
    with pytest.raises(ServingError, match=r"Latest\(net\)"):
        repository.use("net").__enter__()
    assert serving(repository, "other") == 1
    repository.close()


def test_a_version_in_use_is_unloaded_when_its_last_request_is_answered(tmp_path, repository):
    with repository.use("net") as old, repository.use("net") as same:
        assert old is same
        tiny.artifact(tmp_path, "net", 2)
        repository.look()
        assert serving(repository) == 2
        assert states(repository) == {2: "AVAILABLE", 1: "UNLOADING"}
        old.predict({"images": IMAGE}, call=Call())
    wait_for(lambda: states(repository)[1] == "END")


def test_close_ends_everything(tmp_path):
    tiny.artifact(tmp_path, "net", 1)
    repository = Repository(Config(str(tmp_path), batching="off", poll=0.01, drain=0.2))
    repository.load()
    repository.watch()
    with repository.use("net"):  # it never ends
        started = time.monotonic()
        repository.close()
        assert time.monotonic() - started < 5
    assert states(repository) == {1: "END"}
    assert not repository.ready
    with pytest.raises(ServingError, match="shutting down") as caught:
        repository.use("net").__enter__()
    assert caught.value.code == Code.UNAVAILABLE
    with pytest.raises(ServingError, match="shutting down"):
        repository.load_model("net")
    repository.close()


def test_no_request_fails_while_versions_are_swapped(tmp_path, repository):
    """Four threads ask without a break while the version changes every 50 ms."""
    errors, answered, stop = [], [], threading.Event()

    def ask():
        try:
            while not stop.is_set():
                answered.append(serving(repository))
        except Exception as error:  # whatever it is, the test names it
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    last, number = time.monotonic() + 3, 1
    while time.monotonic() < last:
        number += 1
        tiny.artifact(tmp_path, "net", number)
        repository.look()
        shutil.rmtree(tmp_path / "net" / str(number - 1))
        time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join(10)
    assert not errors
    assert number > 4 and set(answered) >= {number - 1}
    wait_for(lambda: list(states(repository).values()).count("UNLOADING") == 0)


def resident_megabytes():
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * 4096 / 2**20


def test_memory_comes_back_after_a_hundred_reloads(tmp_path, repository):
    path = tmp_path / "net" / "1" / "model.onnx"
    for _ in range(10):  # the first ones fill the allocators' pools
        path.touch()
        repository.load_model("net")
    before = resident_megabytes()
    for _ in range(90):
        path.touch()
        old = repository.loaded()[0]
        repository.load_model("net")
        assert repository.loaded()[0] is not old
    assert serving(repository) == 1
    assert resident_megabytes() < before * 1.1
