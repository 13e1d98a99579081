"""Examples in memory, from a data set or from arrays, for experiments that read them many times."""

import dataclasses
import itertools

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class Sample:
    """Some examples.

    Args:
        inputs: (n, ...) as the model takes them.
        labels: (n,) class numbers, or (n, classes) one-hot.
    """

    inputs: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, places) -> "Sample":
        """Returns some of the examples, by a slice or an array of their places."""
        return Sample(self.inputs[places], self.labels[places])

    def batches(self, size: int, count: int, seed: int) -> list["Sample"]:
        """Returns shuffled batches of one size, pass after pass where there are too few examples.

        Args:
            size: examples in a batch; all of them where there are fewer.
            count: number of batches.
            seed: of the order.
        """
        random = np.random.default_rng(seed)
        size = min(size, len(self))

        def passes():
            while True:
                order = random.permutation(len(self))
                yield from (order[i : i + size] for i in range(0, len(self) - size + 1, size))

        return [self[places] for places in itertools.islice(passes(), count)]


def take(model: keras.Model, data, count: int, seed: int = 0) -> Sample:
    """Takes examples from all over a data set, in a random order.

    Args:
        model: the model they are for: its inputs tell whether the data set is batched.
        data: `tf.data.Dataset` of `(inputs, labels)`, in batches or one by one, or a pair of
            arrays.
        count: how many at most.
        seed: of the order.

    Raises:
        InputError: not that, or empty.
    """
    if isinstance(data, tuple | list) and len(data) == 2:
        inputs, labels = map(np.asarray, data)
        if len(inputs) != len(labels):
            raise InputError(f"got {len(inputs)} inputs and {len(labels)} labels, expected as many")
        data = tf.data.Dataset.from_tensor_slices((inputs, labels))
    elif not isinstance(data, tf.data.Dataset):
        raise InputError(
            f"got data of type {type(data).__name__}, expected a tf.data.Dataset of "
            "(inputs, labels) or a pair of arrays"
        )
    else:
        data = _single_examples(model, data)
    # From all over: the classes of a set that is sorted by them are then all there.
    total = int(data.cardinality())
    apart = max(1, total // count) if total > 0 else 1
    found = next(iter(data.shard(apart, 0).batch(count)), None)
    if found is None:
        raise InputError("got an empty data set, expected at least one example")
    order = np.random.default_rng(seed).permutation(len(found[0]))
    return Sample(*(np.asarray(part)[order] for part in found))


def _single_examples(model: keras.Model, data: tf.data.Dataset) -> tf.data.Dataset:
    """Returns a data set that has one example at a time."""
    spec = data.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2 or len(tf.nest.flatten(spec)) != 2:
        raise InputError(
            f"got a data set of {spec}, expected (inputs, labels), one tensor each: map it to that"
        )
    shape = input_shape(model)
    return data.unbatch() if shape and spec[0].shape.rank == len(shape) else data


def input_shape(model: keras.Model) -> tuple[int | None, ...] | None:
    """Returns the shape of a model's input, that of the batch included, or None if it is open."""
    if getattr(model, "inputs", None):
        return tuple(model.inputs[0].shape)
    return (model.get_build_config() or {}).get("input_shape")
