"""SavedModel: the format of TF Serving, and the one the other formats are converted from."""

import pathlib

import tensorflow as tf

from dlcv_tf.ops import images as image_ops
from dlcv_tf.tasks import Classifier


def export_saved_model(
    task: Classifier, path: str | pathlib.Path, *, fixed_size: bool = False
) -> pathlib.Path:
    """Writes a task with its preprocessing and decoding as a SavedModel.

    Signatures: `serving_default` takes `images` (batch, height, width, channels) uint8, any size;
    `image_bytes` takes (batch,) encoded JPEG or PNG strings and also answers `labels`.

    Args:
        task: trained task.
        path: directory to write.
        fixed_size: take pictures of the network's size only and leave `image_bytes` out, for
            converters that need static sizes.

    Returns:
        The path.
    """
    size = task.preprocess.size if fixed_size else (None, None)
    channels = task.preprocess.channels

    @tf.function(input_signature=[tf.TensorSpec((None, *size, channels), tf.uint8, name="images")])
    def from_images(images):
        return task.answer(images)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def from_bytes(image_bytes):
        def decoded(encoded):
            picture = image_ops.decode(encoded, channels)
            return image_ops.resize(picture[None], task.preprocess.size)[0]

        pictures = tf.map_fn(decoded, image_bytes, fn_output_signature=tf.float32)
        pictures = tf.ensure_shape(pictures, (None, *task.preprocess.size, channels))
        answers = task.answer(pictures)
        labels = tf.constant(task.labels)
        return answers | {"labels": tf.gather(labels, answers["classes"])}

    module = tf.Module()
    # The variables alone, not the Keras model: that would store every weight twice.
    module.weights = [variable.value for variable in task.weights]
    signatures = {"serving_default": from_images}
    if not fixed_size:
        signatures["image_bytes"] = from_bytes
    tf.saved_model.save(module, str(path), signatures=signatures)
    return pathlib.Path(path)


def frozen_function(saved_model: str | pathlib.Path):
    """Reads `serving_default` with its weights as constants, as one graph without calls.

    Returns:
        The function, and the names of its outputs in order.
    """
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    loaded = tf.saved_model.load(str(saved_model))
    signature = loaded.signatures["serving_default"]
    names = sorted(signature.structured_outputs)  # the order in which a dict is flattened
    return convert_variables_to_constants_v2(signature), names
