"""What labs on toy sets share: training on all points at once, accuracy, regions of the plane."""

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf.plots import planes

STEPS_AT_ONCE = 50
MARGIN = 1.1  # a plane reaches a tenth beyond the farthest point


def fit(network: keras.Model, points, labels, loss, optimizer, steps: int) -> float:
    """Trains a network by full batches: every step sees all points.

    Args:
        network: from points to `{"logits": (n, classes)}`.
        points: (n, ...) float32.
        labels: (n,) class numbers.
        loss: Keras loss of class numbers and logits.
        optimizer: Keras optimizer, or its name.
        steps: how many.

    Returns:
        The loss after the last step, penalties on weights included.
    """
    network.compile(optimizer, {"logits": loss}, steps_per_execution=min(steps, STEPS_AT_ONCE))
    batch = tf.data.Dataset.from_tensors((points, {"logits": labels}))
    network.fit(batch.repeat(steps), shuffle=False, verbose=0)
    return float(network.evaluate(batch, verbose=0, return_dict=True)["loss"])


def accuracy(network: keras.Model, points, labels) -> float:
    """Returns the part of the points whose highest score is the right class's."""
    return float(np.mean(classes(network, points) == labels))


def classes(network: keras.Model, points) -> np.ndarray:
    """Returns (n,) class numbers: the highest score of each of (n, ...) points."""
    scores = network(tf.convert_to_tensor(points, tf.float32), training=False)["logits"]
    return np.argmax(scores, axis=-1)


def plane(title: str, network: keras.Model, points, labels) -> planes.Plane:
    """Returns the regions of a network's answers, with the points it was trained on."""
    reach = float(MARGIN * np.abs(points).max())
    limits = (-reach, reach)
    places = planes.grid(limits, limits)
    regions = classes(network, places.reshape(-1, 2)).reshape(places.shape[:2])
    return planes.Plane(title, limits, limits, classes=regions, points=(points, labels))
