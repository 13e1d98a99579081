"""Fast, Faster and Mask R-CNN: what is drawn, the losses against NumPy, and what is read."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import models
from dlcv_tf.errors import InputError
from dlcv_tf.ops import boxes as box_ops
from dlcv_tf.ops import masks as mask_ops
from dlcv_tf.tasks import methods
from dlcv_tf.tasks.methods import objects, two_stage
from tests.helpers import ramp
from tests.tasks.methods import scenes

SHAPE = (32, 32, 3)
SMALL = {"width": 4, "features": "c2", "anchor_sizes": (8, 16), "num_proposals": 12}


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return models.mask_rcnn(SHAPE, 3, SMALL, (4,), num_joints=2, joint_filters=(4,))


@pytest.fixture(scope="module")
def outputs(network):
    return network(ramp((2, *SHAPE)))


def softmax_error(logits, label):
    return np.log(np.exp(logits).sum()) - logits[label]


def smooth(x, beta):
    x = np.abs(x)
    return np.where(x < beta, x**2 / (2 * beta), x - beta / 2).sum()


def all_of(batch, outputs, **options):
    """Returns a method that draws all there is, and what it draws in evaluation."""
    method = methods.MaskRCNN(samples=200, rpn_samples=4000, positive_part=1.0, **options)
    return method, method.sample(outputs, objects.objects(batch), (0, 1), training=False)


def test_four_losses_are_those_of_the_definition(network, outputs):
    """All anchors and proposals are drawn, so that the means are over all of them."""
    batch = scenes.targets([[[4, 4, 12, 13], [15, 16, 30, 31]], [[0, 0, 9, 16], [0] * 4]], [[2, 0]])
    batch["valid"] = np.array([[True, True], [True, False]])
    near = [[5, 4, 13, 13], [0, 0, 32, 32], [14, 15, 29, 31], [0, 0, 0, 0]]
    outputs = outputs | {"proposals": tf.constant([near, near], tf.float32)}
    method, _ = all_of(batch, outputs, mask_weight=0, rpn_positive=0.5, rpn_negative=0.3)
    got = method.losses(network, outputs, batch, SHAPE[:2], training=False)
    assert tuple(got) == method.loss_names == ("rpn_objectness", "rpn_box", "classification", "box")

    anchors = network.get_layer("proposals").anchors()
    found = two_stage.run_stage(network, "second_stage", outputs, outputs["proposals"])
    sums, counts = dict.fromkeys(got, 0.0), [0, 0]
    for b in range(2):
        true = batch["boxes"][b][batch["valid"][b]]
        overlaps = box_ops.iou(anchors, true).numpy()
        own = overlaps.argmax(1)
        for n, anchor in enumerate(anchors):
            best = (overlaps[n] == overlaps.max(0)) & (overlaps[n] > 0)
            object_number = best.argmax() if best.any() else own[n]
            positive = best.any() or overlaps[n].max() >= 0.5
            if not positive and overlaps[n].max() >= 0.3:
                continue
            logit = float(outputs["rpn_logits"][b, n])
            counts[0] += 1
            sums["rpn_objectness"] += np.log1p(np.exp(-logit if positive else logit))
            if positive:
                wanted = box_ops.encode(true[object_number : object_number + 1], anchor[None])[0]
                sums["rpn_box"] += smooth(outputs["rpn_deltas"][b, n] - wanted, 1 / 9)
        for n, proposal in enumerate(np.array(near[:3], np.float32)):  # the last is padding
            overlaps = box_ops.iou(proposal[None], true).numpy()[0]
            label = batch["classes"][b, overlaps.argmax()] + 1 if overlaps.max() >= 0.5 else 0
            counts[1] += 1
            sums["classification"] += softmax_error(found["logits"][b, n].numpy(), label)
            if label:
                wanted = box_ops.encode(true[overlaps.argmax()][None], proposal[None])[0]
                deltas = found["deltas"][b, n, label] - wanted / [0.1, 0.1, 0.2, 0.2]
                sums["box"] += smooth(deltas, 1)
    assert counts[1] == 6 and sums["box"] > 0
    for name, value in sums.items():
        expected = value / counts[0 if name.startswith("rpn") else 1]
        np.testing.assert_allclose(got[name], expected, rtol=1e-4, err_msg=name)


def test_a_quarter_is_positive_at_most_and_the_objects_themselves_are_among_them(outputs):
    batch = scenes.targets([[[4, 4, 12, 13]] * 6] * 2, [[0] * 6])
    things = objects.objects(batch)
    method = methods.FastRCNN(samples=8)
    proposals = np.tile([[0, 20, 30, 32]], (2, 12, 1)).astype(np.float32)
    proposals[:, 6:] = 0
    outputs = outputs | {"proposals": tf.constant(proposals)}
    sample = method.sample(outputs, things, (0, 1), training=True)
    np.testing.assert_array_equal(np.sum(sample.positive, axis=1), 2)
    np.testing.assert_array_equal(sample.positive[:, :2], True)  # they come first
    np.testing.assert_array_equal(sample.drawn, True)  # six negatives, none of them padding
    np.testing.assert_allclose(sample.boxes[:, :2], np.tile([[4, 4, 12, 13]], (2, 2, 1)))
    np.testing.assert_allclose(sample.boxes[:, 2:], proposals[:, :6])
    sample = method.sample(outputs, things, (0, 1), training=False)
    assert not np.any(sample.positive) and np.sum(sample.drawn) == 12


def test_training_draws_by_the_outputs_and_evaluation_always_alike(network, outputs):
    method = methods.FasterRCNN(samples=4, rpn_samples=8)
    batch = scenes.some(SHAPE[:2], np.random.default_rng(1))
    other = outputs | {"rpn_logits": outputs["rpn_logits"] + 0.25}

    def drawn(outputs, training):
        seed = two_stage._seed(outputs["rpn_logits"], training)
        return method.sample(outputs, objects.objects(batch), seed, training).boxes.numpy()

    batch = scenes.targets([[[4, 4, 12, 13]]] * 2, [[0]])
    assert np.array_equal(drawn(outputs, True), drawn(outputs, True))
    assert not np.array_equal(drawn(outputs, True), drawn(other, True))
    assert np.array_equal(drawn(outputs, False), drawn(other, False))


@pytest.mark.parametrize("ignored", [False, True])
def test_no_objects_or_only_ignored_ones(network, outputs, ignored):
    boxes = [[[0, 0, 32, 32], [0, 0, 0, 0]]] * 2
    batch = scenes.targets(boxes, 0, valid=[[ignored, False]] * 2, ignored=[[ignored, False]] * 2)
    batch["masks"] = np.zeros((2, 2, 32, 32), np.uint8)
    batch["joints"] = np.zeros((2, 2, 2, 3), np.float32)
    method = methods.MaskRCNN(joint_weight=1.0)
    losses = tf.function(method.losses)(network, outputs, batch, SHAPE[:2], True)
    values = {name: float(value) for name, value in losses.items()}
    assert np.isfinite(list(values.values())).all()
    assert all(values[name] == 0 for name in ("rpn_box", "box", "mask", "joints"))
    # An ignored region says nothing about the boxes in it; an empty picture is background.
    assert (values["classification"] > 0) != ignored


def test_the_mask_loss_is_that_of_the_true_class_in_positive_regions(network, outputs):
    batch = scenes.targets([[[4, 4, 20, 24]], [[8, 2, 30, 30]]], [[2]])
    random = np.random.default_rng(0)
    batch["masks"] = (random.random((2, 1, 64, 16)) > 0.4).astype(np.uint8)  # of other pictures
    proposals = [[[5, 4, 20, 24], [20, 4, 32, 30], [4, 2, 22, 22]], [[9, 1, 30, 30]] * 3]
    outputs = outputs | {"proposals": tf.constant(proposals, tf.float32)}
    method, sample = all_of(batch, outputs)
    with tf.GradientTape() as tape:
        got = method.losses(network, outputs, batch, SHAPE[:2], training=False)["mask"]
    logits = two_stage.run_stage(network, "mask_head", outputs, sample.boxes).numpy()
    errors = []
    for b, n in np.argwhere(sample.positive):
        box = sample.boxes[b, n] * np.array([0.5, 2, 0.5, 2])
        wanted = mask_ops.crop(batch["masks"][b, 0], box, 28).numpy() >= 0.5
        own = logits[b, n, :, :, 3]
        errors.append(np.log1p(np.exp(np.where(wanted, -own, own))).mean())
    assert len(errors) == 5
    np.testing.assert_allclose(got, np.mean(errors), rtol=1e-5)
    kernel = network.get_layer("mask_head").trainable_variables[-2]  # (1, 1, filters, classes + 1)
    gradient = tape.gradient(got, kernel).numpy()
    assert gradient[..., 3].any() and not gradient[..., :3].any()


def test_the_loss_of_joints_is_the_softmax_over_the_cells(network, outputs):
    batch = scenes.targets([[[4, 4, 20, 24]], [[8, 2, 30, 30]]], [[0]])
    # In the box, hidden; outside of it, in it.
    batch["joints"] = np.array(
        [[[[6.0, 9, 1], [8, 8, 0]]], [[[1, 1, 1], [20, 29.9, 1]]]], np.float32
    )
    outputs = outputs | {"proposals": tf.constant([[[4, 4, 20, 24]], [[8, 2, 30, 30]]], tf.float32)}
    method, sample = all_of(batch, outputs, mask_weight=0, joint_weight=2.0)
    got = method.losses(network, outputs, batch, SHAPE[:2], training=False)["joints"]
    maps = two_stage.run_stage(network, "keypoint_head", outputs, sample.boxes).numpy()
    cells = {(0, 0): (14, 7), (1, 1): (55, 30)}  # row, column of 56
    errors = [
        softmax_error(maps[b, 0, :, :, k].ravel(), row * 56 + column)
        for (b, k), (row, column) in cells.items()
    ]
    np.testing.assert_allclose(got, 2 * np.mean(errors), rtol=1e-5)


@pytest.mark.parametrize(
    ("head", "output", "loss"),
    [("mask_head", "masks", "mask"), ("keypoint_head", "heatmaps", "joints")],
)
def test_the_branches_of_a_box_know_whether_they_are_trained(network, head, output, loss):
    """Half of a branch is left out while it is trained, and only then."""
    plain = network.get_layer(head)
    halved = keras.layers.Dropout(0.5, seed=0)(plain.output)
    branch = keras.Model(plain.input, halved, name=head)
    read = {name: network.output[name] for name in plain.input if name != "boxes"}
    said = branch(read | {"boxes": network.output["proposals"]})
    other = keras.Model(network.input, network.output | {output: said})
    assert other.get_layer(head) is branch
    batch = scenes.targets([[[4, 4, 20, 24]]] * 2, [[1]])
    batch["masks"] = np.ones((2, 1, *SHAPE[:2]), np.uint8)
    batch["joints"] = np.full((2, 1, 2, 3), 10, np.float32)
    proposals = tf.constant([[[4, 4, 20, 24]]] * 2, tf.float32)
    outputs = network(ramp((2, *SHAPE))) | {"proposals": proposals}
    method = methods.MaskRCNN(joint_weight=1.0)

    def error(network, training):
        return float(method.losses(network, outputs, batch, SHAPE[:2], training)[loss])

    assert error(other, training=False) == error(network, training=False)
    assert error(other, training=True) != error(network, training=True)


def test_candidates_are_the_moved_proposals_and_padding_has_no_score(network, outputs):
    proposals = np.array([[[4, 4, 20, 24], [0, 0, 0, 0]]], np.float32)
    logits = np.array([[[0.0, 1, 2, 3], [0, 9, 9, 9]]], np.float32)
    deltas = np.zeros((1, 2, 4, 4), np.float32)
    deltas[0, 0, 3] = [1, 0, 0, 0]  # a tenth of the width to the right, for the third class
    outputs = {"proposals": proposals, "logits": logits, "deltas": deltas}
    boxes, scores = methods.FasterRCNN().candidates(network, outputs, SHAPE[:2])
    assert boxes.shape == (1, 2, 3, 4)
    np.testing.assert_allclose(boxes[0, 0], [[4, 4, 20, 24]] * 2 + [[5.6, 4, 21.6, 24]], rtol=1e-6)
    softmax = np.exp(logits[0, 0]) / np.exp(logits[0, 0]).sum()
    np.testing.assert_allclose(scores[0], [softmax[1:], [0, 0, 0]], rtol=1e-5)


@pytest.mark.parametrize("missing", ["masks", "joints"])
def test_targets_that_are_missing_are_named(network, outputs, missing):
    batch = scenes.targets([[[4, 4, 20, 24]]] * 2, [[0]])
    batch |= {"masks": np.zeros((2, 1, 32, 32)), "joints": np.zeros((2, 1, 2, 3), np.float32)}
    del batch[missing]
    method = methods.MaskRCNN(joint_weight=1.0)
    with pytest.raises(InputError, match=f"expected {missing} too"):
        method.losses(network, outputs, batch, SHAPE[:2], training=True)
