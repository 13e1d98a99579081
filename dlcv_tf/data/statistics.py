"""What is known of a whole set of pictures: its mean picture, and whether another set is alike."""

import dataclasses

import numpy as np
import tensorflow as tf

from dlcv_tf.errors import InputError

BATCH = 512
MOMENTS = ("mean", "spread", "skew")
ENOUGH = 5  # examples expected of a class


def mean_image(pictures) -> np.ndarray:
    """Returns the mean of every pixel over a set of pictures.

    Args:
        pictures: (n, height, width, channels) array, or a data set of `(picture, label)` or of
            pictures, unbatched.

    Returns:
        (height, width, channels) float64, in the units of the pictures.

    Raises:
        InputError: there are no pictures.
    """
    total, count = 0.0, 0
    for batch, _ in _batches(pictures):
        total = total + batch.sum(axis=0, dtype=np.float64)
        count += len(batch)
    return total / count


@dataclasses.dataclass(frozen=True)
class Drift:
    """How far two sets of examples are apart.

    Args:
        moments: `"mean of red"`, ... to the difference, second less first, in standard errors.
        p_values: the same names and `"labels"` to the probability of a difference as large as this
            one or larger, if both sets come from one source.
        false_alarms: probability that the verdict is wrong about two such sets.
    """

    moments: dict[str, float]
    p_values: dict[str, float]
    false_alarms: float

    @property
    def reasons(self) -> list[str]:
        """What differs more than chance allows; each test gets its share of the false alarms."""
        bound = self.false_alarms / len(self.p_values)
        return [name for name, p in self.p_values.items() if p < bound]

    @property
    def drifted(self) -> bool:
        """Whether anything does."""
        return bool(self.reasons)


def drift(first, second, *, false_alarms: float = 0.001) -> Drift:
    """Tests whether two sets of examples may come from one source, as training and test set should.

    Of each picture and channel it takes mean, spread (standard deviation) and skew (third central
    moment, its cube root) of the pixels, and compares the means of these over the two sets by
    Welch's t-test; the pictures count as independent, their pixels need not be. Class frequencies
    are compared by a chi-square test. With m tests in all, each may be wrong with probability
    `false_alarms` / m (Bonferroni), so that all together are wrong at most so often.

    What changes none of these, e.g. pictures turned upside down, goes unnoticed: no alarm is no
    proof.

    Args:
        first: `(images, labels)` arrays, or a data set of `(image, label)`, unbatched; images
            (n, height, width, channels), one class number each.
        second: likewise; its pictures may have another size.
        false_alarms: accepted probability of an alarm about two sets of one source.

    Returns:
        The differences, their probabilities and the verdict.

    Raises:
        InputError: fewer than two pictures in a set, other channels, numbers that are not finite,
            a set without labels, or labels that are not one number each.
    """
    one, other = _moments(first), _moments(second)
    if one[0].shape[1:] != other[0].shape[1:]:
        raise InputError(
            f"got pictures of {one[0].shape[2]} and of {other[0].shape[2]} channels, expected as "
            "many in both sets"
        )
    if min(len(one[0]), len(other[0])) < 2:
        raise InputError(
            f"got {len(one[0])} and {len(other[0])} pictures, expected two or more in each set"
        )
    channels = one[0].shape[2]
    names = {1: ("grey",), 3: ("red", "green", "blue")}.get(channels, range(channels))
    moments, p_values = {}, {}
    for row, moment in enumerate(MOMENTS):
        for column, channel in enumerate(names):
            name = f"{moment} of {channel}"
            samples = (values[0][:, row, column] for values in (one, other))
            moments[name], p_values[name] = _welch(*samples)
    p_values["labels"] = _chi_square(one[1], other[1])
    return Drift(moments, p_values, false_alarms)


def _batches(examples):
    """Gives `(pictures, labels)` batches as arrays; labels are None where there are none."""
    if isinstance(examples, tuple):
        images, labels = map(np.asarray, examples)
        if len(images) != len(labels):
            raise InputError(
                f"got {len(images)} pictures and {len(labels)} labels, expected as many of both"
            )
        examples = (images, labels)
    if not isinstance(examples, tf.data.Dataset):
        examples = tf.data.Dataset.from_tensor_slices(examples)
    empty = True  # until seen: of a filtered data set the cardinality is unknown
    for batch in examples.batch(BATCH).as_numpy_iterator():
        images, labels = batch if isinstance(batch, tuple) else (batch, None)
        if images.ndim != 4:
            raise InputError(
                f"got pictures of shape {images.shape[1:]}, expected (height, width, channels)"
            )
        empty = False
        yield images, labels
    if empty:
        raise InputError("got a set without pictures, expected at least one")


def _moments(examples) -> tuple[np.ndarray, np.ndarray]:
    """Returns (n, 3, channels) moments of each picture's pixels, and the (n,) labels."""
    moments, labels = [], []
    for images, numbers in _batches(examples):
        if numbers is None:
            raise InputError("got pictures alone, expected (images, labels): labels may drift too")
        if numbers.shape not in ((len(images),), (len(images), 1)):
            raise InputError(
                f"got labels of shape {numbers.shape[1:]} each, expected one class number each: "
                "take the argmax of one-hot labels"
            )
        if not np.isfinite(images).all():
            raise InputError(
                "got pictures with NaN or infinity, expected finite numbers: remove those pictures"
            )
        pixels = images.reshape(len(images), -1, images.shape[-1]).astype(np.float64)
        centred = pixels - pixels.mean(axis=1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=1))
        moments.append(np.stack([pixels.mean(axis=1), spread, np.cbrt((centred**3).mean(1))], 1))
        labels.append(numbers.reshape(-1))
    return np.concatenate(moments), np.concatenate(labels)


def _welch(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Returns the difference of two means in standard errors, and its probability by chance."""
    from scipy import stats

    if np.ptp(one) == np.ptp(other) == 0:  # without any spread there is no standard error
        return (0.0, 1.0) if one[0] == other[0] else (float("inf"), 0.0)
    statistic, p_value = stats.ttest_ind(other, one, equal_var=False)
    return float(statistic), float(p_value)


def _chi_square(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the probability of class counts as different as these, by chance."""
    from scipy import stats

    classes = np.unique(np.concatenate([one, other]))
    counts = np.array([[np.sum(labels == c) for c in classes] for labels in (one, other)])
    # The approximation needs some five expected of each class: rarer ones count as one class.
    rare = counts.sum(axis=0) * counts.sum(axis=1).min() < ENOUGH * counts.sum()
    if rare.any():
        counts = np.column_stack([counts[:, ~rare], counts[:, rare].sum(axis=1)])
    if counts.shape[1] < 2:
        return 1.0
    return float(stats.chi2_contingency(counts, correction=False).pvalue)
