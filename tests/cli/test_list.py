"""`dlcv list`."""

import inspect
import json
import subprocess
import sys

import pytest

from dlcv_tf import data, labs, models, recipes
from dlcv_tf.cli import main
from tests.artifact import tiny


def listed(capsys, *arguments):
    assert main.main(["list", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_everything_is_listed(capsys, tmp_path):
    found = listed(capsys, "--models", str(tmp_path))
    assert list(found) == ["models", "recipes", "labs", "datasets", "artifacts"]
    assert [entry["name"] for entry in found["models"]] == list(models.BUILDERS)
    assert [entry["name"] for entry in found["recipes"]] == list(recipes.RECIPES)
    assert [entry["name"] for entry in found["labs"]] == list(labs.LABS)
    assert {entry["name"]: entry["help"] for entry in found["datasets"]} == data.DATASETS
    assert found["artifacts"] == []
    for entry in [*found["models"], *found["recipes"], *found["labs"], *found["datasets"]]:
        assert entry["help"], entry


def test_models_show_what_they_take(capsys):
    entries = {entry["name"]: entry for entry in listed(capsys, "models")["models"]}
    taken = inspect.signature(models.convnet).parameters
    assert entries["convnet"]["arguments"] == list(taken)
    assert main.main(["list", "models"]) == 0
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.startswith("  convnet ")]
    assert line.endswith(f" ({', '.join(taken)})  {models.convnet.__doc__.splitlines()[0]}")
    assert "recipes" not in out


def test_recipes_show_network_and_data(capsys):
    assert main.main(["list", "recipes"]) == 0
    out = capsys.readouterr().out
    assert "[linear on digits]" in out
    assert "[resnet18 on data=folder:PATH]" in out


@pytest.mark.parametrize("what", ["recipes", "datasets", "artifacts"])
def test_these_need_no_tensorflow(what):
    program = (
        "import sys; from dlcv_tf.cli import main\n"
        f"status = main.main(['list', {what!r}])\n"
        "print(status, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0 False", done.stderr


def test_artifacts_show_their_formats_and_a_broken_one_its_fault(capsys, tmp_path):
    tiny.artifact(tmp_path, "net", 1)
    broken = tiny.artifact(tmp_path, "net", 2)
    (broken / "manifest.json").write_text("{")
    entries = listed(capsys, "artifacts", "--models", str(tmp_path))["artifacts"]
    assert [entry["name"] for entry in entries] == ["net/1", "net/2"]
    assert entries[0]["task"] == "Classifier"
    assert "is not JSON" in entries[1]["error"]
    assert main.main(["list", "artifacts", "--models", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    classes = len(tiny.LABELS)
    assert f"  net/1  Classifier of {classes} classes; accuracy: saved_model, onnx" in out
    assert "is not JSON" in out


def test_no_artifacts_says_how_to_get_one(capsys, tmp_path):
    assert main.main(["list", "artifacts", "--models", str(tmp_path)]) == 0
    assert f"none in {tmp_path}: dlcv export RUN makes one" in capsys.readouterr().out
