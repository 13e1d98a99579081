"""Labs of the chapter on ensembles: many networks, snapshots of one, and the average of weights."""

import keras
import numpy as np

from dlcv_tf import data, models, optimizers, tasks, train
from dlcv_tf.data import digits
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.plots import charts


def independent_networks(
    *, members: int = 5, examples: int = 100, epochs: int = 40, seed: int = 0
) -> Finding:
    """Several networks asked together are better than one: the mean of their probabilities.

    The same network is trained several times from other initial weights, on few digits, so that
    there is something to gain. The ensemble answers with the mean of the probabilities; it is a
    network itself (`train.ensemble`), to be saved and exported like any other.

    Curriculum: row 83.

    Args:
        members: networks.
        examples: training digits.
        epochs: passes over them.
        seed: of the first network; the next ones have the next seeds.
    """
    images, labels = (each[:examples] for each in digits.arrays("train"))
    networks, rows = [], []
    for number in range(members):
        task = _classifier(seed + number, optimizers.Momentum(0.05))
        task.fit(images, labels, batch_size=32, epochs=epochs, verbose=0)
        networks.append(task.network)
        alone = _accuracy(task)
        together = _accuracy(_task(train.ensemble(networks)))
        rows.append([str(number + 1), 100 * alone, 100 * together])
    alone = [row[1] for row in rows]
    together = rows[-1][2]
    lines = {
        "network alone": charts.Series(range(1, members + 1), alone, marks=True, line=False),
        "ensemble of the first": charts.Series(
            range(1, members + 1), [row[2] for row in rows], marks=True
        ),
    }
    figure = charts.draw(
        [
            charts.Panel(
                "Accuracy on the test digits", lines, "networks", "%",
                references={"mean network": float(np.mean(alone))},
            )
        ],
        1,
    )  # fmt: skip
    return Finding(
        "The mean of several networks' probabilities is better than the mean network.",
        together >= float(np.mean(alone)),
        f"The {members} networks are right on {np.mean(alone):.2f} % of the test digits in the "
        f"mean ({min(alone):.2f} to {max(alone):.2f}), together on {together:.2f} %.",
        {"members": alone, "mean_member": float(np.mean(alone)), "ensemble": together},
        [Table(["networks", "the last one alone, %", "all so far, %"], rows)],
        {"independent_networks": figure},
    )


def snapshots(
    *, cycles: int = 4, epochs: int = 60, peak: float = 0.2, examples: int = 600, seed: int = 0
) -> Finding:
    """An ensemble from a single training: a snapshot at the end of each learning-rate cycle.

    In each cycle the rate falls from its peak to zero along half a cosine. The jump back to the
    peak throws the network out of its minimum (accuracy falls), and it settles in another one. The
    digits that are not trained on, over a thousand, are the test.

    Curriculum: row 84.

    Args:
        cycles: snapshots.
        epochs: passes over the training digits, a multiple of the cycles.
        peak: learning rate at the start of a cycle.
        examples: digits to train on.
        seed: of the weights and the order.
    """
    parts = [digits.arrays(split) for split in digits.FRACTIONS]
    images, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    test = images[examples:], labels[examples:]
    task = _classifier(seed, optimizers.Momentum())
    taken, rates = train.SnapshotEnsemble(cycles, peak), _Rates()
    history = task.fit(
        images[:examples], labels[:examples], batch_size=32, epochs=epochs,
        validation_data=test, callbacks=[taken, rates], verbose=0,
    ).history  # fmt: skip
    each = [100 * _accuracy(_task(network), test) for network in taken.networks]
    together = 100 * _accuracy(_task(taken.ensemble()), test)
    per_epoch = len(rates.values) // epochs
    panels = [
        charts.Panel(
            "Learning rate",
            {"rate": (np.arange(len(rates.values)) / per_epoch, rates.values)},
            "epoch",
            "rate",
        ),
        charts.Panel(
            "Accuracy on the test digits",
            {
                "after each epoch": (
                    np.arange(1, epochs + 1), 100 * np.array(history["val_accuracy"])
                )
            },
            "epoch", "%", references={"together": together},
            y_limits=(min(each) - 8, max(each + [together]) + 2),
        ),
    ]  # fmt: skip
    return Finding(
        "Snapshots of one training, averaged, are as good as the last one or better.",
        len(each) == cycles and together >= each[-1] - 0.2,
        f"The {len(each)} snapshots are right on {', '.join(f'{value:.2f}' for value in each)} % "
        f"of the test digits, together on {together:.2f} %.",
        {"snapshots": each, "together": together, "last": each[-1]},
        figures={"snapshots": charts.draw(panels)},
    )


def polyak_averaging(
    *, decay: float = 0.995, rate: float = 0.1, epochs: int = 15, seed: int = 0
) -> Finding:
    """The moving average of the weights is steadier than the weights, and often better.

    A network is trained on the digits at a constant rate with small batches, whose noise keeps the
    weights moving about. The optimizer keeps their moving average (`use_ema`); after each epoch
    both are evaluated, and at the end the average stays (`train.PolyakAverage`). It is compared
    with the closed form, (1 - decay) * sum of decay^(t-i) w_i, with the weights of all steps.

    Curriculum: row 85.

    Args:
        decay: part of the average that a step keeps.
        rate: constant learning rate.
        epochs: passes over the 1,258 training digits.
        seed: of the weights and the order.
    """
    images, labels = digits.arrays("train")
    rule = optimizers.Momentum(rate, use_ema=True, ema_momentum=decay)
    task = _classifier(seed, rule)
    watch = _Weights(decay)
    history = task.fit(
        images, labels, batch_size=16, epochs=epochs, validation_data=digits.arrays("test"),
        callbacks=[watch, train.PolyakAverage()], verbose=0,
    ).history  # fmt: skip
    error = max(
        float(np.abs(variable.numpy() - average).max())
        for variable, average in zip(task.trainable_variables, watch.average, strict=True)
    )
    lines = {
        "weights": (np.arange(1, epochs + 1), watch.losses),
        "their average": (np.arange(1, epochs + 1), history["val_loss"]),
    }
    later = slice(epochs // 2, None)
    spreads = {name: float(np.std(values[later])) for name, (_, values) in lines.items()}
    means = {name: float(np.mean(values[later])) for name, (_, values) in lines.items()}
    figure = charts.draw(
        [charts.Panel("Loss on the test digits", lines, "epoch", y_limits=(0, None))], 1
    )
    return Finding(
        "The moving average of the weights is steadier than the weights.",
        spreads["their average"] < spreads["weights"] and error < 1e-4,
        f"In the second half the test loss is {means['weights']:.3f} +- {spreads['weights']:.3f} "
        f"with the weights and {means['their average']:.3f} +- {spreads['their average']:.3f} with "
        f"their average, which differs from its closed form by {error:.0e}.",
        {"mean_loss": means, "spread_of_loss": spreads, "worst_error_of_closed_form": error}
        | {"accuracy": 100 * float(history["val_accuracy"][-1])},
        figures={"polyak_averaging": figure},
    )


def _task(network: keras.Model, optimizer=None) -> tasks.Classifier:
    """Returns a network as a compiled classifier of digits."""
    task = tasks.Classifier(network, data.Preprocess((8, 8), channels=1), digits.LABELS)
    task.compile(optimizer or optimizers.SGD())
    return task


def _classifier(seed: int, optimizer) -> tasks.Classifier:
    """Returns a new network for the digits, as a classifier."""
    keras.utils.set_random_seed(seed)
    return _task(models.mlp((8, 8, 1), len(digits.LABELS), hidden_units=(32,)), optimizer)


def _accuracy(task: tasks.Classifier, test: tuple | None = None) -> float:
    test = test or digits.arrays("test")
    return float(task.evaluate(*test, return_dict=True, verbose=0)["accuracy"])


class _Rates(keras.callbacks.Callback):
    """Keeps the learning rate of every step."""

    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))


class _Weights(keras.callbacks.Callback):
    """Keeps the moving average of the weights in NumPy, and their test loss after each epoch."""

    def __init__(self, decay: float):
        super().__init__()
        self.decay, self.average, self.losses = decay, None, []

    def on_train_batch_end(self, batch, logs=None):
        weights = [np.asarray(v, np.float64) for v in self.model.trainable_variables]
        before = weights if self.average is None else self.average
        self.average = [
            self.decay * old + (1 - self.decay) * new
            for old, new in zip(before, weights, strict=True)
        ]

    def on_epoch_end(self, epoch, logs=None):
        logs = self.model.evaluate(*digits.arrays("test"), return_dict=True, verbose=0)
        self.losses.append(float(logs["loss"]))


LABS = (independent_networks, snapshots, polyak_averaging)
