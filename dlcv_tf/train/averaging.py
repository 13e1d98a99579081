"""Polyak averaging: the network of the averaged weights, which is steadier than the last one."""

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf import layers
from dlcv_tf.errors import InputError
from dlcv_tf.train import distribute


class PolyakAverage(keras.callbacks.Callback):
    """Evaluates, and in the end leaves, the moving average of the weights.

    The average itself is the optimizer's: after each step, average = decay * average +
    (1 - decay) * weights, beginning with the weights after the first step. So it is a part of the
    compiled step, of checkpoints and of saved models. Training goes on with the weights themselves,
    which are put back exactly. (Keras's `SwapEMAWeights` puts them back to rounding.)

    Batch norm's running statistics are not averaged: they belong to the weights that were trained.
    Give `batches`, and the averaged network's own are measured whenever it is used.

    Args:
        batches: training batches `(inputs, ...)` to measure batch-norm statistics with; a few
            thousand pictures are enough. For one device.

    Example:
        >>> model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.995))
        >>> model.fit(images, labels, validation_data=test, callbacks=[PolyakAverage()])

    Reference: Polyak and Juditsky (1992), https://doi.org/10.1137/0330046.
    """

    def __init__(self, batches: Iterable | None = None):
        super().__init__()
        self.batches = batches
        self._trained = None

    def on_train_begin(self, logs=None):
        optimizer = self._optimizer()
        if not optimizer.use_ema:
            raise InputError(
                "got an optimizer that keeps no average, expected one that does: "
                "SGD(0.1, use_ema=True, ema_momentum=0.995)"
            )
        if optimizer.ema_overwrite_frequency:
            raise InputError(
                f"got ema_overwrite_frequency={optimizer.ema_overwrite_frequency}, which puts the "
                "average into training itself, expected None"
            )

    def on_test_begin(self, logs=None):
        self._trained = [distribute.read(variable) for variable in self.model.variables]
        for variable, average in self._averages():
            distribute.write(variable, distribute.read(average))
        self._measure()

    def on_test_end(self, logs=None):
        for variable, value in zip(self.model.variables, self._trained, strict=True):
            distribute.write(variable, value)
        self._trained = None

    def on_train_end(self, logs=None):
        self._measure()  # the weights are the average by now: `fit` and `train` see to it

    def _optimizer(self):
        optimizer = self.model.optimizer
        return getattr(optimizer, "inner_optimizer", optimizer)  # under loss scaling

    def _averages(self):
        averages = self._optimizer()._model_variables_moving_average
        return zip(self.model.trainable_variables, averages, strict=True)

    def _measure(self) -> None:
        if self.batches is not None:
            measure_batch_norm(self.model, self.batches)


def measure_batch_norm(model: keras.Model, batches: Iterable) -> None:
    """Measures batch norm's statistics anew, as means over batches; for weights set by hand.

    All else that a pass in training mode would change, such as the seeds of dropout, stays.

    Args:
        model: any Keras model on one device; without a batch norm, Keras's or ours, nothing is
            done, and a frozen one keeps its statistics.
        batches: `(inputs, ...)` or inputs, at least one batch.
    """
    if distribute.strategy_of(model) is not None:
        raise InputError("got a model on several replicas, expected one device to measure on")
    norms = [each for each in model._flatten_layers() if isinstance(each, layers.BATCH_NORMS)]
    if not norms:
        return
    moving = [
        variable for layer in norms for variable in (layer.moving_mean, layer.moving_variance)
    ]
    own = {id(variable) for variable in moving}
    others = [variable for variable in model.non_trainable_variables if id(variable) not in own]
    kept = [variable.numpy() for variable in others]
    momenta = [layer.momentum for layer in norms]
    total, count = [np.zeros(variable.shape) for variable in moving], 0
    for layer in norms:
        layer.momentum = 0.0  # what a batch leaves are its own statistics
    try:
        call = tf.function(
            lambda inputs: model(inputs, training=True), autograph=False, reduce_retracing=True
        )
        for batch in batches:
            call(batch[0] if isinstance(batch, tuple) else batch)
            total = [each + variable.numpy() for each, variable in zip(total, moving, strict=True)]
            count += 1
    finally:
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum
        for variable, value in zip(others, kept, strict=True):
            variable.assign(value)
    if not count:
        raise InputError(
            "got no batch to measure batch-norm statistics with, expected at least one"
        )
    for variable, each in zip(moving, total, strict=True):
        variable.assign(each / count)
