"""NumPy twins of the course's layers: (inputs, output gradient) to (output, gradients).

Written as loops over windows and plain formulas, on other lines than the code that they judge.
"""

import numpy as np


def affine(g, x, kernel, bias):
    rows = x.reshape(len(x), -1)
    output = np.einsum("ni,iu->nu", rows, kernel) + bias
    by_x = np.einsum("nu,iu->ni", g, kernel).reshape(x.shape)
    return output, [by_x, np.einsum("ni,nu->iu", rows, g), g.sum(0)]


def sigmoid(g, x):
    return 1 / (1 + np.exp(-x)), [g * np.exp(-x) / (1 + np.exp(-x)) ** 2]


def tanh(g, x):
    return np.sinh(x) / np.cosh(x), [g / np.cosh(x) ** 2]


def relu(g, x):
    return x * (x > 0), [g * (x > 0)]


def leaky_relu(g, x, slope=0.01):
    return np.where(x > 0, x, slope * x), [g * np.where(x > 0, 1, slope)]


def prelu(g, x, slope):
    slopes = np.broadcast_to(slope, x.shape)
    by_slope = (g * x * (x < 0)).reshape(-1, len(slope)).sum(0)
    return np.where(x > 0, x, slopes * x), [g * np.where(x > 0, 1, slopes), by_slope]


def elu(g, x, alpha=1.0):
    output = np.where(x > 0, x, alpha * (np.exp(x) - 1))
    return output, [g * np.where(x > 0, 1, alpha * np.exp(x))]


def maxout(g, x):
    output, by_x = np.zeros(x.shape[:-1]), np.zeros_like(x)
    for place in np.ndindex(output.shape):
        best = max(range(x.shape[-1]), key=lambda piece, place=place: x[place][piece])
        output[place] = x[place][best]
        by_x[place][best] = g[place]
    return output, [by_x]


def convolution(g, images, kernel, bias, stride=1, padding=((0, 0), (0, 0))):
    """`padding`: ((top, bottom), (left, right)) zeros."""
    (top, _), (left, _) = padding
    _, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), *padding, (0, 0)))
    size = kernel.shape[0]
    output, by_padded, by_kernel = np.zeros(g.shape), np.zeros(padded.shape), np.zeros(kernel.shape)
    for n, y, x, f in np.ndindex(g.shape):
        window = np.s_[n, y * stride : y * stride + size, x * stride : x * stride + size]
        output[n, y, x, f] = (padded[window] * kernel[..., f]).sum() + bias[f]
        by_padded[window] += g[n, y, x, f] * kernel[..., f]
        by_kernel[..., f] += g[n, y, x, f] * padded[window]
    by_images = by_padded[:, top : top + height, left : left + width]
    return output, [by_images, by_kernel, g.sum((0, 1, 2))]


def pool(g, images, size, stride, weigh):
    """`weigh(window)`: output and its derivative by each pixel of the (size, size) window."""
    output, by_images = np.zeros(g.shape), np.zeros(images.shape)
    for n, y, x, c in np.ndindex(g.shape):
        window = np.s_[n, y * stride : y * stride + size, x * stride : x * stride + size, c]
        output[n, y, x, c], slopes = weigh(images[window])
        by_images[window] += g[n, y, x, c] * slopes
    return output, [by_images]


def max_pool(g, images, size=2, stride=2):
    return pool(g, images, size, stride, lambda w: (w.max(), w == w.max()))


def average_pool(g, images, size=2, stride=2):
    return pool(g, images, size, stride, lambda w: (w.mean(), np.full(w.shape, 1 / w.size)))


def soft_pool(g, images, size=2, stride=2, temperature=1.0):
    def weigh(window):
        weights = np.exp(window / temperature)
        weights /= weights.sum()
        mean = (weights * window).sum()
        # By the product rule: w_i, and the change of the softmax times the pixels.
        flat, probability = window.ravel(), weights.ravel()
        jacobian = (np.diag(probability) - np.outer(probability, probability)) / temperature
        return mean, weights + (jacobian @ flat).reshape(window.shape)

    return pool(g, images, size, stride, weigh)


def batch_norm(g, x, gamma, beta, epsilon=1e-5):
    """Backwards step by step through the graph, as in the course's exercise."""
    rows, above = x.reshape(-1, x.shape[-1]), g.reshape(-1, x.shape[-1])
    count = len(rows)
    mean = rows.sum(0) / count
    centred = rows - mean
    variance = (centred**2).sum(0) / count
    root = np.sqrt(variance + epsilon)
    normal = centred / root
    by_normal = above * gamma
    by_root = -(by_normal * centred).sum(0) / root**2
    by_variance = by_root / (2 * root)
    by_centred = by_normal / root + 2 * centred * by_variance / count
    by_rows = by_centred - by_centred.sum(0) / count
    output = (gamma * normal + beta).reshape(x.shape)
    return output, [by_rows.reshape(x.shape), (above * normal).sum(0), above.sum(0)]
