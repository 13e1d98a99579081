"""The averaged weights are the closed form, are what is evaluated, and are what stays."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import data, layers, models, optimizers, tasks, train
from tests.helpers import ramp

DECAY = 0.8


class Trajectory(keras.callbacks.Callback):
    """Keeps the weights after every step."""

    def on_train_begin(self, logs=None):
        self.weights = []

    def on_train_batch_end(self, batch, logs=None):
        self.weights.append([np.array(v) for v in self.model.trainable_variables])


def build(norm=None, rule=optimizers.Momentum):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4,))
    x = keras.layers.Dense(5, activation="tanh")(inputs)
    if norm:
        x = norm(momentum=0.5)(x)
        x = keras.layers.Dropout(0.3)(x)
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    model.compile(rule(0.05, use_ema=True, ema_momentum=DECAY), "mse")
    return model


KERAS_NORM = keras.layers.BatchNormalization
NORMS = pytest.mark.parametrize("norm", [KERAS_NORM, layers.BatchNorm])
X, Y = ramp((40, 4)), ramp((40, 2))


def batches():
    return data.TrainingBatches(tf.data.Dataset.from_tensor_slices((X, Y)), 40, batch_size=8)


def run(model, loop, callbacks, epochs=3):
    if loop == "fit":
        return model.fit(
            X, Y, batch_size=8, epochs=epochs, validation_data=(X, Y), callbacks=callbacks,
            verbose=0,
        ).history  # fmt: skip
    validation = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
    return train.train(
        model, batches(), epochs=epochs, validation=validation, callbacks=callbacks, verbose=0
    )


def closed_form(trajectory):
    """Returns decay^(t-1) w_1 + (1 - decay) * sum of decay^(t-i) w_i for i > 1."""
    t = len(trajectory)
    parts = DECAY ** np.arange(t - 1, -1, -1) * (1 - DECAY)
    parts[0] = DECAY ** (t - 1)
    return [
        sum(part * step[n] for part, step in zip(parts, trajectory, strict=True))
        for n in range(len(trajectory[0]))
    ]


@pytest.mark.parametrize("loop", ["fit", "train"])
@pytest.mark.parametrize("rule", [optimizers.Momentum, keras.optimizers.Adam])
def test_the_average_is_the_closed_form_and_is_what_stays(loop, rule):
    model, trajectory = build(rule=rule), Trajectory()
    history = run(model, loop, [trajectory, train.PolyakAverage()])
    assert len(trajectory.weights) == 15
    expected = closed_form(trajectory.weights)
    for variable, value in zip(model.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, rtol=0, atol=1e-6)
    after_each = [closed_form(trajectory.weights[: 5 * epoch]) for epoch in (1, 2, 3)]
    for weights, loss in zip(after_each, history["val_loss"], strict=True):
        for variable, value in zip(model.trainable_variables, weights, strict=True):
            variable.assign(value)
        np.testing.assert_allclose(model.evaluate(X, Y, verbose=0), loss, rtol=1e-5)


def test_the_average_of_a_thousand_steps_is_the_closed_form():
    rule = optimizers.SGD(1e-2, use_ema=True, ema_momentum=0.995)
    x, path = keras.Variable([1.0, -2.0], dtype="float64"), []
    for gradient in np.random.default_rng(0).normal(0, 3, (1000, 2)):
        rule.apply([tf.constant(gradient)], [x])
        path.append(x.numpy())
    parts = 0.995 ** np.arange(999, -1, -1) * (1 - 0.995)
    parts[0] = 0.995**999
    rule.finalize_variable_values([x])
    np.testing.assert_allclose(x.numpy(), parts @ np.stack(path), rtol=0, atol=1e-12)


@pytest.mark.parametrize("loop", ["fit", "train"])
def test_training_goes_on_as_if_nothing_had_been_evaluated(loop):
    with_it, without = Trajectory(), Trajectory()
    run(build(norm=KERAS_NORM), loop, [with_it, train.PolyakAverage(batches().stream(1))])
    run(build(norm=KERAS_NORM), loop, [without])
    for one, other in zip(with_it.weights, without.weights, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_resumed_run_ends_with_the_same_average(tmp_path):
    path = tmp_path / "checkpoint.npz"
    whole = build()
    run(whole, "train", [train.PolyakAverage()], epochs=4)
    train.train(build(), batches(), epochs=2, checkpoint=path, verbose=0)
    resumed = build()
    train.train(resumed, batches(), epochs=4, checkpoint=path, resume=True, verbose=0)
    for one, other in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@NORMS
def test_batch_norm_gets_the_statistics_of_the_averaged_network(norm):
    model = build(norm)
    run(model, "fit", [train.PolyakAverage([(X[:20],), (X[20:],)])])
    layer = model.layers[2]
    hidden = keras.Model(model.input, model.layers[1].output)
    means, variances = zip(
        *((h.mean(axis=0), h.var(axis=0)) for h in map(hidden.predict_on_batch, (X[:20], X[20:]))),
        strict=True,
    )
    np.testing.assert_allclose(layer.moving_mean, np.mean(means, axis=0), atol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, np.mean(variances, axis=0), atol=1e-5)
    assert layer.momentum == 0.5


@NORMS
def test_measuring_changes_nothing_but_the_statistics(norm):
    model = build(norm)
    before = [variable.numpy() for variable in model.variables]
    train.measure_batch_norm(model, [X])
    changed = [
        variable.path
        for variable, value in zip(model.variables, before, strict=True)
        if not np.array_equal(variable.numpy(), value)
    ]
    assert [path.split("/")[-1] for path in changed] == ["moving_mean", "moving_variance"]
    with pytest.raises(ValueError, match="got no batch to measure"):
        train.measure_batch_norm(model, [])


def test_an_optimizer_without_an_average_is_refused():
    model = build()
    model.compile(optimizers.SGD(0.1), "mse")
    with pytest.raises(ValueError, match="keeps no average, expected .*use_ema=True"):
        model.fit(X, Y, callbacks=[train.PolyakAverage()], verbose=0)
    model.compile(optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=3), "mse")
    with pytest.raises(ValueError, match="got ema_overwrite_frequency=3"):
        model.fit(X, Y, callbacks=[train.PolyakAverage()], verbose=0)


def test_the_averaged_classifier_is_saved_as_such(tmp_path):
    images, labels = data.digits.arrays("val")
    network = models.linear((8, 8, 1), 10)
    task = tasks.Classifier(network, data.Preprocess((8, 8), channels=1), list("0123456789"))
    task.compile(optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
    task.fit(images, labels, epochs=2, callbacks=[train.PolyakAverage()], verbose=0)
    task.save(tmp_path / "task.keras")
    loaded = keras.models.load_model(tmp_path / "task.keras")
    average = task.optimizer._model_variables_moving_average[0].numpy()
    np.testing.assert_array_equal(loaded.network.get_weights()[0], average)
