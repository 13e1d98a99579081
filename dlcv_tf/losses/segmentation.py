"""Losses of class maps: cross-entropy of every pixel, and dice of every class."""

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf.errors import InputError, unknown

IGNORED = 255  # the value of pixels that count for nothing
NORMALIZATIONS = ("weights", "pixels")


def pixel_crossentropy(
    class_maps,
    logits,
    *,
    ignore: int | None = IGNORED,
    class_weights=None,
    normalize_by: str = "weights",
):
    """Returns the mean over pixels of -log(probability of the pixel's class), a scalar.

    Published codes differ in what the weighted sum is divided by: the sum of the weights, so that
    the loss stays a mean (PyTorch, and here), or the number of pixels that count (Caffe's SegNet,
    Keras's `sample_weight`). Without weights both are the same.

    Args:
        class_maps: (batch, height, width) class numbers, any whole-number type.
        logits: (batch, height, width, classes) scores.
        ignore: class number of pixels that are left out; None for none.
        class_weights: one number of 0 or more for each class, see `median_frequency`; all 1 by
            default.
        normalize_by: "weights" or "pixels".

    Returns:
        Scalar of the logits' type: 0 where all pixels are ignored, NaN for a class number that is
        no class, so that a training stops. Where values can be seen, outside of a traced graph,
        such a number is refused.

    Raises:
        InputError: shapes that do not fit, weights that are not one for each class, a bad class.

    Example:
        >>> float(pixel_crossentropy([[[0, 255]]], [[[[0.0, 0.0], [9.0, 0.0]]]])).__round__(4)
        0.6931
    """
    if normalize_by not in NORMALIZATIONS:
        raise unknown("normalize_by", normalize_by, NORMALIZATIONS)
    class_maps, logits, counts = _pixels(class_maps, logits, ignore)
    classes = logits.shape[-1]
    weights = tf.cast(counts, logits.dtype)
    if class_weights is not None:
        by_class = tf.constant(_checked(class_weights, classes), logits.dtype)
        weights *= tf.gather(by_class, tf.clip_by_value(class_maps, 0, classes - 1))
    is_class = (class_maps >= 0) & (class_maps < classes)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        tf.where(is_class, class_maps, 0), logits
    )
    total = tf.reduce_sum(losses * weights)
    if normalize_by == "pixels":
        weights = tf.cast(counts, logits.dtype)
    loss = tf.math.divide_no_nan(total, tf.reduce_sum(weights))
    is_good = tf.reduce_all(is_class | ~counts)
    return tf.where(is_good, loss, tf.cast(np.nan, loss.dtype))


def dice_loss(
    class_maps,
    logits,
    *,
    ignore: int | None = IGNORED,
    smooth: float = 1.0,
    squared: bool = False,
    per_picture: bool = False,
):
    """Returns 1 - the mean over classes of the dice coefficient 2 |A and B| / (|A| + |B|), soft.

    A is the class's pixels in the truth, B its softmax probabilities. It weighs every class alike,
    however few pixels it has.

    Args:
        class_maps: (batch, height, width) class numbers.
        logits: (batch, height, width, classes) scores.
        ignore: class number of pixels that are left out; None for none.
        smooth: added to both sides of the fraction: keeps classes without pixels at 1, not 0/0.
        squared: the probabilities are squared in the denominator (V-Net), or not.
        per_picture: a fraction for each picture, then their mean; else one of the whole batch.

    Returns:
        Scalar of the logits' type, 0 to 1; bad class numbers as in `pixel_crossentropy`.

    Raises:
        InputError: as `pixel_crossentropy`; `smooth` below 0.

    Reference: Milletari et al., "V-Net", https://arxiv.org/abs/1606.04797.
    """
    if not smooth >= 0:
        raise InputError(f"got smooth={smooth}, expected a number of 0 or more")
    class_maps, logits, counts = _pixels(class_maps, logits, ignore)
    classes = logits.shape[-1]
    kept = tf.cast(counts, logits.dtype)[..., None]
    truth = tf.one_hot(class_maps, classes, dtype=logits.dtype) * kept
    found = tf.nn.softmax(logits) * kept
    axes = (1, 2) if per_picture else (0, 1, 2)
    both = tf.reduce_sum(truth * found, axes)
    size = tf.reduce_sum(truth, axes) + tf.reduce_sum(found**2 if squared else found, axes)
    dice = tf.math.divide_no_nan(2 * both + smooth, size + smooth)
    is_class = (class_maps >= 0) & (class_maps < classes)
    is_good = tf.reduce_all(is_class | ~counts)
    loss = 1 - tf.reduce_mean(dice)
    return tf.where(is_good, loss, tf.cast(np.nan, loss.dtype))


def median_frequency(class_maps: Iterable, num_classes: int, ignore: int | None = IGNORED):
    """Returns class weights that let rare classes count: median frequency / own frequency.

    The frequency of a class is the part of the pixels that it has in the pictures where it is.

    Args:
        class_maps: (height, width) class maps, or batches of them.
        num_classes: number of classes.
        ignore: class number of pixels that are left out; None for none.

    Returns:
        (num_classes,) float64; 0 for a class that is nowhere.

    Raises:
        InputError: no class at all, or a number that is no class.

    Reference: Eigen and Fergus, section 6.3.2, https://arxiv.org/abs/1411.4734.
    """
    pixels, of_pictures = np.zeros(num_classes), np.zeros(num_classes)
    for each in class_maps:
        each = np.asarray(each)
        for class_map in each if each.ndim == 3 else each[None]:
            kept = class_map if ignore is None else class_map[class_map != ignore]
            check_classes(kept, num_classes, ignore)
            counts = np.bincount(kept.ravel(), minlength=num_classes)
            pixels += counts
            of_pictures += (counts > 0) * counts.sum()
    if not pixels.any():
        raise InputError("got class maps without a class, expected pixels that are not ignored")
    frequency = np.divide(pixels, of_pictures, where=of_pictures > 0, out=np.zeros(num_classes))
    median = np.median(frequency[frequency > 0])
    return np.divide(median, frequency, where=frequency > 0, out=np.zeros(num_classes))


@keras.saving.register_keras_serializable(package="dlcv_tf")
class PixelCrossentropy(keras.losses.Loss):
    """Softmax cross-entropy of class maps, see `pixel_crossentropy`.

    Args:
        ignore: class number of pixels that are left out; None for none.
        class_weights: one number for each class; all 1 by default.
        normalize_by: "weights" or "pixels".

    Call arguments:
        y_true: (batch, height, width) class numbers.
        y_pred: (batch, height, width, classes) logits.
    """

    def __init__(
        self,
        ignore=IGNORED,
        class_weights=None,
        normalize_by="weights",
        name="pixel_crossentropy",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self.ignore = ignore
        self.class_weights = None if class_weights is None else [float(w) for w in class_weights]
        self.normalize_by = normalize_by

    def call(self, y_true, y_pred):
        return pixel_crossentropy(
            y_true,
            y_pred,
            ignore=self.ignore,
            class_weights=self.class_weights,
            normalize_by=self.normalize_by,
        )

    def get_config(self):
        return super().get_config() | {
            "ignore": self.ignore,
            "class_weights": self.class_weights,
            "normalize_by": self.normalize_by,
        }


@keras.saving.register_keras_serializable(package="dlcv_tf")
class DiceLoss(keras.losses.Loss):
    """Soft dice loss of class maps, see `dice_loss`.

    Args:
        ignore: class number of pixels that are left out; None for none.
        smooth: added to both sides of the fraction.
        squared: the probabilities are squared in the denominator, or not.
        per_picture: a fraction for each picture, or one of the whole batch.

    Call arguments:
        y_true: (batch, height, width) class numbers.
        y_pred: (batch, height, width, classes) logits.
    """

    def __init__(
        self,
        ignore=IGNORED,
        smooth=1.0,
        squared=False,
        per_picture=False,
        name="dice_loss",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self.options = {
            "ignore": ignore,
            "smooth": smooth,
            "squared": squared,
            "per_picture": per_picture,
        }

    def call(self, y_true, y_pred):
        return dice_loss(y_true, y_pred, **self.options)

    def get_config(self):
        return super().get_config() | self.options


def check_classes(class_maps: np.ndarray, num_classes: int, ignore: int | None = IGNORED) -> None:
    """Raises an InputError for a value that is neither a class nor the ignored one.

    Args:
        class_maps: class numbers, any shape.
        num_classes: number of classes.
        ignore: the value that stands for no class; None for none.
    """
    class_maps = np.asarray(class_maps)
    bad = (class_maps < 0) | (class_maps >= num_classes)
    if ignore is not None:
        bad &= class_maps != ignore
    if bad.any():
        but = "" if ignore is None else f" or {ignore} for pixels without a class"
        raise InputError(
            f"got the value {class_maps[bad].flat[0]} in a class map, expected 0 to "
            f"{num_classes - 1}{but}: the maps and the labels disagree on the classes"
        )


def _pixels(class_maps, logits, ignore):
    """Returns int32 class maps and floating logits that fit each other, and which pixels count."""
    logits, class_maps = tf.convert_to_tensor(logits), tf.convert_to_tensor(class_maps)
    if not logits.dtype.is_floating:
        logits = tf.cast(logits, tf.float32)
    if logits.shape.rank != 4 or not class_maps.shape.is_compatible_with(logits.shape[:-1]):
        raise InputError(
            f"got class maps of shape {tuple(class_maps.shape)} for logits of shape "
            f"{tuple(logits.shape)}, expected (batch, height, width) and (batch, height, width, "
            "classes)"
        )
    if tf.executing_eagerly():  # in a graph there are no values yet to look at
        check_classes(class_maps.numpy(), logits.shape[-1], ignore)
    class_maps = tf.cast(class_maps, tf.int32)
    counts = tf.ones_like(class_maps, tf.bool) if ignore is None else class_maps != ignore
    return class_maps, logits, counts


def _checked(class_weights, classes: int) -> np.ndarray:
    weights = np.asarray(class_weights, np.float64)
    if weights.shape != (classes,) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise InputError(
            f"got class_weights={class_weights}, expected {classes} numbers of 0 or more"
        )
    return weights
