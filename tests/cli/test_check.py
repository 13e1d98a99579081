"""`dlcv check` as a user calls it: the table, the page, the JSON, and the exit status."""

import json

import keras
import numpy as np
import pytest

from dlcv_tf import data, models, recipes, tasks
from dlcv_tf.cli import main, search_ranges
from dlcv_tf.train import sanity
from tests.cli.test_verbs import dlcv


def test_a_sound_recipe_passes_with_status_0(tmp_path):
    done = dlcv("check", "digits_linear", "seed=1", cwd=tmp_path)
    for name in sanity.NAMES:
        assert name.split()[0] in done.stdout
    assert done.stdout.count("PASS") == 9
    assert "no step fails" in done.stdout
    (command,) = (line for line in done.stdout.splitlines() if line.startswith("next: "))
    *_, name, seed, rates, decays = command.split()
    _, space = search_ranges.parse([seed, rates, decays], recipes.get(name))
    assert set(space.parameters) == {"learning_rate", "weight_decay"}
    folder = tmp_path / "runs/check/digits_linear"
    page = (folder / "report.html").read_text()
    for number, name in enumerate(sanity.NAMES, 1):
        assert f"{number}. {name[0].upper()}{name[1:]}: PASS" in page
    assert page.count("<figure") == 4
    names = {path.name for path in folder.glob("*.png")}
    assert names == {"learning_rate.png", "loss_curve.png", "overfit.png", "update_ratio.png"}


def test_a_recipe_with_a_step_that_fails_ends_with_status_1(tmp_path):
    arguments = ["check", "digits_linear", "learning_rate=1e6", "--json", "--out", "here"]
    done = dlcv(*arguments, cwd=tmp_path, expect=1)
    answer = json.loads(done.stdout)
    assert answer["passed"] is False and answer["report"] == "here/report.html"
    assert [step["number"] for step in answer["steps"]] == list(range(1, 10))
    (failed,) = (step for step in answer["steps"] if step["status"] == "FAIL")
    command = answer["steps"][6]["numbers"]["command"]
    assert command.count("learning_rate=") == command.count("weight_decay=") == 1
    assert failed["number"] == 6 and "is too high, the loss explodes" in failed["advice"]
    assert json.loads((tmp_path / "here/numbers.json").read_text())["steps"] == answer["steps"]


def test_another_loss_and_the_resnet(tmp_path):
    answer = json.loads(dlcv("check", "digits_resnet", "--json", cwd=tmp_path).stdout)
    assert {step["status"] for step in answer["steps"]} == {"PASS"}
    assert answer["seconds"] < 300  # about 10 on two free cores
    arguments = ["check", "digits_linear", "loss=hinge", "learning_rate=0.01", "--json"]
    answer = json.loads(dlcv(*arguments, cwd=tmp_path).stdout)
    assert answer["passed"] and "10 - 1 = 9" in answer["steps"][2]["expected"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with a task that was trained, a plain Keras model, and one that is not compiled."""
    tmp_path = tmp_path_factory.mktemp("saved")
    network = models.linear((8, 8, 1), 10)
    task = tasks.Classifier(network, data.Preprocess((8, 8), 1), list("0123456789"))
    task.compile(keras.optimizers.SGD(0.05, weight_decay=1e-4))
    dataset, _ = data.load("digits", "train")
    task.fit(dataset.batch(64), epochs=1, shuffle=False, verbose=0)
    task.save(tmp_path / "task.keras")
    plain = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    plain.add(keras.layers.Dense(10))
    plain.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    plain.save(tmp_path / "plain.keras")
    (tmp_path / "text.keras").write_text("no model")
    uncompiled = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    uncompiled.save(tmp_path / "uncompiled.keras")
    return tmp_path


def test_a_saved_task_is_checked_with_new_initial_weights(saved):
    done = dlcv("check", "task.keras", "--data", "digits", "--json", cwd=saved)
    answer = json.loads(done.stdout)
    assert "was trained for 20 steps: checked with new initial weights" in done.stderr
    assert answer["passed"] and answer["steps"][2]["status"] == "PASS"
    assert "command" not in answer["steps"][6]["numbers"]


def test_a_plain_model_without_preprocessing_fails_at_step_1(saved):
    done = dlcv("check", "plain.keras", "--data", "digits", "--json", cwd=saved, expect=1)
    steps = json.loads(done.stdout)["steps"]
    assert steps[0]["status"] == "FAIL" and "subtract the mean" in steps[0]["advice"]
    assert steps[2]["status"] == "FAIL"  # such inputs make a large first loss


def test_a_folder_of_pictures(tmp_path):
    images, labels = data.digits.arrays("train")
    for number, (image, label) in enumerate(zip(images[:120], labels[:120], strict=True)):
        path = tmp_path / "mine" / str(label % 3) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(path, np.repeat(image, 3, axis=-1), scale=False)
    changes = ["data=folder:mine", "network=linear", "image_size=8,8", "batch_size=16"]
    answer = json.loads(dlcv("check", "folder_resnet18", *changes, "--json", cwd=tmp_path).stdout)
    assert answer["passed"]
    assert "3 of 3 classes" in answer["steps"][0]["measured"]
    assert "log 3 = 1.099" in answer["steps"][2]["expected"]
    assert "data=folder:mine network=linear" in answer["steps"][6]["numbers"]["command"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "digits_liner"], "did you mean 'digits_linear'?"),
        (["check", "digits_linear", "epoch=3"], "did you mean 'epochs'?"),
        (["check", "digits_linear", "--data", "mnist"], "expected data=mnist"),
        (["check", "no.keras", "--data", "digits"], "there is no such file"),
        (["check", "text.keras", "--data", "digits"], "it is no zip archive"),
        (["check", "task.keras"], "add --data NAME or folder:PATH"),
        (["check", "task.keras", "seed=1", "--data", "digits"], "they are for recipes"),
        (["check", "uncompiled.keras", "--data", "digits"], "saved without compile"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, message, saved, monkeypatch, capsys):
    monkeypatch.chdir(saved)
    assert main.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dlcv: ") and message in line


def test_help_states_the_exit_status(tmp_path):
    assert "Exit status 0: no step fails" in dlcv("check", "--help", cwd=tmp_path).stdout
