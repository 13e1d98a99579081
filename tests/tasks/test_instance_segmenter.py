"""An instance segmenter learns masks and joints by heart, and reads them in the boxes it found."""

import keras
import numpy as np
import pytest

from dlcv_tf import data, models, tasks
from dlcv_tf.ops import masks as mask_ops
from dlcv_tf.tasks import methods
from tests.helpers import pictures

SHAPE, LABELS = (32, 32, 3), ["light", "dark"]
DETECTOR = {
    "width": 8,
    "features": "c2",
    "anchor_sizes": (12, 18),
    "num_proposals": 8,
    "hidden_units": (32,),
}


def scenes(count):
    """Returns grey pictures with a light disc and a dark ring, their masks and their joints."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    images = np.full((count, *SHAPE), 128, np.uint8)
    batch = {
        "boxes": np.zeros((count, 3, 4), np.float32),
        "classes": np.tile(np.array([0, 1, 0], np.int32), (count, 1)),
        "valid": np.tile([True, True, False], (count, 1)),
        "ignored": np.zeros((count, 3), bool),
        "masks": np.zeros((count, 3, *SHAPE[:2]), np.uint8),
        "joints": np.zeros((count, 3, 2, 3), np.float32),
    }
    for picture in range(count):
        for label, (left, value) in enumerate(((0, 250), (16, 5))):
            radius = random.integers(5, 8)
            centre = np.array([left + 8, random.integers(radius, 33 - radius)])
            distance = np.hypot(x - centre[0], y - centre[1])
            mask = (distance < radius) & (distance > radius / 2 * label)
            images[picture][mask] = value
            batch["masks"][picture, label] = mask
            batch["boxes"][picture, label] = [*(centre - radius), *(centre + radius)]
            # The left end, and the top.
            batch["joints"][picture, label] = [
                [*(centre - [radius - 0.5, 0]), 1],
                [*(centre - [0, radius - 0.5]), 1],
            ]
    return images, batch


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(0)
    network = models.mask_rcnn(SHAPE, 2, DETECTOR, (16,), num_joints=2, joint_filters=(16,))
    method = methods.MaskRCNN(samples=16, rpn_samples=64, joint_weight=0.3)
    task = tasks.InstanceSegmenter(
        network, data.Preprocess(SHAPE[:2], 3), LABELS, method, max_detections=6
    )
    epochs = 200
    rate = keras.optimizers.schedules.CosineDecay(5e-3, epochs)  # settles: edges to a third pixel
    task.compile(keras.optimizers.Adam(rate))
    images, batch = scenes(4)
    history = task.fit(images, batch, batch_size=4, epochs=epochs, verbose=0).history
    return task, images, batch, history


def test_all_losses_are_reported_and_fall(trained):
    task, _, _, history = trained
    names = ("rpn_objectness", "rpn_box", "classification", "box", "mask", "joints")
    assert task.method.loss_names == names
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    total = sum(history[name][-1] for name in names)
    np.testing.assert_allclose(history["loss"][-1], total, rtol=1e-4)


def test_row_148_pasted_masks_of_an_overfit_set(trained):
    task, images, batch, _ = trained
    answers = {name: value.numpy() for name, value in task.answer(images).items()}
    metric = task.new_metric()
    metric.update_state(batch, answers)
    result = metric.result()
    assert result["map50"] > 0.95 and result["mask_map50"] > 0.95
    overlaps, distances = [], []
    for picture in range(len(images)):
        for label in range(2):
            best = np.argmax(answers["scores"][picture] * (answers["classes"][picture] == label))
            mask = answers["masks"][picture, best], answers["boxes"][picture, best]
            pasted, true = mask_ops.paste(*mask, SHAPE[:2]).numpy(), batch["masks"][picture, label]
            overlaps.append((pasted & true).sum() / (pasted | true).sum())
            apart = answers["joints"][picture, best] - batch["joints"][picture, label]
            distances.append(np.abs(apart[:, :2]).max())
    assert np.mean(overlaps) > 0.9
    assert max(distances) < 1.5


def test_places_are_in_pixels_of_the_picture_and_padding_is_zeros(trained):
    task, images, _, _ = trained
    outputs = task(images)
    answers, found = task.decode(outputs, (64, 96)), task.decode(outputs)
    signature = task.answer_signature()
    assert answers.keys() == signature.keys()
    for name, value in answers.items():
        assert value.dtype == signature[name]["dtype"]
        assert list(value.shape[1:]) == signature[name]["shape"][1:]
    count = found["num_detections"].numpy()
    np.testing.assert_array_equal(answers["num_detections"], count)
    np.testing.assert_allclose(answers["boxes"], found["boxes"] * np.array([3, 2, 3, 2]), rtol=1e-5)
    np.testing.assert_allclose(answers["masks"], found["masks"])
    places = found["joints"] * np.array([3, 2, 1])
    np.testing.assert_allclose(answers["joints"], places, rtol=1e-5)
    for picture, number in enumerate(count):
        assert number >= 2
        assert not np.any(answers["masks"][picture, number:])
        assert not np.any(answers["joints"][picture, number:])
        assert np.all(answers["joints"][picture, :number, :, 2] > 0)


def test_odd_pictures(trained):
    task = trained[0]
    for size in ((1, 1), (16, 64)):
        answers = task.answer(pictures(2, size))
        assert all(np.isfinite(value).all() for value in answers.values())
