"""Batches whose content follows from (seed, epoch, step) alone, so that a run can be resumed."""

import dataclasses

import tensorflow as tf

from dlcv_tf.data import augment as augmentation
from dlcv_tf.errors import InputError

SHUFFLE_BYTES = 2**30  # a shuffle buffer holds at most a gigabyte of pictures

GRAPH_SEED = 2017


@dataclasses.dataclass(frozen=True)
class TrainingBatches:
    """Shuffled, augmented batches of a data set, epoch after epoch.

    The last, incomplete batch of an epoch is dropped: every step has one shape, and one graph.

    Args:
        dataset: examples, `(image uint8 (height, width, channels), targets)`, unbatched; targets of
            any kind in `targets.KINDS`, which move with what is in the pictures.
        num_examples: how many there are.
        batch_size: pictures in a batch; a smaller data set gives one batch of all.
        seed: of the order and of the augmentation.
        augmentations: names from `augment.AUGMENTATIONS`.
        joint_names: `Info.joint_names`, for augmentations that mirror joints.
    """

    dataset: tf.data.Dataset
    num_examples: int
    batch_size: int
    seed: int = 0
    augmentations: tuple[str, ...] = ()
    joint_names: tuple[str, ...] = ()

    def __post_init__(self):
        if self.num_examples < 1 or self.batch_size < 1:
            raise InputError(
                f"got {self.num_examples} examples in batches of {self.batch_size}, "
                "expected at least one of each: is the data set empty?"
            )
        # Here, since an error inside tf.data is hard to read.
        augmentation.check(self.augmentations, self.dataset.element_spec[1], self.joint_names)

    @property
    def steps_per_epoch(self) -> int:
        """Number of whole batches in an epoch."""
        return max(1, self.num_examples // self.batch_size)

    def stream(self, epochs: int, start_epoch: int = 0, start_step: int = 0) -> tf.data.Dataset:
        """Returns the batches of all epochs as one dataset, from any (epoch, step) on.

        Args:
            epochs: number of epochs in all.
            start_epoch: first epoch of the stream, from 0.
            start_step: first step within that epoch, from 0.

        Returns:
            Dataset of `(images uint8 (batch, height, width, channels), targets)`, batched.
        """
        batch_size = min(self.batch_size, self.num_examples)
        image_spec, target_spec = self.dataset.element_spec
        placed = isinstance(target_spec, dict) or target_spec.shape.rank == 2
        size = image_spec.shape.num_elements()
        if placed:  # masks may be larger than their picture
            specs = tf.nest.flatten(target_spec)
            size += sum(spec.shape.num_elements() * spec.dtype.size for spec in specs)
        buffer = max(1, min(self.num_examples, SHUFFLE_BYTES // size))

        def epoch_batches(epoch):
            # Inside this traced function set_seed concerns its graph only: the order then follows
            # from our seed and the epoch, whatever the program's global seed is.
            tf.random.set_seed(GRAPH_SEED)
            order_seed = epoch * 1_000_003 + self.seed  # another one for every seed and epoch
            examples = self.dataset.shuffle(buffer, order_seed, reshuffle_each_iteration=False)
            batches = examples.batch(batch_size, drop_remainder=True)
            batches = batches.take(self.steps_per_epoch).enumerate()
            skipped = tf.where(epoch == start_epoch, tf.cast(start_step, tf.int64), 0)
            return batches.skip(skipped).map(
                lambda step, example: (epoch * self.steps_per_epoch + step, *example)
            )

        def augmented(step, images, targets):
            seed = tf.stack([tf.constant(self.seed, tf.int64), step])
            if not placed:
                return augmentation.augment(images, seed, self.augmentations), targets
            names = (self.augmentations, self.joint_names)
            return augmentation.augment_with_targets(images, targets, seed, *names)

        steps = tf.data.Dataset.range(start_epoch, epochs).flat_map(epoch_batches)
        return steps.map(augmented, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def evaluation_batches(dataset: tf.data.Dataset, batch_size: int = 256) -> tf.data.Dataset:
    """Returns a data set in its own order, in batches, the last one perhaps smaller."""
    return dataset.batch(batch_size).prefetch(2)
