"""What a recipe makes of its values: loss, and weights that follow from the data."""

import keras
import numpy as np
import pytest

from dlcv_tf import data, losses, recipes
from dlcv_tf.errors import InputError


@pytest.mark.parametrize("loss, squared", [("hinge", False), ("squared_hinge", True)])
def test_a_recipe_trains_with_the_hinge_loss(tmp_path, monkeypatch, loss, squared):
    from dlcv_tf.recipes import run

    # Deterministic operations would stay so for all tests that follow in this process.
    monkeypatch.setattr(run, "make_reproducible", keras.utils.set_random_seed)
    recipe = recipes.get("digits_linear").replace(loss=loss, epochs=10, learning_rate=2e-3)
    metrics = run.run(recipe, tmp_path, verbose=0)
    assert metrics["test_accuracy"] > 0.9
    task = run.load_task(tmp_path)
    assert isinstance(task.loss, losses.MulticlassHinge)
    assert (task.loss.delta, task.loss.squared) == (1.0, squared)


def test_losses_that_are_unknown_or_do_not_fit_are_refused():
    recipe = recipes.get("digits_linear")
    with pytest.raises(InputError, match="unknown loss 'hing': did you mean 'hinge'"):
        recipe.replace(loss="hing")
    with pytest.raises(InputError, match="got label_smoothing=0.1 with loss=hinge, expected smoot"):
        recipe.replace(loss="hinge", label_smoothing=0.1)


def test_features_are_normalised_by_statistics_of_the_training_pictures(tmp_path):
    recipe = recipes.get("cifar10_features").replace(data="shapes", network_options={"cell": 16})
    recipe = recipe.replace(image_size=(32, 32), train_split="train")
    dataset, info = recipe.load("train")
    task = recipe.task(info)
    recipe.initialize(task, dataset)
    normalize = task.network.get_layer("normalize")
    images = np.stack([image for image, _ in dataset.take(1000).as_numpy_iterator()])
    features = keras.Model(task.network.input, normalize.output)
    found = np.asarray(features(task.preprocess(images)))
    assert found.shape == (1000, 2 * 2 * 9 + 10)
    assert np.abs(found.mean(0)).max() < 0.2 and np.abs(found.std(0) - 1).max() < 0.3
    task.save(tmp_path / "task.keras")  # the statistics are part of the model
    loaded = keras.models.load_model(tmp_path / "task.keras")
    np.testing.assert_allclose(loaded(images)["logits"], task(images)["logits"], atol=1e-5)


def test_features_of_grey_pictures_are_edges_alone():
    recipe = recipes.get("cifar10_features").replace(data="digits", network_options={"cell": 4})
    _, info = data.load("digits", "val")
    task = recipe.task(info)
    assert task.network.get_layer("normalize").output.shape == (None, 2 * 2 * 9)


def test_a_recipe_of_another_task_refuses_what_is_of_classifiers_alone():
    detector = recipes.get("digits_linear").replace(task_class="Detector")
    with pytest.raises(InputError, match="got label_smoothing=0.1 for a Detector"):
        detector.replace(label_smoothing=0.1)
    with pytest.raises(InputError, match="of a Detector, expected one of a classifier: dlcv check"):
        detector.require_classifier("dlcv check")
    with pytest.raises(InputError, match="add data=voc:PATH, coco:PATH or yolo:PATH"):
        detector.replace(data="").load("train")


def test_gradients_are_clipped_and_weights_averaged_where_the_recipe_says_so():
    recipe = recipes.get("digits_linear").replace(clip_norm=2.0, ema_momentum=0.9)
    task = recipe.task(recipe.describe("train"))
    recipe.compile(task, steps_per_epoch=10)
    assert task.optimizer.global_clipnorm == 2.0
    assert task.optimizer.use_ema and task.optimizer.ema_momentum == 0.9
