"""The sliding window: one pass gives what window by window gives, for much less work."""

import numpy as np
import pytest

from dlcv_tf import models
from dlcv_tf.errors import InputError
from dlcv_tf.models import summary
from tests.helpers import ramp

SIZES = ((9, 9), (12, 10), (20, 16))


@pytest.fixture(scope="module")
def network():
    network = models.sliding_window((30, 34, 3), 4, SIZES, widths=(4, 5, 6), window=14)
    for number in range(3):  # moving statistics of batch normalisation other than the initial ones
        network(ramp((2, 30, 34, 3), high=number + 1.0), training=True)
    return network


def test_one_pass_gives_the_same_scores_as_window_by_window(network):
    images = ramp((2, 30, 34, 3))
    logits = network(images)["logits"].numpy()
    assert logits.std() > 0.1
    single = models.window_by_window(network, images, batch_size=100).numpy()
    np.testing.assert_allclose(single, logits, atol=1e-5)


def test_boxes_are_the_windows_in_the_picture(network):
    boxes = network(ramp((1, 30, 34, 3)))["boxes"].numpy()[0]
    assert (boxes[:, :2] >= 0).all() and (boxes <= np.array([34, 30, 34, 30]) + 1e-4).all()
    sides = boxes[:, 2:] - boxes[:, :2]
    start = 0
    for width, height in SIZES:
        level = round(30 * 14 / height), round(34 * 14 / width)
        rows, columns = ((side - 14) // 4 + 1 for side in level)
        part = slice(start, start + rows * columns)
        np.testing.assert_allclose(
            sides[part], [[14 * 34 / level[1], 14 * 30 / level[0]]] * (rows * columns), rtol=1e-5
        )
        np.testing.assert_allclose(sides[start], [width, height], rtol=0.05)
        np.testing.assert_allclose(boxes[start + 1, 0], 4 * 34 / level[1], rtol=1e-5)
        start += rows * columns
    assert start == len(boxes)


def test_one_pass_is_less_work(network):
    classifier = network.get_layer("classifier")
    count = network.output["logits"].shape[1]
    alone = count * summary.macs(classifier, (14, 14, 3))
    assert alone > 3 * summary.macs(network)


def test_a_score_moves_with_the_window(network):
    classifier = network.get_layer("classifier")
    images = np.zeros((1, 40, 40, 3), np.float32)
    images[:, 10:18, 6:14] = ramp((8, 8, 3))
    moved = np.roll(images, (8, 4), (1, 2))  # two windows down, one to the right
    first, second = classifier(images).numpy(), classifier(moved).numpy()
    np.testing.assert_allclose(second[:, 2:, 1:], first[:, :-2, :-1], atol=1e-6)
    assert first.std() > 0


def test_what_has_no_layers_is_refused():
    with pytest.raises(InputError, match="window=16 and widths=.*10, 14, 18"):
        models.sliding_window((32, 32, 3), 4, window=16)
    with pytest.raises(InputError, match="windows of 40 x 9 pixels for pictures of 32 x 32"):
        models.sliding_window((32, 32, 3), 4, [(40, 9)])
