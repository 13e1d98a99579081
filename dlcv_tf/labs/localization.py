"""Labs of localisation and pose: two losses in one, a frozen backbone, two ways to a joint.

On the embedded shapes: one shape with its box in each picture, and stick figures with 14 joints.
"""

import dataclasses

import keras
import numpy as np

from dlcv_tf import metrics, optimizers, tasks
from dlcv_tf.data import sets
from dlcv_tf.data.preprocess import Preprocess
from dlcv_tf.errors import InputError, unknown
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.models.pose.heatmaps import joint_heatmaps
from dlcv_tf.models.pose.joint_regression import joint_regression
from dlcv_tf.models.pose.localizer import localizer
from dlcv_tf.plots import charts

BATCH = 32
METRICS = ("accuracy", "iou", "localized")
THRESHOLDS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)  # of PCK, in torsos


def choosing_the_box_weight(
    *,
    weights: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0),
    metric: str = "iou",
    pictures: int = 3000,
    size: int = 32,
    epochs: int = 12,
    seed: int = 0,
) -> Finding:
    """The weight between the class's loss and the box's: the least loss is not the best box.

    The weight is a part of the loss, so that losses under two weights cannot be compared. It is
    chosen by what counts.

    Curriculum: row 139.

    Args:
        weights: of the box's loss, to try.
        metric: what counts: "accuracy" of the class, mean "iou" of the box, or "localized", the
            part of pictures with the right class and an IoU of 0.5.
        pictures: training pictures.
        size: side of the pictures, pixels.
        epochs: passes over the pictures.
        seed: of weights and order.
    """
    if len(set(weights)) < 2:
        raise InputError(f"got weights={weights}, expected two different ones or more to compare")
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    found = _load("object", pictures, size)
    results = {}
    for weight in weights:
        keras.utils.set_random_seed(seed)
        task = _localizer(found, box_weight=weight)
        found.fit(task, epochs)
        loss = task.evaluate(*found.validation, return_dict=True, verbose=0)["loss"]
        results[weight] = {"loss": loss} | found.measure(task)
    columns = {name: [result[name] for result in results.values()] for name in results[weights[0]]}
    by_loss = weights[int(np.argmin(columns["loss"]))]
    best = weights[int(np.argmax(columns[metric]))]
    panels = [
        charts.Panel(
            "Validation loss, by its own weight",
            {"loss": charts.Series(weights, columns["loss"], marks=True)},
            "weight of the box's loss",
            x_log=True,
            y_limits=(0, 1.05 * max(columns["loss"])),
        ),
        charts.Panel(
            "What counts",
            {name: charts.Series(weights, columns[name], marks=True) for name in METRICS},
            "weight of the box's loss",
            x_log=True,
            y_limits=(0, 1.03),
        ),
    ]
    return Finding(
        "The weight of a loss cannot be chosen by the loss, but by a metric.",
        by_loss != best,
        f"The loss is least with weight {by_loss:g}, where the {metric} is "
        f"{results[by_loss][metric]:.3f}; with weight {best:g} it is {results[best][metric]:.3f}, "
        f"at {results[best]['loss'] / results[by_loss]['loss']:.1f} times the loss.",
        {"weights": list(weights), "by_loss": by_loss, "by_metric": best} | columns,
        [Table(["weight", *columns], [[f"{w:g}", *r.values()] for w, r in results.items()])],
        {"choosing_the_box_weight": charts.draw(panels, columns=2)},
    )


def joint_or_freeze_then_tune(
    *,
    pictures: int = 3000,
    size: int = 32,
    epochs: tuple[int, int, int] = (10, 4, 4),
    box_weight: float = 10.0,
    seed: int = 0,
) -> Finding:
    """Class and box learnt together, or the box on a frozen classifier that is tuned afterwards.

    The second way trains a classifier, keeps its backbone bit for bit (batch norm's statistics too)
    while the heads learn, then trains everything. The first has as many epochs for all at once.

    Curriculum: row 140.

    Args:
        pictures: training pictures.
        size: side of the pictures, pixels.
        epochs: of the classifier, of the heads alone, and of everything.
        box_weight: weight of the box's loss.
        seed: of weights and order.
    """
    if len(epochs) != 3 or min(epochs) < 1:
        raise InputError(f"got epochs={epochs}, expected three numbers of 1 or more")
    found = _load("object", pictures, size)
    keras.utils.set_random_seed(seed)
    together = _localizer(found, box_weight)
    curves = {"joint": found.curve(together, sum(epochs))}
    keras.utils.set_random_seed(seed)
    classifier = _localizer(found, box_weight=0.0)  # its box is not trained
    curve = found.curve(classifier, epochs[0])
    task = _localizer(found, box_weight, network=classifier.network)
    backbone = task.network.get_layer("backbone")
    before = [weight.tobytes() for weight in backbone.get_weights()]
    task.freeze()
    curve += found.curve(task, epochs[1])
    kept = before == [weight.tobytes() for weight in backbone.get_weights()]
    task.unfreeze()
    curve += found.curve(task, epochs[2])
    curves["freeze, then tune"] = curve
    frozen, tuned, joint = curve[sum(epochs[:2]) - 1], curve[-1], curves["joint"][-1]
    steps = np.arange(1, sum(epochs) + 1)
    panels = [
        charts.Panel(
            title,
            {name: (steps, [each[key] for each in values]) for name, values in curves.items()},
            "epoch",
            y_limits=(0, 1.03),
        )
        for key, title in (("iou", "Mean IoU of the box"), ("accuracy", "Accuracy of the class"))
    ]
    rows = {"heads on a frozen backbone": frozen, "then tuned": tuned, "joint": joint}
    return Finding(
        "Heads can be trained on a backbone that stays as it is; tuning it makes them better.",
        kept and tuned["iou"] > frozen["iou"],
        f"The frozen backbone was {'' if kept else 'NOT '}the same bit for bit; on it the box "
        f"reaches a mean IoU of {frozen['iou']:.3f}, after tuning {tuned['iou']:.3f}; trained "
        f"jointly from the start for as many epochs, {joint['iou']:.3f}.",
        {"kept": kept, "curves": curves},
        [Table(["way", *joint], [[name, *values.values()] for name, values in rows.items()])],
        {"joint_or_freeze_then_tune": charts.draw(panels, columns=2)},
    )


def coordinates_or_heatmaps(
    *,
    pictures: int = 1000,
    epochs: int = 10,
    learning_rate: float = 5e-3,
    seed: int = 0,
) -> Finding:
    """Fourteen joints as two numbers each, or as a map each: maps find them more exactly.

    Two networks of about as many parameters, with the same encoder. A fully connected layer has to
    learn what every place of the picture means; a heatmap only says where, cell by cell.

    Curriculum: row 141.

    Args:
        pictures: training pictures.
        epochs: passes over the pictures.
        learning_rate: of Adam, the highest of one cycle.
        seed: of weights and order.
    """
    found = _load("joints", pictures, size=64)
    widths = (12, 24, 36, 48)
    shape = (*found.size, 3)
    networks = {
        "heatmaps": joint_heatmaps(shape, len(found.names), widths, stride=2),
        "coordinates": joint_regression(shape, len(found.names), widths, blocks=1),
    }
    results, parameters = {}, {}
    for name, network in networks.items():
        keras.utils.set_random_seed(seed)
        task = tasks.PoseEstimator(network, Preprocess(found.size, 3), found.names)
        found.fit(task, epochs, learning_rate)
        metric = metrics.PoseMetric(found.names)
        answers = task.answer(found.validation[0])
        metric.update_state(found.validation[1], {"joints": answers["joints"].numpy()})
        results[name] = [metric.pck(threshold)[0] for threshold in THRESHOLDS]
        parameters[name] = network.count_params()
    at = THRESHOLDS.index(0.2)
    panel = charts.Panel(
        "Joints found, by how near is near enough",
        {name: charts.Series(THRESHOLDS, values, marks=True) for name, values in results.items()},
        "distance, in torsos",
        y_limits=(0, 1.03),
    )
    return Finding(
        "Heatmaps find joints more exactly than coordinates from a fully connected layer.",
        results["heatmaps"][at] > results["coordinates"][at],
        f"PCK@0.2 after {epochs} epochs: {100 * results['heatmaps'][at]:.1f} % by heatmaps "
        f"({parameters['heatmaps']:,} parameters), {100 * results['coordinates'][at]:.1f} % by "
        f"coordinates ({parameters['coordinates']:,}).",
        {"thresholds": THRESHOLDS, "parameters": parameters} | results,
        [
            Table(
                ["network", "parameters", *(f"PCK@{each:g}" for each in THRESHOLDS)],
                [[name, parameters[name], *values] for name, values in results.items()],
            )
        ],
        {"coordinates_or_heatmaps": charts.draw([panel], columns=1)},
    )


@dataclasses.dataclass(frozen=True)
class _Pictures:
    """Pictures and targets to train and to validate on, and the names of classes or joints."""

    train: tuple[np.ndarray, dict]
    validation: tuple[np.ndarray, dict]
    names: tuple[str, ...]
    size: tuple[int, int]

    def fit(self, task, epochs: int, learning_rate: float = 5e-3, callbacks=()) -> None:
        """Trains a task by Adam under one cycle."""
        steps = epochs * -(-len(self.train[0]) // BATCH)
        task.compile(keras.optimizers.Adam(optimizers.OneCycle(learning_rate, steps)))
        task.fit(*self.train, batch_size=BATCH, epochs=epochs, callbacks=callbacks, verbose=0)

    def measure(self, task) -> dict[str, float]:
        """Returns the task's metrics on the validation pictures."""
        metric = task.new_metric()
        answers = task.answer(self.validation[0])
        metric.update_state(
            self.validation[1], {name: value.numpy() for name, value in answers.items()}
        )
        return metric.result()

    def curve(self, task, epochs: int) -> list[dict[str, float]]:
        """Trains a task; returns its metrics after every epoch."""
        results = []
        after = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: results.append(self.measure(task))
        )
        self.fit(task, epochs, callbacks=[after])
        return results


def _load(targets: str, pictures: int, size: int) -> _Pictures:
    """Returns shapes with boxes, or figures with joints."""
    parts = []
    for split, count in (("train", pictures), ("val", 200)):
        dataset, info = sets.load("shapes", split, image_size=(size, size), targets=targets)
        images, places = next(iter(dataset.batch(count)))
        parts.append((images.numpy(), {name: value.numpy() for name, value in places.items()}))
    names = info.joint_names if targets == "joints" else info.labels
    return _Pictures(*parts, names, (size, size))


def _localizer(found: _Pictures, box_weight: float, network=None) -> tasks.Localizer:
    """Returns a small localizer, untrained unless it is given a network."""
    if network is None:
        network = localizer((*found.size, 3), len(found.names), widths=(16, 32, 48))
    return tasks.Localizer(network, Preprocess(found.size, 3), found.names, box_weight)


LABS = (choosing_the_box_weight, joint_or_freeze_then_tune, coordinates_or_heatmaps)
