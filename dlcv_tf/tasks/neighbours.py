"""`NearestNeighbours`: names what is in a picture by the examples that look most like it."""

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.layers.neighbours import NeighbourVotes
from dlcv_tf.tasks.classifier import Classifier

BATCH = 256


@keras.saving.register_keras_serializable(package="dlcv_tf")
class NearestNeighbours(Classifier):
    """A classifier whose `fit` remembers the examples, and does nothing else.

    Everything but `fit` is as with any `Classifier`: `evaluate`, `predict`, `answer`, `save`,
    export. An answer takes time in proportion to the number of examples, and memory for that
    number of distances per picture: give `predict` and `evaluate` a `batch_size`, 256 is good.

    Args:
        network: functional model with one `layers.NeighbourVotes`, as `models.knn` builds it.
        preprocess: `data.Preprocess` layer, or its config; examples are remembered preprocessed.
        labels: class names, in the order of the logits.
        test_time_flip: as with `Classifier`.

    Example:
        >>> from dlcv_tf import data, models
        >>> images, labels = data.digits.arrays("train")
        >>> network = models.knn((8, 8, 1), 10, num_examples=len(images), k=3)
        >>> task = NearestNeighbours(network, data.Preprocess((8, 8), 1), list("0123456789"))
        >>> history = task.fit(images, labels)
    """

    def __init__(self, network, preprocess, labels, test_time_flip=False, **kwargs):
        super().__init__(network, preprocess, labels, test_time_flip, **kwargs)
        found = [layer for layer in self.network.layers if isinstance(layer, NeighbourVotes)]
        if len(found) != 1:
            raise InputError(
                f"got a network with {len(found)} layers that remember examples, expected one: "
                "build it with models.knn, or use tasks.Classifier"
            )

    @property
    def memory(self) -> NeighbourVotes:
        """The layer that remembers the examples."""
        return next(each for each in self.network.layers if isinstance(each, NeighbourVotes))

    def compile(self, optimizer="sgd", loss=None, metrics=None, jit_compile="auto", **kwargs):
        """As `Classifier.compile`, though the optimizer is never used.

        Steps with L1 are compiled by XLA unless told otherwise: that is tens of times faster.
        """
        if jit_compile == "auto":
            jit_compile = self.memory.distance == "l1"
        super().compile(optimizer, loss, metrics, jit_compile=jit_compile, **kwargs)

    def fit(
        self,
        x=None,
        y=None,
        batch_size=BATCH,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_data=None,
    ):
        """Remembers the examples, in their order.

        Args:
            x: (n, height, width, channels) pictures, or a data set of `(pictures, labels)` batches.
            y: (n,) class numbers, for pictures.
            batch_size: pictures preprocessed at a time.
            epochs: taken as `keras.Model.fit` takes it; one look at the examples is all it needs.
            verbose: taken likewise; there is too little to do to show it.
            callbacks: Keras callbacks, which see one epoch.
            validation_data: `(pictures, labels)` or a data set of batches to evaluate then.

        Returns:
            Keras's `History`: empty, or the loss and metrics on the validation data.

        Raises:
            InputError: another number of examples than the network has places for, wrong shapes,
                labels that are no classes, or numbers that are not finite.
        """
        callbacks = keras.callbacks.CallbackList(callbacks, add_history=True, model=self, epochs=1)
        callbacks.on_train_begin()
        callbacks.on_epoch_begin(0)
        self.memory.example_labels.assign(np.full(self.memory.num_examples, -1))  # forget
        count = 0
        for images, labels in _batches(x, y, batch_size or BATCH):
            self.memory.remember(self.preprocess(images), labels, count)
            count += len(images)
        if count != self.memory.num_examples:
            raise InputError(
                f"got {count} examples for {self.memory.num_examples} places, expected as many: "
                f"build the network with num_examples={count}"
            )
        logs = {}
        if validation_data is not None:
            pair = validation_data if isinstance(validation_data, tuple) else (validation_data,)
            found = self.evaluate(*pair, batch_size=batch_size, return_dict=True, verbose=0)
            logs = {f"val_{name}": value for name, value in found.items()}
        callbacks.on_epoch_end(0, logs)
        callbacks.on_train_end(logs)
        return self.history

    def train_step(self, data):
        raise InputError(
            "got a training step for nearest neighbours, expected a call of fit, which remembers "
            "the examples: there are no weights to train"
        )


def _batches(images, labels, batch_size: int):
    """Gives `(pictures, labels)` batches of arrays, or of a data set."""
    if isinstance(images, tf.data.Dataset):
        if len(images.element_spec[0].shape) != 4:
            raise InputError(
                f"got a data set of {images.element_spec}, expected batches of pictures and "
                "labels: call its batch(256)"
            )
        yield from images
        return
    num_labels = 0 if labels is None else len(labels)
    if len(images) != num_labels:
        raise InputError(
            f"got {len(images)} pictures and {num_labels} labels, expected as many of both"
        )
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        yield tf.convert_to_tensor(images[part]), np.asarray(labels[part])
