"""`Detector`: where things are in a picture, as boxes, and what they are."""

import keras
import tensorflow as tf

from dlcv_tf import metrics
from dlcv_tf.errors import InputError
from dlcv_tf.ops import boxes as box_ops
from dlcv_tf.ops import nms
from dlcv_tf.tasks.methods.method import Method
from dlcv_tf.tasks.picture_task import PictureTask

CANDIDATES = 1000  # boxes, with their best classes, that are compared with each other


@keras.saving.register_keras_serializable(package="dlcv_tf")
class Detector(PictureTask):
    """A detector that trains with plain `compile` and `fit`, whatever its network.

    Args:
        network: functional model from preprocessed pictures to the raw outputs of its `method`.
        preprocess: `data.Preprocess` layer, or its config.
        labels: class names, without a background.
        method: how this kind of network is trained and read, of `tasks.methods`.
        score_threshold: a detection has a larger score.
        iou_threshold: the lesser of two boxes of one class that overlap more is suppressed.
        max_detections: number of boxes in an answer; fewer are filled up with zeros.

    Call arguments:
        images: (batch, height, width, channels) pictures of any size, uint8 or float [0, 255].
    """

    targets = "boxes"
    main_metric = "map50"

    def __init__(
        self,
        network,
        preprocess,
        labels,
        method,
        score_threshold=0.05,
        iou_threshold=0.5,
        max_detections=100,
        **kwargs,
    ):
        if not isinstance(method, Method):
            method = keras.saving.deserialize_keras_object(method)
        super().__init__(network, preprocess, labels, method.loss_names, **kwargs)
        for name, value in (("score_threshold", score_threshold), ("iou_threshold", iou_threshold)):
            if not 0 <= value <= 1:
                raise InputError(f"got {name}={value}, expected 0 to 1")
        if max_detections < 1:
            raise InputError(f"got max_detections={max_detections}, expected 1 or more")
        self.method = method
        self.score_threshold = score_threshold
        self.iou_threshold = iou_threshold
        self.max_detections = max_detections
        self.build((None, *self.preprocess.size, self.preprocess.channels))

    def loss_parts(self, outputs, targets, image_size, training):
        scaled = dict(targets)
        scaled["boxes"] = targets["boxes"] * self._scale(image_size, self.preprocess.size)
        size = self.preprocess.size
        return self.method.losses(self.network, outputs, scaled, size, training)

    def decode(self, outputs, image_size=None):
        """Turns raw outputs into boxes.

        Args:
            outputs: as returned by a call.
            image_size: as for `PictureTask.decode`.

        Returns:
            `boxes` (batch, max_detections, 4) float32, x1, y1, x2, y2 in pixels of the original
            picture and inside it; `scores` (batch, max_detections) float32, best first; `classes`
            (batch, max_detections) int32; `num_detections` (batch,) int32: what follows is zeros.
        """
        size = self.preprocess.size
        boxes, scores = self.method.candidates(self.network, outputs, size)
        boxes, scores, classes = nms.top_candidates(boxes, scores, CANDIDATES)
        boxes = box_ops.clip(boxes, size)
        scores = tf.where(box_ops.area(boxes) > 0, scores, 0.0)  # not outside of the picture
        indices, scores, count = nms.padded(
            boxes,
            scores,
            classes,
            max_boxes=self.max_detections,
            iou_threshold=self.iou_threshold,
            score_threshold=self.score_threshold,
        )
        is_found = tf.range(self.max_detections)[None, :] < count[:, None]
        boxes = tf.gather(boxes, indices, batch_dims=1)
        if image_size is not None:
            boxes *= self._scale(size, image_size)
        return {
            "boxes": tf.where(is_found[..., None], boxes, 0.0),
            "scores": scores,
            "classes": tf.where(is_found, tf.gather(classes, indices, batch_dims=1), 0),
            "num_detections": count,
        }

    def new_metric(self):
        return metrics.DetectionMetric(len(self.labels), self.labels)

    def answer_signature(self):
        most = self.max_detections
        return {
            "boxes": {"dtype": "float32", "shape": [None, most, 4]},
            "scores": {"dtype": "float32", "shape": [None, most]},
            "classes": {"dtype": "int32", "shape": [None, most]},
            "num_detections": {"dtype": "int32", "shape": [None]},
        }

    def _scale(self, from_size, to_size) -> tf.Tensor:
        """Returns what boxes (batch, n, 4) are multiplied by, from pictures of one size to other.

        Args:
            from_size: (height, width), ints or int32 tensor (2,) or (batch, 2).
            to_size: likewise.
        """
        from_size, to_size = (tf.cast(size, tf.float32) for size in (from_size, to_size))
        scale = tf.reverse(to_size / from_size, [-1])  # (width, height)
        return tf.expand_dims(tf.concat([scale, scale], axis=-1), -2)  # no slice: ONNX

    def get_config(self):
        return super().get_config() | {
            "method": keras.saving.serialize_keras_object(self.method),
            "score_threshold": self.score_threshold,
            "iou_threshold": self.iou_threshold,
            "max_detections": self.max_detections,
        }
