"""Latency of every format of an artifact, each on its own runtime, on this machine."""

import pathlib

import numpy as np

from dlcv_tf.artifact.manifest import Manifest
from dlcv_tf.data import shapes
from dlcv_tf.export import parity, undecoded

BATCH_SIZES = (1, 8, 32)


def benchmark(
    directory: str | pathlib.Path, manifest: Manifest, pictures: np.ndarray | None = None
) -> list[dict]:
    """Times every format, and of tasks that say where things are the share of decoding too.

    That share depends on how many boxes there are to be compared: time it on real pictures.

    Args:
        directory: of the artifact.
        manifest: of the artifact.
        pictures: (n, height, width, channels) uint8; a drawn one of the network's size by default.

    Returns:
        For each format and batch size: `format`, `runtime`, `batch_size`, the median `milliseconds`
        of a call, and `decode_share` in [0, 1], the part of them after the network's raw outputs:
        suppression and the like. It is None for classifiers, whose softmax takes no time.
    """
    height, width = manifest.preprocessing["size"]
    if pictures is None:
        drawn = shapes.draw(0, np.random.default_rng(0), max(height, width))
        pictures = drawn[None, :height, :width, : manifest.preprocessing["channels"]]
    is_class = manifest.main_metric == "accuracy"
    results = []
    for format, entry in manifest.formats.items():
        run = parity.runner(
            pathlib.Path(directory), format, entry.get("image_size"), entry.get("decode")
        )
        raw = None if is_class else undecoded.runner(directory, format)
        for batch_size in BATCH_SIZES:
            whole = parity.latency(run, pictures, batch_size)
            share = None
            if raw:
                share = max(0.0, 1 - parity.latency(raw, pictures, batch_size) / whole)
            results.append(
                {
                    "format": format,
                    "runtime": parity.runtime_name(format),
                    "batch_size": batch_size,
                    "milliseconds": whole,
                    "decode_share": share,
                }
            )
    return results
