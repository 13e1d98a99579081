"""What R-CNN learns on fixed features: support vector machines with hard negatives, ridges."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.losses import classification

MEAN_NORM = 20.0  # of the features: what the authors scale theirs to, so that C means the same
LEARNING_RATE = 0.05  # of Adam: a thousand steps then end within 1% of liblinear's objective


@dataclasses.dataclass(frozen=True)
class Machines:
    """Linear support vector machines, one for each class.

    Args:
        weights: (numbers, classes).
        biases: (classes,).
        negatives: how many negatives the machines of each class were trained on, (rounds, classes).
    """

    weights: np.ndarray
    biases: np.ndarray
    negatives: np.ndarray

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Returns the (n, classes) scores of features (n, numbers): above 0 means yes."""
        return features @ self.weights + self.biases


def one_against_rest(
    features: np.ndarray,
    positive: np.ndarray,
    negative: np.ndarray,
    *,
    penalty: float = 1e-3,
    first_negatives: int = 1000,
    rounds: int = 3,
    steps: int = 1000,
    seed: int = 0,
) -> Machines:
    """Trains a machine for each class against all else, on the negatives that are hard for it.

    |w|^2 / 2 + C * (sum of max(0, 1 - s) over positives, max(0, 1 + s) over negatives), the hinge
    loss. Nearly all negatives are beyond the margin and have no loss: so a machine starts with a
    few at random, and in each round all that are inside of its margin, the hard ones, join them.

    Args:
        features: (n, numbers), all that is known of each region.
        positive: (n, classes) bool, regions that show the class.
        negative: (n, classes) bool, regions that do not; what is neither takes no part.
        penalty: C, for features of a mean norm of 20; the paper's.
        first_negatives: negatives of each class to start with.
        rounds: how many times machines are trained, the hard negatives found in between.
        steps: of the optimiser in each round.
        seed: of the first negatives.

    Returns:
        The machines, for features as they were given.

    Raises:
        InputError: shapes that do not fit, or a class without any positive or negative.

    Reference: Girshick et al., "R-CNN", section 2.3 and appendix B.
    """
    features, positive = np.asarray(features, np.float32), np.asarray(positive, bool)
    negative = np.asarray(negative, bool)
    if positive.shape != negative.shape or positive.shape[:1] != features.shape[:1]:
        raise InputError(
            f"got {features.shape} features, {positive.shape} positives and {negative.shape} "
            "negatives, expected (n, numbers) and twice (n, classes)"
        )
    for name, chosen in (("positive", positive), ("negative", negative)):
        if not chosen.any(axis=0).all():
            missing = np.flatnonzero(~chosen.any(axis=0)).tolist()
            raise InputError(
                f"got no {name} region for the classes {missing}, expected one at least: "
                "take more pictures"
            )
    scale = MEAN_NORM / max(np.linalg.norm(features, axis=1).mean(), 1e-12)
    scaled = features * scale
    chance = np.where(negative, np.random.default_rng(seed).random(negative.shape), 2)
    active = negative & (chance.argsort(axis=0).argsort(axis=0) < first_negatives)
    counts = []
    start = np.zeros((features.shape[1] + 1, positive.shape[1]), np.float32)
    for turn in range(rounds):
        if turn:
            scores = scaled @ start[:-1] + start[-1]
            active |= negative & (scores > -1)
        counts.append(active.sum(axis=0))
        rows = np.flatnonzero((positive | active).any(axis=1))
        part = positive[rows] | active[rows]
        start = _minimised(scaled[rows], positive[rows], part, penalty, start, steps)
    return Machines(start[:-1] * scale, start[-1], np.array(counts))


def hinge_objective(features, positive, part, penalty: float, weights, biases) -> tf.Tensor:
    """Returns the sum over classes of |w|^2 / 2 + C * the hinge losses of those that take part.

    A machine is a classifier of two classes, the first of which always has the score 0: its
    multiclass hinge loss is max(0, 1 - s) for the second and max(0, 1 + s) for the first.

    Args:
        features: (n, numbers).
        positive: (n, classes) bool.
        part: (n, classes) bool, whether a region takes part for the class.
        penalty: C.
        weights: (numbers, classes).
        biases: (classes,).
    """
    scores = tf.matmul(features, weights) + biases
    pairs = tf.stack([tf.zeros_like(scores), scores], axis=-1)
    losses = classification.multiclass_hinge(tf.cast(positive, tf.int32), pairs)
    losses = tf.where(part, losses, 0)
    return tf.reduce_sum(weights**2) / 2 + penalty * tf.reduce_sum(losses)


def _minimised(features, positive, part, penalty, start, steps: int) -> np.ndarray:
    """Returns weights and, in the last row, biases that minimise the objective."""
    weights, biases = tf.Variable(start[:-1]), tf.Variable(start[-1])
    rates = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    optimizer = keras.optimizers.Adam(rates)
    optimizer.build([weights, biases])
    data = tf.constant(features), tf.constant(positive), tf.constant(part)

    @tf.function
    def minimise():
        for _ in tf.range(steps):  # a loop of the graph: a step takes less than its call would
            with tf.GradientTape() as tape:
                objective = hinge_objective(*data, penalty, weights, biases)
            optimizer.apply(tape.gradient(objective, [weights, biases]), [weights, biases])

    minimise()
    return np.concatenate([weights.numpy(), biases.numpy()[None]])


def ridge(
    features: np.ndarray, targets: np.ndarray, penalty: float = 1000.0
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the linear map W, b that minimises |y - x W - b|^2 + penalty * |W|^2.

    In closed form, with features of a mean norm of 20, less their mean; b has no penalty.

    Args:
        features: (n, numbers).
        targets: (n, outputs).
        penalty: lambda; 1,000 is R-CNN's.

    Returns:
        (numbers, outputs) weights and (outputs,) biases, for features as they were given.

    Raises:
        InputError: no examples at all, or not as many of both.
    """
    features, targets = np.asarray(features, np.float64), np.asarray(targets, np.float64)
    if len(features) != len(targets) or not len(features):
        raise InputError(
            f"got {len(features)} features and {len(targets)} targets, expected as many of both, "
            "one or more"
        )
    scale = MEAN_NORM / max(np.linalg.norm(features, axis=1).mean(), 1e-12)
    mean, level = features.mean(axis=0), targets.mean(axis=0)
    centred = (features - mean) * scale
    matrix = centred.T @ centred + penalty * np.eye(centred.shape[1])
    weights = np.linalg.solve(matrix, centred.T @ (targets - level)) * scale
    return weights, level - mean @ weights
