"""The recipes of localisation and pose make a task for their data."""

import dataclasses

import pytest

from dlcv_tf import recipes
from dlcv_tf.data import Info
from dlcv_tf.data.scenes import JOINT_NAMES
from dlcv_tf.errors import InputError

NAMES = ["shapes_pose", "shapes_pose_regression", "lspet_heatmaps", "lspet_regression"]


@pytest.mark.parametrize("name", NAMES)
def test_pose_recipes_have_fourteen_joints(name):
    recipe = recipes.get(name)
    size = recipe.image_size or (64, 64)
    info = Info("any", "train", ("person",), 8, (*size, 3), (), "joints", JOINT_NAMES)
    task = recipe.task(info)
    assert task.labels == list(JOINT_NAMES) and recipe.targets == "joints"
    assert task.answer_signature()["joints"]["shape"] == [None, 14, 3]
    assert task.count_params() < 1_100_000


@pytest.mark.parametrize("name", ["lspet_heatmaps", "lspet_regression"])
def test_recipes_of_own_pictures_say_what_they_need(name):
    with pytest.raises(InputError, match="needs your pictures: add data=joints:PATH"):
        recipes.get(name).load("train")


def test_the_localizer_recipe():
    recipe = recipes.get("shapes_localizer")
    dataset, info = recipe.load("val")
    assert dataclasses.asdict(info)["targets"] == recipe.targets == "object"
    task = recipe.task(info)
    assert task.labels == list(info.labels) and task.box_weight == recipe.task_options["box_weight"]
    assert set(dataset.element_spec[1]) == {"class", "box"}
