"""Shape arithmetic gives the numbers of the CS231n notes and of Keras itself."""

import itertools

import keras
import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.ops import arithmetic

# AlexNet's first layer, cs231n.github.io/convolutional-networks.md at 3d84654, lines 127-129.
ALEXNET_CONV1 = arithmetic.Convolution((227, 227, 3), filters=96, kernel=11, stride=4)


def test_seven_pixels_and_a_window_of_three():
    assert arithmetic.output_size(7, 3) == 5
    assert arithmetic.output_size(7, 3, stride=2) == 3
    with pytest.raises(InputError, match=r"2\.33 places") as raised:
        arithmetic.output_size(7, 3, stride=3)
    assert "stride 1 or 2 or 4 fits, so does padding=1" in str(raised.value)
    assert arithmetic.output_size(7, 3, stride=3, padding=1) == 3  # as it says
    assert arithmetic.output_size(7, 3, stride=3, floor=True) == 2


def test_examples_of_the_notes():
    assert arithmetic.output_size(227, 11, stride=4) == 55
    assert arithmetic.output_size(32, 5, padding=2) == 32
    assert arithmetic.output_size(11, 5, stride=2) == 4
    assert arithmetic.output_size(12, 7) == 6  # a fully connected 7x7 head as a convolution


def test_erratum_e4_size_and_parameters_of_a_convolution():
    # The notes' "image - filter + 1" holds at stride 1 without padding only; a filter has one bias.
    assert ALEXNET_CONV1.output_shape == (55, 55, 96) != (227 - 11 + 1,) * 2
    assert ALEXNET_CONV1.neurons == 290_400
    assert ALEXNET_CONV1.weights == 34_848
    assert ALEXNET_CONV1.parameters == 34_944
    assert ALEXNET_CONV1.unshared_parameters == 105_705_600
    assert ALEXNET_CONV1.im2col_shape == (363, 3025)
    assert ALEXNET_CONV1.macs == 363 * 3025 * 96


def test_ten_filters_have_760_parameters_wherever_they_are_put():
    ten = arithmetic.Convolution((32, 32, 3), filters=10, kernel=5, padding=2)
    assert ten.parameters == 760 and ten.output_shape == (32, 32, 10)
    layer = keras.layers.Conv2D(10, 5)
    layer.build((None, 32, 32, 3))
    assert layer.count_params() == 760


def test_fully_connected_counts():
    assert [arithmetic.dense_weights(units) for units in [(3, 4, 2), (3, 4, 4, 1)]] == [20, 32]
    assert [arithmetic.dense_parameters(units) for units in [(3, 4, 2), (3, 4, 4, 1)]] == [26, 41]
    assert arithmetic.dense_parameters((32 * 32 * 3, 10)) == 30_730


def test_sizes_are_those_of_keras():
    cases = itertools.product((5, 8, 13), (1, 2, 3, 5), (1, 2, 3), (0, 1, 2), (1, 2))
    compared = 0
    for size, kernel, stride, padding, dilation in cases:
        if (kernel - 1) * dilation + 1 > size + 2 * padding or (stride > 1 and dilation > 1):
            continue
        layer = keras.layers.Conv1D(1, kernel, strides=stride, dilation_rate=dilation)
        shape = layer.compute_output_shape((1, size + 2 * padding, 1))
        options = {"stride": stride, "padding": padding, "dilation": dilation}
        assert arithmetic.output_size(size, kernel, floor=True, **options) == shape[1]
        compared += 1
    assert compared > 100


def test_preserving_padding_keeps_the_size():
    for kernel, dilation in [(1, 1), (3, 1), (5, 1), (7, 1), (3, 2), (5, 4)]:
        padding = arithmetic.preserving_padding(kernel, dilation)
        assert arithmetic.output_size(32, kernel, padding=padding, dilation=dilation) == 32
    assert arithmetic.output_size(32, 2, padding=arithmetic.preserving_padding(2, 2), dilation=2)
    with pytest.raises(InputError, match="got a kernel of 4, expected an odd one.* take 3 or 5"):
        arithmetic.preserving_padding(4)


def test_receptive_fields():
    assert arithmetic.receptive_field([(3, 1)] * 3) == (7, 1)
    assert arithmetic.receptive_field([(7, 2), (3, 2)]) == (11, 4)
    assert arithmetic.receptive_field([(3, 1, 1), (3, 1, 2), (3, 1, 4)]) == (15, 1)
    assert arithmetic.receptive_field([]) == (1, 1)


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        ((0, 3), {}, "got size=0, expected a whole number, 1 or more"),
        ((7.5, 3), {}, "got size=7.5, expected a whole number"),
        ((7, 3), {"stride": 0}, "got stride=0"),
        ((7, 3), {"padding": -1}, "got padding=-1, expected 0 or more"),
        (
            (3, 7),
            {},
            r"window of 7 on 3 \+ 2\*0 pixels, expected one that fits: take padding=2 or more",
        ),
        ((3, 3), {"dilation": 3}, "window of 7 on 3"),
    ],
)
def test_bad_input(arguments, options, message):
    with pytest.raises(InputError, match=message):
        arithmetic.output_size(*arguments, **options)
