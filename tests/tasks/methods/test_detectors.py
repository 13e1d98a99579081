"""Single-shot detectors as tasks: odd pictures, pictures without objects, what training does."""

import keras
import numpy as np
import pytest

from dlcv_tf import data, models, tasks
from dlcv_tf.tasks import methods
from tests.helpers import pictures
from tests.tasks.methods import scenes

SHAPE, LABELS = (32, 32, 3), ["light", "dark"]
STRIDES, SIZES = (4, 8), (((8, 8),), ((14, 14),))
ANCHORS = {"strides": STRIDES, "sizes": SIZES}
BACKBONE = {"widths": (8, 12, 16), "depths": (1, 1, 1)}
GRIDS = {"strides": STRIDES, "anchors_per_cell": (1, 1)}
KINDS = {
    "ssd": (models.ssd, BACKBONE | GRIDS, methods.AnchorMethod(**ANCHORS)),
    "yolo": (models.yolo, BACKBONE | {"grid": 4, "hidden_units": 64}, methods.GridMethod(2)),
    "yolo_anchors": (models.yolo_anchors, BACKBONE | GRIDS, methods.YOLOAnchorMethod(**ANCHORS)),
}


def detector(kind):
    keras.utils.set_random_seed(0)
    builder, options, method = KINDS[kind]
    network = builder(SHAPE, len(LABELS), **options)
    task = tasks.Detector(network, data.Preprocess(SHAPE[:2], 3), LABELS, method)
    task.compile(keras.optimizers.Adam(3e-3))
    return task


def squares(count):
    """Returns grey pictures with a light and a dark square, and targets with a row of padding."""
    random = np.random.default_rng(0)
    images = np.full((count, *SHAPE), 128, np.uint8)
    boxes = np.zeros((count, 3, 4), np.float32)
    for picture in range(count):
        for label, (left, value) in enumerate(((0, 250), (16, 5))):
            side = random.integers(8, 14)
            x, y = left + random.integers(0, 16 - side + 1), random.integers(0, 32 - side + 1)
            images[picture, y : y + side, x : x + side] = value
            boxes[picture, label] = [x, y, x + side, y + side]
    return images, scenes.targets(boxes, [[0, 1, 0]], valid=[[True, True, False]])


@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_what_it_was_shown_and_nothing_in_empty_pictures(kind):
    task = detector(kind)
    images, targets = squares(12)
    images = np.concatenate([images, np.full((4, *SHAPE), 128, np.uint8)])
    targets = {
        name: np.concatenate([values, np.zeros_like(values[:4])])
        for name, values in targets.items()
    }
    task.fit(images, targets, batch_size=16, epochs=120, verbose=0)
    metric = task.new_metric()
    answers = {name: np.asarray(value) for name, value in task.answer(images).items()}
    metric.update_state(targets, answers)
    assert metric.result()["map50"] > 0.95
    found = (answers["scores"] > 0.5).sum(axis=1)
    np.testing.assert_array_equal(found[-4:], 0)


@pytest.mark.parametrize("kind", KINDS)
def test_no_objects_at_all_and_odd_pictures(kind):
    task = detector(kind)
    empty = scenes.targets(np.zeros((4, 3, 4)), 0, valid=False)
    history = task.fit(pictures(4, SHAPE[:2]), empty, epochs=2, verbose=0).history
    assert all(np.isfinite(value).all() for value in history.values())
    assert all(np.isfinite(weights).all() for weights in task.get_weights())
    for size in ((1, 1), (16, 64), (64, 16)):
        answers = task.answer(pictures(2, size))
        boxes = np.asarray(answers["boxes"])
        assert np.isfinite(boxes).all() and boxes.min() >= 0
        assert (boxes <= np.tile(size[::-1], 2)).all()
