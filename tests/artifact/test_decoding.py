"""Raw outputs decoded in NumPy give what the tasks' own graph code gives."""

import keras
import numpy as np
import pytest

from dlcv_tf import data, tasks
from dlcv_tf.artifact import decoding, detections
from dlcv_tf.errors import InputError
from dlcv_tf.export import quantised
from dlcv_tf.tasks import methods

SIZE = (32, 48)
OTHER = (61, 40)  # height, width of the original pictures
LABELS = ["a", "b", "c"]
ANCHORS = {"strides": [8, 16], "sizes": [[[8, 8], [6, 12]], [[20, 14]]]}
COUNT = 4 * 6 * 2 + 2 * 3


def network(**shapes):
    """A network that answers outputs of these shapes; they are never computed here."""
    images = keras.Input((*SIZE, 3))
    mean = keras.ops.mean(images, axis=(1, 2))
    outputs = {
        name: keras.layers.Reshape(shape)(keras.layers.Dense(int(np.prod(shape)))(mean))
        for name, shape in shapes.items()
    }
    return keras.Model(images, outputs)


def some(shape, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(0, scale, (3, *shape)).astype(np.float32)


def detector(method, shapes, **options):
    return tasks.Detector(
        network(**shapes), data.Preprocess(SIZE), LABELS, method, max_detections=20, **options
    )


DETECTORS = {
    "anchors": (
        methods.AnchorMethod(**ANCHORS, variances=(0.1, 0.1, 0.2, 0.3)),
        {"logits": (COUNT, 4), "deltas": (COUNT, 4)},
    ),
    "yolo_anchors": (
        methods.YOLOAnchorMethod(**ANCHORS),
        {"boxes": (COUNT, 4), "objectness": (COUNT, 1), "classes": (COUNT, 3)},
    ),
    "grid": (methods.GridMethod(boxes_per_cell=2), {"grid": (4, 6, 13)}),
}


def check(task, outputs, tolerance=1e-4):
    """Asserts that both decodings agree, for the network's size and for another."""
    facts = quantised.decode_facts(task)
    for size in (SIZE, OTHER):
        expected = {name: v.numpy() for name, v in task.decode(outputs, size).items()}
        got = decoding.decode(outputs, facts, size)
        assert got.keys() == expected.keys()
        for name, values in expected.items():
            assert got[name].dtype == values.dtype and got[name].shape == values.shape, name
            np.testing.assert_allclose(got[name], values, atol=tolerance, rtol=1e-5, err_msg=name)
    return got


@pytest.mark.parametrize("overlap", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("kind", DETECTORS)
def test_boxes_and_suppression_are_those_of_the_detector(kind, overlap):
    method, shapes = DETECTORS[kind]
    task = detector(method, shapes, iou_threshold=overlap, score_threshold=0.2)
    outputs = {name: some(shape, seed) for seed, (name, shape) in enumerate(shapes.items())}
    if kind == "grid":
        outputs["grid"] = np.abs(outputs["grid"])  # roots of sides, confidences, classes
    found = check(task, outputs)["num_detections"]
    assert found.min() > 1 and (overlap < 1 or found.max() == 20)


def test_none_all_equal_and_not_finite():
    method, shapes = DETECTORS["anchors"]
    task = detector(method, shapes, score_threshold=0.5)
    nothing = {"logits": some((COUNT, 4)), "deltas": some((COUNT, 4))}
    nothing["logits"][..., 0] = 20
    assert check(task, nothing)["num_detections"].tolist() == [0, 0, 0]
    equal = {"logits": np.zeros((3, COUNT, 4), np.float32), "deltas": some((COUNT, 4))}
    equal["logits"][..., 2] = 9  # one class, the same score everywhere: the first box wins
    assert check(task, equal)["num_detections"].min() > 1
    equal["deltas"][:, 3] = np.nan
    equal["logits"][:, 5] = np.nan
    check(task, equal)


def test_boxes_outside_of_the_picture_are_none():
    method, shapes = DETECTORS["anchors"]
    outputs = {"logits": some((COUNT, 4)), "deltas": some((COUNT, 4), scale=100)}
    outputs["logits"][..., 1] += 5
    found = check(detector(method, shapes, score_threshold=0.0), outputs)
    boxes = found["boxes"]
    assert (boxes >= 0).all() and (boxes <= np.array([40, 61, 40, 61]) + 1e-4).all()


@pytest.mark.parametrize(
    "decoding_name, loss",
    [
        ("argmax", "squares"),
        ("quarter", "squares"),
        ("argmax", "crossentropy"),
        ("quarter", "crossentropy"),
        ("soft", "crossentropy"),
    ],
)
def test_heatmaps_become_joints(decoding_name, loss):
    shapes = {"heatmaps": (8, 12, 14)}
    task = tasks.PoseEstimator(
        network(**shapes),
        data.Preprocess(SIZE),
        [f"joint{number}" for number in range(14)],
        loss=loss,
        decoding=decoding_name,
    )
    maps = some((8, 12, 14), scale=2)
    maps[0, 0, 0, 0] = maps[0, 7, 11, 1] = 9  # peaks in two corners
    check(task, {"heatmaps": maps})


@pytest.mark.parametrize("visible", [False, True])
def test_coordinates_become_joints(visible):
    shapes = {"joints": (5, 2)} | ({"visible": (5,)} if visible else {})
    task = tasks.PoseEstimator(network(**shapes), data.Preprocess(SIZE), list("abcde"))
    check(task, {name: some(shape, seed) for seed, (name, shape) in enumerate(shapes.items())})


def test_a_localizer_names_classes_and_one_box():
    shapes = {"logits": (3,), "box": (4,)}
    task = tasks.Localizer(network(**shapes), data.Preprocess(SIZE), LABELS)
    check(task, {"logits": some((3,)), "box": some((4,), 1)})


def test_class_maps_have_the_pictures_size():
    task = tasks.Segmenter(network(logits=(*SIZE, 3)), data.Preprocess(SIZE), LABELS)
    logits = some((*SIZE, 3))
    expected = task.decode({"logits": logits}, OTHER)["class_map"].numpy()
    facts = quantised.decode_facts(task)
    got = decoding.decode({"logits": logits}, facts, OTHER)["class_map"]
    assert got.dtype == np.uint8 and got.shape == (3, *OTHER)
    assert np.mean(got != expected) < 0.001


def test_anchors_are_those_of_the_method():
    centres, sides, strides = detections.anchors(SIZE, **ANCHORS)
    corners = np.concatenate([centres - sides / 2, centres + sides / 2], axis=-1)
    np.testing.assert_array_equal(corners, DETECTORS["anchors"][0].anchors(SIZE))
    assert strides[0] == 8 and strides[-1] == 16 and len(strides) == COUNT


def test_suppression_by_hand():
    boxes = np.float32([[0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 10], [20, 20, 30, 30]])
    scores, classes = np.float32([0.9, 0.8, 0.7, 0.6]), np.array([0, 0, 1, 0])
    options = {"score_threshold": 0.1, "max_boxes": 9}
    kept = detections.suppress(boxes, scores, classes, iou_threshold=0.5, **options)
    assert kept.tolist() == [0, 1, 2, 3]  # one half is not more than one half
    kept = detections.suppress(boxes, scores, classes, iou_threshold=0.49, **options)
    assert kept.tolist() == [0, 2, 3]
    options["max_boxes"] = 2
    kept = detections.suppress(boxes, scores, classes, iou_threshold=0.49, **options)
    assert kept.tolist() == [0, 2]


def test_what_is_not_known_is_named():
    with pytest.raises(InputError, match="unknown task to decode 'Detecter': did you mean"):
        decoding.decode({}, {"task": "Detecter", "size": [8, 8]}, (8, 8))
    with pytest.raises(InputError, match="unknown method to decode 'Anchors'"):
        facts = quantised.decode_facts(detector(*DETECTORS["anchors"]))
        facts["method"]["name"] = "Anchors"
        decoding.decode({}, facts, (8, 8))
