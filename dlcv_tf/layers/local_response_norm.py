"""Local response normalisation, section 3.3 of AlexNet (Krizhevsky et al. 2012)."""

import keras
import tensorflow as tf

from dlcv_tf.errors import InputError


@keras.saving.register_keras_serializable(package="dlcv_tf")
class LocalResponseNorm(keras.layers.Layer):
    """Divides each activation by the energy of its neighbours along the channels.

    b_i = a_i / (k + alpha sum_j a_j^2)^beta, the sum over the `depth` channels around i, fewer at
    the ends. Neighbouring filters thus compete for large answers.

    Convention: the paper multiplies the SUM by alpha, as here and in TensorFlow; Caffe and PyTorch
    multiply the mean over `depth`, which `mean=True` does: their alpha is `depth` times as large
    for the same result.

    Args:
        depth: n, channels in the window; odd.
        bias: k.
        alpha: factor of the sum, or of the mean.
        beta: the exponent.
        mean: whether alpha multiplies the mean of the squares instead of their sum.

    Call arguments:
        inputs: (batch, height, width, channels) activations, float.

    Returns:
        The same shape.

    Example:
        >>> LocalResponseNorm()(tf.ones((1, 2, 2, 8))).shape
        TensorShape([1, 2, 2, 8])
    """

    def __init__(self, depth=5, bias=2.0, alpha=1e-4, beta=0.75, mean=False, **kwargs):
        super().__init__(**kwargs)
        if depth < 1 or depth % 2 != 1:
            raise InputError(f"got depth={depth}, expected an odd number of channels, e.g. 5")
        if not bias > 0 or alpha < 0:
            raise InputError(
                f"got bias={bias} and alpha={alpha}, expected a bias above 0 and an alpha of 0 or "
                "more: the divisor would not be positive"
            )
        self.depth = depth
        self.bias = bias
        self.alpha = alpha
        self.beta = beta
        self.mean = mean

    def call(self, inputs):
        if inputs.shape.rank != 4:
            raise InputError(
                f"got activations of shape {tuple(inputs.shape)}, expected (batch, height, width, "
                "channels)"
            )
        alpha = self.alpha / self.depth if self.mean else self.alpha
        radius = self.depth // 2
        if inputs.dtype != tf.float64:
            outputs = tf.nn.local_response_normalization(
                tf.cast(inputs, tf.float32),  # squares overflow float16
                depth_radius=radius,
                bias=self.bias,
                alpha=alpha,
                beta=self.beta,
            )
            return tf.cast(outputs, inputs.dtype)
        # TensorFlow has no kernel for float64: the window is a band matrix over the channels.
        ones = tf.ones((inputs.shape[-1],) * 2, inputs.dtype)
        band = tf.linalg.band_part(ones, radius, radius)
        energy = tf.einsum("bhwi,ij->bhwj", tf.square(inputs), band)
        return inputs / (self.bias + alpha * energy) ** self.beta

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        own = ("depth", "bias", "alpha", "beta", "mean")
        return super().get_config() | {name: getattr(self, name) for name in own}
