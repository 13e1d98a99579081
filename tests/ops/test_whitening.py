"""Principal axes and whitening against their definitions and scikit-learn."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from dlcv_tf.errors import InputError
from dlcv_tf.ops import whitening


def vectors(count=400, size=6):
    random = np.random.default_rng(0)
    mixed = random.normal(size=(count, size)) @ random.normal(size=(size, size)) * 10
    return mixed - mixed.mean(axis=0)


def covariance(x):
    return x.T @ x / len(x)


def test_axes_are_those_of_scikit_learn():
    x = vectors()
    axes, variances = whitening.principal_axes(covariance(x))
    fitted = PCA().fit(x)
    np.testing.assert_allclose(variances, fitted.explained_variance_ * 399 / 400, rtol=1e-10)
    alignment = np.abs(np.sum(axes * fitted.components_.T, axis=0))
    np.testing.assert_allclose(alignment, 1, atol=1e-10)
    assert (axes[np.abs(axes).argmax(axis=0), np.arange(6)] > 0).all()


def test_pca_decorrelates_and_may_reduce():
    x = vectors()
    axes, variances = whitening.principal_axes(covariance(x))
    rotated = x @ whitening.whitening_matrix(axes, variances, "pca")
    np.testing.assert_allclose(covariance(rotated), np.diag(variances), atol=1e-9)
    assert (np.diff(variances) < 0).all()
    reduced = x @ whitening.whitening_matrix(axes, variances, "pca", components=2)
    np.testing.assert_array_equal(reduced, rotated[:, :2])


@pytest.mark.parametrize("how", ["whiten", "zca"])
@pytest.mark.parametrize("epsilon", [0.0, 1e-5, 3.0])
def test_whitened_variance_is_what_epsilon_leaves(how, epsilon):
    x = vectors()
    axes, variances = whitening.principal_axes(covariance(x))
    white = covariance(x @ whitening.whitening_matrix(axes, variances, how, epsilon))
    left = np.diag(variances / (variances + epsilon))
    expected = left if how == "whiten" else axes @ left @ axes.T
    np.testing.assert_allclose(white, expected, atol=1e-9)


def test_whitening_is_the_formula_of_the_notes():
    # CS231n: U, S, V = svd(cov); Xrot = X @ U; Xwhite = Xrot / sqrt(S + 1e-5)
    x = vectors()
    u, s, _ = np.linalg.svd(covariance(x))
    expected = x @ u / np.sqrt(s + 1e-5)
    got = x @ whitening.whitening_matrix(*whitening.principal_axes(covariance(x)))
    np.testing.assert_allclose(np.abs(got), np.abs(expected), atol=1e-9)  # the signs are free


def test_an_axis_without_variance_is_left_out():
    x = vectors()
    x[:, 2] = 0
    axes, variances = whitening.principal_axes(covariance(x))
    for how in ("whiten", "zca"):
        matrix = whitening.whitening_matrix(axes, variances, how, epsilon=0)
        assert np.isfinite(matrix).all()
        np.testing.assert_allclose(np.array([0, 0, 1, 0, 0, 0]) @ matrix, 0, atol=1e-12)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"how": "ica"}, "got how='ica', expected one of pca, whiten, zca"),
        ({"epsilon": -1.0}, "got epsilon=-1.0, expected 0 or more"),
        ({"epsilon": np.nan}, "got epsilon=nan, expected 0 or more"),
        ({"components": 7}, "got components=7, expected 1 to 6"),
        ({"components": 0}, "got components=0, expected 1 to 6"),
    ],
)
def test_bad_options_are_refused(arguments, message):
    axes, variances = whitening.principal_axes(covariance(vectors()))
    with pytest.raises(InputError, match=message):
        whitening.whitening_matrix(axes, variances, **arguments)


@pytest.mark.parametrize("bad", [np.zeros((2, 3)), np.full((2, 2), np.nan)])
def test_bad_covariances_are_refused(bad):
    with pytest.raises(InputError, match="got a covariance"):
        whitening.principal_axes(bad)
