"""Pictures to network input: the one definition that training, export and serving share."""

import keras
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops import images as image_ops


@keras.saving.register_keras_serializable(package="dlcv_tf")
class Preprocess(keras.layers.Layer):
    """Resizes pictures to the network's size and normalises each channel.

    `(resize(images) - mean) / std`, with the antialiased bilinear resize of `ops.images`.

    Args:
        size: (height, width) of the network's input, pixels.
        channels: 1 (grey) or 3 (RGB).
        mean: per-channel mean of the training pictures, in [0, 255]; one number serves all.
        std: per-channel standard deviation, likewise.

    Input shape: (batch, any height, any width, channels), uint8 or float in [0, 255].
    Output shape: (batch, *size, channels), float.
    """

    def __init__(self, size, channels=3, mean=127.5, std=127.5, **kwargs):
        super().__init__(**kwargs)
        if channels not in (1, 3):
            raise InputError(f"got channels={channels!r}, expected 1 (grey) or 3 (RGB)")
        self.size = tuple(int(side) for side in size)
        self.channels = channels
        self.mean = _per_channel(mean, channels, "mean")
        self.std = _per_channel(std, channels, "std")
        if min(self.std) <= 0:
            raise InputError(f"got std={self.std}, expected numbers above zero")

    def call(self, images):
        if len(images.shape) != 4 or images.shape[-1] != self.channels:
            raise InputError(
                f"got pictures of shape {tuple(images.shape)}, expected (batch, height, width, "
                f"{self.channels}): add the batch axis or convert the channels"
            )
        resized = tf.cast(image_ops.resize(images, self.size), self.compute_dtype)
        mean = tf.constant(self.mean, resized.dtype)
        return (resized - mean) * tf.constant([1.0 / std for std in self.std], resized.dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.size, self.channels)

    def get_config(self):
        return super().get_config() | {
            "size": self.size,
            "channels": self.channels,
            "mean": self.mean,
            "std": self.std,
        }


def _per_channel(value, channels: int, what: str) -> tuple[float, ...]:
    values = tuple(float(v) for v in value) if isinstance(value, list | tuple) else (float(value),)
    if len(values) == 1:
        values = values * channels
    if len(values) != channels:
        raise InputError(f"got {len(values)} numbers as {what}, expected 1 or {channels}")
    return values
