"""PCK by hand."""

import numpy as np
import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.metrics import PoseMetric

RIGHT_HIP, LEFT_SHOULDER, NECK, TOP = 2, 9, 12, 13


def person(torso=50.0, head=20.0):
    """Returns (1, 14, 3) joints: the torso and the head of a given length, the others spread."""
    joints = np.stack([np.linspace(10, 140, 14), np.linspace(90, 25, 14), np.ones(14)], axis=-1)
    joints[LEFT_SHOULDER, :2] = joints[RIGHT_HIP, :2] + [0.6 * torso, -0.8 * torso]
    joints[TOP, :2] = joints[NECK, :2] - [0, head]
    return joints[None]


def measured(joints, found, **options):
    metric = PoseMetric(**options)
    metric.update_state({"joints": joints}, {"joints": found})
    return metric.result()


def moved(joints, distances):
    """Returns the joints moved along x by pixels, one number for each joint."""
    found = joints.copy()
    found[..., 0] += distances
    return found


def test_pck_counts_joints_within_a_fifth_of_the_torso():
    joints = person(torso=50)
    distances = np.zeros(14)
    distances[[0, 1, 5]] = [9.5, 10.5, 26.0]  # a fifth is 10, a half 25
    result = measured(joints, moved(joints, distances))
    assert result["pck"] == pytest.approx(12 / 14)
    assert result["pck_at_0.5"] == pytest.approx(13 / 14)
    assert (result["pck_0"], result["pck_1"], result["pck_5"]) == (1, 0, 0)


@pytest.mark.parametrize(
    ("options", "unit"),
    [
        ({"normalizer": "torso"}, 50.0),
        ({"normalizer": "head"}, 20.0),
        ({"normalizer": (0, 1)}, np.hypot(10, 5)),
        ({"normalizer": "box"}, 120.0),
    ],
)
def test_units(options, unit):
    joints = person(torso=50, head=20)
    for factor, expected in ((0.199, 1.0), (0.201, 0.0)):
        assert measured(joints, moved(joints, factor * unit), **options)["pck"] == expected


def test_a_box_that_is_given_is_the_unit():
    joints = person()
    metric = PoseMetric(normalizer="box", threshold=0.1)
    box = np.array([[0.0, 0.0, 100.0, 200.0]])
    metric.update_state({"joints": joints, "box": box}, {"joints": moved(joints, 19.9)})
    metric.update_state({"joints": joints, "box": box}, {"joints": moved(joints, 20.1)})
    assert metric.result()["pck"] == 0.5


def test_equal_to_the_threshold_counts_unless_strict():
    joints = person()
    joints[0, :, :2] = 0
    joints[0, LEFT_SHOULDER, 0] = 40
    found = moved(joints, 8.0)
    assert measured(joints, found)["pck"] == 1
    assert measured(joints, found, strict=True)["pck"] == 0


def test_joints_that_are_not_visible_do_not_count():
    joints = person()
    joints[0, [4, 6], 2] = 0
    distances = np.zeros(14)
    distances[[3, 4]] = 1000
    result = measured(joints, moved(joints, distances))
    assert result["pck"] == pytest.approx(11 / 12)
    assert np.isnan(result["pck_4"]) and np.isnan(result["pck_6"])
    assert result["pck_3"] == 0


def test_people_without_a_measurable_unit_do_not_count():
    whole, hidden, flat = person(), person(), person()
    hidden[0, RIGHT_HIP, 2] = 0
    flat[0, LEFT_SHOULDER, :2] = flat[0, RIGHT_HIP, :2]
    joints = np.concatenate([whole, hidden, flat])
    found = moved(joints, np.array([0.0, 1000, 1000])[:, None])
    assert measured(joints, found)["pck"] == 1
    assert np.isnan(measured(hidden, hidden)["pck"])
    assert np.isnan(PoseMetric().result()["pck"])


def test_batches_add_up():
    joints = np.concatenate([person(torso=20 + 10 * number) for number in range(5)])
    found = moved(joints, 9.0)
    metric = PoseMetric(joint_names=[f"joint {number}" for number in range(14)])
    for part in (slice(0, 2), slice(2, 5)):
        metric.update_state({"joints": joints[part]}, {"joints": found[part]})
    assert metric.result()["pck"] == pytest.approx(2 / 5)  # torsos of 50 and 60
    assert metric.result()["pck_joint 3"] == pytest.approx(2 / 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PoseMetric(normalizer="leg"), "unknown normalizer 'leg'"),
        (lambda: PoseMetric(normalizer=(2, 2)), "expected two different joints"),
        (lambda: PoseMetric(threshold=0), "got threshold=0"),
        (lambda: measured(person(), person()[:, :13]), r"answers of shape \(1, 13, 3\)"),
        (lambda: measured(person(), person(), joint_names=["a"]), "same people and joints of 1"),
        (lambda: measured(person()[:, :6], person()[:, :6]), "got 6 joints, expected more"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
