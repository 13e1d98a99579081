"""What the diagnostics say of networks whose insides are known."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from dlcv_tf import data, models, tasks
from dlcv_tf import layers as by_hand
from dlcv_tf.errors import InputError
from dlcv_tf.train import diagnostics


def dense(kernel, bias=None, activation="relu", inside=True, name="hidden"):
    """A network of one layer with given weights, its function inside or behind."""
    kernel = np.asarray(kernel, np.float32)
    inputs = keras.Input((kernel.shape[0],))
    layer = layers.Dense(kernel.shape[1], activation if inside else None, name=name)
    x = layer(inputs)
    if not inside:
        x = layers.Activation(activation, name=f"{name}_act")(x)
    layer.set_weights([kernel, np.zeros(kernel.shape[1]) if bias is None else np.asarray(bias)])
    return keras.Model(inputs, x)


def only(model, inputs, **options):
    (found,) = diagnostics.activity(model, inputs, **options)
    return found


RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(700, 3)).astype(np.float32)
KERNEL = RANDOM.normal(size=(3, 4))


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("form", ["array", "batches", "batches with labels"])
def test_moments_are_those_of_all_activations(inside, form):
    expected = np.tanh(INPUTS @ KERNEL.astype(np.float32))
    inputs = INPUTS
    if form != "array":
        examples = INPUTS if form == "batches" else (INPUTS, np.zeros(len(INPUTS)))
        inputs = tf.data.Dataset.from_tensor_slices(examples).batch(64)
    found = only(dense(KERNEL, activation="tanh", inside=inside), inputs)
    assert found.layer == ("hidden" if inside else "hidden_act") and found.function == "tanh"
    np.testing.assert_allclose([found.mean, found.std], [expected.mean(), expected.std()], 1e-5)
    np.testing.assert_allclose(found.saturated, (np.abs(expected) > 0.97).mean(), atol=2e-3)
    assert 0 < found.saturated < 1 and found.zeros == 0 and found.dead_units == 0
    assert np.isin(found.sample.round(3), expected.round(3)).mean() > 0.99  # to rounding
    np.testing.assert_allclose(found.sample.std(), expected.std(), rtol=0.05)


def test_saturation_is_counted_at_the_asymptotes_of_the_function():
    def saturated(activation, values, margin=0.03):
        model = dense(np.eye(1), activation=activation)
        return only(model, np.asarray(values, np.float32)[:, None], margin=margin).saturated

    assert saturated("tanh", [-9, -1, 0, 1, 9]) == 2 / 5
    assert saturated("sigmoid", [-9, -1, 0, 1, 9]) == 2 / 5
    assert saturated("elu", [-9, -1, 0, 1, 9]) == 1 / 5  # flat on one side only
    assert saturated("relu", [-9, -1, 0, 1, 9]) is None
    assert saturated("tanh", [-9, -1, 0, 1, 9], margin=0.3) == 4 / 5


def test_the_alpha_of_elu_is_its_own():
    inputs = keras.Input((1,))
    model = keras.Model(inputs, layers.ELU(alpha=2.0)(inputs))
    assert only(model, np.array([[-9.0], [-0.7], [1.0]])).saturated == 1 / 3


def test_a_unit_that_never_fires_is_dead():
    bias = [0, -100, 0, -100]
    found = only(dense(KERNEL, bias), INPUTS)
    np.testing.assert_array_equal(found.silent, [False, True, False, True])
    assert found.dead_units == found.dead_maps == 0.5
    assert found.remark.startswith("dead: ")
    # One example that wakes a unit is enough, wherever it stands.
    waking = np.concatenate([INPUTS, [[0, 101, 0]]])
    assert only(dense(np.eye(3), [0, -100, -100]), INPUTS).dead_units == 2 / 3
    assert only(dense(np.eye(3), [0, -100, -100]), waking).dead_units == 1 / 3


def test_a_leaky_unit_is_not_dead():
    assert only(dense(KERNEL, [0, -100, 0, -100], "leaky_relu"), INPUTS).dead_units == 0


def test_a_map_is_dead_where_all_its_places_are():
    inputs = keras.Input((4, 4, 1))
    convolution = layers.Conv2D(3, 1, name="conv")
    model = keras.Model(inputs, layers.ReLU(name="relu")(convolution(inputs)))
    convolution.set_weights([np.ones((1, 1, 1, 3)), np.array([0, -0.5, -9])])
    images = np.zeros((5, 4, 4, 1), np.float32)
    images[:, 0, 0] = 1  # only this place ever fires
    found = only(model, images)
    assert found.silent.shape == (4, 4, 3)
    assert found.dead_maps == 1 / 3
    assert found.dead_units == (15 + 15 + 16) / 48


@pytest.mark.parametrize(
    "network, count",
    [
        (lambda: models.mlp((8, 8, 1), 3, hidden_units=(5, 4)), 2),
        (lambda: models.convnet((8, 8, 1), 3, filters=(4,), hidden_units=6), 2),
        (lambda: models.resnet20((8, 8, 1), 3, width=4), 19),
    ],
)
def test_networks_of_the_toolkit(network, count):
    images = data.digits.arrays("val")[0][:50] / 255
    found = diagnostics.activity(network(), images)
    assert len(found) == count
    assert all(each.function == "relu" and np.isfinite(each.std) for each in found)
    norms = diagnostics.gradient_norms(network(), images, np.arange(50) % 3)
    assert len(norms) == count and all(norm > 0 for norm in norms.values())


def test_the_layers_written_by_hand():
    inputs = x = keras.Input((3,))
    for layer in (by_hand.Affine(4), by_hand.ReLU(), by_hand.Maxout(5), by_hand.Tanh()):
        x = layer(x)
    found = diagnostics.activity(keras.Model(inputs, x), INPUTS)
    assert [each.function for each in found] == ["relu", "maxout", "tanh"]
    assert [each.saturated is None for each in found] == [True, True, False]


def test_functions_that_stand_in_the_graph_without_a_layer():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.ops.tanh(keras.ops.relu(inputs)))
    found = diagnostics.activity(model, INPUTS)
    assert [each.function for each in found] == ["relu", "tanh"]


def test_any_layer_may_be_named():
    model = models.mlp((8, 8, 1), 3, hidden_units=(5,))
    (found,) = diagnostics.activity(model, np.ones((2, 8, 8, 1)), layers=["logits"])
    assert found.function == "none" and found.saturated is None


def test_the_table_says_what_helps():
    rows = [
        diagnostics.Activity("a", "relu", 0.0, 1.0, None, 0.5, np.ones(4, bool), np.zeros(1)),
        diagnostics.Activity("b", "tanh", 0.0, 1.0, 0.9, 0.0, np.zeros(4, bool), np.zeros(1)),
        diagnostics.Activity("c", "tanh", 0.0, 1e-5, 0.0, 0.0, np.zeros(4, bool), np.zeros(1)),
        diagnostics.Activity("d", "relu", 0.0, 1e5, None, 0.5, np.zeros(4, bool), np.zeros(1)),
        diagnostics.Activity("e", "relu", 0.0, np.nan, None, 0.5, np.zeros(4, bool), np.zeros(1)),
        diagnostics.Activity("f", "relu", 0.0, 1.0, None, 0.5, np.zeros(4, bool), np.zeros(1)),
    ]
    lines = diagnostics.describe(rows).splitlines()
    remarks = ("dead: lower", "saturated: smaller", "vanishing: ", "exploding: ", "not finite: ")
    for line, remark in zip(lines[1:6], remarks, strict=True):
        assert remark in line
    assert lines[0].split()[:3] == ["layer", "function", "mean"] and lines[6].endswith("0.0%")


def test_gradient_norms_are_those_of_the_chain_rule():
    inputs = keras.Input((3,))
    hidden = layers.Dense(4, "tanh", name="a")(inputs)
    model = keras.Model(inputs, layers.Dense(2, name="b")(hidden))
    labels = np.arange(6) % 2
    found = diagnostics.gradient_norms(model, INPUTS[:6], labels)
    scores = np.asarray(model(INPUTS[:6]))
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    delta = (probabilities - np.eye(2)[labels]) / 6 @ np.asarray(model.get_layer("b").kernel).T
    np.testing.assert_allclose(found["a"], np.sqrt(np.mean(delta**2)), rtol=1e-5)


def test_all_positive_inputs_give_gradients_of_one_sign():
    model = models.mlp((3,), 3, hidden_units=(6, 5))
    labels = np.arange(20) % 3
    positive = diagnostics.gradient_signs(model, np.abs(INPUTS[:20]), labels)
    assert positive == {"hidden1": 1.0, "hidden2": 1.0, "logits": 1.0}
    centred = diagnostics.gradient_signs(model, INPUTS[:20], labels)
    assert centred["hidden1"] < 0.5 and centred["logits"] == 1.0  # behind a ReLU again


def test_other_losses():
    model = dense(KERNEL, activation="tanh")
    targets = np.zeros((5, 4), np.float32)
    signs = diagnostics.gradient_signs(
        model, np.abs(INPUTS[:5]), targets, keras.losses.MeanSquaredError()
    )
    assert signs == {"hidden": 1.0}


def test_the_callback_logs_every_epoch():
    images, labels = data.digits.arrays("train")
    network = models.mlp((8, 8, 1), 10, hidden_units=(12,))
    task = tasks.Classifier(network, data.Preprocess((8, 8), 1), "0123456789")
    task.compile(keras.optimizers.SGD(0.01))
    log = diagnostics.ActivityLog(network, task.preprocess(images[:100]))
    history = task.fit(images[:128], labels[:128], epochs=2, verbose=0, callbacks=[log]).history
    assert len(history["dead/hidden1"]) == 2
    expected = only(network, np.asarray(task.preprocess(images[:100]))).dead_units
    assert history["dead/hidden1"][-1] == expected
    assert "saturated/hidden1" not in history


def test_what_cannot_be_looked_into_is_refused():
    task = tasks.Classifier(models.linear((8, 8, 1), 2), data.Preprocess((8, 8), 1), "ab")
    with pytest.raises(InputError, match="of a task, pass its .network"):
        diagnostics.activity(task, INPUTS)
    with pytest.raises(InputError, match="a network without an activation function"):
        diagnostics.activity(task.network, INPUTS)
    with pytest.raises(InputError, match="unknown layer 'hiden1': did you mean 'hidden1'"):
        diagnostics.activity(models.mlp((3,), 2), INPUTS, layers=["hiden1"])
    with pytest.raises(InputError, match="got no examples"):
        diagnostics.activity(models.mlp((3,), 2), INPUTS[:0])
