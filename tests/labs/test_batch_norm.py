"""The labs on batch norm bear out what the course says."""

import numpy as np
import pytest

from dlcv_tf.labs import batch_norm


@pytest.mark.slow
def test_batch_norm_learns_from_weights_of_nearly_any_scale():
    finding = batch_norm.weight_scale_sweep(num_scales=5, pictures=600)
    assert finding.holds
    assert finding.numbers["decades"]["batch norm"] >= 2 > finding.numbers["decades"]["baseline"]
    assert finding.numbers["scales"] == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1])
    baseline = finding.numbers["baseline"]["accuracy"]
    assert baseline[0] < 0.25 < 0.9 < max(baseline)


@pytest.mark.slow
def test_small_batches_are_worse_for_batch_norm():
    finding = batch_norm.batch_size_sweep(batch_sizes=(5, 50), epochs=6)
    assert finding.holds
    assert finding.numbers["gain"].keys() == {"5", "50"}


@pytest.mark.slow
def test_batch_norm_takes_larger_learning_rates():
    finding = batch_norm.learning_rates_tolerated(num_rates=5, epochs=3)
    assert finding.holds


def test_training_again_starts_from_the_same():
    found = batch_norm._load("digits", 100, std=None)
    trainer = batch_norm._Trainer(found, (10,), True, "adam")
    first, other, again = (trainer.train(scale, 0.01, 1, 20, 0) for scale in (0.1, 0.2, 0.1))
    assert first == again != other


def test_decades_are_those_of_the_longest_run():
    scales = np.logspace(-4, 0, 5)
    assert batch_norm._decades(scales, np.array([0.1, 1.0, 0.9, 0.85, 0.1])) == pytest.approx(2)
    assert batch_norm._decades(scales, np.array([1.0, 0.1, 0.9, 0.1, 0.9])) == 0
    assert batch_norm._decades(scales, np.array([1.0, 1.0, 0.1, 0.1, 0.9])) == pytest.approx(1)
