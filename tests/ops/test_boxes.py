"""Boxes overlap as areas do, and survive every change of format and back."""

import doctest

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops import boxes
from dlcv_tf.ops.gradcheck import gradient_check

RANDOM = np.random.default_rng(0)
KINDS = ("iou", "ioa", "giou", "diou", "ciou")
SSD = (0.1, 0.1, 0.2, 0.2)


def some(count):
    corners = RANDOM.uniform(0, 50, (count, 2))
    return np.concatenate([corners, corners + RANDOM.uniform(1, 40, (count, 2))], axis=-1)


def by_hand(a, b, kind="iou", one=0):
    """The definitions, a pair of boxes at a time."""

    def area(box):
        return max(0.0, box[2] - box[0] + one) * max(0.0, box[3] - box[1] + one)

    both = area([max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])])
    union = area(a) + area(b) - both
    around = [min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])]
    iou = both / union
    if kind == "iou":
        return iou
    if kind == "ioa":
        return both / area(b)
    if kind == "giou":
        return iou - (area(around) - union) / area(around)
    middles = [((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) for box in (a, b)]
    distance = sum((p - q) ** 2 for p, q in zip(*middles, strict=True))
    diagonal = (around[2] - around[0] + one) ** 2 + (around[3] - around[1] + one) ** 2
    diou = iou - distance / diagonal
    if kind == "diou":
        return diou
    angles = [np.arctan((box[2] - box[0] + one) / (box[3] - box[1] + one)) for box in (a, b)]
    v = 4 / np.pi**2 * (angles[0] - angles[1]) ** 2
    return diou - v * v / (1 - iou + v)


@pytest.mark.parametrize("plus_one", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_overlaps_of_all_pairs_and_of_each_with_its_own(kind, plus_one):
    first, second = some(7), some(5)
    overlap = getattr(boxes, kind)
    expected = [[by_hand(a, b, kind, int(plus_one)) for b in second] for a in first]
    got = overlap(first, second, plus_one=plus_one)
    assert got.dtype == tf.float64
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)
    each = overlap(first[:5], second, pairwise=False, plus_one=plus_one)
    np.testing.assert_allclose(each, np.diag(expected), rtol=1e-9, atol=1e-12)
    batch = overlap(np.stack([first] * 2), np.stack([second] * 2), plus_one=plus_one)
    np.testing.assert_allclose(batch[1], got, rtol=1e-12, atol=1e-12)
    one_with_a_batch = overlap(first, np.stack([second] * 2), plus_one=plus_one)
    np.testing.assert_allclose(one_with_a_batch, batch, rtol=1e-12, atol=1e-12)


def test_keras_finds_the_same():
    first, second = some(7).astype("float32"), some(5).astype("float32")
    keras_own = keras.utils.bounding_boxes.compute_iou(first, second, "xyxy")
    np.testing.assert_allclose(boxes.iou(first, second), keras_own, rtol=1e-5, atol=1e-6)
    keras_own = keras.utils.bounding_boxes.compute_ciou(first[:5], second, "xyxy")
    got = boxes.ciou(first[:5], second, pairwise=False)
    np.testing.assert_allclose(got, keras_own, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.diag(boxes.iou(first, first)), 1, rtol=1e-6)


def test_detectron2_s_example():
    """tests/structures/test_boxes.py: IoU and intersection over the second boxes' area."""
    first = np.array([[0.0, 0, 1, 1]] * 2)
    second = [[0, 0, 1, 1], [0, 0, 0.5, 1], [0, 0, 1, 0.5], [0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]]
    second = np.array([*second, [0.5, 0.5, 1.5, 1.5]])
    np.testing.assert_allclose(
        boxes.iou(first, second), [[1, 0.5, 0.5, 0.25, 0.25, 0.25 / 1.75]] * 2
    )
    np.testing.assert_allclose(boxes.ioa(first, second), [[1, 1, 1, 1, 1, 0.25]] * 2)


def test_torchvision_s_example():
    """test/test_ops.py, TestGeneralizedBoxIou and TestDistanceBoxIoU, to four digits."""
    three = np.array([[0.0, 0, 100, 100], [0, 0, 50, 50], [200, 200, 300, 300]])
    giou = [[1, 0.25, -0.7778], [0.25, 1, -0.8611], [-0.7778, -0.8611, 1]]
    diou = [[1, 0.1875, -0.4444], [0.1875, 1, -0.5625], [-0.4444, -0.5625, 1]]
    np.testing.assert_allclose(boxes.giou(three, three), giou, atol=5e-5)
    np.testing.assert_allclose(boxes.diou(three, three), diou, atol=5e-5)
    assert np.all(boxes.ciou(three, three) <= boxes.diou(three, three))


def test_no_area_and_no_boxes():
    point = np.array([[3.0, 3, 3, 3]])
    assert boxes.iou(point, point).numpy() == 0
    assert boxes.iou(point, point, plus_one=True).numpy() == 1
    assert boxes.iou(np.zeros((0, 4)), some(2)).shape == (0, 2)
    assert boxes.area(np.array([5.0, 5, 3, 9])).numpy() == 0
    # Reversed boxes overlap nothing, boxes that touch do not overlap.
    assert boxes.iou(np.array([[5.0, 0, 3, 9]]), np.array([[0.0, 0, 9, 9]])).numpy() == 0
    assert boxes.iou(np.array([[0.0, 0, 1, 1]]), np.array([[1.0, 0, 2, 1]])).numpy() == 0


DEGENERATE = np.array(
    [[3, 3, 3, 3], [3, 3, 3, 9], [3, 3, 9, 3], [9, 9, 3, 3], [0, 0, 0, 0], [1, 1, 4, 4]], float
)


@pytest.mark.parametrize("kind", KINDS)
def test_no_gradient_is_nan_at_degenerate_boxes(kind):
    first = tf.Variable(np.repeat(DEGENERATE, len(DEGENERATE), axis=0))
    second = tf.Variable(np.tile(DEGENERATE, (len(DEGENERATE), 1)))
    with tf.GradientTape() as tape:
        values = getattr(boxes, kind)(first, second, pairwise=False)
    assert np.isfinite(values).all()
    assert all(np.isfinite(each).all() for each in tape.gradient(values, [first, second]))


@pytest.mark.parametrize("kind", KINDS[:-1])  # CIoU's weight is meant to have no gradient
def test_gradients(kind):
    check = gradient_check(
        lambda first, second: getattr(boxes, kind)(first, second, pairwise=False),
        {"first": some(6), "second": some(6)},
    )
    assert check.error < 1e-6


def test_formats_by_hand():
    box = [[10.0, 20, 30, 60]]
    expected = {
        "yxyx": [20, 10, 60, 30],
        "xywh": [10, 20, 20, 40],
        "cxcywh": [20, 40, 20, 40],
        "rel_xyxy": [0.05, 0.2, 0.15, 0.6],
        "rel_yxyx": [0.2, 0.05, 0.6, 0.15],
        "rel_xywh": [0.05, 0.2, 0.1, 0.4],
        "rel_cxcywh": [0.1, 0.4, 0.1, 0.4],
    }
    for name, values in expected.items():
        got = boxes.convert(box, "xyxy", name, image_size=(100, 200))
        np.testing.assert_allclose(got, [values], rtol=1e-6, err_msg=name)
    pixels = boxes.convert(np.array([[10, 20, 30, 60]]), "xyxy", "xywh", plus_one=True)
    np.testing.assert_array_equal(pixels, [[10, 20, 21, 41]])


@pytest.mark.parametrize("plus_one", [False, True])
def test_formats_and_back(plus_one):
    given = np.stack([some(5), some(5)])
    sizes = np.array([[100, 200], [50, 80]])
    names = [prefix + name for prefix in ("", "rel_") for name in boxes.FORMATS]
    for source in names:
        options = {"image_size": sizes, "plus_one": plus_one}
        there = boxes.convert(given, "xyxy", source, **options)
        for target in names:
            changed = boxes.convert(there, source, target, **options)
            back = boxes.convert(changed, target, "xyxy", **options)
            np.testing.assert_allclose(back, given, rtol=1e-12, atol=1e-12)
            if not plus_one and "xywh" not in source + target:
                keras_own = keras.utils.bounding_boxes.convert_format(
                    there[1].numpy().astype("float32"),
                    source.replace("cxcywh", "center_xywh"),
                    target.replace("cxcywh", "center_xywh"),
                    height=50,
                    width=80,
                    dtype="float32",
                )
                np.testing.assert_allclose(changed[1], keras_own, rtol=1e-4, atol=1e-5)


def test_boxes_are_clipped_to_their_picture():
    reaching = [[[-5.0, -5, 300, 40], [250, 120, 260, 130]]]
    clipped = [[[0.0, 0, 200, 40], [200, 100, 200, 100]]]
    np.testing.assert_array_equal(boxes.clip(reaching, (100, 200)), clipped)
    np.testing.assert_array_equal(boxes.clip(reaching, [[100, 200]]), clipped)
    last = boxes.clip(reaching, (100, 200), plus_one=True)
    np.testing.assert_array_equal(last[0, 1], [199, 99, 199, 99])


@pytest.mark.parametrize("plus_one", [False, True])
@pytest.mark.parametrize("variances", [SSD, (1, 1, 1, 1)])
def test_coding_by_hand_and_back(variances, plus_one):
    given, anchors = some(20), some(20)
    deltas = boxes.encode(given, anchors, variances=variances, plus_one=plus_one)
    one = int(plus_one)
    (x1, y1, x2, y2), (u1, v1, u2, v2) = given.T, anchors.T
    expected = np.stack(
        [
            ((x1 + x2) / 2 - (u1 + u2) / 2) / (u2 - u1 + one) / variances[0],
            ((y1 + y2) / 2 - (v1 + v2) / 2) / (v2 - v1 + one) / variances[1],
            np.log((x2 - x1 + one) / (u2 - u1 + one)) / variances[2],
            np.log((y2 - y1 + one) / (v2 - v1 + one)) / variances[3],
        ],
        axis=-1,
    )
    np.testing.assert_allclose(deltas, expected, rtol=1e-9, atol=1e-12)
    back = boxes.decode(deltas, anchors, variances=variances, plus_one=plus_one)
    np.testing.assert_allclose(back, given, rtol=1e-9)
    single = [each.astype("float32") for each in (given, anchors)]
    back = boxes.decode(boxes.encode(*single, variances=variances), single[1], variances=variances)
    np.testing.assert_allclose(back, given, rtol=1e-6, atol=1e-5)


def test_keras_codes_alike():
    given, anchors = some(6).astype("float32"), some(6).astype("float32")
    keras_own = keras.utils.bounding_boxes.encode_box_to_deltas(
        anchors, given, "xyxy", "xyxy", "center_xywh", variance=SSD
    )
    got = boxes.encode(given, anchors, variances=SSD)
    np.testing.assert_allclose(got, keras_own, rtol=1e-3, atol=1e-4)


def test_no_box_becomes_infinite_and_no_delta_either():
    anchor = np.array([[0.0, 0, 16, 16]])
    huge = boxes.decode(np.array([[0, 0, 1e9, 1e9]]), anchor)
    np.testing.assert_allclose(huge, [[-492, -492, 508, 508]])
    free = boxes.decode(np.array([[0, 0, 9.0, 9]]), anchor, largest_log=None)
    np.testing.assert_allclose(free[0, 2] - free[0, 0], 16 * np.exp(9))
    assert np.isfinite(boxes.encode(np.zeros((1, 4)), anchor)).all()
    assert np.isfinite(boxes.encode(anchor, np.zeros((1, 4)))).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: boxes.iou(np.zeros((2, 5)), np.zeros((2, 4))), r"got boxes of shape \(2, 5\)"),
        (lambda: boxes.iou(np.zeros(4), np.zeros(4)), r"expected \(..., n, 4\)"),
        (lambda: boxes.convert(some(1), "xyxy", "xxyy"), "unknown box format 'xxyy'"),
        (lambda: boxes.convert(some(1), "xyxy", "rel_xyxy"), r"expected \(height, width\)"),
        (lambda: boxes.encode(some(1), some(1), variances=(1, 1)), "expected four positive"),
        (lambda: boxes.decode(some(1), some(1), variances=(1, 1, 0, 1)), "expected four positive"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_examples():
    assert doctest.testmod(boxes).failed == 0
