"""The sliding window's way: every window a class or background, and its box is the answer."""

import keras
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops import matching
from dlcv_tf.tasks.methods.method import Method
from dlcv_tf.tasks.methods.objects import objects


@keras.saving.register_keras_serializable(package="dlcv_tf")
class SlidingWindow(Method):
    """Training and reading of `models.sliding_window`.

    A window that overlaps an object enough, or most of all, shows it. Nearly all others show
    background: those that look least like it take part, a few for each that shows an object.

    Args:
        positive: least overlap of a window that shows an object.
        negative: overlap below which it shows background; between the two it takes no part.
        negatives_per_positive: windows with background for each one with an object, in a batch.
    """

    loss_names = ("class_loss",)

    def __init__(
        self, positive: float = 0.6, negative: float = 0.4, negatives_per_positive: float = 3.0
    ):
        if not 0 <= negative <= positive <= 1 or negatives_per_positive <= 0:
            raise InputError(
                f"got negative={negative}, positive={positive} and negatives_per_positive="
                f"{negatives_per_positive}, expected 0 <= negative <= positive <= 1, and above 0"
            )
        self.positive = positive
        self.negative = negative
        self.negatives_per_positive = negatives_per_positive

    def losses(self, network, outputs, targets, size, training):
        things = objects(targets)
        numbers = matching.assign(
            outputs["boxes"],
            things.boxes,
            things.valid,
            things.ignored,
            positive=self.positive,
            negative=self.negative,
        )
        classes = tf.gather(things.classes, tf.maximum(numbers, 0), batch_dims=1) + 1
        labels = tf.where(numbers >= 0, classes, 0)
        logits = tf.cast(outputs["logits"], tf.float32)
        errors = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        positive = tf.cast(numbers >= 0, tf.float32)
        count = tf.maximum(tf.reduce_sum(positive), 1)
        # The hardest of the whole batch: a picture without objects has some too.
        background = tf.reshape(tf.where(numbers == matching.NEGATIVE, errors, 0), [-1])
        wanted = tf.minimum(
            tf.cast(count * self.negatives_per_positive, tf.int32), tf.size(background)
        )
        hardest = tf.math.top_k(background, wanted).values
        return {"class_loss": (tf.reduce_sum(positive * errors) + tf.reduce_sum(hardest)) / count}

    def candidates(self, network, outputs, size):
        scores = tf.nn.softmax(tf.cast(outputs["logits"], tf.float32))[..., 1:]
        return tf.cast(outputs["boxes"], tf.float32), scores

    def get_config(self):
        names = ("positive", "negative", "negatives_per_positive")
        return {name: getattr(self, name) for name in names}
