"""`NeighbourVotes`: remembers examples, and answers with the votes of the nearest ones."""

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
        distances.check_kind(distance)
        distances.check_k(k, num_examples)
        self.num_examples = num_examples
        self.num_classes = num_classes
        self.k = k
        self.distance = distance

    def build(self, input_shape):
        features, count = int(np.prod(input_shape[1:])), self.num_examples
        fixed = {"initializer": "zeros", "trainable": False}
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
            InputError: wrong shapes, numbers that are not finite, no class of that number, or more
                examples than there are places.
        """
        examples = tf.cast(examples, self.variable_dtype)
        labels = np.asarray(labels)
        end = position + len(labels)
        features = self.examples.shape[0]
        if not len(labels) or tf.size(examples) != features * len(labels):
            raise InputError(
                f"got examples of shape {tuple(examples.shape)} with {len(labels)} labels, "
                f"expected a label for each example and {features} numbers in each"
            )
        if end > self.num_examples:
            raise InputError(
                f"got {end} examples or more for {self.num_examples} places, expected as many: "
                f"build the network with num_examples={end} or what the data set has"
            )
        check_labels(labels, self.num_classes)
        rows = tf.reshape(distances.check_finite(examples), (-1, features))
        _assign(self.examples, (0, position), (features, end), tf.transpose(rows))
        _assign(self.example_labels, (position,), (end,), labels)
        if self.distance == "l2":
            norms = tf.reduce_sum(tf.square(rows), axis=1)
            _assign(self.squared_norms, (position,), (end,), norms)

    def call(self, inputs):
        points = tf.reshape(tf.cast(inputs, self.compute_dtype), (-1, self.examples.shape[0]))
        distances.check_finite(points)
        examples = tf.convert_to_tensor(self.examples)
        norms = tf.convert_to_tensor(self.squared_norms) if self.distance == "l2" else None
        nearest, _ = distances.nearest_columns(points, examples, self.k, norms)  # (batch, k)
        labels = tf.gather(tf.convert_to_tensor(self.example_labels), nearest)
        return tf.reduce_mean(tf.one_hot(labels, self.num_classes, dtype=points.dtype), axis=1)

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
