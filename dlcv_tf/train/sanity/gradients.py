"""A gradient check of a whole model: some derivatives of its cost, in float64, by differences."""

import time

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf.ops import finite_differences, gradcheck
from dlcv_tf.train.sanity import switches
from dlcv_tf.train.sanity.probe import Probe
from dlcv_tf.train.sanity.sample import Sample

EXAMPLES = 4
VARIABLES = 8  # weights and biases from all over the network
PLACES = 2  # of each
STEP = 1e-6
WRONG = 1e-2


def check(probe: Probe, train: Sample, seed: int) -> tuple[float, int, float] | None:
    """Holds a model's gradients against centred differences, at a few places and in float64.

    The places with the largest gradients of some variables are taken; those with a kink within the
    step (ReLU, max pool) are left out, for there is no gradient to agree with.

    Args:
        probe: the model on trial.
        train: examples.
        seed: of the choice of variables.

    Returns:
        Relative error ||analytic - numerical|| / ||numerical|| over all places, their number, and
        the seconds that it took without the making of the float64 copy; None where a model's
        config does not give the model back, as of many subclassed ones.
    """
    batch = train[:EXAMPLES]
    try:
        model = in_float64(probe.model, batch)
    except (TypeError, ValueError, NotImplementedError):
        return None
    value, gradients = _functions(model, batch)
    variables = model.trainable_variables
    value(), gradients()  # the first call takes longer
    started = time.perf_counter()
    analytic = [np.asarray(g) for g in gradients()]
    chosen = np.random.default_rng(seed).permutation(len(variables))[:VARIABLES]
    found, measured = [], []
    for number in sorted(chosen):
        variable, gradient = variables[number], analytic[number].reshape(-1)
        places = np.argsort(-abs(gradient), kind="stable")[:PLACES]
        before = np.array(variable)

        def moved(x, variable=variable):
            variable.assign(x)
            return np.asarray(value())

        slopes = finite_differences.numerical_gradient(moved, before, STEP, places=places)
        variable.assign(before)
        smooth = ~slopes.kinks
        found.append(gradient[places][smooth])
        measured.append(slopes.values[smooth])
    found, measured = np.concatenate(found), np.concatenate(measured)
    seconds = time.perf_counter() - started
    norm = max(np.linalg.norm(measured), np.linalg.norm(found), 1e-12)
    return float(np.linalg.norm(found - measured) / norm), len(found), seconds


def in_float64(model: keras.Model, batch: Sample) -> keras.Model:
    """Returns a copy of a compiled model that computes in float64, its loss too."""
    before = keras.config.floatx()
    keras.config.set_floatx("float64")  # the type of a loss does not stand in its config
    try:
        copy = gradcheck.in_float64(model, batch.inputs)
        loss = model.get_compile_config()["loss"]
        copy.compile("sgd", keras.saving.deserialize_keras_object(loss), metrics=[])
        cost(copy, *tensors(batch))  # makes a loss that is known by its name
    finally:
        keras.config.set_floatx(before)
    return copy


def tensors(batch: Sample) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns inputs, of float64 if they are no whole numbers, and labels."""
    inputs = tf.constant(batch.inputs)
    exact = tf.cast(inputs, tf.float64) if inputs.dtype.is_floating else inputs
    return exact, tf.constant(batch.labels)


def cost(model: keras.Model, inputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Returns what a batch costs in training mode, without noise."""
    with switches.without_noise(model), switches.no_word_of_softmax():
        return model.compute_loss(x=inputs, y=labels, y_pred=model(inputs, training=True))


def _functions(model: keras.Model, batch: Sample):
    """Returns the traced cost of a batch, and its gradients by all weights."""
    given = tensors(batch)

    def gradients():
        with tf.GradientTape() as tape:
            value = cost(model, *given)
        weights = [variable.value for variable in model.trainable_variables]
        zero = tf.UnconnectedGradients.ZERO
        return tape.gradient(value, weights, unconnected_gradients=zero)

    functions = (lambda: cost(model, *given), gradients)
    return [tf.function(each, autograph=False).get_concrete_function() for each in functions]
