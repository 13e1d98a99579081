"""Losses of class maps against NumPy, by hand, and what they refuse."""

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import losses
from dlcv_tf.errors import InputError

RANDOM = np.random.default_rng(0)
MAPS = RANDOM.integers(0, 4, (2, 3, 5))
MAPS[0, 0, :2] = 255
LOGITS = RANDOM.normal(size=(2, 3, 5, 4))
WEIGHTS = np.array([0.5, 2.0, 0.0, 1.25])


def crossentropy(maps, logits, weights, by):
    """Returns the loss and its gradient by the logits, pixel by pixel."""
    total, weight_sum, pixels, gradient = 0.0, 0.0, 0, np.zeros(logits.shape)
    for place in np.ndindex(maps.shape):
        if maps[place] == 255:
            continue
        scores = np.exp(logits[place] - logits[place].max())
        probabilities = scores / scores.sum()
        weight = weights[maps[place]]
        total -= weight * np.log(probabilities[maps[place]])
        gradient[place] = weight * (probabilities - np.eye(len(weights))[maps[place]])
        weight_sum, pixels = weight_sum + weight, pixels + 1
    divisor = weight_sum if by == "weights" else pixels
    return total / divisor, gradient / divisor


@pytest.mark.parametrize("by", ["weights", "pixels"])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_crossentropy_and_its_gradient(by, weights):
    values = tf.constant(LOGITS)
    with tf.GradientTape() as tape:
        tape.watch(values)
        loss = losses.pixel_crossentropy(MAPS, values, class_weights=weights, normalize_by=by)
    plain = np.ones(4) if weights is None else weights
    expected, gradient = crossentropy(MAPS, LOGITS, plain, by)
    assert abs(float(loss) - expected) < 1e-12
    np.testing.assert_allclose(tape.gradient(loss, values), gradient, atol=1e-12)


def dice(maps, logits, smooth, squared, per_picture):
    scores = np.exp(logits - logits.max(-1, keepdims=True))
    found = scores / scores.sum(-1, keepdims=True)
    pictures = [slice(n, n + 1) for n in range(len(maps))] if per_picture else [slice(None)]
    values = []
    for picture in pictures:
        kept = maps[picture] != 255
        for number in range(logits.shape[-1]):
            truth = (maps[picture] == number)[kept].astype(float)
            p = found[picture][..., number][kept]
            size = truth.sum() + (p**2 if squared else p).sum()
            values.append((2 * (truth * p).sum() + smooth) / (size + smooth))
    return 1 - np.mean(values)


@pytest.mark.parametrize("smooth", [0.5, 1.0])
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("per_picture", [False, True])
def test_dice(smooth, squared, per_picture):
    options = {"smooth": smooth, "squared": squared, "per_picture": per_picture}
    loss = losses.dice_loss(MAPS, tf.constant(LOGITS), **options)
    assert abs(float(loss) - dice(MAPS, LOGITS, **options)) < 1e-12


def test_a_perfect_answer_costs_nothing_and_a_wrong_one_much():
    maps = np.array([[[0, 1, 255]]])
    logits = np.array([[[[50.0, 0], [0, 50.0], [0, 50.0]]]])
    for loss in (losses.pixel_crossentropy, losses.dice_loss):
        assert float(loss(maps, logits)) < 1e-9
        assert float(loss(1 - np.minimum(maps, 1), logits)) > 0.3
    assert float(losses.dice_loss(maps, -logits, smooth=0.0)) == pytest.approx(1)


def test_ignored_pixels_count_for_nothing():
    values = tf.Variable(LOGITS)
    for loss in (losses.pixel_crossentropy, losses.dice_loss):
        with tf.GradientTape() as tape:
            value = loss(MAPS, values)
        gradient = tape.gradient(value, values).numpy()
        assert not gradient[MAPS == 255].any() and gradient[MAPS != 255].any()
        with tf.GradientTape() as tape:
            value = loss(np.full(MAPS.shape, 255), values)
        assert float(value) == 0  # no pixel counts: no loss, and no 0/0
        assert not np.any(tape.gradient(value, values))
    kept = losses.pixel_crossentropy(np.minimum(MAPS, 3), LOGITS, ignore=None)
    assert float(kept) != float(losses.pixel_crossentropy(MAPS, LOGITS))


def test_unknown_classes_are_refused_and_make_a_traced_loss_nan():
    maps = np.where(MAPS == 255, 7, MAPS)
    for loss in (losses.pixel_crossentropy, losses.dice_loss):
        with pytest.raises(InputError, match="got the value 7 in a class map, expected 0 to 3 or"):
            loss(maps, LOGITS)
        assert np.isnan(tf.function(loss)(tf.constant(maps), tf.constant(LOGITS)))


def test_bad_arguments_are_named():
    with pytest.raises(InputError, match="got class maps of shape"):
        losses.pixel_crossentropy(MAPS[:, :2], LOGITS)
    with pytest.raises(InputError, match="got class_weights=.* expected 4 numbers"):
        losses.pixel_crossentropy(MAPS, LOGITS, class_weights=[1, 2])
    with pytest.raises(InputError, match="got class_weights"):
        losses.pixel_crossentropy(MAPS, LOGITS, class_weights=[1, 2, -1, 1])
    with pytest.raises(InputError, match="unknown normalize_by 'sum'"):
        losses.pixel_crossentropy(MAPS, LOGITS, normalize_by="sum")
    with pytest.raises(InputError, match="got smooth=-1"):
        losses.dice_loss(MAPS, LOGITS, smooth=-1)


def test_median_frequency_by_hand():
    """Class 0: 6 of 8 pixels of both pictures; 1: 1 of 4; 2: 1 of 4; 3 nowhere; 255 left out."""
    maps = np.array([[[0, 0], [0, 1]], [[0, 0], [0, 2]]])
    weights = losses.median_frequency(maps, 4)
    np.testing.assert_allclose(weights, [0.25 / 0.75, 1, 1, 0], atol=1e-12)
    with_ignored = np.concatenate([maps, np.full((2, 2, 2), 255)], axis=-1)
    np.testing.assert_allclose(losses.median_frequency(with_ignored, 4), weights, atol=1e-12)
    batches = tf.data.Dataset.from_tensor_slices(maps.astype(np.uint8)).batch(2).as_numpy_iterator()
    np.testing.assert_allclose(losses.median_frequency(batches, 4), weights, atol=1e-12)
    with pytest.raises(InputError, match="got the value 2 in a class map"):
        losses.median_frequency(maps, 2)
    with pytest.raises(InputError, match="got class maps without a class"):
        losses.median_frequency(np.full((1, 2, 2), 255), 2)
