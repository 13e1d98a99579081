"""Ensembles: several networks asked at once, and several taken from a single training."""

import math
import pathlib
from collections.abc import Sequence

import keras
from keras import ops

from dlcv_tf.errors import InputError
from dlcv_tf.train import cluster


def ensemble(members: Sequence[keras.Model]) -> keras.Model:
    """Returns one network that answers with the mean of its members' probabilities.

    Its logits are the logarithm of that mean, so that their softmax is the mean itself. It shares
    the members' weights, and is saved, exported and served like any other network.

    Args:
        members: networks from pictures of one shape to `{"logits": (batch, classes)}`.

    Returns:
        Functional model, likewise to `{"logits": (batch, classes)}`.

    Example:
        >>> from dlcv_tf import data, models, tasks
        >>> together = ensemble([models.mlp((8, 8, 1), 10) for _ in range(3)])
        >>> preprocess = data.Preprocess((8, 8), channels=1)
        >>> task = tasks.Classifier(together, preprocess, list("0123456789"))
    """
    if not all(isinstance(m.output, dict) and "logits" in m.output for m in members):
        raise InputError("got a network without 'logits', expected members with {'logits': ...}")
    shapes = {(m.input.shape, m.output["logits"].shape) for m in members}
    if len(shapes) != 1:
        raise InputError(
            f"got {len(members)} networks of {len(shapes)} different shapes {sorted(shapes)}, "
            "expected at least one, all with the same input and as many classes"
        )
    images = keras.Input(members[0].input_shape[1:], dtype=members[0].input.dtype, name="images")
    log_probabilities = []
    for number, network in enumerate(members, 1):
        # Under a name of its own: networks of one builder all have the same.
        member = keras.Model(network.input, network.output["logits"], name=f"member{number}")
        log_probabilities.append(ops.log_softmax(member(images)))
    each = ops.stack(log_probabilities)  # (members, batch, classes)
    highest = ops.max(each, axis=0)  # taken out, since exp of each may be 0
    logits = highest + ops.log(ops.mean(ops.exp(each - highest), axis=0))
    return keras.Model(images, {"logits": logits}, name="ensemble")


class SnapshotEnsemble(keras.callbacks.Callback):
    """Takes several networks from one training: a snapshot at the end of each learning-rate cycle.

    In each cycle the rate falls from its peak to 0 along half a cosine: the network settles in a
    minimum, is kept, and is thrown out of it by the next cycle. For plain `fit` and `train.train`.

    Args:
        cycles: number of snapshots; the epochs must be a multiple of it.
        peak: learning rate at the start of each cycle, above 0; the optimizer's own is set by it.
        directory: where to save each as `snapshotN.keras`; a resumed run needs it.

    Example:
        >>> snapshots = SnapshotEnsemble(cycles=5, peak=0.1)
        >>> model.compile(keras.optimizers.SGD())
        >>> model.fit(images, labels, epochs=50, callbacks=[snapshots])
        >>> together = snapshots.ensemble()

    Reference: Huang et al., "Snapshot ensembles", https://arxiv.org/abs/1704.00109.
    """

    def __init__(self, cycles: int, peak: float, directory: str | pathlib.Path | None = None):
        super().__init__()
        if cycles < 1 or not 0 < peak < math.inf:
            raise InputError(
                f"got cycles={cycles} and peak={peak}, expected 1 or more and a rate above 0"
            )
        self.cycles = cycles
        self.peak = peak
        self.directory = directory and pathlib.Path(directory)
        self.networks: list[keras.Model] = []

    def ensemble(self) -> keras.Model:
        """Returns the snapshots as one network."""
        return ensemble(self.networks)

    def on_train_begin(self, logs=None):
        epochs, steps = self.params["epochs"], self.params["steps"]
        if epochs % self.cycles or not steps:
            raise InputError(
                f"got {self.cycles} cycles in {epochs} epochs of {steps or 'unknown'} steps, "
                "expected epochs to be a multiple of the cycles, and a known number of steps"
            )
        self.networks = []
        self._set_rate(0, 0)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        finished = epoch // self._epochs_per_cycle
        while len(self.networks) < finished:  # a resumed run
            self.networks.append(self._read(len(self.networks) + 1))

    def on_train_batch_begin(self, batch, logs=None):
        self._set_rate(self._epoch, batch)

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self._epochs_per_cycle:
            return
        network = getattr(self.model, "network", self.model)  # a task's network, or a model itself
        snapshot = keras.models.clone_model(network)
        snapshot.set_weights(network.get_weights())
        self.networks.append(snapshot)
        if self.directory and cluster.place().is_chief:
            self.directory.mkdir(parents=True, exist_ok=True)
            snapshot.save(self._path(len(self.networks)))

    @property
    def _epochs_per_cycle(self) -> int:
        return self.params["epochs"] // self.cycles

    def _set_rate(self, epoch: int, step: int) -> None:
        """Sets the rate of a step: peak / 2 * (1 + cos(pi * part of the cycle))."""
        done = (epoch % self._epochs_per_cycle) * self.params["steps"] + step
        part = done / (self._epochs_per_cycle * self.params["steps"])
        try:
            self.model.optimizer.learning_rate = self.peak / 2 * (1 + math.cos(math.pi * part))
        except (TypeError, AttributeError) as error:
            raise InputError(
                "got an optimizer with a learning-rate schedule, expected one with a number, which "
                "the cycles of the snapshots set"
            ) from error

    def _path(self, number: int) -> pathlib.Path:
        return self.directory / f"snapshot{number}.keras"

    def _read(self, number: int) -> keras.Model:
        if self.directory is None or not self._path(number).exists():
            raise InputError(
                f"snapshot {number} of this resumed run is missing: give SnapshotEnsemble the "
                "directory that the run was begun with"
            )
        return keras.models.load_model(self._path(number))
