import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.tasks.methods import AnchorMethod
from dlcv_tf.tasks.methods.anchors import grid_anchors
from tests.tasks.methods import scenes

SIZE = (16, 24)
STRIDES, SIZES = (4, 8), [[(4, 4), (8, 6)], [(14, 12)]]
COUNT = 4 * 6 * 2 + 2 * 3


def raw(random):
    logits = random.normal(0, 1, (2, COUNT, 4)).astype(np.float32)
    return {"logits": logits, "deltas": random.normal(0, 1, (2, COUNT, 4)).astype(np.float32)}


def by_loops(outputs, targets, method):
    """Returns the multibox loss of the paper, one anchor at a time."""
    anchors = grid_anchors(SIZE, STRIDES, SIZES)
    count, class_loss, box_loss = 0, 0.0, 0.0
    for picture in range(len(targets["boxes"])):
        valid, ignored = targets["valid"][picture], targets["ignored"][picture]
        things = np.flatnonzero(valid & ~ignored)
        crowds = targets["boxes"][picture][ignored]
        overlaps = {
            (anchor, thing): scenes.iou(anchors[anchor], targets["boxes"][picture, thing])[0]
            for anchor in range(COUNT)
            for thing in things
        }
        matched = {}
        for anchor in range(COUNT):
            best = max(things, key=lambda thing: overlaps[anchor, thing], default=None)  # noqa: B023
            if best is not None and overlaps[anchor, best] >= method.positive:
                matched[anchor] = best
        rest = dict(overlaps)
        while rest and max(rest.values()) > 0:
            own, thing = max(rest, key=rest.get)
            matched[own] = thing
            rest = {pair: x for pair, x in rest.items() if pair[0] != own and pair[1] != thing}
        negatives = []
        for anchor in range(COUNT):
            logits = outputs["logits"][picture, anchor].astype(float)
            log_probabilities = logits - np.log(np.exp(logits).sum())
            if anchor not in matched:
                if all(scenes.iou(anchors[anchor], crowd)[1] < 0.5 for crowd in crowds):
                    negatives.append(-log_probabilities[0])
                continue
            box = targets["boxes"][picture, matched[anchor]].astype(float)
            own = anchors[anchor].astype(float)
            class_loss -= log_probabilities[targets["classes"][picture, matched[anchor]] + 1]
            for axis in (0, 1):
                side, own_side = box[axis + 2] - box[axis], own[axis + 2] - own[axis]
                moved = (box[axis + 2] + box[axis] - own[axis + 2] - own[axis]) / 2 / own_side / 0.1
                scaled = np.log(side / own_side) / 0.2
                for number, wanted in ((axis, moved), (axis + 2, scaled)):
                    error = abs(outputs["deltas"][picture, anchor, number] - wanted)
                    box_loss += error**2 / 2 if error < 1 else error - 0.5
        hard = int(max(method.negatives_per_positive * len(matched), method.least_negatives))
        class_loss += sum(sorted(negatives, reverse=True)[:hard])
        count += len(matched)
    return {"class_loss": class_loss / count, "box_loss": method.box_weight * box_loss / count}


def test_anchors_by_hand():
    got = grid_anchors((4, 6), (4,), [[(2, 4), (6, 2)]])
    expected = [[1, 0, 3, 4], [-1, 1, 5, 3], [5, 0, 7, 4], [3, 1, 9, 3]]
    np.testing.assert_array_equal(got, expected)  # the second cell hangs over the border


@pytest.mark.parametrize("seed", range(3))
def test_loss_is_the_papers(seed):
    random = np.random.default_rng(seed)
    outputs, targets = raw(random), scenes.some(SIZE, random)
    method = AnchorMethod(STRIDES, SIZES, positive=0.4, box_weight=0.7)
    got = method.losses(None, outputs, targets, SIZE, True)
    expected = by_loops(outputs, targets, method)
    assert got.keys() == expected.keys() == set(method.loss_names)
    for name in expected:
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-5)


def gradients(method, outputs, targets):
    outputs = {name: tf.constant(value) for name, value in outputs.items()}
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        loss = tf.add_n([*method.losses(None, outputs, targets, SIZE, True).values()])
    return float(loss), tape.gradient(loss, outputs)


def test_three_hard_negatives_for_each_positive_and_no_more():
    random = np.random.default_rng(0)
    outputs = raw(random)
    outputs["logits"][:, :, 0] += random.permutation(COUNT) / 10  # no two losses alike
    targets = scenes.targets([[[0, 0, 4, 4]], [[9, 4, 23, 16]]], [[1], [2]])
    _, gradient = gradients(AnchorMethod(STRIDES, SIZES), outputs, targets)
    touched = np.any(gradient["logits"] != 0, axis=-1)
    moved = np.any(gradient["deltas"] != 0, axis=-1)
    np.testing.assert_array_equal(touched.sum(axis=1), 4 * moved.sum(axis=1))
    assert moved[0].sum() >= 1 and moved[1].sum() >= 1


@pytest.mark.parametrize(("least", "learns"), [(3, True), (0, False)])
def test_pictures_without_objects(least, learns):
    targets = scenes.targets(np.zeros((2, 3, 4)), 0, valid=False)
    method = AnchorMethod(STRIDES, SIZES, least_negatives=least)
    loss, gradient = gradients(method, raw(np.random.default_rng(0)), targets)
    touched = np.any(gradient["logits"] != 0, axis=-1).sum(axis=1)
    np.testing.assert_array_equal(touched, [least, least])
    assert np.isfinite(loss) and (loss > 0) == learns
    assert not np.any(gradient["deltas"])


def test_an_ignored_object_is_neither_found_nor_missed():
    everywhere = [[-50.0, -50, 50, 50]]
    outputs = raw(np.random.default_rng(0))
    targets = scenes.targets([everywhere, everywhere], 1, ignored=True)
    loss, gradient = gradients(AnchorMethod(STRIDES, SIZES), outputs, targets)
    assert loss == 0 and not np.any(gradient["logits"])


def test_a_box_that_cannot_be_learnt_is_named():
    method, outputs = AnchorMethod(STRIDES, SIZES), raw(np.random.default_rng(0))
    good = [2.0, 2, 9, 8]
    bad = [[1, 1, np.nan, 5], [3, 3, 3, 9], [9, 2, 4, 8], [0, 0, np.inf, 4]]
    losses = tf.function(lambda targets: method.losses(None, outputs, targets, SIZE, True))
    for box in bad:
        with_it = scenes.targets([[good, box], [good, good]], 1)
        with pytest.raises(
            InputError, match=r"picture 0, object 1\), expected x1 < x2 and y1 < y2"
        ):
            method.losses(None, outputs, with_it, SIZE, True)
        with pytest.raises(tf.errors.InvalidArgumentError, match="got the box "):
            losses(with_it)


def test_answers_are_the_boxes_it_was_taught():
    method = AnchorMethod(STRIDES, SIZES)
    deltas = np.zeros((1, COUNT, 4), np.float32)
    deltas[0, -1] = [5.0, -10.0, 0.0, 5 * np.log(2)]  # of the anchor 14x12 around (20, 12)
    logits = np.zeros((1, COUNT, 4), np.float32)
    boxes, scores = method.candidates(None, {"logits": logits, "deltas": deltas}, SIZE)
    np.testing.assert_allclose(boxes[0, -1], [20, -12, 34, 12], atol=1e-5)
    np.testing.assert_allclose(scores, np.full((1, COUNT, 3), 0.25))


def test_config_and_errors():
    method = AnchorMethod(STRIDES, SIZES, 0.6, True, 2.0, 1, (0.2, 0.2, 0.3, 0.3), 0.5)
    clone = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(method))
    assert clone.get_config() == method.get_config()
    for strides, sizes in (((4,), SIZES), ((4, 8), [[], [(4, 4)]]), ((4,), [[(4, 0)]])):
        with pytest.raises(InputError, match="expected one list of"):
            AnchorMethod(strides, sizes)
    outputs = {"logits": np.zeros((1, 7, 4)), "deltas": np.zeros((1, 7, 4))}
    with pytest.raises(InputError, match=f"7 anchors.*{COUNT}"):
        method.candidates(None, outputs, SIZE)
