"""R-CNN: a network for each proposal, https://arxiv.org/abs/1311.2524."""

from collections.abc import Sequence

import keras
from keras import layers

from dlcv_tf.layers.regions import EachRegion, WarpRegions
from dlcv_tf.models.detect import backbone


def rcnn(
    input_shape: tuple[int, int, int],
    num_classes: int,
    crop: int = 32,
    context: int = 4,
    square: bool = True,
    widths: Sequence[int] = (16, 32, 64),
    hidden_units: int = 128,
) -> keras.Model:
    """Builds regions with CNN features: crops of proposals, each seen by a network of its own.

    The scores of the softmax train the network; then support vector machines on its last hidden
    layer give the scores that count, and a linear map from its last convolution corrects the boxes
    of each class. Both are put in by `tasks.methods.RCNN.fit_heads`, not by gradients. The paper
    has AlexNet on crops of 227 pixels.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture.
        num_classes: number of classes, without the background.
        crop: pixels along each side of a warped region.
        context: of these, pixels around the box on each side.
        square: cut squares, which do not stretch what they show; see `layers.WarpRegions`.
        widths: filters of the stages, each of which halves the size; two convolutions in all but
            the first.
        hidden_units: of the fully connected layer.

    Returns:
        Model from `{"images": (batch, height, width, channels), "proposals": (batch, n, 4)}`, boxes
        in pixels of the picture, those without area padding, to `proposals` as given, `logits`
        (batch, n, num_classes + 1) where class 0 is the background, `svm_scores` (batch, n,
        num_classes), `deltas` (batch, n, num_classes, 4), and what these are computed from:
        `features` (batch, n, hidden_units) and `maps` (batch, n, numbers of the last convolution).
    """
    images = keras.Input(input_shape, name="images")
    proposals = keras.Input((None, 4), name="proposals")
    crops = WarpRegions(crop, context, square, name="warp")(images, proposals)
    seen = keras.Input((crop, crop, input_shape[-1]), name="crop")
    depths = (1, *[2] * (len(widths) - 1))
    stages = backbone.plain(seen, widths, depths)
    x = layers.Flatten(name="flat")(stages[max(stages)])
    maps = EachRegion(keras.Model(seen, x, name="features"), name="each_region")(crops)
    features = layers.Dense(
        hidden_units, activation="relu", kernel_initializer="he_normal", name="hidden"
    )(maps)
    machines = layers.Dense(num_classes, trainable=False, name="svms")
    correction = layers.Dense(
        4 * num_classes, trainable=False, kernel_initializer="zeros", name="box_regression"
    )
    outputs = {
        "proposals": layers.Identity(name="given")(proposals),
        "logits": layers.Dense(num_classes + 1, name="logits")(features),
        "svm_scores": machines(features),
        "deltas": EachRegion(layers.Reshape((num_classes, 4)), name="deltas")(correction(maps)),
        "features": features,
        "maps": maps,
    }
    return keras.Model({"images": images, "proposals": proposals}, outputs, name="rcnn")
