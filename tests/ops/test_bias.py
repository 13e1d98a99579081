"""The bias trick: W x + b is [W b] [x; 1]."""

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import models
from dlcv_tf.errors import InputError
from dlcv_tf.ops import bias
from tests.helpers import ramp


def test_a_folded_bias_gives_the_same_scores_exactly():
    random = np.random.default_rng(0)
    x, w, b = (random.integers(-9, 10, shape).astype(float) for shape in ((5, 7), (7, 3), 3))
    folded = bias.fold_bias(w, b)
    assert folded.shape == (8, 3) and folded.dtype == tf.float64
    np.testing.assert_array_equal(bias.append_one(x) @ folded, x @ w + b)  # whole numbers: exact
    np.testing.assert_array_equal(bias.append_one(x)[:, :-1], x)


def test_a_trained_layers_bias_can_be_folded():
    network = models.linear((2, 3, 1), 4)
    network.set_weights([ramp((6, 4)), ramp((4,))])
    images = ramp((5, 2, 3, 1))
    folded = bias.fold_bias(*network.get_weights())
    found = bias.append_one(images.reshape(5, 6)) @ folded
    np.testing.assert_allclose(found, network(images)["logits"], atol=1e-6)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"got a kernel of shape \(3, 7\) and a bias of shape \(7"):
        bias.fold_bias(np.zeros((7, 3)).T, np.zeros(7)[:, None])
    with pytest.raises(InputError, match="transpose a kernel with classes in rows"):
        bias.fold_bias(np.zeros((3, 7)), np.zeros(3))
