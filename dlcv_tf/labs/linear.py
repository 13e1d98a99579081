"""Labs of the chapter on linear classifiers: heads, bias, templates, and what a line cannot do."""

import math

import keras
import numpy as np
from keras import layers

from dlcv_tf import losses, models, tasks
from dlcv_tf.data import digits, preprocess, sets, toys
from dlcv_tf.labs import points as on_points
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.plots import charts, pictures, planes

HEADS = ("l2", "softmax")
SOFTMAX = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def regression_or_classification(
    *, hidden_units: int = 64, epochs: int = 60, bin_width: float = 0.25, seed: int = 0
) -> Finding:
    """Two heads on the same features: L2 for a quantity, softmax for a choice.

    One hidden layer on the digits feeds four heads. What digit it is: a softmax over ten classes,
    and a number trained with the L2 loss, rounded to the nearest digit. Where its ink is (the mean
    column of the bright pixels): a number trained with L2, and a softmax over intervals of that
    place. A choice wants softmax, since a 4 is not between a 3 and a 5; a quantity wants L2, since
    an interval next to the right one is nearly right.

    Curriculum: row 5.

    Args:
        hidden_units: width of the shared layer.
        epochs: passes over the 1,258 training digits.
        bin_width: of the intervals, pixels.
        seed: of the weights and the order.
    """
    keras.utils.set_random_seed(seed)
    train, test = (_digits(split) for split in ("train", "test"))
    places = [_ink_column(images) for images, _ in (train, test)]
    low = math.floor(places[0].min())
    bins = [np.clip((each - low) / bin_width, 0, None).astype(int) for each in places]
    num_bins = int(max(each.max() for each in bins)) + 1
    network = _with_heads(
        hidden_units, {"digit": 10, "digit_number": 1, "place": 1, "place_bin": num_bins}
    )
    quantities = {"digit_number": train[1], "place": places[0]}
    scales = {name: (each.mean(), each.std()) for name, each in quantities.items()}
    targets = {name: (quantities[name] - mean) / std for name, (mean, std) in scales.items()}
    targets |= {"digit": train[1], "place_bin": bins[0]}
    network.fit(train[0], targets, epochs=epochs, batch_size=64, verbose=0)
    answers = {name: np.asarray(value) for name, value in network(test[0]).items()}
    for name, (mean, std) in scales.items():
        answers[name] = answers[name][:, 0] * std + mean
    rounded = np.clip(np.round(answers["digit_number"]), 0, 9)
    centres = low + (answers["place_bin"].argmax(1) + 0.5) * bin_width
    numbers = {
        "digit_accuracy_softmax": float(np.mean(answers["digit"].argmax(1) == test[1])),
        "digit_accuracy_l2": float(np.mean(rounded == test[1])),
        "place_error_l2": float(np.abs(answers["place"] - places[1]).mean()),
        "place_error_softmax": float(np.abs(centres - places[1]).mean()),
    }
    rows = [
        ["which digit: accuracy, %", *(100 * numbers[f"digit_accuracy_{head}"] for head in HEADS)],
        ["where: mean error, pixels", *(numbers[f"place_error_{head}"] for head in HEADS)],
    ]
    points = {
        "L2": charts.Series(places[1], answers["place"], line=False),
        "softmax over intervals": charts.Series(places[1], centres, line=False),
    }
    figure = charts.draw(
        [charts.Panel("Where the ink is", points, "true mean column, pixels", "answer, pixels")], 1
    )
    return Finding(
        "A choice wants a softmax head, a quantity an L2 head, on the same features.",
        numbers["digit_accuracy_softmax"] > numbers["digit_accuracy_l2"]
        and numbers["place_error_l2"] < numbers["place_error_softmax"],
        f"Softmax names {numbers['digit_accuracy_softmax']:.1%} of the digits, L2 with rounding "
        f"{numbers['digit_accuracy_l2']:.1%}. L2 misses the place by "
        f"{numbers['place_error_l2']:.3f} pixels, softmax over intervals by "
        f"{numbers['place_error_softmax']:.3f}.",
        numbers,
        [Table(["", "L2", "softmax"], rows)],
        {"regression_or_classification": figure},
    )


def _with_heads(hidden_units: int, heads: dict[str, int]) -> keras.Model:
    """Returns a network of one hidden layer and a head of each size, compiled: L2 where it is 1."""
    images = keras.Input((8, 8, 1), name="images")
    features = layers.Dense(hidden_units, "relu", name="features")(layers.Flatten()(images))
    outputs = {name: layers.Dense(size, name=name)(features) for name, size in heads.items()}
    network = keras.Model(images, outputs)
    l2 = "mean_squared_error"
    network.compile("adam", {name: SOFTMAX if size > 1 else l2 for name, size in heads.items()})
    return network


def bias_and_priors(*, num_examples: int = 20000, share: float = 0.9, seed: int = 0) -> Finding:
    """The bias holds what is known before looking: log 9 for classes at 90 to 10.

    Two normal clusters, one with 90 % of the points, are divided by a linear classifier with a bias
    and by one without. Between the clusters, where the point itself says nothing, the odds should
    be those of the classes: their logarithm is log(0.9 / 0.1) = 2.197.

    Curriculum: row 15.

    Args:
        num_examples: points in all.
        share: part of them in class 1.
        seed: of the points.
    """
    random = np.random.default_rng(seed)
    labels = (np.arange(num_examples) < share * num_examples).astype(np.int64)
    centres = np.array([[-1.0, 0.0], [1.0, 0.0]])
    points = (centres[labels] + random.normal(0, 1, (num_examples, 2))).astype(np.float32)
    numbers = {"prior_log_odds": math.log(share / (1 - share))}
    drawn = []
    for name, use_bias in {"without_bias": False, "with_bias": True}.items():
        network = models.linear((2,), 2, use_bias=use_bias)
        on_points.fit(network, points, labels, SOFTMAX, keras.optimizers.SGD(0.5), 400)
        scores = network(np.zeros((1, 2), np.float32))["logits"][0]  # between the clusters
        numbers[f"log_odds_{name}"] = float(scores[1] - scores[0])
        numbers[f"accuracy_{name}"] = on_points.accuracy(network, points, labels)
        shown = slice(None, None, num_examples // 300)
        title = name.replace("_", " ").capitalize()
        drawn.append(on_points.plane(title, network, points[shown], labels[shown]))
    raised = numbers["log_odds_with_bias"] - numbers["log_odds_without_bias"]
    return Finding(
        "With unbalanced classes the bias learns their prior log-odds.",
        abs(raised - numbers["prior_log_odds"]) < 0.1 * abs(numbers["prior_log_odds"]) + 0.05,
        f"Between the clusters the log-odds are {numbers['log_odds_with_bias']:.3f} with a bias "
        f"and {numbers['log_odds_without_bias']:.3f} without; the classes' own are "
        f"{numbers['prior_log_odds']:.3f}. Accuracy {numbers['accuracy_with_bias']:.1%} and "
        f"{numbers['accuracy_without_bias']:.1%}.",
        numbers | {"raised_by": raised},
        figures={"bias_and_priors": planes.draw(drawn, 2)},
    )


def templates(
    *,
    data: str = "digits",
    epochs: int = 10,
    learning_rate: float = 3e-3,
    l2: float = 1e-3,
    seed: int = 0,
) -> Finding:
    """The rows of W are pictures: one template for each class.

    A linear classifier is trained and its weights are drawn. Each class has one template, so a
    class that looks like several things gets the mean of them: the horse of CIFAR-10 has two heads.

    Curriculum: rows 14, 16.

    Args:
        data: `"digits"`, or `"cifar10"`, for which `DLCV_DATA` must point to its data.
        epochs: passes over the training split.
        learning_rate: of Adam.
        l2: factor of the penalty on the weights; more of it makes smoother templates.
        seed: of the order.
    """
    keras.utils.set_random_seed(seed)
    train, info = sets.load(data, "train")
    test, _ = sets.load(data, "test")
    network = models.linear(info.image_shape, info.num_classes, l2=l2)
    height, width, channels = info.image_shape
    task = tasks.Classifier(network, preprocess.Preprocess((height, width), channels), info.labels)
    task.compile(keras.optimizers.Adam(learning_rate))
    task.fit(train.shuffle(10_000, seed).batch(64), epochs=epochs, shuffle=False, verbose=0)
    reached = task.evaluate(test.batch(256), return_dict=True, verbose=0)["accuracy"]
    drawn = models.templates(network)
    numbers = {
        "test_accuracy": float(reached),
        "num_templates": len(drawn),
        "lowest": int(drawn.min()),
        "highest": int(drawn.max()),
    }
    return Finding(
        "A linear classifier has one template for each class, which can be drawn.",
        drawn.shape == (info.num_classes, *info.image_shape)
        and (numbers["lowest"], numbers["highest"]) == (0, 255)
        and reached > 2 / info.num_classes,
        f"{len(drawn)} templates of {height}x{width} pixels; the classifier is right on "
        f"{reached:.1%} of the test pictures of {data}.",
        numbers,
        figures={"templates": pictures.grid(drawn, list(info.labels), columns=5)},
    )


def linear_limits(*, num_examples: int = 600, steps: int = 600, seed: int = 0) -> Finding:
    """XOR, a ring, several clusters, parity: where no line helps and a hidden layer does.

    A linear classifier and a network with one hidden layer are trained on each set with all points
    in every step, and tested on fresh points.

    Curriculum: row 17.

    Args:
        num_examples: points to train on, and as many to test on.
        steps: of Adam.
        seed: of points and weights.
    """
    keras.utils.set_random_seed(seed)
    numbers, drawn = {}, {"linear": [], "mlp": []}
    names = ("xor", "annulus", "modes", "parity")
    for name in names:
        points, labels = toys.make(name, num_examples, seed)
        fresh = toys.make(name, num_examples, seed + 1)
        shape = points.shape[1:]
        for kind, network in {
            "linear": models.linear(shape, 2),
            "mlp": models.mlp(shape, 2, hidden_units=(64,)),
        }.items():
            on_points.fit(network, points, labels, SOFTMAX, keras.optimizers.Adam(0.02), steps)
            reached = numbers[f"{name}_{kind}"] = on_points.accuracy(network, *fresh)
            if shape == (2,):
                title = f"{name}, {'line' if kind == 'linear' else 'hidden layer'}: {reached:.1%}"
                drawn[kind].append(on_points.plane(title, network, points, labels))
    rows = [[name, 100 * numbers[f"{name}_linear"], 100 * numbers[f"{name}_mlp"]] for name in names]
    return Finding(
        "A linear classifier fails on XOR, a ring, several clusters and parity.",
        all(numbers[f"{name}_mlp"] > 0.95 for name in names)
        and all(numbers[f"{name}_linear"] <= 0.75 for name in names),
        "On fresh points the line is right on "
        + ", ".join(f"{numbers[f'{name}_linear']:.0%} of {name}" for name in names)
        + "; the hidden layer on "
        + ", ".join(f"{numbers[f'{name}_mlp']:.1%}" for name in names)
        + ".",
        numbers,
        [Table(["set", "linear, %", "one hidden layer, %"], rows, "accuracy on fresh points")],
        {"linear_limits": planes.draw(drawn["linear"] + drawn["mlp"], 3)},
    )


def spiral(
    *, num_examples: int = 300, hidden_units: int = 100, steps: int = 10000, seed: int = 0
) -> Finding:
    """Three spiral arms: softmax on the points gets half of them, a hidden layer nearly all.

    As in CS231n's case study: gradient descent with step 1 on all points, a penalty of
    1/2 * 0.001 * W^2, 200 steps for softmax and 10,000 for the network. The accuracy is that on
    the training points, as theirs, 49 % and 98 %.

    Curriculum: row 17.

    Args:
        num_examples: points of all three arms.
        hidden_units: of the two-layer network.
        steps: of gradient descent for the two-layer network.
        seed: of points and weights.

    Reference: CS231n notes, "Putting it together: Minimal Neural Network Case Study".
    """
    keras.utils.set_random_seed(seed)
    points, labels = toys.make("spiral", num_examples, seed)
    l2 = 1e-3 / 2
    networks = {
        "softmax": (models.linear((2,), 3, l2=l2), 200),
        "two_layers": (models.mlp((2,), 3, hidden_units=(hidden_units,), l2=l2), steps),
    }
    numbers, drawn = {}, []
    for name, (network, taken) in networks.items():
        gradient_descent = keras.optimizers.SGD(1.0)
        loss = on_points.fit(network, points, labels, SOFTMAX, gradient_descent, taken)
        reached = on_points.accuracy(network, points, labels)
        numbers |= {f"{name}_loss": loss, f"{name}_accuracy": reached}
        title = f"{name.replace('_', ' ').capitalize()}: {reached:.1%}"
        drawn.append(on_points.plane(title, network, points, labels))
    return Finding(
        "Softmax on the points cannot part the arms of a spiral; one hidden layer can.",
        0.45 <= numbers["softmax_accuracy"] <= 0.6 and numbers["two_layers_accuracy"] >= 0.97,
        f"Softmax is right on {numbers['softmax_accuracy']:.1%} of the points (loss "
        f"{numbers['softmax_loss']:.3f}), two layers on {numbers['two_layers_accuracy']:.1%} "
        f"(loss {numbers['two_layers_loss']:.3f}).",
        numbers,
        figures={"spiral": planes.draw(drawn, 2)},
    )


def score_and_loss(*, epochs: int = 20, learning_rate: float = 0.003, seed: int = 0) -> Finding:
    """One score function, three losses: what is computed and what is asked of it are two things.

    The same linear classifier of digits is compiled with softmax cross-entropy, hinge and squared
    hinge. Its scores do not change by that; its first loss does, and each of them trains it.

    Curriculum: row 27.

    Args:
        epochs: passes over the 1,258 training digits.
        learning_rate: of Adam.
        seed: of the order.
    """
    keras.utils.set_random_seed(seed)
    train, test = (digits.arrays(split) for split in ("train", "test"))
    network = models.linear((8, 8, 1), 10)
    weights = [np.random.default_rng(seed).normal(0, 0.01, w.shape) for w in network.get_weights()]
    task = tasks.Classifier(network, preprocess.Preprocess((8, 8), 1), digits.LABELS)
    choices = {
        "softmax": SOFTMAX,
        "hinge": losses.MulticlassHinge(),
        "squared hinge": losses.MulticlassHinge(squared=True),
    }
    rows, before = [], []
    for name, loss in choices.items():
        network.set_weights(weights)
        task.compile(keras.optimizers.Adam(learning_rate), loss)
        before.append(network(task.preprocess(test[0]))["logits"].numpy())
        first = task.evaluate(*train, return_dict=True, verbose=0)["loss"]
        task.fit(*train, epochs=epochs, batch_size=64, verbose=0)
        last = task.evaluate(*train, return_dict=True, verbose=0)["loss"]
        reached = task.evaluate(*test, return_dict=True, verbose=0)["accuracy"]
        rows.append([name, float(first), float(last), 100 * float(reached)])
    same = all(np.array_equal(before[0], each) for each in before[1:])
    return Finding(
        "Score function and loss function are separate: any loss trains any network.",
        same and all(row[2] < row[1] and row[3] > 90 for row in rows),
        "The same scores before training; then "
        + ", ".join(f"{row[3]:.1f} % with {row[0]}" for row in rows)
        + " of the test digits.",
        {"scores_are_the_same": same}
        | {f"{row[0].replace(' ', '_')}_accuracy": row[3] / 100 for row in rows}
        | {f"{row[0].replace(' ', '_')}_first_loss": row[1] for row in rows},
        [Table(["loss", "first loss", "last loss", "test accuracy, %"], rows)],
    )


def _digits(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns (n, 8, 8, 1) float32 digits in 0..1 and their labels."""
    images, labels = digits.arrays(split)
    return images.astype(np.float32) / 255, labels


def _ink_column(images: np.ndarray) -> np.ndarray:
    """Returns the mean column of the ink in each picture, pixels from the left edge."""
    ink = images[..., 0].sum(axis=1)  # (n, width)
    return (ink @ (np.arange(ink.shape[1]) + 0.5) / ink.sum(axis=1)).astype(np.float32)


LABS = (
    regression_or_classification,
    bias_and_priors,
    templates,
    linear_limits,
    spiral,
    score_and_loss,
)
