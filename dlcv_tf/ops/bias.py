"""The bias trick: an affine map as a linear one, by an input that is always 1."""

import tensorflow as tf

from dlcv_tf.errors import InputError


def fold_bias(kernel, bias) -> tf.Tensor:
    """Returns the weights [W; b] for which `append_one(x) @ [W; b]` is `x @ W + b`.

    Inputs are rows here, as in Keras; with columns the same reads W x + b = [W b] [x; 1].

    Args:
        kernel: (inputs, outputs) weights W.
        bias: (outputs,) numbers b.

    Returns:
        (inputs + 1, outputs) weights, of the kernel's type.

    Raises:
        InputError: shapes that do not fit.

    Example:
        >>> fold_bias([[1.0, 2.0]], [3.0, 4.0]).numpy().tolist()
        [[1.0, 2.0], [3.0, 4.0]]
    """
    kernel = tf.convert_to_tensor(kernel)
    bias = tf.convert_to_tensor(bias, kernel.dtype)
    if kernel.shape.rank != 2 or bias.shape != kernel.shape[1:]:
        raise InputError(
            f"got a kernel of shape {tuple(kernel.shape)} and a bias of shape {tuple(bias.shape)}, "
            "expected (inputs, outputs) and (outputs,): transpose a kernel with classes in rows"
        )
    return tf.concat([kernel, bias[None]], axis=0)


def append_one(inputs) -> tf.Tensor:
    """Returns (..., inputs + 1) examples, which end with a 1, of (..., inputs) examples."""
    inputs = tf.convert_to_tensor(inputs)
    return tf.concat([inputs, tf.ones_like(inputs[..., :1])], axis=-1)
