"""The loop gives what `fit` gives, and goes on exactly where an interrupted run was."""

import errno
import os
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import data, models, tasks, train
from dlcv_tf.errors import InputError
from dlcv_tf.train import checkpoints as checkpoints_module
from dlcv_tf.train import loop
from tests.helpers import pictures

CLASSES = 3


def examples(count=40):
    images = pictures(count, (8, 8))
    return tf.data.Dataset.from_tensor_slices((images, np.arange(count) % CLASSES)), count


def batches():
    dataset, count = examples()
    return data.TrainingBatches(dataset, count, 8, seed=3, augmentations=("flip", "shift"))


def compiled(learning_rate=0.05, seed=0):
    """Returns a classifier with batch norm, dropout and momentum: everything that has state."""
    keras.utils.set_random_seed(seed)
    network = models.convnet((8, 8, 3), CLASSES, filters=(4,), hidden_units=8, dropout=0.3)
    labels = [str(n) for n in range(CLASSES)]
    task = tasks.Classifier(network, data.Preprocess((8, 8), 3), labels)
    task.compile(keras.optimizers.Adam(learning_rate))
    return task


def weights(task):
    return np.concatenate([np.ravel(v) for v in [*task.variables, *task.optimizer.variables]])


def test_same_weights_and_history_as_fit():
    ours, theirs = compiled(), compiled()
    validation = data.evaluation_batches(examples()[0], 8)
    history = train.train(ours, batches(), epochs=2, validation=validation, verbose=0)
    expected = theirs.fit(
        batches().stream(2),
        epochs=2,
        steps_per_epoch=5,
        validation_data=validation,
        shuffle=False,
        verbose=0,
    ).history
    for mine, other in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)
    assert set(expected) <= set(history)
    for name, values in expected.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-3, atol=1e-4)


class StopAt(keras.callbacks.Callback):
    """Interrupts training after a number of steps, as Ctrl-C would."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def on_train_batch_end(self, batch, logs=None):
        self.steps -= 1
        if self.steps == 0:
            raise KeyboardInterrupt


class Calls(keras.callbacks.Callback):
    """Keeps the indices that the calls of an epoch begin and end with."""

    def __init__(self):
        super().__init__()
        self.begun, self.ended = [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.begun.append(batch)

    def on_train_batch_end(self, batch, logs=None):
        self.ended.append((batch, logs["loss"]))


def test_several_steps_in_a_call_give_the_same_bits_as_one_at_a_time():
    one, several = compiled(), compiled()
    history = train.train(one, batches(), epochs=2, verbose=0)
    variant = train.Variant(steps_per_call=3)
    assert train.train(several, batches(), epochs=2, variant=variant, verbose=0) == history
    np.testing.assert_array_equal(weights(several), weights(one))


@pytest.mark.parametrize(
    "steps_per_call, first, last",
    [(1, [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]), (3, [0, 3], [2, 4]), (5, [0], [4]), (32, [0], [4])],
)
def test_callbacks_get_the_first_and_the_last_step_of_a_call(steps_per_call, first, last):
    single, calls = Calls(), Calls()
    variant = train.Variant(steps_per_call=steps_per_call)
    task = compiled()
    train.train(task, batches(), epochs=2, variant=variant, callbacks=[calls], verbose=0)
    assert int(task.optimizer.iterations) == 10
    assert calls.begun == first * 2
    assert [step for step, _ in calls.ended] == last * 2
    train.train(compiled(), batches(), epochs=2, callbacks=[single], verbose=0)
    assert set(calls.ended) <= set(single.ended)


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_resumed_in_mid_epoch_with_several_steps_a_call_the_weights_end_the_same(
    calls, tmp_path, monkeypatch
):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)  # a checkpoint after every call
    options = {"epochs": 3, "variant": train.Variant(steps_per_call=3), "verbose": 0}
    whole = compiled()
    history = train.train(whole, batches(), **options)
    options["checkpoint"] = path = tmp_path / "checkpoint.npz"
    with pytest.raises(KeyboardInterrupt):
        train.train(compiled(), batches(), callbacks=[StopAt(calls)], **options)
    progress = train.read_progress(path)
    assert (progress.epoch, progress.step) == {1: (0, 0), 2: (0, 3), 3: (1, 0)}[calls]
    resumed = compiled(seed=99)
    assert train.train(resumed, batches(), resume=True, **options) == history
    np.testing.assert_array_equal(weights(resumed), weights(whole))


@pytest.mark.parametrize("steps", [1, 5, 8])  # 1: before the first checkpoint but the initial one
def test_resumed_run_ends_with_the_same_weights_bit_for_bit(steps, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)  # a checkpoint after every step
    whole = compiled()
    history = train.train(whole, batches(), epochs=3, verbose=0)
    path = tmp_path / "checkpoint.npz"
    first = compiled()
    with pytest.raises(KeyboardInterrupt):
        train.train(
            first, batches(), epochs=3, callbacks=[StopAt(steps)], checkpoint=path, verbose=0
        )
    resumed = compiled(seed=99)  # whatever state the new process starts in
    after = train.train(resumed, batches(), epochs=3, checkpoint=path, resume=True, verbose=0)
    np.testing.assert_array_equal(weights(resumed), weights(whole))
    assert after == history


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_good_checkpoint(tmp_path):
    path = tmp_path / "checkpoint.npz"
    task = compiled()
    train.train(task, batches(), epochs=1, checkpoint=path, verbose=0)
    good = path.read_bytes()
    exploding = compiled(learning_rate=1e30)
    with pytest.raises(train.NonFiniteError) as error:
        train.train(exploding, batches(), epochs=2, checkpoint=path, verbose=0)
    message = str(error.value)
    assert "at epoch 1, step" in message and "learning rate" in message
    assert str(path) in message
    assert path.read_bytes() == good


@keras.saving.register_keras_serializable(package="tests")
class Explosion(keras.optimizers.schedules.LearningRateSchedule):
    """An infinite learning rate at one step, whose loss is still good: that of the next is not."""

    def __init__(self, step):
        self.step = step

    def __call__(self, step):
        return tf.where(tf.equal(tf.cast(step, tf.int32), self.step), np.inf, 0.01)

    def get_config(self):
        return {"step": self.step}


@pytest.mark.parametrize("steps_per_call", [1, 2, 3, 5])
def test_the_exact_step_of_a_loss_that_is_not_a_number_is_named(steps_per_call):
    variant = train.Variant(steps_per_call=steps_per_call)
    for step, named in ((0, "epoch 1, step 2"), (2, "epoch 1, step 4"), (6, "epoch 2, step 3")):
        task = compiled(learning_rate=Explosion(step))
        with pytest.raises(train.NonFiniteError, match=f"loss is nan at {named}:"):
            train.train(task, batches(), epochs=2, variant=variant, verbose=0)


def test_weights_that_are_not_numbers_after_the_last_step_are_noticed(tmp_path):
    class Break(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            weight = self.model.trainable_variables[0]
            weight.assign(np.full(weight.shape, np.nan))

    dataset, count = examples(8)
    one_step = data.TrainingBatches(dataset, count, 8)
    path = tmp_path / "checkpoint.npz"
    with pytest.raises(train.NonFiniteError, match="is not finite at epoch 1, step 1"):
        train.train(compiled(), one_step, epochs=1, callbacks=[Break()], checkpoint=path, verbose=0)
    assert train.read_progress(path).epoch == 0


def test_seconds_count_all_processes(tmp_path):
    path = tmp_path / "checkpoint.npz"
    train.train(compiled(), batches(), epochs=1, checkpoint=path, verbose=0)
    first = train.read_progress(path).seconds
    train.train(compiled(), batches(), epochs=2, checkpoint=path, resume=True, verbose=0)
    assert train.read_progress(path).seconds > first > 0


def test_a_full_disk_leaves_the_last_checkpoint_intact(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.npz"
    task = compiled()
    train.train(task, batches(), epochs=1, checkpoint=path, verbose=0)
    good = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoints_module.os, "fsync", full)
    with pytest.raises(OSError, match="is intact: make room, then go on with --resume"):
        train.train(task, batches(), epochs=2, checkpoint=path, verbose=0)
    assert path.read_bytes() == good
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_to_resume(tmp_path):
    with pytest.raises(InputError, match="nothing to resume"):
        train.train(
            compiled(), batches(), epochs=1, checkpoint=tmp_path / "none", resume=True, verbose=0
        )


def test_another_models_checkpoint_is_refused(tmp_path):
    path = tmp_path / "checkpoint.npz"
    train.train(compiled(), batches(), epochs=1, checkpoint=path, verbose=0)
    keras.utils.set_random_seed(0)
    other = tasks.Classifier(
        models.linear((8, 8, 3), CLASSES), data.Preprocess((8, 8), 3), list("abc")
    )
    other.compile("adam")
    with pytest.raises(InputError, match="holds another model"):
        train.train(other, batches(), epochs=2, checkpoint=path, resume=True, verbose=0)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="is not a readable checkpoint"):
        train.train(compiled(), batches(), epochs=2, checkpoint=path, resume=True, verbose=0)


def test_callbacks_see_what_fit_shows_them_and_can_stop():
    class Record(keras.callbacks.Callback):
        seen = []

        def on_epoch_end(self, epoch, logs=None):
            self.seen.append((epoch, sorted(logs)))
            if epoch == 1:
                self.model.stop_training = True

    history = train.train(compiled(), batches(), epochs=5, callbacks=[Record()], verbose=0)
    assert Record.seen == [
        (0, ["accuracy", "learning_rate", "loss"]),
        (1, ["accuracy", "learning_rate", "loss"]),
    ]
    assert len(history["loss"]) == 2


def test_a_label_outside_the_classes_is_named():
    dataset = tf.data.Dataset.from_tensor_slices((pictures(8, (8, 8)), np.full(8, 7)))
    with pytest.raises(InputError, match=r"got the label 7 at epoch 1, step 1, .* in \[0, 3\)"):
        train.train(compiled(), data.TrainingBatches(dataset, 8, 4), epochs=1, verbose=0)


@pytest.fixture
def deterministic():
    keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()


def test_a_label_outside_the_classes_is_named_by_deterministic_operations_too(deterministic):
    dataset = tf.data.Dataset.from_tensor_slices((pictures(8, (8, 8)), np.full(8, 7)))
    with pytest.raises(InputError, match=r"got (the|a) label .* at epoch 1, step 1, .* classes"):
        train.train(compiled(), data.TrainingBatches(dataset, 8, 4), epochs=1, verbose=0)


@pytest.mark.parametrize("steps_per_call", [2, 4])
def test_a_label_outside_the_classes_is_named_with_its_step_within_a_call(steps_per_call):
    labels = np.arange(40) % CLASSES
    labels[17] = 7
    dataset = tf.data.Dataset.from_tensor_slices((pictures(40, (8, 8)), labels))
    stream = data.TrainingBatches(dataset, 40, 4)
    wrong = [7 in batch for _, batch in stream.stream(1).as_numpy_iterator()].index(True)
    variant = train.Variant(steps_per_call=steps_per_call)
    assert wrong % steps_per_call, "the test wants a step that does not begin a call"
    with pytest.raises(InputError, match="got the label 7 at epoch 1, steps? ") as error:
        train.train(compiled(), stream, epochs=1, variant=variant, verbose=0)
    found = re.search(r"steps? (\d+)(?: to (\d+))?,", str(error.value))  # one, or those of a call
    first, last = int(found[1]), int(found[2] or found[1])
    assert first <= wrong + 1 <= last < first + steps_per_call


def test_one_trace():
    task = compiled()
    traces = []
    step = task.train_step
    task.train_step = lambda batch: traces.append(1) or step(batch)
    train.train(task, batches(), epochs=2, verbose=0)
    assert len(traces) == 1


def test_killed_in_the_validation_a_run_still_has_that_epochs_logs(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    path = tmp_path / "checkpoint.npz"
    validation = data.evaluation_batches(examples()[0], 8)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "evaluate", killed)
        train.train(
            compiled(), batches(), epochs=2, validation=validation, checkpoint=path, verbose=0
        )
    history = train.train(
        compiled(seed=99),
        batches(),
        epochs=2,
        validation=validation,
        checkpoint=path,
        resume=True,
        verbose=0,
    )
    assert history == train.train(compiled(), batches(), epochs=2, validation=validation, verbose=0)
