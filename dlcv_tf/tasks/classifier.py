"""`Classifier`: names what is in a picture."""

import keras
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.tasks.picture_task import PictureTask

TOP = 5  # answers name the five likeliest classes, or all where there are fewer


@keras.saving.register_keras_serializable(package="dlcv_tf")
class Classifier(PictureTask):
    """A picture classifier that trains with plain `compile` and `fit`.

    Called on pictures it preprocesses them inside and returns the network's raw outputs; `decode`
    turns those into answers. `compile` needs an optimizer only: the loss is softmax cross-entropy
    and the metric accuracy unless others are given; both see the logits.

    Args:
        network: functional model from preprocessed pictures to `{"logits": (batch, classes)}`.
        preprocess: `data.Preprocess` layer, or its config.
        labels: class names, in the order of the logits.
        test_time_flip: outside of training, return the mean of the logits of a picture and of its
            mirror image: about half a point of accuracy for twice the work, where left and right
            make no difference.

    Call arguments:
        images: (batch, height, width, channels) pictures of any size, uint8 or float [0, 255].

    Example:
        >>> from dlcv_tf import data, models
        >>> network = models.linear((8, 8, 1), 10)
        >>> task = Classifier(network, data.Preprocess((8, 8), channels=1), list("0123456789"))
        >>> task.compile("adam")
    """

    def __init__(self, network, preprocess, labels, test_time_flip=False, **kwargs):
        super().__init__(network, preprocess, labels, **kwargs)
        self.test_time_flip = test_time_flip
        logits_shape = getattr(self.network.output, "get", lambda _: None)("logits")
        if logits_shape is None or logits_shape.shape[-1] != len(self.labels):
            raise InputError(
                f"got {len(self.labels)} labels for a network with outputs "
                f"{self.network.output_shape}, expected 'logits' of one score per label"
            )
        if test_time_flip and self.preprocess.how != "channel":
            raise InputError(
                f"got test_time_flip with preprocessing by {self.preprocess.how!r}, "
                "a mirrored picture would not be normalised as the network is used to"
            )
        self.build((None, *self.preprocess.size, self.preprocess.channels))

    def call(self, images, training=None):
        inputs = self.preprocess(images)
        if training or not self.test_time_flip:
            return self.network(inputs, training=training)
        both = tf.concat([inputs, inputs[:, :, ::-1]], axis=0)  # one call: one copy of the weights
        outputs = self.network(both, training=training)
        return {name: tf.add(*tf.split(values, 2)) / 2 for name, values in outputs.items()}

    @property
    def num_answers(self) -> int:
        """Number of classes in an answer: five, or all where there are fewer."""
        return min(TOP, len(self.labels))

    def decode(self, outputs, image_size=None) -> dict[str, tf.Tensor]:
        """Turns raw outputs into answers.

        Args:
            outputs: `{"logits": (batch, classes)}` as returned by a call.
            image_size: makes no difference here.

        Returns:
            `probabilities` (batch, classes) float32 that sum to one; `classes`
            (batch, num_answers) int32 and `scores` (batch, num_answers) float32: the
            `num_answers` likeliest, best first.
        """
        probabilities = tf.nn.softmax(tf.cast(outputs["logits"], tf.float32))
        scores, classes = tf.math.top_k(probabilities, k=self.num_answers)
        return {"probabilities": probabilities, "classes": classes, "scores": scores}

    def answer_signature(self):
        top = self.num_answers
        return {
            "probabilities": {"dtype": "float32", "shape": [None, len(self.labels)]},
            "classes": {"dtype": "int32", "shape": [None, top]},
            "scores": {"dtype": "float32", "shape": [None, top]},
        }

    def compile(self, optimizer="rmsprop", loss=None, metrics=None, **kwargs):
        """As `keras.Model.compile`; the loss and metrics see logits and class numbers."""
        if loss is None:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        if metrics is None:
            metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.Model.compute_loss(self, x, y, y_pred["logits"], sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return keras.Model.compute_metrics(self, x, y, y_pred["logits"], sample_weight)

    def get_config(self):
        return super().get_config() | {"test_time_flip": self.test_time_flip}
