"""New configurations while the server runs: all of it or nothing; labels; load and unload."""

import shutil
import threading
import time

import pytest
from google.protobuf import text_format

from dlcv_tf.artifact import tfs_messages
from dlcv_tf.errors import InputError
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import Code, ServingError
from dlcv_tf.serve.repository import Repository
from tests.artifact import tiny


def text(*models: str) -> str:
    return f"model_config_list {{ {' '.join(f'config {{ {model} }}' for model in models)} }}"


def net(versions: str = "", **labels: int) -> str:
    """The configuration of `net`: which specific versions, and its labels."""
    numbers = "".join(f" versions: {number}" for number in versions.split())
    policy = f"model_version_policy {{ specific {{{numbers} }} }}" if versions else ""
    pairs = "".join(f' version_labels {{ key: "{k}" value: {v} }}' for k, v in labels.items())
    return f'name: "net" base_path: "net" {policy}{pairs}'


OTHER = 'name: "other" base_path: "other"'


def message(*models: str):
    result = tfs_messages.ModelServerConfig()
    return text_format.Parse(text(*models), result, descriptor_pool=tfs_messages.pool())


@pytest.fixture
def models(tmp_path):
    """`net` in the versions 1, 2 and a damaged 3; `other`, version 1."""
    for number in (1, 2):
        tiny.artifact(tmp_path, "net", number)
    damaged = tiny.artifact(tmp_path, "net", 3) / "model.onnx"
    damaged.write_bytes(damaged.read_bytes()[::-1])
    tiny.artifact(tmp_path, "other", 1)
    return tmp_path


@pytest.fixture
def start(models):
    """Returns a function that starts a repository, from a configuration if one is given."""
    started = []

    def start(*configured: str, **options) -> Repository:
        path = models / "models.config"
        if configured:
            path.write_text(text(*configured))
        file = str(path) if configured else None
        options = {"batching": "off", "drain": 2} | options
        started.append(Repository(Config(str(models), models_config=file, **options)))
        started[-1].load()
        return started[-1]

    yield start
    for repository in started:
        repository.close()


def used(repository, *spec):
    with repository.use(*spec) as model:
        return model.version


def serving(repository):
    return {
        name: sorted(v.number for v in repository.versions(name) if v.state == "AVAILABLE")
        for name in repository.names()
    }


def test_a_configuration_says_what_is_served(start):
    repository = start(net("1 2", stable=1, canary=2))
    assert repository.ready and serving(repository) == {"net": [1, 2]}
    assert used(repository, "net") == 2
    assert used(repository, "net", None, "stable") == 1
    assert used(repository, "net", None, "canary") == 2
    with pytest.raises(ServingError, match="Unrecognized servable version label: old") as caught:
        used(repository, "net", None, "old")
    assert caught.value.code == Code.INVALID_ARGUMENT


def test_a_wrong_configuration_at_the_start_is_an_error(start):
    with pytest.raises(InputError, match=r"models.config: model 'net': got no base_path"):
        start('name: "net"')
    with pytest.raises(InputError, match="none of the models in .*Could not find base path"):
        start('name: "net" base_path: "nowhere"')


def test_one_model_that_is_missing_does_not_take_the_others_down(start):
    repository = start(OTHER, 'name: "lost" base_path: "nowhere"')
    assert not repository.ready
    assert repository.names() == ["lost", "other"]
    assert repository.model_ready("other") and not repository.model_ready("lost")
    expected = "Could not find any versions of model lost: Could not find base path .*nowhere"
    with pytest.raises(ServingError, match=expected):
        repository.versions("lost")


def test_labels_resolve_as_soon_as_their_version_is_there(start, models, caplog):
    repository = start(net("1 4", stable=1, next=4))
    with pytest.raises(ServingError, match="Unrecognized servable version label: next"):
        used(repository, "net", None, "next")
    assert "Request to assign label to version 4 of model net, which is not" in caplog.text
    assert "Version 4 of servable net, which was requested" in repository.versions("net")[0].error
    tiny.artifact(models, "net", 4)
    repository.look()
    assert used(repository, "net", None, "next") == 4
    assert repository.labels("net") == {"stable": 1, "next": 4}
    assert {v.error for v in repository.versions("net")} == {""}


def test_labels_before_load_is_an_option(start):
    repository = start(net("1", next=4), labels_before_load=True)
    with pytest.raises(ServingError, match=r"Specific\(net, 4\)") as caught:
        used(repository, "net", None, "next")
    assert caught.value.code == Code.NOT_FOUND


def test_a_labelled_version_outlives_the_policy_until_its_label_moves(start, models):
    repository = start(net(stable=1))
    assert serving(repository) == {"net": [1, 2]}
    tiny.artifact(models, "net", 4)
    repository.look()
    assert serving(repository) == {"net": [1, 4]}
    repository.reload(message(net(stable=4)))
    assert serving(repository) == {"net": [4]}
    assert used(repository, "net", None, "stable") == 4


def test_promoting_a_version_is_one_step_for_readers(start):
    """Both labels move at once: nobody sees one at the old and the other at the new version."""
    repository = start(net("1 2", stable=1, canary=2))
    seen, stop = set(), threading.Event()

    def look():
        while not stop.is_set():
            labels = repository.labels("net")
            seen.add((labels["stable"], labels["canary"]))
            used(repository, "net", None, "stable")

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(5):
        repository.reload(message(net("1 2", stable=2, canary=1)))
        repository.reload(message(net("1 2", stable=1, canary=2)))
    stop.set()
    thread.join(10)
    assert seen <= {(1, 2), (2, 1)} and (1, 2) in seen


def test_reload_loads_what_is_new_and_unloads_what_is_absent(start):
    repository = start()
    assert serving(repository) == {"net": [2], "other": [1]}
    repository.reload(message(net("1", stable=1)))
    assert serving(repository) == {"net": [1]}
    with pytest.raises(ServingError, match=r"Servable not found for request: Latest\(other\)"):
        used(repository, "other")
    repository.look()  # the models directory does not count any more
    assert repository.names() == ["net"]
    repository.reload(message(OTHER, net()))
    assert serving(repository) == {"net": [2], "other": [1]}
    repository.reload(message())
    assert repository.names() == [] and not repository.ready


@pytest.mark.parametrize(
    ("configured", "reason"),
    [
        ([net("1 3")], "Version 3 of servable net, .* is refused: model.onnx"),
        ([net("1 7")], "Version 7 of servable net, .* was not found in the file system"),
        ([net("1", stable=3)], "Request to assign label to version 3 of model net, which is not"),
        ([net("1", stable=7), OTHER], "Request to assign label to version 7"),
        ([net("1"), 'name: "new" base_path: "nowhere"'], "Could not find base path .*nowhere"),
        ([net("1"), 'name: "new" base_path: "."'], "No versions of servable new found"),
    ],
)
def test_a_reload_that_fails_changes_nothing(start, configured, reason):
    repository = start(net("2", stable=2), OTHER)
    before = repository.loaded()
    with pytest.raises(ServingError, match=reason) as caught:
        repository.reload(message(*configured))
    assert caught.value.code == Code.FAILED_PRECONDITION
    assert serving(repository) == {"net": [2], "other": [1]}
    assert all(old is new for old, new in zip(before, repository.loaded(), strict=True))
    assert repository.labels("net") == {"stable": 2}
    last = time.monotonic() + 10
    while {v.state for v in repository.versions("net")} != {"AVAILABLE", "END"}:
        assert time.monotonic() < last  # what was loaded for nothing is unloaded again
        time.sleep(0.005)
    repository.look()
    assert serving(repository) == {"net": [2], "other": [1]}
    with pytest.raises(InputError, match="got no models, expected a model_config_list"):
        repository.reload(tfs_messages.ModelServerConfig())


def test_another_base_path_is_another_model_of_the_same_name(start, models):
    repository = start(OTHER)
    before = repository.loaded()[0]
    shutil.copytree(models / "other", models / "moved")
    repository.reload(message('name: "other" base_path: "moved"'))
    after = repository.loaded()[0]
    assert after is not before and after.version == 1
    shutil.copytree(models / "net" / "3", models / "bad" / "1")
    with pytest.raises(ServingError, match="does not match its checksum"):
        repository.reload(message('name: "other" base_path: "bad"'))
    assert repository.loaded()[0] is after


def test_a_version_refused_elsewhere_is_not_refused_here(start, models):
    """The same name and number from another base path are other files."""
    shutil.copytree(models / "net" / "3", models / "bad" / "1")
    repository = start(net("1"), 'name: "other" base_path: "bad"')
    assert serving(repository) == {"net": [1], "other": []}
    (models / "models.config").write_text(text(net("1"), OTHER))
    repository.look_at_config()
    assert serving(repository) == {"net": [1], "other": [1]}


def test_a_loaded_version_goes_on_though_its_files_changed_and_the_new_one_is_bad(start, models):
    repository = start(net("1"))
    (models / "net" / "1" / "model.onnx").write_bytes(b"changed since")
    with pytest.raises(ServingError, match="Version 3 of servable net"):
        repository.reload(message(net("3")))
    repository.look()
    assert serving(repository) == {"net": [1]}


def test_models_config_is_read_again_when_it_changes(start, models, caplog):
    repository = start(net("1"), config_poll=0.02, poll=0)
    repository.watch()
    path = models / "models.config"

    def write(configured: str):
        new = path.with_suffix(".new")
        new.write_text(configured)
        new.replace(path)  # the clock never reads a part of it

    def becomes(configured: str, expected: dict):
        write(configured)
        last = time.monotonic() + 10
        while serving(repository) != expected:
            assert time.monotonic() < last
            time.sleep(0.01)

    becomes(text(net("2"), OTHER), {"net": [2], "other": [1]})
    for wrong in ("", text(net("2"))[:-4], text(net("3"))):
        caplog.clear()
        write(wrong)
        last = time.monotonic() + 10
        while "the models stay as they are" not in caplog.text:
            assert time.monotonic() < last
            time.sleep(0.01)
        time.sleep(0.1)
        assert caplog.text.count("the models stay as they are") == 1
        assert serving(repository) == {"net": [2], "other": [1]}
    becomes(text(net("1")), {"net": [1]})


def test_a_model_can_be_unloaded_and_loaded_again(start, models):
    repository = start()
    repository.unload_model("net")
    assert not repository.model_ready("net") and repository.model_ready("other")
    assert repository.ready and repository.names() == ["net", "other"]
    repository.look()  # the clock does not undo it
    assert not repository.model_ready("net")
    with pytest.raises(ServingError, match=r"Latest\(net\)"):
        used(repository, "net")
    (models / "net" / "3" / "manifest.json").unlink()
    with pytest.raises(ServingError, match=r"Could not load model net: version 3: got no manifest"):
        repository.load_model("net")
    assert used(repository, "net") == 2  # what can be loaded is
    with pytest.raises(ServingError, match=r"version 3: got no .* \(what serves: version 2\)$"):
        repository.load_model("net")


def test_load_takes_up_changed_files_and_new_models(start, models):
    shutil.rmtree(models / "net" / "3")
    repository = start()
    before = repository.loaded()
    repository.load_model("net")
    assert repository.loaded()[0] is before[0]  # nothing has changed
    (models / "net" / "2" / "model.onnx").touch()
    repository.look()
    assert repository.loaded()[0] is before[0]  # a version that serves is not looked at again
    repository.load_model("net")
    assert repository.loaded()[0] is not before[0]
    damaged = models / "net" / "2" / "model.onnx"
    damaged.write_bytes(b"no model")
    serves = repository.loaded()[0]
    with pytest.raises(ServingError, match="does not match its checksum"):
        repository.load_model("net")
    assert repository.loaded()[0] is serves
    tiny.artifact(models, "brand_new", 1)
    repository.load_model("brand_new")
    assert used(repository, "brand_new") == 1


@pytest.mark.parametrize("name", ["nope", "../net", "", ".", "net/1"])
def test_unknown_models_cannot_be_loaded_or_unloaded(start, name):
    repository = start()
    for change in (repository.load_model, repository.unload_model):
        with pytest.raises(ServingError) as caught:
            change(name)
        assert caught.value.code == Code.NOT_FOUND


def test_one_of_many_fronts_does_not_change_the_models_alone(start):
    repository = start(fronts=2)
    for change in (
        lambda: repository.reload(message(net())),
        lambda: repository.load_model("net"),
        lambda: repository.unload_model("net"),
    ):
        with pytest.raises(ServingError, match="one of 2 front processes"):
            change()
    assert serving(repository) == {"net": [2], "other": [1]}
