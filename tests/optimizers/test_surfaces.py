"""Paths over loss surfaces are those that the lecture derives."""

import numpy as np
import pytest

from dlcv_tf import optimizers
from dlcv_tf.optimizers import surfaces


def test_gradient_descent_on_a_quadratic_has_a_closed_form():
    matrix = surfaces.valley(20.0, degrees=25)
    start = np.array([1.5, -0.4])
    path = optimizers.descend(surfaces.quadratic(matrix), start, optimizers.SGD(0.07), steps=50)
    step = np.eye(2) - 0.07 * matrix
    expected = [np.linalg.matrix_power(step, t) @ start for t in range(51)]
    np.testing.assert_allclose(path, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("part", "falls"), [(0.2, True), (0.98, True), (1.02, False)])
def test_two_over_the_largest_curvature_is_the_limit_of_the_rate(part, falls):
    largest = 7.0
    loss = surfaces.quadratic(np.diag([1.0, largest]))
    path = optimizers.descend(loss, (1.0, 1.0), optimizers.SGD(part * 2 / largest), steps=200)
    values = loss(path).numpy()
    assert np.all(np.diff(values) < 0) if falls else values[-1] > 100 * values[0]


def test_noise_is_added_to_each_gradient_and_follows_from_the_seed():
    flat = surfaces.quadratic(np.zeros((2, 2)))
    paths = [
        optimizers.descend(flat, (0.0, 0.0), optimizers.SGD(1.0), 4000, noise=0.5, seed=seed)
        for seed in (1, 1, 2)
    ]
    assert np.array_equal(paths[0], paths[1]) and not np.array_equal(paths[0], paths[2])
    steps = np.diff(paths[0], axis=0)
    assert abs(steps.std() - 0.5) < 0.02 and abs(steps.mean()) < 0.03


def test_erratum_e11_the_condition_number_is_largest_over_smallest():
    assert optimizers.condition_number(np.diag([0.5, 10.0, 2.0])) == pytest.approx(20.0, rel=1e-12)
    assert optimizers.condition_number(surfaces.valley(100.0, degrees=45)) == pytest.approx(100.0)
    random = np.random.default_rng(0)
    for _ in range(20):
        matrix = random.normal(size=(4, 3))
        number = optimizers.condition_number(matrix)
        assert number >= 1
        np.testing.assert_allclose(number, np.linalg.cond(matrix), rtol=1e-10)
    assert optimizers.condition_number(np.eye(3)) == 1.0
    assert optimizers.condition_number(np.zeros((2, 2))) == float("inf")


def test_surfaces_take_grids_and_points_alike():
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 5), np.linspace(0, 2, 7)), axis=-1)
    matrix = surfaces.valley(3.0, degrees=10)
    for surface in (
        surfaces.saddle,
        surfaces.two_minima,
        surfaces.rosenbrock,
        surfaces.quadratic(matrix),
    ):
        heights = np.asarray(surface(grid))
        assert heights.shape == (7, 5)
        np.testing.assert_allclose(heights[3, 2], surface(grid[3, 2]), atol=1e-15)
    x = grid[6, 4]
    np.testing.assert_allclose(surfaces.quadratic(matrix)(x), x @ matrix @ x / 2)
    assert surfaces.rosenbrock(np.array([1.0, 1.0])) == 0


def test_bad_matrices_are_named():
    with pytest.raises(ValueError, match="expected a symmetric one"):
        surfaces.quadratic(np.array([[1.0, 2.0], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="got an array of shape .3,., expected a finite matrix"):
        optimizers.condition_number(np.ones(3))
