"""Activation functions: what stands between two linear layers, lest they be one linear layer.

Each works on every number by itself, so its Jacobian is diagonal: backward multiplies the gradient
by the derivative at that number. At a kink the derivative is the one to the left, as in TensorFlow.
"""

import tensorflow as tf

LEAK = 0.01  # slope of the leaky ReLU below zero


def sigmoid_forward(x):
    """Computes 1 / (1 + e^-x), between 0 and 1."""
    output = 1 / (1 + tf.exp(-x))
    return output, output


def sigmoid_backward(gradient, output):
    """Uses s' = s (1 - s): at most 0.25, at x = 0; 4.5e-5 at x = 10, where it is saturated."""
    return gradient * output * (1 - output)


def tanh_forward(x):
    """Computes tanh x, between -1 and 1: a sigmoid that is centred on zero."""
    output = tf.tanh(x)
    return output, output


def tanh_backward(gradient, output):
    """Uses tanh' = 1 - tanh^2."""
    return gradient * (1 - output**2)


def relu_forward(x):
    """Computes max(0, x)."""
    return tf.maximum(x, 0), x


def relu_backward(gradient, x):
    """Passes the gradient where x is above 0, and stops it elsewhere."""
    return tf.where(x > 0, gradient, 0)


def leaky_relu_forward(x, slope: float = LEAK):
    """Computes x above zero and slope * x below."""
    return tf.where(x > 0, x, slope * x), (x, slope)


def leaky_relu_backward(gradient, cache):
    """Passes the gradient above zero, and a small part OF THE SAME SIGN below."""
    x, slope = cache
    return tf.where(x > 0, gradient, slope * gradient)


def prelu_forward(x, slope):
    """Computes x above zero and slope * x below, with slopes that are learned.

    Args:
        x: (batch, ..., channels).
        slope: (channels,).

    Reference: He et al., https://arxiv.org/abs/1502.01852.
    """
    return tf.where(x > 0, x, slope * x), (x, slope)


def prelu_backward(gradient, cache):
    """Returns the gradients by x and by the slopes, each of which is used at every place."""
    x, slope = cache
    by_x = tf.where(x > 0, gradient, slope * gradient)
    by_slope = gradient * tf.minimum(x, 0)
    return by_x, tf.reduce_sum(by_slope, axis=list(range(len(x.shape) - 1)))


def elu_forward(x, alpha: float = 1.0):
    """Computes x above zero and alpha (e^x - 1) below, which saturates at -alpha.

    Reference: Clevert et al., https://arxiv.org/abs/1511.07289.
    """
    below = alpha * (tf.exp(tf.minimum(x, 0)) - 1)  # no overflow on the side that is not taken
    return tf.where(x > 0, x, below), (x, below, alpha)


def elu_backward(gradient, cache):
    """Uses the derivative below zero, alpha e^x = elu(x) + alpha."""
    x, below, alpha = cache
    return tf.where(x > 0, gradient, gradient * (below + alpha))


def maxout_forward(x):
    """Computes the largest of several linear maps; ReLU is the largest of one and of zero.

    Args:
        x: (..., pieces) the linear maps' values for each unit.

    Returns:
        (...) the largest, and the cache.

    Reference: Goodfellow et al., https://arxiv.org/abs/1302.4389.
    """
    return tf.reduce_max(x, axis=-1), x


def maxout_backward(gradient, x):
    """Routes the gradient to the largest piece; to the first where several are."""
    largest = tf.one_hot(tf.argmax(x, axis=-1), x.shape[-1], dtype=x.dtype)
    return gradient[..., None] * largest
