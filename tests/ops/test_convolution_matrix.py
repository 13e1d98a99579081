"""The matrix does what TensorFlow's convolution and its transpose do."""

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops.convolution_matrix import convolution_matrix

RANDOM = np.random.default_rng(0)


def test_erratum_e19_the_lectures_matrix_and_its_transpose():
    """CS231n lecture 11: kernel (x, y, z), stride 2, padding 1."""
    matrix = convolution_matrix([1, 2, 3], 4, stride=2, padding=1)
    np.testing.assert_array_equal(matrix, [[2, 3, 0, 0], [0, 1, 2, 3]])
    np.testing.assert_array_equal(matrix @ [1, 2, 3, 4], [8, 20])
    np.testing.assert_array_equal(matrix.T @ [1, 1], [2, 4, 2, 3])


def test_the_published_picture():
    """d2l.ai, chapter_computer-vision/transposed-conv.md."""
    matrix = convolution_matrix([[1, 2], [3, 4]], (3, 3))
    np.testing.assert_array_equal(matrix @ np.arange(9.0), [27, 37, 57, 67])


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 2), (2, 0), (2, 1), (3, 1)])
def test_pictures_and_their_transpose(stride, padding):
    picture, kernel = RANDOM.normal(size=(7, 6)), RANDOM.normal(size=(3, 2))
    matrix = convolution_matrix(kernel, (7, 6), stride, padding)
    borders = [[0, 0], [padding] * 2, [padding] * 2, [0, 0]]

    def convolved(values):
        return tf.nn.conv2d(
            tf.reshape(values, (1, 7, 6, 1)), kernel[..., None, None], stride, borders
        )

    values = tf.constant(picture)
    with tf.GradientTape() as tape:
        tape.watch(values)
        outputs = convolved(values)
        upstream = RANDOM.normal(size=outputs.shape)
        loss = tf.reduce_sum(outputs * upstream)
    np.testing.assert_allclose(matrix @ picture.ravel(), np.ravel(outputs), atol=1e-12)
    gradient = np.ravel(tape.gradient(loss, values))  # the transposed convolution
    np.testing.assert_allclose(matrix.T @ upstream.ravel(), gradient, atol=1e-12)


@pytest.mark.parametrize(
    ("kernel", "size", "options"),
    [
        (np.ones((2, 2)), 4, {}),
        (np.ones(5), 4, {}),
        (np.ones(2), 4, {"stride": 0}),
        (np.ones(2), 4, {"padding": -1}),
    ],
)
def test_bad_input_is_named(kernel, size, options):
    with pytest.raises(InputError, match="got a filter of shape .* expected"):
        convolution_matrix(kernel, size, **options)
