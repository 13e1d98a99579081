"""Folding batch normalisation into the layer before it: the same answers by fewer layers.

At test time a batch norm is a scale and a shift of every map, and the convolution before it is
linear, so that both are one convolution: W' = W gamma / sqrt(variance + epsilon) and
b' = (b - mean) gamma / sqrt(variance + epsilon) + beta.

Reference: Jacob et al., section 3.2, https://arxiv.org/abs/1712.05877.
"""

import collections

import keras
import numpy as np

from dlcv_tf.errors import InputError
from dlcv_tf.layers.batch_norm import BATCH_NORMS

# Layers that are linear, by exact class; a derived one may do more.
LINEAR = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)


def fold_batch_norm(network: keras.Model) -> keras.Model:
    """Returns a copy of a network in which batch norms are part of the layers before them.

    Where there is none to fold, it is the network itself.

    Folded is every batch norm of the last axis that follows, without anything between, a Conv2D,
    DepthwiseConv2D or Dense layer without activation whose output goes nowhere else. All other
    layers stay, and so do their names. The copy answers as the network does outside of training; do
    not train it.

    Args:
        network: functional model.

    Raises:
        InputError: the network is not functional.
    """
    if not isinstance(network, keras.Model) or not hasattr(network, "operations"):
        raise InputError(
            f"got {type(network).__name__}, expected a functional keras.Model; of a task, fold "
            "`task.network`"
        )
    pairs = _pairs(network)  # name of the linear layer: batch norm
    if not pairs:
        return network
    folded_norms = {norm.name for norm in pairs.values()}

    def with_bias(layer):
        config = layer.get_config()
        return type(layer).from_config(
            config | {"use_bias": True} if layer.name in pairs else config
        )

    def without_norms(layer, *args, **kwargs):
        return args[0] if layer.name in folded_norms else layer(*args, **kwargs)

    folded = keras.models.clone_model(
        network, clone_function=with_bias, call_function=without_norms
    )
    for layer in network.layers:
        if layer.name in pairs:
            weights = _folded_weights(layer, pairs[layer.name])
            folded.get_layer(layer.name).set_weights(weights)
        elif layer.weights and layer.name not in folded_norms:
            folded.get_layer(layer.name).set_weights(layer.get_weights())
    return folded


def _pairs(network: keras.Model) -> dict[str, keras.layers.Layer]:
    """Returns the batch norms that can be folded, by the names of the layers that take them in."""
    nodes = [node for depth in network._nodes_by_depth.values() for node in depth]
    calls = collections.Counter(node.operation for node in nodes)
    uses = collections.Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
    uses.update(map(id, network.outputs))
    pairs = {}
    for node in nodes:
        if not isinstance(node.operation, BATCH_NORMS) or len(node.input_tensors) != 1:
            continue
        (tensor,), norm = node.input_tensors, node.operation
        linear = tensor._keras_history.operation
        alone = uses[id(tensor)] == calls[linear] == calls[norm] == 1
        if alone and type(linear) in LINEAR and _plain(linear) and _of_last_axis(norm, tensor):
            pairs[linear.name] = norm
    return pairs


def _plain(linear) -> bool:
    channels_last = getattr(linear, "data_format", "channels_last") == "channels_last"
    return linear.activation is keras.activations.linear and channels_last


def _of_last_axis(norm, tensor) -> bool:
    return getattr(norm, "axis", -1) in (-1, len(tensor.shape) - 1)


def _folded_weights(linear, norm) -> list[np.ndarray]:
    """Returns [W', b'], computed in float64."""
    mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy().astype(np.float64)
    gamma = 1.0 if norm.gamma is None else norm.gamma.numpy()
    beta = 0.0 if norm.beta is None else norm.beta.numpy()
    kernel = linear.kernel.numpy()
    bias = 0.0 if linear.bias is None else linear.bias.numpy()
    scale = gamma / np.sqrt(variance + norm.epsilon)
    # The last axes of a kernel are its outputs: those of a depthwise one are (channels, multiples).
    outputs = kernel.shape[-2:] if isinstance(linear, keras.layers.DepthwiseConv2D) else (-1,)
    return [kernel * scale.reshape(outputs), (bias - mean) * scale + beta]
