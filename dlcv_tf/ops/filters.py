"""Filters that are not learnt: Gabor's, which answer to lines of one direction and width."""

import math

import numpy as np

from dlcv_tf.errors import InputError


def gabor(
    size: int,
    orientations: int,
    *,
    wavelength: float = 6.0,
    spread: float = 2.5,
    elongation: float = 1.5,
    phase: float = 0.0,
    dtype: str = "float32",
) -> np.ndarray:
    """Returns a bank of Gabor filters: a wave across a line, under a Gaussian along it.

    g(u, v) = exp(-(u^2 + (v/elongation)^2) / (2 spread^2)) cos(2 pi u/wavelength + phase), where u
    is the distance from the line and v the place on it. Each filter then has mean 0, so that it
    does not answer to brightness, and norm 1. They resemble simple cells of the visual cortex, and
    the first layers that networks learn.

    Args:
        size: pixels a side; odd, so that there is a middle.
        orientations: K; line k lies at k * 180 / K degrees, counterclockwise from the horizontal.
        wavelength: pixels from crest to crest.
        spread: standard deviation of the Gaussian across the line, pixels.
        elongation: how many times wider the Gaussian is along the line.
        phase: 0 answers to a bright line, pi / 2 to an edge.
        dtype: of the result.

    Returns:
        (size, size, 1, K) kernel of a convolution of grey pictures.

    Raises:
        InputError: an even size, no orientation, or a width that is not above 0.

    Reference: Daugman 1985, "Uncertainty relation for resolution in space, spatial frequency, and
    orientation optimized by two-dimensional visual cortical filters".
    """
    if size < 3 or size % 2 == 0 or orientations < 1:
        raise InputError(
            f"got size={size} and orientations={orientations}, expected an odd size of 3 or more "
            "and at least one orientation"
        )
    if min(wavelength, spread, elongation) <= 0:
        raise InputError(
            f"got wavelength={wavelength}, spread={spread} and elongation={elongation}, expected "
            "all above 0"
        )
    angles = np.arange(orientations) * math.pi / orientations
    across, along = line_coordinates(size, angles)
    envelope = np.exp(-(across**2 + (along / elongation) ** 2) / (2 * spread**2))
    filters = envelope * np.cos(2 * math.pi * across / wavelength + phase)
    filters -= filters.mean(axis=(0, 1))
    filters /= np.linalg.norm(filters, axis=(0, 1))
    return filters[:, :, None, :].astype(dtype)


def line_coordinates(size: int, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns each pixel's distance from a line through the middle, and its place along it.

    Args:
        size: pixels a side of the picture.
        angles: (K,) of the lines, radians, counterclockwise from the horizontal.

    Returns:
        Two arrays (size, size, K), pixels; the distance is positive on the line's left side.
    """
    steps = np.arange(size) - (size - 1) / 2
    x, y = np.meshgrid(steps, -steps)  # rows go down, y goes up
    x, y = x[..., None], y[..., None]
    return y * np.cos(angles) - x * np.sin(angles), x * np.cos(angles) + y * np.sin(angles)
