"""The k-nearest-neighbour classifier, whose weights are the training examples themselves."""

import keras
from keras import layers, ops

from dlcv_tf.layers import neighbours

FLOOR = 1e-12  # votes of a class that got none: its logarithm must be finite


def knn(
    input_shape: tuple[int, int, int],
    num_classes: int,
    num_examples: int,
    k: int = 1,
    distance: str = "l2",
) -> keras.Model:
    """Builds the k-nearest-neighbour classifier: it remembers examples and lets the nearest vote.

    It is no parametric model, though the examples lie in its weights: it has as many as there are
    examples, and an answer costs as much time. `tasks.NearestNeighbours` fills it by `fit`.

    The logits are the logarithms of the fractions of votes, floored at 1e-12, so that a softmax
    gives the fractions back. Classes with equally many votes have equal logits: the smaller class
    number wins, as with `np.argmax` of the counts.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture.
        num_classes: number of scores.
        num_examples: how many examples it will remember.
        k: number of neighbours that vote.
        distance: `"l1"` or `"l2"`.

    Returns:
        Model from (batch, height, width, channels) to `{"logits": (batch, num_classes)}`.

    Raises:
        InputError: k larger than num_examples, or an unknown distance.
    """
    images = keras.Input(input_shape, name="images")
    pixels = layers.Flatten(name="pixels")(images)
    votes = neighbours.NeighbourVotes(num_examples, num_classes, k, distance, name="votes")(pixels)
    logits = layers.Identity(name="logits")(ops.log(ops.maximum(votes, FLOOR)))
    return keras.Model(images, {"logits": logits}, name="knn")
