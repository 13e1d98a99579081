"""Faster R-CNN, https://arxiv.org/abs/1506.01497: the network proposes its regions itself."""

import keras
from keras import layers

from dlcv_tf.errors import InputError
from dlcv_tf.layers.proposals import RATIOS, Proposals
from dlcv_tf.models.detect import regions


def faster_rcnn(
    input_shape: tuple[int, int, int],
    num_classes: int,
    depth: int = 18,
    width: int = 16,
    features: str = "c3",
    anchor_sizes: tuple[float, ...] = (16, 32, 64),
    num_proposals: int = 64,
    hidden_units: tuple[int, ...] = (128,),
) -> keras.Model:
    """Builds Faster R-CNN on a ResNet, with RoI align.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture.
        num_classes: number of classes, without the background.
        depth: of the ResNet.
        width: its filters in the first stage.
        features: the map that regions are read in, "c2", "c3" or "c4" of stride 4, 8 or 16; or
            "pyramid", four maps of strides 4 to 32 and a fifth for proposals only.
        anchor_sizes: sides of the square anchors, pixels; each comes in three shapes. All of them
            at every place of the map; of a pyramid one at each level, five of them.
        num_proposals: regions that the second stage looks at.
        hidden_units: sizes of its fully connected layers.

    Returns:
        Model from (batch, height, width, channels) to `rpn_logits` (batch, anchors), `rpn_deltas`
        (batch, anchors, 4), `proposals` (batch, num_proposals, 4) in pixels of the input, rows
        without area where there are fewer; the maps by name; and `logits`, `deltas` of
        `regions.second_stage`, which is the layer "second_stage". The layer "proposals" has the
        anchors.

    Raises:
        InputError: unknown features, or sizes of anchors that do not fit.
    """
    images, maps = regions.feature_maps(input_shape, depth, width, features)
    seen, strides = list(maps.values()), regions.strides(maps)
    sizes = [list(anchor_sizes)]
    if features == "pyramid":
        seen.append(layers.MaxPooling2D(1, strides=2, name="p6")(seen[-1]))
        strides.append(2 * strides[-1])
        sizes = [[size] for size in anchor_sizes]
    if len(sizes) != len(seen) or not sizes[0]:
        raise InputError(
            f"got {len(anchor_sizes)} anchor_sizes, expected {len(seen)}: one for each level"
        )
    rpn_logits, rpn_deltas = _region_proposals(seen, len(RATIOS) * len(sizes[0]))
    proposals = Proposals(
        input_shape[:2],
        [tuple(each.shape[1:3]) for each in seen],
        strides,
        sizes,
        num_proposals,
        name="proposals",
    )(rpn_logits, rpn_deltas)
    stage = regions.second_stage(maps, num_classes, hidden_units)
    outputs = {"rpn_logits": rpn_logits, "rpn_deltas": rpn_deltas, "proposals": proposals} | maps
    outputs |= stage(maps | {"boxes": proposals})
    return keras.Model(images, outputs, name="faster_rcnn")


def _region_proposals(maps: list, anchors: int):
    """Adds the region proposal network, the same layers on every map.

    Args:
        maps: (batch, height, width, channels) each.
        anchors: their number at each place.

    Returns:
        Logits (batch, n) and deltas (batch, n, 4) of all anchors: map by map, row by row.
    """
    small = keras.initializers.RandomNormal(stddev=0.01)  # section 3.1.3
    channels = maps[0].shape[-1]
    options = {"kernel_initializer": small}
    hidden = layers.Conv2D(
        channels, 3, padding="same", activation="relu", name="rpn_hidden", **options
    )
    objectness = layers.Conv2D(anchors, 1, name="rpn_objectness", **options)
    moves = layers.Conv2D(4 * anchors, 1, name="rpn_moves", **options)
    logits, deltas = [], []
    for each in maps:
        x = hidden(each)
        logits.append(layers.Reshape((-1,))(objectness(x)))
        deltas.append(layers.Reshape((-1, 4))(moves(x)))
    if len(maps) == 1:
        return logits[0], deltas[0]
    return (
        layers.Concatenate(axis=1, name="rpn_logits")(logits),
        layers.Concatenate(axis=1, name="rpn_deltas")(deltas),
    )
