"""`InstanceSegmenter`: where things are in a picture, what they are, and which pixels they have."""

import keras
import tensorflow as tf

from dlcv_tf import metrics
from dlcv_tf.errors import InputError
from dlcv_tf.tasks.detector import Detector
from dlcv_tf.tasks.methods.two_stage import run_stage

# What counts of a task that learns from a kind of targets.
MAIN_METRICS = {"masks": "mask_map50", "keypoints": "keypoint_map50"}


@keras.saving.register_keras_serializable(package="dlcv_tf")
class InstanceSegmenter(Detector):
    """A detector that says which pixels of each box are the thing's, and where its joints are.

    The boxes are found first; then the network's layer "mask_head" looks at them, not at all
    proposals, and its layer "keypoint_head"; it may have one of the two alone.

    `targets` and `main_metric` go by what the method learns: masks, with joints or not, or joints
    alone ("keypoints").

    Args:
        network: functional model with those layers, as `models.mask_rcnn`.
        preprocess: `data.Preprocess` layer, or its config.
        labels: class names, without a background.
        method: how it is trained and read, `tasks.methods.MaskRCNN`.
        **options: further arguments of `Detector`.

    Call arguments:
        images: (batch, height, width, channels) pictures of any size, uint8 or float [0, 255].
    """

    targets = "masks"
    main_metric = MAIN_METRICS["masks"]

    def __init__(self, network, preprocess, labels, method, **options):
        super().__init__(network, preprocess, labels, method, **options)
        if self.method.targets not in MAIN_METRICS:
            raise InputError(
                "got a method that learns neither masks nor joints, expected tasks.methods."
                "MaskRCNN with a weight above 0: others are for tasks.Detector"
            )
        weights = {"masks": self.method.mask_weight, "heatmaps": self.method.joint_weight}
        for output, weight in weights.items():
            if weight and not self._has(output):
                raise InputError(
                    f"got a method that learns {output} and a network without, expected a weight "
                    "of 0 for them: mask_weight or joint_weight of the method"
                )
        self.targets = self.method.targets
        self.main_metric = MAIN_METRICS[self.targets]

    def loss_parts(self, outputs, targets, image_size, training):
        if "joints" in targets:
            scale = self._scale(image_size, self.preprocess.size)[..., :2]
            places = tf.cast(targets["joints"], tf.float32)
            places = tf.concat([places[..., :2] * scale, places[..., 2:]], axis=-1)
            targets = dict(targets) | {"joints": places}
        return super().loss_parts(outputs, targets, image_size, training)

    def decode(self, outputs, image_size=None):
        """Turns raw outputs into boxes and what is in them.

        Args:
            outputs: as returned by a call.
            image_size: as for `PictureTask.decode`.

        Returns:
            What `Detector.decode` does; `masks` (batch, max_detections, 28, 28) float32, the
            probability of each cell of the box: `ops.masks.paste` puts them into the picture; and
            where the network looks for joints, `joints` (batch, max_detections, joints, 3) float32:
            x, y in pixels of the original picture, and score.
        """
        answers = super().decode(outputs)
        boxes = answers["boxes"]  # in pixels of the network's input
        is_found = tf.range(self.max_detections)[None, :] < answers["num_detections"][:, None]
        if self._has("masks"):
            logits = run_stage(self.network, "mask_head", outputs, boxes)
            own = tf.one_hot(answers["classes"] + 1, logits.shape[-1])  # after the background
            logits = tf.reduce_sum(logits * own[:, :, None, None], axis=-1)
            answers["masks"] = tf.where(is_found[..., None, None], tf.sigmoid(logits), 0.0)
        if self._has("heatmaps"):
            heatmaps = run_stage(self.network, "keypoint_head", outputs, boxes)
            answers["joints"] = tf.where(is_found[..., None, None], _joints(heatmaps, boxes), 0.0)
        if image_size is not None:
            scale = self._scale(self.preprocess.size, image_size)
            answers["boxes"] = boxes * scale
            if "joints" in answers:
                places, scores = answers["joints"][..., :2], answers["joints"][..., 2:]
                places *= tf.expand_dims(scale[..., :2], -2)
                answers["joints"] = tf.concat([places, scores], axis=-1)
        return answers

    def new_metric(self):
        return metrics.InstanceMetric(len(self.labels), self.labels)

    @classmethod
    def measured_on(cls, answers):
        return "masks" if "masks" in answers else "keypoints"

    def answer_signature(self):
        most = self.max_detections
        signature = super().answer_signature()
        if self._has("masks"):
            cells = self.network.output["masks"].shape[2]
            signature["masks"] = {"dtype": "float32", "shape": [None, most, cells, cells]}
        if self._has("heatmaps"):
            joints = self.network.output["heatmaps"].shape[-1]
            signature["joints"] = {"dtype": "float32", "shape": [None, most, joints, 3]}
        return signature

    def _has(self, output: str) -> bool:
        return output in self.network.output


def _joints(heatmaps, boxes) -> tf.Tensor:
    """Returns x, y and score (batch, n, joints, 3) of the best cell of each joint.

    Args:
        heatmaps: (batch, n, rows, columns, joints) logits.
        boxes: (batch, n, 4) that the heatmaps lie in.
    """
    rows, columns, number = heatmaps.shape[2:]
    count = heatmaps.shape[1]
    flat = tf.reshape(heatmaps, (-1, count, rows * columns, number))
    cell = tf.argmax(flat, axis=2, output_type=tf.int32)
    scores = tf.reduce_max(tf.nn.softmax(flat, axis=2), axis=2)
    places = tf.stack([cell % columns, cell // columns], axis=-1)
    parts = (tf.cast(places, tf.float32) + 0.5) / tf.constant([columns, rows], tf.float32)
    low, high = tf.expand_dims(boxes[..., :2], 2), tf.expand_dims(boxes[..., 2:], 2)
    return tf.concat([low + parts * (high - low), scores[..., None]], axis=-1)
