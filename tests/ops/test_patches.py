"""Windows, im2col and their transposes; whitening filters are uncorrelated, of unit size."""

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


@pytest.mark.parametrize("size, stride", [(2, 1), (3, 2), (1, 3), (5, 4)])
def test_windows_hold_the_pixels_under_them(size, stride):
    images = ramp((2, 9, 7, 3))
    got = patches.windows(images, size, stride).numpy()
    views = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))
    expected = views[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)
    assert got.shape[1:3] == patches.places(images, size, stride)
    np.testing.assert_array_equal(got, expected.reshape(got.shape))


def test_im2col_of_the_first_layer_of_alexnet():
    """cs231n.github.io, convolutional-networks.md: 227x227x3, F = 11, S = 4: 363 x 3025."""
    images = ramp((1, 227, 227, 3))
    columns = patches.im2col(images, 11, stride=4)
    assert columns.shape == (363, 3025)
    np.testing.assert_array_equal(columns[:, 56], images[0, 4:15, 4:15].ravel())  # one down, one on


@pytest.mark.parametrize("size, stride", [(2, 1), (3, 2), (4, 1)])
def test_col2im_is_the_transpose_of_im2col(size, stride):
    images = ramp((2, 9, 7, 3), "float64")
    columns = patches.im2col(images, size, stride).numpy()
    other = ramp(columns.shape, "float64", low=-2)
    back = patches.col2im(tf.constant(other), images.shape, size, stride).numpy()
    assert back.shape == images.shape
    assert (columns * other).sum() == pytest.approx((images * back).sum(), rel=1e-12)
    ones = patches.col2im(tf.ones_like(columns), images.shape, size, stride).numpy()
    assert ones.max() == (1 + (size - 1) // stride) ** 2  # how many windows cover a pixel


@pytest.mark.parametrize("padding", ["valid", "same", 0, 2, np.int64(1)])
@pytest.mark.parametrize("size, stride", [(3, 1), (3, 2), (4, 3)])
def test_a_frame_is_tensorflow_s_and_comes_off_again(padding, size, stride):
    images = ramp((2, 9, 8, 3))
    frame = patches.frame(images, padding, size, stride)
    padded = tf.pad(images, frame)
    np.testing.assert_array_equal(patches.unframe(padded, frame), images)
    if isinstance(padding, str):
        kernel = ramp((size, size, 3, 2))
        expected = tf.nn.conv2d(images, kernel, stride, padding.upper())
        np.testing.assert_allclose(
            tf.nn.conv2d(padded, kernel, stride, "VALID"), expected, atol=1e-5
        )
    else:
        assert padded.shape == (2, 9 + 2 * padding, 8 + 2 * padding, 3)


def test_windows_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="got windows of 5 pixels with stride 1.*9x4.*pad"):
        patches.windows(np.zeros((1, 9, 4, 3)), 5)
    with pytest.raises(InputError, match="got stride=0"):
        patches.places(np.zeros((1, 9, 4, 3)), 2, 0)
    with pytest.raises(InputError, match=r"got pictures of shape \(9, 4, 3\)"):
        patches.im2col(np.zeros((9, 4, 3)), 2)
    for stride in (0, (2, 2), 1.5, True):
        for count in (
            lambda stride=stride: patches.places(np.zeros((1, 9, 4, 3)), 2, stride),
            lambda stride=stride: patches.frame(np.zeros((1, 9, 4, 3)), "same", 2, stride),
        ):
            with pytest.raises(InputError, match="got stride=.*expected a whole number, 1 or more"):
                count()
    for padding in ("full", -1, 0.5, None, True, (1, 1)):
        with pytest.raises(InputError, match="expected 'valid', 'same' or a number of pixels"):
            patches.frame(np.zeros((1, 9, 4, 3)), padding, 2)
