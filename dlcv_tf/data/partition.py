"""Which example goes where: training, validation and test sets, and the folds of cross-validation.

Everything here is numbers of examples: `images[indices]` are the pictures.
"""

from collections.abc import Mapping

import numpy as np

from dlcv_tf.errors import InputError


def split(
    num_examples: int, sizes: Mapping[str, int], *, seed: int | None = 0, labels=None
) -> dict[str, np.ndarray]:
    """Divides examples into parts that have none in common.

    Args:
        num_examples: how many there are.
        sizes: how many each part gets, together at most as many as there are.
        seed: of the drawing; None takes the first part from the beginning, the next one behind it
            and so on, as CS231n's exercises do: for data that is in no order.
        labels: (num_examples,) class numbers, to give every part each class in proportion, as far
            as whole numbers allow.

    Returns:
        Name of the part to its examples' numbers, rising.

    Raises:
        InputError: more examples wanted than there are, or another number of labels.

    Example:
        >>> parts = split(50_000, {"train": 49_000, "val": 1_000}, seed=None)
        >>> parts["val"][:2].tolist()
        [49000, 49001]
    """
    wanted = sum(sizes.values())
    if wanted > num_examples or min(sizes.values(), default=0) < 1:
        raise InputError(
            f"got parts of {dict(sizes)} for {num_examples} examples, expected at least one in "
            f"each and at most {num_examples} together"
        )
    if seed is None:
        order = np.arange(num_examples)
    else:
        order = np.random.default_rng(seed).permutation(num_examples)
    if labels is not None:
        order = _evenly(order, labels)
    bounds = np.cumsum([0, *sizes.values()])
    places = zip(sizes, bounds[:-1], bounds[1:], strict=True)
    return {name: np.sort(order[start:end]) for name, start, end in places}


def course_split(
    num_train: int = 50_000,
    num_test: int = 10_000,
    *,
    val: int = 1_000,
    test: int = 1_000,
    dev: int = 500,
    seed: int | None = 0,
) -> dict[str, np.ndarray]:
    """Returns the parts that the course works with: for CIFAR-10 49,000, 1,000, 1,000 and 500.

    `train` and `val` divide the training set; `test` is drawn from the test set, and so its numbers
    are of that set's examples. `dev` is for trying code out: a few examples of `train` again.

    Args:
        num_train: examples in the training set.
        num_test: examples in the test set.
        val: how many of the training set to validate on.
        test: how many of the test set to test on.
        dev: how many of the part to train on, once more.
        seed: as for `split`; `dev` is drawn even if it is None.

    Returns:
        `train`, `val`, `test` and `dev`: numbers of examples, rising.

    Raises:
        InputError: more examples wanted than there are.
    """
    parts = split(num_train, {"train": num_train - val, "val": val}, seed=seed)
    parts |= split(num_test, {"test": test}, seed=seed)
    drawn = split(num_train - val, {"dev": dev}, seed=seed or 0)["dev"]
    return parts | {"dev": parts["train"][drawn]}


def folds(
    num_examples: int, num_folds: int, seed: int | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Divides examples into folds of one size, give or take one, for cross-validation.

    Args:
        num_examples: how many there are.
        num_folds: how many folds, 2 to num_examples.
        seed: of the drawing; None cuts the examples up in their order, as CS231n's exercises do:
            for data that is in no order.

    Returns:
        For each fold the numbers of the examples to train on, those outside of it, and of the
        examples to validate on, those inside; both rising.

    Raises:
        InputError: fewer than two folds, or more than examples.

    Example:
        >>> [validation.tolist() for _, validation in folds(7, 3)]
        [[0, 1, 2], [3, 4], [5, 6]]
    """
    if not 2 <= num_folds <= num_examples:
        raise InputError(
            f"got {num_folds} folds for {num_examples} examples, expected 2 to {num_examples}"
        )
    order = np.arange(num_examples)
    if seed is not None:
        order = np.random.default_rng(seed).permutation(num_examples)
    parts = [np.sort(part) for part in np.array_split(order, num_folds)]
    return [
        (np.sort(np.concatenate(parts[:number] + parts[number + 1 :])), part)
        for number, part in enumerate(parts)
    ]


def _evenly(order: np.ndarray, labels) -> np.ndarray:
    """Reorders examples so that every stretch has each class in proportion."""
    labels = np.asarray(labels)
    if labels.shape != order.shape:
        raise InputError(
            f"got labels of shape {labels.shape} for {len(order)} examples, expected one for each"
        )
    place = np.empty(len(order))
    for label in np.unique(labels):
        members = np.flatnonzero(labels[order] == label)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)  # of the whole length
    return order[np.argsort(place, kind="stable")]
