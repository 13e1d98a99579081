"""What is known about a data set besides its examples."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Info:
    """Facts about one split of a data set.

    Args:
        name: as given to `data.load`.
        split: as given to `data.load`.
        labels: class names, in the order of the label numbers.
        num_examples: examples in this split.
        image_shape: static (height, width, channels) of every picture.
        skipped: files, or objects, that were left out or changed, each with the reason.
        targets: what stands beside each picture, as given to `data.load`.
        joint_names: names of the joints, in their order; empty where there are none.
    """

    name: str
    split: str
    labels: tuple[str, ...]
    num_examples: int
    image_shape: tuple[int, int, int]
    skipped: tuple[str, ...] = ()
    targets: str = "labels"
    joint_names: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.labels)
