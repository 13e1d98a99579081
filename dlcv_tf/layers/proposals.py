"""`Proposals`: the regions of a picture that are likeliest to hold something."""

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops import anchors as anchor_ops
from dlcv_tf.ops import boxes as box_ops
from dlcv_tf.ops import nms

RATIOS = (0.5, 1.0, 2.0)  # height / width of anchors


@keras.saving.register_keras_serializable(package="dlcv_tf")
class Proposals(keras.layers.Layer):
    """Moves the anchors, takes the best ones and suppresses those that overlap better ones.

    No gradient passes: a region is where the second stage looks, not what it learns.

    Args:
        image_size: (height, width) of the network's input, pixels.
        map_sizes: (height, width) of each feature map.
        strides: pixels from one place of the map to the next, for each map.
        sizes: sides of the square anchors at each place, pixels; a list for each map.
        count: number of proposals.
        candidates: most anchors that suppression looks at; 8 times as many by default.
        iou_threshold: larger overlaps are suppressed.

    Call arguments:
        logits: (batch, anchors) scores.
        deltas: (batch, anchors, 4) moves of the anchors.

    Output shape: (batch, count, 4) boxes inside the picture, best first; what follows the last one
        is zeros.

    Reference: Ren et al., "Faster R-CNN", section 3, https://arxiv.org/abs/1506.01497.
    """

    def __init__(
        self,
        image_size,
        map_sizes,
        strides,
        sizes,
        count=64,
        candidates=None,
        iou_threshold=0.7,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not len(map_sizes) == len(strides) == len(sizes):
            raise InputError(
                f"got {len(map_sizes)} map_sizes, {len(strides)} strides and {len(sizes)} sizes, "
                "expected one for each map"
            )
        self.image_size = tuple(image_size)
        self.map_sizes = [tuple(each) for each in map_sizes]
        self.strides = list(strides)
        self.sizes = [list(each) for each in sizes]
        self.count = count
        self.candidates = candidates
        self.iou_threshold = iou_threshold

    def anchors(self) -> np.ndarray:
        """Returns (anchors, 4) float32 boxes: map by map, row by row, then sizes, then shapes."""
        shapes = [anchor_ops.shapes(each, RATIOS) for each in self.sizes]
        return anchor_ops.pyramid(self.map_sizes, self.strides, shapes)

    def call(self, logits, deltas):
        logits, deltas = tf.stop_gradient(logits), tf.stop_gradient(deltas)
        anchors = tf.constant(self.anchors(), deltas.dtype)
        if logits.shape[-1] != anchors.shape[0]:
            raise InputError(
                f"got {logits.shape[-1]} logits a picture, expected {anchors.shape[0]}: "
                "one for each anchor"
            )
        found = box_ops.clip(box_ops.decode(deltas, anchors), self.image_size)
        candidates, scores, _ = nms.top_candidates(
            found, logits[..., None], self.candidates or 8 * self.count
        )
        indices, _, number = nms.padded(
            candidates, scores, max_boxes=self.count, iou_threshold=self.iou_threshold
        )
        chosen = tf.gather(candidates, indices, batch_dims=1)
        is_there = tf.range(self.count) < number[:, None]
        return tf.where(is_there[..., None], chosen, tf.zeros((), chosen.dtype))

    def compute_output_shape(self, logits_shape, deltas_shape):
        return (logits_shape[0], self.count, 4)

    def compute_output_spec(self, logits, deltas):
        return keras.KerasTensor((logits.shape[0], self.count, 4), dtype=self.compute_dtype)

    def get_config(self):
        return super().get_config() | {
            "image_size": self.image_size,
            "map_sizes": self.map_sizes,
            "strides": self.strides,
            "sizes": self.sizes,
            "count": self.count,
            "candidates": self.candidates,
            "iou_threshold": self.iou_threshold,
        }
