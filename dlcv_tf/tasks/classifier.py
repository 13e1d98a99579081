"""`Classifier`: names what is in a picture."""

import keras
import tensorflow as tf

from dlcv_tf.data.preprocess import Preprocess
from dlcv_tf.errors import InputError
from dlcv_tf.train import kernels

TOP = 5  # answers name the five likeliest classes, or all where there are fewer


@keras.saving.register_keras_serializable(package="dlcv_tf")
class Classifier(keras.Model):
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
        super().__init__(**kwargs)
        if not isinstance(network, keras.Model):
            network = keras.saving.deserialize_keras_object(network)
        if not isinstance(preprocess, Preprocess):
            preprocess = keras.saving.deserialize_keras_object(preprocess)
        self.network = network
        self.preprocess = preprocess
        self.labels = [str(label) for label in labels]
        self.test_time_flip = test_time_flip
        logits_shape = getattr(network.output, "get", lambda _: None)("logits")
        if logits_shape is None or logits_shape.shape[-1] != len(self.labels):
            raise InputError(
                f"got {len(self.labels)} labels for a network with outputs "
                f"{network.output_shape}, expected 'logits' of one score per label"
            )
        if test_time_flip and preprocess.how != "channel":
            raise InputError(
                f"got test_time_flip with preprocessing by {preprocess.how!r}, expected 'channel': "
                "a mirrored picture would not be normalised as the network is used to"
            )
        self.build((None, *preprocess.size, preprocess.channels))

    def build(self, input_shape):
        self.built = True

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

    def decode(self, outputs) -> dict[str, tf.Tensor]:
        """Turns raw outputs into answers.

        Args:
            outputs: `{"logits": (batch, classes)}` as returned by a call.

        Returns:
            `probabilities` (batch, classes) float32 that sum to one; `classes`
            (batch, num_answers) int32 and `scores` (batch, num_answers) float32: the
            `num_answers` likeliest, best first.
        """
        probabilities = tf.nn.softmax(tf.cast(outputs["logits"], tf.float32))
        scores, classes = tf.math.top_k(probabilities, k=self.num_answers)
        return {"probabilities": probabilities, "classes": classes, "scores": scores}

    def answer(self, images) -> dict[str, tf.Tensor]:
        """Returns the answers for (batch, height, width, channels) pictures; see `decode`."""
        return self.decode(self(images, training=False))

    def compile(self, optimizer="rmsprop", loss=None, metrics=None, **kwargs):
        """As `keras.Model.compile`; the loss and metrics see logits and class numbers."""
        if loss is None:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        if metrics is None:
            metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)

    def compile_from_config(self, config):
        """Compiles a loaded task as the saved one was; Keras asks for it beside `compile`."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def train_step(self, data):
        with kernels.fused(self):  # here, so that plain `fit` has them too
            return super().train_step(data)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return super().compute_loss(x, y, y_pred["logits"], sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, y, y_pred["logits"], sample_weight)

    def get_config(self):
        return super().get_config() | {
            "network": keras.saving.serialize_keras_object(self.network),
            "preprocess": keras.saving.serialize_keras_object(self.preprocess),
            "labels": self.labels,
            "test_time_flip": self.test_time_flip,
        }
