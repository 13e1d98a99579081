"""The affine layer, W x + b: every output is a weighted sum of all inputs."""

import tensorflow as tf

from dlcv_tf.errors import InputError


def forward(x, kernel, bias):
    """Computes x W + b for a batch.

    Args:
        x: (batch, ...) inputs; the axes behind the first are flattened to one of `inputs` numbers.
        kernel: (inputs, units) W.
        bias: (units,) b.

    Returns:
        (batch, units), and the cache.

    Raises:
        InputError: the kernel has another number of rows than there are inputs, or the bias
            another number of elements than there are units.
    """
    x, kernel = tf.convert_to_tensor(x), tf.convert_to_tensor(kernel)
    bias = tf.convert_to_tensor(bias, kernel.dtype)
    rows = flatten(x)
    if kernel.shape.rank != 2 or rows.shape[-1] != kernel.shape[0]:
        raise InputError(
            f"got a kernel of shape {tuple(kernel.shape)} for inputs of shape {tuple(x.shape)}, "
            f"expected ({rows.shape[-1]}, units): a row for every input"
        )
    if bias.shape != kernel.shape[1:]:
        raise InputError(
            f"got a bias of shape {tuple(bias.shape)} for a kernel of shape {tuple(kernel.shape)}, "
            f"expected {tuple(kernel.shape[1:])}: a number for every unit"
        )
    return rows @ kernel + bias, (x, kernel)


def backward(gradient, cache):
    """Returns the gradients by x, kernel and bias; the branches of the batch add up.

    The shapes leave no choice: `gradient` is (batch, units), so that by x (batch, inputs) must be
    gradient W^T, and that by W (inputs, units) must be x^T gradient.
    """
    x, kernel = cache
    by_x = tf.reshape(gradient @ tf.transpose(kernel), tf.shape(x))
    by_kernel = tf.transpose(flatten(x)) @ gradient
    by_bias = tf.reduce_sum(gradient, axis=0)
    return by_x, by_kernel, by_bias


def flatten(x):
    """Returns (batch, ...) as (batch, inputs)."""
    inputs = 1
    for side in x.shape[1:]:
        inputs *= side
    return tf.reshape(x, (-1, inputs))
