"""A fully connected network on features made by hand: edges of each cell, and colours."""

import keras
from keras import layers

from dlcv_tf.layers.features import HOG, HueHistogram
from dlcv_tf.models.classify.mlp import mlp


def feature_mlp(
    input_shape: tuple[int, int, int],
    num_classes: int,
    cell: int = 8,
    orientations: int = 9,
    hues: int = 10,
    hidden_units: tuple[int, ...] = (256,),
    dropout: float = 0.0,
) -> keras.Model:
    """Builds features, their normalisation, and a multi-layer perceptron behind them.

    The layer `normalize` gives every feature mean 0 and standard deviation 1 by statistics that it
    stores: have it `adapt` to the features of the training pictures, as the recipes do.

    The histograms count by comparisons, for which int8 is too coarse: an int8 file is of no use.

    Args:
        input_shape: (height, width, 1 or 3) of the preprocessed picture. Hues need a `Preprocess`
            with mean 0 and the same std in every channel; grey pictures have none.
        num_classes: number of scores.
        cell: side of the cells of the gradient histograms, pixels.
        orientations: bins of each of these histograms.
        hues: bins of the hue histogram of the whole picture.
        hidden_units: width of each hidden layer.
        dropout: probability of DROPPING a hidden unit in training (inverted dropout).

    Returns:
        Model from (batch, height, width, channels) to `{"logits": (batch, num_classes)}`.
    """
    images = keras.Input(input_shape, name="images")
    features = HOG(cell, orientations, name="orientations")(images)
    if input_shape[-1] == 3:
        colours = HueHistogram(hues, name="hues")(images)
        features = layers.Concatenate(name="features")([features, colours])
    features = layers.Normalization(name="normalize")(features)
    head = mlp(features.shape[1:], num_classes, hidden_units, dropout)
    return keras.Model(images, head(features), name="feature_mlp")
