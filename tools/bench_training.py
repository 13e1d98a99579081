"""Worker of `tools/bench.py`: trains a network with our loop or with a plain Keras fit.

bench_training.py pictures FILE         writes the CIFAR pictures that all variants share
bench_training.py WORKLOAD ours FILE    our loop; for resnet20 what `dlcv train` does
bench_training.py WORKLOAD plain FILE   the same network as a user of Keras writes it
"""

import argparse
import functools
import sys
import tempfile

import keras
import numpy as np
import tensorflow as tf
from bench_networks import NETWORKS
from bench_worker import Channel
from bench_workloads import WORKLOADS, examples

from dlcv_tf import data, recipes, train
from dlcv_tf.data import sets
from dlcv_tf.errors import InputError
from dlcv_tf.models.summary import macs
from dlcv_tf.recipes import run as runs
from dlcv_tf.train import tuning

RECIPE = "cifar10_resnet20"
RECIPE_WORKLOAD = "resnet20"
RANDOM_PICTURES = 49_000  # as many as the recipe's training split
IMAGE_SHAPE = (32, 32, 3)
CLASSES = 10

EPOCHS = 10_000  # more than there is time for: the end is where the benchmark's requests end


class Blocks(keras.callbacks.Callback):
    """Lets a training go on call by call as the benchmark asks for it.

    A call may be several steps: its number is the first of them, and tells how many the call
    before it had.

    It has no method for the end of a batch: one such callback makes `fit` call all of them, the
    progress bar too, in the training thread, which a plain `fit` does not.

    Args:
        steps: from `Channel.steps`; where it ends, the process does.
    """

    def __init__(self, steps):
        super().__init__()
        self._steps = steps
        self._last = None

    def on_train_batch_begin(self, batch, logs=None):
        done = None  # at the very first call
        if self._last is not None:
            epoch = self.params["steps"]
            done = (batch - self._last) % epoch or epoch
        self._last = batch
        try:
            self._steps.send(done)
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


def tuned(name: str, path: str) -> dict:
    """Chooses the fastest way of ours to train a workload on this machine.

    Called before TensorFlow does anything, since numbers of threads can be set only then.

    Args:
        name: of the workload.
        path: the pictures' file.

    Returns:
        Options for `train.train`.
    """
    recipe = recipes.get(RECIPE)
    if name == "resnet20":
        choice = runs.choose_variant(recipe)
    if name != "resnet20" or not choice.milliseconds:  # or CIFAR-10 is not there
        build = functools.partial(trial, name, path)
        choice = tuning.choose(build, {"bench": name}, say=lambda text: print(text, flush=True))
    print(f"{choice.variant}: {choice.reason}", flush=True)
    choice.variant.use_threads()
    return {"variant": choice.variant}


def trial(name: str, path: str) -> tuple[keras.Model, tuple]:
    """Returns a workload's compiled network and a batch, for `tuning.choose`."""
    workload = WORKLOADS[name]
    inputs, targets = examples(workload, path)
    return compiled(name), (inputs[: workload.batch_size], targets[: workload.batch_size])


def ours(name: str, path: str, channel: Channel) -> None:
    """Trains with our loop.

    Only the checkpoint of every minute is left out: with the other variants' blocks between its
    own, it would weigh several times what it does in a training.
    """
    options = tuned(name, path)
    with tempfile.TemporaryDirectory() as logs:
        callbacks = []
        if name == RECIPE_WORKLOAD:
            model, batches = recipe_training(path)
            callbacks.append(keras.callbacks.TensorBoard(logs, write_graph=False))
        else:
            model, batches = loop_training(name, path)
        chosen = {option: repr(value) for option, value in options.items()}
        steps = channel.steps(**facts(model, batches.batch_size), options=chosen)
        callbacks.append(Blocks(steps))
        train.train(model, batches, epochs=EPOCHS, callbacks=callbacks, **options)


def recipe_training(path: str) -> tuple[keras.Model, data.TrainingBatches]:
    """Returns the compiled task and the batches of `dlcv train cifar10_resnet20`."""
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
    return task, batches


def loop_training(name: str, path: str) -> tuple[keras.Model, data.TrainingBatches]:
    """Returns the network of the plain fit, and its examples in our batches."""
    workload = WORKLOADS[name]
    inputs, targets = examples(workload, path)
    dataset = tf.data.Dataset.from_tensor_slices((inputs, targets))
    return compiled(name), data.TrainingBatches(dataset, len(inputs), workload.batch_size)


def plain(name: str, path: str, channel: Channel) -> None:
    """Trains as a script with Keras layers, `tf.data`, `compile` and `fit` does."""
    workload = WORKLOADS[name]
    inputs, targets = examples(workload, path)
    dataset = tf.data.Dataset.from_tensor_slices((inputs, targets)).shuffle(len(inputs))
    if workload.augmented:
        dataset = dataset.map(plain_augment, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.batch(workload.batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    model = compiled(name)
    steps = channel.steps(**facts(model, workload.batch_size), macs=macs(model))
    model.fit(dataset, epochs=EPOCHS, callbacks=[Blocks(steps)])


def compiled(name: str) -> keras.Model:
    """Returns a workload's Keras network, compiled as PyTorch's twin is."""
    model = NETWORKS[name]()
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=5e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def plain_augment(image, label):
    """Crops at random out of the picture with a margin of four pixels, and flips."""
    image = tf.pad(image, [[4, 4], [4, 4], [0, 0]])
    image = tf.image.random_crop(image, IMAGE_SHAPE)
    return tf.image.random_flip_left_right(image), label


def facts(model: keras.Model, batch_size: int) -> dict:
    """Returns what tells whether the variants of a workload do the same work."""
    parameters = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    return {"parameters": parameters, "batch_size": batch_size}


def main() -> None:
    """Runs one variant until its input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("pictures").add_argument("file")
    for name in WORKLOADS:
        command = commands.add_parser(name)
        command.add_argument("variant", choices=("ours", "plain"))
        command.add_argument("file")
    options = parser.parse_args()
    channel = Channel()
    if options.command == "pictures":
        channel.answer(source=write_pictures(options.file))
    elif options.variant == "ours":
        ours(options.command, options.file, channel)
    else:
        plain(options.command, options.file, channel)


if __name__ == "__main__":
    main()
