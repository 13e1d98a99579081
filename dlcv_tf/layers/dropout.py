"""Dropout, written by hand, in both forms."""

import keras

from dlcv_tf.errors import InputError
from dlcv_tf.ops import by_hand
from dlcv_tf.ops.by_hand import dropout

_dropped = by_hand.differentiable(dropout.forward, dropout.backward)


@keras.saving.register_keras_serializable(package="dlcv_tf")
class Dropout(keras.layers.Layer):
    """Sets numbers to zero at random in training; afterwards all of them take part.

    Published codes mean the probability of keeping a number or that of dropping it by the same
    name, so here it must be said. The same as `keras.layers.Dropout(drop)`, and with `whole_maps`
    as `keras.layers.SpatialDropout2D(drop)`.

    Args:
        keep: probability of KEEPING a number, in (0, 1]; give it or `drop`.
        drop: probability of DROPPING a number, in [0, 1).
        inverted: divide by the probability of keeping in training; otherwise multiply by it at
            test time. Both leave the expected output the same.
        whole_maps: drop maps of (batch, height, width, channels) as a whole.
        seed: of the masks.

    Reference: Srivastava et al., https://jmlr.org/papers/v15/srivastava14a.html.
    """

    def __init__(
        self, *, keep=None, drop=None, inverted=True, whole_maps=False, seed=None, **kwargs
    ):
        super().__init__(**kwargs)
        if (keep is None) == (drop is None):
            raise InputError(
                f"got keep={keep} and drop={drop}, expected one of them: the probability of "
                "keeping a number, or that of dropping it"
            )
        self.keep = 1 - drop if keep is None else keep
        if not 0 < self.keep <= 1:
            raise InputError(f"got keep={keep} and drop={drop}, expected to keep more than none")
        self.inverted = inverted
        self.whole_maps = whole_maps
        self.seed = seed
        self.seeds = keras.random.SeedGenerator(seed)

    def call(self, x, training=False):
        if not training:
            return dropout.inference(x, self.keep, self.inverted)
        return _dropped(
            x,
            keep=self.keep,
            seed=self.seeds.next(),
            inverted=self.inverted,
            whole_maps=self.whole_maps,
        )

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {
            "keep": self.keep,
            "inverted": self.inverted,
            "whole_maps": self.whole_maps,
            "seed": self.seed,
        }
