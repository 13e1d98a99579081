"""Learning-rate schedules."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="dlcv_tf")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """One cycle: a linear rise to the peak, then a linear fall to almost nothing.

    Args:
        peak: the highest learning rate.
        total_steps: steps of the whole training.
        warmup: part of the steps in which the rate rises, in (0, 1).
        start: first rate, as a part of the peak.
        end: last rate, as a part of the peak.

    Reference: Smith and Topin, "Super-convergence", https://arxiv.org/abs/1708.07120.
    """

    def __init__(self, peak, total_steps, warmup=0.25, start=0.1, end=0.002):
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
