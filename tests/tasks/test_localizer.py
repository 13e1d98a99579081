"""`Localizer`: losses, answers, and a backbone that stays as it is while it is frozen."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import data, models
from dlcv_tf.errors import InputError
from dlcv_tf.tasks import Localizer
from tests.helpers import pictures, ramp

LABELS = list("abcde")
TARGETS = {
    "class": np.array([0, 3, 1, 4]),
    "box": np.array([[2, 4, 12, 16], [0, 0, 24, 20], [6, 5, 18, 15], [1, 1, 3, 5]], np.float32),
}
IMAGES = pictures(4, (20, 24))


def localizer(**options):
    keras.utils.set_random_seed(0)
    network = models.localizer((16, 16, 3), 5, widths=(4, 6), hidden_units=8)
    return Localizer(network, data.Preprocess((16, 16), 3), LABELS, **options)


@pytest.mark.parametrize("kind", ["squares", "smooth_l1"])
def test_losses_by_hand(kind):
    task = localizer(box_weight=3.0, box_loss=kind)
    outputs = {"logits": ramp((4, 5), low=-2, high=2), "box": ramp((4, 4), low=0)}
    parts = task.loss_parts(
        {name: tf.constant(value) for name, value in outputs.items()},
        TARGETS,
        tf.constant([20, 24]),
        True,
    )
    apart = np.abs(TARGETS["box"] / [24, 20, 24, 20] - outputs["box"])
    smooth = np.where(apart < 0.1, apart**2 / 0.2, apart - 0.05)
    expected = (apart**2 if kind == "squares" else smooth).sum(axis=1).mean()
    np.testing.assert_allclose(parts["box_loss"], 3 * expected, rtol=1e-5)
    logits = outputs["logits"].astype(np.float64)
    right = logits[np.arange(4), TARGETS["class"]]
    crossentropy = (np.log(np.exp(logits).sum(axis=1)) - right).mean()
    np.testing.assert_allclose(parts["class_loss"], crossentropy, rtol=1e-5)


def test_answers_are_in_pixels_of_the_original_and_inside_it():
    task = localizer()
    outputs = {
        "logits": tf.constant([[0.0, 3, 1, 0, 0]] * 3),
        "box": tf.constant([[0.1, 0.2, 0.6, 0.7], [0.9, 0.8, 0.4, 0.3], [-0.5, 0.1, 1.5, 2]]),
    }
    expected = [[10, 10, 60, 35], [40, 15, 90, 40], [0, 5, 100, 50]]  # reversed ones put right
    answer = task.decode(outputs, (50, 100))
    np.testing.assert_allclose(answer["box"], expected, atol=1e-4)
    assert answer["classes"].numpy()[0, 0] == 1
    several = task.decode(outputs, tf.constant([[50, 100], [100, 200], [50, 100]]))
    np.testing.assert_allclose(several["box"][1], np.array(expected[1]) * 2, atol=1e-4)
    shapes = {name: (None, *value.shape[1:]) for name, value in answer.items()}
    assert shapes == {n: tuple(v["shape"]) for n, v in task.answer_signature().items()}


def test_measures_what_was_learnt():
    task = localizer(box_weight=10.0)
    task.compile(keras.optimizers.Adam(0.01))
    batches = tf.data.Dataset.from_tensors((IMAGES, TARGETS))
    before = task.measure(batches)
    history = task.fit(batches, epochs=60, shuffle=False, verbose=0).history
    after = task.measure(batches)
    assert after["accuracy"] == 1 and after["iou"] > max(0.5, before["iou"])
    parts = history["class_loss"][-1] + history["box_loss"][-1]
    assert history["loss"][-1] == pytest.approx(parts, rel=0.1)


def test_a_frozen_backbone_stays_bit_for_bit_and_is_tuned_afterwards():
    task = localizer()
    backbone = task.network.get_layer("backbone")
    names = [weight.path for weight in backbone.weights]
    assert any("moving_mean" in name for name in names)
    before = [weight.tobytes() for weight in backbone.get_weights()]
    heads = [np.array(v) for v in task.network.get_layer("box").weights]

    def train():
        task.compile(keras.optimizers.Adam(0.01))
        task.fit(IMAGES, TARGETS, epochs=3, batch_size=2, verbose=0)
        return [weight.tobytes() for weight in backbone.get_weights()]

    task.freeze()
    assert train() == before
    assert np.any(heads[0] != np.array(task.network.get_layer("box").weights[0]))
    task.unfreeze()
    after = train()
    unchanged = [
        name for name, one, other in zip(names, before, after, strict=True) if one == other
    ]
    assert not unchanged


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"box_weight": -1.0}, "got box_weight=-1.0, expected 0 or more"),
        ({"box_weight": float("nan")}, "got box_weight=nan"),
        ({"box_loss": "iou"}, "unknown loss of boxes 'iou'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        localizer(**options)


def test_networks_that_do_not_fit():
    preprocess = data.Preprocess((16, 16), 3)
    network = models.localizer((16, 16, 3), 4, widths=(4, 6))
    with pytest.raises(InputError, match="got 5 labels for a network with outputs"):
        Localizer(network, preprocess, LABELS)
    inputs = keras.Input((16, 16, 3))
    flat = keras.layers.Flatten()(inputs)
    heads = {"logits": keras.layers.Dense(5)(flat), "box": keras.layers.Dense(4)(flat)}
    task = Localizer(keras.Model(inputs, heads), preprocess, LABELS)
    with pytest.raises(InputError, match="expected one named 'backbone' to freeze"):
        task.freeze()
