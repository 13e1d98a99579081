"""`PictureTask`: what all tasks on pictures share."""

import keras
import tensorflow as tf

from dlcv_tf.data.preprocess import Preprocess
from dlcv_tf.train import asserts, kernels


class PictureTask(keras.Model):
    """A network, how its pictures are prepared, its losses, and how its outputs become answers.

    Called on pictures it preprocesses them inside and returns the network's raw outputs; `answer`
    decodes them too. Trains with plain `compile` and `fit`; `compile` needs an optimizer only.

    A task says in attributes what it is trained on: `targets` (an argument of `data.load`) and
    `main_metric` (the one of `measure` that counts); and it has `loss_parts`, `decode`,
    `new_metric` and `answer_signature`.

    Args:
        network: functional model from preprocessed pictures to a dict of raw outputs.
        preprocess: `data.Preprocess` layer, or its config.
        labels: class names, in the order of the class numbers.
        loss_names: the keys of `loss_parts`, which `fit` and `evaluate` report one by one.

    Call arguments:
        images: (batch, height, width, channels) pictures of any size, uint8 or float [0, 255].
    """

    targets = "labels"
    main_metric = "accuracy"

    def __init__(self, network, preprocess, labels, loss_names=(), **kwargs):
        super().__init__(**kwargs)
        if not isinstance(network, keras.Model):
            network = keras.saving.deserialize_keras_object(network)
        if not isinstance(preprocess, Preprocess):
            preprocess = keras.saving.deserialize_keras_object(preprocess)
        self.network = network
        self.preprocess = preprocess
        self.labels = [str(label) for label in labels]
        self._parts = {name: keras.metrics.Mean(name=name) for name in loss_names}

    def build(self, input_shape=None):
        self.built = True

    def call(self, images, training=None):
        return self.network(self.preprocess(images), training=training)

    def decode(self, outputs, image_size=None) -> dict[str, tf.Tensor]:
        """Turns raw outputs into answers.

        Args:
            outputs: as returned by a call.
            image_size: (height, width) of the original pictures, int32 (2,), or (batch, 2) where
                they differ; answers with places are in their pixels. The network's by default.
        """
        raise NotImplementedError

    def answer(self, images, image_size=None) -> dict[str, tf.Tensor]:
        """Returns the answers for (batch, height, width, channels) pictures; see `decode`.

        Args:
            images: the pictures.
            image_size: as for `decode`; that of the pictures by default.
        """
        outputs = self(images, training=False)
        with tf.name_scope("decode"):  # so that `dlcv benchmark` can tell its share of the time
            size = tf.shape(images)[1:3] if image_size is None else image_size
            return self.decode(outputs, size)

    def answer_signature(self) -> dict[str, dict]:
        """Returns name to `{"dtype": ..., "shape": [...]}` of all answers; None is any size."""
        raise NotImplementedError

    def loss_parts(self, outputs, targets, image_size, training) -> dict[str, tf.Tensor]:
        """Returns the losses whose sum is trained, scalars, by name.

        Args:
            outputs: as returned by a call.
            targets: a batch of what `data.load(..., targets=...)` gives, in pixels of the pictures.
            image_size: (height, width) of these pictures, int32 (2,).
            training: whether the network is being trained.
        """
        raise NotImplementedError

    def new_metric(self):
        """Returns a `metrics` object for answers: `update_state(targets, answers)`, `result()`.

        The result is a dict of floats, `main_metric` among them. Of the task only `labels` may be
        read: `dlcv evaluate` asks for the metric of an artifact, which has nothing else.
        """
        raise NotImplementedError

    @classmethod
    def measured_on(cls, answers) -> str:
        """Returns which `targets` answers of some names are measured on, those of an artifact."""
        return cls.targets

    def measure(self, batches) -> dict[str, float]:
        """Returns the task's metrics on answers, as a user gets them.

        The answer is traced once. It sees the weights as they are in each call; what else it
        depends on is in the config: after a change of that it is traced anew.

        Args:
            batches: data set of `(images, targets)`, batched.
        """
        metric = self.new_metric()
        config, answer = vars(self).get("_traced", (None, None))
        if config is None or config != self._known_config():
            answer = tf.function(self.answer, reduce_retracing=True)
        for images, targets in batches:
            metric.update_state(
                tf.nest.map_structure(lambda value: value.numpy(), targets),
                tf.nest.map_structure(lambda value: value.numpy(), answer(images)),
            )
        # A first call builds layers, and then the config says so. An attribute would be saved.
        vars(self)["_traced"] = (self._known_config(), answer)
        return metric.result()

    def _known_config(self) -> dict | None:
        """Returns the config, or None where a layer, a user's own, does not have one."""
        try:
            return self.get_config()
        except NotImplementedError:
            return None

    def fit(self, *arguments, **options):
        """Trains as `keras.Model.fit` does.

        Raises:
            InputError: objects that cannot be learnt, see `methods.objects`.
        """
        with asserts.explained():
            return super().fit(*arguments, **options)

    def evaluate(self, *arguments, **options):
        """Returns the losses as `keras.Model.evaluate` does.

        Raises:
            InputError: as `fit`.
        """
        with asserts.explained():
            return super().evaluate(*arguments, **options)

    def compile_from_config(self, config):
        """Compiles a loaded task as the saved one was; Keras asks for it beside `compile`."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def train_step(self, data):
        with kernels.fused(self):  # here, so that plain `fit` has them too
            return super().train_step(data)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        parts = self.loss_parts(y_pred, y, tf.shape(x)[1:3], training)
        for name, value in parts.items():
            self._parts[name].update_state(value)
        return tf.add_n([*parts.values(), *self.losses])

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return self.get_metrics_result()

    def get_config(self):
        return super().get_config() | {
            "network": keras.saving.serialize_keras_object(self.network),
            "preprocess": keras.saving.serialize_keras_object(self.preprocess),
            "labels": self.labels,
        }
