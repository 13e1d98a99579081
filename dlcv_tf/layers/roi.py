"""RoI pool and RoI align as layers: from feature maps and boxes to features of one size a box."""

import keras
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops import roi


class _RoI(keras.layers.Layer):
    """A layer that is called on feature maps and boxes."""

    def __init__(self, size=7, stride=1, **kwargs):
        super().__init__(**kwargs)
        self.size = (size, size) if isinstance(size, int) else tuple(int(side) for side in size)
        self.stride = stride

    def compute_output_shape(self, features_shape, boxes_shape):
        if isinstance(features_shape[0], (tuple, list)):
            features_shape = features_shape[0]
        return (*boxes_shape[:2], *self.size, features_shape[-1])

    def compute_output_spec(self, features, boxes):
        first = features[0] if isinstance(features, (tuple, list)) else features
        shape = self.compute_output_shape(first.shape, boxes.shape)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self):
        return super().get_config() | {"size": self.size, "stride": self.stride}


@keras.saving.register_keras_serializable(package="dlcv_tf")
class RoIPool(_RoI):
    """Takes the largest number in each bin of each box; see `ops.roi.pool`.

    Args:
        size: bins along y and x, or one number for both.
        stride: pixels of the picture for one pixel of the map.
        rounding: of corners, `"nearest"`, `"floor"` or `"outward"`.
        plus_one: the pixel at x2, y2 belongs to the box.
        bins: `"overlapping"`, `"larger_first"` or `"floor"`.

    Call arguments:
        features: (batch, height, width, channels) map of known height and width.
        boxes: (batch, n, 4) boxes in pixels of the picture.

    Output shape: (batch, n, *size, channels).

    Reference: Girshick, "Fast R-CNN", https://arxiv.org/abs/1504.08083.
    """

    def __init__(
        self, size=7, stride=1, rounding="nearest", plus_one=True, bins="overlapping", **kwargs
    ):
        super().__init__(size, stride, **kwargs)
        self.rounding = rounding
        self.plus_one = plus_one
        self.bins = bins

    def call(self, features, boxes):
        return roi.pool(
            features,
            boxes,
            self.size,
            scale=1 / self.stride,
            rounding=self.rounding,
            plus_one=self.plus_one,
            bins=self.bins,
        )

    def get_config(self):
        return super().get_config() | {
            "rounding": self.rounding,
            "plus_one": self.plus_one,
            "bins": self.bins,
        }


@keras.saving.register_keras_serializable(package="dlcv_tf")
class RoIAlign(_RoI):
    """Takes the mean of bilinear samples in each bin of each box; see `ops.roi.align`.

    Called on the maps of a feature pyramid it reads each box in one of them: the coarsest in which
    the box, by the root of its area, is at least `least_side` pixels long, or else the finest.

    Args:
        size: bins along y and x, or one number for both.
        stride: pixels of the picture for one pixel of the map; one number for each map of a
            pyramid, finest first.
        sampling_ratio: samples along each side of a bin; 0 takes as many as the bin is long.
        aligned: pixel centres are at i + 0.5, not at i.
        least_side: of boxes in their map of a pyramid. The paper reads boxes of 224 pixels at a
            stride of 16: 14.

    Call arguments:
        features: (batch, height, width, channels) map, or a list of maps.
        boxes: (batch, n, 4) boxes in pixels of the picture.

    Output shape: (batch, n, *size, channels).

    Reference: He et al., "Mask R-CNN", https://arxiv.org/abs/1703.06870; Lin et al., "Feature
    pyramid networks", equation 1, https://arxiv.org/abs/1612.03144.
    """

    def __init__(self, size=7, stride=1, sampling_ratio=2, aligned=True, least_side=14.0, **kwargs):
        super().__init__(size, stride, **kwargs)
        self.sampling_ratio = sampling_ratio
        self.aligned = aligned
        self.least_side = least_side

    def call(self, features, boxes):
        options = {"sampling_ratio": self.sampling_ratio, "aligned": self.aligned}
        if not isinstance(features, (tuple, list)):
            return roi.align(features, boxes, self.size, scale=1 / self.stride, **options)
        strides = self.stride
        if isinstance(strides, int | float) or len(strides) != len(features):
            raise InputError(
                f"got {len(features)} maps and stride={strides}, expected a stride for each"
            )
        level = self._level(boxes)
        result = None
        for number, (each, stride) in enumerate(zip(features, strides, strict=True)):
            read = roi.align(each, boxes, self.size, scale=1 / stride, **options)
            if result is None:
                result = read
            else:
                result = tf.where((level == number)[..., None, None, None], read, result)
        return result

    def _level(self, boxes):
        """Returns the number of the map (batch, n) that each box is read in."""
        sides = tf.maximum(boxes[..., 2:] - boxes[..., :2], 0)
        length = tf.sqrt(sides[..., 0] * sides[..., 1])
        # Comparisons instead of a logarithm: exact at the borders between the maps.
        return tf.add_n(
            [tf.cast(length >= self.least_side * stride, tf.int32) for stride in self.stride[1:]]
            or [tf.zeros_like(length, tf.int32)]
        )

    def get_config(self):
        return super().get_config() | {
            "sampling_ratio": self.sampling_ratio,
            "aligned": self.aligned,
            "least_side": self.least_side,
        }
