"""The recipe of a picture classifier: plain values, changed one by one from the command line."""

import dataclasses
import inspect
import typing

from dlcv_tf.errors import InputError, unknown

if typing.TYPE_CHECKING:
    from dlcv_tf.data import Info
    from dlcv_tf.tasks import Classifier

WHITENING_PICTURES = 5000
WHITENING_PATCHES = 5_120_000  # as many as these pictures have at 32x32: they are all in memory


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a classifier is trained.

    Stochastic gradient descent with Nesterov momentum and decoupled weight decay (not on biases,
    scales and shifts), under a one-cycle schedule.

    Args:
        name: name of the recipe.
        data: data set, as `data.load` takes it.
        network: name of a network in `models.BUILDERS`.
        network_options: arguments of its builder besides shape and classes.
        image_size: (height, width) of the network's input; the pictures' own size by default.
        channels: 1 or 3 for folders of pictures; other sets have their own.
        mean: per-channel mean of the pictures, in [0, 255].
        std: per-channel standard deviation, likewise.
        train_split: split to train on.
        validation_split: split evaluated after each epoch.
        test_split: split evaluated once at the end.
        epochs: passes over the training split.
        batch_size: pictures in a step.
        learning_rate: peak of the one-cycle schedule.
        momentum: of the optimizer.
        weight_decay: part of a weight taken off per step, times the learning rate.
        test_time_flip: answer with the mean for a picture and its mirror image.
        label_smoothing: part of the target that is spread over all classes.
        augmentations: names from `data.augment.AUGMENTATIONS`.
        seed: of weights, order and augmentation.
    """

    name: str
    data: str
    network: str
    network_options: dict = dataclasses.field(default_factory=dict)
    image_size: tuple[int, int] | None = None
    channels: int | None = None
    mean: tuple[float, ...] = (127.5,)
    std: tuple[float, ...] = (127.5,)
    train_split: str = "train"
    validation_split: str = "val"
    test_split: str = "test"
    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    test_time_flip: bool = False
    label_smoothing: float = 0.0
    augmentations: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self):
        expected = {
            "image_size": (self.image_size is None or min(self.image_size) > 0, "sides above 0"),
            "epochs": (self.epochs > 0, "1 or more"),
            "batch_size": (self.batch_size > 0, "1 or more"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
            "momentum": (0 <= self.momentum <= 1, "0 to 1"),
            "weight_decay": (self.weight_decay >= 0, "0 or more"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "0 or more, below 1"),
            "seed": (0 <= self.seed < 2**32, "0 to 2**32 - 1"),
        }
        for name, (is_good, wanted) in expected.items():
            if not is_good:
                raise InputError(f"got {name}={getattr(self, name)}, expected {wanted}")

    def replace(self, **changes) -> "Recipe":
        """Returns the recipe with some values changed.

        Raises:
            InputError: there is no such value; suggests the closest.
        """
        names = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            if name not in names:
                raise unknown(f"value of the recipe {self.name}", name, names)
        return dataclasses.replace(self, **changes)

    def smoke(self) -> "Recipe":
        """Returns the recipe cut down to seconds, to see that all of it works."""
        return self.replace(epochs=1, batch_size=min(self.batch_size, 32))

    def load(self, split: str, *, data_dir: str | None = None, download: bool = False):
        """Returns one split as `data.load` does, at the recipe's picture size."""
        from dlcv_tf import data

        return data.load(
            *self._of_data(split), **self._pictures(), data_dir=data_dir, download=download
        )

    def describe(self, split: str, *, data_dir: str | None = None) -> "Info":
        """Returns the facts about one split as `data.describe` does."""
        from dlcv_tf import data

        return data.describe(*self._of_data(split), **self._pictures(), data_dir=data_dir)

    def _of_data(self, split: str) -> tuple[str, str]:
        if not self.data:
            raise InputError(
                f"the recipe {self.name} needs your pictures: add data=folder:PATH "
                "(one folder per class)"
            )
        return self.data, split

    def _pictures(self) -> dict:
        return {"image_size": self.image_size, "channels": self.channels}

    def task(self, info: "Info") -> "Classifier":
        """Returns the untrained classifier for a data set.

        Args:
            info: facts about the data set: picture shape and class names.
        """
        from dlcv_tf import data, models, tasks

        if self.network not in models.BUILDERS:
            raise unknown("network", self.network, models.BUILDERS)
        builder = models.BUILDERS[self.network]
        known = list(inspect.signature(builder).parameters)[2:]  # after shape and classes
        for name in self.network_options:
            if name not in known:
                raise unknown(f"option of the network {self.network}", name, known)
        network = builder(info.image_shape, info.num_classes, **self.network_options)
        *size, channels = info.image_shape
        preprocess = data.Preprocess(size, channels, list(self.mean), list(self.std))
        return tasks.Classifier(
            network, preprocess, info.labels, self.test_time_flip, name=self.name
        )

    def initialize(self, task: "Classifier", dataset) -> None:
        """Sets the weights that follow from the data: the filters of a layer named `whiten`.

        Args:
            task: the untrained classifier.
            dataset: training examples, `(image, label)`, unbatched.
        """
        from dlcv_tf.ops import patches

        for layer in task.network.layers:
            if layer.name == "whiten":
                size, (height, width) = layer.kernel_size[0], task.preprocess.size
                count = min(WHITENING_PICTURES, max(1, WHITENING_PATCHES // (height * width)))
                apart = max(1, int(dataset.cardinality()) // count)  # from all over the data set
                images, _ = next(iter(dataset.shard(apart, 0).batch(count)))
                layer.kernel.assign(patches.whitening_filters(task.preprocess(images), size))

    def compile(self, task: "Classifier", steps_per_epoch: int) -> None:
        """Gives a task the recipe's optimizer, schedule and loss.

        Args:
            task: the classifier to train.
            steps_per_epoch: optimizer steps in an epoch; the schedule spans all epochs.
        """
        import keras

        from dlcv_tf import losses, optimizers

        schedule = optimizers.OneCycle(self.learning_rate, self.epochs * steps_per_epoch)
        optimizer = keras.optimizers.SGD(
            schedule, momentum=self.momentum, nesterov=True, weight_decay=self.weight_decay
        )
        optimizer.exclude_from_weight_decay(
            [v for v in task.trainable_variables if len(v.shape) == 1]
        )
        loss = losses.SmoothedCrossentropy(self.label_smoothing) if self.label_smoothing else None
        task.compile(optimizer, loss)
