"""Penalties on weights: L1, L2 and both together, the elastic net.

Published codes disagree on a factor 1/2 in front of the L2 penalty, which only makes its gradient
`strength * W` instead of `2 * strength * W`. Here it is the argument `half`, and off unless asked
for, as in Keras. (CS231n's notes and first assignments sum W^2, later ones 1/2 W^2.)

The lecture notes write the elastic net as beta * W^2 + |W|: `elastic_net(W, l1=1, l2=beta)`. They
also say that regularisation makes no sense in neural networks; as weight decay it is in nearly
every one that is trained.
"""

import keras
from keras import ops

from dlcv_tf.errors import InputError


def l1(weights, strength: float = 1.0):
    """Returns strength * sum of |W|, which drives weights to exactly zero.

    Args:
        weights: a tensor, or a list or tuple of tensors of any shapes.
        strength: factor of the penalty, 0 or more.

    Returns:
        The penalty, a scalar tensor.

    Example:
        >>> float(l1([1.0, -2.0]))
        3.0
    """
    return elastic_net(weights, l1=strength)


def l2(weights, strength: float = 1.0, half: bool = False):
    """Returns strength * sum of W^2, which prefers many small weights to few large ones.

    Args:
        weights: a tensor, or a list or tuple of tensors of any shapes.
        strength: factor of the penalty, 0 or more.
        half: multiply the penalty by 1/2.

    Returns:
        The penalty, a scalar tensor.

    Example:
        >>> float(l2([1.0, -2.0])), float(l2([1.0, -2.0], half=True))
        (5.0, 2.5)
    """
    return elastic_net(weights, l2=strength, half=half)


def elastic_net(weights, l1: float = 0.0, l2: float = 0.0, half: bool = False):
    """Returns l1 * sum of |W| + l2 * sum of W^2.

    Args:
        weights: a tensor, or a list or tuple of tensors of any shapes.
        l1: factor of the L1 penalty, 0 or more.
        l2: factor of the L2 penalty, 0 or more.
        half: multiply the L2 penalty by 1/2.

    Returns:
        The penalty, a scalar tensor.

    Reference: Zou and Hastie, "Regularization and variable selection via the elastic net", 2005.
    """
    _check(l1, l2)
    many = isinstance(weights, list | tuple) and any(hasattr(each, "shape") for each in weights)
    tensors = [ops.convert_to_tensor(each) for each in (weights if many else [weights])]
    absolute = sum(ops.sum(ops.absolute(each)) for each in tensors)
    squares = sum(ops.sum(ops.square(each)) for each in tensors)
    return l1 * absolute + (l2 / 2 if half else l2) * squares


def regularizer(l1: float = 0.0, l2: float = 0.0, half: bool = False) -> keras.Regularizer:
    """Returns the same penalty for a layer's `kernel_regularizer`: Keras's own `L1L2`.

    Args:
        l1: factor of the L1 penalty, 0 or more.
        l2: factor of the L2 penalty, 0 or more.
        half: multiply the L2 penalty by 1/2.

    Raises:
        InputError: a negative factor.

    Example:
        >>> layer = keras.layers.Dense(10, kernel_regularizer=regularizer(l2=1e-3))
    """
    _check(l1, l2)
    return keras.regularizers.L1L2(l1, l2 / 2 if half else l2)


def _check(l1: float, l2: float) -> None:
    for name, value in {"l1": l1, "l2": l2}.items():
        if not 0 <= value < float("inf"):
            raise InputError(f"got {name}={value} for a penalty on weights, expected 0 or more")
