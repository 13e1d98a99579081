"""Labs of the chapter on nearest neighbour: what it costs, how good it is, how it is validated."""

import functools
import time
from collections.abc import Callable

import keras
import numpy as np

from dlcv_tf import models, tasks
from dlcv_tf.data import digits, partition, sets, statistics
from dlcv_tf.data.preprocess import Preprocess
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.ops import distances
from dlcv_tf.plots import charts
from dlcv_tf.train import validation

KS = (1, 3, 5, 8, 10, 12, 15, 20, 50, 100)
FORMS = {
    "two loops": distances.two_loops,
    "one loop": distances.one_loop,
    "vectorised": distances.pairwise,
}
REPEATS = 5  # of a timing; the fastest counts, as whatever else runs can only slow it down
LINEAR_EPOCHS = 5
QUERIES = 256
CLASSES = 10


def three_distances(*, examples: int = 500, queries: int = 100, seed: int = 0) -> Finding:
    """Distances by two loops, by one loop and without any: the same numbers, sooner and sooner.

    All distances between test and training pictures of the digits are computed in the three forms
    in float64, pixels from 0 to 1. The course compares by the Frobenius norm of the difference.

    Curriculum: row 6.

    Args:
        examples: training pictures, at most 1,258.
        queries: test pictures, at most 359.
        seed: which of them.
    """
    random = np.random.default_rng(seed)
    known, asked = (
        random.permutation(digits.arrays(split)[0])[:count].reshape(-1, 64) / 255.0
        for split, count in (("train", examples), ("test", queries))
    )
    differences, seconds, rows = {}, {}, []
    for kind in distances.KINDS:
        found = {}
        for form, function in FORMS.items():
            name = f"{kind}, {form}"
            compute = functools.partial(function, asked, known, kind)
            found[form] = compute().numpy()  # and traced
            seconds[name] = _seconds(lambda compute=compute: compute().numpy())
            differences[name] = float(np.linalg.norm(found[form] - found["two loops"]))
            rows.append([kind, form, f"{1000 * seconds[name]:.1f}", f"{differences[name]:.1e}"])
    worst = max(differences.values())
    gain = seconds["l2, two loops"] / seconds["l2, vectorised"]
    return Finding(
        "Three implementations of a distance agree, and the one without loops is the fastest.",
        worst < 1e-3 and gain > 1,
        f"The largest Frobenius norm of a difference is {worst:.1e}, allowed is 1e-3; without "
        f"loops L2 takes one {gain:.0f}th of the time of two loops.",
        {"differences": differences, "seconds": seconds},
        [Table(["distance", "form", "ms", "difference"], rows, f"{examples} x {queries} pictures")],
        {"three_distances": charts.bars({k: 1000 * s for k, s in seconds.items()}, "ms", log=True)},
    )


def lazy_learner(
    *, sizes: tuple[int, ...] = (2500, 5000, 10000, 20000), side: int = 32, seed: int = 0
) -> Finding:
    """Nearest neighbour learns at once and answers slowly; a linear classifier the opposite.

    Both learn from random pictures and name 256 more. kNN's fit copies the pictures and its answer
    looks at each of them: the notes call it parametric (erratum E1), yet it has as many numbers to
    keep as there are training pixels. The linear classifier keeps W and b, however many there were.

    Curriculum: row 4.

    Args:
        sizes: numbers of training pictures, rising.
        side: of the RGB pictures, pixels.
        seed: of the pictures.
    """
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (max(sizes) + QUERIES, side, side, 3), np.uint8)
    labels = random.integers(0, CLASSES, len(images))
    fit, predict, numbers = {}, {}, {}
    for size in sizes:
        for name in ("kNN", "linear"):
            task = _learner(name, images.shape[1:], size)
            options = {"epochs": LINEAR_EPOCHS, "batch_size": 128} if name == "linear" else {}
            learn = functools.partial(task.fit, images[:size], labels[:size], verbose=0, **options)
            answer = functools.partial(task.predict_on_batch, images[-QUERIES:])
            fit.setdefault(name, []).append(_seconds(learn, repeats=1))
            answer()  # traced
            predict.setdefault(name, []).append(_seconds(answer))
            numbers.setdefault(name, []).append(task.network.count_params())
    growth = {name: seconds[-1] / seconds[0] for name, seconds in predict.items()}
    longer = sizes[-1] / sizes[0]
    holds = (
        growth["kNN"] > longer / 2
        and growth["linear"] < longer / 2
        and fit["kNN"][-1] < fit["linear"][-1]
        and numbers["linear"][0] == numbers["linear"][-1]
    )
    columns = ["examples", "kNN fit", "linear fit", "kNN predict", "linear predict", "kNN numbers"]
    lines = (fit["kNN"], fit["linear"], predict["kNN"], predict["linear"])
    rows = [
        [size, *(f"{1000 * line[place]:.1f}" for line in lines), numbers["kNN"][place]]
        for place, size in enumerate(sizes)
    ]
    panels = [
        charts.Panel(
            title,
            {name: charts.Series(sizes, 1000 * np.array(s), marks=True) for name, s in by.items()},
            "training pictures",
            "ms",
        )
        for title, by in (("To learn", fit), (f"To name {QUERIES} pictures", predict))
    ]
    return Finding(
        "Nearest neighbour is cheap to train and dear to ask; a linear classifier the other way.",
        bool(holds),
        f"From {sizes[0]} to {sizes[-1]} pictures kNN's answer takes {growth['kNN']:.1f} times as "
        f"long, the linear classifier's {growth['linear']:.1f} times; to learn the most takes kNN "
        f"{fit['kNN'][-1]:.2f} s and the linear classifier {fit['linear'][-1]:.2f} s.",
        {"sizes": list(sizes), "fit": fit, "predict": predict, "numbers_kept": numbers},
        [Table(columns, rows, f"ms; linear: {LINEAR_EPOCHS} epochs")],
        {"lazy_learner": charts.draw(panels)},
    )


def neighbour_accuracy(
    *,
    data: str = "cifar10",
    examples: int = 5000,
    queries: int = 500,
    distance: str = "l2",
    ks: tuple[int, ...] = KS,
    num_folds: int = 5,
) -> Finding:
    """The number of neighbours is chosen by cross-validation, and then tested once.

    The first training pictures are cut into folds; each fold in turn is named by the others, for
    every k, from distances computed once. Then all of them name the first test pictures. On
    CIFAR-10 a single neighbour is right about 27 times in a hundred, ten about 28 times.

    Curriculum: rows 6, 7, 11.

    Args:
        data: data set, as `dlcv list datasets` has them; CIFAR-10 needs `DLCV_DATA`.
        examples: training pictures.
        queries: test pictures.
        distance: l1 or l2, on raw pixels from 0 to 255.
        ks: numbers of neighbours to try.
        num_folds: of the cross-validation.

    Reference: CS231n, assignment 1, https://cs231n.github.io/assignments2024/assignment1/.
    """
    points, labels = _first(data, "train", examples)
    asked, truth = _first(data, "test", queries)
    folds = partition.folds(len(points), num_folds)
    crossed = validation.validate_neighbours(points, labels, ks, folds, distance)
    predicted = validation.neighbour_labels(points, labels, asked, ks, distance)
    tested = dict(zip(ks, (predicted == truth).mean(axis=1).tolist(), strict=True))
    middle = dict(zip(ks, crossed.means.tolist(), strict=True))
    rows = [
        [k, *(f"{score:.3f}" for score in scores), f"{mean:.4f}", f"{std:.4f}", f"{tested[k]:.3f}"]
        for k, scores, mean, std in zip(
            ks, crossed.scores, crossed.means, crossed.deviations, strict=True
        )
    ]
    columns = ["k", *(f"fold {number + 1}" for number in range(num_folds)), "mean", "std", "test"]
    return Finding(
        f"More neighbours than {ks[0]} name more pictures rightly, as cross-validation finds.",
        crossed.best != ks[0],
        f"k={crossed.best} is the best in {num_folds} folds with {middle[crossed.best]:.1%}. On "
        f"{len(asked)} test pictures it is right for {tested[crossed.best]:.1%}, k={ks[0]} for "
        f"{tested[ks[0]]:.1%}; the best k there would have been {max(tested, key=tested.get)} "
        f"with {max(tested.values()):.1%}.",
        {
            "ks": list(ks),
            "accuracies": crossed.scores.tolist(),
            "means": crossed.means.tolist(),
            "deviations": crossed.deviations.tolist(),
            "best_k": crossed.best,
            "test": {str(k): value for k, value in tested.items()},
        },
        [Table(columns, rows, f"accuracy by {distance}, {len(points)} pictures of {data}")],
        {"neighbour_accuracy": _validation_figure(crossed, tested)},
    )


def split_and_drift(*, splits: int = 100, change: float = 10.0, seed: int = 0) -> Finding:
    """The parts of a random split are of one source; a drift check tells what is not.

    The digits are split at random; the check must keep quiet about the two parts, and about so many
    more random splits but for the false alarms it is allowed. Then the second part is inverted,
    brightened by a few levels, and stripped of one class: each must raise the alarm.

    Curriculum: rows 10, 12.

    Args:
        splits: random splits to count false alarms in, with 5 % allowed.
        change: levels of 0 to 255 to brighten by.
        seed: of the first split; the others follow.
    """
    images, labels = digits.arrays("train")
    course = partition.course_split(seed=seed)
    disjoint = not np.intersect1d(course["train"], course["val"]).size
    sizes = {"first": 900, "second": len(images) - 900}

    def parts(number):
        found = partition.split(len(images), sizes, seed=number).values()
        return [(images[indices], labels[indices]) for indices in found]

    first, second = parts(seed)
    brighter = np.clip(second[0] + change, 0, 255)
    kept = second[1] != 0
    cases = {
        "random split": second,
        "inverted": (255 - second[0], second[1]),
        f"brighter by {change:g}": (brighter, second[1]),
        "without zeros": (second[0][kept], second[1][kept]),
    }
    found = {name: statistics.drift(first, case) for name, case in cases.items()}
    alarms = sum(
        statistics.drift(*parts(seed + 1 + number), false_alarms=0.05).drifted
        for number in range(splits)
    )
    allowed = 0.05 * splits + 3 * np.sqrt(0.05 * 0.95 * splits)
    least = {name: min(each.p_values.values()) for name, each in found.items()}
    rows = [
        [name, f"{least[name]:.1e}", ", ".join(each.reasons) or "none"]
        for name, each in found.items()
    ]
    caught = sum(each.drifted for name, each in found.items() if name != "random split")
    counts = ", ".join(f"{len(indices):,} in {name}" for name, indices in course.items())
    right = all(each.drifted == (name != "random split") for name, each in found.items())
    return Finding(
        "A random split keeps the distribution; a drift check tells data that comes from another.",
        bool(disjoint and right and alarms <= allowed),
        f"The check is {'loud' if found['random split'].drifted else 'quiet'} about the random "
        f"split and finds {caught} of 3 changes; it raised {alarms} false alarms in {splits} "
        f"splits where 5 % are allowed. The course's split of CIFAR-10 has {counts}.",
        {
            "sizes": {name: len(indices) for name, indices in course.items()},
            "disjoint": disjoint,
            "least_p": least,
            "reasons": {name: each.reasons for name, each in found.items()},
            "false_alarms": alarms,
        },
        [Table(["second set", "least p", "alarm for"], rows, "drift against the first 900 digits")],
        {
            "split_and_drift": charts.bars(
                {name: -np.log10(max(p, 1e-300)) for name, p in least.items()},
                "evidence: -log10 of the least probability by chance",
                log=True,
                references={"alarm": -np.log10(0.001 / len(found["inverted"].p_values))},
            )
        },
    )


def _learner(name: str, shape: tuple[int, int, int], size: int) -> tasks.Classifier:
    """Returns an untrained task, kNN for so many examples or linear."""
    preprocess, names = Preprocess(shape[:2]), [str(number) for number in range(CLASSES)]
    if name == "linear":
        task = tasks.Classifier(models.linear(shape, CLASSES), preprocess, names)
    else:
        task = tasks.NearestNeighbours(models.knn(shape, CLASSES, size), preprocess, names)
    task.compile(keras.optimizers.SGD(0.01))
    return task


def _seconds(call: Callable, repeats: int = REPEATS) -> float:
    """Returns the time of the fastest of some calls."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def _first(name: str, split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first pictures of a split as (n, features) float32, and their labels."""
    batch = sets.load(name, split)[0].batch(count)
    images, labels = next(batch.as_numpy_iterator())
    return images.reshape(len(images), -1).astype(np.float32), labels


def _validation_figure(crossed: validation.CrossValidation, tested: dict):
    """Draws every accuracy, mean and deviation over the folds, and the accuracies at test."""
    places = [str(k) for k in crossed.settings]
    means, deviations = crossed.means, crossed.deviations
    each = np.repeat(places, crossed.scores.shape[1])
    series = {
        "mean of the folds": charts.Series(
            places, means, means - deviations, means + deviations, marks=True
        ),
        "each fold": charts.Series(list(each), crossed.scores.ravel(), marks=True, line=False),
        "test": charts.Series(places, list(tested.values())),
    }
    panel = charts.Panel("Cross-validation", series, "neighbours that vote, k", "accuracy")
    return charts.draw([panel], columns=1)


LABS = (three_distances, lazy_learner, neighbour_accuracy, split_and_drift)
