"""`Method`: how a kind of detection network is trained, and what boxes its raw outputs mean."""

import keras
import tensorflow as tf


class Method:
    """What `Detector` asks of a kind of network; subclasses are registered with Keras.

    All boxes here are in pixels of the network's input, (x1, y1, x2, y2).
    """

    loss_names: tuple[str, ...] = ()
    targets = "boxes"  # what it learns from, as `data.load` takes it

    def losses(self, network: keras.Model, outputs, targets, size, training) -> dict:
        """Returns the losses whose sum is trained, scalars, keys `loss_names`.

        Args:
            network: the network, for methods that run a part of it again (a second stage).
            outputs: its raw outputs.
            targets: `boxes` (batch, objects, 4), `classes` (batch, objects) int32, `valid` and
                `ignored` (batch, objects) bool; perhaps `masks`, `joints`.
            size: (height, width) of the network's input, ints.
            training: whether the network is being trained.
        """
        raise NotImplementedError

    def candidates(self, network: keras.Model, outputs, size) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns boxes before non-maximum suppression, and their scores for each class.

        Args:
            network: the network.
            outputs: its raw outputs.
            size: (height, width) of the network's input, ints.

        Returns:
            (batch, n, 4) boxes, or (batch, n, classes, 4) where each class has its own; and
            (batch, n, classes) scores in [0, 1], background left out.
        """
        raise NotImplementedError

    def get_config(self) -> dict:
        """Returns the arguments of the constructor, plain values."""
        return {}

    @classmethod
    def from_config(cls, config: dict) -> "Method":
        """Returns the method that a config describes."""
        return cls(**config)
