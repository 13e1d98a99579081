"""Mask R-CNN, https://arxiv.org/abs/1703.06870: Faster R-CNN with a mask or joints of a box."""

import keras
from keras import layers

from dlcv_tf.errors import InputError
from dlcv_tf.layers.regions import EachRegion
from dlcv_tf.models.detect import regions
from dlcv_tf.models.detect.faster_rcnn import faster_rcnn

CELLS = 14  # RoI align of the branches; masks are twice as large


def mask_rcnn(
    input_shape: tuple[int, int, int],
    num_classes: int,
    detector: dict | None = None,
    mask_filters: tuple[int, ...] = (32, 32),
    num_joints: int = 0,
    joint_filters: tuple[int, ...] = (32, 32, 32, 32),
) -> keras.Model:
    """Builds Mask R-CNN; with `num_joints` and without `mask_filters` it is Keypoint R-CNN.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture.
        num_classes: number of classes, without the background.
        detector: arguments of `faster_rcnn`, from `depth` on.
        mask_filters: of the 3x3 convolutions of the mask branch, whose transposed convolution has
            as many as the last one (four of 256 in the paper); none for no branch.
        num_joints: joints of a thing that are to be found; 0 for no branch.
        joint_filters: of the 3x3 convolutions of that branch (eight of 512 in the paper).

    Returns:
        Model from (batch, height, width, channels) to all of `faster_rcnn`, and `masks`
        (batch, num_proposals, 28, 28, classes + 1) logits, the background's not used, by the layer
        "mask_head"; and `heatmaps` (batch, num_proposals, 56, 56, num_joints) logits, of which a
        softmax over all cells tells where a joint is, by the layer "keypoint_head". Both are in the
        boxes of the proposals; the layers answer for other boxes as `second_stage` does.

    Raises:
        InputError: neither masks nor joints, or unknown arguments of the detector.
    """
    if not mask_filters and not num_joints:
        raise InputError("got neither mask_filters nor num_joints, expected one: or faster_rcnn")
    try:
        base = faster_rcnn(input_shape, num_classes, **(detector or {}))
    except TypeError as error:
        raise InputError(f"got detector={detector}, expected arguments of faster_rcnn") from error
    outputs = base.output
    maps = {name: outputs[name] for name in base.get_layer("second_stage").input if name != "boxes"}
    read = maps | {"boxes": outputs["proposals"]}
    if mask_filters:
        outputs = outputs | {"masks": _mask_head(maps, num_classes, mask_filters)(read)}
    if num_joints:
        outputs = outputs | {"heatmaps": _keypoint_head(maps, num_joints, joint_filters)(read)}
    return keras.Model(base.input, outputs, name="mask_rcnn")


def _mask_head(maps: dict, num_classes: int, filters: tuple[int, ...]) -> keras.Model:
    """Returns the branch from maps and boxes to (batch, n, 28, 28, classes + 1) logits."""
    enlarge = layers.Conv2DTranspose(
        filters[-1], 2, strides=2, activation="relu", kernel_initializer="he_normal", name="enlarge"
    )
    logits = layers.Conv2D(num_classes + 1, 1, name="mask_logits")
    return _branch(maps, filters, [enlarge, logits], name="mask_head")


def _keypoint_head(maps: dict, num_joints: int, filters: tuple[int, ...]) -> keras.Model:
    """Returns the branch from maps and boxes to (batch, n, 56, 56, joints) logits."""
    logits = layers.Conv2DTranspose(num_joints, 4, strides=2, padding="same", name="heatmap_logits")
    enlarge = layers.UpSampling2D(2, interpolation="bilinear", name="enlarge")
    return _branch(maps, filters, [logits, enlarge], name="keypoint_head")


def _branch(maps: dict, filters: tuple[int, ...], last: list, name: str) -> keras.Model:
    """Returns RoI align, 3x3 convolutions and the last layers as a network of its own."""
    inputs = regions.inputs_of_stage(maps)
    x = regions.aligned(inputs, CELLS, "roi_align")
    convolutions = [
        layers.Conv2D(
            count,
            3,
            padding="same",
            activation="relu",
            kernel_initializer="he_normal",
            name=f"conv{number}",
        )
        for number, count in enumerate(filters)
    ]
    branch = keras.Sequential([keras.Input(x.shape[2:]), *convolutions, *last], name="branch")
    return keras.Model(inputs, EachRegion(branch, name="each_region")(x), name=name)
