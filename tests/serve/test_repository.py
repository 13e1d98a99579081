"""The models directory: which version serves, what is refused, and what is said about it."""

import shutil

import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import Code, ServingError
from dlcv_tf.serve.model import Model
from dlcv_tf.serve.repository import Repository
from tests.artifact import tiny


def find(repository: Repository, *spec):
    """Returns the model that would answer a request."""
    with repository.use(*spec) as model:
        return model


def load(directory) -> Repository:
    repository = Repository(Config(str(directory)))
    repository.load()
    return repository


def test_the_newest_version_by_number_serves(tmp_path):
    for version in (9, 10, 2):
        tiny.artifact(tmp_path, "net", version)
    repository = load(tmp_path)
    assert find(repository, "net").version == 10
    assert [version.number for version in repository.versions("net")] == [10]
    with pytest.raises(ServingError, match=r"Specific\(net, 9\)"):
        find(repository, "net", 9)


def test_leading_zeros_count_as_a_number(tmp_path):
    tiny.artifact(tmp_path, "net", 3).rename(tmp_path / "net" / "0003")
    assert find(load(tmp_path), "net", 3).version == 3


def half_written(directory):
    (directory / "manifest.json").unlink()


def cut_short(directory):
    model = directory / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1])


def changed(directory):
    model = directory / "model.onnx"
    model.write_bytes(b"x" + model.read_bytes()[1:])


def file_lost(directory):
    (directory / "model.onnx").unlink()


def not_a_model(directory):
    (directory / "model.onnx").write_bytes(b"whole, but no ONNX")
    tiny.manifest().write(directory)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (half_written, "no manifest.json"),
        (cut_short, "model.onnx .* does not match its checksum: got bytes"),
        (changed, "model.onnx .* does not match its checksum: got sha256"),
        (file_lost, "model.onnx is missing"),
        (not_a_model, "no model ONNX Runtime can load"),
    ],
)
def test_a_bad_version_is_refused_and_the_older_one_serves(tmp_path, caplog, damage, reason):
    tiny.artifact(tmp_path, "net", 1)
    damage(tiny.artifact(tmp_path, "net", 2))
    repository = load(tmp_path)
    assert repository.ready
    assert find(repository, "net").version == 1
    refused, serving = repository.versions("net")
    assert (refused.number, refused.state, refused.code) == (2, "END", Code.DATA_LOSS)
    assert (serving.number, serving.state, serving.code) == (1, "AVAILABLE", Code.OK)
    with pytest.raises(ServingError, match=reason):
        raise ServingError(refused.code, refused.error)
    assert "refused net/2" in caplog.text and refused.error in caplog.text


def test_a_bad_model_does_not_take_the_others_down(tmp_path):
    tiny.artifact(tmp_path, "good")
    half_written(tiny.artifact(tmp_path, "bad"))
    repository = load(tmp_path)
    assert repository.names() == ["bad", "good"]
    assert [model.name for model in repository.loaded()] == ["good"]
    with pytest.raises(ServingError, match=r"Servable not found for request: Latest\(bad\)"):
        find(repository, "bad")


def test_if_no_model_is_whole_the_reasons_are_named(tmp_path):
    half_written(tiny.artifact(tmp_path, "bad", 4))
    with pytest.raises(InputError, match="none of the models .* bad/4: got no manifest.json"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["missing", "empty", "file", "no_versions"])
def test_a_directory_without_models_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for path in ("net/latest", "net/1.tmp", ".hidden/1"):
        (tmp_path / "no_versions" / path).mkdir(parents=True)
    with pytest.raises(InputError, match=r"looked for NAME/VERSION/manifest.json in /.*" + name):
        Repository(Config(str(tmp_path / name)))


def test_a_loaded_model_answers_on_when_its_directory_vanishes(tmp_path):
    directory = tiny.artifact(tmp_path, "net")
    repository = load(tmp_path)
    shutil.rmtree(directory)
    image = tiny.ramp(3, 3)[None]
    answer = find(repository, "net").predict({"images": image})
    assert answer["probabilities"].shape == (1, len(tiny.LABELS))


def test_ready_is_first_when_all_models_serve_and_then_while_one_does(tmp_path):
    tiny.artifact(tmp_path, "net", 1)
    broken = tiny.artifact(tmp_path, "broken", 1)
    good = (broken / "model.onnx").read_bytes()
    file_lost(broken)
    repository = load(tmp_path)
    assert find(repository, "net").version == 1 and not repository.ready
    (refused,) = repository.refused().items()
    assert refused[0] == "broken/1" and "model.onnx is missing" in refused[1]
    (broken / "model.onnx").write_bytes(good)
    repository.look()
    assert repository.ready and not repository.refused()
    file_lost(tiny.artifact(tmp_path, "later", 1))
    repository.look()
    assert repository.ready and not repository.refused()
    assert repository.versions("later")[0].state == "END"
    repository.close()


def test_an_unloaded_model_keeps_nobody_from_being_ready(tmp_path):
    tiny.artifact(tmp_path, "net", 1)
    file_lost(tiny.artifact(tmp_path, "broken", 1))
    repository = load(tmp_path)
    assert not repository.ready
    repository.unload_model("broken")
    assert repository.ready
    repository.close()


def test_what_is_being_tried_again_makes_nobody_ready(tmp_path, monkeypatch):
    tiny.artifact(tmp_path, "net", 1)
    broken = tiny.artifact(tmp_path, "broken", 1)
    good = (broken / "model.onnx").read_bytes()
    file_lost(broken)
    repository, seen = load(tmp_path), []
    (broken / "model.onnx").write_bytes(good)
    warm_up = Model.warm_up
    monkeypatch.setattr(Model, "warm_up", lambda m: (seen.append(repository.ready), warm_up(m)))
    repository.look()
    assert seen == [False] and repository.ready
    repository.close()
