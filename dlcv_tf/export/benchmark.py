"""Latency of every format of an artifact, each on its own runtime, on this machine."""

import pathlib

import numpy as np

from dlcv_tf.artifact.manifest import Manifest
from dlcv_tf.data import shapes
from dlcv_tf.export import parity

BATCH_SIZES = (1, 8, 32)


def benchmark(directory: str | pathlib.Path, manifest: Manifest) -> list[dict]:
    """Times every format on drawn pictures of the network's size.

    Args:
        directory: of the artifact.
        manifest: of the artifact.

    Returns:
        For each format and batch size: `format`, `runtime`, `batch_size` and the median
        `milliseconds` of a call.
    """
    height, width = manifest.preprocessing["size"]
    random = np.random.default_rng(0)
    drawn = shapes.draw(0, random, max(height, width))
    pictures = drawn[None, :height, :width, : manifest.preprocessing["channels"]]
    results = []
    for format in manifest.formats:
        run = parity.runner(pathlib.Path(directory), format, (height, width))
        for batch_size in BATCH_SIZES:
            results.append(
                {
                    "format": format,
                    "runtime": parity.runtime_name(format),
                    "batch_size": batch_size,
                    "milliseconds": parity.latency(run, pictures, batch_size),
                }
            )
    return results
