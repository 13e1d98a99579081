"""Worker of `tools/bench.py`: trains ResNet-20 on CIFAR-10 with our loop or with a plain Keras fit.

bench_training.py pictures FILE     writes the training pictures that all variants share
bench_training.py ours FILE         what `dlcv train cifar10_resnet20` does
bench_training.py plain FILE        the same network as a user of Keras writes it
"""

import argparse
import sys
import tempfile

import keras
import numpy as np
import tensorflow as tf
from bench_worker import Channel
from keras import layers, ops

from dlcv_tf import data, recipes, train
from dlcv_tf.data import sets
from dlcv_tf.errors import InputError
from dlcv_tf.recipes import run as runs

RECIPE = "cifar10_resnet20"
RANDOM_PICTURES = 49_000  # as many as the recipe's training split
IMAGE_SHAPE = (32, 32, 3)
CLASSES = 10


class Blocks(keras.callbacks.Callback):
    """Lets a training go on step by step as the benchmark asks for it.

    It has no method for the end of a batch: one such callback makes `fit` call all of them, the
    progress bar too, in the training thread, which a plain `fit` does not.

    Args:
        steps: from `Channel.steps`; where it ends, the process does.
    """

    def __init__(self, steps):
        super().__init__()
        self._steps = steps

    def on_train_batch_begin(self, batch, logs=None):
        try:
            next(self._steps)
        except StopIteration:
            sys.exit()


def write_pictures(path: str) -> str:
    """Writes the training pictures and labels, and says in words what they are."""
    recipe = recipes.get(RECIPE)
    try:
        dataset, info = recipe.load(recipe.train_split)
        batches = list(dataset.batch(1000).as_numpy_iterator())
        images = np.concatenate([images for images, _ in batches])
        labels = np.concatenate([labels for _, labels in batches])
        source = f"{info.num_examples} training pictures of CIFAR-10"
    except InputError as error:
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (RANDOM_PICTURES, *IMAGE_SHAPE), np.uint8)
        labels = random.integers(0, CLASSES, RANDOM_PICTURES)
        source = f"{RANDOM_PICTURES} random pictures ({error})"
    np.savez(path, images=images, labels=labels, source=source)
    return source


def ours(path: str, channel: Channel) -> None:
    """Trains as `dlcv train` does.

    Only the checkpoint of every minute is left out: with the other variants' blocks between its
    own, it would weigh several times what it does in a training.
    """
    recipe = recipes.get(RECIPE)
    runs.make_reproducible(recipe.seed)
    try:
        dataset, info = recipe.load(recipe.train_split)
    except InputError:
        stored = np.load(path)
        dataset = sets.from_arrays(stored["images"], stored["labels"])
        names = tuple(str(number) for number in range(CLASSES))
        info = data.Info("random", "train", names, len(stored["labels"]), IMAGE_SHAPE)
    batches = data.TrainingBatches(
        dataset, info.num_examples, recipe.batch_size, recipe.seed, recipe.augmentations
    )
    task = recipe.task(info)
    recipe.compile(task, batches.steps_per_epoch)
    steps = channel.steps(parameters=num_parameters(task), batch_size=recipe.batch_size)
    with tempfile.TemporaryDirectory() as logs:
        tensorboard = keras.callbacks.TensorBoard(logs, write_graph=False)
        train.train(task, batches, epochs=recipe.epochs, callbacks=[tensorboard, Blocks(steps)])


def plain(path: str, channel: Channel) -> None:
    """Trains as a script with Keras layers, `tf.data`, `compile` and `fit` does."""
    batch_size = recipes.get(RECIPE).batch_size
    stored = np.load(path)
    dataset = (
        tf.data.Dataset.from_tensor_slices((stored["images"], stored["labels"]))
        .shuffle(len(stored["labels"]))
        .map(plain_augment, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )
    model = plain_network()
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=5e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    steps = channel.steps(parameters=num_parameters(model), batch_size=batch_size)
    model.fit(dataset, epochs=10, callbacks=[Blocks(steps)])


def plain_augment(image, label):
    """Crops at random out of the picture with a margin of four pixels, and flips."""
    image = tf.pad(image, [[4, 4], [4, 4], [0, 0]])
    image = tf.image.random_crop(image, IMAGE_SHAPE)
    return tf.image.random_flip_left_right(image), label


def plain_network() -> keras.Model:
    """Builds the ResNet-20 for CIFAR-10, shortcuts without parameters, of plain Keras layers."""

    def conv_norm(x, filters, stride=1):
        x = layers.Conv2D(
            filters,
            3,
            strides=stride,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
        )(x)
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)

    inputs = keras.Input(IMAGE_SHAPE)
    x = layers.Normalization(
        mean=recipes.classify.CIFAR10_MEAN, variance=np.square(recipes.classify.CIFAR10_STD)
    )(inputs)
    x = layers.ReLU()(conv_norm(x, 16))
    for filters in (16, 32, 64):
        for _ in range(3):
            stride = filters // x.shape[-1]
            shortcut = x
            if stride == 2:
                channels = [filters // 4, filters // 4]
                shortcut = ops.pad(x[:, ::2, ::2], [[0, 0], [0, 0], [0, 0], channels])
            x = layers.ReLU()(conv_norm(x, filters, stride))
            x = layers.ReLU()(layers.Add()([conv_norm(x, filters), shortcut]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(CLASSES)(x))


def num_parameters(model: keras.Model) -> int:
    """Returns the number of trainable parameters."""
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def main() -> None:
    """Runs one variant until its input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant", choices=("pictures", "ours", "plain"))
    parser.add_argument("file")
    options = parser.parse_args()
    channel = Channel()
    if options.variant == "pictures":
        channel.answer(source=write_pictures(options.file))
    elif options.variant == "ours":
        ours(options.file, channel)
    else:
        plain(options.file, channel)


if __name__ == "__main__":
    main()
