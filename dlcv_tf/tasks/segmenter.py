"""`Segmenter`: what every pixel of a picture shows."""

import keras
import tensorflow as tf

from dlcv_tf import metrics
from dlcv_tf.errors import InputError
from dlcv_tf.losses import segmentation
from dlcv_tf.ops import images as image_ops
from dlcv_tf.tasks.picture_task import PictureTask

AUXILIARY_WEIGHT = 0.5  # of the loss of a second head, as torchvision has it
MOST_CLASSES = 255  # the numbers of a uint8 class map below `IGNORED`


@keras.saving.register_keras_serializable(package="dlcv_tf")
class Segmenter(PictureTask):
    """Semantic segmentation that trains with plain `compile` and `fit`.

    The logits may be of smaller maps than the network's input, where a network leaves the last
    steps of upsampling out. It is trained and answers at the size of the pictures: the logits are
    interpolated to it. So pictures larger than the network's input are judged pixel by pixel too.

    Args:
        network: functional model from preprocessed pictures to `{"logits": (batch, h, w,
            classes)}`, h and w those of the input divided by one whole number; perhaps with
            `auxiliary` logits, a training aid.
        preprocess: `data.Preprocess` layer, or its config.
        labels: class names, in the order of the class numbers.
        class_weights: of the cross-entropy, one for each class; see `losses.median_frequency`.
        dice_weight: what the dice loss, added to the cross-entropy, is multiplied by; 0 for none.

    Call arguments:
        images: (batch, height, width, channels) pictures of any size, uint8 or float [0, 255].
    """

    targets = "class_map"
    main_metric = "miou"

    def __init__(self, network, preprocess, labels, class_weights=None, dice_weight=0.0, **kwargs):
        if not dice_weight >= 0:
            raise InputError(f"got dice_weight={dice_weight}, expected 0 or more")
        if not isinstance(network, keras.Model):
            network = keras.saving.deserialize_keras_object(network)
        outputs = network.output if isinstance(network.output, dict) else {}
        parts = {"crossentropy": True, "auxiliary": "auxiliary" in outputs, "dice": dice_weight > 0}
        names = [name for name, is_there in parts.items() if is_there]
        super().__init__(network, preprocess, labels, names, **kwargs)
        self._check_network()
        self.dice_weight = dice_weight
        self.class_weights = None if class_weights is None else [float(w) for w in class_weights]
        if class_weights is not None and len(self.class_weights) != len(self.labels):
            raise InputError(
                f"got {len(class_weights)} class_weights for {len(self.labels)} labels"
            )
        self._miou = keras.metrics.MeanIoU(
            len(self.labels), ignore_class=segmentation.IGNORED, name="miou"
        )
        self.build((None, *self.preprocess.size, self.preprocess.channels))

    def _check_network(self) -> None:
        """Raises an InputError where the logits are not of the whole picture or of all labels."""
        logits = getattr(self.network.output, "get", lambda _: None)("logits")
        if logits is None or len(logits.shape) != 4 or logits.shape[-1] != len(self.labels):
            raise InputError(
                f"got {len(self.labels)} labels for a network with outputs "
                f"{self.network.output_shape}, expected 'logits' of one score per label and pixel"
            )
        if len(self.labels) > MOST_CLASSES:
            raise InputError(
                f"got {len(self.labels)} labels, expected at most {MOST_CLASSES}: class maps are "
                f"uint8, and {segmentation.IGNORED} stands for no class"
            )
        size, maps = self.preprocess.size, logits.shape[1:3]
        sides = list(zip(size, maps, strict=True))
        if any(side % n or side // n != size[0] // maps[0] for side, n in sides):
            raise InputError(
                f"got logits of {maps[0]}x{maps[1]} for pictures of {size[0]}x{size[1]}, expected "
                "the same size, or a whole part of it in both directions: a network whose logits "
                'are of the middle of the picture only needs padding="mirror" or "same"'
            )

    def loss_parts(self, outputs, targets, image_size, training):
        """As `PictureTask.loss_parts`, judged at the size of the class maps.

        Values that are neither a class nor 255 make the loss NaN, so that a training stops; `data`
        refuses them earlier, by file name.
        """
        logits = _resized(outputs["logits"], tf.shape(targets)[1:3])
        options = {"class_weights": self.class_weights}
        parts = {"crossentropy": segmentation.pixel_crossentropy(targets, logits, **options)}
        if "auxiliary" in outputs:
            aid = _resized(outputs["auxiliary"], tf.shape(targets)[1:3])
            parts["auxiliary"] = AUXILIARY_WEIGHT * segmentation.pixel_crossentropy(
                targets, aid, **options
            )
        if self.dice_weight:
            parts["dice"] = self.dice_weight * segmentation.dice_loss(targets, logits)
        return parts

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        found = _classes(_resized(y_pred["logits"], tf.shape(y)[1:3]))
        is_class = (y >= 0) & (y < len(self.labels))
        self._miou.update_state(tf.where(is_class, y, segmentation.IGNORED), found)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def decode(self, outputs, image_size=None):
        """Turns raw outputs into class maps.

        Args:
            outputs: as returned by a call.
            image_size: (height, width) of the original pictures, int32 (2,), or (batch, 2) where
                all rows must be alike: a class map has one size. The network's by default.

        Returns:
            `class_map` (batch, height, width) uint8: the likeliest class of each pixel, by logits
            that are interpolated (antialiased bilinear) to the size of the pictures.
        """
        size = tf.convert_to_tensor(self.preprocess.size if image_size is None else image_size)
        if size.shape.rank == 2:
            if tf.executing_eagerly() and tf.reduce_any(size != size[:1]):
                raise InputError(
                    f"got pictures of sizes {size.numpy().tolist()}, expected one size in a batch: "
                    "answer them one by one"
                )
            size = size[0]
        return {"class_map": tf.cast(_classes(_resized(outputs["logits"], size)), tf.uint8)}

    def answer_signature(self):
        return {"class_map": {"dtype": "uint8", "shape": [None, None, None]}}

    def new_metric(self):
        return metrics.SegmentationMetric(len(self.labels), labels=self.labels)

    def get_config(self):
        return super().get_config() | {
            "class_weights": self.class_weights,
            "dice_weight": self.dice_weight,
        }


def _resized(logits: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    return image_ops.resize(tf.cast(logits, tf.float32), tf.unstack(size, 2))


def _classes(logits: tf.Tensor) -> tf.Tensor:
    return tf.argmax(logits, axis=-1, output_type=tf.int32)
