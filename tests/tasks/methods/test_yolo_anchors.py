import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.tasks.methods import YOLOAnchorMethod
from tests.tasks.methods import scenes

SIZE, CLASSES = (16, 24), 3
STRIDES, SIZES = (4, 8), [[(4, 4), (8, 6)], [(14, 12)]]
# Row, column, stride and anchor of each prediction, in order.
PLACES = [
    (row, column, stride, pair)
    for stride, pairs in zip(STRIDES, SIZES, strict=True)
    for row in range(SIZE[0] // stride)
    for column in range(SIZE[1] // stride)
    for pair in pairs
]


def raw(random):
    numbers = {"boxes": 4, "objectness": 1, "classes": CLASSES}
    return {
        name: random.normal(0, 1, (2, len(PLACES), last)).astype(np.float32)
        for name, last in numbers.items()
    }


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cross_entropy(logit, wanted):
    return -np.log(sigmoid(logit)) if wanted else -np.log(sigmoid(-logit))


def box_of(numbers, place):
    row, column, stride, pair = place
    x, y = (column + sigmoid(numbers[0])) * stride, (row + sigmoid(numbers[1])) * stride
    wide, high = pair[0] * np.exp(numbers[2]), pair[1] * np.exp(numbers[3])
    return [x - wide / 2, y - high / 2, x + wide / 2, y + high / 2]


def place_of(box):
    """Returns the number of the place that stands for a box."""
    shape = (0, 0, box[2] - box[0], box[3] - box[1])
    pairs = [pair for pairs in SIZES for pair in pairs]
    best = max(pairs, key=lambda pair: scenes.iou((0, 0, *pair), shape)[0])
    stride = next(s for s, pairs in zip(STRIDES, SIZES, strict=True) if best in pairs)
    row = min(int((box[1] + box[3]) / 2 / stride), SIZE[0] // stride - 1)
    column = min(int((box[0] + box[2]) / 2 / stride), SIZE[1] // stride - 1)
    return PLACES.index((row, column, stride, best))


def by_loops(outputs, targets, method):
    names = ("box_loss", "object_loss", "no_object_loss", "class_loss")
    sums, count = dict.fromkeys(names, 0.0), 0
    for picture in range(len(targets["boxes"])):
        wanted = targets["valid"][picture] & ~targets["ignored"][picture]
        boxes = targets["boxes"][picture].astype(float)
        owners = {}
        for thing in np.flatnonzero(wanted):
            owners.setdefault(place_of(boxes[thing]), thing)
        count += wanted.sum()
        crowds = boxes[targets["ignored"][picture]]
        for number, place in enumerate(PLACES):
            numbers = outputs["boxes"][picture, number].astype(float)
            objectness = float(outputs["objectness"][picture, number, 0])
            if number not in owners:
                box = box_of(numbers, place)
                good = any(scenes.iou(box, boxes[t])[0] > 0.5 for t in np.flatnonzero(wanted))
                crowded = any(scenes.iou(box, crowd)[1] >= 0.5 for crowd in crowds)
                if not good and not crowded:
                    sums["no_object_loss"] += cross_entropy(objectness, False)
                continue
            row, column, stride, pair = place
            box = boxes[owners[number]]
            errors = [
                sigmoid(numbers[0]) - ((box[0] + box[2]) / 2 / stride - column),
                sigmoid(numbers[1]) - ((box[1] + box[3]) / 2 / stride - row),
                numbers[2] - np.log((box[2] - box[0]) / pair[0]),
                numbers[3] - np.log((box[3] - box[1]) / pair[1]),
            ]
            scale = 2 - (box[2] - box[0]) * (box[3] - box[1]) / (SIZE[0] * SIZE[1])
            sums["box_loss"] += method.box_weight * scale * np.sum(np.square(errors))
            sums["object_loss"] += cross_entropy(objectness, True)
            label = targets["classes"][picture, owners[number]]
            for each in range(CLASSES):
                logit = outputs["classes"][picture, number, each].astype(float)
                sums["class_loss"] += cross_entropy(logit, each == label)
    return {name: value / count for name, value in sums.items()}


@pytest.mark.parametrize("seed", range(3))
def test_loss_equals_loops(seed):
    random = np.random.default_rng(seed)
    outputs, targets = raw(random), scenes.some(SIZE, random)
    method = YOLOAnchorMethod(STRIDES, SIZES, box_weight=0.5)
    got = method.losses(None, outputs, targets, SIZE, True)
    expected = by_loops(outputs, targets, method)
    assert got.keys() == expected.keys() == set(method.loss_names)
    for name in expected:
        np.testing.assert_allclose(got[name], expected[name], rtol=2e-5)


def test_answers_by_hand():
    method = YOLOAnchorMethod(STRIDES, SIZES)
    outputs = {
        "boxes": np.zeros((1, len(PLACES), 4), np.float32),
        "objectness": np.zeros((1, len(PLACES), 1), np.float32),
        "classes": np.zeros((1, len(PLACES), CLASSES), np.float32),
    }
    outputs["boxes"][0, -1, 2] = np.log(2)
    boxes, scores = method.candidates(None, outputs, SIZE)
    np.testing.assert_allclose(boxes[0, -1], [20 - 14, 12 - 6, 20 + 14, 12 + 6], rtol=1e-5)
    np.testing.assert_allclose(boxes[0, 1], [2 - 4, 2 - 3, 2 + 4, 2 + 3], rtol=1e-5)
    np.testing.assert_allclose(scores, np.full((1, len(PLACES), CLASSES), 0.25))


def test_pictures_without_objects_learn_objectness_alone():
    outputs = {name: tf.constant(value) for name, value in raw(np.random.default_rng(0)).items()}
    empty = scenes.targets(np.zeros((2, 3, 4)), 0, valid=False)
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        losses = YOLOAnchorMethod(STRIDES, SIZES).losses(None, outputs, empty, SIZE, True)
        loss = tf.add_n([*losses.values()])
    gradient = tape.gradient(loss, outputs, unconnected_gradients="zero")
    assert np.isfinite(loss) and np.all(gradient["objectness"] > 0)
    assert not np.any(gradient["boxes"]) and not np.any(gradient["classes"])


def test_config():
    method = YOLOAnchorMethod(STRIDES, SIZES, 0.6, 0.7, 0.8)
    clone = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(method))
    assert clone.get_config() == method.get_config()
