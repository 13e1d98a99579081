"""Whitening filters give answers that are uncorrelated and of unit size."""

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops import patches
from tests.helpers import ramp


def smooth_pictures(shape=(40, 9, 8, 3)):
    """Returns pictures whose neighbouring pixels and channels are alike, of mean zero."""
    noise = np.random.default_rng(0).normal(size=shape)
    smooth = noise + np.roll(noise, 1, axis=1) + 0.5 * np.roll(noise, 1, axis=2)
    smooth += 0.7 * smooth[..., ::-1]
    return (smooth - smooth.mean()).astype(np.float32)


def answers(images, filters):
    """Returns (places, filters): a plain NumPy convolution of all patches."""
    size = filters.shape[0]
    windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))
    return np.einsum("nyxcab,abcf->nyxf", windows, filters).reshape(-1, filters.shape[-1])


@pytest.mark.parametrize("size", [1, 2, 3])
def test_answers_are_uncorrelated_and_of_unit_size(size):
    images = smooth_pictures()
    filters = patches.whitening_filters(images, size, epsilon=0.0)
    count = size * size * 3
    assert filters.shape == (size, size, 3, 2 * count) and filters.dtype == np.float32
    given = answers(images.astype(np.float64), filters)[:, :count]
    np.testing.assert_allclose(given.T @ given / len(given), np.eye(count), atol=1e-4)
    pixels = answers(images.astype(np.float64), np.eye(3).reshape(1, 1, 3, 3))
    assert abs(np.cov(pixels.T) - np.eye(3)).max() > 1  # the pictures themselves are not so


def test_the_second_half_is_the_first_negated():
    filters = patches.whitening_filters(smooth_pictures(), 2)
    np.testing.assert_array_equal(filters[..., 12:], -filters[..., :12])


def test_epsilon_shrinks_each_axis_by_its_variance_which_falls():
    images, epsilon = smooth_pictures(), 0.5
    given = answers(images, patches.whitening_filters(images, 2, epsilon))[:, :12]
    exact = answers(images, patches.whitening_filters(images, 2, 0.0))[:, :12]
    sizes = (given**2).mean(0)
    assert (np.diff(sizes) < 0).all()
    variances = epsilon * sizes / (1 - sizes)  # as size = variance / (variance + epsilon)
    np.testing.assert_allclose((exact**2).mean(0), 1, rtol=1e-3)
    windows = np.lib.stride_tricks.sliding_window_view(images, (2, 2), axis=(1, 2))
    rows = windows.reshape(-1, 12)
    np.testing.assert_allclose(
        variances, np.linalg.eigvalsh(rows.T @ rows / len(rows))[::-1], rtol=1e-3
    )


def test_pictures_that_are_all_alike_give_finite_filters():
    assert np.isfinite(patches.whitening_filters(np.zeros((2, 4, 4, 3)), 2)).all()


def test_a_tensor_is_taken_as_an_array_is():
    images = ramp((5, 4, 4, 1))
    np.testing.assert_array_equal(
        patches.whitening_filters(tf.constant(images), 2), patches.whitening_filters(images, 2)
    )


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (2, 1, 4, 3), (2, 4, 1, 3), (4, 4, 3)])
def test_what_holds_no_patch_is_refused(shape):
    with pytest.raises(InputError, match=r"got pictures of shape \(.*sides of at least 2"):
        patches.whitening_filters(np.zeros(shape, np.float32), 2)
