"""Counts the multiplications of a Keras network, for `tools/bench.py`."""

import math
from collections.abc import Iterator

import keras
from keras import layers


def macs(model: keras.Model) -> int:
    """Returns the multiply-adds of one example's way forward through a functional network.

    Those of convolutions (where a kernel hangs over the edge too), dense layers and LSTMs are
    counted; the rest of a network has few. Pictures are (height, width, channels), and a layer that
    is called several times counts once.
    """
    return sum(layer_macs(layer) for layer in flat_layers(model))


def flat_layers(model: keras.Model) -> Iterator[keras.Layer]:
    """Gives the layers of a network, those of the networks in it too."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from flat_layers(layer)
        else:
            yield layer


def layer_macs(layer: keras.Layer) -> int:
    """Returns the multiply-adds of one layer: its kernel's numbers times the places it is put at.

    Raises:
        ValueError: the layer has a kernel, but is of a kind that is not counted.
    """
    if isinstance(layer, layers.LSTM):
        steps = layer.input.shape[1]
        return steps * (size(layer.cell.kernel) + size(layer.cell.recurrent_kernel))
    if isinstance(layer, layers.Conv2DTranspose):
        return math.prod(layer.input.shape[1:-1]) * size(layer.kernel)
    if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D | layers.Dense):
        return math.prod(layer.output.shape[1:-1]) * size(layer.kernel)
    if any(len(weight.shape) > 1 for weight in layer.weights if "kernel" in weight.name):
        raise ValueError(
            f"got a {type(layer).__name__}, expected no kernels but those of Conv2D, "
            "Conv2DTranspose, DepthwiseConv2D, Dense and LSTM: say in layer_macs what it takes"
        )
    return 0


def size(variable: keras.Variable) -> int:
    """Returns how many numbers a variable has."""
    return math.prod(variable.shape)
