"""Pipelines feed the same pictures at different rates; devices are those there are."""

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.labs import pipelines


@pytest.mark.slow
def test_input_pipeline():
    finding = pipelines.input_pipeline(pictures=64, latency_ms=4.0, seconds=1.5)
    rates = finding.numbers["images_per_second"]
    assert list(rates) == ["one after the other", "+ prefetch", "+ parallel map", "+ cache"]
    # Waiting alone allows 1000 / 4 = 250 pictures a second one after the other.
    assert rates["one after the other"] < 250 < rates["+ cache"]
    assert rates["+ parallel map"] > 1.2 * rates["one after the other"]
    assert finding.numbers["training_alone"] > rates["one after the other"]


def test_every_pipeline_gives_the_same_batches():
    encoded, labels = pipelines._encoded(96, seed=0)
    made = pipelines._pipelines(encoded, labels, wait=0.0)
    first, *others = (list(batches.as_numpy_iterator()) for batches in made.values())
    assert len(first) == 3 and first[0][0].shape == (32, 32, 32, 3)
    assert 0.1 < first[0][0].std() < 0.5 and first[0][0].max() <= 1.001
    for other in others:
        for (images, numbers), (expected, truth) in zip(other, first, strict=True):
            np.testing.assert_array_equal(images, expected)
            np.testing.assert_array_equal(numbers, truth)


def test_devices_are_those_of_tensorflow():
    finding = pipelines.devices(sizes=(16, 256))
    names = {each.name.removeprefix("/physical_device:") for each in
             tf.config.list_physical_devices()}  # fmt: skip
    assert finding.numbers["matmul_gflops"].keys() == names
    gpus = [name for name in names if name.startswith("GPU")]
    assert finding.numbers["gpus"] == gpus
    assert ("There is no GPU on this machine" in finding.summary) is not bool(gpus)
    assert all(rate > 0 for rates in finding.numbers["matmul_gflops"].values() for rate in
               rates.values())  # fmt: skip
