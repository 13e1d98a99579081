"""Parts of networks that look at regions: feature maps, and what is said about each region."""

import keras
from keras import layers

from dlcv_tf.errors import InputError, unknown
from dlcv_tf.layers.roi import RoIAlign, RoIPool
from dlcv_tf.models.classify import resnet

STRIDES = {"c2": 4, "c3": 8, "c4": 16, "c5": 32}
PYRAMID = ("p2", "p3", "p4", "p5")
FEATURES = ("c2", "c3", "c4", "pyramid")


def feature_maps(
    input_shape: tuple[int, int, int], depth: int, width: int, features: str
) -> tuple[keras.KerasTensor, dict[str, keras.KerasTensor]]:
    """Builds a ResNet up to a map, or a feature pyramid on top of it.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture.
        depth: of the ResNet: 18, 34, 50, 101 or 152.
        width: its filters in the first stage. A pyramid has four times as many, 256 of 64.
        features: endpoint "c2", "c3" or "c4" (a stride of 4, 8 or 16), or "pyramid": four maps
            "p2" ... "p5" of strides 4 to 32.

    Returns:
        The input pictures, and the maps by name, finest first.

    Reference: Lin et al., "Feature pyramid networks", https://arxiv.org/abs/1612.03144.
    """
    if features not in FEATURES:
        raise unknown("features", features, FEATURES)
    if depth not in resnet.LARGE_DEPTHS:
        raise InputError(f"got depth={depth}, expected one of {tuple(resnet.LARGE_DEPTHS)}")
    backbone = resnet.large_resnet(input_shape, 1, depth=depth, width=width)
    if features != "pyramid":
        return backbone.input, {features: backbone.get_layer(features).output}
    merged, maps = None, {}
    for level in (5, 4, 3, 2):
        endpoint = backbone.get_layer(f"c{level}").output
        lateral = layers.Conv2D(4 * width, 1, name=f"lateral{level}")(endpoint)
        if merged is not None:
            above = layers.UpSampling2D(2, interpolation="nearest", name=f"top_down{level}")(merged)
            height, width_here = lateral.shape[1:3]  # of odd maps the last row doubled is too many
            above = above[:, :height, :width_here]
            lateral = layers.Add(name=f"merge{level}")([lateral, above])
        merged = lateral
        maps[f"p{level}"] = layers.Conv2D(4 * width, 3, padding="same", name=f"p{level}")(merged)
    return backbone.input, {name: maps[name] for name in PYRAMID}


def strides(maps: dict) -> list[int]:
    """Returns the strides of maps, by their names."""
    return [STRIDES[f"c{name[1:]}"] for name in maps]


def inputs_of_stage(maps: dict) -> dict[str, keras.KerasTensor]:
    """Returns the inputs of a network of its own that reads boxes in maps."""
    inputs = {name: keras.Input(each.shape[1:], name=name) for name, each in maps.items()}
    return inputs | {"boxes": keras.Input((None, 4), name="boxes")}


def aligned(inputs: dict, size: int, name: str):
    """Adds RoI align of the boxes in the map, or in the maps of a pyramid."""
    maps = {key: each for key, each in inputs.items() if key != "boxes"}
    if len(maps) == 1:
        (features,), (stride,) = maps.values(), strides(maps)
        return RoIAlign(size, stride, name=name)(features, inputs["boxes"])
    return RoIAlign(size, strides(maps), name=name)(list(maps.values()), inputs["boxes"])


def second_stage(
    maps: dict, num_classes: int, hidden_units: tuple[int, ...], pool: str = "align"
) -> keras.Model:
    """Builds what names a region and moves its box: RoI features, hidden layers, two heads.

    Args:
        maps: feature maps by name.
        num_classes: number of classes, without the background.
        hidden_units: sizes of the fully connected layers.
        pool: "align", or "max" for RoI pool, which has one map only.

    Returns:
        Model from the maps and `boxes` (batch, n, 4), a dict, to `logits` (batch, n, classes + 1),
        background first, and `deltas` (batch, n, classes + 1, 4): each class moves the box its own
        way. Published codes have deltas of the background too, which nothing uses; so have these.
    """
    inputs = inputs_of_stage(maps)
    if pool == "align":
        x = aligned(inputs, 7, "roi_align")
    else:
        ((name, features),) = maps.items()
        x = RoIPool(7, strides(maps)[0], name="roi_pool")(inputs[name], inputs["boxes"])
    x = layers.Reshape((-1, 7 * 7 * x.shape[-1]), name="flatten")(x)
    for number, units in enumerate(hidden_units):
        x = layers.Dense(units, "relu", kernel_initializer="he_normal", name=f"hidden{number}")(x)
    scores = keras.initializers.RandomNormal(stddev=0.01)
    moves = keras.initializers.RandomNormal(stddev=0.001)  # section 3.1 of Fast R-CNN, both
    classes = num_classes + 1
    logits = layers.Dense(classes, kernel_initializer=scores, name="logits")(x)
    deltas = layers.Dense(4 * classes, kernel_initializer=moves, name="all_deltas")(x)
    deltas = layers.Reshape((-1, classes, 4), name="deltas")(deltas)
    return keras.Model(inputs, {"logits": logits, "deltas": deltas}, name="second_stage")
