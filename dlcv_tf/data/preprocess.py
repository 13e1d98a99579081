"""Pictures to network input: the one definition that training, export and serving share."""

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops import images as image_ops
from dlcv_tf.ops import whitening

WAYS = ("channel", "mean_image", *whitening.MATRICES)
MOST_NUMBERS = 4096  # in a picture: whitening keeps the square of it, 64 MiB in float32
BATCH = 512
NO_PICTURES = "got a set without pictures, expected at least one: look at what filters it"


@keras.saving.register_keras_serializable(package="dlcv_tf")
class Preprocess(keras.layers.Layer):
    """Resizes pictures to the network's size and normalises them, the same in training and at test.

    First the antialiased bilinear resize of `ops.images`, then by `how`:

    - `"channel"`: `(resized - mean) / std`, per channel.
    - `"mean_image"`: `(resized - mean_image) / std`: the mean of every pixel is taken off.
    - `"pca"`, `"whiten"`, `"zca"`: the same, then flattened and times a matrix that decorrelates
      or whitens it, see `ops.whitening`. The first two give vectors, for fully connected networks;
      ZCA gives pictures again.

    What follows from the training pictures, `mean_image` and `matrix`, are weights of this layer
    (`fitted` or `adapt` sets them), so that every file the model is saved or exported to has them.

    Args:
        size: (height, width) of the network's input, pixels.
        channels: 1 (grey) or 3 (RGB).
        mean: per-channel mean of the training pictures, in [0, 255]; one number serves all. Only
            `"channel"` uses it; elsewhere it is the mean image's value until it is adapted.
        std: per-channel standard deviation, likewise.
        how: which normalisation.
        epsilon: added to the variances inside the root by `"whiten"` and `"zca"`; in units of the
            pictures after the division by `std`, squared.
        components: axes that `"pca"`, `"whiten"` and `"zca"` keep; all by default.

    Input shape: (batch, any height, any width, channels), uint8 or float in [0, 255].
    Output shape: (batch, *size, channels), float; (batch, components) of `"pca"` and `"whiten"`.

    Example:
        >>> from dlcv_tf import data
        >>> images, _ = data.digits.arrays("train")
        >>> Preprocess.fitted(images, "whiten", components=20)(images[:5]).shape
        TensorShape([5, 20])
    """

    def __init__(
        self,
        size,
        channels=3,
        mean=127.5,
        std=127.5,
        how="channel",
        epsilon=1e-5,
        components=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if channels not in (1, 3):
            raise InputError(f"got channels={channels!r}, expected 1 (grey) or 3 (RGB)")
        if how not in WAYS:
            raise InputError(f"got how={how!r}, expected one of {', '.join(WAYS)}")
        self.size = tuple(int(side) for side in size)
        self.channels = channels
        self.mean = _per_channel(mean, channels, "mean")
        self.std = _per_channel(std, channels, "std")
        if min(self.std) <= 0:
            raise InputError(f"got std={self.std}, expected numbers above zero")
        self.how = how
        self.epsilon = float(epsilon)
        self.components = components
        self.mean_image = self.matrix = None
        if how != "channel":
            self._make_weights()

    @classmethod
    def fitted(
        cls,
        images,
        how="channel",
        size=None,
        *,
        std=None,
        epsilon=1e-5,
        components=None,
        dtype=None,
    ) -> "Preprocess":
        """Returns the layer with the statistics of training pictures.

        Args:
            images: (n, height, width, channels) training pictures, uint8 or float in [0, 255]; or a
                data set of `(picture, label)` or of pictures, unbatched, which is read up to three
                times.
            how: as for the layer.
            size: (height, width) of the network's input; the pictures' own by default.
            std: what to divide by. By default the per-channel standard deviation of the pictures,
                but 1 (grey levels stay as they are) where whitening divides anyway.
            epsilon: as for the layer.
            components: as for the layer.
            dtype: of the layer.

        Raises:
            InputError: as the layer and `adapt`.
        """
        batches = _batches(images)
        size = size or _size(batches)
        total, squares, count = 0.0, 0.0, 0
        for batch in _resized(batches, size):
            total, squares = total + batch.sum((0, 1, 2)), squares + (batch**2).sum((0, 1, 2))
            count += batch[..., 0].size
        mean = total / count
        if std is None:
            deviations = np.sqrt(np.maximum(squares / count - mean**2, 0))
            std = 1.0 if how in ("whiten", "zca") else np.maximum(deviations, 1e-3).tolist()
        options = {"how": how, "epsilon": epsilon, "components": components, "dtype": dtype}
        layer = cls(size, len(mean), mean.tolist(), std, **options)
        if how != "channel":
            layer.adapt(images)
        return layer

    def adapt(self, images) -> None:
        """Sets the mean image and the matrix from training pictures.

        The covariance is `X.T @ X / n` of the centred pictures (n, not n - 1), in float64.

        Args:
            images: as for `fitted`.

        Raises:
            InputError: a layer that keeps no statistics, no pictures, pictures of the wrong shape
                or not finite.
        """
        if self.how == "channel":
            raise InputError(
                "got how='channel', whose mean and std are given, not adapted: "
                "use Preprocess.fitted to take them from pictures"
            )
        batches = _batches(images)
        total, count = 0.0, 0
        for batch in _resized(batches, self.size):
            total, count = total + batch.sum(axis=0), count + len(batch)
        mean_image = total / count
        if mean_image.shape != tuple(self.mean_image.shape):
            raise InputError(
                f"got pictures of {mean_image.shape[-1]} channels, expected {self.channels}"
            )
        self.mean_image.assign(mean_image)
        if self.matrix is None:
            return
        covariance = 0.0
        for batch in _resized(batches, self.size):
            centred = ((batch - mean_image) / self.std).reshape(len(batch), -1)
            covariance = covariance + centred.T @ centred
        axes, variances = whitening.principal_axes(covariance / count)
        options = {"epsilon": self.epsilon, "components": self.components}
        self.matrix.assign(whitening.whitening_matrix(axes, variances, self.how, **options))

    def call(self, images):
        if len(images.shape) != 4 or images.shape[-1] != self.channels:
            raise InputError(
                f"got pictures of shape {tuple(images.shape)}, expected (batch, height, width, "
                f"{self.channels}): add the batch axis or convert the channels"
            )
        resized = tf.cast(image_ops.resize(images, self.size), self.compute_dtype)
        if self.how == "channel":
            mean = tf.constant(self.mean, resized.dtype)
        else:
            mean = tf.cast(self.mean_image, resized.dtype)
        scaled = (resized - mean) * tf.constant([1.0 / std for std in self.std], resized.dtype)
        if self.matrix is None:
            return scaled
        vectors = tf.reshape(scaled, (-1, self.matrix.shape[0]))
        vectors = tf.matmul(vectors, tf.cast(self.matrix, vectors.dtype))
        return tf.reshape(vectors, (-1, *self.compute_output_shape((None,))[1:]))

    def compute_output_shape(self, input_shape):
        if self.how in ("pca", "whiten"):
            return (input_shape[0], int(self.matrix.shape[1]))
        return (input_shape[0], *self.size, self.channels)

    def get_config(self):
        return super().get_config() | {
            "size": self.size,
            "channels": self.channels,
            "mean": self.mean,
            "std": self.std,
            "how": self.how,
            "epsilon": self.epsilon,
            "components": self.components,
        }

    def _make_weights(self) -> None:
        """Makes the mean image, and the matrix of those ways that have one, for `adapt` to set."""
        shape = (*self.size, self.channels)

        def mean_image(shape, dtype):
            return tf.broadcast_to(tf.constant(self.mean, dtype), shape)

        self.mean_image = self.add_weight(
            shape=shape, initializer=mean_image, trainable=False, name="mean_image"
        )
        if self.how == "mean_image":
            return
        numbers = int(np.prod(shape))
        if numbers > MOST_NUMBERS:
            raise InputError(
                f"got how={self.how!r} for pictures of {numbers} numbers, expected at most "
                f"{MOST_NUMBERS}: its matrix has the square of that; use 'mean_image', or smaller "
                "pictures"
            )
        kept = numbers if self.components is None else self.components
        if not 1 <= kept <= numbers:
            raise InputError(f"got components={kept}, expected 1 to {numbers}")
        self.matrix = self.add_weight(
            shape=(numbers, numbers if self.how == "zca" else kept),
            initializer=lambda shape, dtype: tf.eye(*shape, dtype=dtype),
            trainable=False,
            name="matrix",
        )


def _batches(images):
    """Returns pictures as something that can be read several times, batch by batch."""
    if isinstance(images, tf.data.Dataset):
        if isinstance(images.element_spec, tuple):
            images = images.map(lambda image, *_: image)
        return images.batch(BATCH)
    images = np.asarray(images)
    if images.ndim != 4 or not len(images):
        raise InputError(
            f"got pictures of shape {images.shape}, expected (n, height, width, channels), n > 0"
        )
    return [images[start : start + BATCH] for start in range(0, len(images), BATCH)]


def _size(batches) -> tuple[int, int]:
    """Returns (height, width) of the first pictures."""
    for batch in batches:
        return tuple(batch.shape[1:3])
    raise InputError(NO_PICTURES)


def _resized(batches, size):
    """Yields batches at the network's size, float64.

    Raises:
        InputError: there are none, or numbers that are not finite.
    """
    batch = None
    for batch in batches:
        resized = image_ops.resize(tf.convert_to_tensor(batch), size).numpy().astype(np.float64)
        if not np.isfinite(resized).all():
            raise InputError("got pictures with NaN or infinity, expected numbers in [0, 255]")
        yield resized
    if batch is None:
        raise InputError(NO_PICTURES)


def _per_channel(value, channels: int, what: str) -> tuple[float, ...]:
    """Returns one number for each channel, from one or as many."""
    try:
        values = np.atleast_1d(np.asarray(value, np.float64))
    except (TypeError, ValueError):
        raise InputError(f"got {what}={value!r}, expected 1 or {channels} numbers") from None
    if values.shape not in ((1,), (channels,)):
        got = f"{len(values)} numbers" if values.ndim == 1 else f"numbers of shape {values.shape}"
        raise InputError(f"got {got} as {what}, expected 1 or {channels}")
    if not np.isfinite(values).all():
        raise InputError(f"got {what}={value!r}, expected finite numbers")
    return tuple(np.broadcast_to(values, channels).tolist())
