"""Clipping shortens a gradient that is too long, and leaves its direction and all others alone."""

import keras
import numpy as np
import pytest

from dlcv_tf import optimizers

GRADIENTS = [np.array([3.0, 0.0, -4.0]), np.array([[12.0, 0.0]])]  # their global norm is 13


@pytest.mark.parametrize("threshold", [1.0, 5.0, 13.0, 20.0])
def test_erratum_e17_the_gradient_is_clipped_not_normalised(threshold):
    variables = [keras.Variable(np.zeros_like(each), dtype="float64") for each in GRADIENTS]
    rule = optimizers.SGD(1.0, global_clipnorm=threshold)
    rule.apply([keras.ops.convert_to_tensor(each) for each in GRADIENTS], variables)
    steps = np.concatenate([-np.ravel(each) for each in variables])
    whole = np.concatenate([each.ravel() for each in GRADIENTS])
    np.testing.assert_allclose(np.linalg.norm(steps), min(13, threshold), rtol=1e-6)
    np.testing.assert_allclose(steps / np.linalg.norm(steps), whole / 13, atol=1e-6)
    if threshold >= 13:  # a short gradient keeps its length: it is not made longer
        np.testing.assert_allclose(steps, whole, rtol=1e-6)
