"""Non-maximum suppression, against the loop that defines it, and in every format."""

import doctest

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.export import onnx, tflite
from dlcv_tf.metrics import average_precision
from dlcv_tf.ops import nms

RANDOM = np.random.default_rng(0)
# d2l.ai, chapter_computer-vision/anchor.md: scores of dog and cat, no offsets
D2L_BOXES = np.array(
    [
        [0.1, 0.08, 0.52, 0.92],
        [0.08, 0.2, 0.56, 0.95],
        [0.15, 0.3, 0.62, 0.91],
        [0.55, 0.2, 0.9, 0.88],
    ]
)
D2L_SCORES = np.array([[0.9, 0.8, 0.7, 0.1], [0.1, 0.2, 0.3, 0.9]])


def scene(count, *, side=60, levels=20):
    """Returns boxes that overlap, and scores of which many are alike."""
    corners = RANDOM.uniform(0, side, (count, 2))
    boxes = np.concatenate([corners, corners + RANDOM.uniform(5, 30, (count, 2))], axis=-1)
    return boxes, RANDOM.integers(0, levels, count) / levels, RANDOM.integers(0, 3, count)


def by_hand(boxes, scores, classes=None, *, iou=0.5, score=-np.inf, most=None, **options):
    """Goes through the boxes one by one, the best first; soft ones lower what is left."""
    decay, sigma = options.get("decay", "hard"), options.get("sigma", 0.5)
    overlaps = average_precision.overlaps(boxes, boxes, plus_one=options.get("plus_one", False))
    classes = np.zeros(len(boxes), int) if classes is None else classes
    left, kept, taken = np.array(scores, float), [], []
    alive = (left > score) & np.isfinite(boxes).all(axis=-1)
    while alive.any() and (most is None or len(kept) < most):
        best = int(np.argmax(np.where(alive, left, -np.inf)))
        kept.append(best)
        taken.append(left[best])
        alive[best] = False
        same = classes == classes[best]
        over = overlaps[best] >= iou if options.get("inclusive") else overlaps[best] > iou
        if decay == "hard":
            alive &= ~(same & over)
        elif decay == "linear":
            left = np.where(same & over, left * (1 - overlaps[best]), left)
        else:
            left = np.where(same, left * np.exp(-(overlaps[best] ** 2) / sigma), left)
        alive &= left > score
    return kept, taken


@pytest.mark.parametrize("tile", [7, 256])
@pytest.mark.parametrize("plus_one", [False, True])
@pytest.mark.parametrize("per_class", [False, True])
def test_greedy_is_what_going_through_them_one_by_one_gives(monkeypatch, tile, plus_one, per_class):
    monkeypatch.setattr(nms, "TILE", tile)
    boxes, scores, classes = scene(150)
    classes = classes if per_class else None
    for iou, score, most in ((0.3, 0.2, None), (0.7, -np.inf, 10), (0.0, 0.5, 3), (1.0, 0.9, None)):
        expected, _ = by_hand(
            boxes, scores, classes, iou=iou, score=score, most=most, plus_one=plus_one
        )
        got = nms.greedy(
            boxes,
            scores,
            classes,
            iou_threshold=iou,
            score_threshold=score,
            max_boxes=most,
            plus_one=plus_one,
        )
        np.testing.assert_array_equal(got, expected)


def test_tensorflow_s_own_finds_the_same():
    boxes, scores, _ = scene(3000, side=300, levels=10**9)
    boxes, scores = boxes.astype("float32"), scores.astype("float32")
    greedy = tf.function(lambda *some: nms.greedy(*some, iou_threshold=0.4))
    own = tf.image.non_max_suppression(boxes, scores, len(boxes), 0.4)
    np.testing.assert_array_equal(greedy(boxes, scores), own)
    indices, taken, count = nms.padded(boxes[None], scores[None], max_boxes=50, iou_threshold=0.4)
    np.testing.assert_array_equal(indices[0], own[:50])
    np.testing.assert_array_equal(taken[0], scores[own[:50]])
    assert count.numpy() == [50]


def test_a_chain_is_not_suppressed_by_what_is_suppressed_itself():
    """A suppresses B, B would have suppressed C: C stays, D goes."""
    boxes = np.array([[x, 0.0, x + 10, 10] for x in (0, 3, 6, 9)])
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    for order in (np.arange(4), np.array([2, 0, 3, 1])):
        got = order[nms.greedy(boxes[order], scores[order])]
        np.testing.assert_array_equal(got, [0, 2])


def test_d2l_s_example():
    for scores, expected in zip(D2L_SCORES, ([0, 3], [3, 2]), strict=True):
        np.testing.assert_array_equal(nms.greedy(D2L_BOXES, scores), expected)
    # Its answer: each box its best class, suppressed whatever the class.
    best = D2L_SCORES.max(axis=0)
    np.testing.assert_array_equal(nms.greedy(D2L_BOXES, best), [0, 3])
    classes = D2L_SCORES.argmax(axis=0)
    kept = nms.greedy(D2L_BOXES, best, classes)
    np.testing.assert_array_equal(kept, [0, 3])
    np.testing.assert_array_equal(classes[kept], [0, 1])


def test_overlaps_of_exactly_the_threshold():
    boxes, scores = np.array([[0.0, 0, 10, 10], [0, 0, 10, 5]]), np.array([0.9, 0.8])
    np.testing.assert_array_equal(nms.greedy(boxes, scores), [0, 1])
    np.testing.assert_array_equal(nms.greedy(boxes, scores, inclusive=True), [0])
    np.testing.assert_array_equal(nms.greedy(boxes, scores, plus_one=True), [0])  # 66 of 121


def padded(boxes, scores, *rest, **options):
    """Returns the answer for one picture without its padding, which must be zeros."""
    rest = [each[None] for each in rest]
    found = nms.padded(np.array(boxes)[None], np.array(scores)[None], *rest, **options)
    indices, taken, count = (each[0].numpy() for each in found)
    assert indices.shape == taken.shape == (options["max_boxes"],)
    assert not indices[count:].any() and not taken[count:].any()
    return indices[:count].tolist(), taken[:count].tolist()


@pytest.mark.parametrize("decay", nms.DECAYS)
def test_padded_and_soft_ones_by_hand(decay):
    boxes, scores, classes = scene(80)
    boxes[3], scores[5] = np.nan, np.nan
    for kinds in (None, classes):
        expected, taken = by_hand(boxes, scores, kinds, iou=0.3, score=0.1, most=30, decay=decay)
        got = padded(
            boxes,
            scores,
            *([] if kinds is None else [kinds]),
            max_boxes=30,
            iou_threshold=0.3,
            score_threshold=0.1,
            decay=decay,
        )
        assert got[0] == expected
        np.testing.assert_allclose(got[1], taken, rtol=1e-12)


def test_soft_scores_by_hand():
    boxes = np.array([[0.0, 0, 10, 10], [0, 0, 10, 5], [20, 0, 30, 10]])
    linear = padded(boxes, [0.9, 0.8, 0.3], max_boxes=3, iou_threshold=0.3, decay="linear")
    assert linear[0] == [0, 1, 2]
    np.testing.assert_allclose(linear[1], [0.9, 0.4, 0.3])
    gaussian = padded(boxes, [0.9, 0.8, 0.3], max_boxes=3, decay="gaussian", sigma=0.25)
    np.testing.assert_allclose(gaussian[1], [0.9, 0.3, 0.8 * np.exp(-1)])


def both(boxes, scores, **options):
    """Returns the indices, which must be the same greedily and padded."""
    boxes, scores = np.asarray(boxes, float), np.asarray(scores, float)
    got = nms.greedy(boxes, scores, **options).numpy().tolist()
    assert padded(boxes, scores, max_boxes=4, **options)[0] == got
    return got


def test_equal_scores_and_nothing_left():
    alike = [[0, 0, 10, 10]] * 3
    assert both(alike, [0.5, 0.5, 0.5]) == [0]  # all others are suppressed
    apart = [[0, 0, 1, 1], [2, 2, 3, 3], [4, 4, 5, 5]]
    assert both(apart, [0.5, 0.5, 0.5]) == [0, 1, 2]
    assert both(apart, [0.5, 0.5, 0.5], score_threshold=0.5) == []  # none above the threshold
    assert both(apart, [-3, -1, -2]) == [1, 2, 0]  # logits may be negative
    assert both(np.zeros((0, 4)), np.zeros(0)) == []
    points = [[3, 3, 3, 3], [3, 3, 3, 3]]
    assert both(points, [0.5, 0.6]) == [1, 0]  # no area, no overlap
    assert both([[5, 5, 1, 1], [1, 1, 5, 5]], [0.9, 0.8]) == [0, 1]  # reversed: no area either


def test_nan_never_wins():
    boxes = [[np.nan, 0, 10, 10], [0, 0, 10, 10], [0, 0, np.inf, 10], [0, 0, 10, 10]]
    assert both(boxes, [0.9, 0.5, 0.9, np.nan]) == [1]
    assert both(boxes, [0.9, np.nan, 0.9, np.nan]) == []
    assert both(boxes, [0.9, 0.5, 0.9, np.nan], score_threshold=0.6) == []


@pytest.mark.parametrize("own", [False, True])
def test_candidates_are_the_best_classes_of_all_boxes(own):
    scores = RANDOM.permutation(24).reshape(2, 4, 3) / 24
    boxes = RANDOM.uniform(0, 9, (2, 4, 3, 4) if own else (2, 4, 4))
    got = nms.top_candidates(boxes, scores, 5)
    for picture in range(2):
        order = np.argsort(-scores[picture].ravel())[:5]
        expected = boxes[picture].reshape(-1, 4)[order if own else order // 3]
        np.testing.assert_array_equal(got[0][picture], expected)
        np.testing.assert_array_equal(got[1][picture], scores[picture].ravel()[order])
        np.testing.assert_array_equal(got[2][picture], order % 3)
    assert nms.top_candidates(boxes, scores, 100)[1].shape == (2, 12)
    scores[0, 0, 0] = np.nan
    assert nms.top_candidates(boxes, scores, 100)[1][0, -1] == tf.float64.min


def signature(images):
    """Detections of two classes from (batch, n, 6): a box and two scores."""
    boxes, scores, classes = nms.top_candidates(images[..., :4], images[..., 4:], 30)
    options = {"max_boxes": 8, "iou_threshold": 0.4, "score_threshold": 0.1}
    answers = {}
    for decay in ("hard", "gaussian"):
        found = nms.padded(boxes, scores, classes, **options, decay=decay)
        for name, value in zip(("indices", "scores", "count"), found, strict=True):
            answers[f"{decay}_{name}"] = value
    return answers


def test_every_format_suppresses_alike(tmp_path):
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    values = np.zeros((3, 20, 6), "float32")
    for picture in values:
        picture[:, :4] = scene(20, side=30)[0]
    values[..., 4:] = RANDOM.integers(0, 10, (3, 20, 2)) / 10
    values[0, 0, 2], values[0, 1, 4], values[1, :, 4:] = np.nan, np.nan, 0
    expected = signature(tf.constant(values))
    assert expected["hard_count"][0] > 2 and expected["hard_count"][1] == 0

    spec = tf.TensorSpec((None, 20, 6), tf.float32, name="images")
    signatures = {"serving_default": tf.function(signature, input_signature=[spec])}
    tf.saved_model.save(tf.Module(), tmp_path / "saved", signatures=signatures)
    loaded = tf.saved_model.load(tmp_path / "saved").signatures["serving_default"]
    session = onnxruntime.InferenceSession(
        onnx.export_onnx(tmp_path / "saved", tmp_path / "m.onnx")
    )
    names = [output.name for output in session.get_outputs()]
    lite = str(tflite.export_tflite(tmp_path / "saved", tmp_path / "m.tflite"))
    for count in (1, 3):
        some = values[:count]
        interpreter = Interpreter(lite)
        interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], some.shape)
        runner = interpreter.get_signature_runner("serving_default")
        answers = {
            "SavedModel": loaded(tf.constant(some)),
            "ONNX": dict(zip(names, session.run(names, {"images": some}), strict=True)),
            "TensorFlow Lite": runner(images=some),
        }
        for which, answer in answers.items():
            assert answer.keys() == expected.keys()
            for name, value in answer.items():
                wanted = expected[name][:count]
                np.testing.assert_allclose(value, wanted, rtol=1e-5, err_msg=f"{which} {name}")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nms.greedy(np.zeros((3, 4)), np.zeros(2)), r"got \(2,\) scores, but boxes"),
        (lambda: nms.greedy(np.zeros((3, 5)), np.zeros(3)), "four numbers more"),
        (lambda: nms.greedy(np.zeros((2, 4)), np.zeros(2), iou_threshold=50), "expected 0 to 1"),
        (lambda: nms.greedy(np.zeros((2, 4)), np.zeros(2), max_boxes=0), "max_boxes=0"),
        (lambda: padded(np.zeros((2, 4)), np.zeros(2), max_boxes=1, decay="so"), "decay='so'"),
        (lambda: nms.padded(np.zeros((2, 4)), np.zeros(2), max_boxes=1), r"scores \(batch, n\)"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_examples():
    assert doctest.testmod(nms).failed == 0


@pytest.mark.parametrize("decay", ["hard", "linear", "gaussian"])
def test_a_score_that_is_not_a_number_stays_lost_when_it_is_lowered(decay):
    boxes = [[[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]]]
    scores = np.array([[0.9, np.nan, 0.5]], np.float32)
    _, _, count = nms.padded(np.float32(boxes), scores, max_boxes=3, decay=decay)
    assert count.numpy().tolist() == [2]
