"""A small training in a process of its own: alone, on two replicas, or as a worker of `TF_CONFIG`.

Command: `python -m tests.train.together OPTIONS`, where OPTIONS is a JSON object:
out (where the state goes), mirrored, dropout, epochs, checkpoint, resume, stop_at (epoch after
which worker 1 alone wants to stop), die_at (step at which worker 1 kills itself).
"""

import json
import os
import signal
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf import data, models, tasks, train
from dlcv_tf.errors import RefusedError
from dlcv_tf.train import checkpoints, distribute, loop
from tests.helpers import pictures

CLASSES = 3
REPLICAS = 2


class OnWorker1(keras.callbacks.Callback):
    """What worker 1 does and the chief does not."""

    def __init__(self, stop_at, die_at):
        super().__init__()
        self.stop_at = stop_at
        self.steps_left = die_at

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == self.stop_at

    def on_train_batch_end(self, batch, logs=None):
        self.steps_left -= 1
        if self.steps_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def compiled(dropout):
    """Returns a classifier with all that replicas must do together, in the current scope."""
    network = models.convnet((8, 8, 3), CLASSES, filters=(4,), hidden_units=8, dropout=dropout)
    task = tasks.Classifier(network, data.Preprocess((8, 8), 3), list("abc"))
    clipped = {"weight_decay": 1e-3, "global_clipnorm": 0.5}
    task.compile(keras.optimizers.SGD(0.02, momentum=0.9, nesterov=True, **clipped))
    return task


def masks(strategy):
    """Returns what a dropout layer keeps of ones on each replica."""
    with strategy.scope():
        task = compiled(dropout=0.5)
    layer = next(each for each in task.network.layers if isinstance(each, keras.layers.Dropout))

    @tf.function(autograph=False)
    def call():
        with distribute.synchronized(task):
            return strategy.run(lambda: layer(tf.ones((1, 64)), training=True))

    return [np.asarray(mask) for mask in strategy.experimental_local_results(call())]


def main(options):
    """Trains, and writes every variable and the history."""
    if options.get("mirrored"):
        cpu = tf.config.list_physical_devices("CPU")[0]
        devices = [tf.config.LogicalDeviceConfiguration()] * REPLICAS
        tf.config.set_logical_device_configuration(cpu, devices)
        names = [f"CPU:{number}" for number in range(REPLICAS)]
        strategy = tf.distribute.MirroredStrategy(names)
    else:
        strategy = train.join()
    keras.utils.set_random_seed(5 if train.is_chief() else 6)  # all start from the chief's weights
    tf.config.experimental.enable_op_determinism()
    loop.CHECKPOINT_SECONDS = 0.0  # a checkpoint after every step
    count = 40
    dataset = tf.data.Dataset.from_tensor_slices(
        (pictures(count, (8, 8)), np.arange(count) % CLASSES)
    )
    batches = data.TrainingBatches(dataset, count, 8, seed=3, augmentations=("flip", "shift"))
    with strategy.scope() if options.get("mirrored") else train.scope():
        task = compiled(options.get("dropout", 0.0))
    own = {name: options.get(name, -1) for name in ("stop_at", "die_at")}
    history = train.train(
        task,
        batches,
        epochs=options.get("epochs", 2),
        validation=data.evaluation_batches(dataset, 9),
        callbacks=[] if train.is_chief() else [OnWorker1(**own)],
        checkpoint=options.get("checkpoint"),
        resume=options.get("resume", False),
        verbose=0,
    )
    arrays = {
        name: [np.asarray(part) for part in distribute.components(variable)]
        for name, variable in checkpoints.Checkpoints("", task).variables().items()
    }
    if options.get("mirrored"):
        arrays["masks"] = masks(strategy)
    np.savez(options["out"], history=json.dumps(history), **arrays)


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except (ValueError, RefusedError) as error:
        print(f"{time.time():.2f} {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(2)
