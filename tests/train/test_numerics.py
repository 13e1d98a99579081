"""However steps are carried out, training gives what plain Keras gives."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from dlcv_tf import data, models, tasks, train
from tests.helpers import pictures

CLASSES = 3
EXAMPLES, BATCH = 45, 9  # five steps an epoch; two parts of a batch differ in size

VARIANTS = {
    "fused": train.Variant(),
    "parts": train.Variant(parts=2),
    "parts, several steps a call": train.Variant(parts=2, steps_per_call=3),
    "XLA": train.Variant(xla=True),
    "several steps a call": train.Variant(steps_per_call=4),
}


@pytest.fixture
def float64():
    """Makes float64 Keras's type within a test."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


def batches(seed=3):
    labels = np.arange(EXAMPLES) % CLASSES
    dataset = tf.data.Dataset.from_tensor_slices((pictures(EXAMPLES, (8, 8)), labels))
    return data.TrainingBatches(dataset, EXAMPLES, BATCH, seed, ("flip", "shift"))


def small_network():
    images = keras.Input((8, 8, 3))
    x = images
    for filters in (4, 6):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    logits = layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(images, {"logits": logits})


def pair(make_network=small_network, size=(8, 8), channels=3, classes=CLASSES, seed=0):
    """Returns a task, and a model of plain Keras with the same weights, compiled alike."""
    keras.utils.set_random_seed(seed)
    network, preprocess = make_network(), data.Preprocess(size, channels)
    task = tasks.Classifier(network, preprocess, [str(n) for n in range(classes)])
    images = keras.Input((*size, channels), dtype="uint8")
    own = keras.models.clone_model(network)
    plain = keras.Model(images, own(data.Preprocess(size, channels)(images))["logits"])
    own.set_weights(network.get_weights())
    for model in (task, plain):
        optimizer = keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=1e-3)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        accuracy = keras.metrics.SparseCategoricalAccuracy("accuracy")
        model.compile(optimizer, loss, metrics=[accuracy])
    return task, plain


class Losses(keras.callbacks.Callback):
    """Keeps the running mean of the loss after each step or call."""

    def on_train_begin(self, logs=None):
        self.after = {}

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self.after[self.epoch, batch] = logs["loss"]


def trained(variant, epochs):
    """Returns weights and losses after training by our loop, and by plain `fit`."""
    task, plain = pair()
    ours, theirs = Losses(), Losses()
    train.train(task, batches(), epochs=epochs, callbacks=[ours], variant=variant, verbose=0)
    plain.fit(
        batches().stream(epochs),
        epochs=epochs,
        steps_per_epoch=batches().steps_per_epoch,
        callbacks=[theirs],
        shuffle=False,
        verbose=0,
    )
    assert len(ours.after) >= len(theirs.after) / variant.steps_per_call
    losses = np.array([[loss, theirs.after[step]] for step, loss in ours.after.items()])
    weights = list(zip(task.get_weights(), plain.get_weights(), strict=True))
    momentum = zip(task.optimizer.variables, plain.optimizer.variables, strict=True)
    return losses.T, [(np.asarray(a), np.asarray(b)) for a, b in [*weights, *momentum]]


def assert_close(pairs, tolerance):
    for got, expected in pairs:
        assert np.isfinite(expected).all()
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_first_ten_steps_agree_with_plain_fit(name):
    losses, weights = trained(VARIANTS[name], epochs=2)
    assert_close([losses], 1e-3)
    assert_close(weights, 1e-3)


@pytest.mark.parametrize("name", VARIANTS)
def test_in_float64_two_hundred_steps_agree_with_plain_fit(name, float64):
    losses, weights = trained(VARIANTS[name], epochs=40)
    assert all(got.dtype == expected.dtype for got, expected in weights)
    assert weights[0][0].dtype == np.float64
    assert losses[0][-1] < 0.9 * losses[0][0]
    assert_close([losses], 1e-6)
    assert_close(weights, 1e-6)


@pytest.mark.parametrize(
    "parts, xla", [(1, False), (2, False), (4, False), (BATCH, False), (1, True), (2, True)]
)
def test_batch_norm_statistics_are_those_of_the_whole_batch(parts, xla):
    images = keras.Input((8, 8, 3))
    layer = layers.BatchNormalization(momentum=0.75)
    logits = layers.Dense(CLASSES)(layers.Flatten()(layer(images)))
    network = keras.Model(images, {"logits": logits})
    task, _ = pair(lambda: network)
    dataset = batches().dataset.take(BATCH)
    one_step = data.TrainingBatches(dataset, BATCH, BATCH)
    train.train(task, one_step, epochs=1, variant=train.Variant(parts, xla=xla), verbose=0)
    batch = task.preprocess(pictures(EXAMPLES, (8, 8))[:BATCH]).numpy().astype(np.float64)
    mean, variance = batch.mean((0, 1, 2)), batch.var((0, 1, 2))
    np.testing.assert_allclose(layer.moving_mean, 0.25 * mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, 0.75 + 0.25 * variance, rtol=1e-5)


def accuracy_of(model, epochs, seed, variant):
    """Returns the test accuracy on the digits after training; by plain `fit` without a variant."""
    dataset, info = data.load("digits")
    stream = data.TrainingBatches(dataset, info.num_examples, 32, seed)
    if variant:
        train.train(model, stream, epochs=epochs, variant=variant, verbose=0)
    else:
        count = stream.steps_per_epoch
        model.fit(
            stream.stream(epochs), epochs=epochs, steps_per_epoch=count, shuffle=False, verbose=0
        )
    test = data.evaluation_batches(data.load("digits", "test")[0])
    return model.evaluate(test, return_dict=True, verbose=0)["accuracy"]


@pytest.mark.slow
def test_final_accuracies_are_within_seed_noise():
    def network():
        return models.convnet((8, 8, 1), 10, filters=(8,), hidden_units=16, dropout=0.0)

    accuracies = {name: [] for name in ("plain", "fused", "parts")}
    for seed in range(3):
        for name, values in accuracies.items():
            task, plain = pair(network, (8, 8), 1, 10, seed)
            variant = VARIANTS.get(name)
            values.append(accuracy_of(task if variant else plain, 8, seed, variant))
    noise = max(np.ptp(accuracies["plain"]), 2 / 359)  # two of the test pictures
    for values in accuracies.values():
        assert min(values) > 0.94
        assert abs(np.mean(values) - np.mean(accuracies["plain"])) <= noise
