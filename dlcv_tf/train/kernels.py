"""Fused kernels for Keras layers while a training step is traced: the same numbers, faster.

Keras writes batch normalisation as a dozen elementwise operations, each a pass through memory, and
TensorFlow fuses none of them on a CPU. TensorFlow has one kernel for all of them, which grappler
fuses with a ReLU that follows. Measured: `docs/performance.md`.
"""

import contextlib
import functools
from collections.abc import Iterator

import keras
import tensorflow as tf


@contextlib.contextmanager
def fused(model: keras.Model) -> Iterator[None]:
    """Lets every batch normalisation of a model use the fused kernel where it is called.

    Only what is traced inside this context is changed, and only in training: layers that the kernel
    does not suit (float64, synchronised, renormalised, masked, channels first) stay as they are,
    and where there is a GPU all do.

    Args:
        model: any Keras model; layers of nested models count.

    Example:
        >>> with kernels.fused(model):
        ...     logs = model.train_step(batch)
    """
    layers = [] if tf.config.list_physical_devices("GPU") else model._flatten_layers()
    suitable = [layer for layer in layers if _suits(layer)]
    for layer in suitable:
        # On the instance, where it hides the method of the class; `layer.call = ...` would be
        # tracked by Keras.
        vars(layer)["call"] = functools.partial(_batch_normalization, layer)
    try:
        yield
    finally:
        for layer in suitable:
            vars(layer).pop("call", None)


def _suits(layer: keras.layers.Layer) -> bool:
    return (
        type(layer) is keras.layers.BatchNormalization
        and not (layer.renorm or layer.synchronized)
        and layer.compute_dtype == "float32"
    )


def _batch_normalization(layer, inputs, training=None, mask=None):
    """Does what `BatchNormalization.call` does.

    Args:
        layer: the layer.
        inputs: (batch, ..., channels) float32.
        training: whether the statistics are those of the batch.
        mask: as Keras's.
    """
    rank = inputs.shape.rank
    channels_last = layer.axis in (-1, rank - 1)
    if not (training and layer.trainable) or mask is not None or not channels_last:
        return type(layer).call(layer, inputs, training=training, mask=mask)
    channels = inputs.shape[-1]
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs if rank == 4 else tf.reshape(inputs, (-1, 1, 1, channels)),
        scale=tf.ones(channels) if layer.gamma is None else tf.convert_to_tensor(layer.gamma),
        offset=tf.zeros(channels) if layer.beta is None else tf.convert_to_tensor(layer.beta),
        mean=tf.zeros(0),
        variance=tf.zeros(0),
        epsilon=layer.epsilon,
        is_training=True,
    )
    # The kernel divides the variance by n - 1, Keras by n.
    count = tf.cast(tf.size(inputs) // channels, tf.float32)
    update_moving(layer, mean, variance * (count - 1) / count)
    return outputs if rank == 4 else tf.reshape(outputs, tf.shape(inputs))


def update_moving(layer: keras.layers.BatchNormalization, mean, variance) -> None:
    """Moves a layer's running statistics towards those of a batch, variance over n."""
    kept = layer.momentum
    for moving, new in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * kept + tf.stop_gradient(new) * (1.0 - kept))
