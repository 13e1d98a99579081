"""A recipe fits its preprocessing to the training split, and the run keeps it."""

import keras
import numpy as np
import pytest

from dlcv_tf import data, recipes
from dlcv_tf.data import preprocess
from dlcv_tf.errors import InputError
from dlcv_tf.recipes import recipe


def small(**changes):
    return recipes.get("digits_linear").replace(epochs=1, **changes)


@pytest.mark.parametrize("how", ["mean_image", "pca", "whiten", "zca"])
def test_the_preprocessing_is_fitted_to_the_training_split(how):
    options = {} if how == "mean_image" else {"components": 20}
    chosen = small(preprocessing=how, preprocessing_options=options, std=(1.0,))
    dataset, info = chosen.load("train")
    task = chosen.task(info)
    chosen.initialize(task, dataset)
    images = data.digits.arrays("train")[0]
    expected = data.Preprocess.fitted(images, how, std=1.0, **options)
    assert task.preprocess.compute_output_shape((None,)) == expected.compute_output_shape((None,))
    for one, other in zip(task.preprocess.weights, expected.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_run_keeps_its_statistics_and_goes_on_with_them(tmp_path, monkeypatch):
    from dlcv_tf.recipes import run

    # Deterministic operations would stay so for all tests that follow in this process.
    monkeypatch.setattr(run, "make_reproducible", keras.utils.set_random_seed)
    chosen = small(
        preprocessing="whiten", preprocessing_options={"epsilon": 0.01, "components": 30}
    )
    metrics = run.run(chosen, tmp_path / "run", verbose=0)
    assert metrics["test_accuracy"] > 0.6
    assert run.read_recipe(tmp_path / "run") == chosen
    task = run.load_task(tmp_path / "run")
    images = data.digits.arrays("train")[0]
    expected = data.Preprocess.fitted(images, "whiten", std=127.5, epsilon=0.01, components=30)
    np.testing.assert_allclose(task.preprocess.matrix, expected.matrix, atol=1e-4)
    resumed = run.run(chosen, tmp_path / "run", resume=True, verbose=0)
    assert resumed["test_accuracy"] == metrics["test_accuracy"]


def test_what_cannot_be_is_refused():
    info = small().describe("train")
    assert recipe.PREPROCESSING == preprocess.WAYS
    with pytest.raises(InputError, match="unknown preprocessing 'whitn': did you mean 'whiten'"):
        small(preprocessing="whitn")
    with pytest.raises(InputError, match="'epsilo': did you mean 'epsilon'"):
        small(preprocessing="zca", preprocessing_options={"epsilo": 1.0}).task(info)
    for network in ("convnet", "resnet20", "airbench"):
        with pytest.raises(InputError, match="makes vectors, for the network .*: use zca"):
            small(preprocessing="pca", network=network).task(info)
