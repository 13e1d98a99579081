"""The recipe of a task on pictures: plain values, changed one by one from the command line."""

import dataclasses
import inspect
import typing

from dlcv_tf.errors import InputError, unknown

if typing.TYPE_CHECKING:
    from dlcv_tf.data import Info
    from dlcv_tf.tasks.picture_task import PictureTask

WHITENING_PICTURES = 5000
WHITENING_PATCHES = 5_120_000  # as many as these pictures have at 32x32: they are all in memory
PREPROCESSING = ("channel", "mean_image", "pca", "whiten", "zca")
LOSSES = ("softmax", "hinge", "squared_hinge")
OPTIMIZERS = ("nesterov", "momentum", "sgd", "adagrad", "rmsprop", "adam")
CLASSIFIER_ONLY = ("loss", "test_time_flip", "label_smoothing")
# What a recipe without data of its own asks for, by its task.
WANTED = {
    "Classifier": "data=folder:PATH (one folder per class)",
    "Localizer": "data=voc:PATH, coco:PATH or yolo:PATH",
    "PoseEstimator": "data=joints:PATH",
    "Detector": "data=voc:PATH, coco:PATH or yolo:PATH",
    "InstanceSegmenter": "data=coco:PATH",
    "Segmenter": "data=masks:PATH",
}
SCHEDULES = ("one_cycle", "constant", "step", "exponential", "one_over_t")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a classifier, or another task on pictures, is trained.

    By default, stochastic gradient descent with Nesterov momentum under a one-cycle schedule.
    Weight decay is decoupled, and not on biases, scales and shifts.

    Args:
        name: name of the recipe.
        data: data set, as `data.load` takes it.
        network: name of a network in `models.BUILDERS`.
        network_options: arguments of its builder besides shape and classes.
        task_class: name of the task in `tasks`; what says "classifier" below is for that one alone.
        task_options: arguments of the task besides network, preprocessing, class names and method.
        method: of a detector: name in `tasks.methods.METHODS`.
        method_options: arguments of the method.
        image_size: (height, width) of the network's input; the pictures' own size by default.
        channels: 1 or 3 for folders of pictures; other sets have their own.
        mean: per-channel mean of the pictures, in [0, 255].
        std: per-channel standard deviation, likewise.
        preprocessing: what of `data.Preprocess`: "channel", or one of those that are fitted to the
            training split ("mean_image", "pca", "whiten", "zca").
        preprocessing_options: its `epsilon` and `components`.
        train_split: split to train on.
        validation_split: split evaluated after each epoch.
        test_split: split evaluated once at the end.
        epochs: passes over the training split.
        batch_size: pictures in a step.
        optimizer: update rule: "nesterov", "momentum", "sgd", "adagrad", "rmsprop" or "adam".
        schedule: of the learning rate over all epochs: "one_cycle", "constant", or a decay to about
            a hundredth: "step", "exponential", "one_over_t".
        learning_rate: the highest one; that of the first step under a decay.
        momentum: of the rules that are named after it.
        weight_decay: part of a weight taken off per step, times the learning rate.
        clip_norm: largest norm of all gradients together; 0 leaves them as they are.
        ema_momentum: of an average of the weights that takes their place in the end; 0 for none.
        loss: of a classifier: "softmax" (cross-entropy), or the multiclass "hinge" or
            "squared_hinge" of margin 1.
        test_time_flip: of a classifier: answer with the mean for a picture and its mirror image.
        label_smoothing: of a classifier: part of the target that is spread over all classes; with
            softmax alone.
        augmentations: names from `data.augment.AUGMENTATIONS`.
        seed: of weights, order and augmentation.
    """

    name: str
    data: str
    network: str
    network_options: dict = dataclasses.field(default_factory=dict)
    task_class: str = "Classifier"
    task_options: dict = dataclasses.field(default_factory=dict)
    method: str = ""
    method_options: dict = dataclasses.field(default_factory=dict)
    image_size: tuple[int, int] | None = None
    channels: int | None = None
    mean: tuple[float, ...] = (127.5,)
    std: tuple[float, ...] = (127.5,)
    preprocessing: str = "channel"
    preprocessing_options: dict = dataclasses.field(default_factory=dict)
    train_split: str = "train"
    validation_split: str = "val"
    test_split: str = "test"
    epochs: int = 10
    batch_size: int = 128
    optimizer: str = "nesterov"
    schedule: str = "one_cycle"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    clip_norm: float = 0.0
    ema_momentum: float = 0.0
    loss: str = "softmax"
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
            "clip_norm": (self.clip_norm >= 0, "0 or more"),
            "ema_momentum": (0 <= self.ema_momentum < 1, "0 or more, below 1"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "0 or more, below 1"),
            "seed": (0 <= self.seed < 2**32, "0 to 2**32 - 1"),
        }
        for name, (is_good, wanted) in expected.items():
            if not is_good:
                raise InputError(f"got {name}={getattr(self, name)}, expected {wanted}")
        named = {
            "preprocessing": PREPROCESSING,
            "loss": LOSSES,
            "optimizer": OPTIMIZERS,
            "schedule": SCHEDULES,
        }
        for name, known in named.items():
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        if self.label_smoothing and self.loss != "softmax":
            raise InputError(
                f"got label_smoothing={self.label_smoothing} with loss={self.loss}, expected "
                "smoothing with softmax alone: leave one of the two out"
            )
        if self.task_class != "Classifier":
            for field in dataclasses.fields(self):
                if field.name in CLASSIFIER_ONLY and getattr(self, field.name) != field.default:
                    raise InputError(
                        f"got {field.name}={getattr(self, field.name)} for a {self.task_class}, "
                        "expected it for classifiers alone: leave it out"
                    )

    @property
    def targets(self) -> str:
        """What the task is trained on, as `data.load` takes it."""
        from dlcv_tf import tasks

        learner = self._method() if self.method else getattr(tasks, self.task_class)
        return learner.targets

    @property
    def wanted(self) -> str:
        """What must be added to a recipe that has no data of its own."""
        return WANTED[self.task_class]

    def require_classifier(self, verb: str) -> None:
        """Raises an InputError unless the recipe is one of a classifier, as some verbs need."""
        if self.task_class != "Classifier":
            raise InputError(
                f"got the recipe {self.name} of a {self.task_class}, expected one of a classifier: "
                f"{verb} knows no other"
            )

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
            raise InputError(f"the recipe {self.name} needs your pictures: add {self.wanted}")
        return self.data, split

    def _pictures(self) -> dict:
        pictures = {"image_size": self.image_size, "channels": self.channels}
        return pictures if self.targets == "labels" else pictures | {"targets": self.targets}

    def task(self, info: "Info") -> "PictureTask":
        """Returns the untrained task for a data set.

        Args:
            info: facts about the data set: picture shape and class names.
        """
        from dlcv_tf import models, tasks

        if self.network not in models.BUILDERS:
            raise unknown("network", self.network, models.BUILDERS)
        builder = models.BUILDERS[self.network]
        known = list(inspect.signature(builder).parameters)[2:]  # after shape and classes
        for name in self.network_options:
            if name not in known:
                raise unknown(f"option of the network {self.network}", name, known)
        names = info.joint_names if self.targets == "joints" else info.labels
        preprocess = self._preprocess(info)
        input_shape = preprocess.compute_output_shape((None, *info.image_shape))[1:]
        try:
            network = builder(input_shape, len(names), **self.network_options)
        except ValueError as error:
            if len(input_shape) == 3:
                raise
            raise InputError(
                f"got preprocessing={self.preprocessing}, which makes vectors, for the network "
                f"{self.network}, which takes pictures: use zca, or a fully connected network"
            ) from error
        return getattr(tasks, self.task_class)(
            network, preprocess, names, **self._task_options(), name=self.name
        )

    def _task_options(self) -> dict:
        """Returns the arguments of the task besides network, preprocessing and class names."""
        if self.task_class == "Classifier":
            return {"test_time_flip": self.test_time_flip} | self.task_options
        if not self.method:
            return dict(self.task_options)
        return {"method": self._method()} | self.task_options

    def _method(self):
        """Returns a detector's method."""
        from dlcv_tf.tasks import methods

        if self.method not in methods.METHODS:
            raise unknown("method", self.method, methods.METHODS)
        return methods.METHODS[self.method](**self.method_options)

    def _preprocess(self, info: "Info"):
        """Returns the preprocessing layer, not yet fitted to pictures."""
        from dlcv_tf import data

        known = ("epsilon", "components")
        for name in self.preprocessing_options:
            if name not in known:
                raise unknown(f"option of preprocessing {self.preprocessing}", name, known)
        *size, channels = info.image_shape
        statistics = {"mean": list(self.mean), "std": list(self.std)}
        return data.Preprocess(
            size, channels, how=self.preprocessing, **statistics, **self.preprocessing_options
        )

    def initialize(self, task: "PictureTask", dataset) -> None:
        """Sets the weights that follow from the data.

        They are those of the preprocessing, the filters of a layer named `whiten`, and the
        statistics of a Keras `Normalization` named `normalize`.

        Args:
            task: the untrained task.
            dataset: training examples, `(image, label)`, unbatched.
        """
        import keras

        from dlcv_tf.ops import patches

        if task.preprocess.how != "channel":
            task.preprocess.adapt(dataset)
        for layer in task.network.layers:
            if layer.name == "whiten":
                inputs = _some_inputs(task, dataset)
                layer.kernel.assign(patches.whitening_filters(inputs, layer.kernel_size[0]))
            elif layer.name == "normalize":
                before = keras.Model(task.network.input, layer.input)
                layer.adapt(before.predict(_some_inputs(task, dataset), verbose=0))

    def compile(self, task: "PictureTask", steps_per_epoch: int) -> None:
        """Gives a task the recipe's optimizer, schedule and loss.

        Args:
            task: the task to train.
            steps_per_epoch: optimizer steps in an epoch; the schedule spans all epochs.
        """
        from dlcv_tf import losses

        optimizer = self._optimizer(self.epochs * steps_per_epoch)
        optimizer.exclude_from_weight_decay(
            [v for v in task.trainable_variables if len(v.shape) == 1]
        )
        if self.task_class != "Classifier":
            task.compile(optimizer)
            return
        loss = None  # the task's own: softmax cross-entropy
        if self.loss != "softmax":
            loss = losses.MulticlassHinge(squared=self.loss == "squared_hinge")
        elif self.label_smoothing:
            loss = losses.SmoothedCrossentropy(self.label_smoothing)
        task.compile(optimizer, loss)

    def _optimizer(self, total_steps: int):
        """Returns the update rule under its schedule."""
        import keras

        from dlcv_tf import optimizers

        schedule = optimizers.spanning(self.schedule, self.learning_rate, total_steps)
        options = {"weight_decay": self.weight_decay}
        if self.clip_norm:
            options["global_clipnorm"] = self.clip_norm
        if self.ema_momentum:
            options |= {"use_ema": True, "ema_momentum": self.ema_momentum}
        if self.optimizer in ("sgd", "momentum", "nesterov"):  # Keras's own, which `train` fuses
            return keras.optimizers.SGD(
                schedule,
                momentum=0.0 if self.optimizer == "sgd" else self.momentum,
                nesterov=self.optimizer == "nesterov",
                **options,
            )
        return optimizers.RULES[self.optimizer](schedule, **options)


def _some_inputs(task: "PictureTask", dataset):
    """Returns some thousand preprocessed pictures from all over a data set, fewer of large ones."""
    height, width = task.preprocess.size
    count = min(WHITENING_PICTURES, max(1, WHITENING_PATCHES // (height * width)))
    apart = max(1, int(dataset.cardinality()) // count)
    images, _ = next(iter(dataset.shard(apart, 0).batch(count)))
    return task.preprocess(images)
