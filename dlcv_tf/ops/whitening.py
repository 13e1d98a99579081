"""Principal axes of vectors, and the matrices that decorrelate and whiten them."""

import numpy as np

from dlcv_tf.errors import InputError

MATRICES = ("pca", "whiten", "zca")
NO_VARIANCE = 1e-12  # of the largest variance: what rounding leaves of none


def principal_axes(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the directions in which data varies independently, and how much in each.

    The eigenvectors of the covariance. Their signs are free: the largest entry of each is made
    positive, so that the same data always gives the same axes.

    Args:
        covariance: (size, size) symmetric matrix, `X.T @ X / n` of centred data.

    Returns:
        `axes` (size, size) float64, one unit vector a COLUMN, by falling variance; `variances`
        (size,) float64, never below zero.

    Raises:
        InputError: not a square matrix of finite numbers.
    """
    covariance = np.asarray(covariance, np.float64)
    if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1]:
        raise InputError(
            f"got a covariance of shape {covariance.shape}, expected (size, size): "
            "X.T @ X / n of centred data"
        )
    if not np.isfinite(covariance).all():
        raise InputError("got a covariance with NaN or infinity: remove such examples first")
    variances, axes = np.linalg.eigh(covariance)
    variances, axes = np.maximum(variances[::-1], 0), axes[:, ::-1]
    largest = np.abs(axes).argmax(axis=0)
    return axes * np.sign(axes[largest, np.arange(len(axes))]), variances


def whitening_matrix(
    axes: np.ndarray,
    variances: np.ndarray,
    how: str = "whiten",
    epsilon: float = 1e-5,
    components: int | None = None,
) -> np.ndarray:
    """Returns the matrix `M` for which `centred @ M` is decorrelated or white.

    With the axes `U` and the variances `S`: `"pca"` is `U` (a rotation: the covariance becomes
    diagonal), `"whiten"` is `U / sqrt(S + epsilon)` (the covariance becomes the identity), `"zca"`
    is `U / sqrt(S + epsilon) @ U.T` (white too, and of all such the nearest to the data: a whitened
    picture still looks like one). Whitening leaves out axes along which the data does not vary at
    all, such as a pixel that is always black: there is nothing to divide.

    Args:
        axes: (size, size), one axis a column, as `principal_axes` returns them.
        variances: (size,) along the axes.
        how: `"pca"`, `"whiten"` or `"zca"`.
        epsilon: added to the variances INSIDE the root, as CS231n's notes do. It keeps axes that
            hold nothing but noise from being blown up; what is left of an axis' variance is
            `S / (S + epsilon)`.
        components: keep only so many axes, those of largest variance; all by default.

    Returns:
        (size, components) float64; (size, size) for `"zca"`.

    Raises:
        InputError: unknown way, a negative epsilon, more components than axes.
    """
    if how not in MATRICES:
        raise InputError(f"got how={how!r}, expected one of {', '.join(MATRICES)}")
    size = len(variances)
    kept = size if components is None else components
    if not 1 <= kept <= size:
        raise InputError(f"got components={components}, expected 1 to {size}")
    axes, variances = axes[:, :kept], variances[:kept]
    if how == "pca":
        return axes
    if not epsilon >= 0:
        raise InputError(f"got epsilon={epsilon}, expected 0 or more: it is added to the variances")
    varies = variances > NO_VARIANCE * max(variances[0], np.finfo(np.float64).tiny)
    scale = np.divide(1, np.sqrt(variances + epsilon), where=varies, out=np.zeros(kept))
    scaled = axes * scale
    return scaled @ axes.T if how == "zca" else scaled
