"""A segmenter: answers at the size of the picture, learns, refuses what it cannot do."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import data, models, tasks
from dlcv_tf.errors import InputError

LABELS = ["background", "left", "right"]


def segmenter(size=(16, 16), builder=models.strided_unet, **options):
    keras.utils.set_random_seed(0)
    options = {"filters": (6, 8)} if builder is models.strided_unet else options
    network = builder((*size, 3), 3, **options)
    return tasks.Segmenter(network, data.Preprocess(size), LABELS)


def scenes(count=8, size=(16, 16)):
    """Returns pictures with a red patch on the left and a blue one on the right, and their maps."""
    height, width = size
    random = np.random.default_rng(0)
    images = random.integers(100, 140, (count, *size, 3)).astype(np.uint8)
    maps = np.zeros((count, *size), np.uint8)
    third = width // 3
    maps[:, height // 4 :, :third], maps[:, height // 4 :, -third:] = 1, 2
    images[maps == 1], images[maps == 2] = (250, 20, 20), (20, 20, 250)
    return images, maps


def test_it_learns_and_answers_at_the_size_of_the_pictures():
    task = segmenter()
    task.compile(keras.optimizers.Adam(0.02))
    images, maps = scenes()
    task.fit(images, maps, epochs=40, batch_size=8, verbose=0)
    batches = tf.data.Dataset.from_tensor_slices((images, maps)).batch(4)
    measured = task.measure(batches)
    reported = task.evaluate(batches, return_dict=True, verbose=0)
    assert measured["miou"] > 0.75
    assert reported["miou"] == pytest.approx(measured["miou"], abs=1e-5)
    assert reported["crossentropy"] == pytest.approx(reported["loss"], abs=1e-5)
    large, large_maps = scenes(size=(40, 64))
    answer = task.answer(large)["class_map"]
    assert answer.shape == (8, 40, 64) and answer.dtype == tf.uint8
    assert np.mean(answer == large_maps) > 0.9


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (60, 15), (16, 16)])
def test_any_picture_has_a_class_map_of_its_size(size):
    answer = segmenter().answer(np.zeros((2, *size, 3), np.uint8))["class_map"]
    assert answer.shape == (2, *size)


def test_decoding_is_the_likeliest_class_of_interpolated_logits():
    task = segmenter((4, 4))
    logits = tf.constant([[[[0.0, 3, 0], [4, 0, 0]], [[0, 0, 1], [0, 1, 0]]]])
    half = task.decode({"logits": logits}, (2, 2))["class_map"]
    np.testing.assert_array_equal(half[0], [[1, 0], [2, 1]])
    whole = task.decode({"logits": logits})["class_map"]
    assert whole.shape == (1, 4, 4)
    np.testing.assert_array_equal(np.asarray(whole)[0, ::3, ::3], half[0])
    rows = task.decode({"logits": logits}, tf.constant([[4, 4]]))["class_map"]
    np.testing.assert_array_equal(rows, whole)
    both = tf.concat([logits, logits], axis=0)
    with pytest.raises(InputError, match="got pictures of sizes .* expected one size"):
        task.decode({"logits": both}, tf.constant([[4, 4], [2, 2]]))


def test_an_unknown_class_makes_the_loss_nan_and_training_stops():
    task = segmenter()
    task.compile(keras.optimizers.SGD(0.01))
    images, maps = scenes(2)
    maps[0, 0, 0] = 9
    history = task.fit(images, maps, verbose=0, callbacks=[keras.callbacks.TerminateOnNaN()])
    assert np.isnan(history.history["loss"][-1])


def test_all_ignored_is_no_loss():
    task = segmenter()
    task.compile(keras.optimizers.SGD(0.01))
    images, maps = scenes(2)
    assert task.evaluate(images, maps * 0 + 255, return_dict=True, verbose=0)["loss"] == 0


def test_a_second_head_is_trained_too():
    network = models.fcn_resnet50((32, 32, 3), 3, width=4, auxiliary=True)
    task = tasks.Segmenter(network, data.Preprocess((32, 32)), LABELS, dice_weight=0.5)
    task.compile(keras.optimizers.SGD(0.01))
    result = task.evaluate(*scenes(2, (32, 32)), return_dict=True, verbose=0)
    parts = result["crossentropy"] + result["auxiliary"] + result["dice"]
    assert result["loss"] == pytest.approx(parts, rel=1e-4)
    assert result["auxiliary"] == pytest.approx(np.log(3) / 2, rel=0.05)


def test_bad_arguments_are_named():
    preprocess = data.Preprocess((32, 32))
    whole = models.full_resolution((32, 32, 3), 3, width=2, depth=1)
    with pytest.raises(InputError, match="got 2 labels for a network with outputs"):
        tasks.Segmenter(whole, preprocess, LABELS[:2])
    middle = models.unet((36, 36, 3), 3, width=2, levels=2, padding="valid")
    with pytest.raises(InputError, match="got logits of .* padding=.mirror"):
        tasks.Segmenter(middle, data.Preprocess((36, 36)), LABELS)
    with pytest.raises(InputError, match="got 2 class_weights for 3 labels"):
        tasks.Segmenter(whole, preprocess, LABELS, class_weights=[1, 2])
    with pytest.raises(InputError, match="got dice_weight=-1"):
        tasks.Segmenter(whole, preprocess, LABELS, dice_weight=-1)
    classifier = models.linear((32, 32, 3), 3)
    with pytest.raises(InputError, match="expected 'logits' of one score per label and pixel"):
        tasks.Segmenter(classifier, preprocess, LABELS)
