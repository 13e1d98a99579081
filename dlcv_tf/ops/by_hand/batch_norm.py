"""Batch normalisation: every feature gets mean beta and standard deviation gamma in the batch.

Statistics are over all axes but the last. So one function serves both kinds: for (batch, features)
they are per feature; for (batch, height, width, channels) one mean and one variance per map.

Reference: Ioffe and Szegedy, https://arxiv.org/abs/1502.03167.
"""

import tensorflow as tf


def forward(x, gamma, beta, epsilon: float = 1e-5):
    """Normalises by the batch's own statistics, as in training.

    normal = (x - mean) / sqrt(variance + epsilon), output = gamma normal + beta, with the biased
    variance: the mean of the squares, not divided by n - 1. With gamma = sqrt(variance) and
    beta = mean the layer is the identity again, if that is what the network needs.

    Args:
        x: (batch, ..., features).
        gamma: (features,) scales.
        beta: (features,) shifts.
        epsilon: added to the variance.

    Returns:
        The output, of x's shape, and the cache.
    """
    mean, variance = statistics(x)
    inverse_deviation = 1 / tf.sqrt(variance + epsilon)
    normal = (x - mean) * inverse_deviation
    return gamma * normal + beta, (normal, gamma, inverse_deviation)


def backward(gradient, cache):
    """Returns the gradients by x, gamma and beta.

    Each x acts on the outputs in three ways: by itself, through the mean and through the variance.
    With g = gamma * gradient, their sum is (g - mean(g) - normal mean(g normal)) / deviation: what
    is left of g when the parts that would only shift or stretch the batch are taken out.
    """
    normal, gamma, inverse_deviation = cache
    axes = _all_but_last(normal)
    by_normal = gradient * gamma
    shift = tf.reduce_mean(by_normal, axis=axes)
    stretch = tf.reduce_mean(by_normal * normal, axis=axes)
    by_x = (by_normal - shift - normal * stretch) * inverse_deviation
    by_gamma = tf.reduce_sum(gradient * normal, axis=axes)
    by_beta = tf.reduce_sum(gradient, axis=axes)
    return by_x, by_gamma, by_beta


def inference(x, gamma, beta, mean, variance, epsilon: float = 1e-5):
    """Normalises by fixed statistics, as at test time: a scale and a shift, no more.

    Args:
        x: (batch, ..., features).
        gamma: (features,) scales.
        beta: (features,) shifts.
        mean: (features,) running mean.
        variance: (features,) running variance.
        epsilon: added to the variance.

    Returns:
        The output, of x's shape.
    """
    return gamma * (x - mean) / tf.sqrt(variance + epsilon) + beta


def statistics(x, unbiased: bool = False):
    """Returns the (features,) mean and variance of a batch.

    Args:
        x: (batch, ..., features).
        unbiased: divide the squares by n - 1 and not by n; the variance of one example is 0.
    """
    axes = _all_but_last(x)
    mean = tf.reduce_mean(x, axis=axes)
    variance = tf.reduce_mean((x - mean) ** 2, axis=axes)
    if unbiased:
        count = tf.size(x) / tf.shape(x)[-1]  # float64: float16 ends at 65504
        variance *= tf.cast(count / tf.maximum(count - 1, 1), x.dtype)
    return mean, variance


def running(old, new, momentum: float = 0.9):
    """Returns the running average: momentum * old + (1 - momentum) * new.

    This is the convention of CS231n and Keras. PyTorch calls 1 - momentum momentum.
    """
    return momentum * old + (1 - momentum) * new


def _all_but_last(x) -> list[int]:
    return list(range(len(x.shape) - 1))
