"""Copies of the kernel, added up: the transpose of convolution's matrix, and published cases."""

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops.convolution_matrix import convolution_matrix
from dlcv_tf.ops.transposed_convolution import bilinear_kernel, transposed_convolution

RANDOM = np.random.default_rng(0)


def test_overlaps_are_summed():
    """CS231n lecture 11: inputs a, b and the filter x, y, z give ax, ay, az + bx, by, bz."""
    a, b, (x, y, z) = 2, 3, (5, 7, 11)
    expected = [a * x, a * y, a * z + b * x, b * y, b * z]
    np.testing.assert_array_equal(transposed_convolution([a, b], [x, y, z], stride=2), expected)


def test_the_lectures_example_of_kernel_3_stride_2_padding_1():
    """CS231n 2017, lecture 11, with k = (1, 2, 3): X^T (1, 1) = (2, 4, 2, 3).

    The fourth number is of the input that a convolution of four numbers leaves out on the right;
    without knowing of it a transposed convolution gives the three before it.
    """
    matrix = convolution_matrix([1, 2, 3], 4, stride=2, padding=1)
    np.testing.assert_array_equal(matrix.T @ [1, 1], [2, 4, 2, 3])
    np.testing.assert_array_equal(transposed_convolution([1, 1], [1, 2, 3], 2, 1), [2, 4, 2])


def test_the_published_picture():
    """d2l.ai, chapter_computer-vision/transposed-conv.md: trans_conv, and W^T."""
    convolved, kernel = np.array([[27.0, 37], [57, 67]]), np.array([[1.0, 2], [3, 4]])
    matrix = convolution_matrix(kernel, (3, 3))
    expected = (matrix.T @ convolved.ravel()).reshape(3, 3)
    np.testing.assert_array_equal(transposed_convolution(convolved, kernel), expected)
    small = transposed_convolution([[0, 1], [2, 3]], [[0, 1], [2, 3]])
    np.testing.assert_array_equal(small, [[0, 0, 1], [0, 4, 6], [4, 12, 9]])
    apart = transposed_convolution([[0, 1], [2, 3]], [[0, 1], [2, 3]], stride=2)
    rows = [[0, 0, 0, 1], [0, 0, 2, 3], [0, 2, 0, 3], [4, 6, 6, 9]]
    np.testing.assert_array_equal(apart, rows)


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 1), (2, 0), (2, 1), (3, 1)])
@pytest.mark.parametrize("axes", [1, 2])
def test_it_is_the_transposed_matrix(axes, stride, padding):
    kernel, values = RANDOM.normal(size=(3, 4)[:axes]), RANDOM.normal(size=(5, 3)[:axes])
    output = transposed_convolution(values, kernel, stride, padding)
    size = output.shape if axes == 2 else output.shape[0]
    matrix = convolution_matrix(kernel, size, stride, padding)
    np.testing.assert_allclose(output.ravel(), matrix.T @ values.ravel(), atol=1e-12)


def test_it_is_what_tensorflow_does():
    kernel, values = RANDOM.normal(size=(4, 4)), RANDOM.normal(size=(5, 3))
    output = transposed_convolution(values, kernel, stride=2, padding=1)
    expected = tf.nn.conv2d_transpose(
        values[None, :, :, None], kernel[:, :, None, None], (1, 10, 6, 1), 2, "SAME"
    )
    np.testing.assert_allclose(output, expected[0, :, :, 0], atol=1e-12)


def test_with_a_stride_it_is_no_convolution():
    """One input moved by one moves the output by the stride: no fixed filter does that."""
    first = transposed_convolution([1, 0, 0], [1, 2, 3], stride=2)
    second = transposed_convolution([0, 1, 0], [1, 2, 3], stride=2)
    np.testing.assert_array_equal(second[2:], first[:-2])
    assert not np.array_equal(second[1:], first[:-1])


def test_the_bilinear_kernel_of_fully_convolutional_networks():
    """Long et al. (2015); the same numbers in d2l.ai, chapter_computer-vision/fcn.md."""
    expected = [
        [0.0625, 0.1875, 0.1875, 0.0625],
        [0.1875, 0.5625, 0.5625, 0.1875],
        [0.1875, 0.5625, 0.5625, 0.1875],
        [0.0625, 0.1875, 0.1875, 0.0625],
    ]
    np.testing.assert_allclose(bilinear_kernel(4), expected, atol=1e-12)
    np.testing.assert_allclose(bilinear_kernel(3)[1], [0.5, 1, 0.5], atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 16])
def test_a_constant_stays_one_under_a_bilinear_kernel(size):
    stride = (size + 1) // 2
    output = transposed_convolution(np.ones((6, 6)), bilinear_kernel(size), stride)
    inner = slice(2 * stride, -2 * stride)
    np.testing.assert_allclose(output[inner, inner], 1, atol=1e-12)


@pytest.mark.parametrize(
    ("values", "kernel", "options", "message"),
    [
        (np.ones(3), np.ones((2, 2)), {}, "got values of shape"),
        (np.ones(0), np.ones(2), {}, "got values of shape"),
        (np.ones(3), np.ones(2), {"stride": 0}, "got stride=0"),
        (np.ones(3), np.ones(2), {"padding": 2}, "got padding=2"),
    ],
)
def test_bad_input_is_named(values, kernel, options, message):
    with pytest.raises(InputError, match=message):
        transposed_convolution(values, kernel, **options)
