"""The two bad ways to segment: a classifier for each pixel's patch, and convolutions at full size.

They are here to be measured against the good way, networks that go down and up again.
"""

import keras
import tensorflow as tf
from keras import layers

from dlcv_tf.errors import InputError
from dlcv_tf.models.segment.blocks import convolution, pixel_scores


def full_resolution(
    input_shape: tuple[int, int, int],
    num_classes: int,
    width: int = 16,
    depth: int = 8,
    padded: bool = True,
    batch_norm: bool = True,
) -> keras.Model:
    """Builds 3x3 convolutions that leave the picture's size as it is: the second bad way.

    Every map is as large as the picture, and a pixel sees `2 * depth + 1` pixels: work and memory
    for a view that one pooling more would double.

    The borders of zeros are laid around the picture once and for all, so that each pixel is judged
    by its patch and nothing else: the logits are those of `by_patches`.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture.
        num_classes: scores of each pixel.
        width: filters of each convolution.
        depth: number of convolutions.
        padded: lay a border of zeros around the picture. Without it the network takes patches of
            `2 * depth + 1` pixels and scores the pixel in the middle.
        batch_norm: normalise after each convolution.

    Returns:
        Model from (batch, height, width, channels) to `{"logits": (batch, height, width,
        num_classes)}`; `2 * depth` fewer on each side without a border.

    Raises:
        InputError: a patch smaller than what a pixel sees.
    """
    images = keras.Input(input_shape, name="images")
    x = layers.ZeroPadding2D(depth, name="border")(images) if padded else images
    if min(x.shape[1:3]) <= 2 * depth:
        raise InputError(
            f"got pictures of {input_shape[0]}x{input_shape[1]} pixels without a border, expected "
            f"at least {2 * depth + 1} for {depth} convolutions of 3x3"
        )
    for number in range(1, depth + 1):
        options = {"padding": "valid", "batch_norm": batch_norm}
        x = convolution(x, width, f"conv{number}", **options)
    return keras.Model(images, {"logits": pixel_scores(x, num_classes)}, name="full_resolution")


def by_patches(network: keras.Model, images: tf.Tensor, batch_size: int = 4096) -> tf.Tensor:
    """Scores every pixel by its own patch, cut out and classified alone: the first bad way.

    Neighbouring patches share almost all of their pixels and none of their work: it is that of the
    network times the number of pixels.

    Args:
        network: model from a patch (batch, side, side, channels), side odd, to `{"logits": (batch,
            1, 1, classes)}`, such as `full_resolution` without a border.
        images: (batch, height, width, channels) preprocessed pictures; zeros lie around them.
        batch_size: patches in a call.

    Returns:
        (batch, height, width, classes) logits.
    """
    images = tf.convert_to_tensor(images)
    side = network.input_shape[1]
    if side % 2 == 0 or network.input_shape[2] != side:
        raise InputError(f"got patches of {network.input_shape[1:3]}, expected a square, odd side")
    border = side // 2
    padded = tf.pad(images, [[0, 0], [border, border], [border, border], [0, 0]])
    patches = tf.image.extract_patches(
        padded, (1, side, side, 1), (1, 1, 1, 1), (1, 1, 1, 1), "VALID"
    )
    patches = tf.reshape(patches, (-1, side, side, images.shape[-1]))
    logits = [
        network(patches[start : start + batch_size], training=False)["logits"][:, 0, 0]
        for start in range(0, len(patches), batch_size)
    ]
    return tf.reshape(tf.concat(logits, axis=0), (*images.shape[:3], -1))
