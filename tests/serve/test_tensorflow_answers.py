"""Arrays to JSON: TF Serving's number formats, and the two layouts."""

import json

import numpy as np
import pytest

from dlcv_tf.serve import tensorflow_answers as answers
from dlcv_tf.serve.errors import ServingError


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (0.2, "float32", "0.2"),
        (5.0, "float32", "5.0"),
        (-0.0, "float32", "-0.0"),
        (9000000.0, "float32", "9e+06"),
        (0.00003, "float32", "3e-05"),
        (0.1 + 0.2, "float64", "0.30000000000000004"),
        (1 / 3, "float32", "0.333333343"),
        (1 / 3, "float64", "0.33333333333333331"),
        (16777216.0, "float32", "16777216.0"),
        (123456.0, "float32", "123456.0"),
        (1e-45, "float32", "1.4013e-45"),
        (np.nan, "float32", "NaN"),
        (np.inf, "float32", "Infinity"),
        (-np.inf, "float64", "-Infinity"),
    ],
)
def test_decimals(value, dtype, expected):
    text = answers.render({"x": np.array([value], dtype)}, is_row=True).decode()
    assert text == f'{{\n    "predictions": [\n        {expected}\n    ]\n}}'
    parsed = np.array(json.loads(text)["predictions"], dtype)
    np.testing.assert_array_equal(parsed, np.array([value], dtype))


def test_random_floats_round_trip():
    values = np.random.default_rng(0).standard_normal((50, 3, 7)).astype(np.float32) ** 5
    text = answers.render({"x": values}, is_row=False)
    np.testing.assert_array_equal(np.array(json.loads(text)["outputs"], np.float32), values)


OUTPUTS = {
    "scores": np.array([[0.5, 0.25], [1, 0]], np.float32),
    "classes": np.array([[1, 2], [3, 4]], np.int32),
    "valid": np.array([True, False]),
    "labels": np.array([["a", 'é"'], ["b", "c"]], dtype=object),
    "png_bytes": np.array([b"hello", b"\xff"], dtype=object),
    "empty": np.zeros((2, 0, 3), np.int64),
}


def test_many_outputs_by_column_and_by_row():
    columns = {
        "scores": [[0.5, 0.25], [1.0, 0.0]],
        "classes": [[1, 2], [3, 4]],
        "valid": [True, False],
        "labels": [["a", 'é"'], ["b", "c"]],
        "png_bytes": [{"b64": "aGVsbG8="}, {"b64": "/w=="}],
        "empty": [[], []],
    }
    assert json.loads(answers.render(OUTPUTS, is_row=False)) == {"outputs": columns}
    rows = [{name: values[index] for name, values in columns.items()} for index in range(2)]
    assert json.loads(answers.render(OUTPUTS, is_row=True)) == {"predictions": rows}


def test_a_lone_output_stands_for_itself():
    outputs = {"classes": OUTPUTS["classes"]}
    assert json.loads(answers.render(outputs, is_row=True)) == {"predictions": [[1, 2], [3, 4]]}
    assert json.loads(answers.render(outputs, is_row=False)) == {"outputs": [[1, 2], [3, 4]]}
    scalar = {"x": np.array(3)}
    assert json.loads(answers.render(scalar, is_row=False)) == {"outputs": 3}


def test_rows_need_one_common_batch():
    with pytest.raises(
        ServingError, match="Tensor name: b has inconsistent batch size: 3 expecting: 2"
    ):
        answers.render({"a": np.zeros(2), "b": np.zeros(3)}, is_row=True)
    with pytest.raises(ServingError, match="Tensor name: a has no shape information"):
        answers.render({"a": np.array(1.0)}, is_row=True)
