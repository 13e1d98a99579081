"""An instance segmenter that looks for joints alone is trained, measured, saved and read."""

import pathlib

import keras
import numpy as np
import pytest

from dlcv_tf import data, models, tasks
from dlcv_tf.errors import InputError
from dlcv_tf.recipes import Recipe
from dlcv_tf.tasks import methods

SIZE = (64, 64)
DETECTOR = {
    "width": 4,
    "features": "c2",
    "anchor_sizes": (24, 40, 60),
    "num_proposals": 8,
    "hidden_units": (8,),
}
JOINTS_ALONE = {"mask_weight": 0.0, "joint_weight": 1.0}
REAL = pathlib.Path(__file__).parents[3] / "shared" / "data" / "coco_small"


def task_of(number, size=SIZE, mask_filters=(), **weights):
    keras.utils.set_random_seed(0)
    network = models.mask_rcnn((*size, 3), 1, DETECTOR, mask_filters, number, (8,))
    method = methods.MaskRCNN(samples=8, rpn_samples=32, **(weights or JOINTS_ALONE))
    task = tasks.InstanceSegmenter(
        network, data.Preprocess(size), ["person"], method, score_threshold=0.0, max_detections=5
    )
    task.compile(keras.optimizers.Adam(1e-3))
    return task


@pytest.fixture(scope="module")
def figures():
    dataset, info = data.load("shapes", "val", targets="keypoints")
    return dataset.take(12).batch(6), len(info.joint_names)


@pytest.fixture(scope="module")
def task(figures):
    batches, number = figures
    made = task_of(number)
    history = made.fit(batches, epochs=2, shuffle=False, verbose=0).history
    assert "joints" in history and "mask" not in history
    assert np.isfinite(history["loss"]).all()
    return made


def test_it_asks_for_joints_and_is_measured_by_them(task, figures, tmp_path):
    assert (task.targets, task.main_metric) == ("keypoints", "keypoint_map50")
    assert task.answer_signature().keys() >= {"boxes", "joints"}
    assert "masks" not in task.answer_signature()
    result = task.measure(figures[0])
    assert 0 <= result["keypoint_map50"] <= 1 and 0 <= result["map50"] <= 1
    task.save(tmp_path / "task.keras")
    again = keras.models.load_model(tmp_path / "task.keras")
    assert (again.targets, again.main_metric) == ("keypoints", "keypoint_map50")
    assert again.measure(figures[0]) == pytest.approx(result, abs=1e-6)


def test_a_threshold_that_was_changed_is_seen(task, figures):
    assert task.measure(figures[0])["mar_100"] > 0
    task.score_threshold = 1.0
    assert task.measure(figures[0])["mar_100"] == 0
    task.score_threshold = 0.0


def test_what_a_method_learns_says_what_counts():
    both = task_of(2, mask_filters=(4,), mask_weight=1.0, joint_weight=1.0)
    assert (both.targets, both.main_metric) == ("masks", "mask_map50")
    masks = task_of(0, mask_filters=(4,), mask_weight=1.0)
    assert (masks.targets, masks.main_metric) == ("masks", "mask_map50")
    kind = tasks.InstanceSegmenter
    for made in (both, masks):
        assert kind.measured_on(made.answer_signature()) == "masks"
    assert kind.measured_on({"boxes": {}, "joints": {}}) == "keypoints"
    assert tasks.Detector.measured_on({"boxes": {}}) == "boxes"


@pytest.mark.parametrize(
    ("number", "mask_filters", "weights", "message"),
    [
        (2, (), {"mask_weight": 1.0}, "learns masks and a network without"),
        (0, (4,), {"joint_weight": 1.0}, "learns heatmaps and a network without"),
        (2, (4,), {"mask_weight": 0.0}, "learns neither masks nor joints"),
    ],
)
def test_a_method_that_does_not_fit_the_network_is_refused(number, mask_filters, weights, message):
    with pytest.raises(InputError, match=message):
        task_of(number, mask_filters=mask_filters, **weights)


def test_a_recipe_asks_for_what_its_method_learns():
    options = {"name": "x", "data": "shapes", "network": "mask_rcnn", "method": "mask_rcnn"}
    options["task_class"] = "InstanceSegmenter"
    assert Recipe(**options).targets == "masks"
    recipe = Recipe(**options, method_options=JOINTS_ALONE)
    assert recipe.targets == recipe.describe("val").targets == "keypoints"


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared data sets are not there")
def test_two_steps_on_people_of_coco():
    options = {"targets": "keypoints", "image_size": (96, 128)}
    dataset, info = data.load(f"coco:{REAL}", "val", **options)
    assert (info.labels, len(info.joint_names)) == (("person",), 17)
    batches = dataset.take(8).batch(4)
    task = task_of(17, size=(96, 128))
    losses = task.fit(batches, epochs=1, shuffle=False, verbose=0).history
    assert task.optimizer.iterations == 2 and np.isfinite(losses["loss"]).all()
    assert losses["joints"][0] > 0
    assert -1 <= task.measure(batches)["keypoint_map50"] <= 1
