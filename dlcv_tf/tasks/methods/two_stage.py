"""Two stages: regions first, then what is in them. Fast, Faster and Mask R-CNN."""

import typing

import keras
import tensorflow as tf

from dlcv_tf import losses
from dlcv_tf.errors import InputError
from dlcv_tf.losses import keypoints
from dlcv_tf.ops import boxes as box_ops
from dlcv_tf.ops import masks as mask_ops
from dlcv_tf.ops import matching
from dlcv_tf.tasks.methods.method import Method
from dlcv_tf.tasks.methods.objects import Objects, objects

# What the second stage's differences are divided by (appendix of Faster R-CNN's code).
VARIANCES = (0.1, 0.1, 0.2, 0.2)
RPN_BETA = 1 / 9  # where the first stage's smooth L1 stops being a square; the second's is 1


class Sample(typing.NamedTuple):
    """Regions that the second stage learns from, positive ones first.

    Args:
        boxes: (batch, n, 4) in pixels of the network's input.
        objects: (batch, n) int32, the object that a positive one stands for; 0 for others.
        positive: (batch, n) bool.
        drawn: (batch, n) bool, False where there were not as many.
    """

    boxes: tf.Tensor
    objects: tf.Tensor
    positive: tf.Tensor
    drawn: tf.Tensor


def matched(boxes, things: Objects, positive: float, negative: float, best: bool) -> tf.Tensor:
    """Returns each box's object, or `matching.NEGATIVE` or `IGNORED`, (batch, n) int32.

    Args:
        boxes: (n, 4), the same in all pictures, or (batch, n, 4).
        things: the objects of the pictures.
        positive: as for `matching.assign`.
        negative: likewise.
        best: likewise.
    """
    thresholds = {"positive": positive, "negative": negative, "best": best}
    return matching.assign(boxes, things.boxes, things.valid, things.ignored, **thresholds)


@keras.saving.register_keras_serializable(package="dlcv_tf")
class FastRCNN(Method):
    """Training and reading of networks that are told the regions.

    Regions are matched to objects; `samples` of them, the objects' own boxes among them, teach the
    second stage, which is run again on them. A region with an overlap of `positive` or more stands
    for an object, all others for the background.

    Args:
        samples: regions of a picture that are learnt from.
        positive_part: the most of them that stand for objects.
        positive: least overlap of those.
        box_weight: weight of the box loss.

    Reference: Girshick, "Fast R-CNN", section 2.3, https://arxiv.org/abs/1504.08083.
    """

    loss_names = ("classification", "box")

    def __init__(
        self,
        samples: int = 64,
        positive_part: float = 0.25,
        positive: float = 0.5,
        box_weight: float = 1.0,
    ):
        self.samples = samples
        self.positive_part = positive_part
        self.positive = positive
        self.box_weight = box_weight

    def losses(self, network, outputs, targets, size, training):
        things = objects(targets)
        sample = self.sample(outputs, things, _seed(outputs["logits"], training), training)
        return self._second_stage_losses(network, outputs, things, sample, training)

    def sample(self, outputs, things: Objects, seed, training: bool) -> Sample:
        """Returns the regions to learn from; the objects' own boxes too while training."""
        boxes = outputs["proposals"]
        if training:
            own = tf.where(things.counted[..., None], things.boxes, 0)
            boxes = tf.concat([boxes, own], axis=1)
        numbers = matched(boxes, things, self.positive, self.positive, best=False)
        numbers = tf.where(box_ops.area(boxes) > 0, numbers, matching.IGNORED)
        indices, drawn = matching.sample(numbers, self.samples, self.positive_part, seed=seed)
        chosen = tf.gather(numbers, indices, batch_dims=1)
        return Sample(
            boxes=tf.stop_gradient(tf.gather(boxes, indices, batch_dims=1)),
            objects=tf.maximum(chosen, 0),
            positive=drawn & (chosen >= 0),
            drawn=drawn,
        )

    def _second_stage_losses(self, network, outputs, things, sample, training) -> dict:
        """Returns softmax cross-entropy of the sample, and smooth L1 of its positive boxes."""
        found = run_stage(network, "second_stage", outputs, sample.boxes, training)
        labels = tf.gather(things.classes, sample.objects, batch_dims=1) + 1
        labels = tf.where(sample.positive, labels, 0)
        errors = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, found["logits"])
        count = tf.maximum(tf.reduce_sum(tf.cast(sample.drawn, tf.float32)), 1)
        own = tf.gather(things.boxes, sample.objects, batch_dims=1)
        wanted = box_ops.encode(own, sample.boxes, variances=VARIANCES)
        deltas = tf.gather(found["deltas"], labels, batch_dims=2)  # (batch, n, 4)
        differences = tf.where(sample.positive[..., None], deltas - wanted, 0)
        box_error = tf.reduce_sum(losses.smooth_l1(0.0, differences))
        return {
            "classification": tf.reduce_sum(tf.where(sample.drawn, errors, 0)) / count,
            "box": self.box_weight * box_error / count,
        }

    def candidates(self, network, outputs, size):
        proposals = outputs["proposals"]
        scores = tf.nn.softmax(tf.cast(outputs["logits"], tf.float32))[..., 1:]
        scores *= tf.cast(box_ops.area(proposals) > 0, tf.float32)[..., None]
        deltas = tf.cast(outputs["deltas"], tf.float32)[:, :, 1:]  # (batch, n, classes, 4)
        return box_ops.decode(deltas, proposals[:, :, None], variances=VARIANCES), scores

    def get_config(self):
        names = ("samples", "positive_part", "positive", "box_weight")
        return {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable(package="dlcv_tf")
class FasterRCNN(FastRCNN):
    """Training and reading of networks that propose regions themselves: four losses.

    Objectness and boxes of the region proposal network are learnt from `rpn_samples` anchors of a
    picture, at most half of them positive; the second stage as in Fast R-CNN. All of it at once.

    Args:
        samples: regions of a picture that the second stage learns from.
        positive_part: the most of them that stand for objects.
        positive: least overlap of those.
        box_weight: weight of the second stage's box loss.
        rpn_samples: anchors of a picture that the first stage learns from.
        rpn_positive: least overlap of an anchor that stands for an object; each object's best ones
            do anyway.
        rpn_negative: overlap below which an anchor stands for the background.
        rpn_box_weight: weight of the first stage's box loss.

    Reference: Ren et al., "Faster R-CNN", section 3.1, https://arxiv.org/abs/1506.01497.
    """

    loss_names = ("rpn_objectness", "rpn_box", "classification", "box")

    def __init__(
        self,
        samples: int = 64,
        positive_part: float = 0.25,
        positive: float = 0.5,
        box_weight: float = 1.0,
        rpn_samples: int = 256,
        rpn_positive: float = 0.7,
        rpn_negative: float = 0.3,
        rpn_box_weight: float = 1.0,
    ):
        super().__init__(samples, positive_part, positive, box_weight)
        self.rpn_samples = rpn_samples
        self.rpn_positive = rpn_positive
        self.rpn_negative = rpn_negative
        self.rpn_box_weight = rpn_box_weight

    def losses(self, network, outputs, targets, size, training):
        things = objects(targets)
        seed = _seed(outputs["rpn_logits"], training)
        first = self._first_stage_losses(network, outputs, things, seed)
        sample = self.sample(outputs, things, seed + 1, training)
        second = self._second_stage_losses(network, outputs, things, sample, training)
        branches = self._branch_losses(network, outputs, things, sample, size, training)
        return first | second | branches

    def _first_stage_losses(self, network, outputs, things: Objects, seed) -> dict:
        """Returns cross-entropy of the objectness and smooth L1 of the positive anchors' boxes."""
        anchors = tf.constant(network.get_layer("proposals").anchors())
        numbers = matched(anchors, things, self.rpn_positive, self.rpn_negative, best=True)
        indices, drawn = matching.sample(numbers, self.rpn_samples, 0.5, seed=seed)
        numbers, logits, deltas = (
            tf.gather(each, indices, batch_dims=1)
            for each in (numbers, outputs["rpn_logits"], outputs["rpn_deltas"])
        )
        positive = drawn & (numbers >= 0)
        errors = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(positive, tf.float32), logits)
        count = tf.maximum(tf.reduce_sum(tf.cast(drawn, tf.float32)), 1)
        own = tf.gather(things.boxes, tf.maximum(numbers, 0), batch_dims=1)
        wanted = box_ops.encode(own, tf.gather(anchors, indices))
        differences = tf.where(positive[..., None], deltas - wanted, 0)
        box_error = tf.reduce_sum(losses.smooth_l1(0.0, differences, beta=RPN_BETA))
        return {
            "rpn_objectness": tf.reduce_sum(tf.where(drawn, errors, 0)) / count,
            "rpn_box": self.rpn_box_weight * box_error / count,
        }

    def _branch_losses(self, network, outputs, things, sample: Sample, size, training) -> dict:
        """Returns the losses of what is said about a box besides; none here."""
        return {}

    def get_config(self):
        names = ("rpn_samples", "rpn_positive", "rpn_negative", "rpn_box_weight")
        return super().get_config() | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable(package="dlcv_tf")
class MaskRCNN(FasterRCNN):
    """Training and reading of Mask R-CNN: the losses of Faster R-CNN, one of masks, one of joints.

    The mask loss is the cross-entropy of each cell on its own, of the true class's mask alone, in
    regions that stand for objects; so classes do not compete for cells. A joint is one cell of the
    softmax over all of them. The targets need `masks` and `joints`, unless their weight is 0;
    `targets` is the kind of `data.load` that has them, and no kind has both.

    Args:
        mask_weight: weight of the mask loss; 0 where there are no masks.
        joint_weight: weight of the loss of joints; 0 where there are none.
        **options: arguments of `FasterRCNN`.

    Reference: He et al., "Mask R-CNN", section 3, https://arxiv.org/abs/1703.06870.
    """

    def __init__(self, mask_weight: float = 1.0, joint_weight: float = 0.0, **options):
        super().__init__(**options)
        self.mask_weight = mask_weight
        self.joint_weight = joint_weight
        if joint_weight and not mask_weight:
            self.targets = "keypoints"
        elif mask_weight:
            self.targets = "masks"
        extra = (("mask", mask_weight), ("joints", joint_weight))
        self.loss_names = FasterRCNN.loss_names + tuple(name for name, weight in extra if weight)

    def _branch_losses(self, network, outputs, things, sample, size, training):
        most = max(1, round(self.samples * self.positive_part))
        first = Sample(*(each[:, :most] for each in sample))  # all positive ones are among these
        for name, weight in (("masks", self.mask_weight), ("joints", self.joint_weight)):
            if weight and getattr(things, name) is None:
                raise InputError(
                    f"got targets without {name}, expected {name} too: load such targets, or set "
                    f"the method's weight of {name} to 0"
                )
        parts = {}
        if self.mask_weight:
            loss = _mask_loss(network, outputs, things, first, size, training)
            parts["mask"] = self.mask_weight * loss
        if self.joint_weight:
            loss = _joint_loss(network, outputs, things, first, training)
            parts["joints"] = self.joint_weight * loss
        return parts

    def get_config(self):
        return super().get_config() | {
            "mask_weight": self.mask_weight,
            "joint_weight": self.joint_weight,
        }


def run_stage(network: keras.Model, name: str, outputs: dict, boxes, training: bool = False):
    """Returns what a part of a network says about boxes.

    Args:
        network: the whole network.
        name: of the part, a layer that takes feature maps and `boxes`.
        outputs: the network's raw outputs, the maps among them.
        boxes: (batch, n, 4) in pixels of the network's input.
        training: whether the network is being trained.
    """
    stage = network.get_layer(name)
    maps = {key: outputs[key] for key in stage.input if key != "boxes"}
    return stage(maps | {"boxes": boxes}, training=training)


def _seed(logits, training: bool) -> tf.Tensor:
    """Returns a seed for what is drawn in a step: two int32 numbers.

    In training it follows from the bits of the outputs, which are others in every step, so that a
    resumed run draws what the uninterrupted one would have drawn. In evaluation it is always the
    same: rounding may differ there, the draw may not.
    """
    if not training:
        return tf.zeros(2, tf.int32)
    bits = tf.bitcast(tf.cast(tf.reduce_sum(logits), tf.float32), tf.int32)
    return tf.stack([bits, 0])


def _mask_loss(network, outputs, things, sample: Sample, size, training: bool) -> tf.Tensor:
    """Returns the mean cross-entropy of the cells of the true class's mask in positive regions."""
    logits = run_stage(network, "mask_head", outputs, sample.boxes, training)
    cells = logits.shape[2]
    labels = tf.gather(things.classes, sample.objects, batch_dims=1) + 1
    pick = tf.one_hot(tf.where(sample.positive, labels, 0), logits.shape[-1])
    logits = tf.reduce_sum(logits * pick[:, :, None, None], axis=-1)  # (batch, n, cells, cells)
    masks = tf.gather(things.masks, sample.objects, batch_dims=1)
    scale = tf.cast(tf.shape(masks)[2:4], tf.float32) / tf.constant(size, tf.float32)
    boxes = sample.boxes * tf.tile(scale[::-1], [2])  # in pixels of the masks
    wanted = tf.cast(mask_ops.crop(masks, boxes, cells) >= 0.5, tf.float32)
    errors = tf.nn.sigmoid_cross_entropy_with_logits(labels=wanted, logits=logits)
    positive = tf.cast(sample.positive, tf.float32)
    errors = tf.reduce_mean(errors, axis=(2, 3)) * positive
    return tf.reduce_sum(errors) / tf.maximum(tf.reduce_sum(positive), 1)


def _joint_loss(network, outputs, things, sample: Sample, training: bool) -> tf.Tensor:
    """Returns the mean cross-entropy of the cells that the joints of positive regions lie in."""
    heatmaps = run_stage(network, "keypoint_head", outputs, sample.boxes, training)
    rows, columns, number = heatmaps.shape[2:]
    joints = tf.gather(things.joints, sample.objects, batch_dims=1)  # (batch, n, joints, 3)
    low, sides = sample.boxes[:, :, None, :2], sample.boxes[:, :, None, 2:]
    places = tf.math.divide_no_nan(joints[..., :2] - low, sides - low) * (columns, rows)
    on_edge = places == tf.constant([columns, rows], places.dtype)
    places = tf.cast(tf.floor(places), tf.int32) - tf.cast(on_edge, tf.int32)  # in the last cell
    inside = tf.reduce_all((places >= 0) & (places < (columns, rows)), axis=-1)
    visible = (joints[..., 2] > 0) & inside & sample.positive[..., None]
    return keypoints.cell_crossentropy(
        tf.reshape(places[..., 1] * columns + places[..., 0], (-1, number)),
        tf.reshape(heatmaps, (-1, rows, columns, number)),
        tf.reshape(visible, (-1, number)),
    )
