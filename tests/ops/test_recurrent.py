"""One LSTM step is what Keras's cell does, and changes the cell by less than one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops.recurrent import lstm_step

RANDOM = np.random.default_rng(0)
FEATURES, UNITS, BATCH = 3, 4, 5
INPUTS = RANDOM.normal(size=(BATCH, FEATURES))
HIDDEN, CELL = RANDOM.normal(size=(2, BATCH, UNITS))
WEIGHTS = RANDOM.normal(size=(FEATURES + UNITS, 4 * UNITS))
BIAS = RANDOM.normal(size=4 * UNITS)


def test_equals_keras():
    layer = keras.layers.LSTMCell(UNITS, dtype="float64")
    layer.build((BATCH, FEATURES))
    layer.set_weights([WEIGHTS[:FEATURES], WEIGHTS[FEATURES:], BIAS])
    _, (hidden, cell) = layer(tf.constant(INPUTS), [tf.constant(HIDDEN), tf.constant(CELL)])
    ours = lstm_step(INPUTS, HIDDEN, CELL, WEIGHTS, BIAS, gates="ifgo")
    np.testing.assert_allclose(ours[0], hidden, atol=1e-12)
    np.testing.assert_allclose(ours[1], cell, atol=1e-12)


def test_the_order_of_the_gates_is_an_order_of_columns():
    i, f, o, g = np.split(np.arange(4 * UNITS), 4)
    columns = np.concatenate([g, o, f, i])
    expected = lstm_step(INPUTS, HIDDEN, CELL, WEIGHTS, BIAS)
    got = lstm_step(INPUTS, HIDDEN, CELL, WEIGHTS[:, columns], BIAS[columns], gates="gofi")
    np.testing.assert_array_equal(got, expected)


def test_erratum_e18_the_cell_changes_by_i_times_g():
    keep = np.where(np.arange(4 * UNITS) // UNITS == 1, 1e3, BIAS)  # the forget gate is 1
    _, cell = lstm_step(INPUTS, HIDDEN, CELL, WEIGHTS, keep)
    change = np.asarray(cell) - CELL
    columns = np.concatenate([INPUTS, HIDDEN], axis=1) @ WEIGHTS + keep
    i, g = columns[:, :UNITS], columns[:, 3 * UNITS :]
    np.testing.assert_allclose(change, np.tanh(g) / (1 + np.exp(-i)), atol=1e-12)
    assert np.abs(change).max() < 1 and np.abs(change).min() < 0.9  # neither 1 nor above


def test_bad_input_is_named():
    with pytest.raises(InputError, match="got gates='ifoo', expected an order of i, f, o, g"):
        lstm_step(INPUTS, HIDDEN, CELL, WEIGHTS, BIAS, gates="ifoo")
    with pytest.raises(InputError, match=r"got weights \(6, 16\) .* expected \(7, 16\)"):
        lstm_step(INPUTS, HIDDEN, CELL, WEIGHTS[1:], BIAS)
