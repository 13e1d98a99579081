"""Labs of the chapter on batch norm: how it takes to bad weights, small batches, large steps.

After the experiments of CS231n's second assignment, on networks with and without batch norm.
"""

import dataclasses

import keras
import numpy as np

from dlcv_tf.data import sets
from dlcv_tf.data.preprocess import Preprocess
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.models.classify.mlp import mlp
from dlcv_tf.plots import charts
from dlcv_tf.train import initialization

NAMES = {True: "batch norm", False: "baseline"}
FLAT = 0.8  # of the best training accuracy: what counts as trained


@dataclasses.dataclass(frozen=True)
class _Pictures:
    """Preprocessed pictures to train and to validate on."""

    x: np.ndarray
    labels: np.ndarray
    validation: tuple[np.ndarray, np.ndarray]
    num_classes: int


def weight_scale_sweep(
    *,
    data: str = "digits",
    pictures: int = 1000,
    hidden_units: tuple[int, ...] = (100,) * 7,
    num_scales: int = 13,
    epochs: int = 10,
    batch_size: int = 50,
    seed: int = 0,
) -> Finding:
    """Initial weights from 1e-4 to 1: with batch norm a deep network learns from nearly any.

    A fully connected network is trained from normal weights of every standard deviation, by Adam
    with a learning rate of 0.001, with and without batch norm. What counts is over how many decades
    of the scale the training accuracy stays within a fifth of the best.

    Curriculum: row 57.

    Args:
        data: name of a data set; `"cifar10"` for the assignment's own.
        pictures: training pictures.
        hidden_units: width of each hidden layer.
        num_scales: standard deviations to try, equally far apart in ratio.
        epochs: passes over the pictures.
        batch_size: pictures in a step.
        seed: of weights and order.

    Reference: CS231n, assignment 2, BatchNormalization.ipynb; Ioffe and Szegedy,
    https://arxiv.org/abs/1502.03167.
    """
    found = _load(data, pictures, std=1.0)  # grey levels, as in the assignment
    scales = np.logspace(-4, 0, num_scales)
    results = {}
    for name, trainer in _trainers(found, hidden_units, "adam").items():
        logs = [trainer.train(scale, 1e-3, epochs, batch_size, seed) for scale in scales]
        results[name] = {key: [log[key][-1] for log in logs] for key in logs[0]}
    decades = {name: _decades(scales, np.array(each["accuracy"])) for name, each in results.items()}
    titles = {
        "val_accuracy": "Validation accuracy",
        "accuracy": "Training accuracy",
        "loss": "Last training loss",
    }
    panels = [
        charts.Panel(
            title,
            {
                name: charts.Series(scales, np.minimum(each[key], 1e3), marks=True)
                for name, each in results.items()
            },
            "standard deviation of the initial weights",
            x_log=True,
            y_log=key == "loss",
        )
        for key, title in titles.items()
    ]
    rows = [
        [f"{scale:.1e}", *(results[name][key][number] for key in titles for name in results)]
        for number, scale in enumerate(scales)
    ]
    return Finding(
        "With batch norm, training hardly depends on the scale of the initial weights.",
        decades["batch norm"] >= 2 > decades["baseline"],
        f"The training accuracy stays within a fifth of its best over {decades['batch norm']:.1f} "
        f"decades of the initial weights' scale with batch norm, over {decades['baseline']:.1f} "
        "without.",
        {"scales": scales.tolist(), "decades": decades} | results,
        [
            Table(
                ["scale", *(f"{title}, {name}" for title in titles.values() for name in results)],
                rows,
            )
        ],
        {"weight_scale_sweep": charts.draw(panels, columns=2)},
    )


def batch_size_sweep(
    *,
    data: str = "digits",
    pictures: int = 1000,
    hidden_units: tuple[int, ...] = (100,) * 5,
    batch_sizes: tuple[int, ...] = (5, 10, 50),
    epochs: int = 10,
    learning_rate: float = 3e-4,
    seed: int = 0,
) -> Finding:
    """Batches of 5, 10 and 50: batch norm needs batches large enough to know mean and variance.

    The statistics of five pictures are noisy, and what the network is used to in training is not
    what it meets at test, where running averages stand in for them.

    Curriculum: row 57.

    Args:
        data: name of a data set; `"cifar10"` for the assignment's own.
        pictures: training pictures.
        hidden_units: width of each hidden layer.
        batch_sizes: to try.
        epochs: passes over the pictures.
        learning_rate: of Adam, for every batch size.
        seed: of weights and order.

    Reference: CS231n, assignment 2, BatchNormalization.ipynb.
    """
    found = _load(data, pictures, std=1.0)  # grey levels, as in the assignment
    curves = {}
    for name, trainer in _trainers(found, hidden_units, "adam").items():
        for batch_size in batch_sizes:
            log = trainer.train("he", learning_rate, epochs, batch_size, seed)
            curves[f"{name}, {batch_size}"] = log
    steps = np.arange(1, epochs + 1)
    panels = []
    for key, title in (("accuracy", "Training"), ("val_accuracy", "Validation")):
        highest = max(max(log[key]) for log in curves.values())
        for name in NAMES.values():
            lines = {str(size): (steps, curves[f"{name}, {size}"][key]) for size in batch_sizes}
            limits = (0, 1.03 * highest)
            panels.append(charts.Panel(f"{title}, {name}", lines, "epoch", y_limits=limits))
    gain = {
        str(batch_size): float(
            np.mean(curves[f"batch norm, {batch_size}"]["val_accuracy"])
            - np.mean(curves[f"baseline, {batch_size}"]["val_accuracy"])
        )
        for batch_size in batch_sizes
    }
    smallest, largest = (str(each(batch_sizes)) for each in (min, max))
    return Finding(
        "Batch norm helps with large batches and less, or not at all, with very small ones.",
        gain[largest] > gain[smallest],
        f"Over the {epochs} epochs batch norm adds {100 * gain[largest]:+.1f} points of validation "
        f"accuracy in batches of {largest}, {100 * gain[smallest]:+.1f} in batches of {smallest}.",
        {"gain": gain, "curves": curves},
        [
            Table(
                ["network, batch size", "training accuracy", "validation accuracy", "mean of it"],
                [
                    [
                        name,
                        log["accuracy"][-1],
                        log["val_accuracy"][-1],
                        float(np.mean(log["val_accuracy"])),
                    ]
                    for name, log in curves.items()
                ],
                "after the last epoch, and the mean over all epochs",
            )
        ],
        {"batch_size_sweep": charts.draw(panels, columns=2)},
    )


def learning_rates_tolerated(
    *,
    data: str = "digits",
    pictures: int = 1000,
    hidden_units: tuple[int, ...] = (100,) * 5,
    num_rates: int = 9,
    epochs: int = 5,
    batch_size: int = 50,
    seed: int = 0,
) -> Finding:
    """Learning rates from 0.001 to 10: batch norm takes larger ones.

    Plain gradient descent on normalised pictures from He's initial weights, with and without batch
    norm.

    Curriculum: row 57.

    Args:
        data: name of a data set.
        pictures: training pictures.
        hidden_units: width of each hidden layer.
        num_rates: learning rates to try, equally far apart in ratio.
        epochs: passes over the pictures.
        batch_size: pictures in a step.
        seed: of weights and order.
    """
    found = _load(data, pictures, std=None)
    rates = np.logspace(-3, 1, num_rates)
    results, largest = {}, {}
    for name, trainer in _trainers(found, hidden_units, "sgd").items():
        logs = [trainer.train("he", rate, epochs, batch_size, seed) for rate in rates]
        results[name] = [log["accuracy"][-1] for log in logs]
        trained = np.array(results[name]) >= FLAT * max(results[name])
        largest[name] = float(rates[trained].max())
    panel = charts.Panel(
        "Training accuracy by learning rate",
        {name: charts.Series(rates, each, marks=True) for name, each in results.items()},
        "learning rate",
        x_log=True,
        y_limits=(0, 1.03),
    )
    return Finding(
        "Batch norm lets a network learn at larger learning rates.",
        largest["batch norm"] > 2 * largest["baseline"],
        f"The largest learning rate that still trains is {largest['batch norm']:.2g} with batch "
        f"norm, {largest['baseline']:.2g} without.",
        {"rates": rates.tolist(), "largest": largest} | results,
        [
            Table(
                ["learning rate", *results],
                [
                    [f"{rate:.2g}", *each]
                    for rate, *each in zip(rates, *results.values(), strict=True)
                ],
                "training accuracy",
            )
        ],
        {"learning_rates_tolerated": charts.draw([panel], columns=1)},
    )


class _Trainer:
    """Trains one compiled network again and again: a new one would be traced anew each time."""

    def __init__(self, found: _Pictures, hidden_units, batch_norm: bool, optimizer: str):
        self.found = found
        shape = found.x.shape[1:]
        self.network = mlp(shape, found.num_classes, hidden_units, batch_norm=batch_norm)
        self.network.compile(
            optimizer,
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            steps_per_execution=5,
        )
        self.network.optimizer.build(self.network.trainable_variables)
        self.variables = [*self.network.variables, *self.network.optimizer.variables]
        self.initial = [variable.numpy() for variable in self.variables]

    def train(self, init, learning_rate: float, epochs: int, batch_size: int, seed: int) -> dict:
        """Trains from new weights; returns the logs of every epoch."""
        for variable, value in zip(self.variables, self.initial, strict=True):
            variable.assign(value)
        keras.utils.set_random_seed(seed)
        initialization.initialize(self.network, init, np.random.RandomState(seed))
        self.network.optimizer.learning_rate = learning_rate
        history = self.network.fit(
            self.found.x,
            self.found.labels,
            batch_size=batch_size,
            epochs=epochs,
            validation_data=self.found.validation,
            validation_batch_size=len(self.found.validation[0]),
            verbose=0,
        ).history
        keys = ("accuracy", "val_accuracy", "loss")
        return {key: np.nan_to_num(history[key], nan=1e3).tolist() for key in keys}


def _trainers(found: _Pictures, hidden_units, optimizer: str) -> dict[str, _Trainer]:
    return {
        name: _Trainer(found, hidden_units, with_norm, optimizer)
        for with_norm, name in NAMES.items()
    }


def _load(name: str, pictures: int, std: float | None) -> _Pictures:
    """Returns pictures with the mean image of the training pictures taken off.

    They are divided by `std`; None stands for the training pictures' own deviation.
    """
    train, info = sets.load(name, "train")
    validation, _ = sets.load(name, "test")
    images, labels = next(iter(train.batch(pictures)))
    other_images, other_labels = next(iter(validation.batch(pictures)))
    layer = Preprocess.fitted(images.numpy(), "mean_image", std=std)
    return _Pictures(
        layer(images).numpy(),
        labels.numpy(),
        (layer(other_images).numpy(), other_labels.numpy()),
        info.num_classes,
    )


def _decades(scales: np.ndarray, accuracy: np.ndarray) -> float:
    """Returns the longest run of scales that train, in powers of ten."""
    longest = start = None
    for scale, good in zip(scales, accuracy >= FLAT * accuracy.max(), strict=True):
        start = (start or scale) if good else None
        if start:
            longest = max(longest or 0.0, float(np.log10(scale / start)))
    return longest or 0.0


LABS = (weight_scale_sweep, batch_size_sweep, learning_rates_tolerated)
