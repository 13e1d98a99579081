"""Lab of the chapter on activation functions: how much faster a network of ReLUs learns."""

import keras
import numpy as np
from keras import layers

from dlcv_tf.data import pipeline, preprocess, sets
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.plots import charts

LOOKS = 10  # in an epoch, at the training error


def relu_against_tanh(
    *,
    data: str = "digits",
    pictures: int = 1200,
    filters: tuple[int, ...] = (16, 16, 32),
    learning_rates: tuple[float, ...] = (0.1, 0.03, 0.01, 0.003),
    error: float = 0.25,
    most_epochs: int = 8,
    batch_size: int = 32,
    seed: int = 0,
) -> Finding:
    """ReLU against tanh: epochs of a four-layer convolutional network to 25 % training error.

    Krizhevsky, Sutskever and Hinton's first figure: on CIFAR-10, such a network with ReLUs got
    there six times as fast as with tanh, each with the learning rate that suited it best and
    without regularisation. Here every function tries all learning rates, and its fastest one
    counts. The error is that of the running batches, looked at ten times an epoch.

    Curriculum: row 47.

    Args:
        data: `"cifar10"` for the figure's own (minutes), or any other name of `data.load`.
        pictures: how many of its training pictures.
        filters: 5x5 filters of the three convolutions; the fourth layer is the classifier.
        learning_rates: to try, with momentum 0.9.
        error: part of the training pictures that may be wrong.
        most_epochs: when to give up.
        batch_size: pictures in a step.
        seed: of weights and order.

    Reference: "ImageNet Classification with Deep Convolutional Neural Networks", 2012, figure 1.
    """
    dataset, info = sets.load(data, "train")
    images, labels = next(iter(dataset.batch(pictures)))
    x = preprocess.Preprocess.fitted(images.numpy())(images).numpy()
    curves, epochs = {}, {}
    for act in ("relu", "tanh"):
        for rate in learning_rates:
            keras.utils.set_random_seed(seed)
            network = _four_layers(act, x.shape[1:], info.num_classes, filters)
            network.compile(
                keras.optimizers.SGD(rate, momentum=0.9),
                keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                metrics=["accuracy"],
            )
            passed, errors = _errors(network, x, labels, error, most_epochs, batch_size)
            curves[act, rate] = passed, 100 * errors
            epochs[act, rate] = float(passed[-1]) if errors[-1] <= error else np.inf
    best = {
        act: min(learning_rates, key=lambda rate: epochs[act, rate]) for act in ("relu", "tanh")
    }
    fastest = {act: epochs[act, rate] for act, rate in best.items()}
    ratio = fastest["tanh"] / fastest["relu"] if np.isfinite(fastest["relu"]) else np.nan
    panel = charts.Panel(
        "Training error, each at its best learning rate",
        {f"{act}, {rate:g}": curves[act, rate] for act, rate in best.items()},
        "epoch",
        "%",
        references={"goal": 100 * error},
    )
    return Finding(
        f"ReLUs reach {error:.0%} training error in fewer epochs than tanh.",
        bool(fastest["relu"] < fastest["tanh"]),
        f"On {len(images)} pictures of {data} ReLU needs {fastest['relu']:.2g} epochs (learning "
        f"rate {best['relu']:g}), tanh {fastest['tanh']:.2g} ({best['tanh']:g}): {ratio:.1f} times "
        "as many. The paper's figure says six on CIFAR-10.",
        {
            "epochs": {act: _number(value) for act, value in fastest.items()},
            "best_learning_rate": best,
            "ratio": _number(ratio),
        },
        [
            Table(
                ["learning rate", "relu", "tanh"],
                [
                    [f"{rate:g}", *(f"{epochs[act, rate]:.2g}" for act in ("relu", "tanh"))]
                    for rate in learning_rates
                ],
                f"epochs until {error:.0%} training error; inf: not within {most_epochs}",
            )
        ],
        {"relu_against_tanh": charts.draw([panel], columns=1)},
    )


def _four_layers(act: str, shape, num_classes: int, filters) -> keras.Model:
    """Returns three convolutions with max pooling and a classifier, after Xavier or He."""
    initializer = "he_normal" if act == "relu" else "glorot_normal"
    inputs = x = keras.Input(shape)
    for width in filters:
        x = layers.Conv2D(width, 5, padding="same", kernel_initializer=initializer)(x)
        x = layers.MaxPooling2D(2, padding="same")(layers.Activation(act)(x))
    return keras.Model(inputs, layers.Dense(num_classes)(layers.Flatten()(x)))


def _errors(network, x, labels, error: float, most_epochs: int, batch_size: int):
    """Trains until the error is reached; returns epochs passed and error, at every look."""
    batches = pipeline.TrainingBatches(sets.from_arrays(x, labels), len(x), batch_size)
    steps = max(1, batches.steps_per_epoch // LOOKS)
    history = network.fit(
        batches.stream(most_epochs),
        epochs=most_epochs * batches.steps_per_epoch // steps,
        steps_per_epoch=steps,
        callbacks=[_Until(error)],
        shuffle=False,  # the batches are
        verbose=0,
    ).history
    looks = np.arange(1, len(history["accuracy"]) + 1)
    return looks * steps / batches.steps_per_epoch, 1 - np.array(history["accuracy"])


class _Until(keras.callbacks.Callback):
    """Ends the training when the training error is low enough."""

    def __init__(self, error: float):
        super().__init__()
        self.error = error

    def on_epoch_end(self, epoch, logs=None):
        if 1 - logs["accuracy"] <= self.error:
            self.model.stop_training = True


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


LABS = (relu_against_tanh,)
