"""Convolution: a filter slides over the picture and takes a dot product at every place.

A filter spans the full depth of the picture, and one filter makes one map. As in every framework it
is not mirrored: mathematicians call this cross-correlation. It is here in three ways that agree:

* `naive`: the sentence above as a loop over places;
* `im2col`: all patches as the columns of one matrix, so that one matrix product does it all;
* `library`: TensorFlow's own kernels.
"""

import tensorflow as tf

from dlcv_tf.errors import InputError, unknown
from dlcv_tf.ops import patches
from dlcv_tf.ops.whole_numbers import whole_number


def forward(images, kernel, bias, stride: int = 1, padding="valid", method: str = "im2col"):
    """Convolves pictures with filters.

    Args:
        images: (batch, height, width, channels).
        kernel: (size, size, channels, filters).
        bias: (filters,).
        stride: pixels from one place to the next.
        padding: `"valid"` (none), `"same"` (as many places as pixels / stride), or a number of
            pixels to put on each side.
        method: `"naive"`, `"im2col"` or `"library"`.

    Returns:
        (batch, out height, out width, filters), and the cache.

    Raises:
        InputError: shapes that do not go together, filters that do not fit into the padded
            pictures, a stride or padding that is none, or an unknown method.
    """
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    images, kernel = tf.convert_to_tensor(images), tf.convert_to_tensor(kernel)
    bias = tf.convert_to_tensor(bias, kernel.dtype)
    _check_shapes(images, kernel, bias)
    stride, size = whole_number(stride, "stride"), kernel.shape[0]
    frame = patches.frame(images, padding, size, stride)
    padded = tf.pad(images, frame)
    patches.places(padded, size, stride)  # TensorFlow's kernel does not say when none fits
    correlate, _ = METHODS[method]
    return correlate(padded, kernel, stride) + bias, (padded, kernel, stride, frame, method)


def backward(gradient, cache):
    """Returns the gradients by images, kernel and bias."""
    padded, kernel, stride, frame, method = cache
    _, gradients = METHODS[method]
    by_padded, by_kernel = gradients(gradient, padded, kernel, stride)
    by_images = patches.unframe(by_padded, frame)
    return by_images, by_kernel, tf.reduce_sum(gradient, axis=[0, 1, 2])


def naive(padded, kernel, stride):
    """Takes the dot product of the filters and the window at every place, one after another."""
    size = kernel.shape[0]
    places = patches.places(padded, size, stride)
    rows = []
    for row in range(places[0]):
        outputs = []
        for column in range(places[1]):
            y, x = row * stride, column * stride
            window = padded[:, y : y + size, x : x + size]  # (batch, size, size, channels)
            outputs.append(tf.tensordot(window, kernel, axes=3))  # (batch, filters)
        rows.append(tf.stack(outputs, axis=1))
    return tf.stack(rows, axis=1)


def naive_gradients(gradient, padded, kernel, stride):
    """Adds up, over all places, what each owes to its window and to the filters."""
    size, (_, height, width, _) = kernel.shape[0], padded.shape
    by_padded, by_kernel = tf.zeros_like(padded), tf.zeros_like(kernel)
    for row in range(gradient.shape[1]):
        for column in range(gradient.shape[2]):
            y, x = row * stride, column * stride
            window = padded[:, y : y + size, x : x + size]
            here = gradient[:, row, column]  # (batch, filters)
            by_kernel += tf.tensordot(window, here, axes=[[0], [0]])
            by_window = tf.tensordot(here, kernel, axes=[[1], [3]])
            around = [[0, 0], [y, height - y - size], [x, width - x - size], [0, 0]]
            by_padded += tf.pad(by_window, around)
    return by_padded, by_kernel


def im2col(padded, kernel, stride):
    """Multiplies the filters, as rows, by the patches, as columns."""
    size, filters = kernel.shape[0], kernel.shape[3]
    columns = patches.im2col(padded, size, stride)  # (size * size * channels, batch * places)
    outputs = tf.transpose(_as_rows(kernel)) @ columns  # (filters, batch * places)
    height, width = patches.places(padded, size, stride)
    return tf.reshape(tf.transpose(outputs), (-1, height, width, filters))


def im2col_gradients(gradient, padded, kernel, stride):
    """Uses the affine layer's formulas; `col2im` adds up pixels that are in several patches."""
    size, filters = kernel.shape[0], kernel.shape[3]
    columns = patches.im2col(padded, size, stride)
    outputs = tf.reshape(gradient, (-1, filters))  # (batch * places, filters)
    by_kernel = tf.reshape(columns @ outputs, kernel.shape)
    by_columns = _as_rows(kernel) @ tf.transpose(outputs)
    return patches.col2im(by_columns, patches.shape_of(padded), size, stride), by_kernel


def _check_shapes(images, kernel, bias) -> None:
    if images.shape.rank != 4 or None in images.shape[1:3]:
        raise InputError(
            f"got pictures of shape {tuple(images.shape)}, expected (batch, height, width, "
            "channels) of known height and width"
        )
    shape = tuple(kernel.shape)
    if len(shape) != 4 or images.shape[-1] != shape[2] or shape[0] != shape[1]:
        raise InputError(
            f"got a kernel of shape {shape} for pictures of shape {tuple(images.shape)}, expected "
            f"(size, size, {images.shape[-1]}, filters)"
        )
    if tuple(bias.shape) != shape[3:]:
        raise InputError(
            f"got a bias of shape {tuple(bias.shape)} for a kernel of shape {shape}, expected "
            f"{shape[3:]}: a number for every filter"
        )


def _as_rows(kernel):
    """Returns a kernel as (size * size * channels, filters)."""
    return tf.reshape(kernel, (-1, kernel.shape[3]))


def library(padded, kernel, stride):
    """Calls TensorFlow's convolution."""
    return tf.nn.conv2d(padded, kernel, stride, "VALID")


def library_gradients(gradient, padded, kernel, stride):
    """Calls TensorFlow's two: the gradient by the picture is a transposed convolution."""
    by_padded = tf.nn.conv2d_transpose(gradient, kernel, tf.shape(padded), stride, "VALID")
    by_kernel = tf.raw_ops.Conv2DBackpropFilter(
        input=padded,
        filter_sizes=kernel.shape,
        out_backprop=gradient,
        strides=[1, stride, stride, 1],
        padding="VALID",
    )
    return by_padded, by_kernel


METHODS = {
    "naive": (naive, naive_gradients),
    "im2col": (im2col, im2col_gradients),
    "library": (library, library_gradients),
}
