"""`PoseEstimator`: where the joints of one person are in a picture."""

import keras
import tensorflow as tf

from dlcv_tf import metrics
from dlcv_tf.data.augment import mirrored_joints
from dlcv_tf.errors import InputError, unknown
from dlcv_tf.losses import keypoints
from dlcv_tf.ops import heatmaps as heatmap_ops
from dlcv_tf.tasks.picture_task import PictureTask

HEATMAP_LOSSES = ("squares", "crossentropy")


@keras.saving.register_keras_serializable(package="dlcv_tf")
class PoseEstimator(PictureTask):
    """An estimator of joints that trains with plain `compile` and `fit`.

    What the network gives decides how: `"heatmaps"` (batch, h, w, joints), one map for each joint,
    or `"joints"` (batch, joints, 2), coordinates in parts of the picture's sides, and with them
    perhaps `"visible"` (batch, joints), logits. Joints that are not seen are not trained on.

    Args:
        network: functional model from preprocessed pictures to one of these.
        preprocess: `data.Preprocess` layer, or its config.
        labels: names of the joints.
        loss: of heatmaps "squares" (of Gaussians) or "crossentropy" (with Gaussians, over cells);
            of coordinates one of `losses.keypoints.COORDINATE_LOSSES`. The squares by default.
        sigma: standard deviation of the Gaussians, in cells.
        decoding: of heatmaps, one of `ops.heatmaps.DECODINGS`.
        test_time_flip: outside of training, return the mean of the outputs for a picture and for
            its mirror image, in which the joints named "left" and "right" change places: twice the
            work.

    Call arguments:
        images: (batch, height, width, channels) pictures of any size, uint8 or float [0, 255].
    """

    targets = "joints"
    main_metric = "pck"

    def __init__(
        self,
        network,
        preprocess,
        labels,
        loss="squares",
        sigma=1.0,
        decoding="quarter",
        test_time_flip=False,
        **kwargs,
    ):
        if not isinstance(network, keras.Model):
            network = keras.saving.deserialize_keras_object(network)
        shapes = {name: tuple(value.shape) for name, value in network.output.items()}
        names = ("joint_loss", "visible_loss") if "visible" in shapes else ("joint_loss",)
        super().__init__(network, preprocess, labels, names, **kwargs)
        self.has_heatmaps = "heatmaps" in shapes
        if self.has_heatmaps:
            fits = shapes["heatmaps"][-1] == len(self.labels)
        else:
            fits = shapes.get("joints") == (None, len(self.labels), 2)
        if not fits:
            raise InputError(
                f"got {len(self.labels)} joints for a network with outputs {shapes}, expected "
                "'heatmaps' with one map per joint or 'joints' with two numbers per joint"
            )
        known = HEATMAP_LOSSES if self.has_heatmaps else keypoints.COORDINATE_LOSSES
        if loss not in known:
            raise unknown("loss of joints", loss, known)
        if decoding not in heatmap_ops.DECODINGS:
            raise unknown("decoding of heatmaps", decoding, heatmap_ops.DECODINGS)
        if self.has_heatmaps and decoding == "soft" and loss != "crossentropy":
            raise InputError(
                f"got decoding='soft' with loss={loss!r}, expected loss='crossentropy': a softmax "
                "over maps learnt by squares is flat, and its mean the middle of the picture"
            )
        if not sigma > 0:
            raise InputError(f"got sigma={sigma}, expected a width above 0 cells")
        self.loss_kind = loss
        self.sigma = sigma
        self.decoding = decoding
        self.test_time_flip = test_time_flip
        self._mirrored = mirrored_joints(self.labels) if test_time_flip else []
        self.build((None, *self.preprocess.size, self.preprocess.channels))

    def call(self, images, training=None):
        inputs = self.preprocess(images)
        if training or not self.test_time_flip:
            return self.network(inputs, training=training)
        both = tf.concat([inputs, inputs[:, :, ::-1]], axis=0)  # one call: one copy of the weights
        outputs = self.network(both, training=training)
        means = {}
        for name, values in outputs.items():
            straight, mirrored = tf.split(values, 2)
            if name == "heatmaps":
                mirrored = tf.gather(mirrored[:, :, ::-1], self._mirrored, axis=-1)
            elif name == "joints":
                x, y = tf.split(tf.gather(mirrored, self._mirrored, axis=1), 2, axis=-1)
                mirrored = tf.concat([1 - x, y], axis=-1)
            else:
                mirrored = tf.gather(mirrored, self._mirrored, axis=1)
            means[name] = (straight + mirrored) / 2
        return means

    def loss_parts(self, outputs, targets, image_size, training):
        joints = targets["joints"]
        visible = joints[..., 2]
        places = joints[..., :2] / _width_height(image_size)  # in parts of the sides
        if self.has_heatmaps:
            maps = outputs["heatmaps"]
            size = tuple(maps.shape[1:3])
            wanted = heatmap_ops.gaussians(places * _width_height(size), size, self.sigma)
            squares = self.loss_kind == "squares"
            loss = keypoints.heatmap_squares if squares else keypoints.heatmap_crossentropy
            return {"joint_loss": loss(wanted, maps, visible)}
        parts = {
            "joint_loss": keypoints.coordinates(places, outputs["joints"], visible, self.loss_kind)
        }
        if "visible" in outputs:
            parts["visible_loss"] = keypoints.visibility(visible, outputs["visible"])
        return parts

    def decode(self, outputs, image_size=None):
        """Turns raw outputs into places.

        Args:
            outputs: as returned by a call.
            image_size: as for `PictureTask.decode`.

        Returns:
            `joints` (batch, joints, 3) float32: x, y in pixels of the original picture, and a score
            in [0, 1]: the height of the heatmap's peak (under "crossentropy" the probability of its
            cell), or the probability that the joint is seen (1 where the network does not say).
        """
        if self.has_heatmaps:
            maps = tf.cast(outputs["heatmaps"], tf.float32)
            found = heatmap_ops.decode(maps, self.decoding)
            places = found[..., :2] / _width_height(maps.shape[1:3])
            if self.loss_kind == "crossentropy":
                peak = tf.reduce_max(maps, axis=(1, 2)) - tf.reduce_logsumexp(maps, axis=(1, 2))
                scores = tf.exp(peak)
            else:
                scores = tf.clip_by_value(tf.reduce_max(maps, axis=(1, 2)), 0.0, 1.0)
        else:
            places = tf.cast(outputs["joints"], tf.float32)
            scores = tf.ones_like(places[..., 0])
            if "visible" in outputs:
                scores = tf.sigmoid(tf.cast(outputs["visible"], tf.float32))
        size = self.preprocess.size if image_size is None else image_size
        pixels = places * _width_height(size)
        return {"joints": tf.concat([pixels, scores[..., None]], axis=-1)}

    def answer_signature(self):
        return {"joints": {"dtype": "float32", "shape": [None, len(self.labels), 3]}}

    def new_metric(self):
        names = [label.replace(" ", "_") for label in self.labels]
        if not {"left_shoulder", "right_hip"} <= set(names):
            return metrics.PoseMetric(joint_names=self.labels, normalizer="box")
        torso = (names.index("left_shoulder"), names.index("right_hip"))
        return metrics.PoseMetric(joint_names=self.labels, normalizer=torso)

    def get_config(self):
        return super().get_config() | {
            "loss": self.loss_kind,
            "sigma": self.sigma,
            "decoding": self.decoding,
            "test_time_flip": self.test_time_flip,
        }


def _width_height(size) -> tf.Tensor:
    """Returns (height, width), (2,) or (batch, 2), as (width, height) that broadcasts to joints."""
    return tf.expand_dims(tf.reverse(tf.cast(size, tf.float32), [-1]), -2)  # no slice: ONNX
