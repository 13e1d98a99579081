"""The runners on real files: ONNX Runtime and LiteRT, right answers and refused inputs."""

import concurrent.futures
import gc
import json
import os
import pathlib
import subprocess
import sys
import weakref

import numpy as np
import pytest

from dlcv_tf.artifact import pictures, runners
from dlcv_tf.artifact.manifest import ArtifactError
from dlcv_tf.errors import InputError
from tests.artifact import tiny


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return tiny.artifact(tmp_path_factory.mktemp("models"))


@pytest.mark.parametrize("shape", [(1, 8, 8, 3), (4, 5, 9, 3), (2, 1, 1, 3)])
def test_onnx_answers_as_its_oracle(artifact, shape):
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    answers = runners.load(artifact)(images)
    expected = tiny.probabilities(images)
    np.testing.assert_allclose(answers["probabilities"], expected, atol=1e-5)
    np.testing.assert_array_equal(answers["classes"], np.argsort(-expected, axis=1)[:, :5])
    np.testing.assert_allclose(answers["scores"], -np.sort(-expected, axis=1)[:, :5], atol=1e-5)
    assert {name: value.dtype.name for name, value in answers.items()} == {
        "probabilities": "float32",
        "classes": "int32",
        "scores": "float32",
    }


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((1, 8, 8, 1), np.uint8),
        np.zeros((0, 8, 8, 3), np.uint8),
        np.zeros((1, 0, 8, 3), np.uint8),
    ],
)
def test_wrong_pictures_are_refused(artifact, images):
    with pytest.raises(InputError, match=r"got images .* expected uint8 and \(any, any, any, 3\)"):
        runners.load(artifact)(images)


def test_unknown_and_unrunnable_formats_are_refused(artifact):
    with pytest.raises(InputError, match="did you mean 'onnx'"):
        runners.load(artifact, "onx")
    with pytest.raises(InputError, match="which TensorFlow runs"):
        runners.load(artifact, "saved_model")


@pytest.mark.parametrize("kind", [runners.OnnxRunner, runners.LiteRTRunner])
def test_a_file_that_is_missing_or_no_model_is_refused(tmp_path, kind):
    with pytest.raises(ArtifactError, match="got no file at"):
        kind(tmp_path / "model")
    (tmp_path / "model").write_bytes(b"no model at all")
    with pytest.raises(ArtifactError, match="is no model"):
        kind(tmp_path / "model")


@pytest.fixture(scope="module")
def tflite(tmp_path_factory):
    """A TensorFlow Lite classifier with a signature of meaningful names, and its oracle."""
    tf = pytest.importorskip("tensorflow")

    class Mean(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)])
        def serve(self, images):
            means = tf.reduce_mean(tf.cast(images, tf.float32), axis=(1, 2))
            return {"probabilities": tf.nn.softmax(means / 255.0), "means": means}

    module = Mean()
    function = module.serve.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
    path = tmp_path_factory.mktemp("tflite") / "model.tflite"
    path.write_bytes(converter.convert())
    return path


@pytest.mark.filterwarnings("ignore")  # the converter's own
def test_litert_takes_any_batch_and_size(tflite):
    runner = runners.LiteRTRunner(tflite, threads=1)
    for shape in [(1, 8, 8, 3), (3, 5, 9, 3), (1, 8, 8, 3)]:
        images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        answers = runner(images)
        np.testing.assert_allclose(answers["means"], images.mean(axis=(1, 2)), rtol=1e-4)


def test_litert_resizes_to_a_fixed_size_first(tflite):
    runner = runners.LiteRTRunner(tflite, image_size=[4, 4])
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3), np.uint8)
    resized = np.rint(pictures.resize(images, (4, 4)))
    np.testing.assert_allclose(runner(images)["means"], resized.mean(axis=(1, 2)), rtol=1e-4)
    with pytest.raises(InputError, match="expected uint8"):
        runner(images.astype(np.float32))


def test_an_artifact_gives_its_litert_runner(tflite, tmp_path):
    directory = tiny.artifact(tmp_path)
    (directory / "model_int8.tflite").write_bytes(tflite.read_bytes())
    path = directory / "manifest.json"
    values = json.loads(path.read_text())
    values["formats"]["tflite_int8"] = {"path": "model_int8.tflite", "image_size": [8, 8]}
    path.write_text(json.dumps(values))
    answers = runners.load(directory, "tflite_int8")(np.full((1, 3, 3, 3), 7, np.uint8))
    np.testing.assert_allclose(answers["means"], [[7, 7, 7]], rtol=1e-5)


def test_a_foreign_file_without_signature_runs(tflite, tmp_path):
    schema = pytest.importorskip("tensorflow.lite.python.schema_py_generated")
    import flatbuffers

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(tflite.read_bytes()))
    model.signatureDefs = []
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    path = tmp_path / "foreign.tflite"
    path.write_bytes(bytes(builder.Output()))
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 5, 3), np.uint8)
    answers = runners.LiteRTRunner(path)(images)
    assert len(answers) == 2
    sums = sorted(float(value.sum()) for value in answers.values())
    np.testing.assert_allclose(sums, [2.0, images.mean(axis=(1, 2)).sum()], rtol=1e-4)


def test_runners_answer_many_threads_at_once(artifact, tflite):
    onnx, litert = runners.load(artifact), runners.LiteRTRunner(tflite)
    batches = [np.full((1 + i % 3, 4 + i % 5, 6, 3), i, np.uint8) for i in range(64)]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        from_onnx = list(threads.map(onnx, batches))
        from_litert = list(threads.map(litert, batches))
    for images, first, second in zip(batches, from_onnx, from_litert, strict=True):
        np.testing.assert_allclose(first["probabilities"], tiny.probabilities(images), atol=1e-5)
        np.testing.assert_allclose(second["means"], images.mean(axis=(1, 2)), rtol=1e-5)


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_runtimes_report_to_nobody(artifact, tmp_path, format):
    """Their makers' builds keep an id of the machine at home, and send it with what they run."""
    if format == "openvino":
        pytest.importorskip("openvino")
    code = "import sys; from dlcv_tf.artifact import runners; runners.load(*sys.argv[1:])"
    # Nothing of the variables by which they know a test machine, where they are silent anyway.
    bare = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    root = pathlib.Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code, artifact, format], env=bare, cwd=root, check=True)
    assert [*tmp_path.rglob("*")] == []


@pytest.mark.parametrize("format", ["onnx", "tflite", "openvino"])
def test_a_runner_that_is_let_go_takes_its_network_with_it(artifact, tflite, format):
    """At once, and not when the garbage is collected: versions follow each other in a server."""
    if format == "openvino":
        pytest.importorskip("openvino")
    gc.disable()
    try:
        if format == "tflite":
            runner = runners.LiteRTRunner(tflite)
        else:
            runner = runners.load(artifact, format)
        runner(np.zeros((1, 8, 8, 3), runner.input_dtype))
        gone = weakref.ref(runner)
        del runner
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_a_runtime_gives_back_what_a_large_picture_took(artifact, tflite, kind):
    runner = runners.load(artifact) if kind == "onnx" else runners.LiteRTRunner(tflite)
    runner(np.zeros((1, 8, 8, 3), np.uint8))
    picture = np.zeros((1, 3000, 4000, 3), np.uint8)  # 144 MB as the floats that the graph has
    before = resident()
    for _ in range(2):
        runner(picture)
    assert resident() - before < 72e6


def resident() -> int:
    """Returns the bytes of this process that are in memory."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
