"""The verbs as a user calls them: train, evaluate, export, benchmark, predict."""

import io
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.helpers import pictures

ROOT = pathlib.Path(__file__).parents[2]


def dlcv(*arguments, cwd, expect=0):
    """Runs the command line in a process of its own; returns what it printed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cwd / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", "dlcv_tf.cli.main", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == expect, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A directory with a finished run of the linear classifier and its artifact."""
    directory = tmp_path_factory.mktemp("workplace")
    made = dlcv("train", "digits_linear", "epochs=3", "--run", "run", "--json", cwd=directory)
    result = json.loads(made.stdout)
    assert result["test_accuracy"] > 0.85 and result["run"] == "run"
    made = dlcv("export", "run", "--json", cwd=directory)
    assert json.loads(made.stdout)["artifact"] == "savedmodels/digits_linear/1"
    return directory


def test_train_says_what_to_do_next(tmp_path):
    out = dlcv("train", "digits_linear", "--smoke", cwd=tmp_path).stdout
    assert "test accuracy" in out and "next: dlcv export runs/smoke/digits_linear/" in out
    assert list(tmp_path.glob("runs/smoke/digits_linear/*-1/tensorboard/train/events*"))


def test_a_run_keeps_how_its_steps_are_carried_out_and_so_does_the_cache(workplace):
    kept = json.loads((workplace / "run" / "variant.json").read_text())
    (found,) = json.loads((workplace / "cache" / "dlcv_tf" / "tuning.json").read_text()).values()
    assert kept["variant"] == found["variant"] and kept["milliseconds"] == found["milliseconds"]
    assert kept["milliseconds"]["whole batch, all cores per operation"] > 0


def test_evaluate_run_and_artifact_agree(workplace):
    of_run = json.loads(dlcv("evaluate", "run", "--json", cwd=workplace).stdout)
    assert of_run["pictures"] == 359
    for format in ("saved_model", "onnx", "tflite"):
        made = dlcv(
            *("evaluate", "savedmodels/digits_linear", "--format", format, "--json"), cwd=workplace
        )
        of_artifact = json.loads(made.stdout)
        assert abs(of_artifact["accuracy"] - of_run["accuracy"]) < 0.001
        assert of_artifact["pictures"] == 359


def test_evaluate_wants_the_classes_of_the_model(workplace):
    for target in ("run", "savedmodels/digits_linear"):
        made = dlcv("evaluate", target, "--data", "shapes", cwd=workplace, expect=2)
        assert "got the classes circle" in made.stderr or "has 3 channel(s)" in made.stderr


def test_a_run_is_not_written_over(workplace):
    made = dlcv("train", "digits_linear", "--run", "run", cwd=workplace, expect=2)
    assert "run holds a run already: go on with it by --resume" in made.stderr


def test_benchmark_times_every_format(workplace):
    made = dlcv("benchmark", "savedmodels/digits_linear", "--json", cwd=workplace)
    results = json.loads(made.stdout)["results"]
    formats = {result["format"] for result in results}
    assert formats == {"saved_model", "onnx", "tflite", "tflite_int8"}
    assert all(result["milliseconds"] > 0 for result in results)
    table = dlcv("benchmark", "savedmodels/digits_linear/1", cwd=workplace).stdout
    assert "tflite_int8" in table and "pictures/s" in table


def digit(workplace, name, **options):
    from dlcv_tf.data import digits

    images, labels = digits.arrays("test")
    buffer = io.BytesIO()
    Image.fromarray(images[0, ..., 0]).convert("RGB").save(buffer, "PNG", **options)
    (workplace / name).write_bytes(buffer.getvalue())
    return str(labels[0])


def test_predict_names_the_good_and_the_bad_pictures(workplace):
    truth = digit(workplace, "digit.png")
    Image.fromarray(pictures(1, (1, 1))[0]).save(workplace / "tiny.png")
    (workplace / "broken.png").write_bytes(b"no picture")
    made = dlcv(
        *("predict", "savedmodels/digits_linear", "digit.png", "broken.png", "none.png"),
        *("tiny.png", "--json", "--draw", "drawn.png"),
        cwd=workplace,
        expect=2,
    )
    answer = json.loads(made.stdout)
    first, tiny = answer["predictions"]
    assert first["picture"] == "digit.png" and first["labels"][0] == truth
    assert tiny["picture"] == "tiny.png" and len(tiny["labels"]) == 5
    assert [failure["picture"] for failure in answer["failed"]] == ["broken.png", "none.png"]
    assert np.asarray(Image.open(workplace / "drawn.png")).std() > 10
    good = dlcv("predict", "savedmodels/digits_linear", "digit.png", cwd=workplace)
    assert good.stdout.startswith(f"digit.png: {truth} ") and good.stderr == ""


def test_a_damaged_artifact_is_not_loaded(workplace, tmp_path):
    import shutil

    shutil.copytree(workplace / "savedmodels", tmp_path / "savedmodels")
    model = tmp_path / "savedmodels/digits_linear/1/model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    digit(tmp_path, "digit.png")
    made = dlcv("predict", "savedmodels/digits_linear", "digit.png", cwd=tmp_path, expect=2)
    assert "does not match its checksum" in made.stderr and made.stderr.count("\n") == 1


def test_folder_recipe_end_to_end(tmp_path):
    for label, shade in (("dark", 40), ("light", 200)):
        folder = tmp_path / "pictures" / label
        folder.mkdir(parents=True)
        for number in range(20):
            values = np.clip(pictures(1, (40, 50))[0] // 8 + shade + number, 0, 255)
            Image.fromarray(values.astype(np.uint8)).save(folder / f"{number}.jpg")
    (tmp_path / "pictures/dark/broken.jpg").write_bytes(b"\xff\xd8 cut")
    made = dlcv(
        *("train", "folder_resnet18", "data=folder:pictures", "image_size=32,32", "epochs=2"),
        *("batch_size=8", 'network_options={"width": 4}', "--json"),
        cwd=tmp_path,
    )
    result = json.loads(made.stdout)
    assert result["train_examples"] + result["test_examples"] <= 40
    assert len(result["skipped"]) == 1 and "broken.jpg" in result["skipped"][0]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["train", "digit_linear"], "unknown recipe 'digit_linear': did you mean 'digits_linear'"),
        (["train", "digits_linear", "epoch=3"], "did you mean 'epochs'"),
        (["train", "digits_linear", "epochs=three"], "got epochs=three, expected a whole number"),
        (["train", "digits_linear", "data=digit"], "unknown data set 'digit'"),
        (["train", "mnist_convnet"], "is not on disk (looked in"),
        (["train", "folder_resnet18"], "add data=folder:PATH"),
        (["train", "digits_linear", "--resume"], "there is no run of digits_linear"),
        (["export", "nowhere"], "expected the directory of a run"),
        (["predict", "nowhere", "picture.png"], "expected an artifact"),
        (["evaluate", "nowhere"], "expected an artifact"),
        (["train", "digits_linear", "learning_rate=1e38"], "the loss is"),
        (
            ["train", "digits_linear", "data=zzzzqqqq"],
            "'zzzzqqqq': known are: cifar10, coco:PATH, ",
        ),
        (["train", "digits_linear", "augmentations=flop"], "did you mean 'flip'"),
        (["train", "digits_linear", 'network_options={"width": 4}'], "unknown option of the net"),
        (["train", "digits_linear", "momentum=5"], "got momentum=5.0, expected 0 to 1"),
        (["train", "folder_resnet18", "data=folder:"], "name the folder after the colon"),
        (["serve", "--max-megabytes", "inf"], "got inf, expected a number above zero"),
    ],
)
def test_bad_input_is_one_line_and_status_two(arguments, message, tmp_path, monkeypatch):
    monkeypatch.setenv("DLCV_DATA", str(tmp_path / "data"))
    made = dlcv(*arguments, cwd=tmp_path, expect=2)
    lines = [line for line in made.stderr.splitlines() if line.startswith("dlcv: ")]
    assert len(lines) == 1 and message in lines[0]
    assert "Traceback" not in made.stderr
