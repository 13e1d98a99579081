"""R-CNN's way, in three stages: a network for regions, then its scores, then its boxes."""

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf.errors import InputError, unknown
from dlcv_tf.ops import boxes as box_ops
from dlcv_tf.ops import matching
from dlcv_tf.tasks.methods.method import Method
from dlcv_tf.tasks.methods.objects import objects
from dlcv_tf.train import asserts, linear_heads

CLASSIFIERS = ("svm", "softmax")


@keras.saving.register_keras_serializable(package="dlcv_tf")
class RCNN(Method):
    """Training and reading of `models.rcnn`.

    `fit` trains the network to name regions, with softmax, an overlap of `positive` or more being
    the object's; give it regions drawn by `data.proposals.training_batches`. `fit_heads` then
    trains what the answers come from: a support vector machine and a box regression for each class.

    Args:
        classifier: "svm"; or "softmax", which needs no second stage.
        box_regression: correct the boxes, once `fit_heads` has learnt how.
        positive: least overlap of a region that shows an object, for the softmax.
        svm_negative: largest overlap of a region that does not, for the machines, whose only
            positive regions are the objects' own boxes; what lies between takes no part.
        regression: least overlap of a region whose box is corrected.

    Reference: Girshick et al., "R-CNN", https://arxiv.org/abs/1311.2524.
    """

    loss_names = ("class_loss",)

    def __init__(
        self,
        classifier: str = "svm",
        box_regression: bool = True,
        positive: float = 0.5,
        svm_negative: float = 0.3,
        regression: float = 0.6,
    ):
        if classifier not in CLASSIFIERS:
            raise unknown("classifier of R-CNN", classifier, CLASSIFIERS)
        self.classifier = classifier
        self.box_regression = box_regression
        self.positive = positive
        self.svm_negative = svm_negative
        self.regression = regression

    def losses(self, network, outputs, targets, size, training):
        things = objects(targets)
        proposals = outputs["proposals"]
        numbers = _assigned(proposals, things, self.positive)
        counted = (box_ops.area(proposals) > 0) & (numbers != matching.IGNORED)
        classes = tf.gather(things.classes, tf.maximum(numbers, 0), batch_dims=1) + 1
        labels = tf.where(numbers >= 0, classes, 0)
        logits = tf.cast(outputs["logits"], tf.float32)
        errors = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        count = tf.maximum(tf.reduce_sum(tf.cast(counted, tf.float32)), 1)
        return {"class_loss": tf.reduce_sum(tf.where(counted, errors, 0)) / count}

    def candidates(self, network, outputs, size):
        proposals = outputs["proposals"]
        if self.classifier == "svm":  # the sigmoid keeps the order, and a margin of 0 is 0.5
            scores = tf.sigmoid(tf.cast(outputs["svm_scores"], tf.float32))
        else:
            scores = tf.nn.softmax(tf.cast(outputs["logits"], tf.float32))[..., 1:]
        scores *= tf.cast(box_ops.area(proposals) > 0, tf.float32)[..., None]
        if not self.box_regression:
            return proposals, scores
        deltas = tf.cast(outputs["deltas"], tf.float32)  # (batch, n, classes, 4)
        return box_ops.decode(deltas, proposals[:, :, None]), scores

    def fit_heads(self, task, batches, penalty: float = 1e-3, ridge: float = 1000.0) -> dict:
        """Trains the machines and the box regression on what the network sees in regions.

        Args:
            task: the `RegionDetector`, its network trained.
            batches: `((pictures, proposals), targets)`, batched; all of it is kept in memory.
            penalty: C of the machines.
            ridge: lambda of the box regression.

        Returns:
            `machines`, and the numbers of `regions`, `negatives` of each round and class, and
            regions for the box regression of each class, `corrected`.

        Raises:
            InputError: a class has no object, or no region that overlaps one enough.
        """
        table = self._regions(task, batches)
        machines = linear_heads.one_against_rest(
            table["features"], table["positive"], table["negative"], penalty=penalty
        )
        layer = task.network.get_layer("svms")
        layer.set_weights([machines.weights, machines.biases])
        corrected, weights, biases = [], [], []
        for number, label in enumerate(task.labels):
            rows = (table["classes"] == number) & (table["overlaps"] >= self.regression)
            if not rows.any():
                raise InputError(
                    f"got no proposal that overlaps a {label} by {self.regression}, expected some: "
                    "take more pictures or more proposals"
                )
            found = linear_heads.ridge(table["maps"][rows], table["deltas"][rows], ridge)
            weights.append(found[0])
            biases.append(found[1])
            corrected.append(int(rows.sum()))
        layer = task.network.get_layer("box_regression")
        layer.set_weights([np.concatenate(weights, axis=1), np.concatenate(biases)])
        return {
            "machines": machines,
            "regions": len(table["features"]),
            "negatives": machines.negatives,
            "corrected": corrected,
        }

    def _regions(self, task, batches) -> dict[str, np.ndarray]:
        """Returns all proposals and objects of pictures, one to a row, with what is known of them.

        The objects' own boxes come first in a picture; only they are positive for the machines.
        """

        @tf.function(reduce_retracing=True)
        def seen(inputs, targets):
            images, proposals = inputs
            things = objects(targets)
            own = tf.where(things.counted[..., None], things.boxes, 0)
            regions = tf.concat([own, proposals], axis=1)
            outputs = task((images, regions), training=False)
            ignored = _assigned(regions, things, self.positive) == matching.IGNORED
            overlaps = box_ops.iou(regions, own)  # (batch, n, objects)
            best = tf.argmax(overlaps, axis=2)
            one_hot = tf.one_hot(things.classes, len(task.labels))  # (batch, objects, classes)
            return {
                "features": outputs["features"],
                "maps": outputs["maps"],
                "real": (box_ops.area(regions) > 0) & ~ignored,
                "is_own": tf.range(tf.shape(regions)[1])[None] < tf.shape(own)[1],
                "by_class": tf.reduce_max(overlaps[..., None] * one_hot[:, None], axis=2),
                "overlaps": tf.reduce_max(overlaps, axis=2),
                "classes": tf.gather(things.classes, best, batch_dims=1),
                "deltas": box_ops.encode(tf.gather(own, best, batch_dims=1), regions),
            }

        parts = []
        for inputs, targets in batches:
            with asserts.explained():
                found = {key: value.numpy() for key, value in seen(inputs, targets).items()}
            real = found.pop("real")
            found["is_own"] = np.broadcast_to(found["is_own"], real.shape)
            parts.append({key: value[real] for key, value in found.items()})
        table = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        is_class = table["classes"][:, None] == np.arange(len(task.labels))
        table["positive"] = table["is_own"][:, None] & is_class
        table["negative"] = ~table["positive"] & (table["by_class"] < self.svm_negative)
        return table

    def get_config(self):
        names = ("classifier", "box_regression", "positive", "svm_negative", "regression")
        return {name: getattr(self, name) for name in names}


def _assigned(regions, things, positive: float) -> tf.Tensor:
    """Returns each region's object, or what it is instead, as `matching.assign`."""
    return matching.assign(
        regions,
        things.boxes,
        things.valid,
        things.ignored,
        positive=positive,
        negative=positive,
        best=False,
    )
