"""Transposed convolution by its definition: weighted copies of the kernel, summed."""

import numpy as np

from dlcv_tf.errors import InputError
from dlcv_tf.ops.whole_numbers import whole_number


def transposed_convolution(values, kernel, stride: int = 1, padding: int = 0) -> np.ndarray:
    """Puts a copy of the kernel, times each number, at its place; copies that overlap are added.

    Also called fractionally strided convolution, backward strided convolution, upconvolution, and,
    wrongly, deconvolution: it undoes the shape of a convolution, not the convolution. It is X^T b
    with the X of `convolution_matrix`, and the gradient of a convolution by its input.

    With a stride above 1 it is no convolution of its input. Where the stride does not divide the
    kernel's size, numbers of the output have different numbers of copies: a checkerboard.

    Args:
        values: (n,) or (height, width) input, one channel.
        kernel: as many axes.
        stride: steps from copy to copy.
        padding: numbers cut off at each border, which are the zeros that a convolution adds there.

    Returns:
        float64, (n - 1) * stride + kernel - 2 * padding numbers along each axis.

    Raises:
        InputError: other numbers of axes, or nothing is left.

    Example:
        >>> transposed_convolution([1.0, 1.0], [1.0, 2.0, 3.0], stride=2, padding=1)
        array([2., 4., 2.])

    Reference: Dumoulin and Visin, chapter 4, https://arxiv.org/abs/1603.07285.
    """
    values, kernel = np.asarray(values, np.float64), np.asarray(kernel, np.float64)
    stride, padding = whole_number(stride, "stride"), whole_number(padding, "padding", least=0)
    if values.ndim != kernel.ndim or values.ndim not in (1, 2) or 0 in values.shape + kernel.shape:
        raise InputError(
            f"got values of shape {values.shape} and a kernel of shape {kernel.shape}, expected "
            "(n,) and (k,), or two pictures of one channel"
        )
    full = [(n - 1) * stride + k for n, k in zip(values.shape, kernel.shape, strict=True)]
    if min(full) <= 2 * padding:
        raise InputError(
            f"got padding={padding}, which cuts all of {full} numbers off: expected less"
        )
    output = np.zeros(full)
    for place in np.ndindex(values.shape):
        window = (
            slice(p * stride, p * stride + k) for p, k in zip(place, kernel.shape, strict=True)
        )
        output[tuple(window)] += values[place] * kernel
    return output[tuple(slice(padding, n - padding) for n in full)]


def bilinear_kernel(size: int) -> np.ndarray:
    """Returns the kernel with which a transposed convolution interpolates bilinearly.

    The weight is 1 - |distance from the centre| / f with f = (size + 1) // 2, which is also the
    stride it is made for: a kernel of 2f - f % 2 numbers.

    Args:
        size: height and width.

    Returns:
        (size, size) float64.

    Example:
        >>> bilinear_kernel(4)[1]
        array([0.1875, 0.5625, 0.5625, 0.1875])

    Reference: Long et al., "Fully convolutional networks", https://arxiv.org/abs/1411.4038.
    """
    size = whole_number(size, "size")
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    line = 1 - np.abs(np.arange(size) - centre) / factor
    return np.outer(line, line)
