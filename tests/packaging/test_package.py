"""A package is written whole, from artifacts that a target can take, over nothing of the user's."""

import json

import pytest
import yaml

from dlcv_tf.artifact.manifest import ArtifactError
from dlcv_tf.cli import main
from dlcv_tf.errors import InputError
from dlcv_tf.packaging import package, plan
from tests.artifact import tiny


@pytest.fixture
def artifact(tmp_path):
    tiny.artifact(tmp_path / "models", "tiny", 3)
    return tmp_path / "models" / "tiny" / "3"


@pytest.mark.parametrize("target", ["docker", "kubernetes", "ray"])
def test_a_package_holds_its_models(target, artifact, tmp_path):
    into = tmp_path / "package"
    written = package.write(target, [artifact], plan.Plan(into))
    there = {path.relative_to(into).as_posix() for path in into.rglob("*") if path.is_file()}
    assert there == {*written}
    assert "tiny" in (into / "README.md").read_text()
    if target != "kubernetes":  # whose pods mount a volume
        assert any(name.endswith("tiny/3/model.onnx") for name in written)


def test_what_is_there_is_kept(artifact, tmp_path):
    into = tmp_path / "package"
    into.mkdir()
    (into / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="which holds something else than a package"):
        package.write("kubernetes", [artifact], plan.Plan(into), force=True)
    (into / "notes.txt").unlink()
    package.write("kubernetes", [artifact], plan.Plan(into))
    (into / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="--force replaces its files"):
        package.write("kubernetes", [artifact], plan.Plan(into))
    package.write("ray", [artifact], plan.Plan(into), force=True)
    assert (into / "notes.txt").read_text() == "mine"
    assert (into / "serve_config.yaml").exists() and not (into / "base").exists()


def test_a_record_cannot_name_files_elsewhere(artifact, tmp_path):
    into, outside = tmp_path / "package", tmp_path / "precious"
    outside.write_text("mine")
    package.write("kubernetes", [artifact], plan.Plan(into))
    (into / package.RECORD).write_text(json.dumps({"files": ["../precious"]}))
    with pytest.raises(InputError, match="names files outside of it"):
        package.write("kubernetes", [artifact], plan.Plan(into), force=True)
    assert outside.read_text() == "mine"


def test_damaged_and_doubled_artifacts_are_refused(artifact, tmp_path):
    with pytest.raises(InputError, match="twice"):
        package.write("ray", [artifact, artifact], plan.Plan(tmp_path / "package"))
    with (artifact / "model.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ArtifactError):
        package.write("ray", [artifact], plan.Plan(tmp_path / "package"))
    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize("image", ["Upper:1", "a b", "x;rm -rf", ""])
def test_odd_images_are_refused(image, tmp_path):
    with pytest.raises(InputError, match="got the image"):
        plan.Plan(tmp_path, image=image)


def test_the_verb(artifact, tmp_path, capsys):
    into = str(tmp_path / "package")
    assert main.main(["package", "kubernetes", str(artifact), "-o", into, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["target"] == "kubernetes"
    assert main.main(["package", "kubernets", str(artifact), "-o", into]) != 0
    assert "kubernetes" in capsys.readouterr().err


def test_kubernetes_takes_every_manifest(artifact, tmp_path):
    validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
    package.write("kubernetes", [artifact], plan.Plan(tmp_path / "package"))
    checked = 0
    for path in (tmp_path / "package" / "base").glob("*.yaml"):
        for document in yaml.safe_load_all(path.read_text()):
            if document["apiVersion"].startswith("kustomize"):
                continue
            validate.validate(document, validate.latest_version(), strict=True)
            checked += 1
    assert checked >= 4
