"""`dlcv search`: what it understands and refuses, and that nothing is lost when it is ended."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

from dlcv_tf import recipes
from dlcv_tf.cli import main, search_ranges
from dlcv_tf.errors import InputError
from dlcv_tf.recipes import search
from dlcv_tf.train.search_space import Choice, Range

ROOT = pathlib.Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "dlcv_tf.cli.main", "search"]
LINEAR = ("digits_linear", "epochs=5", "learning_rate=1e-3..1e0", "batch_size=32,64")


def start(*arguments, cwd):
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that Ctrl-C can be sent to all of it
        # A shell's background jobs start with Ctrl-C ignored, and pass that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def finished(process, expect=0):
    out, error = process.communicate(timeout=300)
    assert process.returncode == expect, error[-3000:]
    return out, error


def parsed(*texts, recipe="digits_linear"):
    return search_ranges.parse(texts, recipes.get(recipe))


def test_ranges_of_numbers_are_logarithmic_where_factors_count():
    _, space = parsed(
        *("learning_rate=0.01..0.05", "weight_decay=0..1e-3", "batch_size=16..256"),
        *("momentum=0.5..0.99", "label_smoothing=0.01..0.2:linear"),
    )
    found = {name: (each.low, each.high, each.log) for name, each in space.parameters.items()}
    assert found == {
        "learning_rate": (0.01, 0.05, True),
        "weight_decay": (0.0, 1e-3, False),
        "batch_size": (16, 256, True),
        "momentum": (0.5, 0.99, False),
        "label_smoothing": (0.01, 0.2, False),
    }
    assert space.parameters["batch_size"].integer


def test_choices_and_tuples_and_keys_alone():
    recipe, space = parsed(
        *("image_size=8,8/16,16/none", "augmentations=none/flip,shift", "batch_size=32,64"),
        *("momentum", "test_time_flip", "epochs=7"),
    )
    chosen = {name: each.values for name, each in space.parameters.items()}
    assert chosen == {
        "image_size": ((8, 8), (16, 16), None),
        "augmentations": ((), ("flip", "shift")),
        "batch_size": (32, 64),
        "momentum": (0.5, 0.9, 0.95, 0.99),
        "test_time_flip": (False, True),
    }
    assert recipe.epochs == 7


def test_without_a_range_learning_rate_and_weight_decay_are_searched():
    recipe, space = parsed("momentum=0.8")
    assert recipe.momentum == 0.8
    assert space.parameters.keys() == {"learning_rate", "weight_decay"}
    assert space.parameters["learning_rate"] == search.default("learning_rate", recipe)


def test_what_is_fixed_is_not_searched():
    recipe, space = parsed("learning_rate=0.2")
    assert recipe.learning_rate == 0.2
    assert space.parameters.keys() == {"weight_decay"}
    with pytest.raises(InputError, match="got one value of learning_rate and of weight_decay"):
        parsed("learning_rate=0.2", "weight_decay=0")


def test_options_of_the_network_are_searched_like_the_recipes_own_values():
    recipe, space = parsed("network=mlp", "dropout", "hidden_units=16/64,64", "l2=1e-6..1e-2")
    assert isinstance(space.parameters["dropout"], Range)
    assert space.parameters["hidden_units"] == Choice(((16,), (64, 64)))
    values = {"dropout": 0.5, "hidden_units": (64, 64), "l2": 1e-4}
    command = search_ranges.command(recipe, recipes.get("digits_linear"), values)
    assert command == (
        "dlcv train digits_linear network=mlp "
        """network_options='{"dropout": 0.5, "hidden_units": [64, 64], "l2": 0.0001}'"""
    )


def test_the_command_of_the_best_has_what_was_fixed_too():
    base = recipes.get("digits_resnet")
    recipe, _ = parsed("epochs=12", "learning_rate=1e-3..1", recipe="digits_resnet")
    command = search_ranges.command(recipe, base, {"learning_rate": 0.1234, "augmentations": ()})
    assert command == "dlcv train digits_resnet epochs=12 learning_rate=0.1234 augmentations="


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits_liner"], "did you mean 'digits_linear'?"),
        (["learning_rte=1..2"], "did you mean 'learning_rate'?"),
        (["network=lnear,mlp"], "unknown network 'lnear': did you mean 'linear'?"),
        (["dropout=0..0.5"], "option of the network linear, 'dropout'"),
        (["learning_rate=0.1..0.001"], "got 0.1..0.001, expected LOW..HIGH"),
        (["learning_rate=0.1..0.1"], "for one value write learning_rate=0.1"),
        (["learning_rate=0..0.1"], "got learning_rate=0.0, expected above 0"),
        (["learning_rate=0..0.1:log"], "on a logarithmic scale, expected both ends above 0"),
        (["learning_rate=1e-3..1:lg"], "with :log or :linear behind"),
        (["learning_rate=1..2..3"], "expected LOW..HIGH of two numbers"),
        (["learning_rate=a..1"], "got learning_rate=a, expected a number"),
        (["augmentations=a..b"], "expected LOW..HIGH of two numbers"),
        (["batch_size=32,32"], "none of them twice"),
        (["batch_size=32,many"], "got batch_size=many, expected a whole number"),
        (["momentum=0.5..1.5"], "expected ends within 0..1"),
        (["epochs=3..9"], "got a range of epochs, expected it fixed"),
        (["seed=1,2,3"], "the best of some seeds is luck"),
        (["mean"], "got mean alone, expected a range or choices"),
        (["learning_rate", "learning_rate=1"], "got learning_rate twice"),
        (["--trials", "0"], "got --trials 0, expected a whole number above zero"),
        (["--jobs", "two"], "got --jobs two, expected a whole number above zero"),
        (["--sampler", "rndom"], "unknown sampler 'rndom': did you mean 'random'?"),
        (["--resume"], "there is no search of digits_linear in runs/search: start one with dlcv"),
        (["--resume", "--run", "x"], "nothing to resume: x holds no search"),
        (["--resume", "--trials", "3"], "got --trials beside --resume"),
        (["--resume", "momentum"], "got momentum beside --resume"),
        (
            ["--sampler", "grid", "--trials", "3", "momentum", "batch_size"],
            "got a grid of 2 points, expected at least 12",
        ),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    recipe = [] if arguments[0].startswith("digits") else ["digits_linear"]
    assert main.main(["search", *recipe, *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dlcv: ") and message in line
    assert list(tmp_path.iterdir()) == []


def test_a_directory_of_another_search_or_run_is_refused(tmp_path, monkeypatch, capsys):
    recipe, space = parsed()
    settings = search.settings(recipe, space, 3)
    search.start(tmp_path / "searched", recipe, settings)
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "recipe.json").write_text("{}")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "search.json").write_text("{")
    monkeypatch.chdir(tmp_path)
    for arguments, message in {
        ("digits_linear", "--run", "searched"): "searched holds a search already: go on with it",
        ("digits_linear", "--run", "trained"): "trained holds a run already",
        ("digits_linear", "--resume", "--run", "broken"): "expected what dlcv search writes",
        ("digits_resnet", "--resume", "--run", "searched"): "expected digits_linear, which",
    }.items():
        assert main.main(["search", *arguments]) == 2
        assert message in capsys.readouterr().err
    with search.alone(tmp_path / "searched"):
        assert main.main(["search", "digits_linear", "--resume", "--run", "searched"]) == 2
    assert "another process carries out the search in searched" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_it_goes_on_and_finds_what_it_would_have_found(tmp_path):
    whole = json.loads(finished(start(*LINEAR, "--run", "whole", "--json", cwd=tmp_path))[0])
    killed = start(*LINEAR, "--run", "killed", "--jobs", "2", cwd=tmp_path)
    while not re.match(r" ?3/12 ", killed.stdout.readline()):
        assert killed.poll() is None, killed.stderr.read()
    killed.kill()
    killed.communicate()
    assert not (tmp_path / "killed" / "results.json").exists()
    resume = ("digits_linear", "--resume", "--run", "killed", "--json")
    out, error = finished(start(*resume, cwd=tmp_path))
    assert re.search(r"^[3-9] of 12 trials are done already$", error, re.MULTILINE)
    found = json.loads(out)
    assert [t["values"] for t in found["trials"]] == [t["values"] for t in whole["trials"]]
    for one, other in zip(found["trials"], whole["trials"], strict=True):
        assert one["state"] == other["state"] == "complete"
        assert one["value"] == pytest.approx(other["value"], abs=0.02)  # threads round otherwise
    assert found["improved"] and found["val_accuracy"] > 0.9
    page = (tmp_path / "killed" / "report.html").read_text()
    assert page.count("<svg") >= 2 and found["command"] in page


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on_and_the_best_can_be_trained(tmp_path):
    process = start(*LINEAR, "--run", "here", "--trials", "3", cwd=tmp_path)
    while not process.stdout.readline().startswith("1/3 "):
        assert process.poll() is None, process.stderr.read()
    os.killpg(process.pid, signal.SIGINT)
    _, error = finished(process, expect=130)
    (line,) = error.splitlines()
    assert line.endswith("go on with: dlcv search digits_linear --resume --run here")
    out, _ = finished(start(*line.split(" dlcv search ")[1].split(), cwd=tmp_path))
    assert "best trials" in out
    command = out.splitlines()[-1].removeprefix("next: dlcv ")
    program = [sys.executable, "-m", "dlcv_tf.cli.main", *command.split(), "tune=off"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([*program, "--run", "best"], cwd=tmp_path, env=environment, check=True,
                   capture_output=True)  # fmt: skip
    results = json.loads((tmp_path / "here" / "results.json").read_text())
    history = json.loads((tmp_path / "best" / "history.json").read_text())
    # The fine stage's trial was that very training.
    assert history["val_accuracy"] == pytest.approx(results["trials"][-1]["epoch_values"])


@pytest.mark.slow
def test_rates_that_are_all_too_high_end_in_one_line(tmp_path):
    arguments = ("digits_linear", "learning_rate=1e4..1e6", "--trials", "3", "--run", "high")
    out, error = finished(start(*arguments, cwd=tmp_path), expect=1)
    assert len(re.findall(r"exploded .*at epoch 1, step \d+, more than 3 times", out)) == 2
    (line,) = error.splitlines()
    assert line.startswith("dlcv: none of 2 trials was completed; the first: the cost is")


@pytest.mark.slow
def test_data_that_is_not_there_is_said_before_long(tmp_path, monkeypatch):
    monkeypatch.setenv("DLCV_DATA", str(tmp_path / "data"))
    _, error = finished(start("mnist_convnet", cwd=tmp_path), expect=2)
    assert "data set 'mnist' is not on disk" in error and len(error.splitlines()) == 1
