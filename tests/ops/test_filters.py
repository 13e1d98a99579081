"""Gabor filters answer to lines of their own direction, and not to brightness."""

import math

import numpy as np
import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.ops import filters


def test_filters_have_mean_zero_and_norm_one():
    bank = filters.gabor(9, 5, dtype="float64")
    assert bank.shape == (9, 9, 1, 5) and bank.dtype == np.float64
    np.testing.assert_allclose(bank.mean(axis=(0, 1)), 0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(bank, axis=(0, 1)), 1, rtol=1e-12)


def test_value_is_the_formula():
    bank = filters.gabor(5, 4, wavelength=4, spread=2, elongation=1.5, phase=0.3, dtype="float64")
    expected = np.empty((5, 5))
    for row in range(5):
        for column in range(5):
            x, y = column - 2, 2 - row
            angle = math.pi / 4
            u = y * math.cos(angle) - x * math.sin(angle)
            v = x * math.cos(angle) + y * math.sin(angle)
            envelope = math.exp(-(u**2 + (v / 1.5) ** 2) / 8)
            expected[row, column] = envelope * math.cos(2 * math.pi * u / 4 + 0.3)
    expected -= expected.mean()
    np.testing.assert_allclose(bank[:, :, 0, 1], expected / np.linalg.norm(expected), atol=1e-12)


def test_a_quarter_turn_of_the_picture_is_a_quarter_turn_of_the_filter():
    bank = filters.gabor(11, 6)
    turned = np.rot90(bank[:, :, 0], axes=(0, 1))  # counterclockwise, as angles are counted
    np.testing.assert_allclose(turned[..., 1], bank[:, :, 0, 4], atol=1e-6)


def test_the_first_filter_likes_horizontal_lines():
    line = np.zeros((9, 9))
    line[4] = 1.0
    bank = filters.gabor(9, 8)[:, :, 0]
    assert np.tensordot(line, bank).argmax() == 0
    assert np.tensordot(line.T, bank).argmax() == 4


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        ((8, 4), {}, "got size=8 and orientations=4, expected an odd size"),
        ((9, 0), {}, "at least one orientation"),
        ((9, 4), {"spread": 0.0}, "got wavelength=6.0, spread=0.0 .*expected all above 0"),
    ],
)
def test_bad_options(arguments, options, message):
    with pytest.raises(InputError, match=message):
        filters.gabor(*arguments, **options)
