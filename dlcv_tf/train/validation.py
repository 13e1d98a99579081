"""Cross-validation: every setting tried on every fold, averaged over the folds."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.layers.neighbours import check_labels
from dlcv_tf.ops import distances

MOST_CLASSES = 2**31  # what int32 can number


@dataclasses.dataclass(frozen=True)
class CrossValidation:
    """What every setting scored on every fold; more is better.

    Args:
        settings: what was tried, e.g. numbers of neighbours.
        scores: (settings, folds).
    """

    settings: tuple
    scores: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """(settings,) mean over the folds."""
        return self.scores.mean(axis=1)

    @property
    def deviations(self) -> np.ndarray:
        """(settings,) standard deviation over the folds (divided by their number, not one less)."""
        return self.scores.std(axis=1)

    @property
    def best(self):
        """The setting of the highest mean, the first one of several."""
        return self.settings[int(np.argmax(self.means))]


def cross_validate(
    score: Callable[[np.ndarray, np.ndarray], Sequence[float]],
    settings: Sequence,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
) -> CrossValidation:
    """Scores all settings on each fold in turn.

    Args:
        score: function of the numbers of the examples to train on and to validate on that returns
            a score for each setting; so it can share work between them.
        settings: what is tried.
        folds: as `data.folds` gives them.

    Raises:
        InputError: `score` returned another number of scores, or there are no folds.
    """
    columns = []
    for training, validation in folds:
        column = np.asarray(score(training, validation), np.float64)
        if column.shape != (len(settings),):
            raise InputError(
                f"got scores of shape {column.shape} for {len(settings)} settings, expected one "
                "for each"
            )
        columns.append(column)
    if not columns:
        raise InputError("got no folds, expected at least one: data.folds makes some")
    return CrossValidation(tuple(settings), np.stack(columns, axis=1))


def validate_neighbours(
    points, labels, ks: Sequence[int], folds, kind: str = "l2"
) -> CrossValidation:
    """Cross-validates the number of neighbours; distances are computed once in each fold.

    Args:
        points: (n, features) examples.
        labels: (n,) class numbers.
        ks: numbers of neighbours to try.
        folds: as `data.folds` gives them.
        kind: `"l1"` or `"l2"`.

    Returns:
        Accuracies.

    Raises:
        InputError: no k, one larger than what a fold leaves to train on, or bad points or labels.
    """
    points = np.asarray(points)
    labels = _class_numbers(labels, points)
    _check_ks(ks)

    def accuracies(training, validation):
        known = (points[training], labels[training])
        predicted = neighbour_labels(*known, points[validation], ks, kind)
        return (predicted == labels[validation]).mean(axis=1)

    return cross_validate(accuracies, ks, folds)


def neighbour_labels(examples, labels, queries, ks: Sequence[int], kind: str = "l2") -> np.ndarray:
    """Returns what the nearest examples vote for, for several numbers of neighbours at once.

    Args:
        examples: (n, features).
        labels: (n,) class numbers of the examples.
        queries: (m, features).
        ks: numbers of neighbours.
        kind: `"l1"` or `"l2"`.

    Returns:
        (len(ks), m) class numbers; the smaller one where classes have equally many votes.

    Raises:
        InputError: no k or one out of range, or bad examples, labels or queries.
    """
    # Classes are numbered anew, for votes are counted for those there are, not up to the largest.
    classes, labels = np.unique(_class_numbers(labels, examples), return_inverse=True)
    _check_ks(ks)
    for k in ks:
        distances.check_k(k, len(labels))
    nearest, _ = distances.nearest(queries, examples, max(ks), kind)
    votes = tf.one_hot(tf.gather(labels, nearest), len(classes))  # (m, max k, classes)
    counts = tf.cumsum(votes, axis=1)  # of the first, the first two, ... neighbours
    return np.stack([classes[np.argmax(counts[:, k - 1], axis=-1)] for k in ks])


def _class_numbers(labels, examples) -> np.ndarray:
    """Returns labels as (n,) int64; raises InputError unless each example has a class number."""
    labels = np.asarray(labels)
    check_labels(labels, MOST_CLASSES)
    if tuple(np.shape(examples)[:1]) != labels.shape:
        raise InputError(
            f"got examples of shape {tuple(np.shape(examples))} and {len(labels)} labels, expected "
            "(n, features) and a label for each"
        )
    return labels.astype(np.int64)


def _check_ks(ks: Sequence[int]) -> None:
    if not len(ks):
        raise InputError("got no number of neighbours to try, expected at least one, e.g. (1, 3)")
