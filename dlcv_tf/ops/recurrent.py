"""One step of a recurrent cell, as equations.

Reference: Hochreiter and Schmidhuber, "Long Short-Term Memory", with the forget gate of Gers et al.
"""

import tensorflow as tf

from dlcv_tf.errors import InputError

GATES = "ifog"  # input, forget, output, candidate: the order of the lecture


def lstm_step(inputs, hidden, cell, weights, bias, gates: str = GATES):
    """Returns the next hidden state and cell of an LSTM.

    (i, f, o, g) = (sigmoid, sigmoid, sigmoid, tanh) of W (x, h) + b; c' = f c + i g;
    h' = o tanh(c'). With f = 1 the cell changes by i g, which lies in (-1, 1), not by 1.

    Args:
        inputs: (batch, features).
        hidden: (batch, units).
        cell: (batch, units).
        weights: (features + units, 4 units): rows of x first, columns gate by gate.
        bias: (4 units,).
        gates: order of the gates in the columns: Keras and PyTorch have `"ifgo"`.

    Returns:
        hidden (batch, units) and cell (batch, units).

    Raises:
        InputError: the order is no order of i, f, o and g, or shapes do not fit.
    """
    if sorted(gates) != sorted(GATES):
        raise InputError(f"got gates={gates!r}, expected an order of {', '.join(GATES)}")
    joined = tf.concat([inputs, hidden], axis=-1)
    expected = (joined.shape[-1], 4 * cell.shape[-1])
    if tuple(weights.shape) != expected or tuple(bias.shape) != expected[1:]:
        raise InputError(
            f"got weights {tuple(weights.shape)} and bias {tuple(bias.shape)}, expected {expected} "
            f"and {expected[1:]} for {joined.shape[-1]} inputs and hidden units"
        )
    parts = dict(zip(gates, tf.split(joined @ weights + bias, 4, axis=-1), strict=True))
    kept = tf.sigmoid(parts["f"]) * cell
    cell = kept + tf.sigmoid(parts["i"]) * tf.tanh(parts["g"])
    return tf.sigmoid(parts["o"]) * tf.tanh(cell), cell
