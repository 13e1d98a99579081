"""TF Serving's warm-up file: requests it runs before a version counts as available."""

import pathlib

import numpy as np
import tensorflow as tf

from dlcv_tf.artifact import tfs_messages
from dlcv_tf.data import shapes
from dlcv_tf.export.parity import png
from dlcv_tf.tasks.picture_task import PictureTask

BATCHES = (1, 8)
MOST_BYTES = 2**20  # of pictures as numbers in a file: large pictures come in smaller batches
FILE = pathlib.Path("assets.extra", "tf_serving_warmup_requests")


def write_warmup(task: PictureTask, directory: pathlib.Path, model_name: str) -> None:
    """Writes drawn pictures as requests to both signatures, as a TFRecord of `PredictionLog`.

    Args:
        task: gives picture size and channels.
        directory: the SavedModel.
        model_name: the model the requests name.
    """
    random = np.random.default_rng(0)
    side = max(task.preprocess.size)
    height, width = task.preprocess.size
    most = max(1, MOST_BYTES // (height * width * task.preprocess.channels) - 1)
    batches = sorted({min(size, most) for size in BATCHES})
    drawn = np.stack([shapes.draw(number % 6, random, side) for number in range(max(batches))])
    drawn = drawn[:, :height, :width, : task.preprocess.channels]
    path = directory / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for size in batches:
            for signature, name, values in (
                ("serving_default", "images", drawn[:size]),
                ("image_bytes", "image_bytes", [png(picture) for picture in drawn[:size]]),
            ):
                log = tfs_messages.PredictionLog()
                request = log.predict_log.request
                request.model_spec.name = model_name
                request.model_spec.signature_name = signature
                request.inputs[name].CopyFrom(tfs_messages.tensor(values))
                writer.write(log.SerializeToString())
