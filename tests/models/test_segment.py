"""Networks of class maps: published parameter counts, sizes, and the two bad ways."""

import keras
import numpy as np
import pytest

from dlcv_tf import models
from dlcv_tf.errors import InputError
from dlcv_tf.models import summary
from dlcv_tf.models.segment import upsampling
from tests.helpers import ramp


def logits_of(network):
    """Returns the shape of a picture's logits."""
    return network.output["logits"].shape[1:]


def test_the_papers_unet_and_a_published_count():
    paper = models.unet((572, 572, 1), 2, padding="valid")
    assert logits_of(paper) == (388, 388, 2)  # figure 1 of the paper
    assert paper.count_params() == 31_030_658
    # zhixuhao/unet: one more 3x3 convolution with two filters, and one score for a sigmoid
    assert models.unet((256, 256, 1), 1, head_width=2).count_params() == 31_031_685


def test_fcn_resnet50_has_torchvisions_parameters():
    """torchvision's weights' `num_params`, 21 classes, with the auxiliary head."""
    network = models.fcn_resnet50((64, 64, 3), 21, auxiliary=True)
    trainable = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    assert trainable == 35_322_218
    assert network.get_layer("c5").output.shape[1:3] == (8, 8)
    assert logits_of(network) == (64, 64, 21)


def test_the_fcns_backbone_is_vgg16():
    """VGG-16's thirteen convolutions have 14,714,688 parameters (torchvision, Keras)."""
    network = models.fcn32s((32, 32, 3), 21, 64, 1, "bilinear", batch_norm=False)
    heads = (7 * 7 * 512 + 1) + (1 + 1) + (21 + 21)
    assert network.count_params() == 14_714_688 + heads


WAYS = upsampling.UPSAMPLINGS


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [(32, 32), (17, 40)])
def test_unet_gives_every_pixel_its_logits(way, size):
    for padding in ("same", "mirror"):
        network = models.unet((*size, 3), 4, 2, 2 if padding == "mirror" else 4, padding, way)
        assert logits_of(network) == (*size, 4)


@pytest.mark.parametrize("way", WAYS)
def test_other_decoders_give_every_pixel_its_logits(way):
    plain = models.segnet((38, 22, 3), 4, (2, 3, 4), (1, 2, 1), way)
    assert logits_of(plain) == (38, 22, 4)
    strided = models.strided_unet((38, 22, 3), 4, (2, 3, 4, 5), way)
    assert logits_of(strided) == (19, 11, 4)


@pytest.mark.parametrize(
    ("name", "way"),
    [("fcn32s", "nearest"), ("fcn16s", "bilinear"), ("fcn8s", "transposed_convolution")],
)
def test_fcn_gives_every_pixel_its_logits(name, way):
    network = models.BUILDERS[name]((50, 37, 3), 4, 1, 3, way)
    assert logits_of(network) == (50, 37, 4)


def test_upsampling_costs_no_parameters_but_where_it_is_learned():
    counts = {way: models.unet((32, 32, 3), 4, 4, 3, "same", way).count_params() for way in WAYS}
    assert len(set(counts.values())) == 1  # the 2x2 convolution goes with all
    segnets = {way: models.segnet((32, 32, 3), 4, (4, 4), (1, 1), way) for way in WAYS}
    free = {segnets[way].count_params() for way in WAYS if way != "transposed_convolution"}
    assert len(free) == 1 and segnets["transposed_convolution"].count_params() > free.pop()


def test_mirrored_borders_change_only_the_border():
    """In the middle, where the paper's network sees nothing but the picture, both agree."""
    keras.utils.set_random_seed(0)
    valid = models.unet((60, 60, 3), 2, 2, 2, "valid")
    mirror = models.unet((60, 60, 3), 2, 2, 2, "mirror")
    mirror.set_weights(valid.get_weights())
    images = ramp((1, 60, 60, 3))
    inner, outer = valid(images)["logits"], mirror(images)["logits"]
    border = (60 - inner.shape[1]) // 2
    assert border == 8
    middle = outer[:, border:-border, border:-border]
    np.testing.assert_allclose(middle, inner, atol=1e-5)


def test_patches_one_by_one_give_the_labels_of_one_pass_at_many_times_the_cost():
    """CURRICULUM row 132: the same labels, and at least 50 times the multiplications."""
    depth, size = 8, (24, 20)
    whole = models.full_resolution((*size, 3), 4, width=4, depth=depth)
    patch = models.full_resolution((17, 17, 3), 4, width=4, depth=depth, padded=False)
    for _ in range(3):
        whole(ramp((2, *size, 3)), training=True)  # statistics other than the first ones
    patch.set_weights(whole.get_weights())
    images = ramp((2, *size, 3))
    at_once, one_by_one = whole(images)["logits"], models.by_patches(patch, images, 100)
    np.testing.assert_allclose(one_by_one, at_once, atol=1e-4)
    np.testing.assert_array_equal(np.argmax(one_by_one, -1), np.argmax(at_once, -1))
    larger = models.full_resolution((64, 64, 3), 4, width=4, depth=depth)
    assert summary.macs(patch) * 64 * 64 > 50 * summary.macs(larger)


def test_full_resolution_costs_more_than_down_and_up():
    """CURRICULUM row 133, with as many filters on the first level and as wide a view."""
    flat = models.full_resolution((64, 64, 3), 4, width=16, depth=30)
    down_and_up = models.unet((64, 64, 3), 4, width=16, levels=4)
    assert summary.macs(flat) > 1.5 * summary.macs(down_and_up)


def test_a_patch_must_be_one():
    even = models.full_resolution((6, 6, 3), 2, 2, 2, padded=False)
    with pytest.raises(InputError, match="got patches of .* expected a square, odd side"):
        models.by_patches(even, ramp((1, 6, 6, 3)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: models.unet((32, 32, 3), 2, upsampling="cubic"), "unknown upsampling 'cubic'"),
        (lambda: models.unet((32, 32, 3), 2, padding="full"), "unknown padding 'full'"),
        (lambda: models.unet((570, 572, 1), 2, padding="valid"), "got pictures of 570 .*as 572"),
        (lambda: models.unet((64, 64, 1), 2, padding="mirror"), "got pictures of 64 .*fewer"),
        (lambda: models.strided_unet((33, 32, 3), 2), "got pictures of 33x32 .*even"),
        (lambda: models.segnet((33, 32, 3), 2, stride=2), "got pictures of 33x32 .*stride=2"),
        (lambda: models.segnet((32, 32, 3), 2, (4, 4), (1,)), "got filters=.*as many"),
        (lambda: models.fcn8s((32, 32, 3), 2, upsampling="max_unpooling"), "scores have no"),
        (lambda: models.full_resolution((8, 9, 3), 2, depth=4, padded=False), "at least 9"),
    ],
)
def test_bad_input_is_named(build, message):
    with pytest.raises(InputError, match=message):
        build()
