"""Pooling: one number for each window of each map, and no parameters.

All windows lie inside the picture, without padding; pixels that no window reaches are left out, as
in TensorFlow. 2x2 windows with stride 2 halve the picture (224x224x64 to 112x112x64); 3x3 with
stride 2 overlap.
"""

import tensorflow as tf

from dlcv_tf.ops import patches


def max_forward(images, size: int = 2, stride: int = 2):
    """Takes the largest number of each window.

    Args:
        images: (batch, height, width, channels).
        size: height and width of a window, pixels.
        stride: pixels from one window to the next.

    Returns:
        (batch, out height, out width, channels), and the cache.
    """
    windows = patches.windows(images, size, stride)  # (batch, out height, out width, taps, ...)
    return tf.reduce_max(windows, axis=3), (windows, patches.shape_of(images), size, stride)


def max_backward(gradient, cache):
    """Routes each gradient to the largest pixel of its window; to the first of several."""
    windows, shape, size, stride = cache
    taps = windows.shape[3]
    largest = tf.one_hot(tf.argmax(windows, axis=3), taps, axis=3, dtype=gradient.dtype)
    return patches.add_windows(gradient[:, :, :, None] * largest, shape, size, stride)


def average_forward(images, size: int = 2, stride: int = 2):
    """Takes the mean of each window; arguments as of `max_forward`."""
    windows = patches.windows(images, size, stride)
    return tf.reduce_mean(windows, axis=3), (windows, patches.shape_of(images), size, stride)


def average_backward(gradient, cache):
    """Distributes each gradient over its window in equal parts."""
    windows, shape, size, stride = cache
    shares = tf.ones_like(windows) / windows.shape[3]
    return patches.add_windows(gradient[:, :, :, None] * shares, shape, size, stride)


def soft_forward(images, size: int = 2, stride: int = 2, temperature: float = 1.0):
    """Takes the mean of each window, weighted by the softmax of its own numbers.

    Between average (high temperature) and max (low), and smooth: every pixel gets a gradient.

    Args:
        images: (batch, height, width, channels).
        size: height and width of a window, pixels.
        stride: pixels from one window to the next.
        temperature: what the numbers are divided by before the softmax, above 0.

    Returns:
        (batch, out height, out width, channels), and the cache.

    Reference: Stergiou et al., https://arxiv.org/abs/2101.00440.
    """
    windows = patches.windows(images, size, stride)
    weights = tf.nn.softmax(windows / temperature, axis=3)
    output = tf.reduce_sum(weights * windows, axis=3)
    return output, (windows, weights, output, temperature, patches.shape_of(images), size, stride)


def soft_backward(gradient, cache):
    """Uses d output / d x_i = w_i (1 + (x_i - output) / temperature)."""
    windows, weights, output, temperature, shape, size, stride = cache
    slopes = weights * (1 + (windows - output[:, :, :, None]) / temperature)
    return patches.add_windows(gradient[:, :, :, None] * slopes, shape, size, stride)
