"""Fast, Faster and Mask R-CNN: published numbers of parameters, shapes, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import models
from dlcv_tf.errors import InputError
from tests.helpers import ramp

# torchvision's fasterrcnn, maskrcnn and keypointrcnn_resnet50_fpn (num_params in their metadata).
# It freezes batch normalisations: their scales and shifts are not parameters.
RESNET50_FPN = {
    "depth": 50,
    "width": 64,
    "features": "pyramid",
    "anchor_sizes": (32, 64, 128, 256, 512),
    "hidden_units": (1024, 1024),
}
PUBLISHED = {
    "faster_rcnn": (41_755_286, lambda s: models.faster_rcnn(s, 90, **RESNET50_FPN)),
    "mask_rcnn": (44_401_393, lambda s: models.mask_rcnn(s, 90, RESNET50_FPN, (256,) * 4)),
    "keypoint_rcnn": (
        59_137_258,
        lambda s: models.mask_rcnn(s, 1, RESNET50_FPN, (), 17, (512,) * 8),
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_number_of_parameters(name):
    expected, build = PUBLISHED[name]
    network = build((64, 64, 3))
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    assert sum(np.prod(v.shape) for v in network.trainable_variables) == expected


def test_a_pyramid_of_odd_maps():
    sizes = (8, 16, 24, 32, 48)
    network = models.faster_rcnn((40, 72, 3), 2, 18, 2, "pyramid", sizes, 4, (8,))
    shapes = {name: tuple(each.shape[1:3]) for name, each in network.output.items()}
    assert [shapes[f"p{level}"] for level in (2, 3, 4, 5)] == [(10, 18), (5, 9), (3, 5), (2, 3)]
    anchors = 3 * (10 * 18 + 5 * 9 + 3 * 5 + 2 * 3 + 1 * 2)
    assert network.get_layer("proposals").anchors().shape == (anchors, 4)
    assert network.output["rpn_logits"].shape == (None, anchors)
    outputs = network(ramp((1, 40, 72, 3)))
    assert all(np.isfinite(each).all() for each in outputs.values())


def test_fast_rcnn_reads_the_regions_that_it_is_given():
    network = models.fast_rcnn((32, 32, 3), 5, width=4, features="c2", hidden_units=(8,))
    images = ramp((2, 32, 32, 3))
    boxes = np.sort(ramp((2, 7, 4), low=0, high=32))
    outputs = network({"images": images, "proposals": boxes})
    assert outputs["logits"].shape == (2, 7, 6) and outputs["deltas"].shape == (2, 7, 6, 4)
    again = network.get_layer("second_stage")(
        {"c2": outputs["c2"], "boxes": tf.constant(boxes[:, 2:4])}
    )
    np.testing.assert_allclose(again["logits"], outputs["logits"][:, 2:4], atol=1e-6)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda s: models.faster_rcnn(s, 2, features="c6"), "unknown features 'c6'"),
        (lambda s: models.faster_rcnn(s, 2, depth=20), "got depth=20, expected one of"),
        (lambda s: models.faster_rcnn(s, 2, features="pyramid"), "got 3 anchor_sizes, expected 5"),
        (lambda s: models.mask_rcnn(s, 2, mask_filters=()), "neither mask_filters nor num_joints"),
        (lambda s: models.mask_rcnn(s, 2, {"widht": 4}), "expected arguments of faster_rcnn"),
        (lambda s: models.fast_rcnn(s, 2, features="pyramid"), "features"),
    ],
)
def test_bad_input_is_named(build, message):
    with pytest.raises(InputError, match=message):
        build((32, 32, 3))
