"""TensorFlow Lite, in float32 and in int8, of builtin ops only: LiteRT has no others."""

import pathlib
import tempfile
import warnings

import numpy as np


def export_tflite(saved_model: str | pathlib.Path, path: str | pathlib.Path) -> pathlib.Path:
    """Converts the `serving_default` signature of a SavedModel to a float32 model.

    Args:
        saved_model: directory with a SavedModel.
        path: file to write.

    Returns:
        The path.

    Raises:
        Exception: from the converter, for an op that is not a builtin of TensorFlow Lite.
    """
    return _convert(saved_model, path)


def export_tflite_int8(
    saved_model: str | pathlib.Path, path: str | pathlib.Path, pictures: np.ndarray
) -> pathlib.Path:
    """Converts a SavedModel of fixed picture size to int8 weights and activations.

    Args:
        saved_model: directory with a SavedModel whose pictures have one size.
        path: file to write.
        pictures: (n, height, width, channels) uint8 real pictures, whose activations give the
            ranges.

    Returns:
        The path.

    Raises:
        Exception: from the converter.
    """
    return _convert(saved_model, path, pictures)


def _convert(saved_model, path, pictures: np.ndarray | None = None) -> pathlib.Path:
    import tensorflow as tf

    from dlcv_tf.export.saved_model import frozen_function

    frozen, names = frozen_function(saved_model)
    spec = tf.TensorSpec(frozen.inputs[0].shape, frozen.inputs[0].dtype, name="images")

    @tf.function(input_signature=[spec])
    def serving_default(images):
        return dict(zip(names, frozen(images), strict=True))

    # Saved once more with constants: from variables the converter makes a model of NaN.
    with tempfile.TemporaryDirectory() as directory:
        signatures = {"serving_default": serving_default}
        # Gradients by hand (tf.custom_gradient) stay out: frozen, their functions cannot be saved.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(tf.Module(), directory, signatures=signatures, options=options)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            directory, signature_keys=["serving_default"]
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if pictures is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                {"images": picture[None]} for picture in pictures
            )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Statistics for quantized inputs", UserWarning)
            converted = converter.convert()
    pathlib.Path(path).write_bytes(converted)
    return pathlib.Path(path)
