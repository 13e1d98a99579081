"""Layers between a picture and its regions: warped crops, and a network for each of them."""

import keras
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops import images as image_ops
from dlcv_tf.ops import roi


@keras.saving.register_keras_serializable(package="dlcv_tf")
class WarpRegions(keras.layers.Layer):
    """Cuts boxes out of pictures and brings each to one square size, as R-CNN does.

    Whatever its shape, a box fills the crop but for a rim of `context` pixels, which shows what is
    around it; beyond the picture is `fill`. Stretching hides how long a thing is: an ellipse can
    become a circle. `square` cuts the tightest square around the box instead (appendix A of the
    paper, where stretching is better by 3 to 5 points on VOC).

    Args:
        size: pixels along each side of a crop.
        context: pixels of the crop on each side of the box; the paper has 16 of 227.
        square: cut squares.
        fill: of what lies outside of the picture; the mean, which is 0 after preprocessing.

    Call arguments:
        images: (batch, height, width, channels) pictures.
        boxes: (batch, n, 4) boxes in their pixels.

    Output shape: (batch, n, size, size, channels).

    Reference: Girshick et al., "R-CNN", https://arxiv.org/abs/1311.2524.
    """

    def __init__(self, size=32, context=4, square=False, fill=0.0, **kwargs):
        super().__init__(**kwargs)
        if size < 1 or not 0 <= 2 * context < size:
            raise InputError(
                f"got size={size} and context={context}, expected room for the box between the rims"
            )
        self.size = size
        self.context = context
        self.square = square
        self.fill = fill

    def call(self, images, boxes):
        boxes = tf.cast(boxes, images.dtype)
        centres, sides = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
        if self.square:
            sides = tf.reduce_max(sides, axis=-1, keepdims=True) * tf.ones_like(sides)
        # The op samples a crop's border itself; ours is half of one of the crop's pixels inside.
        half = sides / 2 * ((self.size - 1) / (self.size - 2 * self.context))
        last = tf.cast(tf.shape(images)[1:3], images.dtype) - 1  # y, x
        corners = tf.stack([centres - half, centres + half], axis=-2)[..., ::-1] - 0.5
        corners = corners / tf.maximum(last, 1)
        flat = tf.reshape(corners, [tf.shape(boxes)[0], -1, 4])  # y1, x1, y2, x2
        return roi.crop_and_resize(images, flat, self.size, extrapolation_value=self.fill)

    def compute_output_spec(self, images, boxes):
        shape = (*boxes.shape[:2], self.size, self.size, images.shape[-1])
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self):
        names = ("size", "context", "square", "fill")
        return super().get_config() | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable(package="dlcv_tf")
class EachRegion(keras.layers.Wrapper):
    """Runs a network on each region of each picture, whatever their number, all in one batch.

    Keras's `TimeDistributed` runs one after the other.

    Args:
        layer: the network, or a layer.

    Call arguments:
        inputs: (batch, n, ...).
        training: handed on.

    Output shape: (batch, n, ...).
    """

    def build(self, input_shape):
        if not self.layer.built:
            self.layer.build((None, *input_shape[2:]))
        self.built = True

    def call(self, inputs, training=None):
        flat = tf.reshape(inputs, (-1, *_sizes(inputs)[2:]))
        outputs = self.layer(flat, training=training)
        return tf.reshape(outputs, (*_sizes(inputs)[:2], *_sizes(outputs)[1:]))

    def compute_output_shape(self, input_shape):
        inner = self.layer.compute_output_shape((None, *input_shape[2:]))
        return (*input_shape[:2], *inner[1:])

    def compute_output_spec(self, inputs, training=None):
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)


def _sizes(values: tf.Tensor) -> list:
    """Returns the shape: ints, or scalar tensors where it is not known in advance."""
    shape = tf.shape(values)
    return [shape[axis] if size is None else size for axis, size in enumerate(values.shape)]


@keras.saving.register_keras_serializable(package="dlcv_tf")
class Resize(keras.layers.Layer):
    """Resizes pictures, antialiased; see `ops.images.resize`.

    Args:
        size: (height, width) of the output.

    Call arguments:
        images: (batch, height, width, channels) pictures.
    """

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = tuple(int(side) for side in size)

    def call(self, images):
        return image_ops.resize(images, self.size)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.size, input_shape[-1])

    def get_config(self):
        return super().get_config() | {"size": self.size}


@keras.saving.register_keras_serializable(package="dlcv_tf")
class WindowBoxes(keras.layers.Layer):
    """Says which windows of a picture the cells of a grid of scores stand for.

    Args:
        size: (width, height) of a window, pixels of the picture.
        step: (width, height) from one window to the next.

    Call arguments:
        scores: (batch, rows, columns, anything), number of rows and columns known.

    Output shape: (batch, rows * columns, 4), boxes x1, y1, x2, y2, row after row.
    """

    def __init__(self, size, step, **kwargs):
        super().__init__(**kwargs)
        self.size = tuple(float(side) for side in size)
        self.step = tuple(float(side) for side in step)

    def call(self, scores):
        rows, columns = scores.shape[1:3]
        y, x = tf.meshgrid(tf.range(rows), tf.range(columns), indexing="ij")
        corners = tf.reshape(tf.stack([x, y], axis=-1), (-1, 2))
        corners = tf.cast(corners, self.compute_dtype) * self.step
        boxes = tf.concat([corners, corners + self.size], axis=-1)
        return tf.tile(boxes[None], [tf.shape(scores)[0], 1, 1])

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[1] * input_shape[2], 4)

    def get_config(self):
        return super().get_config() | {"size": self.size, "step": self.step}
