"""`NearestNeighbours` is a classifier that remembers: fit, evaluate, predict, save and export."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.neighbors import KNeighborsClassifier

from dlcv_tf import data, export, models, tasks
from dlcv_tf.data import digits
from dlcv_tf.errors import InputError
from dlcv_tf.export import parity
from tests.helpers import pictures

LABELS = list("0123456789")


def task(num_examples, k=3, distance="l2", mean=0.0, std=1.0):
    network = models.knn((8, 8, 1), 10, num_examples, k=k, distance=distance)
    return tasks.NearestNeighbours(network, data.Preprocess((8, 8), 1, mean, std), LABELS)


def fitted(**options):
    images, labels = digits.arrays("train")
    made = task(len(images), **options)
    made.compile()
    made.fit(images, labels)
    return made


@pytest.mark.parametrize("distance, metric", [("l1", "manhattan"), ("l2", "euclidean")])
@pytest.mark.parametrize("k", [1, 4])
def test_it_answers_as_scikit_learn_does(distance, metric, k):
    made = fitted(k=k, distance=distance)
    images, labels = digits.arrays("test")
    known, numbers = digits.arrays("train")
    other = KNeighborsClassifier(k, algorithm="brute", metric=metric)
    other.fit(known.reshape(-1, 64).astype(float), numbers)
    queries = images.reshape(-1, 64).astype(float)
    answers = made.answer(images)
    np.testing.assert_allclose(answers["probabilities"], other.predict_proba(queries), atol=1e-6)
    predicted = np.argmax(made.predict(images, verbose=0)["logits"], axis=1)
    np.testing.assert_array_equal(predicted, other.predict(queries))
    np.testing.assert_array_equal(answers["classes"][:, 0], predicted)
    accuracy = made.evaluate(images, labels, return_dict=True, verbose=0)["accuracy"]
    assert accuracy == pytest.approx(np.mean(predicted == labels)) and accuracy > 0.97


def test_classes_with_as_many_votes_go_to_the_smaller_number():
    made = task(4, k=4)
    made.fit(pictures(4, (8, 8), 1), np.array([7, 2, 2, 7]))
    answers = made.answer(pictures(1, (8, 8), 1))
    assert answers["classes"][0, :2].numpy().tolist() == [2, 7]
    np.testing.assert_allclose(answers["scores"][0, :2], 0.5, atol=1e-6)
    assert np.isfinite(made(pictures(1, (8, 8), 1))["logits"]).all()


def test_fit_takes_batches_of_a_data_set_and_calls_callbacks():
    dataset = data.load("digits", "val")[0]
    made, seen = task(180, k=1), []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs))
    made.compile()
    batches = dataset.batch(50)
    history = made.fit(batches, validation_data=batches, callbacks=[callback], epochs=7)
    assert history.history["val_accuracy"] == [1.0] and len(seen) == 1
    assert made.fit(*digits.arrays("val")).history == {}
    np.testing.assert_array_equal(made.memory.example_labels, digits.arrays("val")[1])


def test_fit_again_forgets():
    images, labels = digits.arrays("val")
    made = task(90, k=1)
    made.fit(images[:90], labels[:90])
    made.fit(images[90:], labels[90:])
    answers = made.answer(images[90:])
    np.testing.assert_array_equal(answers["classes"][:, 0], labels[90:])


def test_it_is_saved_with_its_examples(tmp_path):
    made = fitted(k=3, distance="l1")
    made.save(tmp_path / "task.keras")
    loaded = keras.models.load_model(tmp_path / "task.keras")
    images, labels = digits.arrays("test")
    for name, values in made.answer(images).items():
        np.testing.assert_array_equal(loaded.answer(images)[name], values)
    assert loaded.evaluate(images, labels, verbose=0) == made.evaluate(images, labels, verbose=0)


def test_bad_input_says_how_to_mend_it():
    images, labels = digits.arrays("val")
    with pytest.raises(InputError, match="got k=11 with 10 examples"):
        task(10, k=11)
    with pytest.raises(InputError, match=r"got 180 examples for 181 places.*num_examples=180"):
        task(181).fit(images, labels)
    with pytest.raises(InputError, match="examples or more for 100 places"):
        task(100).fit(images, labels)
    with pytest.raises(InputError, match="got 180 pictures and 179 labels"):
        task(180).fit(images, labels[1:])
    with pytest.raises(InputError, match="got 180 pictures and 0 labels"):
        task(180).fit(images)
    with pytest.raises(InputError, match="got the label 10, expected 0 to 9"):
        task(180).fit(images, labels + 1)
    bad = images.astype(np.float32)
    bad[5, 3, 3] = np.nan
    with pytest.raises(InputError, match="with a NaN"):
        task(180).fit(bad, labels)
    with pytest.raises(InputError, match=r"call its batch\(256\)"):
        task(180).fit(data.load("digits", "val")[0])
    with pytest.raises(InputError, match="0 layers that remember examples"):
        network = models.linear((8, 8, 1), 10)
        tasks.NearestNeighbours(network, data.Preprocess((8, 8), 1), LABELS)
    with pytest.raises(InputError, match="expected a call of fit"):
        task(180).train_step((images, labels))


@pytest.mark.slow
@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_every_format_answers_as_the_task(tmp_path, distance):
    directory = export.export(
        fitted(distance=distance),
        "knn",
        test=data.load("digits", "test")[0],
        calibration=data.load("digits", "train")[0],
        root=tmp_path,
    )
    formats = json.loads((directory / "manifest.json").read_text())["formats"]
    assert formats.keys() == {"saved_model", "onnx", "tflite", "tflite_int8"}
    for name, facts in formats.items():
        assert facts["accuracy"] > 0.97
        if name != "tflite_int8":  # whole numbers, so that not one neighbour differs
            assert facts["worst_error"] < 1e-6
    answers = parity.saved_model_runner(directory)(digits.arrays("test")[0])
    assert answers["probabilities"].shape == (359, 10)


def test_l1_is_compiled_and_answers_alike_without():
    images, labels = digits.arrays("test")
    made = fitted(distance="l1")
    assert made.jit_compile
    compiled = made.predict(images, verbose=0)["logits"]
    made.compile(jit_compile=False)
    np.testing.assert_array_equal(made.predict(images, verbose=0)["logits"], compiled)
    assert tf.executing_eagerly()
