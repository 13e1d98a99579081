"""A trial's training is that of `dlcv train`, and never reads the test split."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from dlcv_tf import recipes
from dlcv_tf.errors import InputError
from dlcv_tf.recipes import directories, search
from dlcv_tf.train import search_plan
from dlcv_tf.train.search_space import Choice, Range, Space

ROOT = pathlib.Path(__file__).parents[2]
TRIALS = """
import json, sys
from dlcv_tf import recipes
from dlcv_tf.recipes import recipe, run, search
from dlcv_tf.train import search_plan

read = []
load = recipe.Recipe.load
recipe.Recipe.load = lambda self, split, **where: read.append(split) or load(self, split, **where)
base = recipes.get("digits_linear").replace(network="mlp", epochs=3)
objective = search.Objective(base)
values = {"learning_rate": 0.03, "hidden_units": (16,), "dropout": 0.1}
for number, rate in enumerate((0.03, 1e6, 0.03)):
    task = search_plan.Task(number, "fine", 3, values | {"learning_rate": rate})
    epochs = []
    outcome = objective(task, lambda epoch, value: epochs.append(value) or len(epochs) < 2 + number)
    print(json.dumps([outcome.state, outcome.value, outcome.reason, epochs]))
outcome = objective(search_plan.Task(3, "fine", 3, values), lambda *_: True)
splits = sorted(set(read))
run.run(base.replace(**search.changes(base, values)), sys.argv[1], verbose=0)
history = json.load(open(sys.argv[1] + "/history.json"))
losses = history["val_loss"]
print(json.dumps([splits, outcome.value, outcome.loss, history["val_accuracy"], losses]))
"""


@pytest.mark.slow
def test_a_trial_is_the_training_of_the_recipe_with_its_values(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", TRIALS, tmp_path / "run"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    pruned, exploded, whole, last = map(json.loads, done.stdout.splitlines())
    assert pruned[0] == "pruned" and len(pruned[3]) == 2 and "epoch 2" in pruned[2]
    assert exploded[:2] == ["exploded", None] and exploded[3] == []
    assert "at epoch 1, step" in exploded[2] and "more than 3 times the original" in exploded[2]
    assert whole[0] == "complete" and whole[1] == whole[3][-1] and len(whole[3]) == 3
    splits, value, loss, accuracies, losses = last
    assert splits == ["train", "val"]  # the test split is for the end
    assert value == whole[1]  # what a trial before has left changes nothing
    assert (value, loss) == (accuracies[-1], losses[-1])


def test_defaults_lie_about_what_the_recipe_has():
    recipe = recipes.get("digits_resnet")
    rate = search.default("learning_rate", recipe)
    assert (rate.low, rate.high, rate.log) == (pytest.approx(0.001), pytest.approx(1.0), True)
    assert search.default("batch_size", recipe) == Choice((32, 64, 128))
    assert search.default("augmentations", recipe) == Choice(((), ("shift",)))
    assert search.default("test_time_flip", recipe) == Choice((False, True))
    assert search.default("loss", recipe).values[0] == "softmax"
    for name in ("weight_decay", "l2", "label_smoothing", "dropout"):
        assert search.default(name, recipe).low < search.default(name, recipe).high


def test_changes_of_values_and_of_network_options():
    recipe = recipes.get("mnist_convnet")
    changed = search.changes(recipe, {"learning_rate": 0.2, "dropout": 0.3})
    options = {"filters": (16, 32), "dropout": 0.3}
    assert changed == {"learning_rate": 0.2, "network_options": options}


def test_settings_are_kept_with_the_recipe(tmp_path):
    recipe = recipes.get("digits_resnet").replace(image_size=(16, 16), seed=5)
    recipe = recipe.replace(network_options={"width": (8, 16)})  # as tuples, too
    space = Space({"learning_rate": Range(1e-3, 1.0, log=True), "batch_size": Choice((16, 32))})
    made = search.settings(recipe, space, 12, sampler="grid", median=True)
    assert [(s.trials, s.epochs) for s in made.stages] == [(8, 6), (4, 30)] and made.seed == 5
    search.start(tmp_path / "run", recipe, made)
    assert search.read(tmp_path / "run") == (recipe, made)


def test_newest_search(tmp_path):
    recipe = recipes.get("digits_linear")
    made = search.settings(recipe, Space({"momentum": Choice((0.5, 0.9))}), 2)
    first = directories.new_directory("digits_linear", tmp_path)
    search.start(first, recipe, made)
    second = directories.new_directory("digits_linear", tmp_path)
    assert first.name.endswith("-1") and second.name.endswith("-2")
    assert directories.newest_directory("digits_linear", tmp_path, "search") == first
    with pytest.raises(InputError, match="no run of digits_linear .* dlcv train digits_linear"):
        directories.newest_directory("digits_linear", tmp_path)


def test_values_a_recipe_does_not_take_are_refused_before_the_search():
    recipe = recipes.get("digits_linear")
    space = Space({"loss": Choice(("softmax", "hinge"))})
    search.settings(recipe, space, 3)
    with pytest.raises(InputError, match="unknown loss"):
        search.settings(recipe, Space({"loss": Choice(("softmax", "hing"))}), 3)
    with pytest.raises(InputError, match="smoothing with softmax alone"):
        search.settings(recipe.replace(label_smoothing=0.1), space, 3)
    with pytest.raises(InputError, match="got 0 trials"):
        search.settings(recipe, space, 0)
    assert search_plan.stages(3, recipe.epochs)[-1].epochs == recipe.epochs
