"""Convolution as one matrix, whose transpose is the transposed convolution."""

import itertools

import numpy as np

from dlcv_tf.errors import InputError


def convolution_matrix(kernel, size, stride: int = 1, padding: int = 0) -> np.ndarray:
    """Returns the matrix X with X a = the convolution of a, for inputs with one channel.

    As in all networks the kernel is not mirrored (cross-correlation). X^T b is the transposed
    convolution of b: it puts a copy of the kernel, times each number of b, at its place in the
    output, and adds where copies overlap. With a stride above 1 it is no convolution of b.

    Args:
        kernel: (k,) or (height, width) filter.
        size: number of inputs along each axis: whole number for (k,), (height, width) else.
        stride: steps from place to place.
        padding: zeros at each border.

    Returns:
        (outputs, inputs) float64; pictures are flattened row by row.

    Raises:
        InputError: the filter has another number of axes than the size, or does not fit.

    Example:
        >>> convolution_matrix([1.0, 2.0, 3.0], 4, stride=2, padding=1)
        array([[2., 3., 0., 0.],
               [0., 1., 2., 3.]])

    Reference: Dumoulin and Visin, section 4.1, https://arxiv.org/abs/1603.07285.
    """
    kernel = np.asarray(kernel, np.float64)
    sizes = (size,) if np.ndim(size) == 0 else tuple(size)
    if kernel.ndim not in (1, 2) or kernel.ndim != len(sizes):
        raise InputError(
            f"got a filter of shape {kernel.shape} for inputs of size {size}, expected (k,) with a "
            "whole number, or (height, width) with another pair"
        )
    padded = [n + 2 * padding for n in sizes]
    fits = all(k <= n for k, n in zip(kernel.shape, padded, strict=True))
    if stride < 1 or padding < 0 or not fits:
        raise InputError(
            f"got a filter of shape {kernel.shape}, stride {stride} and padding {padding} for "
            f"inputs of size {size}, expected a stride of at least 1, a padding of at least 0 and "
            "a filter that fits into the padded input"
        )
    counts = [(n - k) // stride + 1 for n, k in zip(padded, kernel.shape, strict=True)]
    matrix = np.zeros((*counts, *sizes))
    for place in itertools.product(*map(range, counts)):
        for offset in np.ndindex(kernel.shape):
            at = tuple(p * stride + o - padding for p, o in zip(place, offset, strict=True))
            if all(0 <= a < n for a, n in zip(at, sizes, strict=True)):
                matrix[place + at] = kernel[offset]
    return matrix.reshape(int(np.prod(counts)), int(np.prod(sizes)))
