"""Layers that often come together, as one: forward in order, backward in reverse."""

from dlcv_tf.ops.by_hand import activations, affine, batch_norm, convolution, pooling


def affine_relu_forward(x, kernel, bias):
    """Computes relu(x W + b)."""
    x, affine_cache = affine.forward(x, kernel, bias)
    x, relu_cache = activations.relu_forward(x)
    return x, (affine_cache, relu_cache)


def affine_relu_backward(gradient, cache):
    """Returns the gradients by x, kernel and bias."""
    affine_cache, relu_cache = cache
    gradient = activations.relu_backward(gradient, relu_cache)
    return affine.backward(gradient, affine_cache)


def affine_norm_relu_forward(x, kernel, bias, gamma, beta, epsilon: float = 1e-5):
    """Computes relu(norm(x W + b)) with the batch's statistics."""
    x, affine_cache = affine.forward(x, kernel, bias)
    x, norm_cache = batch_norm.forward(x, gamma, beta, epsilon)
    x, relu_cache = activations.relu_forward(x)
    return x, (affine_cache, norm_cache, relu_cache)


def affine_norm_relu_backward(gradient, cache):
    """Returns the gradients by x, kernel, bias, gamma and beta; that by bias is always zero."""
    affine_cache, norm_cache, relu_cache = cache
    gradient = activations.relu_backward(gradient, relu_cache)
    gradient, by_gamma, by_beta = batch_norm.backward(gradient, norm_cache)
    return *affine.backward(gradient, affine_cache), by_gamma, by_beta


def conv_relu_pool_forward(images, kernel, bias, stride: int = 1, padding="same"):
    """Computes the 2x2 max pool of relu(convolution)."""
    x, conv_cache = convolution.forward(images, kernel, bias, stride, padding)
    x, relu_cache = activations.relu_forward(x)
    x, pool_cache = pooling.max_forward(x)
    return x, (conv_cache, relu_cache, pool_cache)


def conv_relu_pool_backward(gradient, cache):
    """Returns the gradients by images, kernel and bias."""
    conv_cache, relu_cache, pool_cache = cache
    gradient = pooling.max_backward(gradient, pool_cache)
    gradient = activations.relu_backward(gradient, relu_cache)
    return convolution.backward(gradient, conv_cache)
