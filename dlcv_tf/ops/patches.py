"""Pictures as collections of small patches: windows, and the columns of im2col."""

import numpy as np
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops.whole_numbers import whole_number


def whitening_filters(images, size: int, epsilon: float = 5e-4) -> np.ndarray:
    """Returns convolution filters whose answers to these pictures are uncorrelated, of unit size.

    They are the principal axes of all `size` x `size` patches, each divided by the square root of
    its variance, and then the same negated, so that a ReLU behind them loses nothing.

    Args:
        images: (batch, height, width, channels) float pictures, as the network gets them, whose
            mean is about zero.
        size: height and width of a filter, pixels.
        epsilon: added to the variances, so that axes that hold next to nothing stay small.

    Returns:
        (size, size, channels, 2 * size * size * channels) float32 kernel, for a bias-free
        convolution; the axes by falling variance.

    Raises:
        InputError: no pictures, or smaller than a patch.

    Reference: Jordan, "94% on CIFAR-10 in 3.29 Seconds", section 3.2,
    https://arxiv.org/abs/2404.00498.
    """
    images = tf.convert_to_tensor(images, tf.float32)
    if images.shape.rank != 4 or not images.shape[0] or min(images.shape[1:3]) < size:
        raise InputError(
            f"got pictures of shape {tuple(images.shape)}, expected (batch, height, width, "
            f"channels) with sides of at least {size}"
        )
    window = [1, size, size, 1]
    patches = tf.image.extract_patches(images, window, [1] * 4, [1] * 4, "VALID")
    patches = tf.cast(tf.reshape(patches, (-1, patches.shape[-1])), tf.float64)
    covariance = tf.matmul(patches, patches, transpose_a=True) / patches.shape[0]
    variances, axes = np.linalg.eigh(covariance.numpy())
    filters = (axes / np.sqrt(variances + epsilon))[:, ::-1]  # columns, largest variance first
    filters = np.concatenate([filters, -filters], axis=1).astype(np.float32)
    return filters.reshape(size, size, images.shape[-1], -1)


def places(images, size: int, stride: int = 1) -> tuple[int, int]:
    """Returns how many windows fit down and across a picture: (N - F) / S + 1, rounded down.

    Args:
        images: (batch, height, width, channels) pictures of known height and width.
        size: F, height and width of a window, pixels.
        stride: S, pixels from one window to the next.

    Raises:
        InputError: no window fits, the sizes are not known, or `size` or `stride` is not one whole
            number of 1 or more.
    """
    size, stride = whole_number(size, "size"), whole_number(stride, "stride")
    shape = tuple(images.shape)
    if len(shape) != 4 or None in shape[1:3]:
        raise InputError(
            f"got pictures of shape {shape}, expected (batch, height, width, channels) of known "
            "height and width"
        )
    if size > min(shape[1:3]):
        raise InputError(
            f"got windows of {size} pixels with stride {stride} for pictures of {shape[1]}x"
            f"{shape[2]}, expected windows that fit: pad the pictures"
        )
    return (shape[1] - size) // stride + 1, (shape[2] - size) // stride + 1


def windows(images, size: int, stride: int = 1) -> tf.Tensor:
    """Returns all windows of pictures: (batch, out height, out width, size * size, channels).

    Args:
        images: (batch, height, width, channels).
        size: height and width of a window, pixels.
        stride: pixels from one window to the next.
    """
    images = tf.convert_to_tensor(images)
    height, width = places(images, size, stride)
    channels = images.shape[3]
    pixels = tf.reshape(images, (-1, images.shape[1] * images.shape[2], channels))
    taken = tf.gather(pixels, _pixel_numbers(images.shape, size, stride), axis=1)
    return tf.reshape(taken, (-1, height, width, size * size, channels))


def add_windows(values, shape, size: int, stride: int = 1) -> tf.Tensor:
    """Puts windows back to their places in pictures, and adds where they overlap.

    This is the transpose of `windows`, and so what takes gradients back through it.

    Args:
        values: (batch, out height, out width, size * size, channels).
        shape: (batch, height, width, channels) of the pictures; the batch may be a tensor.
        size: height and width of a window, pixels.
        stride: pixels from one window to the next.

    Returns:
        (batch, height, width, channels).
    """
    batch, height, width, channels = shape
    numbers = _pixel_numbers(shape, size, stride).reshape(-1)
    by_pixel = tf.transpose(tf.reshape(values, (-1, numbers.size, channels)), (1, 0, 2))
    pixels = tf.math.unsorted_segment_sum(by_pixel, numbers, height * width)
    return tf.reshape(tf.transpose(pixels, (1, 0, 2)), (batch, height, width, channels))


def im2col(images, size: int, stride: int = 1) -> tf.Tensor:
    """Returns all patches of pictures as the columns of a matrix.

    A convolution is then one matrix product, its filters being the rows. Pixels that lie in several
    patches are stored several times.

    Args:
        images: (batch, height, width, channels).
        size: height and width of a patch, pixels.
        stride: pixels from one patch to the next.

    Returns:
        (size * size * channels, batch * out height * out width); a column holds the patch row by
        row, channels last, as a kernel (size, size, channels, filters) does.

    Example:
        >>> im2col(tf.zeros((1, 227, 227, 3)), 11, stride=4).shape.as_list()
        [363, 3025]

    Reference: CS231n notes, "Convolutional Neural Networks", implementation as a matrix product.
    """
    taken = windows(images, size, stride)
    return tf.transpose(tf.reshape(taken, (-1, size * size * taken.shape[4])))


def col2im(columns, shape, size: int, stride: int = 1) -> tf.Tensor:
    """Puts the columns of `im2col` back to their places, and adds where patches overlap.

    Args:
        columns: (size * size * channels, batch * out height * out width).
        shape: (batch, height, width, channels) of the pictures; the batch may be a tensor.
        size: height and width of a patch, pixels.
        stride: pixels from one patch to the next.

    Returns:
        (batch, height, width, channels).
    """
    return add_windows(tf.transpose(columns), shape, size, stride)


def frame(images, padding, size: int, stride: int = 1) -> list[list[int]]:
    """Returns the numbers of zeros to put around pictures, as `tf.pad` takes them.

    Args:
        images: (batch, height, width, channels).
        padding: `"valid"`: none. `"same"`: as many as make ceil(N / stride) places, one more at
            the end if they are odd, as in TensorFlow. A whole number: so many on each side.
        size: height and width of a window, pixels.
        stride: pixels from one window to the next.

    Raises:
        InputError: another padding, `size` or `stride`.
    """
    size, stride = whole_number(size, "size"), whole_number(stride, "stride")
    padding = checked_padding(padding)
    if padding == "same":
        sides = []
        for pixels in images.shape[1:3]:
            missing = max((-(-pixels // stride) - 1) * stride + size - pixels, 0)
            sides.append([missing // 2, missing - missing // 2])
    elif padding == "valid":
        sides = [[0, 0], [0, 0]]
    else:
        sides = [[padding, padding], [padding, padding]]
    return [[0, 0], *sides, [0, 0]]


def checked_padding(padding) -> str | int:
    """Returns `"valid"`, `"same"` or a whole number of pixels; InputError for anything else."""
    if isinstance(padding, str) and padding in ("valid", "same"):
        return padding
    try:
        return whole_number(padding, "padding", least=0)
    except InputError as error:
        raise InputError(
            f"got padding={padding!r}, expected 'valid', 'same' or a number of pixels, 0 or more"
        ) from error


def unframe(images, frame: list[list[int]]) -> tf.Tensor:
    """Returns pictures without the frame that was put around them."""
    (_, (top, bottom), (left, right), _), (_, height, width, _) = frame, images.shape
    return images[:, top : height - bottom, left : width - right]


def _pixel_numbers(shape, size: int, stride: int) -> np.ndarray:
    """Returns (places, size * size): for each window, its pixels in the flattened picture."""
    numbers = np.arange(shape[1] * shape[2], dtype=np.int32).reshape(shape[1], shape[2])
    taken = np.lib.stride_tricks.sliding_window_view(numbers, (size, size))[::stride, ::stride]
    return taken.reshape(-1, size * size)


def shape_of(images) -> tuple:
    """Returns (batch, height, width, channels) of pictures, the batch as a tensor if unknown."""
    batch = images.shape[0]
    return (tf.shape(images)[0] if batch is None else batch, *images.shape[1:])
