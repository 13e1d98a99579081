"""Conditions on data that are checked in every step, in a graph too, and end as `InputError`."""

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

from dlcv_tf.errors import InputError

HOLE = "{}"


def require(condition, then, message: str, *values) -> tf.Tensor:
    """Stops a step unless a condition holds.

    In a graph the step ends with TensorFlow's `InvalidArgumentError`, which `explained` makes an
    `InputError`. Under XLA nothing is looked at: it knows no such stop.

    Args:
        condition: bool tensor without axes.
        then: a tensor that is to be had only if it holds, so that nothing that follows from it,
            as an update of weights, is done before.
        message: what was got and expected, and how to mend it; begins with "got". Each `{}` stands
            for one of the values. No other brackets.
        values: tensors of at most one axis.

    Returns:
        The tensor.

    Raises:
        InputError: called eagerly, where the condition does not hold.
    """
    texts = message.split(HOLE)
    parts = [part for pair in zip(texts, values, strict=False) for part in pair] + texts[-1:]
    if not tf.executing_eagerly():
        with tf.control_dependencies([tf.debugging.Assert(condition, parts, summarize=16)]):
            return tf.identity(then)
    if not condition:
        shown = [part if isinstance(part, str) else _shown(part) for part in parts]
        raise InputError("".join(shown))
    return then


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Raises an `InputError` where a step inside this context was stopped by `require`."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        # TensorFlow writes each part in brackets, and all of them in one line.
        stopped = re.search(r"assertion failed: (\[got .*\])", str(error))
        if not stopped:
            raise
        raise InputError("".join(re.findall(r"\[([^\]]*)\]", stopped[1]))) from error


def _shown(value) -> str:
    """Returns a tensor as TensorFlow writes it in an assertion: `1 2.5 nan`."""
    return " ".join(f"{number:g}" for number in tf.reshape(value, [-1]).numpy())
