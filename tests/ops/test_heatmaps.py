"""Heatmaps against oracles in plain NumPy, and against the conventions of published codes."""

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops import heatmaps
from tests.helpers import ramp

JOINTS = np.array([[[2.5, 1.5, 1], [0.2, 3.9, 1], [6.3, 2.75, 1], [-3.0, 9.0, 0]]])
SIZE = (5, 8)  # height, width


def oracle(joints, size, sigma):
    maps = np.zeros((*joints.shape[:-2], *size, joints.shape[-2]))
    for *where, joint in np.ndindex(*joints.shape[:-1]):
        x, y = joints[(*where, joint)][:2]
        for row in range(size[0]):
            for column in range(size[1]):
                squared = (column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2
                maps[(*where, row, column, joint)] = np.exp(-squared / (2 * sigma**2))
    return maps


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.5])
def test_gaussians_are_those_of_the_formula(sigma):
    got = heatmaps.gaussians(JOINTS, SIZE, sigma)
    assert got.dtype == tf.float64
    np.testing.assert_allclose(got, oracle(JOINTS, SIZE, sigma), rtol=0, atol=1e-12)


def test_rounded_and_cut_gaussians_are_those_of_the_simple_baselines():
    # As `generate_target` of the simple baselines: mu = int(place / stride + 0.5), cells at whole
    # numbers, a patch of 3 sigma around them.
    sigma, stride = 1.0, 4.0
    pixels = np.array([[[9.0, 7.0], [14.2, 5.9]]])
    expected = np.zeros((5, 8, 2))
    for joint, (x, y) in enumerate(pixels[0]):
        mean_x, mean_y = int(x / stride + 0.5), int(y / stride + 0.5)
        for row in range(max(0, mean_y - 3), min(5, mean_y + 4)):
            for column in range(max(0, mean_x - 3), min(8, mean_x + 4)):
                squared = (column - mean_x) ** 2 + (row - mean_y) ** 2
                expected[row, column, joint] = np.exp(-squared / 2)
    got = heatmaps.gaussians(pixels / stride, SIZE, sigma, first_centre=0.0, rounded=True, cut=3.0)
    np.testing.assert_allclose(got[0], expected, atol=1e-12)
    assert np.max(got) == 1


def test_decoding_finds_what_was_drawn():
    joints = np.array([[[2.5, 1.5], [4.7, 3.2], [6.3, 2.25]]])
    maps = heatmaps.gaussians(joints, SIZE, 1.0)
    highest = heatmaps.argmax(maps).numpy()
    np.testing.assert_array_equal(highest[0, :, :2], [[2.5, 1.5], [4.5, 3.5], [6.5, 2.5]])
    np.testing.assert_allclose(highest[0, :, 2], np.max(maps[0], axis=(0, 1)))
    moved = heatmaps.quarter_offset(maps).numpy()
    # between equal neighbours it stays; else a quarter towards the joint
    np.testing.assert_allclose(moved[0, :, :2], [[2.5, 1.5], [4.75, 3.25], [6.25, 2.25]])
    wide = heatmaps.gaussians(np.array([[[16.3, 14.6]]]), (32, 32), 1.5)
    log_maps = np.log(np.maximum(wide, 1e-300))
    soft = heatmaps.soft_argmax(log_maps).numpy()  # their softmax is the Gaussian itself
    np.testing.assert_allclose(soft[0, 0, :2], [16.3, 14.6], atol=1e-9)


def test_decoding_against_loops():
    maps = ramp((3, *SIZE, 4), "float64", low=-2, high=3)
    argmax, quarter, soft = (
        heatmaps.decode(maps, how).numpy() for how in ("argmax", "quarter", "soft")
    )
    for number, joint in np.ndindex(3, 4):
        one = maps[number, :, :, joint]
        row, column = np.unravel_index(np.argmax(one), SIZE)
        np.testing.assert_allclose(argmax[number, joint], [column + 0.5, row + 0.5, one.max()])
        x, y = column + 0.5, row + 0.5
        if 0 < column < SIZE[1] - 1:
            x += 0.25 * np.sign(one[row, column + 1] - one[row, column - 1])
        if 0 < row < SIZE[0] - 1:
            y += 0.25 * np.sign(one[row + 1, column] - one[row - 1, column])
        np.testing.assert_allclose(quarter[number, joint], [x, y, one.max()])
        weights = np.exp(one - one.max()) / np.exp(one - one.max()).sum()
        rows, columns = np.indices(SIZE) + 0.5
        expected = [(weights * columns).sum(), (weights * rows).sum(), weights.max()]
        np.testing.assert_allclose(soft[number, joint], expected, atol=1e-9)


def test_equal_maps_give_the_first_cell_and_the_middle():
    maps = np.ones((1, *SIZE, 1))
    np.testing.assert_array_equal(heatmaps.quarter_offset(maps)[0, 0], [0.5, 0.5, 1])
    np.testing.assert_allclose(heatmaps.soft_argmax(maps)[0, 0], [4, 2.5, 1 / 40])


def test_first_centre_moves_every_place():
    maps = ramp((2, *SIZE, 3))
    for how in heatmaps.DECODINGS:
        half = heatmaps.decode(maps, how).numpy()
        whole = heatmaps.decode(maps, how, first_centre=0.0).numpy()
        np.testing.assert_allclose(half[..., :2] - whole[..., :2], 0.5, atol=1e-5)


def test_a_low_temperature_comes_close_to_the_highest_cell():
    maps = ramp((2, *SIZE, 3), "float64")
    np.testing.assert_allclose(
        heatmaps.soft_argmax(maps, 1e-4)[..., :2], heatmaps.argmax(maps)[..., :2], atol=1e-6
    )


def test_soft_argmax_has_a_gradient():
    maps = tf.constant(ramp((1, 3, 4, 2), "float64"))
    weights = ramp((1, 2, 2), "float64")

    def value(values):
        return tf.reduce_sum(heatmaps.soft_argmax(values)[..., :2] * weights)

    with tf.GradientTape() as tape:
        tape.watch(maps)
        result = value(maps)
    gradient = tape.gradient(result, maps).numpy()
    for index in np.ndindex(*maps.shape):
        step = np.zeros(maps.shape)
        step[index] = 1e-6
        slope = (value(maps + step) - value(maps - step)) / 2e-6
        assert abs(slope - gradient[index]) < 1e-8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: heatmaps.gaussians(JOINTS, SIZE, 0.0), "got sigma=0.0, expected a width above 0"),
        (lambda: heatmaps.gaussians([1.0, 2.0], SIZE), r"got joints of shape \(2,\)"),
        (lambda: heatmaps.argmax(np.ones((4, 4, 3))), r"got heatmaps of shape \(4, 4, 3\)"),
        (lambda: heatmaps.soft_argmax(np.ones((1, 4, 4, 3)), 0.0), "got temperature=0.0"),
        (lambda: heatmaps.decode(np.ones((1, 4, 4, 3)), "mean"), "got decoding 'mean'"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
