"""R-CNN in all its stages, Fast R-CNN on given proposals, the sliding window: they find shapes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import data, models, tasks
from dlcv_tf.data import proposals
from dlcv_tf.errors import InputError
from dlcv_tf.ops import boxes as box_ops
from dlcv_tf.tasks import methods

LABELS = ("flat", "tall")
SIDE = 24


def examples(count=24):
    """Returns grey pictures with one bright bar each, flat or tall, and their targets."""
    random = np.random.default_rng(0)
    images = np.full((count, SIDE, SIDE, 3), 70, np.uint8)
    boxes = np.zeros((count, 2, 4), np.float32)
    classes = np.zeros((count, 2), np.int32)
    for number in range(count):
        classes[number, 0] = number % 2
        width, height = (12, 6) if number % 2 == 0 else (6, 12)
        x, y = random.integers(0, SIDE - width), random.integers(0, SIDE - height)
        images[number, y : y + height, x : x + width] = (220, 200, 60)
        boxes[number, 0] = x, y, x + width, y + height
    valid = np.tile([True, False], (count, 1))
    targets = {"boxes": boxes, "classes": classes, "valid": valid, "ignored": valid & False}
    return images, targets


def found(boxes, random):
    """Returns proposals (n, 16, 4): around the bars, a little beside them, and anywhere."""
    near = boxes[:, :1] + random.uniform(-2, 2, (len(boxes), 6, 4))
    corners = random.uniform(0, 14, (len(boxes), 9, 2))
    far = np.concatenate([corners, corners + random.uniform(4, 10, corners.shape)], axis=-1)
    return np.concatenate([near, far, np.zeros((len(boxes), 1, 4))], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def trained():
    """Returns an R-CNN after all of its stages, its pictures with proposals, and the facts."""
    keras.utils.set_random_seed(0)
    images, targets = examples()
    boxes = found(targets["boxes"], np.random.default_rng(1))
    dataset = tf.data.Dataset.from_tensor_slices((images, targets))
    pairs = proposals.attach(dataset, boxes)
    network = models.rcnn((SIDE, SIDE, 3), 2, crop=12, context=2, widths=(6, 8), hidden_units=12)
    preprocess = data.Preprocess((SIDE, SIDE))
    task = tasks.RegionDetector(
        network, preprocess, LABELS, methods.RCNN(), num_proposals=16, max_detections=4
    )
    task.compile(keras.optimizers.Adam(0.01))
    batches = proposals.training_batches(pairs, 8, 8)
    losses = task.fit(batches, epochs=8, verbose=0, shuffle=False).history["loss"]
    facts = task.method.fit_heads(task, pairs.batch(8), penalty=0.01, ridge=10.0)
    return task, pairs, facts, losses


def overlaps(task, pairs):
    """Returns the overlap of each picture's best detection with its bar, 0 for a wrong class."""
    values = []
    for inputs, targets in pairs.batch(8):
        answers = task.answer(inputs)
        pairs_iou = box_ops.iou(answers["boxes"][:, :1], targets["boxes"][:, :1])[:, 0, 0]
        right = answers["classes"][:, 0] == targets["classes"][:, 0]
        values.append(tf.where(right, pairs_iou, 0))
    return tf.concat(values, axis=0).numpy()


def test_every_stage_of_rcnn_learns(trained):
    task, pairs, facts, losses = trained
    assert losses[-1] < 0.3 * losses[0]
    assert facts["regions"] == 24 * 16  # 15 proposals and the bar itself
    assert min(facts["corrected"]) > 20
    machines = facts["machines"]
    np.testing.assert_array_equal(task.network.get_layer("svms").get_weights()[0], machines.weights)
    assert (overlaps(task, pairs) > 0.5).mean() > 0.8


def test_box_regression_moves_boxes_closer(trained):
    task, pairs, _, _ = trained
    corrected = overlaps(task, pairs).mean()
    task.method.box_regression = False
    plain = overlaps(task, pairs).mean()
    task.method.box_regression = True
    assert corrected > plain + 0.03


def test_softmax_needs_no_machines(trained):
    task, pairs, _, _ = trained
    task.method.classifier = "softmax"
    assert (overlaps(task, pairs) > 0.5).mean() > 0.8
    task.method.classifier = "svm"


def test_padding_is_never_an_answer(trained):
    task = trained[0]
    images, _ = examples(2)
    answers = task.answer((images, np.zeros((2, 5, 4), np.float32)))
    assert answers["num_detections"].numpy().tolist() == [0, 0]
    assert not answers["boxes"].numpy().any()


def test_proposals_are_found_where_none_are_given(trained):
    task = trained[0]
    images, targets = examples(2)
    boxes = proposals.padded(images, 16)
    for got, expected in zip(
        task.answer(images).values(), task.answer((images, boxes)).values(), strict=True
    ):
        np.testing.assert_allclose(got, expected, atol=1e-5)
    best = box_ops.iou(task.answer(images)["boxes"][:, :1], targets["boxes"][:, :1])
    assert best.numpy().min() > 0.5


def test_boxes_are_in_pixels_of_the_picture_given(trained):
    task, pairs, _, _ = trained
    (images, boxes), _ = next(iter(pairs.batch(4)))
    small = task.answer((images, boxes))
    large = np.repeat(np.repeat(images.numpy(), 2, axis=1), 3, axis=2)
    scale = np.array([3, 2, 3, 2], np.float32)
    again = task.answer((large, boxes * scale))
    best, other = (each["boxes"][:, 0] for each in (small, again))
    np.testing.assert_allclose(other, best * scale, rtol=0.05, atol=1.5)


def test_fast_rcnn_learns_from_given_proposals():
    keras.utils.set_random_seed(0)
    images, targets = examples(16)
    boxes = found(targets["boxes"], np.random.default_rng(1))
    pairs = proposals.attach(tf.data.Dataset.from_tensor_slices((images, targets)), boxes)
    network = models.fast_rcnn((SIDE, SIDE, 3), 2, width=4, features="c2", hidden_units=(12,))
    method = methods.FastRCNN(samples=12)
    task = tasks.RegionDetector(network, data.Preprocess((SIDE, SIDE)), LABELS, method)
    task.compile(keras.optimizers.Adam(0.01))
    history = task.fit(pairs.batch(8), epochs=10, verbose=0, shuffle=False).history
    assert history["loss"][-1] < 0.6 * history["loss"][0]
    assert {"classification", "box"} <= history.keys()


def test_the_sliding_window_finds_what_it_was_shown():
    keras.utils.set_random_seed(0)
    images, targets = examples(16)
    sizes = ((12, 6), (6, 12))
    network = models.sliding_window((SIDE, SIDE, 3), 2, sizes, (4, 6, 8), window=10)
    task = tasks.Detector(
        network, data.Preprocess((SIDE, SIDE)), LABELS, methods.SlidingWindow(), max_detections=4
    )
    task.compile(keras.optimizers.Adam(0.02))
    task.fit(images, targets, batch_size=8, epochs=20, verbose=0)
    answers = task.answer(images)
    best = box_ops.iou(answers["boxes"][:, :1], targets["boxes"][:, :1]).numpy()
    assert (best > 0.5).mean() > 0.9


def test_pictures_without_objects_teach_the_sliding_window_background():
    method = methods.SlidingWindow()
    outputs = {"logits": tf.zeros((2, 5, 3)), "boxes": tf.ones((2, 5, 4)) * [0, 0, 4, 4]}
    nothing = {
        "boxes": tf.zeros((2, 1, 4)),
        "classes": tf.zeros((2, 1), tf.int32),
        "valid": tf.zeros((2, 1), tf.bool),
        "ignored": tf.zeros((2, 1), tf.bool),
    }
    loss = method.losses(None, outputs, nothing, (8, 8), True)["class_loss"]
    np.testing.assert_allclose(loss, 3 * np.log(3), rtol=1e-6)  # three windows in a batch of none


def test_what_does_not_fit_is_refused():
    network = models.ssd((32, 32, 3), 2, (4, 6), (1, 1), (4,), (1,))
    preprocess = data.Preprocess((32, 32))
    with pytest.raises(InputError, match="takes no proposals, expected one of models.rcnn"):
        tasks.RegionDetector(network, preprocess, LABELS, methods.RCNN())
    with pytest.raises(InputError, match="did you mean 'softmax'"):
        methods.RCNN(classifier="softmx")
    with pytest.raises(InputError, match="expected 0 <= negative <= positive"):
        methods.SlidingWindow(positive=0.3)


def test_a_class_that_no_proposal_overlaps_is_named(trained):
    task, pairs, _, _ = trained
    flat = pairs.filter(lambda inputs, targets: targets["classes"][0] == 0)
    with pytest.raises(InputError, match=r"no positive region for the classes \[1\]"):
        task.method.fit_heads(task, flat.batch(8))
