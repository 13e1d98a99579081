"""The sliding window: a classifier with a background class, at all places and sizes of a picture.

As one fully convolutional pass (Sermanet et al., "OverFeat", https://arxiv.org/abs/1312.6229), and
window by window, which gives the same scores.
"""

import math
from collections.abc import Sequence

import keras
import tensorflow as tf
from keras import layers

from dlcv_tf.errors import InputError
from dlcv_tf.layers.regions import Resize, WindowBoxes
from dlcv_tf.models.detect import ssd
from dlcv_tf.ops import patches

STRIDE = 4  # two poolings, before which nothing is padded


def sliding_window(
    input_shape: tuple[int, int, int],
    num_classes: int,
    sizes: Sequence[Sequence[float]] = ((9, 9), (11, 11), (14, 14), (17, 17), (21, 21), (27, 27)),
    widths: Sequence[int] = (16, 32, 64),
    window: int = 18,
) -> keras.Model:
    """Builds a detector that only classifies: what is in this window, or nothing.

    The picture is resized once for each size of things, until these are as large as the window,
    and the classifier is run over all of it: its fully connected layer is a convolution as large as
    what it sees, and nothing is padded, so that every cell of the scores is the classifier's answer
    for one window, every four pixels. Neighbouring windows share what they have in common.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture.
        num_classes: number of classes, without the background.
        sizes: (width, height) of the windows, pixels of the picture; all of one shape keep a
            circle from looking like an ellipse.
        widths: filters of the three layers.
        window: what the classifier sees, pixels: 10, 14, 18, ...

    Returns:
        Model from (batch, height, width, channels) to `{"logits": (batch, windows, num_classes +
        1), "boxes": (batch, windows, 4)}`: class 0 is the background, boxes are the windows in
        pixels of the input. The classifier is the layer `classifier`.

    Raises:
        InputError: a window that the classifier has no layers for, a size larger than the picture.
    """
    images = keras.Input(input_shape, name="images")
    classifier = window_classifier(window, input_shape[-1], num_classes, widths)
    logits, boxes = [], []
    for number, (width, height) in enumerate(sizes):
        if not (0 < width <= input_shape[1] and 0 < height <= input_shape[0]):
            raise InputError(
                f"got windows of {width} x {height} pixels for pictures of {input_shape[1]} x "
                f"{input_shape[0]}, expected smaller ones"
            )
        level = tuple(
            round(side * window / size)
            for side, size in zip(input_shape[:2], (height, width), strict=True)
        )
        x = Resize(level, name=f"level{number}")(images)
        scores = classifier(x)
        # Sizes are rounded with the level: the window's own is what it really covers.
        unit = input_shape[1] / level[1], input_shape[0] / level[0]
        covered, step = ([side * length for side in unit] for length in (window, STRIDE))
        boxes.append(WindowBoxes(covered, step, name=f"boxes{number}")(scores))
        logits.append(layers.Reshape((-1, num_classes + 1), name=f"logits{number}")(scores))
    outputs = {"logits": ssd.joined(logits, "logits"), "boxes": ssd.joined(boxes, "boxes")}
    return keras.Model(images, outputs, name="sliding_window")


def window_classifier(
    window: int, channels: int, num_classes: int, widths: Sequence[int] = (16, 32, 64)
) -> keras.Model:
    """Builds the classifier of `sliding_window`, for pictures of any size from one window on.

    Args:
        window: side of what it sees, pixels: 10, 14, 18, ...
        channels: of the pictures.
        num_classes: number of classes, without the background.
        widths: filters of the three layers.

    Returns:
        Model from (batch, height, width, channels) to logits (batch, rows, columns,
        num_classes + 1), one row and column for a picture of one window.

    Raises:
        InputError: the window does not come out even, or there are not three widths.
    """
    if window < 10 or window % STRIDE != 2 or len(widths) != 3:
        raise InputError(
            f"got window={window} and widths={tuple(widths)}, expected one of 10, 14, 18, ... "
            "pixels and three widths"
        )
    inputs = keras.Input((None, None, channels), name="windows")
    x = inputs
    sizes = (3, 3, (window - 6) // STRIDE)  # the last one sees all that is left of a window
    for number, (filters, size) in enumerate(zip(widths, sizes, strict=True), start=1):
        x = layers.Conv2D(
            filters, size, use_bias=False, kernel_initializer="he_normal", name=f"conv{number}"
        )(x)
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"norm{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
        if number < 3:
            x = layers.MaxPooling2D(2, name=f"pool{number}")(x)
    x = layers.Conv2D(num_classes + 1, 1, name="scores")(x)
    return keras.Model(inputs, x, name="classifier")


def window_by_window(network: keras.Model, images, batch_size: int = 1024) -> tf.Tensor:
    """Returns the logits of `sliding_window` as they were computed first: one crop at a time.

    Every window is cut out and classified on its own, so that what windows share is computed for
    each of them again.

    Args:
        network: what `sliding_window` returns.
        images: (batch, height, width, channels) preprocessed pictures.
        batch_size: crops that are classified together.

    Returns:
        (batch, windows, num_classes + 1) logits.
    """
    classifier = network.get_layer("classifier")
    window = STRIDE * classifier.get_layer("conv3").kernel_size[0] + 6
    levels = [layer for layer in network.layers if isinstance(layer, Resize)]
    logits = []
    for level in levels:
        crops = patches.windows(level(images), window, STRIDE)  # (batch, rows, columns, ...)
        count = math.prod(crops.shape[:3])
        flat = tf.reshape(crops, (count, window, window, images.shape[-1]))
        parts = [
            classifier(flat[start : start + batch_size], training=False)
            for start in range(0, count, batch_size)
        ]
        scores = tf.concat(parts, axis=0)  # (windows of all pictures, 1, 1, classes)
        logits.append(tf.reshape(scores, (images.shape[0], -1, scores.shape[-1])))
    return tf.concat(logits, axis=1)
