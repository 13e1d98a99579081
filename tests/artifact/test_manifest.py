"""The manifest: round trip, checksums, and what is refused."""

import json

import pytest

from dlcv_tf.artifact import manifest
from dlcv_tf.artifact.manifest import ArtifactError, Manifest
from tests.artifact import tiny


def test_written_manifest_loads_equal(tmp_path):
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables" / "data").write_bytes(b"12345")
    written = tiny.manifest().write(tmp_path)
    assert Manifest.load(tmp_path) == written == manifest.verify(tmp_path)
    # sha256sum of "12345"
    assert written.files == {
        "variables/data": {
            "bytes": 5,
            "sha256": "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5",
        }
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", "variables"]


def test_writing_again_sees_changed_files_and_not_itself(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"one")
    (tmp_path / "manifest.json.tmp").write_bytes(b"left by a crash")
    tiny.manifest().write(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"two")
    with pytest.raises(ArtifactError):
        manifest.verify(tmp_path)
    assert list(tiny.manifest().write(tmp_path).files) == ["model.onnx"]
    manifest.verify(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "model.onnx is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "model.onnx .* got bytes"),
        (lambda path: path.write_bytes(b"x" + path.read_bytes()[1:]), "model.onnx .* got sha256"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, damage, message):
    directory = tiny.artifact(tmp_path)
    damage(directory / "model.onnx")
    with pytest.raises(ArtifactError, match=message):
        manifest.verify(directory)


def test_a_half_written_artifact_is_refused(tmp_path):
    tiny.onnx_classifier(tmp_path / "model.onnx")
    with pytest.raises(ArtifactError, match="no manifest.json in .* writes it last"):
        Manifest.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "got schema 2, expected 1"),
        ({"colour": "red"}, r"unknown keys \['colour'\]"),
        ({"labels": "red"}, "got 'red' as 'labels', expected list"),
        ({"version": None}, "got None as 'version', expected int"),
        ({"files": {"../escape": {}}}, "'../escape', expected one in the artifact"),
        ({"files": {"model.onnx": 3}}, "got 3 as files"),
        ({"formats": {"onnx": {"path": "/etc/passwd"}}}, "expected one in the artifact"),
        ({"formats": {"onnx": {}}}, "got the path None"),
    ],
)
def test_a_manifest_of_wrong_content_is_refused(tmp_path, change, message):
    directory = tiny.artifact(tmp_path)
    path = directory / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ArtifactError, match=message):
        manifest.verify(directory)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_manifest_that_is_no_object_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"manifest.json"):
        Manifest.load(tmp_path)


def test_a_manifest_without_labels_is_refused(tmp_path):
    path = tiny.artifact(tmp_path) / "manifest.json"
    values = json.loads(path.read_text())
    del values["labels"]
    path.write_text(json.dumps(values))
    with pytest.raises(ArtifactError, match="got nothing as 'labels'"):
        Manifest.load(path.parent)
