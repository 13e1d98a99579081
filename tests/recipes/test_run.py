"""Recipes: known values only; a run killed with -9 goes on and ends with the very same weights."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from dlcv_tf import recipes
from dlcv_tf.errors import InputError

ROOT = pathlib.Path(__file__).parents[2]
TRAIN = """
import sys
from dlcv_tf import recipes
from dlcv_tf.recipes import run
from dlcv_tf.train import loop
loop.CHECKPOINT_SECONDS = 0.0
recipe = recipes.get("digits_resnet").replace(
    epochs=2, network="convnet", network_options={"filters": (4,), "hidden_units": 8}
)
print(run.run(recipe, sys.argv[1], resume="--resume" in sys.argv, verbose=0))
"""


def start(directory, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", TRAIN, str(directory), *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process):
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error[-2000:]
    return out


def state(directory):
    with np.load(directory / "checkpoint.npz") as file:
        return {name: file[name] for name in file.files}


def test_killed_run_resumes_bit_for_bit(tmp_path):
    whole = start(tmp_path / "whole")
    killed = start(tmp_path / "killed")
    checkpoint = tmp_path / "killed" / "checkpoint.npz"
    while True:
        assert killed.poll() is None, killed.communicate()[1][-2000:]
        if checkpoint.exists():
            step = json.loads(str(state(tmp_path / "killed")["progress"]))["step"]
            if step >= 3:  # in mid-epoch
                break
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    progress = json.loads(str(state(tmp_path / "killed")["progress"]))
    assert (progress["epoch"], progress["step"]) < (2, 0)
    assert not (tmp_path / "killed" / "task.keras").exists()
    finished(start(tmp_path / "killed", "--resume"))
    finished(whole)
    expected, got = state(tmp_path / "whole"), state(tmp_path / "killed")
    assert expected.keys() == got.keys()
    progress = [json.loads(str(arrays.pop("progress"))) for arrays in (expected, got)]
    assert all(one.pop("seconds") > 0 for one in progress)
    assert progress[0] == progress[1]
    for name, values in expected.items():
        np.testing.assert_array_equal(got[name], values, err_msg=name)
    metrics = [
        json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("whole", "killed")
    ]
    assert metrics[0]["test_accuracy"] == metrics[1]["test_accuracy"]


def test_unknown_recipe_and_value_are_suggested():
    with pytest.raises(InputError, match="unknown recipe 'digit_resnet': did you mean"):
        recipes.get("digit_resnet")
    with pytest.raises(InputError, match="unknown value of .* 'epoch': did you mean 'epochs'"):
        recipes.get("digits_linear").replace(epoch=3)


def test_unknown_network_is_suggested():
    from dlcv_tf import data

    _, info = data.load("digits", "val")
    with pytest.raises(InputError, match="unknown network 'resnt20': did you mean 'resnet20'"):
        recipes.get("digits_resnet").replace(network="resnt20").task(info)


def test_folder_recipe_asks_for_pictures():
    with pytest.raises(InputError, match="add data=folder:PATH"):
        recipes.get("folder_resnet18").load("train")


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_recipe_is_named_and_documented(name):
    recipe = recipes.get(name)
    assert recipe.name == name
    document = recipes.RECIPES[name].__doc__
    assert f"dlcv train {name}" in document


def test_run_directories_are_numbered_and_the_newest_is_found(tmp_path):
    from dlcv_tf.recipes import run

    first = run.new_directory("digits_linear", tmp_path)
    first.mkdir(parents=True)
    (first / "recipe.json").write_text("{}")
    second = run.new_directory("digits_linear", tmp_path)
    assert first.name.endswith("-1") and second.name.endswith("-2")
    assert run.newest_directory("digits_linear", tmp_path) == first
    with pytest.raises(InputError, match="there is no run of mnist_convnet"):
        run.newest_directory("mnist_convnet", tmp_path)
    with pytest.raises(InputError, match="expected the directory of a run"):
        run.load_task(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"seed": -1},
        {"image_size": (0, 8)},
        {"label_smoothing": 1.0},
        {"label_smoothing": -0.1},
    ],
)
def test_values_that_cannot_be_trained_with_are_refused(change):
    with pytest.raises(InputError, match=f"got {next(iter(change))}=.*, expected "):
        recipes.get("digits_linear").replace(**change)


def small_airbench(**changes):
    """Returns the recipe of the shipped classifier at toy size, on the embedded digits."""
    return recipes.get("cifar10_airbench").replace(
        data="digits",
        image_size=(18, 18),
        mean=(127.5,),
        std=(127.5,),
        train_split="train",
        validation_split="val",
        network_options={"widths": (4, 4, 4)},
        **changes,
    )


def test_the_first_filters_whiten_the_training_pictures():
    recipe = small_airbench()
    dataset, info = recipe.load("train")
    task = recipe.task(info)
    before = task.network.get_weights()
    recipe.initialize(task, dataset)
    pairs = zip(before, task.network.get_weights(), strict=True)
    assert sum(not np.array_equal(*pair) for pair in pairs) == 1
    images, _ = next(iter(dataset.batch(info.num_examples)))
    answers = np.asarray(task.network.get_layer("whiten")(task.preprocess(images)), np.float64)
    answers = answers.reshape(-1, 8)[:, :4]
    products = answers.T @ answers / len(answers)
    sizes = products.diagonal()
    assert 0.9 < sizes.max() <= 1 + 1e-4 and (np.diff(sizes) < 0).all()
    np.testing.assert_allclose(products, np.diag(sizes), atol=1e-4)
    recipe.compile(task, 1)
    weights = task.network.get_layer("whiten").get_weights()[0]
    task.train_on_batch(images[:32], np.arange(32) % 10)
    np.testing.assert_array_equal(task.network.get_layer("whiten").get_weights()[0], weights)


def test_label_smoothing_reaches_the_loss():
    recipe = small_airbench(label_smoothing=0.25)
    task = recipe.task(recipe.describe("train"))
    recipe.compile(task, 1)
    assert task.loss.smoothing == 0.25
    plain = small_airbench(label_smoothing=0.0)
    plain.compile(task, 1)
    assert type(task.loss) is keras.losses.SparseCategoricalCrossentropy


def test_a_trial_has_what_training_has(monkeypatch):
    from dlcv_tf.recipes import run

    # Deterministic operations would stay so for all tests that follow in this process.
    monkeypatch.setattr(run, "make_reproducible", keras.utils.set_random_seed)
    recipe = small_airbench(batch_size=32)
    task, (images, labels) = run.trial(recipe)
    assert images.shape == (32, 18, 18, 1) and images.dtype == np.uint8
    assert labels.shape == (32,) and set(labels) <= set(range(10))
    assert np.isfinite(task.train_on_batch(images, labels)[0])
    assert len(run.trial(recipe.replace(batch_size=5000))[1][1]) == 1258  # a batch of all there is


@pytest.fixture
def variants_trained_with(monkeypatch):
    """Runs recipes in this process as it is; returns the variants that training was asked for."""
    from dlcv_tf.recipes import run
    from dlcv_tf.train import loop

    variants, train = [], loop.train

    def watched(*arguments, variant, **options):
        variants.append(variant)
        return train(*arguments, variant=variant, **options)

    monkeypatch.setattr(loop, "train", watched)
    monkeypatch.setattr(run, "make_reproducible", keras.utils.set_random_seed)
    return variants


def test_the_variant_of_a_run_is_kept_and_used_when_resuming(
    tmp_path, monkeypatch, variants_trained_with
):
    from dlcv_tf.recipes import run
    from dlcv_tf.train import Variant, tuning

    chosen = tuning.Choice(Variant(parts=2, steps_per_call=3), {"a": 1.0}, "the fastest")
    monkeypatch.setattr(run, "choose_variant", lambda *_: chosen)
    recipe = recipes.get("digits_linear").replace(epochs=1)
    run.run(recipe, tmp_path / "tuned", tune=True, verbose=0)
    assert tuning.read_choice(tmp_path / "tuned" / "variant.json") == chosen
    monkeypatch.delattr(run, "choose_variant")  # nothing is tried when resuming
    run.run(recipe, tmp_path / "tuned", resume=True, tune=True, verbose=0)
    run.run(recipe, tmp_path / "plain", verbose=0)
    (tmp_path / "tuned" / "variant.json").unlink()  # a run of an older version
    run.run(recipe, tmp_path / "tuned", resume=True, tune=True, verbose=0)
    run.run(recipe, tmp_path / "smoke", smoke=True, tune=True, verbose=0)
    default = Variant()
    assert variants_trained_with == [chosen.variant, chosen.variant, default, default, default]
    assert tuning.read_choice(tmp_path / "plain" / "variant.json").variant == default


def test_a_broken_choice_is_named_when_resuming(tmp_path, variants_trained_with):
    from dlcv_tf.recipes import run

    recipe = recipes.get("digits_linear").replace(epochs=1)
    run.run(recipe, tmp_path / "run", smoke=True, verbose=0)
    (tmp_path / "run" / "variant.json").write_text("{")
    with pytest.raises(InputError, match="variant.json is not a choice of a variant"):
        run.run(recipe, tmp_path / "run", resume=True, verbose=0)
