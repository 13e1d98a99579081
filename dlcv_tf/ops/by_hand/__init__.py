"""The course's layers with both passes written out: `forward` and `backward`, nothing hidden.

Every pair keeps one agreement. `forward(inputs..., options...)` returns `(output, cache)`, and
`backward(gradient, cache)` returns a gradient for each input, in their order and shapes: the
gradient of the loss by the output goes in, that by the inputs comes out.

`differentiable` joins such a pair to a function that `tf.GradientTape` differentiates by the
backward pass given; the layers of the room `layers` are made so. Pictures are (batch, height,
width, channels), kernels (height, width, channels, filters), as everywhere in TensorFlow.
"""

from collections.abc import Callable

import tensorflow as tf


def differentiable(forward: Callable, backward: Callable) -> Callable:
    """Returns `forward` without its cache, as a function whose gradient is `backward`.

    Args:
        forward: function of tensors, and of keyword options, that returns (output, cache).
        backward: function of (output gradient, cache) that returns the gradient of each tensor.

    Example:
        >>> square = differentiable(lambda x: (x**2, x), lambda gradient, x: gradient * 2 * x)
        >>> with tf.GradientTape() as tape:
        ...     x = tf.Variable(3.0)
        ...     y = square(x)
        >>> float(y), float(tape.gradient(y, x))
        (9.0, 6.0)
    """

    def function(*inputs, **options):
        @tf.custom_gradient
        def both_passes(*tensors):
            output, cache = forward(*tensors, **options)
            return output, lambda gradient: backward(gradient, cache)

        return both_passes(*map(tf.convert_to_tensor, inputs))

    return function
