"""`Localizer`: what the one thing in a picture is, and the box around it."""

import keras
import tensorflow as tf

from dlcv_tf import metrics
from dlcv_tf.errors import InputError, unknown
from dlcv_tf.losses import keypoints
from dlcv_tf.tasks.classifier import TOP
from dlcv_tf.tasks.picture_task import PictureTask

BACKBONE = "backbone"
BOX_LOSSES = ("squares", "smooth_l1")


@keras.saving.register_keras_serializable(package="dlcv_tf")
class Localizer(PictureTask):
    """Classification and localisation with plain `compile` and `fit`: two heads, two losses.

    The loss is cross-entropy + box_weight * box loss. The weight changes what the loss means, so
    losses under two weights cannot be compared: choose it by accuracy and IoU.

    Training is joint, or first of the heads alone, on a backbone that is kept as it is (`freeze`),
    and then of everything (`unfreeze`); compile again after each.

    Args:
        network: functional model to `{"logits": (batch, classes), "box": (batch, 4)}`, the box
            x1, y1, x2, y2 in parts of the picture's sides.
        preprocess: `data.Preprocess` layer, or its config.
        labels: class names, in the order of the logits.
        box_weight: weight of the box's loss beside that of the class, 0 or more.
        box_loss: "squares" (L2: the sum of the four squared errors), or "smooth_l1", a line from
            an error of a tenth of the side on.

    Call arguments:
        images: (batch, height, width, channels) pictures of any size, uint8 or float [0, 255].
    """

    targets = "object"
    main_metric = "localized"

    def __init__(self, network, preprocess, labels, box_weight=1.0, box_loss="squares", **kwargs):
        super().__init__(network, preprocess, labels, ("class_loss", "box_loss"), **kwargs)
        shapes = {name: tuple(value.shape) for name, value in self.network.output.items()}
        if shapes != {"logits": (None, len(self.labels)), "box": (None, 4)}:
            raise InputError(
                f"got {len(self.labels)} labels for a network with outputs {shapes}, expected "
                "'logits' of one score per label and 'box' of four numbers"
            )
        if not 0 <= box_weight < float("inf"):
            raise InputError(f"got box_weight={box_weight}, expected 0 or more")
        if box_loss not in BOX_LOSSES:
            raise unknown("loss of boxes", box_loss, BOX_LOSSES)
        self.box_weight = float(box_weight)
        self.box_loss = box_loss
        self.build((None, *self.preprocess.size, self.preprocess.channels))

    def freeze(self) -> None:
        """Keeps the backbone as it is in training: its weights, and its batch-norm statistics."""
        self._backbone().trainable = False

    def unfreeze(self) -> None:
        """Trains the backbone again."""
        self._backbone().trainable = True

    def _backbone(self):
        names = [layer.name for layer in self.network.layers]
        if BACKBONE not in names:
            raise InputError(
                f"got a network with the layers {names}, expected one named {BACKBONE!r} to freeze"
            )
        return self.network.get_layer(BACKBONE)

    def loss_parts(self, outputs, targets, image_size, training):
        logits = outputs["logits"]
        of_class = keras.losses.sparse_categorical_crossentropy(
            targets["class"], logits, from_logits=True
        )
        box = targets["box"] / _sides(image_size)
        of_box = keypoints.distances(box, outputs["box"], self.box_loss)
        return {
            "class_loss": tf.reduce_mean(of_class),
            "box_loss": self.box_weight * tf.reduce_mean(of_box),
        }

    def decode(self, outputs, image_size=None):
        """Turns raw outputs into answers.

        Args:
            outputs: as returned by a call.
            image_size: as for `PictureTask.decode`.

        Returns:
            `probabilities` (batch, classes) float32; `classes` int32 and `scores` float32
            (batch, five or fewer), the likeliest, best first; `box` (batch, 4) float32, x1, y1, x2,
            y2 in pixels of the original picture and inside it.
        """
        probabilities = tf.nn.softmax(tf.cast(outputs["logits"], tf.float32))
        scores, classes = tf.math.top_k(probabilities, k=min(TOP, len(self.labels)))
        box = tf.clip_by_value(tf.cast(outputs["box"], tf.float32), 0.0, 1.0)
        low, high = tf.minimum(box[:, :2], box[:, 2:]), tf.maximum(box[:, :2], box[:, 2:])
        size = self.preprocess.size if image_size is None else image_size
        box = tf.concat([low, high], axis=-1) * _sides(size)
        return {"probabilities": probabilities, "classes": classes, "scores": scores, "box": box}

    def answer_signature(self):
        top = min(TOP, len(self.labels))
        return {
            "probabilities": {"dtype": "float32", "shape": [None, len(self.labels)]},
            "classes": {"dtype": "int32", "shape": [None, top]},
            "scores": {"dtype": "float32", "shape": [None, top]},
            "box": {"dtype": "float32", "shape": [None, 4]},
        }

    def new_metric(self):
        return metrics.LocalizationMetric()

    def get_config(self):
        return super().get_config() | {"box_weight": self.box_weight, "box_loss": self.box_loss}


def _sides(size) -> tf.Tensor:
    """Returns (height, width), (2,) or (batch, 2), as (width, height, width, height)."""
    sides = tf.reverse(tf.cast(size, tf.float32), [-1])
    return tf.concat([sides, sides], axis=-1)
