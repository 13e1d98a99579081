"""What single targets make of models: versions, labels, warm-up requests, names, copies."""

import dataclasses
import shutil

import pytest
from google.protobuf import text_format

from dlcv_tf.artifact import inference_messages, manifest
from dlcv_tf.errors import InputError
from dlcv_tf.packaging import docker, models, package, plan, triton_config, warm_up
from dlcv_tf.serve import models_config
from dlcv_tf.serve import warmup as served
from tests.artifact import tiny


def with_saved_model(directory):
    """Lets an artifact have the file that TensorFlow would load, which no test here reads."""
    (directory / "saved_model.pb").write_bytes(b"graph")
    manifest.Manifest.load(directory).write(directory)
    return directory


@pytest.fixture
def two_versions(tmp_path):
    return [
        with_saved_model(tiny.artifact(tmp_path / "models", "tiny", version)) for version in (9, 10)
    ]


def test_of_two_versions_the_newer_is_the_canary(two_versions, tmp_path):
    into = tmp_path / "package"
    package.write("ray", two_versions, plan.Plan(into))
    [source] = models_config.read(into / "models.config")
    assert source.labels == {"stable": 9, "canary": 10}
    assert source.policy.specific == {9, 10}
    assert (source.base_path / "10" / "manifest.json").is_file()
    package.write("tf-serving", two_versions, plan.Plan(tmp_path / "other"))
    compose = (tmp_path / "other" / "compose.yaml").read_text()
    assert "--allow_version_labels_for_unavailable_models" in compose


def test_warm_up_requests_are_made_where_an_export_lacks_them(two_versions, tmp_path):
    into = tmp_path / "package"
    package.write("tf-serving", two_versions[:1], plan.Plan(into))
    made = served.requests(into / "models/tiny/9", manifest.Manifest.load(two_versions[0]))
    assert [name for name, _ in made] == ["serving_default", "image_bytes"]
    assert made[0][1]["images"].shape == (1, 8, 8, 3)
    assert made[1][1]["image_bytes"][0].startswith(b"\x89PNG")
    # CRC-32C of "123456789" is 0xE3069283 (RFC 3720), which TFRecord rotates and shifts.
    masked = ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert warm_up.record(b"123456789")[-4:] == masked.to_bytes(4, "little")
    with pytest.raises(InputError, match="leave out --no-copy"):
        package.write("tf-serving", two_versions, plan.Plan(tmp_path / "other", copy=False))


def test_a_number_for_each_picture_has_one_axis_in_triton(two_versions):
    found = models.read(two_versions)
    tensors = found[1].manifest.signatures["serving_default"]
    tensors["outputs"]["count"] = {"dtype": "int32", "shape": [None]}
    config = text_format.Parse(
        triton_config.text(triton_config.tensorrt(found[1:])), inference_messages.ModelConfig()
    )
    count = {output.name: output for output in config.output}["count"]
    assert list(count.dims) == [1] and count.HasField("reshape") and not count.reshape.shape
    assert list(config.input[0].dims) == [8, 8, 3]
    with pytest.raises(InputError, match="do not take and answer the same"):
        triton_config.onnx(found)


def test_an_onnx_file_that_is_not_what_the_manifest_says_is_refused(two_versions):
    [model] = models.read(two_versions[:1])
    triton_config.check_file(model, model.directory / "model.onnx")
    model.tensors["outputs"]["scores"]["shape"] = [None, 4, 4]
    with pytest.raises(InputError, match="got scores of the shape"):
        triton_config.check_file(model, model.directory / "model.onnx")


@pytest.mark.parametrize(
    "name", ["../up", "a b", "a:b", "a/b", "-x", "", "x" * 64, 'q"x', "...", "né"]
)
def test_odd_names_are_refused(name, tmp_path):
    directory = tiny.artifact(tmp_path, "tiny", 1)
    dataclasses.replace(manifest.Manifest.load(directory), name=name).write(directory)
    with pytest.raises(InputError, match="got the model name"):
        package.write("kubernetes", [directory], plan.Plan(tmp_path / "package"))


def test_names_that_a_cluster_cannot_tell_apart_are_refused(tmp_path):
    made = [tiny.artifact(tmp_path, name, 1) for name in ("a_b", "a-b")]
    with pytest.raises(InputError, match="which would both be 'a-b'"):
        package.write("kserve", made, plan.Plan(tmp_path / "package"))


def test_the_image_holds_no_package_of_tensorflow():
    for text in (docker.requirements(), docker.requirements(gpu=True)):
        assert "tensorflow" not in text and "onnxruntime" in text
        assert all("==" in line for line in text.splitlines() if line[:1].isalpha())
    names = [line.partition("==")[0] for line in docker.requirements(gpu=True).splitlines()]
    assert "onnxruntime-gpu" in names and "onnxruntime" not in names


def test_the_images_packages_are_those_of_the_lock():
    from tools import lock_server

    assert lock_server.server_lock() == docker.requirements(), "run tools/lock_server.py"


def test_artifacts_elsewhere_cannot_stay_there_for_docker(tmp_path):
    directory = shutil.copytree(tiny.artifact(tmp_path, "tiny", 1), tmp_path / "copy")
    with pytest.raises(InputError, match="leave out --no-copy"):
        package.write("docker", [directory], plan.Plan(tmp_path / "package", copy=False))
