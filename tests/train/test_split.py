"""A network run on parts of the batch gives what it gives on the whole batch."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from dlcv_tf import data, models, tasks
from dlcv_tf.train import kernels, split
from tests.helpers import pictures, ramp
from tests.train.test_kernels import counted

BATCH = 7  # two parts of it differ in size
IMAGES = ramp((BATCH, 8, 8, 3))
ROWS = ramp((BATCH, 6))
SEQUENCES = ramp((BATCH, 5, 4))
SEQUENCES[0, 3:] = SEQUENCES[4, 2:] = 0  # steps that a mask leaves out
TOKENS = np.abs(ramp((BATCH, 5), low=0, high=4).astype("int32"))


def functional(body, example):
    """Returns a function that makes the model of an input like the example, and that example."""

    def build():
        inputs = keras.Input(example.shape[1:], dtype=str(example.dtype))
        return keras.Model(inputs, body(inputs))

    return build, example


@keras.saving.register_keras_serializable(package="tests")
class Centred(layers.Layer):
    """Mixes the examples of a batch: takes their mean off."""

    def call(self, inputs):
        return inputs - ops.mean(inputs, axis=0, keepdims=True)


@keras.saving.register_keras_serializable(package="tests")
class Doubled(keras.Model):
    """A functional model with a `call` of its own."""

    def call(self, inputs, training=None):
        return 2 * super().call(inputs, training=training)


class Positive(layers.Layer):
    """Keeps some of the examples; how many is known only when it runs."""

    def call(self, inputs):
        return tf.boolean_mask(inputs, inputs[:, 0] > 0)

    def compute_output_shape(self, input_shape):
        return input_shape


def block(x, filters=4):
    x = layers.Conv2D(filters, 3, use_bias=False, padding="same")(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.8)(x))


def nested(x):
    inner = keras.Input(x.shape[1:])
    innermost = keras.Input((*x.shape[1:3], 4))
    inside = keras.Model(innermost, block(innermost))
    body = keras.Model(inner, {"a": inside(block(inner)), "b": inside(block(inner))})
    answers = body(x)
    return [layers.Dense(2)(answers["a"]), answers["b"]]


def shared(x):
    dense, norm = layers.Dense(6), layers.BatchNormalization(momentum=0.8)
    return norm(dense(norm(dense(x)) * 2 + 1))


def several():
    first, second = keras.Input((8, 8, 3), name="z"), keras.Input((6,), name="a")
    joined = layers.Concatenate()([layers.Flatten()(block(first)), layers.Dense(3)(second)])
    outputs = {"sum": layers.Dense(2)(joined), "second": second}
    return keras.Model({"z": first, "a": second}, outputs)


def recurrent(x):
    x = layers.LSTM(4, return_sequences=True)(x)
    return layers.GRU(3, dropout=0.5)(layers.Dropout(0.3)(x))


def with_state(x):
    _, *state = layers.LSTM(4, return_state=True)(x)
    return layers.LSTM(4)(x, initial_state=state)


CASES = {
    "convolutions": functional(lambda x: layers.Flatten()(block(block(x))), IMAGES),
    "nested functional models": functional(nested, IMAGES),
    "a layer called twice": functional(shared, ROWS),
    "dropout": functional(lambda x: layers.Dropout(0.5)(layers.Dense(9)(x)), ROWS),
    "a layer that mixes examples": functional(lambda x: Centred()(layers.Dense(4)(x)), ROWS),
    "operations": functional(
        lambda x: ops.pad(block(x), [[0, 0], [1, 0], [0, 2], [0, 0]]) * 2 + 1, IMAGES
    ),
    "the mean of the batch, added": functional(
        lambda x: layers.Add()([x, ops.mean(x, axis=0, keepdims=True)]), ROWS
    ),
    "a number of the batch": functional(lambda x: layers.Dense(3)(x) / ops.max(x), ROWS),
    "as many examples as there are": functional(lambda x: layers.Dense(3)(Positive()(x)), ROWS),
    "concatenation of batches": functional(
        lambda x: layers.Concatenate(axis=0)([layers.Dense(3)(x), x[:, :3]]), ROWS
    ),
    "concatenation of batches, counted from the end": functional(
        lambda x: layers.Concatenate(axis=-2)([layers.Dense(3)(x), x[:, :3]]), ROWS
    ),
    "softmax over the batch": functional(lambda x: layers.Softmax(axis=0)(x), ROWS),
    "an activation that mixes examples": functional(
        lambda x: layers.Activation(lambda y: y - ops.mean(y, axis=0))(x), ROWS
    ),
    "a dense layer with such an activation": functional(
        lambda x: layers.Dense(3, activation=lambda y: y - ops.mean(y, axis=0))(x), ROWS
    ),
    "regularised weights": functional(lambda x: layers.Dense(3, kernel_regularizer="l2")(x), ROWS),
    "regularised answers": functional(
        lambda x: layers.Dense(3, activity_regularizer="l2")(x), ROWS
    ),
    "regularised answers of a batch norm": functional(
        lambda x: layers.BatchNormalization(activity_regularizer="l1")(x), ROWS
    ),
    "batch norm of another axis": functional(
        lambda x: layers.BatchNormalization(axis=1)(x), ramp((BATCH, 3, 3, 3))
    ),
    "batch norm of a frozen layer": functional(
        lambda x: layers.BatchNormalization(trainable=False)(x), IMAGES
    ),
    "batch norm with renormalisation": functional(
        lambda x: layers.BatchNormalization(renorm=True)(x), IMAGES
    ),
    "mixed precision, but batch norm in float32": functional(
        lambda x: layers.BatchNormalization(dtype="float32")(
            layers.Conv2D(4, 3, use_bias=False, dtype="mixed_bfloat16")(x)
        ),
        IMAGES,
    ),
    "recurrent layers": functional(recurrent, SEQUENCES),
    "a state handed over": functional(with_state, SEQUENCES),
    "masked sequences": functional(
        lambda x: layers.LSTM(4)(layers.Dropout(0.2)(layers.Masking()(x))), SEQUENCES
    ),
    "masked tokens": functional(
        lambda x: layers.GRU(2)(
            layers.BatchNormalization()(layers.Embedding(5, 3, mask_zero=True)(x))
        ),
        TOKENS,
    ),
    "several inputs and outputs": (several, {"z": IMAGES, "a": ROWS}),
    "a model with its own call": (
        lambda: Doubled(inputs := keras.Input((6,)), layers.Dense(3)(inputs)),
        ROWS,
    ),
    "such a model within another": functional(
        lambda x: layers.Dense(2)(Doubled(i := keras.Input((6,)), layers.Dense(3)(i))(x)), ROWS
    ),
    "resnet20": (lambda: models.resnet20((8, 8, 3), 4, width=2), IMAGES),
}


def learned(build, inputs, context, training=True):
    """Returns the outputs, losses, gradients and state of one step, taken as a graph."""
    keras.utils.set_random_seed(0)
    model = build()
    model(inputs)  # which makes what is made in the first call

    @tf.function(autograph=False)
    def step(inputs):
        with tf.GradientTape() as tape, context(model):
            outputs = model(inputs, training=training)
            answers = [tf.cast(each, "float32") for each in tf.nest.flatten(outputs)]
            weights = [tf.cos(3.1 * tf.range(tf.size(each), dtype="float32")) for each in answers]
            loss = tf.add_n(
                [
                    tf.reduce_sum(tf.reshape(each, [-1]) * weight)
                    for each, weight in zip(answers, weights, strict=True)
                ]
                + model.losses
            )
        gradients = tape.gradient(loss, model.trainable_variables)
        return outputs, loss, [tf.convert_to_tensor(each) for each in gradients]

    outputs, loss, gradients = step(tf.nest.map_structure(tf.constant, inputs))
    return outputs, [loss, *gradients, *model.non_trainable_variables]


@pytest.mark.parametrize("name", CASES)
def test_parts_give_what_the_whole_batch_gives(name):
    build, inputs = CASES[name]
    outputs, others = learned(build, inputs, lambda model: split.batch(model, 2))
    expected, expected_others = learned(build, inputs, lambda _: contextlib.nullcontext())
    tf.nest.assert_same_structure(outputs, expected)
    tolerance = 1e-2 if "mixed" in name else 1e-5
    got = [*tf.nest.flatten(outputs), *others]
    for one, other in zip(got, [*tf.nest.flatten(expected), *expected_others], strict=True):
        one, other = (np.asarray(tf.cast(each, "float32")) for each in (one, other))
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * max(1, abs(other).max()))


@pytest.mark.parametrize("parts", [1, 2, 3, BATCH])
def test_each_part_has_its_own_kernels(parts):
    model = CASES["convolutions"][0]()
    with split.batch(model, parts):
        kinds = counted(lambda: model(IMAGES, training=True))
        assert kinds["Conv2D"] == 2 * parts
        assert kinds["FusedBatchNormV3"] == 2 * parts
        inference = counted(lambda: model(IMAGES, training=False))
        assert inference["Conv2D"] == 2


@pytest.mark.parametrize("training", [False, None])
def test_inference_is_untouched(training):
    model = CASES["convolutions"][0]()
    model(IMAGES, training=True)  # moving statistics that tell
    with split.batch(model, 2):
        inside = model(IMAGES, training=training)
    np.testing.assert_array_equal(inside, model(IMAGES, training=training))


def test_inputs_are_taken_as_keras_takes_them():
    pixels = pictures(BATCH, (8, 8))
    image_model = functional(lambda x: layers.Conv2D(2, 3)(x), IMAGES)[0]()
    row_model = functional(lambda x: layers.Dense(2)(x), ROWS[:, :1])[0]()
    for model, inputs in ((image_model, pixels), (row_model, ROWS[:, 0])):  # uint8; a rank less
        expected = model(inputs, training=True)
        with split.batch(model, 2):
            outputs = model(inputs, training=True)
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


def test_the_network_of_a_task_is_split_and_whole_again_afterwards():
    keras.utils.set_random_seed(0)
    network = models.convnet((8, 8, 3), 3, filters=(4,), hidden_units=8)
    task = tasks.Classifier(network, data.Preprocess((8, 8), 3), list("abc"))
    images = pictures(BATCH, (8, 8))
    whole = counted(lambda: task(images, training=True))["Conv2D"]
    with kernels.fused(task), split.batch(task, 3):
        assert counted(lambda: task(images, training=True))["Conv2D"] == 3 * whole > 0
    assert counted(lambda: task(images, training=True))["Conv2D"] == whole
    with pytest.raises(KeyError), split.batch(task, 3):
        raise KeyError
    assert "call" not in vars(network)
