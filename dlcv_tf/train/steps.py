"""How training steps are carried out: one compiled function that takes one or many of them."""

import contextlib
import dataclasses
import os
from collections.abc import Callable

import keras
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.train import distribute, kernels, split


@dataclasses.dataclass(frozen=True)
class Variant:
    """A way to carry out a training step; all give the same numbers, to rounding.

    Args:
        parts: parts of the batch that run side by side, see `split`; 1 for the whole batch.
        threads: threads inside one operation; None for all cores.
        xla: compile the step with XLA.
        steps_per_call: training steps in one call of the graph; callbacks are called once for all
            of them, as with Keras's `steps_per_execution`.
    """

    parts: int = 1
    threads: int | None = None
    xla: bool = False
    steps_per_call: int = 1

    def __post_init__(self):
        for name in ("parts", "steps_per_call", "threads"):
            value = getattr(self, name)
            if not (name == "threads" and value is None) and not (
                isinstance(value, int) and value > 0
            ):
                raise InputError(f"got {name}={value!r} for a variant, expected 1 or more")

    def __str__(self):
        cores = {None: "all cores", 1: "one core"}.get(self.threads, f"{self.threads} cores")
        ways = [f"batch in {self.parts} parts" if self.parts > 1 else "whole batch"]
        return ", ".join([*ways, f"{cores} per operation", *(["XLA"] if self.xla else [])])

    def use_threads(self) -> None:
        """Sets TensorFlow's thread counts, for this process and before its first operation.

        Raises:
            InputError: TensorFlow has run something already, with other thread counts.
        """
        if self.threads is None:
            return
        try:
            tf.config.threading.set_intra_op_parallelism_threads(self.threads)
            tf.config.threading.set_inter_op_parallelism_threads(os.cpu_count())
        except RuntimeError as error:
            raise InputError(
                f"got a process in which TensorFlow runs already, expected a new one to train with "
                f"{self}: use dlcv train"
            ) from error


DEFAULT = Variant()


def make_variables(model: keras.Model, element_spec) -> None:
    """Makes every variable of a compiled model, also those that Keras makes in the first step only.

    A checkpoint needs all of them before that step; Keras has no public call for the metrics' ones.

    Args:
        model: compiled model.
        element_spec: of the batches.

    Raises:
        InputError: the model was made under a strategy that cannot train it so.
    """
    distribute.check(model, element_spec[0].shape[0])
    with model.distribute_strategy.scope():
        zeros = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), element_spec)
        model._symbolic_build(data_batch=zeros)
        model.optimizer.build(model.trainable_variables)


def compiled(model: keras.Model, element_spec, variant: Variant) -> Callable:
    """Returns a function that takes training steps, as one traced graph.

    Args:
        model: compiled and built model.
        element_spec: of the batches.
        variant: how.

    Returns:
        Function of an iterator over batches and a number of steps (int32 tensor). It returns the
        logs of the last step, and how many of the steps came before the first whose loss was not
        finite: all of them where there was none.
    """

    @tf.function(input_signature=[element_spec], autograph=False, jit_compile=variant.xla or None)
    def step(batch):
        with contextlib.ExitStack() as stack:
            stack.enter_context(distribute.synchronized(model))
            stack.enter_context(kernels.fused(model))
            if variant.parts > 1:
                stack.enter_context(split.batch(model, variant.parts))
            return distribute.train_step(model, batch)

    one_step = step.get_concrete_function()
    names = sorted(one_step.structured_outputs)

    @tf.function(autograph=False, reduce_retracing=True)
    def take_steps(iterator, count):
        def body(number, good, _):
            logs = one_step(next(iterator))
            is_good = tf.math.is_finite(logs["loss"]) & tf.equal(good, number)
            values = [tf.cast(logs[name], tf.float32) for name in names]
            return number + 1, good + tf.cast(is_good, tf.int32), values

        none = [tf.constant(0.0)] * len(names)
        start = (tf.constant(0), tf.constant(0), none)
        _, good, values = tf.while_loop(lambda number, *_: number < count, body, start)
        return dict(zip(names, values, strict=True)), good

    return take_steps
