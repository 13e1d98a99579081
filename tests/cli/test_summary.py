"""`dlcv summary` on networks by name, files and runs, as a user calls it."""

import json

import keras
import numpy as np
import pytest

from dlcv_tf import data, models, tasks
from dlcv_tf.cli import main
from dlcv_tf.recipes import classify


def summary(capsys, *arguments, expect=0):
    """Runs the verb in this process; returns what it printed, and what it complained of."""
    assert main.main(["summary", *map(str, arguments)]) == expect
    printed = capsys.readouterr()
    return printed.err if expect else printed.out


def table(capsys, *arguments):
    return json.loads(summary(capsys, *arguments, "--json"))


def test_a_network_is_built_at_the_size_of_its_paper(capsys):
    facts = table(capsys, "alexnet", "hidden_units=16")
    assert facts["input_shape"] == [227, 227, 3]
    assert facts["layers"][-1]["output_shape"] == [1000]
    assert facts["layers"][-1]["parameters"] == 17_000
    assert table(capsys, "lenet5")["parameters"] == 61_706


def test_the_table_shows_shapes_costs_and_advice(capsys):
    printed = summary(capsys, "lenet5", "--input", "28,28,1")
    row = next(line.split() for line in printed.splitlines() if line.split()[:1] == ["c3"])
    assert row == ["c3", "Conv2D", "10x10x16", "2,416", "240,000", "6.40", "kB", "14x14", "2x2"]
    assert "parameters 61,706\n" in printed
    assert "multiply-adds 416,520 a picture" in printed
    assert "the outputs see 28x28 of 28x28 pixels" in printed
    assert "warning: c1_tanh, c3_tanh, c5_tanh, f6_tanh: tanh in a hidden layer" in printed


def test_arguments_of_the_network_input_and_classes(capsys):
    facts = table(capsys, "mlp", "hidden_units=7", "--input", "4,4,1", "--classes", 3)
    assert [row["parameters"] for row in facts["layers"] if row["parameters"]] == [17 * 7, 8 * 3]


def test_what_is_not_trained_is_counted_apart(capsys):
    printed = summary(capsys, "resnet20")
    assert "parameters 271,098 (1,376 not trained)" in printed
    assert "warning" not in printed


def test_a_keras_file(capsys, tmp_path):
    inputs = keras.Input((None, None, 3))
    outputs = keras.layers.Conv2D(4, 3)(inputs)
    keras.Model(inputs, outputs).save(tmp_path / "open.keras")
    facts = table(capsys, tmp_path / "open.keras", "--input", "10,12,3")
    assert facts["macs"] == 8 * 10 * 3 * 3 * 3 * 4
    complaint = summary(capsys, tmp_path / "open.keras", expect=2)
    assert "give a shape of whole numbers for it" in complaint and complaint.count("\n") == 1
    complaint = summary(capsys, tmp_path / "open.keras", "width=4", expect=2)
    assert "expected no key=value: it is built already" in complaint
    (tmp_path / "broken.keras").write_bytes(b"no model")
    assert "expected a file of model.save" in summary(capsys, tmp_path / "broken.keras", expect=2)


def test_a_run_is_the_network_of_its_task(capsys, tmp_path):
    recipe = classify.digits_linear()
    (tmp_path / "recipe.json").write_text(json.dumps(vars(recipe)))
    network = models.linear((8, 8, 1), 10)
    task = tasks.Classifier(network, data.Preprocess((8, 8), 1), list("0123456789"))
    task(np.zeros((1, 8, 8, 1), np.uint8))
    task.save(tmp_path / "task.keras")
    assert table(capsys, tmp_path)["parameters"] == 650
    assert table(capsys, tmp_path / "task.keras")["name"] == "linear"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["lenet"], "unknown model 'lenet': did you mean 'lenet5'?"),
        (["mlp", "hidden=3"], "unknown key 'hidden': did you mean 'hidden_units'?"),
        (["knn"], "got knn alone, expected what it cannot do without: add num_examples=VALUE"),
        (["lenet5", "--input", "32"], "got input=32, expected 3 with commas between"),
        (["lenet5", "--classes", "ten"], "got classes=ten, expected a whole number"),
        (["lenet5", "--input", "32,0,1"], "got --input 32,0,1 and --classes 10, expected whole"),
        (["alexnet", "--input", "32,32,3"], "got pictures of 32x32 pixels, expected 67x67"),
        (["lenet5", "activation=swish"], "got activation='swish', expected tanh or relu"),
    ],
)
def test_bad_input_is_one_line(capsys, arguments, message):
    complaint = summary(capsys, *arguments, expect=2)
    assert message in complaint and complaint.count("\n") == 1
