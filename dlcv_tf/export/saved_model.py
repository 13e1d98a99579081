"""SavedModel: the format of TF Serving, and the one the other formats are converted from."""

import pathlib

import tensorflow as tf

from dlcv_tf.ops import images as image_ops
from dlcv_tf.tasks.picture_task import PictureTask


def export_saved_model(
    task: PictureTask,
    path: str | pathlib.Path,
    *,
    fixed_size: bool = False,
    raw: bool = False,
) -> pathlib.Path:
    """Writes a task with its preprocessing and decoding as a SavedModel.

    Signatures: `serving_default` takes `images` (batch, height, width, channels) uint8, any size;
    `image_bytes` takes (batch,) encoded JPEG or PNG strings, of different sizes: places are in
    pixels of each. It answers `labels` beside `classes`, and `class_map_bytes`, a PNG file each, in
    place of `class_map`.

    Args:
        task: trained task.
        path: directory to write.
        fixed_size: take pictures of the network's size only and leave `image_bytes` out, for
            converters that need static sizes.
        raw: answer the network's raw outputs, without decoding; fixed size only.

    Returns:
        The path.
    """
    size = task.preprocess.size if fixed_size else (None, None)
    channels = task.preprocess.channels

    @tf.function(input_signature=[tf.TensorSpec((None, *size, channels), tf.uint8, name="images")])
    def from_images(images):
        return task(images, training=False) if raw else task.answer(images)

    module = tf.Module()
    # The variables alone, not the Keras model: that would store every weight twice.
    module.weights = [variable.value for variable in task.weights]
    signatures = {"serving_default": from_images}
    if not fixed_size:
        signatures["image_bytes"] = _bytes_function(task)
    tf.saved_model.save(module, str(path), signatures=signatures)
    return pathlib.Path(path)


def bytes_outputs(outputs: dict[str, dict]) -> dict[str, dict]:
    """Returns what `image_bytes` answers, given what `serving_default` does.

    Args:
        outputs: name to `{"dtype": ..., "shape": ...}`.
    """
    named = {name: spec for name, spec in outputs.items() if name != "class_map"}
    if "class_map" in outputs:
        named["class_map_bytes"] = {"dtype": "string", "shape": [None]}
    if "classes" in outputs:
        named["labels"] = outputs["classes"] | {"dtype": "string"}
    return named


def _bytes_function(task: PictureTask):
    """Returns the function of encoded pictures."""
    channels = task.preprocess.channels
    size = task.preprocess.size

    def decoded(encoded):
        picture = image_ops.decode(encoded, channels)
        return image_ops.resize(picture[None], size)[0], tf.shape(picture)[:2]

    def png_maps(outputs, sizes):
        """Decodes one by one, since the maps have the sizes of their pictures."""

        def one(values):
            raw, image_size = values
            answers = task.decode({name: each[None] for name, each in raw.items()}, image_size)
            return tf.io.encode_png(answers["class_map"][0, ..., None])

        return tf.map_fn(one, (outputs, sizes), fn_output_signature=tf.string)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def from_bytes(image_bytes):
        pictures, sizes = tf.map_fn(
            decoded, image_bytes, fn_output_signature=(tf.float32, tf.TensorSpec((2,), tf.int32))
        )
        pictures = tf.ensure_shape(pictures, (None, *size, channels))
        if "class_map" in task.answer_signature():
            return {"class_map_bytes": png_maps(task(pictures, training=False), sizes)}
        answers = task.answer(pictures, sizes)
        if "classes" not in answers:
            return answers
        labels = tf.gather(tf.constant(task.labels), answers["classes"])
        if "num_detections" in answers:  # what fills the answer up is no class
            found = tf.range(tf.shape(labels)[1])[None] < answers["num_detections"][:, None]
            labels = tf.where(found, labels, "")
        return answers | {"labels": labels}

    return from_bytes


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
