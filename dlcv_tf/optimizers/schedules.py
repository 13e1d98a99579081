"""Learning-rate schedules: one cycle, and the lecture's decays under the lecture's names.

The decays are Keras's own schedules, so that a saved model needs nothing from here to read them.
Start without a decay; add one when the loss no longer falls.
"""

import math

import keras
from keras import ops

from dlcv_tf.errors import InputError, unknown


@keras.saving.register_keras_serializable(package="dlcv_tf")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """One cycle: a linear rise to the peak, then a linear fall to almost nothing.

    Args:
        peak: the highest learning rate, above 0.
        total_steps: steps of the whole training, 1 or more.
        warmup: part of the steps in which the rate rises, in (0, 1).
        start: first rate, as a part of the peak.
        end: last rate, as a part of the peak.

    Reference: Smith and Topin, "Super-convergence", https://arxiv.org/abs/1708.07120.
    """

    def __init__(self, peak, total_steps, warmup=0.25, start=0.1, end=0.002):
        _check(peak, total_steps=total_steps)
        if not 0 < warmup < 1:
            raise InputError(f"got warmup={warmup}, expected a part of the steps, above 0, below 1")
        self.peak = peak
        self.total_steps = total_steps
        self.warmup = warmup
        self.start = start
        self.end = end

    def __call__(self, step):
        part = ops.cast(step, "float32") / self.total_steps
        rise = self.start + (1 - self.start) * part / self.warmup
        fall = 1 - (1 - self.end) * (part - self.warmup) / (1 - self.warmup)
        return self.peak * ops.where(part < self.warmup, rise, ops.maximum(fall, self.end))

    def get_config(self):
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup": self.warmup,
            "start": self.start,
            "end": self.end,
        }


def step_decay(
    initial: float, every: int, factor: float = 0.5
) -> keras.optimizers.schedules.ExponentialDecay:
    """Returns step decay: the rate is multiplied by a factor after every so many steps.

    Args:
        initial: rate of the first step, above 0.
        every: steps between two falls, 1 or more.
        factor: what a fall leaves of the rate, in (0, 1]; the lecture halves.
    """
    _check(initial, every=every)
    if not 0 < factor <= 1:
        raise InputError(f"got factor={factor}, expected above 0, at most 1")
    return keras.optimizers.schedules.ExponentialDecay(initial, every, factor, staircase=True)


def exponential_decay(
    initial: float, k: float, steps: int = 1
) -> keras.optimizers.schedules.ExponentialDecay:
    """Returns exponential decay: rate = initial * exp(-k * t), with t = step / steps.

    Args:
        initial: rate at t = 0, above 0.
        k: how fast it falls, 0 or more.
        steps: steps in a unit of t, e.g. those of an epoch.
    """
    _check(initial, k, steps=steps)
    return keras.optimizers.schedules.ExponentialDecay(initial, steps, math.exp(-k))


def one_over_t_decay(
    initial: float, k: float, steps: int = 1
) -> keras.optimizers.schedules.InverseTimeDecay:
    """Returns 1/t decay: rate = initial / (1 + k * t), with t = step / steps; half at t = 1/k.

    Args:
        initial: rate at t = 0, above 0.
        k: how fast it falls, 0 or more.
        steps: steps in a unit of t, e.g. those of an epoch.
    """
    _check(initial, k, steps=steps)
    return keras.optimizers.schedules.InverseTimeDecay(initial, steps, k)


def cosine_restarts(peak: float, every: int) -> keras.optimizers.schedules.CosineDecayRestarts:
    """Returns cosine cycles: the rate falls from the peak to 0 along a cosine, and starts anew.

    rate = peak / 2 * (1 + cos(pi * (step mod every) / every)): what snapshots are taken under.

    Args:
        peak: rate at the start of a cycle, above 0.
        every: steps in a cycle, 1 or more.

    Reference: Loshchilov and Hutter, https://arxiv.org/abs/1608.03983.
    """
    _check(peak, every=every)
    return keras.optimizers.schedules.CosineDecayRestarts(peak, every, t_mul=1.0)


def spanning(
    name: str, rate: float, total_steps: int
) -> keras.optimizers.schedules.LearningRateSchedule | float:
    """Returns a schedule by name, stretched over a whole training.

    The decays end at about a hundredth of the rate.

    Args:
        name: one of `SCHEDULES`.
        rate: the highest learning rate; where the schedule is a decay, the first one.
        total_steps: steps of the training.
    """
    if name not in SCHEDULES:
        raise unknown("schedule", name, SCHEDULES)
    return SCHEDULES[name](rate, total_steps)


SCHEDULES = {
    "one_cycle": OneCycle,
    "constant": lambda rate, steps: rate,
    "step": lambda rate, steps: step_decay(rate, every=max(1, steps // 8)),
    "exponential": lambda rate, steps: exponential_decay(rate, math.log(100), steps),
    "one_over_t": lambda rate, steps: one_over_t_decay(rate, 99, steps),
}


def _check(rate: float, k: float = 0.0, **steps: int) -> None:
    if not 0 < rate < math.inf:
        raise InputError(f"got a learning rate of {rate}, expected above 0, finite")
    if not 0 <= k < math.inf:
        raise InputError(f"got k={k}, expected 0 or more, finite")
    for name, value in steps.items():
        if value < 1:
            raise InputError(f"got {name}={value}, expected 1 or more")
