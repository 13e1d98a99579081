"""AlexNet has the published counts, single and in two towers, and what the lecture says of them."""

import keras
import numpy as np
import pytest

from dlcv_tf import models
from dlcv_tf.errors import InputError
from dlcv_tf.models import summary
from tests.helpers import ramp

TINY = {"widths": (4, 4, 6, 6, 4), "hidden_units": 8}


@pytest.fixture(scope="module")
def facts():
    """The table of the network at the paper's size."""
    return summary.summarize(models.alexnet((227, 227, 3), 1000))


def test_erratum_e16_the_fully_connected_layers_hold_94_percent(facts):
    # The lecture: 62M, of which FC6 38M, FC7 17M, FC8 4M, "1/3 of which live in a few layers".
    counts = {row.name: row.parameters for row in facts.rows if row.kind == "Dense"}
    assert counts == {"fc6": 37_752_832, "fc7": 16_781_312, "logits": 4_097_000}
    assert sum(counts.values()) == 58_631_144
    assert facts.parameters == 62_378_344
    assert sum(counts.values()) / facts.parameters == pytest.approx(0.94, abs=0.001)
    (advice,) = facts.warnings
    assert advice.layers == ("fc6",) and "(94%) are in fully connected layers" in advice.message


def test_first_layer_is_that_of_the_notes(facts):
    first = next(row for row in facts.rows if row.name == "conv1")
    assert first.output_shape == (55, 55, 96) and np.prod(first.output_shape) == 290_400
    assert first.parameters == 34_944 and first.macs == 55 * 55 * 34_848
    assert first.field == (11, 11) and first.stride == (4, 4)


def test_sizes_fall_as_in_the_paper(facts):
    shapes = {row.name: row.output_shape for row in facts.rows}
    assert [shapes[name] for name in ("pool1", "conv2", "pool2", "conv5", "pool5")] == [
        *((27, 27, 96), (27, 27, 256), (13, 13, 256), (13, 13, 256), (6, 6, 256))
    ]


def test_two_towers_have_the_papers_count_and_keep_apart():
    assert models.alexnet((227, 227, 3), 1000, grouped=True).count_params() == 60_965_224
    network = models.alexnet((67, 67, 3), 5, **TINY, grouped=True)
    network.get_layer("norm1").alpha = 0.0  # or it would mix the maps
    images = ramp((1, 67, 67, 3))
    probe = keras.Model(network.input, network.get_layer("conv2_towers").output)
    before = probe(images).numpy()
    kernel = network.get_layer("conv1").kernel
    kernel.assign(kernel * np.array([1, 1, 2, 2], "float32"))  # the second tower's maps alone
    after = probe(images).numpy()
    assert np.abs(after[..., 2:] - before[..., 2:]).max() > 0.1 * np.abs(before).max()
    np.testing.assert_allclose(after[..., :2], before[..., :2], rtol=1e-5)


def test_too_small_pictures():
    with pytest.raises(InputError, match="got pictures of 32x32 pixels, expected 67x67 or more"):
        models.alexnet((32, 32, 3), 10)
    assert models.alexnet((67, 67, 3), 5, **TINY)(ramp((1, 67, 67, 3)))["logits"].shape == (1, 5)
