"""Classify, Regress and MultiInference: tf.Example protos in, labels and scores out."""

import numpy as np
import pytest

from dlcv_tf.artifact import tfs_messages
from dlcv_tf.serve import tensorflow_examples
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.errors import ServingError
from tests.artifact import tiny
from tests.serve import grpc_client

PICTURES = [tiny.ramp(6, 5), tiny.ramp(9, 4)[::-1]]
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


@pytest.fixture(scope="module")
def client(models_dir):
    with grpc_client.running(models_dir) as client:
        yield client


def example(**features):
    return tfs_messages.Example(
        features={"feature": {k: {"bytes_list": {"value": [v]}} for k, v in features.items()}}
    )


def inputs(pictures=PICTURES):
    examples = [example(image_bytes=tiny.encoded(np.ascontiguousarray(p))) for p in pictures]
    return tfs_messages.Input(example_list={"examples": examples})


def with_context(pictures, context):
    """Examples of which some leave the picture to the context."""
    examples = [
        example() if picture is None else example(image_bytes=tiny.encoded(picture))
        for picture in pictures
    ]
    kind = {"examples": examples, "context": example(image_bytes=tiny.encoded(context))}
    return tfs_messages.Input(example_list_with_context=kind)


def request(signature="classify", examples=None, **spec):
    return tfs_messages.ClassificationRequest(
        model_spec={"name": "tiny", "signature_name": signature, **spec},
        input=inputs() if examples is None else examples,
    )


def check(result, pictures):
    """The five best of each picture, best first, as NumPy has them."""
    assert len(result.classifications) == len(pictures)
    for found, picture in zip(result.classifications, pictures, strict=True):
        expected = tiny.probabilities(picture[None])[0]
        best = np.argsort(-expected)[:5]
        assert [c.label for c in found.classes] == [tiny.LABELS[i] for i in best]
        np.testing.assert_allclose([c.score for c in found.classes], expected[best], rtol=1e-5)


def test_classify(client):
    response = client("PredictionService/Classify", request())
    check(response.result, PICTURES)
    assert response.model_spec.version.value == 10
    assert response.model_spec.signature_name == "classify"
    call = client.calls[-1]
    assert (call.method, call.model, call.signature, call.pictures) == (
        "classify",
        "tiny",
        "classify",
        2,
    )


def test_the_context_is_part_of_every_example_that_has_not_its_own(client):
    examples = with_context([None, PICTURES[0]], context=PICTURES[1])
    response = client("PredictionService/Classify", request(examples=examples))
    check(response.result, [PICTURES[1], PICTURES[0]])


def test_predict_takes_serialized_examples_too(client):
    predict = tfs_messages.PredictRequest(model_spec={"name": "tiny", "signature_name": "classify"})
    serialized = [e.SerializeToString() for e in inputs().example_list.examples]
    predict.inputs["inputs"].CopyFrom(tfs_messages.tensor(serialized))
    outputs = client("PredictionService/Predict", predict).outputs
    assert outputs.keys() == {"classes", "scores"}
    best = [tiny.LABELS[int(tiny.probabilities(p[None]).argmax())] for p in PICTURES]
    assert [v.decode() for v in outputs["classes"].string_val[::5]] == best


def test_multi_inference(client):
    task = tfs_messages.InferenceTask(
        model_spec={"name": "tiny", "signature_name": "classify"}, method_name=CLASSIFY
    )
    multi = tfs_messages.MultiInferenceRequest(tasks=[task], input=inputs())
    (result,) = client("PredictionService/MultiInference", multi).results
    check(result.classification_result, PICTURES)
    assert result.model_spec.version.value == 10
    assert result.model_spec.signature_name == "classify"
    multi.tasks.append(task)
    assert client.error("PredictionService/MultiInference", multi) == (
        "INVALID_ARGUMENT",
        "Duplicate evaluation of signature: classify",
    )
    del multi.tasks[1]
    multi.tasks[0].method_name = REGRESS
    code, text = client.error("PredictionService/MultiInference", multi)
    assert code == "INVALID_ARGUMENT" and text.endswith(f"{REGRESS}. Was: {CLASSIFY}")


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        (tfs_messages.Input(), "Input is empty."),
        (tfs_messages.Input(example_list={}), "Input is empty."),
        (
            tfs_messages.Input(example_list={"examples": [example(x=b"")]}),
            "Name: <unknown>, Feature: image_bytes (data type: string) is required but could not "
            "be found in example 0.",
        ),
        (
            tfs_messages.Input(example_list={"examples": [example(image_bytes=b"no")]}),
            "got 2 bytes that are no picture, expected one of ",
        ),
    ],
)
def test_examples_that_cannot_be_classified(client, examples, message):
    code, text = client.error("PredictionService/Classify", request(examples=examples))
    assert code == "INVALID_ARGUMENT" and text.startswith(message)


class Regressor:
    """A model with a signature for regression: the mean of a picture's file's bytes."""

    signatures = {"serving_default": {"method": REGRESS}}

    def __init__(self, shape):
        self.shape = shape

    def predict(self, values, signature, call):
        assert signature == "serving_default"
        means = [np.frombuffer(one, np.uint8).mean() for one in values["inputs"]]
        return {"outputs": np.array(means, np.float32).reshape(self.shape)}


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_regress(shape):
    result = tensorflow_examples.regress(Regressor(shape), "", inputs(), Call())
    expected = [
        np.frombuffer(e.SerializeToString(), np.uint8).mean()
        for e in inputs().example_list.examples
    ]
    np.testing.assert_allclose([r.value for r in result.regressions], expected, rtol=1e-6)


def test_regress_of_what_is_no_number_for_each_example():
    with pytest.raises(ServingError, match=r"\[batch_size, 1\] but got \[1, 2\]"):
        tensorflow_examples.regress(Regressor((1, 2)), "", inputs(), Call())
