"""Fused kernels for Keras's layers and optimizers while a step is traced: the same numbers, faster.

Keras writes batch normalisation and weight updates as many elementwise operations, each a pass
through memory, and TensorFlow fuses none of them on a CPU. It has kernels that do each in one pass,
and grappler fuses the one of batch normalisation with a ReLU behind it. Measured:
`docs/performance.md`.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf


@contextlib.contextmanager
def fused(model: keras.Model) -> Iterator[None]:
    """Lets batch normalisations and the optimizer of a model use fused kernels inside this context.

    Only what is traced meanwhile is changed. What a kernel does not suit stays as it is:
    float64, synchronised, renormalised, masked or channels-first batch normalisation, inference,
    sparse gradients; under a distribution strategy and where there is a GPU, everything.

    Args:
        model: any Keras model; layers of nested models count.

    Example:
        >>> with kernels.fused(model):
        ...     logs = model.train_step(batch)
    """
    if tf.distribute.has_strategy() or tf.config.list_physical_devices("GPU"):
        yield
        return
    with contextlib.ExitStack() as stack:
        for layer in model._flatten_layers():
            if suits(layer):
                stack.enter_context(replaced(layer, call=_batch_normalization))
        optimizer = getattr(model, "optimizer", None)
        if type(optimizer) in _UPDATES:
            update = _UPDATES[type(optimizer)]
            stack.enter_context(
                replaced(optimizer, update_step=update, _apply_weight_decay=_weight_decay)
            )
        yield


@contextlib.contextmanager
def replaced(owner, **functions: Callable) -> Iterator[None]:
    """Puts functions in the place of an object's methods, and the methods back in the end.

    They stand on the instance, where they hide the methods of its class, and get the object as
    their first argument.

    Args:
        owner: the object.
        functions: by the names of the methods.
    """
    attributes = vars(owner)  # assigning to the object would have Keras track them
    before = {name: attributes[name] for name in functions if name in attributes}
    attributes |= {name: functools.partial(made, owner) for name, made in functions.items()}
    try:
        yield
    finally:
        for name in functions:
            del attributes[name]
        attributes |= before


def suits(layer: keras.layers.Layer) -> bool:
    """Tells whether a layer is a batch normalisation that the fused kernel can do."""
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
    suited = channels_last and inputs.dtype == tf.float32 and mask is None
    if not (training and layer.trainable and suited):
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
    _update_moving(layer, mean, variance * (count - 1) / count)
    return outputs if rank == 4 else tf.reshape(outputs, tf.shape(inputs))


def batch_normalization_of_parts(layer, parts: list[tf.Tensor]) -> list[tf.Tensor]:
    """Normalises the parts of a batch by the statistics of all of them; moves the running ones.

    Args:
        layer: a layer that `suits`, in training.
        parts: (batch, ..., channels) float32 each, channels last.

    Returns:
        The normalised parts.
    """
    channels = parts[0].shape[-1]
    gamma = tf.ones(channels) if layer.gamma is None else tf.convert_to_tensor(layer.gamma)
    beta = tf.zeros(channels) if layer.beta is None else tf.convert_to_tensor(layer.beta)
    images = [
        part if part.shape.rank == 4 else tf.reshape(part, (-1, 1, 1, channels)) for part in parts
    ]
    *outputs, mean, variance = _normalize_parts(layer.epsilon, gamma, beta, *images)
    _update_moving(layer, mean, variance)
    return [
        output if part.shape.rank == 4 else tf.reshape(output, tf.shape(part))
        for output, part in zip(outputs, parts, strict=True)
    ]


def _normalize_parts(epsilon: float, gamma, beta, *parts):
    """Returns the normalised parts, then mean and variance (over n) of all of them.

    The kernels are TensorFlow's for inference, which take the statistics as given; its gradient
    kernel then gives sum(dy), sum(dy * normalised x) and dy * gamma / std, and what the statistics'
    own dependence on x adds is linear in x: one more call of the kernel.
    """
    channels = parts[0].shape[-1]
    counts = [tf.cast(tf.size(part) // channels, part.dtype) for part in parts]
    count = tf.add_n(counts)

    @tf.custom_gradient
    def normalize(gamma, beta, *parts):
        mean = tf.add_n([tf.reduce_sum(part, axis=(0, 1, 2)) for part in parts]) / count
        # Around the mean: the difference of two large squares would lose what is small in them.
        squares = [tf.math.squared_difference(part, mean) for part in parts]
        variance = tf.add_n([tf.reduce_sum(each, axis=(0, 1, 2)) for each in squares]) / count
        fixed = {"mean": mean, "variance": variance, "epsilon": epsilon, "is_training": False}
        outputs = [
            tf.raw_ops.FusedBatchNormV3(x=part, scale=gamma, offset=beta, **fixed).y
            for part in parts
        ]

        def gradient(*upstream):
            back = [
                tf.raw_ops.FusedBatchNormGradV3(
                    y_backprop=dy,
                    x=part,
                    scale=gamma,
                    reserve_space_1=mean,
                    reserve_space_2=variance,
                    reserve_space_3=tf.zeros(0),
                    epsilon=epsilon,
                    is_training=False,
                )
                for dy, part in zip(upstream, parts, strict=False)
            ]
            d_gamma = tf.add_n([one.scale_backprop for one in back])
            d_beta = tf.add_n([one.offset_backprop for one in back])
            inverse = tf.math.rsqrt(variance + epsilon)
            correction = {
                "scale": -gamma * inverse * d_gamma / count,
                "offset": -gamma * inverse * d_beta / count,
            }
            d_parts = [
                one.x_backprop + tf.raw_ops.FusedBatchNormV3(x=part, **correction, **fixed).y
                for one, part in zip(back, parts, strict=True)
            ]
            return d_gamma, d_beta, *d_parts

        return (*outputs, mean, variance), gradient

    return normalize(gamma, beta, *parts)


def _update_moving(layer: keras.layers.BatchNormalization, mean, variance) -> None:
    """Moves a layer's running statistics towards those of a batch, variance over n."""
    kept = layer.momentum
    for moving, new in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * kept + tf.stop_gradient(new) * (1.0 - kept))


def _momentum_update(optimizer: keras.optimizers.SGD, gradient, variable, learning_rate) -> None:
    """Does what `SGD.update_step` does; both take the learning rate into the momentum."""
    if optimizer.momentum == 0 or not _is_dense(gradient, variable):
        type(optimizer).update_step(optimizer, gradient, variable, learning_rate)
        return
    slot = optimizer.momentums[optimizer._get_variable_index(variable)]
    tf.raw_ops.ResourceApplyKerasMomentum(
        var=variable.handle,
        accum=slot.value.handle,
        lr=tf.cast(learning_rate, variable.dtype),
        grad=gradient,
        momentum=tf.cast(optimizer.momentum, variable.dtype),
        use_nesterov=optimizer.nesterov,
    )


def _adam_update(optimizer: keras.optimizers.Adam, gradient, variable, learning_rate) -> None:
    """Does what `Adam.update_step` does; both add epsilon to the uncorrected square root."""
    if optimizer.amsgrad or not _is_dense(gradient, variable):
        type(optimizer).update_step(optimizer, gradient, variable, learning_rate)
        return
    index = optimizer._get_variable_index(variable)
    kind = variable.dtype
    step = tf.cast(optimizer.iterations + 1, kind)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=optimizer._momentums[index].value.handle,
        v=optimizer._velocities[index].value.handle,
        # A cast takes a Python number through float32, as Keras does for the powers alone.
        beta1_power=tf.pow(tf.cast(optimizer.beta_1, kind), step),
        beta2_power=tf.pow(tf.cast(optimizer.beta_2, kind), step),
        lr=tf.cast(learning_rate, kind),
        beta1=tf.constant(optimizer.beta_1, kind),
        beta2=tf.constant(optimizer.beta_2, kind),
        epsilon=tf.constant(optimizer.epsilon, kind),
        grad=gradient,
    )


def _is_dense(gradient, variable) -> bool:
    return isinstance(gradient, tf.Tensor) and gradient.dtype == variable.dtype


def _weight_decay(optimizer, variables) -> None:
    """Does what Keras's optimizers do, in one pass instead of three: v *= 1 - rate * decay."""
    if optimizer.weight_decay is None:
        return
    decayed = [variable for variable in variables if optimizer._use_weight_decay(variable)]
    factors = {
        kind: 1 - tf.cast(optimizer.learning_rate, kind) * tf.cast(optimizer.weight_decay, kind)
        for kind in {variable.dtype for variable in decayed}
    }
    for variable in decayed:
        variable.assign(variable * factors[variable.dtype])


_UPDATES = {
    keras.optimizers.SGD: _momentum_update,
    keras.optimizers.Adam: _adam_update,
    keras.optimizers.AdamW: _adam_update,
}
