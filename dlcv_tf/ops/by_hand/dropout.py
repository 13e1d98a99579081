"""Dropout: in training each number is set to zero by chance, at test time all take part.

Probabilities here are those of KEEPING a number, p. What is to be restored is the expectation: of
w1 x + w2 y with p = 1/2, the four masks average to (w1 x + w2 y) / 2. So either the outputs are
multiplied by p at test time, or (inverted dropout) divided by p in training, which leaves the test
untouched.

Reference: Srivastava et al., https://jmlr.org/papers/v15/srivastava14a.html.
"""

import tensorflow as tf

from dlcv_tf.errors import InputError


def forward(x, keep: float, seed, inverted: bool = True, whole_maps: bool = False):
    """Drops numbers at random, as in training.

    Args:
        x: (batch, ...).
        keep: probability of keeping a number, in (0, 1].
        seed: two integers; the same seed draws the same mask.
        inverted: divide what is kept by `keep`.
        whole_maps: of (batch, height, width, channels), keep or drop maps as a whole (spatial
            dropout), as neighbouring pixels say nearly the same.

    Returns:
        The output, of x's shape, and the cache.

    Raises:
        InputError: `keep` is not a probability above 0.
    """
    _check_keep(keep)
    x = tf.convert_to_tensor(x)
    shape = tf.shape(x)
    if whole_maps:
        shape = tf.stack([shape[0], 1, 1, shape[3]])
    kept = tf.random.stateless_uniform(shape, seed) < keep
    mask = tf.cast(kept, x.dtype)
    if inverted:
        mask /= keep
    return x * mask, mask


def backward(gradient, mask):
    """Returns the gradient by x: the mask is a multiplication like any other."""
    return gradient * mask


def inference(x, keep: float, inverted: bool = True):
    """Returns what is expected of `forward`: x, or x times `keep` if that was not divided by it."""
    _check_keep(keep)
    return x if inverted else x * keep


def _check_keep(keep: float) -> None:
    if not 0 < keep <= 1:
        raise InputError(
            f"got keep={keep}, expected a probability of keeping a number, above 0 and up to 1: "
            "of a probability of dropping, give 1 - drop"
        )
