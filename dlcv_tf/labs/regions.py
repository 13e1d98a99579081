"""Labs of the chapter on detection by regions: sliding window, proposals, R-CNN, Fast R-CNN."""

import functools
import time

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf import data, models, tasks
from dlcv_tf.data import proposals as proposing
from dlcv_tf.data import scenes
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.models import summary
from dlcv_tf.ops import boxes as box_ops
from dlcv_tf.plots import charts
from dlcv_tf.tasks import methods

SIDE = scenes.SIZE
SHAPE = (SIDE, SIDE, 3)
OVERLAPS = (0.5, 0.7)
TIMED = 3  # repetitions, of which the best counts


def sliding_window(
    *, levels: tuple[float, ...] = (9.0, 11.0, 14.0, 17.0, 21.0, 27.0), seed: int = 0
) -> Finding:
    """A classifier at all places and sizes: one convolutional pass gives every window's scores.

    The naive way cuts each window out and classifies it. The fully convolutional one runs the same
    classifier over the whole picture, once for each size, and computes what windows share only
    once. Both are done with the same weights, their scores compared and their multiply-adds
    counted. Neither comes near to all boxes that a picture has, of any place, size and shape: that
    is why proposals were wanted.

    Curriculum: row 142.

    Args:
        levels: sides of the square windows, pixels.
        seed: of weights and picture.
    """
    keras.utils.set_random_seed(seed)
    network = models.sliding_window(SHAPE, 6, [(side, side) for side in levels])
    images = np.random.default_rng(seed).normal(size=(1, *SHAPE)).astype(np.float32)
    network(images, training=True)  # so that batch normalisation has something to do
    single = models.window_by_window(network, images)
    apart = float(np.abs(single - network(images)["logits"]).max())
    ways = functools.partial(models.window_by_window, network), network.__call__
    traced = [tf.function(way) for way in ways]
    seconds = [_best_seconds(lambda run=run: run(tf.constant(images))) for run in traced]
    windows, side = int(single.shape[1]), 18
    each = summary.macs(network.get_layer("classifier"), (side, side, 3))
    work = [windows * each, summary.macs(network)]
    every = (SIDE * (SIDE + 1) // 2) ** 2
    names = "window by window", "one pass"
    rows = [
        (name, windows, macs, 1000 * spent)
        for name, macs, spent in zip(names, work, seconds, strict=True)
    ]
    return Finding(
        claim="A classifier run over the whole picture gives the scores of every window on its "
        "own, for a fraction of the work.",
        holds=apart < 1e-4 and work[0] > 3 * work[1],
        summary=f"{windows:,} windows of {len(levels)} sizes: the scores differ by {apart:.1g}; "
        f"cut out one by one they take {work[0] / work[1]:.1f} times the multiply-adds and "
        f"{seconds[0] / seconds[1]:.1f} times the time. A picture of {SIDE}x{SIDE} has {every:,} "
        "boxes.",
        numbers={
            "windows": windows,
            "boxes": every,
            "difference": apart,
            "macs": dict(zip(names, work, strict=True)),
            "seconds": dict(zip(names, seconds, strict=True)),
        },
        tables=[Table(("how", "windows", "multiply-adds", "milliseconds"), rows)],
        figures={
            "sliding_window": charts.bars(
                dict(zip(names, [macs / 1e6 for macs in work], strict=True)),
                "million multiply-adds a picture",
            )
        },
    )


def proposal_recall(*, pictures: int = 40, most: int = 128, seed: int = 0) -> Finding:
    """A few dozen proposals of selective search cover nearly all things; random boxes do not.

    An object that no proposal overlaps enough is lost to R-CNN and Fast R-CNN, whatever comes
    after. Counted is the share of objects that one of the first proposals overlaps, for selective
    search on the picture as it is and enlarged, and for boxes drawn at random. Selective search
    was made for pictures of 500 pixels, with things of a hundred: of 64 it wants them enlarged.

    Curriculum: row 143.

    Args:
        pictures: drawn scenes.
        most: proposals looked at.
        seed: of the random boxes.

    Reference: Uijlings et al. 2013, "Selective search for object recognition".
    """
    drawn = scenes.scenes("test")[:pictures]
    random = np.random.default_rng(seed)
    ways = {
        "enlarged twice": lambda image: proposing.selective_search(image, most),
        "as it is": lambda image: proposing.selective_search(image, most, enlarge=1.0),
        "random boxes": lambda image: _random_boxes(random, most),
    }
    counts = [2**power for power in range(int(np.log2(most)) + 1)]
    recalls, sizes, seconds, lines = {}, {}, {}, {}
    for name, propose in ways.items():
        start = time.perf_counter()
        found = [propose(scene.image) for scene in drawn]
        seconds[name] = (time.perf_counter() - start) / pictures
        sizes[name] = float(np.mean([len(boxes) for boxes in found]))
        overlaps = [
            box_ops.iou(scenes.boxes_of(scene.masks), boxes).numpy()
            for scene, boxes in zip(drawn, found, strict=True)
        ]
        for least in OVERLAPS:
            recalls[f"{name}, {least}"] = [_recall(overlaps, count, least) for count in counts]
        lines[name] = charts.Series(counts, recalls[f"{name}, {OVERLAPS[0]}"], marks=True)
    rows = [
        (name, sizes[name], *(recalls[f"{name}, {least}"][-1] for least in OVERLAPS), seconds[name])
        for name in ways
    ]
    best, plain = (recalls[f"{name}, 0.5"][-1] for name in ("enlarged twice", "as it is"))
    chance = recalls["random boxes, 0.5"][-1]
    axes = {"x_label": "proposals", "x_log": True, "y_limits": (0, 1)}
    panel = charts.Panel("objects overlapped by 0.5 or more", lines, y_label="share", **axes)
    return Finding(
        claim="Some dozen proposals of selective search cover nearly all objects, random boxes "
        "much fewer.",
        holds=best > 0.97 and best >= plain and best > chance + 0.1,
        summary=f"Within {sizes['enlarged twice']:.0f} proposals a picture are {best:.1%} of the "
        f"objects at an overlap of 0.5, of the picture as it is {plain:.1%} within "
        f"{sizes['as it is']:.0f}; of {most} random boxes {chance:.1%}.",
        numbers={
            "counts": counts,
            "recall": recalls,
            "proposals": sizes,
            "seconds": seconds,
        },
        tables=[
            Table(
                ("proposals of", "number", "recall at 0.5", "recall at 0.7", "seconds a picture"),
                rows,
            )
        ],
        figures={"proposal_recall": charts.draw([panel], columns=1)},
    )


def rcnn_stages(
    *, train: int = 160, test: int = 60, epochs: int = 10, count: int = 64, seed: int = 0
) -> Finding:
    """R-CNN stage by stage: features, support vector machines, and boxes corrected at the end.

    A network is trained to name proposals; machines with the hinge loss, on its features and on
    the negatives that are hard, name them again; a linear map corrects the boxes. Mean average
    precision is measured with and without each of the last two. What is left out of a stage costs
    most where boxes must fit well: the average over overlaps up to 0.95.

    Curriculum: row 143.

    Args:
        train: drawn scenes to learn from.
        test: drawn scenes to measure on.
        epochs: of the network's training.
        count: proposals of a picture, at most.
        seed: of weights and order.

    Reference: Girshick et al., "R-CNN", https://arxiv.org/abs/1311.2524.
    """
    keras.utils.set_random_seed(seed)
    pairs, measured, info = _proposed(train, test, count)
    task = _task(models.rcnn(SHAPE, info.num_classes), info.labels, methods.RCNN())
    start = time.perf_counter()
    batches = proposing.training_batches(pairs, 8, 16, seed=seed)
    _fit(task, batches, epochs, 3e-3)
    facts = task.method.fit_heads(task, pairs.batch(50))
    seconds = time.perf_counter() - start
    rows, numbers = [], {}
    for classifier in ("softmax", "svm"):
        for corrected in (False, True):
            task.method.classifier, task.method.box_regression = classifier, corrected
            result = task.measure(measured.batch(20))
            name = f"{classifier}{', corrected' if corrected else ''}"
            numbers[name] = {key: result[key] for key in ("map50", "map75", "map")}
            rows.append((name, *numbers[name].values()))
    plain, corrected = numbers["svm"], numbers["svm, corrected"]
    return Finding(
        claim="Box regression improves R-CNN's average precision, most where boxes must fit well.",
        holds=corrected["map"] > plain["map"] and corrected["map75"] > plain["map75"],
        summary=f"mAP over overlaps from 0.5 to 0.95 is {plain['map']:.3f} with the proposals' own "
        f"boxes and {corrected['map']:.3f} with corrected ones; at 0.5 {plain['map50']:.3f} and "
        f"{corrected['map50']:.3f}. The machines saw {facts['negatives'][0].sum():,} negatives "
        f"first and {facts['negatives'][-1].sum():,} at the end, of {facts['regions']:,} regions.",
        numbers={
            "map": numbers,
            "negatives": facts["negatives"],
            "regions": facts["regions"],
            "corrected": facts["corrected"],
            "training_seconds": seconds,
        },
        tables=[Table(("scores and boxes", "mAP at 0.5", "at 0.75", "0.5 to 0.95"), rows)],
        figures={
            "rcnn_stages": charts.bars(
                {name: values["map"] for name, values in numbers.items()},
                "mAP over overlaps from 0.5 to 0.95",
            )
        },
    )


def fast_rcnn_training(
    *, train: int = 160, test: int = 60, epochs: int = 20, count: int = 64, seed: int = 0
) -> Finding:
    """Fast R-CNN learns names and boxes at once, from proposals that are found beforehand.

    One network, one training, two losses that are added: softmax cross-entropy and smooth L1, on
    regions read in a shared map by RoI pooling. The proposals are those of R-CNN.

    Curriculum: row 144.

    Args:
        train: drawn scenes to learn from.
        test: drawn scenes to measure on.
        epochs: of the training.
        count: proposals of a picture, at most.
        seed: of weights and order.

    Reference: Girshick, "Fast R-CNN", https://arxiv.org/abs/1504.08083.
    """
    keras.utils.set_random_seed(seed)
    pairs, measured, info = _proposed(train, test, count)
    network = models.fast_rcnn(SHAPE, info.num_classes, features="c2")
    task = _task(network, info.labels, methods.FastRCNN(samples=32))
    start = time.perf_counter()
    batches = pairs.shuffle(train, seed).batch(8, drop_remainder=True)
    history = _fit(task, batches, epochs, 2e-3)
    seconds = time.perf_counter() - start
    result = task.measure(measured.batch(20))
    losses = {name: history[name] for name in methods.FastRCNN.loss_names}
    epochs_done = range(1, epochs + 1)
    panel = charts.Panel(
        "losses of Fast R-CNN",
        {name: charts.Series(epochs_done, values) for name, values in losses.items()},
        x_label="epoch",
    )
    return Finding(
        claim="Fast R-CNN learns to name and to correct regions in one training.",
        holds=all(values[-1] < values[0] for values in losses.values()) and result["map50"] > 0.1,
        summary=f"After {epochs} epochs on {train} scenes, {seconds:.0f} s: mAP "
        f"{result['map50']:.3f} at an overlap of 0.5, {result['map']:.3f} from 0.5 to 0.95.",
        numbers={
            "map50": result["map50"],
            "map75": result["map75"],
            "map": result["map"],
            "losses": losses,
            "training_seconds": seconds,
        },
        tables=[
            Table(
                ("scenes", "epochs", "mAP at 0.5", "at 0.75", "0.5 to 0.95", "seconds"),
                [(train, epochs, result["map50"], result["map75"], result["map"], seconds)],
            )
        ],
        figures={"fast_rcnn_training": charts.draw([panel], columns=1)},
    )


def seconds_per_picture(
    *, counts: tuple[int, ...] = (16, 64, 256), pictures: int = 8, seed: int = 0
) -> Finding:
    """Shared features make a region cheap; then finding proposals takes nearly all the time.

    The three networks are run on the same scene, part by part: selective search, then the network
    itself. R-CNN runs its network on each crop, Fast R-CNN once on the picture and a small head on
    each region, Faster R-CNN finds the regions in the same map. The weights are random: they make
    no difference to the time.

    Curriculum: row 144.

    Args:
        counts: proposals of a picture; the middle one is in the table.
        pictures: drawn scenes that selective search is timed on.
        seed: of weights and boxes.

    Reference: Girshick, "Fast R-CNN", section 4.3; Ren et al., "Faster R-CNN", table 5.
    """
    keras.utils.set_random_seed(seed)
    images = [scene.image for scene in scenes.scenes("test")[:pictures]]
    searching = _best_seconds(lambda: [proposing.selective_search(each) for each in images])
    searching /= pictures
    random = np.random.default_rng(seed)
    builders = {"R-CNN": models.rcnn, "Fast R-CNN": models.fast_rcnn}
    networks = {name: build(SHAPE, 6) for name, build in builders.items()}
    spent = {name: [] for name in (*networks, "Faster R-CNN")}
    for count in counts:
        inputs = {
            "images": random.normal(size=(1, *SHAPE)).astype(np.float32),
            "proposals": _random_boxes(random, count)[None],
        }
        for name, network in networks.items():
            spent[name].append(_network_seconds(network, inputs))
        faster = models.faster_rcnn(SHAPE, 6, num_proposals=count)
        spent["Faster R-CNN"].append(_network_seconds(faster, inputs["images"]))
    middle = len(counts) // 2
    parts = {name: (searching, values[middle]) for name, values in spent.items()}
    parts["Faster R-CNN"] = (0.0, spent["Faster R-CNN"][middle])
    rows = [
        (
            name,
            1000 * search,
            1000 * network,
            1000 * (search + network),
            search / (search + network),
        )
        for name, (search, network) in parts.items()
    ]
    share = rows[1][4]
    series = {
        name: charts.Series(counts, [1000 * value for value in values], marks=True)
        for name, values in spent.items()
    }
    panel = charts.Panel(
        "the networks alone",
        series,
        x_label="proposals",
        y_label="milliseconds",
        x_log=True,
        y_log=True,
        references={"selective search": 1000 * searching},
    )
    slope = {name: values[-1] / values[0] for name, values in spent.items()}
    return Finding(
        claim="With shared features the proposals take most of Fast R-CNN's time; a network that "
        "proposes does away with that.",
        holds=share > 0.5 and slope["R-CNN"] > slope["Fast R-CNN"] and rows[2][3] < rows[1][3],
        summary=f"With {counts[middle]} proposals R-CNN takes {rows[0][3]:.0f} ms a picture, Fast "
        f"R-CNN {rows[1][3]:.0f} ms of which {share:.0%} is selective search, Faster R-CNN "
        f"{rows[2][3]:.1f} ms. From {counts[0]} to {counts[-1]} proposals R-CNN's network takes "
        f"{slope['R-CNN']:.1f} times as long, Fast R-CNN's {slope['Fast R-CNN']:.1f} times.",
        numbers={
            "counts": counts,
            "network_seconds": spent,
            "search_seconds": searching,
            "search_share_of_fast_rcnn": share,
        },
        tables=[
            Table(
                ("detector", "proposals, ms", "network, ms", "together, ms", "share of proposals"),
                rows,
            )
        ],
        figures={"seconds_per_picture": charts.draw([panel], columns=1)},
    )


def _proposed(train: int, test: int, count: int):
    """Returns scenes with their proposals, to learn from and to measure on, and the `Info`."""
    parts = []
    for split, number in (("train", train), ("test", test)):
        dataset, info = data.load("shapes", split, targets="boxes")
        images = np.stack([scene.image for scene in scenes.scenes(split)[:number]])
        found = proposing.padded(images, count)
        parts.append(proposing.attach(dataset.take(len(images)), found))
    return *parts, info


def _task(network: keras.Model, labels, method) -> tasks.RegionDetector:
    """Returns a task whose answers have all that average precision may ask for."""
    preprocess = data.Preprocess(SHAPE[:2])
    return tasks.RegionDetector(
        network, preprocess, labels, method, score_threshold=0.01, iou_threshold=0.3
    )


def _fit(task, batches: tf.data.Dataset, epochs: int, learning_rate: float) -> dict:
    """Trains with Adam and a cosine schedule; returns the losses of each epoch by name."""
    steps = epochs * int(batches.cardinality())
    task.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps))
    )
    return task.fit(batches, epochs=epochs, verbose=0, shuffle=False).history


def _recall(overlaps: list[np.ndarray], count: int, least: float) -> float:
    """Returns the share of objects that one of the first proposals overlaps by `least`."""
    best = [each[:, :count].max(axis=1, initial=0) for each in overlaps]
    return float((np.concatenate(best) >= least).mean())


def _random_boxes(random: np.random.Generator, count: int) -> np.ndarray:
    """Returns (count, 4) boxes of the sizes of shapes, anywhere in a picture."""
    sides = random.uniform(8, 30, (count, 2))
    corners = random.uniform(0, 1, (count, 2)) * (SIDE - sides)
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32)


def _network_seconds(network: keras.Model, inputs) -> float:
    inputs = tf.nest.map_structure(tf.constant, inputs)
    traced = tf.function(network.__call__)
    return _best_seconds(lambda: traced(inputs), 4)


def _best_seconds(call, inner: int = 1) -> float:
    """Returns the time of a call, the best of several, once it has been traced."""
    call()
    best = float("inf")
    for _ in range(TIMED):
        start = time.perf_counter()
        for _ in range(inner):
            call()
        best = min(best, (time.perf_counter() - start) / inner)
    return best


LABS = (sliding_window, proposal_recall, rcnn_stages, fast_rcnn_training, seconds_per_picture)
