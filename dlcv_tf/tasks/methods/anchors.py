"""SSD's way: every anchor a class or background, and how its box differs from the object's."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf import losses
from dlcv_tf.errors import InputError
from dlcv_tf.ops import anchors as anchor_ops
from dlcv_tf.ops import boxes as box_ops
from dlcv_tf.ops import matching
from dlcv_tf.tasks.methods.method import Method
from dlcv_tf.tasks.methods.objects import objects


def grid_anchors(size, strides: Sequence[int], sizes) -> np.ndarray:
    """Returns the anchors of some grids over a picture.

    Args:
        size: (height, width) of the picture, pixels.
        strides: pixels between the cells of each grid; the last cells may hang over the border.
        sizes: for each grid, the (width, height) of the anchors in a cell, pixels.

    Returns:
        (anchors, 4) float32 corners, by grid, row, column and anchor of the cell; centred on the
        middle of the cell, not clipped.
    """
    cells = [[-(-side // stride) for side in size] for stride in strides]
    return anchor_ops.pyramid(cells, strides, sizes)


def check_sizes(strides: Sequence[int], sizes) -> tuple[list, list]:
    """Returns the strides and the anchors' sizes as plain lists.

    Raises:
        InputError: not one list of (width, height) above 0 for each stride.
    """
    pairs = [pair for pairs in sizes for pair in pairs]
    good = len(strides) == len(sizes) and all(sizes) and min(strides, default=0) > 0
    if not good or any(len(pair) != 2 or min(pair) <= 0 for pair in pairs):
        raise InputError(
            f"got strides={strides} and sizes={sizes}, expected one list of (width, height), above "
            "0, for each stride"
        )
    sizes = [[[float(side) for side in pair] for pair in pairs] for pairs in sizes]
    return [int(stride) for stride in strides], sizes


@keras.saving.register_keras_serializable(package="dlcv_tf")
class AnchorMethod(Method):
    """Training and reading of networks with softmax scores and box differences for each anchor.

    Each object has its best anchor and all anchors that overlap it enough; of the others, the
    hardest few take part as background (section 2.2 of the paper).

    Args:
        strides: pixels between the cells of each grid, as in the network.
        sizes: for each grid, the (width, height) of the anchors in a cell, pixels of the input.
        positive: least overlap of an anchor with the object it stands for.
        best: "bipartite" gives each object one anchor of its own besides, the largest overlaps
            first; True gives it the best ones, which another object may take, and "argmax" makes
            those positive for the object they overlap most, see `ops.matching.match`; False none.
        negatives_per_positive: background anchors in a picture for each positive one; those with
            the largest loss.
        least_negatives: background anchors in a picture with fewer positives. The paper has 0: a
            picture without objects then teaches nothing.
        variances: what differences in x, y, width and height are divided by.
        box_weight: weight of the box loss, alpha of equation 1.

    Reference: Liu et al., "SSD", https://arxiv.org/abs/1512.02325.
    """

    loss_names = ("class_loss", "box_loss")

    def __init__(
        self,
        strides: Sequence[int],
        sizes,
        positive: float = 0.5,
        best: bool | str = "bipartite",
        negatives_per_positive: float = 3.0,
        least_negatives: int = 3,
        variances: Sequence[float] = (0.1, 0.1, 0.2, 0.2),
        box_weight: float = 1.0,
    ):
        self.strides, self.sizes = check_sizes(strides, sizes)
        self.positive = positive
        self.best = best
        self.negatives_per_positive = negatives_per_positive
        self.least_negatives = least_negatives
        self.variances = [float(variance) for variance in variances]
        self.box_weight = box_weight

    def anchors(self, size) -> np.ndarray:
        """Returns the (anchors, 4) float32 anchors of an input of some (height, width)."""
        return grid_anchors(size, self.strides, self.sizes)

    def losses(self, network, outputs, targets, size, training):
        things = objects(targets)
        logits, deltas, anchors = self._parts(outputs, size)
        matched = matching.assign(
            anchors,
            things.boxes,
            things.valid,
            things.ignored,
            positive=self.positive,
            negative=self.positive,
            best=self.best,
        )
        positive, number = matched >= 0, tf.maximum(matched, 0)
        labels = tf.where(positive, tf.gather(things.classes, number, batch_dims=1) + 1, 0)
        class_losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        hard = losses.hard_negatives(
            tf.stop_gradient(class_losses),
            matched,
            self.negatives_per_positive,
            self.least_negatives,
        )
        own = tf.gather(things.boxes, number, batch_dims=1)  # (batch, anchors, 4)
        wanted = box_ops.encode(own, anchors, variances=self.variances)
        wanted = tf.where(positive[..., None], wanted, deltas)
        count = tf.maximum(tf.reduce_sum(tf.cast(positive, tf.float32)), 1)
        return {
            "class_loss": tf.reduce_sum(tf.where(positive | hard, class_losses, 0)) / count,
            "box_loss": self.box_weight * tf.reduce_sum(losses.smooth_l1(wanted, deltas)) / count,
        }

    def candidates(self, network, outputs, size):
        logits, deltas, anchors = self._parts(outputs, size)
        boxes = box_ops.decode(deltas, anchors, variances=self.variances)
        return boxes, tf.nn.softmax(logits)[..., 1:]

    def _parts(self, outputs, size) -> tuple[tf.Tensor, tf.Tensor, np.ndarray]:
        """Returns logits, deltas and anchors, once it is sure that they belong together."""
        anchors = self.anchors(size)
        logits, deltas = (tf.cast(outputs[name], tf.float32) for name in ("logits", "deltas"))
        if logits.shape[1] != len(anchors):
            raise InputError(
                f"got a network with {logits.shape[1]} anchors, expected {len(anchors)} for an "
                f"input of {size[0]}x{size[1]}: give it and the method the same strides and as "
                "many anchors in a cell"
            )
        return logits, deltas, anchors

    def get_config(self):
        names = ("strides", "sizes", "positive", "best", "negatives_per_positive")
        names += ("least_negatives", "variances", "box_weight")
        return {name: getattr(self, name) for name in names}
