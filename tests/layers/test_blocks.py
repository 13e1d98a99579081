"""Block functions: where strides look, biases and norms, and a residual block that adds nothing."""

import keras
import numpy as np
import pytest

from dlcv_tf.layers import blocks
from tests.helpers import ramp


@pytest.mark.parametrize(
    "padding, side, first", [("centred", 6, 0), ("centred", 7, 0), ("same", 6, 1), ("same", 7, 0)]
)
def test_centred_strides_look_at_the_same_pixels_in_odd_and_even_maps(padding, side, first):
    inputs = keras.Input((side, side, 1))
    options = {"stride": 2, "padding": padding, "batch_norm": False, "name": "conv"}
    model = keras.Model(inputs, blocks.convolution(inputs, 1, **options))
    middle = np.zeros((3, 3, 1, 1))
    middle[1, 1] = 1
    model.get_layer("conv").kernel.assign(middle)
    images = ramp((1, side, side, 1))
    np.testing.assert_array_equal(model(images), images[:, first::2, first::2])


def test_a_norm_takes_the_place_of_the_bias_and_each_layer_draws_its_own_weights():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 4, 16))
    x = blocks.convolution_relu(inputs, 16, name="one")
    model = keras.Model(inputs, blocks.convolution(x, 16, name="two", batch_norm=False))
    names = [layer.name for layer in model.layers[1:]]
    assert names == ["one", "one_norm", "one_relu", "two"]
    one, two = model.get_layer("one"), model.get_layer("two")
    assert one.bias is None and two.bias is not None
    kernels = [np.asarray(each.kernel) for each in (one, two)]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.1
    for kernel in kernels:
        assert kernel.std() == pytest.approx((2 / (9 * 16)) ** 0.5, rel=0.1)


@pytest.mark.parametrize("bottleneck", [False, True])
def test_a_residual_block_whose_branch_says_nothing_passes_x_on(bottleneck):
    inputs = keras.Input((5, 6, 4))
    filters, last = (1, "b_conv3") if bottleneck else (4, "b_conv2")
    model = keras.Model(inputs, blocks.residual(inputs, filters, name="b", bottleneck=bottleneck))
    assert not [layer.name for layer in model.layers if "shortcut" in layer.name]
    model.get_layer(f"{last}_norm").gamma.assign(np.zeros(4))
    images = ramp((2, 5, 6, 4))
    np.testing.assert_array_equal(model(images), np.maximum(images, 0))


def test_without_a_projection_a_shortcut_is_every_second_pixel_and_zeros():
    inputs = keras.Input((5, 6, 2))
    block = blocks.residual(inputs, 4, name="b", stride=2, projection=False)
    model = keras.Model(inputs, block)
    model.get_layer("b_conv2_norm").gamma.assign(np.zeros(4))
    images = ramp((2, 5, 6, 2))
    got = np.asarray(model(images))
    np.testing.assert_array_equal(got[..., 1:3], np.maximum(images[:, ::2, ::2], 0))
    assert not got[..., [0, 3]].any()
