"""Schemes of initial weights, and the activations they give, layer by layer.

Glorot and Bengio 2010 (https://proceedings.mlr.press/v9/glorot10a.html), He et al. 2015
(https://arxiv.org/abs/1502.01852).
"""

import math

import keras
import numpy as np

from dlcv_tf.errors import InputError, unknown
from dlcv_tf.train import diagnostics
from dlcv_tf.train.diagnostics import Activity

# Standard deviation of normal weights, from the numbers of inputs and of outputs of a unit. Keras's
# normals of these names have the same deviations, but their tails cut off.
DEVIATIONS = {
    "zeros": lambda fan_in, fan_out: 0.0,
    "small": lambda fan_in, fan_out: 0.01,
    "large": lambda fan_in, fan_out: 1.0,
    "xavier": lambda fan_in, fan_out: 1 / math.sqrt(fan_in),  # as the course has it
    "lecun": lambda fan_in, fan_out: 1 / math.sqrt(fan_in),  # the same, of 1998
    "glorot": lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out)),  # Xavier Glorot's paper
    "he": lambda fan_in, fan_out: math.sqrt(2 / fan_in),
}
SCHEMES = (*DEVIATIONS, "orthogonal")


def draw(init, shape: tuple[int, ...], random: np.random.RandomState) -> np.ndarray:
    """Draws the initial weights of one layer.

    Args:
        init: name in `SCHEMES`; a number, the standard deviation of normal weights; a name that
            Keras knows (`"he_uniform"`); or a Keras initializer, whose own seed is replaced: with
            one seed all layers of one shape would start alike.
        shape: of the kernel, `(inputs, units)` or `(height, width, channels, filters)`.
        random: where the numbers come from.

    Returns:
        Array of that shape, float64 (float32 from a Keras initializer).

    Raises:
        InputError: unknown name, with the closest as a suggestion; a negative number.
    """
    fan_in, fan_out = math.prod(shape[:-1]), math.prod(shape[:-2]) * shape[-1]
    if isinstance(init, int | float):
        if not 0 <= init < math.inf:
            raise InputError(f"got init={init}, expected a standard deviation of 0 or more")
        return init * random.randn(*shape)
    if init in DEVIATIONS:
        return DEVIATIONS[init](fan_in, fan_out) * random.randn(*shape)
    try:
        found = keras.initializers.get(init)
    except ValueError:
        raise unknown("initialisation", str(init), SCHEMES) from None
    if not isinstance(found, keras.initializers.Initializer):
        raise InputError(f"got init={init!r}, expected a name, a number or a Keras initializer")
    config = found.get_config()
    seed = {"seed": int(random.randint(2**31))} if "seed" in config else {}
    return np.asarray(type(found).from_config(config | seed)(shape))


def initialize(model: keras.Model, init, random: np.random.RandomState) -> None:
    """Draws the kernels of a model's layers anew, one after another; biases stay as they are.

    Args:
        model: any Keras model.
        init: as for `draw`.
        random: where the numbers come from.
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            initialize(layer, init, random)
        elif (kernel := getattr(layer, "kernel", None)) is not None:
            kernel.assign(draw(init, tuple(kernel.shape), random))


def plain_network(act, depth: int = 10, width: int = 500) -> keras.Model:
    """Builds a deep network of equal fully connected layers without biases, to look into.

    Args:
        act: activation function, a name that Keras knows or a function.
        depth: layers.
        width: units of each, and numbers of an input.

    Returns:
        Model from (batch, width) to (batch, width): the last layer's activations. The layers are
        named `layer1`, `layer2`, ...

    Raises:
        InputError: an unknown function, or sizes below 1.
    """
    if depth < 1 or width < 1:
        raise InputError(f"got depth={depth} and width={width}, expected 1 or more of both")
    try:
        function = keras.activations.get(act)
    except ValueError:
        known = ("relu", "tanh", "sigmoid", "elu", "leaky_relu", "selu", "gelu", "softsign")
        raise unknown("activation function", str(act), known) from None
    inputs = x = keras.Input((width,), name="inputs")
    for number in range(1, depth + 1):
        layer = keras.layers.Dense(width, function, use_bias=False, name=f"layer{number}")
        x = layer(x)
    return keras.Model(inputs, x, name="plain")


def activation_stats(
    init,
    act="tanh",
    depth: int = 10,
    width: int = 500,
    *,
    examples: int = 1000,
    seed: int = 0,
    verbose: int = 1,
) -> list[Activity]:
    """Shows what initial weights do to the activations of a deep network: the course's table.

    Unit normal data goes through `depth` layers `H = act(H @ W)`; the table has mean and standard
    deviation of each layer's activations. With ReLU, a draw differs from the next by 15 % in the
    tenth layer. For another network call `initialize` and `diagnostics.activity` on it.

    Args:
        init: as for `draw`: `"small"`, `"large"`, `"xavier"`, `"he"`, 0.05, ...
        act: as for `plain_network`.
        depth: layers.
        width: units in each.
        examples: rows of the data.
        seed: of the data and the weights.
        verbose: 1 prints the table, 0 nothing.

    Returns:
        One `diagnostics.Activity` for each layer.

    Raises:
        InputError: as `draw` and `plain_network`.

    Example:
        >>> layers = activation_stats("he", "relu", depth=3, verbose=0)
        >>> [round(layer.std, 1) for layer in layers]
        [0.8, 0.8, 0.8]
    """
    if examples < 1:
        raise InputError(f"got examples={examples}, expected 1 or more")
    network = plain_network(act, depth, width)
    random = np.random.RandomState(seed)
    inputs = random.randn(examples, width)
    initialize(network, init, random)
    names = [f"layer{number}" for number in range(1, depth + 1)]
    found = diagnostics.activity(network, inputs, layers=names)
    if verbose:
        print(diagnostics.describe(found))
    return found
