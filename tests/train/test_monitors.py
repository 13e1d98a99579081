"""The callbacks fire on a broken training and keep still on a sound one, in `fit` and our loop."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import data, models, tasks, train
from dlcv_tf.data import digits
from dlcv_tf.errors import InputError
from dlcv_tf.train import monitors

IMAGES, LABELS = digits.arrays("train")


def batches():
    dataset = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))
    return data.TrainingBatches(dataset, len(LABELS), 64, seed=0)


def compiled(optimizer, hidden=(32,)):
    keras.utils.set_random_seed(0)
    network = models.mlp((8, 8, 1), 10, hidden_units=hidden)
    task = tasks.Classifier(network, data.Preprocess((8, 8), 1), list("0123456789"))
    task.compile(optimizer)
    return task


def fitted(task, *callbacks, epochs=1):
    return task.fit(
        batches().stream(epochs),
        epochs=epochs,
        steps_per_epoch=batches().steps_per_epoch,
        shuffle=False,
        callbacks=list(callbacks),
        verbose=0,
    ).history


class Steps(keras.callbacks.Callback):
    """Counts training steps."""

    count = 0

    def on_train_batch_end(self, batch, logs=None):
        self.count = batch + 1


# --- the explosion stop ---------------------------------------------------------------------------


def test_explosion_stops_fit_in_the_first_epoch_for_a_learning_rate_of_a_million():
    stop, steps = train.ExplosionStop(factor=3.0), Steps()
    history = fitted(compiled(keras.optimizers.SGD(1e6)), stop, steps, epochs=3)
    assert len(history["loss"]) == 1
    assert steps.count < batches().steps_per_epoch
    assert "at epoch 1, step 2, more than 3 times the original 2." in stop.reason
    assert "tenth of the learning rate" in stop.reason


def test_explosion_stops_our_loop_in_mid_epoch():
    stop, steps = train.ExplosionStop(), Steps()
    task = compiled(keras.optimizers.SGD(20.0))
    history = train.train(task, batches(), epochs=3, callbacks=[stop, steps], verbose=0)
    assert stop.reason and len(history["loss"]) == 1
    assert steps.count < batches().steps_per_epoch


def test_our_loop_itself_refuses_what_is_no_number():
    stop = train.ExplosionStop()
    with pytest.raises(train.NonFiniteError, match="training stopped"):
        task = compiled(keras.optimizers.SGD(1e30))
        train.train(task, batches(), epochs=1, callbacks=[stop], verbose=0)


def test_nan_counts_as_an_explosion_in_fit():
    stop = train.ExplosionStop()
    fitted(compiled(keras.optimizers.SGD(1e30)), stop, epochs=2)
    assert "the cost is nan" in stop.reason or "the cost is inf" in stop.reason


def test_a_sound_training_is_left_alone():
    stop = train.ExplosionStop()
    history = fitted(compiled(keras.optimizers.SGD(0.05)), stop, epochs=2)
    assert stop.reason == "" and len(history["loss"]) == 2


def test_the_cost_of_a_step_is_told_from_the_running_mean_also_of_several_steps():
    costs = [2.0, 1.5, 9.0, 1.0, 0.5]
    means = np.cumsum(costs) / np.arange(1, 6)
    one = monitors._Costs()
    assert [one.of_step(i, {"loss": m}) for i, m in enumerate(means)] == pytest.approx(costs)
    three = monitors._Costs()
    assert three.of_step(2, {"loss": means[2]}) == pytest.approx(np.mean(costs[:3]))
    assert three.of_step(4, {"loss": means[4]}) == pytest.approx(np.mean(costs[3:]))


def test_a_late_explosion_is_seen_at_its_own_step():
    stop = train.ExplosionStop()
    stop.set_model(type("Model", (), {"stop_training": False})())
    stop.on_train_begin()
    stop.on_epoch_begin(0)
    costs = [2.0] * 300 + [7.0]  # the mean over the epoch stays at 2.02
    for step, mean in enumerate(np.cumsum(costs) / np.arange(1, 302)):
        stop.on_train_batch_end(step, {"loss": mean})
    assert stop.model.stop_training and "step 301" in stop.reason


def test_the_original_cost_can_be_given_to_a_resumed_run():
    stop = train.ExplosionStop(original=0.5)
    fitted(compiled(keras.optimizers.SGD(0.05)), stop)
    assert "step 1, more than 3 times the original 0.5" in stop.reason


# --- the update ratio -----------------------------------------------------------------------------


def test_update_ratios_by_hand():
    before = {"a": np.array([[3.0, 4.0]]), "zero": np.zeros((1, 2))}
    after = {"a": np.array([[3.3, 4.4]]), "zero": np.ones((1, 2))}
    assert monitors.update_ratios(before, after) == pytest.approx({"a": 0.1})


def test_the_ratio_is_that_of_the_last_update_and_is_logged_each_epoch():
    class Spy(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.before = monitors.weights(self.model)

    ratio, spy = train.UpdateRatio(1e-9, 1e9), Spy()
    task = compiled(keras.optimizers.SGD(0.05))
    history = fitted(task, spy, ratio, epochs=2)
    expected = monitors.update_ratios(spy.before, monitors.weights(task))
    assert expected.keys() == {"hidden1/kernel", "logits/kernel"}
    for name, value in expected.items():
        assert ratio.history[1][name] == pytest.approx(value, rel=1e-6)
        assert history[f"update_ratio/{name}"][1] == pytest.approx(value, rel=1e-6)
    assert len(ratio.history) == 2


def test_the_ratio_reaches_tensorboard(tmp_path):
    ratio = train.UpdateRatio(1e-9, 1e9)
    board = keras.callbacks.TensorBoard(tmp_path, write_graph=False)
    task = compiled(keras.optimizers.SGD(0.05))
    train.train(task, batches(), epochs=1, callbacks=[ratio, board], verbose=0)
    (file,) = (tmp_path / "train").iterdir()
    events = tf.compat.v1.train.summary_iterator(str(file))
    tags = {value.tag for event in events for value in event.summary.value}
    assert "epoch_update_ratio/hidden1/kernel" in tags


def test_several_steps_in_a_call_count_as_their_mean():
    ratio = train.UpdateRatio(1e-9, 1e9)
    task = compiled(keras.optimizers.SGD(0.05))
    variant = train.Variant(steps_per_call=5)
    before = monitors.weights(task)
    train.train(task, batches(), epochs=1, callbacks=[ratio], variant=variant, verbose=0)
    whole = monitors.update_ratios(before, monitors.weights(task))
    for name, value in ratio.history[0].items():
        assert 0 < value < whole[name]


@pytest.mark.parametrize(("rate", "finds"), [(1e-7, True), (0.05, False), (50.0, True)])
def test_ratios_outside_the_range_give_a_warning(rate, finds, recwarn):
    stop = train.ExplosionStop()
    fitted(compiled(keras.optimizers.SGD(rate)), train.UpdateRatio(), stop)
    found = [str(each.message) for each in recwarn if "of the weights" in str(each.message)]
    assert bool(found) == finds
    assert not found or "hidden1/kernel" in found[0] and "outside 0.0001 to 0.1" in found[0]


# --- the flat curve -------------------------------------------------------------------------------


@pytest.mark.parametrize(("stddev", "flat"), [(1e-6, True), (None, False)])
def test_flat_curve_fires_for_tiny_initial_weights_and_not_for_he(stddev, flat, recwarn):
    task = compiled(keras.optimizers.SGD(0.05), hidden=(32, 32))
    if stddev:  # else He's
        random = np.random.default_rng(0)
        for variable in task.trainable_variables:
            variable.assign(stddev * random.standard_normal(variable.shape))
    curve = train.FlatCurve(steps=20)
    fitted(task, curve, epochs=2)
    assert curve.flat is flat
    found = [str(each.message) for each in recwarn if "initial weights" in str(each.message)]
    assert bool(found) == flat


def test_flat_steps():
    falls = [2.3 - 0.1 * step for step in range(20)]
    assert monitors.flat_steps([2.3] * 20) == 20
    assert monitors.flat_steps(falls) < 3
    assert monitors.flat_steps([2.3] * 10 + falls) >= 8
    noisy = 2.3 + 0.05 * np.random.default_rng(0).standard_normal(50)
    assert monitors.flat_steps([2.3, *noisy]) == 51


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: train.ExplosionStop(factor=1.0), "got factor=1.0, expected a number above 1"),
        (lambda: train.FlatCurve(steps=1), "got steps=1, drop=0.05, expected"),
        (lambda: train.UpdateRatio(low=0), "got low=0, high=0.1, expected 0 < low < high"),
    ],
)
def test_bad_settings_are_refused(build, message):
    with pytest.raises(InputError, match=message):
        build()
