"""Fast R-CNN, https://arxiv.org/abs/1504.08083: the regions of a picture read in one map."""

import keras

from dlcv_tf.errors import InputError
from dlcv_tf.models.detect import regions


def fast_rcnn(
    input_shape: tuple[int, int, int],
    num_classes: int,
    depth: int = 18,
    width: int = 16,
    features: str = "c3",
    hidden_units: tuple[int, ...] = (128,),
) -> keras.Model:
    """Builds Fast R-CNN on a ResNet: one map, RoI pool, fully connected layers.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture.
        num_classes: number of classes, without the background.
        depth: of the ResNet.
        width: its filters in the first stage.
        features: the map that regions are read in: "c2", "c3" or "c4", of stride 4, 8 or 16.
        hidden_units: sizes of the fully connected layers.

    Returns:
        Model from `{"images", "proposals"}`, with proposals (batch, n, 4) in pixels of the input
        and rows without area as padding, to `proposals`, the map by its name, and those of
        `regions.second_stage`.

    Raises:
        InputError: unknown features, or a pyramid of them.
    """
    if features == "pyramid":
        raise InputError("got features='pyramid', expected one map: c2, c3 or c4")
    images, maps = regions.feature_maps(input_shape, depth, width, features)
    proposals = keras.Input((None, 4), name="proposals")
    stage = regions.second_stage(maps, num_classes, hidden_units, pool="max")
    outputs = {"proposals": keras.layers.Identity(name="given")(proposals)} | maps
    outputs |= stage(maps | {"boxes": proposals})
    return keras.Model({"images": images, "proposals": proposals}, outputs, name="fast_rcnn")
