"""`serving/` is what its tool makes of the shipped models, and other programs read it."""

import argparse
import importlib.util
import pathlib
import tempfile

import onnxruntime
import pytest
import yaml
from google.protobuf import text_format

from dlcv_tf.artifact import batching_parameters, inference_messages
from dlcv_tf.cli import serve as verb
from dlcv_tf.packaging import package
from dlcv_tf.serve import config, models_config

ROOT = pathlib.Path(__file__).parents[2]
SERVING = ROOT / "serving"


def shipped(pattern):
    """Returns files in `serving/`, of which there must be some."""
    found = sorted(SERVING.rglob(pattern))
    assert found, f"no {pattern} in serving/"
    return found


def contents(directory):
    """Returns the text of every file below a package, as if it were in `serving/`."""
    return {
        path.relative_to(directory).as_posix(): path.read_text().replace(
            directory.parent.name, "serving"
        )
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def made():
    """Makes all packages anew, beside `serving/`: what they name is relative to them."""
    spec = importlib.util.spec_from_file_location("tool", ROOT / "tools" / "build_serving.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    with tempfile.TemporaryDirectory(dir=ROOT, prefix="serving-", suffix=".tmp") as directory:
        tool.build(pathlib.Path(directory))
        yield pathlib.Path(directory)


@pytest.mark.parametrize("target", package.TARGETS)
def test_serving_holds_what_the_tool_makes(made, target):
    here, anew = contents(SERVING / target), contents(made / target)
    assert here.keys() == anew.keys(), "run tools/build_serving.py"
    for name, text in here.items():
        assert text == anew[name], f"{target}/{name} is older: run tools/build_serving.py"


@pytest.mark.parametrize("path", shipped("*.pbtxt"), ids=lambda path: "/".join(path.parts[-4:]))
def test_triton_reads_its_configuration_and_the_onnx_file_agrees(path):
    read = text_format.Parse(path.read_text(), inference_messages.ModelConfig())
    assert read.max_batch_size > 1 and read.instance_group
    if read.backend != "onnxruntime":
        assert read.platform == "tensorflow_savedmodel"
        return
    artifact = ROOT / "savedmodels" / read.name / str(read.version_policy.specific.versions[-1])
    session = onnxruntime.InferenceSession(artifact / read.default_model_filename)
    for described, found in (
        (read.input, session.get_inputs()),
        (read.output, session.get_outputs()),
    ):
        assert {tensor.name for tensor in described} == {tensor.name for tensor in found}


def test_the_server_reads_what_tf_serving_is_given():
    models = models_config.read(SERVING / "tf-serving" / "models.config")
    assert models
    assert batching_parameters.read(SERVING / "tf-serving" / "batching.config")


@pytest.mark.parametrize("path", shipped("*.yaml"), ids=lambda path: "/".join(path.parts[-3:]))
def test_every_document_is_yaml(path):
    class Loader(yaml.SafeLoader):
        """Knows Compose's tag for a value that is taken away."""

    Loader.add_constructor("!reset", lambda *_: None)
    documents = [each for each in yaml.load_all(path.read_text(), Loader) if each]
    assert documents and all(isinstance(each, dict) for each in documents)


def test_kubernetes_starts_the_server_with_arguments_it_has():
    [deployment] = yaml.safe_load_all(
        (SERVING / "kubernetes" / "base" / "deployment.yaml").read_text()
    )
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    given = container["args"]
    options = parser.parse_args(given[1:] if given[0] == "serve" else given)
    assert config.Config(port=options.port, drain=options.drain).drain == options.drain
    assert pod["terminationGracePeriodSeconds"] > options.drain
    ports = {port["containerPort"] for port in container["ports"]}
    assert {options.port, options.grpc_port} <= ports
    paths = {container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")}
    assert paths == {"/v2/health/live", "/v2/health/ready"}
    assert container["securityContext"]["readOnlyRootFilesystem"]
