"""Unpooling against its definitions, and the pair of max pooling and unpooling by switches."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import layers
from dlcv_tf.errors import InputError

SQUARE = np.array([[1.0, 2], [3, 4]]).reshape(1, 2, 2, 1)
RANDOM = np.random.default_rng(0)


def test_nearest_makes_blocks():
    """CS231n lecture 11: [[1, 2], [3, 4]] becomes four blocks."""
    expected = [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    np.testing.assert_array_equal(layers.NearestUnpool()(SQUARE)[0, :, :, 0], expected)


def test_bed_of_nails_is_zero_but_in_the_top_left_corners():
    expected = [[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(layers.BedOfNails()(SQUARE)[0, :, :, 0], expected)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_blocks_of_any_size(size):
    values = RANDOM.normal(size=(2, 3, 4, 5))
    nearest = layers.NearestUnpool(size, dtype="float64")(values).numpy()
    np.testing.assert_array_equal(nearest, values.repeat(size, 1).repeat(size, 2))
    upsampled = keras.layers.UpSampling2D(size, dtype="float64")(values)
    np.testing.assert_array_equal(nearest, upsampled)
    nails = layers.BedOfNails(size, dtype="float64")(values).numpy()
    np.testing.assert_array_equal(nails[:, ::size, ::size], values)
    assert np.count_nonzero(nails) == values.size


def positions(picture, padding):
    """Returns (row, column) of the first maximum of each 2x2 window, by loops."""
    height, width = picture.shape
    if padding == "valid":
        height, width = height // 2 * 2, width // 2 * 2
    for top in range(0, height, 2):
        for left in range(0, width, 2):
            window = picture[top : min(top + 2, height), left : min(left + 2, width)]
            row, column = np.unravel_index(np.argmax(window), window.shape)
            yield top + row, left + column


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("size", [(4, 6), (5, 6), (4, 7), (5, 7), (2, 3)])
def test_unpooling_puts_each_maximum_back_where_it_was(size, padding):
    images = RANDOM.integers(-5, 5, (2, *size, 3)).astype(np.float64)  # with many ties
    values = tf.constant(images)
    pool, unpool = layers.MaxPoolWithSwitches(padding, dtype="float64"), layers.MaxUnpool()
    weights = RANDOM.normal(size=images.shape)
    with tf.GradientTape() as tape:
        tape.watch(values)
        maxima, switches = pool(values)
        back = unpool(maxima, switches)
        loss = tf.reduce_sum(back * weights)
    gradient = tape.gradient(loss, values).numpy()
    expected, is_maximum = np.zeros(images.shape), np.zeros(images.shape)
    for example in range(2):
        for channel in range(3):
            for row, column in positions(images[example, :, :, channel], padding):
                place = (example, row, column, channel)
                expected[place], is_maximum[place] = images[place], 1
    np.testing.assert_array_equal(back, expected)
    np.testing.assert_array_equal(switches, is_maximum)
    np.testing.assert_allclose(gradient, weights * is_maximum, atol=1e-12)
    reference = tf.nn.max_pool2d(images, 2, 2, padding.upper())
    np.testing.assert_array_equal(maxima, reference)


def test_switches_agree_with_tensorflows_argmax():
    images = RANDOM.normal(size=(2, 6, 8, 3)).astype(np.float32)
    maxima, switches = layers.MaxPoolWithSwitches()(images)
    expected, indices = tf.nn.max_pool_with_argmax(images, 2, 2, "SAME")
    np.testing.assert_array_equal(maxima, expected)
    ours = [np.flatnonzero(each) for each in switches.numpy()]
    np.testing.assert_array_equal(ours, [np.sort(np.ravel(each)) for each in indices])


def test_other_values_go_where_the_maxima_were():
    """What a decoder does: its own maps, the encoder's places."""
    _, switches = layers.MaxPoolWithSwitches()(np.array([[1.0, 5], [2, 0]]).reshape(1, 2, 2, 1))
    back = layers.MaxUnpool()(np.full((1, 1, 1, 1), -7.0, np.float32), switches)
    np.testing.assert_array_equal(back[0, :, :, 0], [[0, -7], [0, 0]])


def test_lowest_numbers_and_one_row():
    lowest = np.full((1, 1, 3, 1), np.finfo(np.float32).min, np.float32)
    maxima, switches = layers.MaxPoolWithSwitches()(lowest)
    np.testing.assert_array_equal(switches[0, :, :, 0], [[1, 0, 1]])
    np.testing.assert_array_equal(
        layers.MaxUnpool()(maxima, switches)[0, 0, ::2], lowest[0, 0, ::2]
    )
    with pytest.raises(InputError, match="got pictures of 1x3 .* padding=.same"):
        layers.MaxPoolWithSwitches("valid")(lowest)


def test_bad_input_is_named():
    with pytest.raises(InputError, match="unknown padding 'full'"):
        layers.MaxPoolWithSwitches("full")
    with pytest.raises(InputError, match="got size=0"):
        layers.NearestUnpool(0)
    _, switches = layers.MaxPoolWithSwitches()(np.zeros((1, 4, 4, 2), np.float32))
    for shape in ((1, 2, 2, 3), (1, 3, 2, 2)):
        with pytest.raises(InputError, match="got values .* half the height"):
            layers.MaxUnpool()(np.zeros(shape, np.float32), switches)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_bilinear_kernel_interpolates_as_a_transposed_convolution(factor):
    size = 2 * factor - factor % 2
    layer = keras.layers.Conv2DTranspose(
        3, size, factor, "same", use_bias=False, kernel_initializer=layers.BilinearKernel()
    )
    values = RANDOM.normal(size=(1, 6, 5, 3)).astype(np.float32)
    larger = layer(values).numpy()
    expected = tf.image.resize(values, (6 * factor, 5 * factor)).numpy()
    inner = (0, slice(factor, -factor), slice(factor, -factor))  # beyond, zeros come in
    np.testing.assert_allclose(larger[inner], expected[inner], atol=1e-5)
