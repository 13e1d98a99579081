"""`NeighbourVotes`: remembers examples, and answers with the votes of the nearest ones."""

import math

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops import distances


@keras.saving.register_keras_serializable(package="dlcv_tf")
class NeighbourVotes(keras.layers.Layer):
    """Fractions of the k nearest remembered examples that have each class.

    Nothing is trained: the examples and their labels are weights, which `remember` fills. An answer
    costs time in proportion to their number. Of examples at equal distance the one remembered first
    counts as nearer; a place that holds no example yet votes for no class.

    L2 is compared as 2 x.y - |y|^2, one matrix product that every export format has. Rounding is
    in proportion to |x|^2 + |y|^2: keep the mean near zero, as `data.Preprocess` does, for examples
    r away from zero are told apart down to some r * sqrt(eps) only (eps 1e-7 in float32).
    `ops.distances.nearest` has no such limit. Distances are computed in the type of the variables,
    under mixed precision in float32; only the votes are float16 then.

    Args:
        num_examples: how many examples there is room for.
        num_classes: number of classes.
        k: number of neighbours that vote.
        distance: `"l1"` or `"l2"`, see `ops.distances`.

    Input shape: (batch, ...), as the remembered examples.
    Output shape: (batch, num_classes), fractions that sum to one.
    """

    def __init__(self, num_examples, num_classes, k=1, distance="l2", **kwargs):
        super().__init__(**kwargs)
        self.autocast = False  # squares of float16 overflow
        distances.check_kind(distance)
        distances.check_k(k, num_examples)
        self.num_examples = num_examples
        self.num_classes = num_classes
        self.k = k
        self.distance = distance

    def build(self, input_shape):
        features, count = int(np.prod(input_shape[1:])), self.num_examples
        fixed = {"initializer": "zeros", "trainable": False, "autocast": False}
        # A column for each example: what both distances run over is then contiguous.
        self.examples = self.add_weight((features, count), name="examples", **fixed)
        if self.distance == "l2":
            self.squared_norms = self.add_weight((count,), name="squared_norms", **fixed)
        fixed |= {"initializer": keras.initializers.Constant(-1), "dtype": "int32"}  # no class
        self.example_labels = self.add_weight((count,), name="example_labels", **fixed)

    def remember(self, examples, labels, position: int = 0) -> None:
        """Puts examples into consecutive places.

        Args:
            examples: (n, ...) as the layer's input.
            labels: (n,) class numbers.
            position: of the first one, from 0.

        Raises:
            InputError: wrong shapes, numbers that are not finite, no class of that number, a
                position below 0, or more examples than there are places.
        """
        examples = tf.cast(examples, self.variable_dtype)
        labels = np.asarray(labels)
        check_labels(labels, self.num_classes)
        if position < 0:
            raise InputError(f"got position={position}, expected 0 or more: places count from 0")
        end = position + len(labels)
        features, shape = self.examples.shape[0], tuple(examples.shape)
        if not len(labels) or shape[:1] != labels.shape or math.prod(shape[1:]) != features:
            raise InputError(
                f"got examples of shape {shape} with {len(labels)} labels, "
                f"expected a label for each example and {features} numbers in each"
            )
        if end > self.num_examples:
            raise InputError(
                f"got {end} examples or more for {self.num_examples} places, expected as many: "
                f"build the network with num_examples={end} or what the data set has"
            )
        rows = tf.reshape(distances.check_finite(examples), (-1, features))
        _assign(self.examples, (0, position), (features, end), tf.transpose(rows))
        _assign(self.example_labels, (position,), (end,), labels)
        if self.distance == "l2":
            norms = tf.reduce_sum(tf.square(rows), axis=1)
            _assign(self.squared_norms, (position,), (end,), norms)

    def call(self, inputs):
        features, shape = self.examples.shape[0], tuple(inputs.shape)
        if None not in shape[1:] and math.prod(shape[1:]) != features:
            raise InputError(
                f"got inputs of shape {shape}, expected {features} numbers in each, as in the "
                "examples: bring pictures to the size that the layer was built for"
            )
        points = tf.reshape(tf.cast(inputs, self.variable_dtype), (-1, features))
        distances.check_finite(points)
        examples = tf.convert_to_tensor(self.examples)
        norms = tf.convert_to_tensor(self.squared_norms) if self.distance == "l2" else None
        nearest, _ = distances.nearest_columns(points, examples, self.k, norms)  # (batch, k)
        labels = tf.gather(tf.convert_to_tensor(self.example_labels), nearest)
        votes = tf.one_hot(labels, self.num_classes, dtype=points.dtype)
        return tf.cast(tf.reduce_mean(votes, axis=1), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.num_classes)

    def get_config(self):
        return super().get_config() | {
            "num_examples": self.num_examples,
            "num_classes": self.num_classes,
            "k": self.k,
            "distance": self.distance,
        }


def _assign(variable, begin, end, values) -> None:
    """Assigns to a part of a variable in place; `variable[part].assign` would copy all of it."""
    handle = variable.value.handle
    values = tf.cast(values, variable.dtype)
    tf.raw_ops.ResourceStridedSliceAssign(
        ref=handle, begin=begin, end=end, strides=[1] * len(begin), value=values
    )
    tf.raw_ops.DisableCopyOnRead(resource=handle)  # that op makes every later reading a copy


def check_labels(labels: np.ndarray, num_classes: int) -> None:
    """Raises InputError unless labels are whole numbers of classes."""
    labels = np.asarray(labels)
    is_number = labels.dtype.kind in "iuf"
    if labels.ndim != 1 or not is_number or (labels != np.floor(labels)).any():
        raise InputError(
            f"got labels of shape {labels.shape} and type {labels.dtype}, expected (n,) class "
            "numbers: take the argmax of one-hot labels"
        )
    wrong = labels[(labels < 0) | (labels >= num_classes)]
    if len(wrong):
        raise InputError(
            f"got the label {wrong[0]}, expected 0 to {num_classes - 1}: number the classes from 0"
        )
