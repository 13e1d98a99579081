"""The training loop: one compiled step, Keras's own callbacks, exact resume."""

import dataclasses
import pathlib
import re
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf.data.pipeline import TrainingBatches
from dlcv_tf.errors import InputError
from dlcv_tf.train import asserts, cluster, distribute, steps
from dlcv_tf.train.checkpoints import Checkpoints, Progress

CHECKPOINT_SECONDS = 60.0


class NonFiniteError(InputError):
    """The loss became NaN or infinite; the last good checkpoint is kept."""


@distribute.watched()
def train(
    model: keras.Model,
    batches: TrainingBatches,
    *,
    epochs: int,
    validation: tf.data.Dataset | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    checkpoint: str | pathlib.Path | None = None,
    resume: bool = False,
    variant: steps.Variant = steps.DEFAULT,
    verbose: int = 1,
) -> dict[str, list[float]]:
    """Trains a compiled model, and goes on exactly where an interrupted run was.

    The result is that of `model.fit` on the same batches. With a checkpoint file the state is saved
    every minute and after every epoch: weights, optimizer, seeds, metrics and the place in the
    data. Under `tf.config.experimental.enable_op_determinism` a resumed run ends with the very
    weights of an uninterrupted one.

    A model made under a `tf.distribute` strategy trains on all its replicas, see `distribute`. Only
    the first worker saves and shows progress; give callbacks that write to it alone: `is_chief()`.

    Args:
        model: compiled model.
        batches: training data, whose order follows from (seed, epoch, step).
        epochs: number of epochs in all.
        validation: batched data to evaluate after each epoch.
        callbacks: Keras callbacks; they see the logs that `fit` would give them. `stop_training`
            is honoured. A callback's own state is not part of the checkpoint.
        checkpoint: file to save the state in.
        resume: go on from the checkpoint.
        variant: how steps are carried out; whole batches by fused kernels as they stand, the
            fastest for network and machine by `tuning.choose`. A resumed run ends bit for bit as an
            uninterrupted one only with the variant it began with.
        verbose: 1 shows Keras's progress bar, 2 a line for each epoch, 0 nothing.

    Returns:
        The history: for each log name the numbers of all epochs, those before a resume included.

    Raises:
        NonFiniteError: the loss or a weight is not finite; says at which step, and what to try.
        InputError: nothing to resume, another model's checkpoint, replicas and no equal shares.
        WorkerGoneError: another worker has ended.
    """
    steps.make_variables(model, batches.stream(1).element_spec)
    checkpoints = Checkpoints(checkpoint, model) if checkpoint and is_chief() else None
    progress = _start(model, checkpoints, checkpoint, resume)
    keras_callbacks = _callbacks(model, callbacks, epochs, batches.steps_per_epoch, verbose)
    history = {name: list(values) for name, values in progress.history.items()}
    stream = batches.stream(epochs, progress.epoch, progress.step)
    take_steps = steps.compiled(model, stream.element_spec, variant)
    iterator = iter(stream)
    model.stop_training = False
    saver = _Saver(checkpoints, progress.seconds)
    keras_callbacks.on_train_begin()
    for epoch in range(progress.epoch, epochs):
        step = progress.step if epoch == progress.epoch else 0
        if step == 0:
            model.reset_metrics()
        keras_callbacks.on_epoch_begin(epoch)
        # A checkpoint after the last step of an epoch has that epoch's logs in its metrics alone.
        logs = _numbers(distribute.logs(model)) if step else {}
        while step < batches.steps_per_epoch:
            count = min(variant.steps_per_call, batches.steps_per_epoch - step)
            keras_callbacks.on_train_batch_begin(step)
            logs, good = _take(take_steps, iterator, count, epoch, step)
            if good < count:
                _check_finite({"loss": logs["loss"]}, epoch, step + good, checkpoints)
            step += count
            keras_callbacks.on_train_batch_end(step - 1, logs)
            if model.stop_training and distribute.strategy_of(model) is None:
                break  # in mid-epoch, as `fit` does; replicas go on to the end of theirs together
            if saver.is_due():
                _check_finite(_weights(model), epoch, step - 1, checkpoints)
                saver.save(epoch, step, history)
        logs |= _after_epoch(model, validation, keras_callbacks)
        for name, value in logs.items():
            history.setdefault(name, []).append(value)
        keras_callbacks.on_epoch_end(epoch, logs)
        _check_finite(_weights(model), epoch, batches.steps_per_epoch - 1, checkpoints)
        saver.save(epoch + 1, 0, history)
        if distribute.agree(model, model.stop_training):
            break
    model.optimizer.finalize_variable_values(model.trainable_variables)  # averages, by `use_ema`
    keras_callbacks.on_train_end(logs if epochs > progress.epoch else None)
    return history


@distribute.watched()
def evaluate(model: keras.Model, batches: tf.data.Dataset) -> dict[str, float]:
    """Returns the loss and metrics of a compiled model over batched data.

    Replicas divide the batches among them, and all workers get the whole result.
    """
    if distribute.strategy_of(model) is not None:
        return _numbers(distribute.evaluate(model, batches))
    return _numbers(model.evaluate(batches, return_dict=True, verbose=0))


def is_chief() -> bool:
    """Tells whether this process writes files and shows progress: it is alone, or worker 0."""
    return cluster.place().is_chief


def _callbacks(
    model: keras.Model, callbacks: Sequence, epochs: int, steps: int, verbose: int
) -> keras.callbacks.CallbackList:
    """Returns the callbacks, with Keras's progress bar where it is wanted."""
    return keras.callbacks.CallbackList(
        list(callbacks),
        add_history=False,
        add_progbar=verbose != 0 and is_chief(),
        model=model,
        verbose=verbose,
        epochs=epochs,
        steps=steps,
    )


def _after_epoch(
    model: keras.Model,
    validation: tf.data.Dataset | None,
    callbacks: keras.callbacks.CallbackList,
) -> dict[str, float]:
    """Returns the logs that an epoch has besides those of its steps."""
    logs = {}
    if validation is not None:
        callbacks.on_test_begin()
        logs = evaluate(model, validation)
        callbacks.on_test_end(logs)
    rate = float(tf.convert_to_tensor(model.optimizer.learning_rate))
    return {f"val_{name}": value for name, value in logs.items()} | {"learning_rate": rate}


def _start(model, checkpoints: Checkpoints | None, path, resume: bool) -> Progress:
    """Restores the checkpoint, or writes a first one; returns where all workers go on."""
    progress = Progress()
    if resume and is_chief():
        if checkpoints is None or not checkpoints.exists():
            raise InputError(f"nothing to resume: there is no checkpoint at {path}")
        progress = checkpoints.restore()
    elif checkpoints and not checkpoints.exists():
        checkpoints.save(progress)  # so that a run can be resumed from its first second on
    distribute.start_alike(model)
    return Progress(**distribute.from_chief(dataclasses.asdict(progress)))


def _take(take_steps: Callable, iterator, count: int, epoch: int, step: int):
    """Returns the logs of the last step as numbers, and the number of steps with a finite loss.

    A label outside the classes is said to be one, and so is what a task cannot learn from.
    """
    try:
        with asserts.explained():
            logs, good = take_steps(iterator, tf.constant(count))
            return _numbers(logs), int(good)
    except tf.errors.InvalidArgumentError as error:
        found = _wrong_label(str(error))
        if not found:
            raise
        label, classes = found
        taken = f"steps {step + 1} to {step + count}" if count > 1 else f"step {step + 1}"
        raise InputError(
            f"got {label} at epoch {epoch + 1}, {taken}, expected {classes}: the data set and the "
            "network disagree on the classes"
        ) from error


def _wrong_label(message: str) -> tuple[str, str] | None:
    """Returns label and classes from TensorFlow's message about a label that is none, or None."""
    if found := re.search(r"label value of (-?\d+) .*?valid range of (\[[^)]*\))", message):
        return f"the label {found[1]}", f"one in {found[2]}"
    if "SparseSoftmaxCrossEntropyWithLogits" not in message:
        return None
    # Deterministic operations, as `dlcv train` has them, gather and scatter the labels' scores;
    # whichever is first complains, and only the gathering knows the label.
    if found := re.search(r"indices\[\d+\] = (-?\d+) is not in (\[[^)]*\))", message):
        return f"the label {found[1]}", f"one in {found[2]}"
    if re.search(r"segment_ids\[\d+\] = -?\d+ is out of range", message):
        return "a label outside of the classes", "only those that the network has"
    return None


def _numbers(logs) -> dict[str, float]:
    return {name: float(value) for name, value in logs.items()}


class _Saver:
    """Saves a run's progress where there is a checkpoint file, and knows when it is time to.

    Args:
        checkpoints: where to, or None.
        seconds: of training before this process.
    """

    def __init__(self, checkpoints: Checkpoints | None, seconds: float):
        self.checkpoints = checkpoints
        self.seconds_before = seconds
        self.started = self.saved_at = time.monotonic()

    def is_due(self) -> bool:
        long_ago = time.monotonic() - self.saved_at > CHECKPOINT_SECONDS
        return self.checkpoints is not None and long_ago

    def save(self, epoch: int, step: int, history: dict[str, list[float]]) -> None:
        if self.checkpoints is not None:
            self.saved_at = time.monotonic()
            seconds = self.seconds_before + self.saved_at - self.started
            self.checkpoints.save(Progress(epoch, step, history, seconds))


def _weights(model: keras.Model) -> dict[str, np.ndarray]:
    return {f"weight {v.path}": np.asarray(v) for v in model.trainable_variables}


def _check_finite(values: dict, epoch: int, step: int, checkpoints: Checkpoints | None) -> None:
    """Raises NonFiniteError for the first value that is not finite."""
    for name, value in values.items():
        if np.isfinite(value).all():
            continue
        if checkpoints and checkpoints.exists():
            kept = f"the last good checkpoint is {checkpoints.path}"
        else:
            kept = "no checkpoint was written"
        shown = value if np.ndim(value) == 0 else "not finite"
        raise NonFiniteError(
            f"the {name} is {shown} at epoch {epoch + 1}, step {step + 1}: training stopped, "
            f"{kept}. Try a tenth of the learning rate, a longer warm-up or gradient clipping, and "
            "look for broken pictures or labels"
        )
