"""One version: its signatures, the outputs that are wanted, warm-up, and its end."""

import logging

import numpy as np
import pytest

from dlcv_tf.artifact import tfs_messages
from dlcv_tf.artifact.manifest import ArtifactError
from dlcv_tf.errors import InputError
from dlcv_tf.serve import warmup
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import ServingError
from dlcv_tf.serve.model import Model
from tests.artifact import tiny, tiny_places

PICTURE = tiny.ramp(9, 7)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    return Model("tiny", 1, tiny.artifact(models), Config(threads=1, batching="off"))


def example(**features) -> bytes:
    message = tfs_messages.Example()
    for name, data in features.items():
        message.features.feature[name].bytes_list.value.append(data)
    return message.SerializeToString()


def strings(*values) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def test_classify_takes_examples_and_names_classes(model):
    spec = model.signatures["classify"]
    assert spec["method"] == "tensorflow/serving/classify"
    assert [*spec["outputs"]] == ["classes", "scores"]
    call = Call()
    data = strings(*[example(image_bytes=tiny.encoded(PICTURE))] * 2)
    answers = model.predict({"inputs": data}, "classify", call)
    expected = tiny.probabilities(PICTURE[None])[0]
    assert answers["classes"][1, 0] == tiny.LABELS[int(expected.argmax())]
    np.testing.assert_allclose(answers["scores"][1], -np.sort(-expected)[:5], atol=1e-5)
    assert (call.signature, call.pictures, call.batch) == ("classify", 2, 2)
    with pytest.raises(InputError, match="Feature: image_bytes .* is required"):
        model.predict({"inputs": strings(example(other=b"x"))}, "classify")


def test_only_classifiers_classify(tmp_path):
    detector = Model("boxes", 1, tiny_places.detector(tmp_path), Config())
    assert [*detector.signatures] == ["serving_default", "image_bytes"]


def test_only_wanted_outputs_are_answered(model):
    images = PICTURE[None]
    assert [*model.predict({"images": images}, outputs=["scores"])] == ["scores"]
    files = strings(tiny.encoded(PICTURE))
    wanted = {"labels", "classes"}
    answers = model.predict({"image_bytes": files}, "image_bytes", outputs=wanted)
    assert [*answers] == ["classes", "labels"]
    with pytest.raises(ServingError, match=r"got outputs \['labels'\], expected some of"):
        model.predict({"images": images}, outputs=["labels"])
    with pytest.raises(ServingError, match=r"got no input images, expected \['images'\]"):
        model.predict({"pixels": images})


def record(signature, **inputs) -> bytes:
    log = tfs_messages.PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = signature
    for name, values in inputs.items():
        request.inputs[name].CopyFrom(tfs_messages.tensor(values))
    data = log.SerializeToString()
    return len(data).to_bytes(8, "little") + b"\0\0\0\0" + data + b"\0\0\0\0"


def with_requests(models, data: bytes):
    """Writes an artifact with a file of warm-up requests."""
    directory = tiny.artifact(models)
    path = directory / warmup.FILE
    path.parent.mkdir()
    path.write_bytes(data)
    tiny.manifest().write(directory)
    return directory


def test_recorded_requests_warm_it_up(tmp_path, caplog):
    images = np.stack([PICTURE] * 3)
    data = record("serving_default", images=images)
    data += record("image_bytes", image_bytes=[tiny.encoded(PICTURE)])
    directory = with_requests(tmp_path, data)
    caplog.set_level(logging.INFO)
    model = Model("tiny", 1, directory, Config())
    ran = []
    queue = model.executor
    model.executor = lambda images, call: ran.append(images.shape) or queue(images, call)
    model.warm_up()
    assert ran == [(3, 9, 7, 3), (1, 9, 7, 3)]
    np.testing.assert_array_equal(warmup.picture(directory, model.manifest), images[:1])
    assert "tiny/1: onnx" in caplog.text


def test_without_recorded_requests_one_picture_is_made_up(model):
    ran = warmup.requests(model._directory, model.manifest)
    assert [name for name, _ in ran] == ["serving_default", "image_bytes"]
    assert ran[0][1]["images"].shape == (1, 8, 8, 3)
    model.warm_up()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (record("serving_default", images=PICTURE[None])[:-9], "holds no warm-up requests"),
        (b"\5\0\0\0\0\0\0\0\0\0\0\0hello\0\0\0\0", "holds no warm-up requests"),
        (record("", images=PICTURE[None]) * 1001, "has 1001 records, expected at most 1000"),
    ],
)
def test_damaged_requests_refuse_the_version(tmp_path, data, message):
    with pytest.raises(ArtifactError, match=message):
        Model("tiny", 1, with_requests(tmp_path, data), Config())


def test_a_request_that_cannot_be_answered_refuses_the_version(tmp_path):
    data = record("", images=PICTURE[None]) + record("nope", images=PICTURE[None])
    model = Model("tiny", 1, with_requests(tmp_path, data), Config())
    with pytest.raises(ArtifactError, match="fails at a warm-up request of signature nope"):
        model.warm_up()


def test_a_signature_that_only_tensorflow_runs_says_so(tmp_path):
    directory = tiny.artifact(tmp_path)
    values = tiny.manifest()
    values.signatures["features"] = values.signatures["serving_default"]
    values.write(directory)
    model = Model("tiny", 1, directory, Config())
    with pytest.raises(ServingError, match="serve with --executor tensorflow, not onnx"):
        model.predict({"images": PICTURE[None]}, "features")
