"""Callbacks that watch a training: exploding cost, flat start, size of the updates.

They work in plain `fit` and in `train.train`. What they find stands in their attributes when the
training has ended.
"""

import math
import warnings
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from dlcv_tf.errors import InputError
from dlcv_tf.train import distribute

EXPLOSION = 3.0  # times the original cost
SOUND_RATIO = (1e-4, 1e-1)  # of update and weight; about 1e-3 is best
FLAT_DROP = 0.05  # a cost that has not fallen by this part of itself is flat
SMOOTHING = 5  # steps in a mean: one batch is easier than another


class ExplosionStop(keras.callbacks.Callback):
    """Stops a training whose cost is more than some times the original one, or no number.

    The original cost is that of the first step. `reason` tells why the training was stopped, and is
    empty where it was not. `train.train` raises its `NonFiniteError` for a NaN before callbacks see
    it.

    Args:
        factor: how many times the original cost is too much, above 1.
        original: the original cost, where it is known: a resumed run does not see its first step.

    Example:
        >>> stop = ExplosionStop(factor=3.0)
        >>> model.fit(images, labels, callbacks=[stop])
        >>> print(stop.reason)
        the cost is 4.5e+06 at epoch 1, step 2, more than 3 times the original 2.3: try a tenth ...
    """

    def __init__(self, factor: float = EXPLOSION, original: float | None = None):
        super().__init__()
        if not factor > 1:
            raise InputError(f"got factor={factor}, expected a number above 1, as in factor=3")
        self.factor = factor
        self.given = original
        self.reason = ""

    def on_train_begin(self, logs=None):
        self.original, self.reason = self.given, ""

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._costs = epoch, _Costs()

    def on_train_batch_end(self, batch, logs=None):
        cost = self._costs.of_step(batch, logs)
        if self.original is None and math.isfinite(cost):
            self.original = cost
        if not self.reason and exploded(cost, self.original, self.factor):
            place = f"at epoch {self._epoch + 1}, step {batch + 1}"
            first = "" if self.original is None else f" {self.original:.4g}"
            self.reason = (
                f"the cost is {cost:.4g} {place}, more than {self.factor:g} times the original"
                f"{first}: try a tenth of the learning rate"
            )
            self.model.stop_training = True


class FlatCurve(keras.callbacks.Callback):
    """Warns of a cost that stays where it began: the mark of bad initial weights.

    `flat` tells after `steps` steps whether it does, and is None before.

    Args:
        steps: how many steps the cost has in which to fall.
        drop: by which part of itself it must fall.
    """

    def __init__(self, steps: int = 100, drop: float = FLAT_DROP):
        super().__init__()
        if steps < 2 or not 0 < drop < 1:
            raise InputError(f"got steps={steps}, drop={drop}, expected 2 or more, and within 0..1")
        self.steps, self.drop = steps, drop
        self.flat = None

    def on_train_begin(self, logs=None):
        self.flat, self._seen = None, []

    def on_epoch_begin(self, epoch, logs=None):
        self._costs = _Costs()

    def on_train_batch_end(self, batch, logs=None):
        if self.flat is not None:
            return
        before = self._costs.count
        cost = self._costs.of_step(batch, logs)
        self._seen += [cost] * (self._costs.count - before)
        if len(self._seen) >= self.steps:
            self.flat = flat_steps(self._seen, self.drop) >= len(self._seen)
            if self.flat:
                warnings.warn(
                    f"the cost is still about {cost:.4g} after {len(self._seen)} steps, as in the "
                    "first: look at the scale of the initial weights (He's for ReLU), then at the "
                    "learning rate",
                    stacklevel=2,
                )


class UpdateRatio(keras.callbacks.Callback):
    """Logs ||W_new - W_old|| / ||W_old|| of each layer's weights once an epoch.

    It is measured at the last step of the epoch, where `fit` knows how many there are, else at the
    first; several steps in one call of the graph count as their mean. The logs get
    `update_ratio/WEIGHT`, which TensorBoard and Keras's `History` show, and `history` keeps them.
    Biases, scales and shifts are left out: they begin at 0 or 1 and their ratio says little.

    Args:
        low: least sound ratio; below it a warning says so.
        high: largest sound ratio.

    Reference: CS231n, "Ratio of weights:updates": about 1e-3.
    """

    def __init__(self, low: float = SOUND_RATIO[0], high: float = SOUND_RATIO[1]):
        super().__init__()
        if not 0 < low < high:
            raise InputError(f"got low={low}, high={high}, expected 0 < low < high")
        self.low, self.high = low, high
        self.history: list[dict[str, float]] = []

    def on_train_begin(self, logs=None):
        self.history = []
        self._steps_a_call = 1

    def on_epoch_begin(self, epoch, logs=None):
        self._before, self._ratios = None, {}

    def on_train_batch_begin(self, batch, logs=None):
        steps = self.params.get("steps")
        is_last = steps is not None and batch + self._steps_a_call >= steps
        if is_last or not self._ratios:
            self._first, self._before = batch, weights(self.model)

    def on_train_batch_end(self, batch, logs=None):
        if self._before is not None:
            self._steps_a_call = batch - self._first + 1
            moved = update_ratios(self._before, weights(self.model))
            self._ratios = {name: ratio / self._steps_a_call for name, ratio in moved.items()}
            self._before = None

    def on_epoch_end(self, epoch, logs=None):
        self.history.append(dict(self._ratios))
        if logs is not None:
            logs.update({f"update_ratio/{name}": r for name, r in self._ratios.items()})
        outside = unsound(self._ratios, self.low, self.high)
        if outside:
            shown = ", ".join(f"{name} {ratio:.1e}" for name, ratio in list(outside.items())[:3])
            more = f" and {len(outside) - 3} more" if len(outside) > 3 else ""
            warnings.warn(
                f"epoch {epoch + 1}: the updates of {shown}{more} are outside {self.low:g} to "
                f"{self.high:g} of the weights: about 1e-3 is sound, so change the learning rate "
                "by the factor that is missing",
                stacklevel=2,
            )


class _Costs:
    """The cost of single steps, from the mean over the epoch that Keras gives to callbacks."""

    def __init__(self):
        self.count, self._total = 0, 0.0

    def of_step(self, batch: int, logs: Mapping) -> float:
        """Returns the mean cost of the steps since the last call, up to number `batch`."""
        count, total = batch + 1, float(logs["loss"]) * (batch + 1)
        cost = (total - self._total) / (count - self.count)
        self.count, self._total = count, total
        return cost


def exploded(cost: float, original: float | None, factor: float = EXPLOSION) -> bool:
    """Tells whether a cost is no number, or more than some times the original one."""
    return not math.isfinite(cost) or (original is not None and cost > factor * original)


def flat_steps(costs: Sequence[float], drop: float = FLAT_DROP) -> int:
    """Returns for how many steps a training stays flat before its cost begins to fall.

    Args:
        costs: of each step, the first included.
        drop: part of the first cost by which the mean of some steps must fall.

    Returns:
        Steps before the first such mean; all of them where there is none.
    """
    window = min(SMOOTHING, len(costs))
    means = np.convolve(costs, np.ones(window) / window, mode="valid")
    fallen = np.flatnonzero(means < (1 - drop) * costs[0])
    return int(fallen[0]) if len(fallen) else len(costs)


def weights(model: keras.Model) -> dict[str, np.ndarray]:
    """Returns a copy of the weights proper, by path: trainable, and no vectors."""
    return {
        variable.path: np.array(distribute.read(variable))
        for variable in model.trainable_variables
        if len(variable.shape) > 1
    }


def update_ratios(before: Mapping, after: Mapping) -> dict[str, float]:
    """Returns ||after - before|| / ||before|| by name; weights that are all zero have none.

    Args:
        before: weights by name.
        after: the same after an update.
    """
    norms = {name: float(np.linalg.norm(value)) for name, value in before.items()}
    return {
        name: float(np.linalg.norm(after[name] - before[name])) / norm
        for name, norm in norms.items()
        if norm > 0
    }


def unsound(
    ratios: Mapping[str, float], low: float = SOUND_RATIO[0], high: float = SOUND_RATIO[1]
) -> dict[str, float]:
    """Returns the ratios that are outside the range, and those that are no number."""
    return {name: ratio for name, ratio in ratios.items() if not low <= ratio <= high}
