"""Labs of the chapter on losses: margins, probabilities, penalties, minibatches."""

import math

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf import data, losses, models
from dlcv_tf.labs import points as on_points
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.losses import regularize
from dlcv_tf.plots import charts, pictures, planes

SOFTMAX = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def first_loss(
    *, classes: tuple[int, ...] = (2, 5, 10, 100), num_examples: int = 512, seed: int = 0
) -> Finding:
    """Before training the loss is known: C - 1 for the hinge, log C for softmax.

    With small random weights every score is about 0. Then each of C - 1 wrong classes violates the
    margin by 1, and every class has the probability 1 / C. A first loss elsewhere means a mistake.

    Curriculum: rows 19, 24, 25.

    Args:
        classes: numbers of classes to try.
        num_examples: random pictures of 32x32x3 in a batch.
        seed: of pictures, weights and labels.
    """
    random = np.random.default_rng(seed)
    pixels = random.normal(0, 1, (num_examples, 3072))
    rows, close = [], True
    for count in classes:
        labels = random.integers(0, count, num_examples)
        scores = pixels @ random.normal(0, 1e-4, (3072, count))
        hinge = float(np.mean(losses.multiclass_hinge(labels, scores)))
        softmax = float(np.mean(losses.softmax_crossentropy(labels, scores)))
        rows.append([count, hinge, count - 1, softmax, math.log(count)])
        close &= abs(hinge / (count - 1) - 1) < 0.01 and abs(softmax / math.log(count) - 1) < 0.01
    return Finding(
        "The first loss is C - 1 with the hinge and log C with softmax.",
        bool(close),
        "; ".join(f"{row[0]} classes: hinge {row[1]:.3f}, softmax {row[3]:.4f}" for row in rows)
        + ".",
        {
            f"{kind}_{row[0]}": row[place]
            for row in rows
            for kind, place in {"hinge": 1, "softmax": 3}.items()
        },
        [Table(["classes C", "hinge", "C - 1", "softmax", "log C"], rows)],
    )


def margin_or_probability(*, delta: float = 1.0) -> Finding:
    """The hinge is content with a margin; softmax always wants more.

    Three answers in which class 0 is right and ahead by more than the margin: scores (10, -2, 3),
    (10, 9, 9) and (10, -100, -100). The hinge loss is 0 for all of them, the cross-entropy differs.

    Curriculum: row 26.

    Args:
        delta: the margin.
    """
    scores = np.array([[10, -2, 3], [10, 9, 9], [10, -100, -100]], float)
    hinge = np.asarray(losses.multiclass_hinge([0, 0, 0], scores, delta))
    softmax = np.asarray(losses.softmax_crossentropy([0, 0, 0], scores))
    rows = [
        [str(tuple(int(score) for score in each)), float(one), float(other)]
        for each, one, other in zip(scores, hinge, softmax, strict=True)
    ]
    ahead = np.linspace(-3, 6, 91)
    two = np.stack([ahead, np.zeros_like(ahead)], axis=1)
    zeros = np.zeros(len(ahead), int)
    curves = {
        "hinge": (ahead, np.asarray(losses.multiclass_hinge(zeros, two, delta))),
        "softmax": (ahead, np.asarray(losses.softmax_crossentropy(zeros, two))),
    }
    panel = charts.Panel(
        "Loss of two classes", curves, "score of the right class less that of the other"
    )
    return Finding(
        "Softmax always wants more; the hinge stops at the margin.",
        not hinge.any() and len(set(softmax.tolist())) == 3,
        f"Hinge {hinge[0]:g}, {hinge[1]:g} and {hinge[2]:g}; softmax {softmax[0]:.2g}, "
        f"{softmax[1]:.3f} and {softmax[2]:.2g}.",
        {"hinge": hinge.tolist(), "softmax": softmax.tolist()},
        [Table(["scores, class 0 is right", "hinge", "softmax"], rows)],
        {"margin_or_probability": charts.draw([panel], 1)},
    )


def zero_loss_is_not_unique(
    *, steps: int = 400, factors: tuple[float, ...] = (1.0, 2.0, 10.0)
) -> Finding:
    """Weights with hinge loss 0 can be doubled: the loss is 0 again, so it does not choose.

    A linear classifier parts the zeros from the ones among the digits until the hinge loss is
    exactly 0. Then its weights are multiplied. Only a penalty on the weights tells these apart.

    Curriculum: row 21.

    Args:
        steps: of Adam, with all pictures in each.
        factors: what to multiply the weights by.
    """
    images, labels = data.digits.arrays("train")
    chosen = labels < 2
    pixels, labels = images[chosen].astype(np.float32) / 255, labels[chosen]
    network = models.linear((8, 8, 1), 2)
    adam = keras.optimizers.Adam(0.01)
    on_points.fit(network, pixels, labels, losses.MulticlassHinge(), adam, steps)
    weights, rows = network.get_weights(), []
    for factor in factors:
        network.set_weights([factor * each for each in weights])
        scores = network(pixels)["logits"]
        hinge = float(np.max(losses.multiclass_hinge(labels, scores)))
        softmax = float(np.mean(losses.softmax_crossentropy(labels, scores)))
        rows.append([f"{factor:g} W", hinge, softmax, float(regularize.l2(weights, factor**2))])
    return Finding(
        "A loss of 0 is not unique: L(2W) is 0 too.",
        all(row[1] == 0 for row in rows),
        f"The largest hinge loss of {len(labels)} pictures is "
        + ", ".join(f"{row[1]:g} with {row[0]}" for row in rows)
        + f"; the L2 penalty grows from {rows[0][3]:.2f} to {rows[-1][3]:.0f}.",
        {"hinge": [row[1] for row in rows], "l2": [row[3] for row in rows]},
        [Table(["weights", "largest hinge loss", "mean softmax loss", "sum of W^2"], rows)],
    )


def squared_hinge(*, num_examples: int = 400, outliers: int = 40, seed: int = 0) -> Finding:
    """Squared, the hinge heeds some gross outliers and gives up on many good points.

    Two clusters side by side, and some points of the right one far out on the left. Both losses are
    minimised by a linear classifier; what counts is how many points of the clusters it gets right.

    Curriculum: row 20.

    Args:
        num_examples: points in the clusters.
        outliers: points of class 1 among and beyond those of class 0.
        seed: of the points.
    """
    random = np.random.default_rng(seed)
    clusters, labels = data.toys.make("blobs", num_examples, seed)
    far = random.normal((-6.0, 0.0), 0.5, (outliers, 2)).astype(np.float32)
    points = np.concatenate([clusters, far])
    all_labels = np.concatenate([labels, np.ones(outliers, labels.dtype)])
    numbers, drawn = {"example": float(losses.multiclass_hinge(0, [13, -7, 11], 10))}, []
    numbers["example_squared"] = float(losses.multiclass_hinge(0, [13, -7, 11], 10, True))
    for name, squared in {"hinge": False, "squared hinge": True}.items():
        network = models.linear((2,), 2)
        loss = losses.MulticlassHinge(squared=squared)
        adam = keras.optimizers.Adam(0.02)
        on_points.fit(network, points, all_labels, loss, adam, 1000)
        reached = on_points.accuracy(network, clusters, labels)
        numbers[f"{name.replace(' ', '_')}_accuracy"] = reached
        title = f"{name.capitalize()}: {reached:.1%} of the clusters"
        drawn.append(on_points.plane(title, network, points, all_labels))
    return Finding(
        "The squared hinge punishes outliers more, which makes another classifier.",
        numbers["hinge_accuracy"] > numbers["squared_hinge_accuracy"],
        f"With {outliers} outliers the hinge is right on {numbers['hinge_accuracy']:.1%} of the "
        f"clusters, the squared hinge on {numbers['squared_hinge_accuracy']:.1%}. Scores (13, -7, "
        f"11) with margin 10 cost {numbers['example']:g} and {numbers['example_squared']:g}.",
        numbers,
        figures={"squared_hinge": planes.draw(drawn, 2)},
    )


def diffuse_weights(*, l1: float = 3e-3, l2: float = 3e-2, steps: int = 600) -> Finding:
    """L2 spreads the weight over many pixels, L1 puts it on a few; both score the same.

    With x = (1, 1, 1, 1) the weights (1, 0, 0, 0) and (1/4, 1/4, 1/4, 1/4) give the same score. L2
    prefers the second, 0.25 to 1; L1 cannot tell them apart. Then a linear classifier of digits is
    trained with each penalty. The effective number of its weights is (sum of |w|)^2 / sum of w^2:
    that many equal weights would have the same ratio.

    Curriculum: row 22.

    Args:
        l1: factor of the L1 penalty on the digits.
        l2: factor of the L2 penalty.
        steps: of Adam, with all 1,258 pictures in each.
    """
    one, even = np.array([1.0, 0, 0, 0]), np.full(4, 0.25)
    rows = [
        [name, float(w.sum()), float(regularize.l1(w)), float(regularize.l2(w))]
        for name, w in {"(1, 0, 0, 0)": one, "(1/4, 1/4, 1/4, 1/4)": even}.items()
    ]
    numbers = {
        "score": [r[1] for r in rows],
        "l1": [r[2] for r in rows],
        "l2": [r[3] for r in rows],
    }
    train, test = (data.digits.arrays(split) for split in ("train", "test"))
    pixels = [images.astype(np.float32) / 127.5 - 1 for images, _ in (train, test)]
    drawn, found = [], []
    for name, penalty in {"L1": {"l1": l1}, "L2": {"l2": l2}}.items():
        network = models.linear((8, 8, 1), 10, **penalty)
        adam = keras.optimizers.Adam(0.01)
        on_points.fit(network, pixels[0], train[1], SOFTMAX, adam, steps)
        w = np.abs(network.get_layer("logits").get_weights()[0]).astype(float)
        effective = float(np.mean(w.sum(0) ** 2 / (w**2).sum(0)))
        reached = on_points.accuracy(network, pixels[1], test[1])
        numbers |= {f"effective_{name.lower()}": effective, f"accuracy_{name.lower()}": reached}
        found.append([name, effective, 100 * reached])
        drawn.append(models.templates(network))
    titles = [f"{name}: {label}" for name in ("L1", "L2") for label in data.digits.LABELS]
    same_score, l2_of = numbers["score"], numbers["l2"]
    return Finding(
        "L2 prefers diffuse weights, L1 sparse ones.",
        same_score[0] == same_score[1]
        and l2_of[1] < l2_of[0]
        and numbers["effective_l1"] < numbers["effective_l2"],
        f"Equal scores {same_score[0]:g} and {same_score[1]:g} cost {l2_of[0]:g} and {l2_of[1]:g} "
        f"by L2. Of 64 weights to a digit, {numbers['effective_l2']:.0f} count with L2 and "
        f"{numbers['effective_l1']:.0f} with L1, at {numbers['accuracy_l2']:.1%} and "
        f"{numbers['accuracy_l1']:.1%} of the test digits.",
        numbers,
        [
            Table(["weights", "score", "L1", "L2"], rows),
            Table(["penalty", "effective weights of 64", "test accuracy, %"], found),
        ],
        {"diffuse_weights": pictures.grid(np.concatenate(drawn), titles, columns=10)},
    )


def minibatch_gradient(
    *, num_examples: int = 1024, sizes: tuple[int, ...] = (2, 8, 32, 128, 512), seed: int = 0
) -> Finding:
    """A minibatch's gradient is right on average, and off by one over the root of its size.

    The gradient of the softmax loss of a linear classifier of digits, in float64: from all
    pictures, and as the mean over minibatches that share them out.

    Curriculum: row 30.

    Args:
        num_examples: digits, a multiple of every size.
        sizes: pictures in a minibatch.
        seed: of weights and order.
    """
    random = np.random.default_rng(seed)
    images, labels = data.digits.arrays("train")
    order = random.permutation(len(labels))[:num_examples]
    pixels, labels = images[order].reshape(num_examples, -1) / 255, labels[order]
    weights = tf.Variable(random.normal(0, 0.1, (64, 10)))

    def gradient(chosen: slice) -> np.ndarray:
        with tf.GradientTape() as tape:
            scores = tf.matmul(pixels[chosen], weights)
            loss = tf.reduce_mean(losses.softmax_crossentropy(labels[chosen], scores))
        return tape.gradient(loss, weights).numpy()

    full = gradient(slice(None))
    size_of_full = np.linalg.norm(full)
    rows = []
    for size in sizes:
        parts = [gradient(slice(i, i + size)) for i in range(0, num_examples, size)]
        bias = float(np.abs(np.mean(parts, axis=0) - full).max())
        errors = [np.linalg.norm(part - full) / size_of_full for part in parts]
        rows.append([size, bias, float(np.mean(errors))])
    slope = np.polyfit(np.log(sizes), np.log([row[2] for row in rows]), 1)[0]
    panel = charts.Panel(
        "Error of one minibatch's gradient",
        {
            "one minibatch": charts.Series(sizes, [row[2] for row in rows], marks=True),
            "1 / root of its size": (sizes, [rows[0][2] * (sizes[0] / n) ** 0.5 for n in sizes]),
        },
        "pictures in the minibatch",
        "distance from the full gradient, by its length",
        x_log=True,
        y_log=True,
        x_limits=(1, 1000),
        y_limits=(0.1, 10),
    )
    return Finding(
        "The minibatch gradient is an unbiased estimate of the full one.",
        all(row[1] < 1e-12 for row in rows) and -0.75 < slope < -0.4,
        f"The mean over all minibatches differs from the full gradient by "
        f"{max(row[1] for row in rows):.1g} at most; a single one is {rows[0][2]:.2f} times its "
        f"length away from it with {sizes[0]} pictures, {rows[-1][2]:.2f} times with {sizes[-1]}.",
        {"largest_difference": max(row[1] for row in rows), "slope": float(slope)},
        [Table(["pictures", "difference of the mean", "mean error of one"], rows)],
        {"minibatch_gradient": charts.draw([panel], 1)},
    )


LABS = (
    first_loss,
    margin_or_probability,
    zero_loss_is_not_unique,
    squared_hinge,
    diffuse_weights,
    minibatch_gradient,
)
