"""Every update rule is the lecture's formula, and Keras's own optimizer where that is the same."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import data, optimizers, train
from dlcv_tf.optimizers import surfaces
from tests.helpers import ramp

START = np.array([1.3, -0.7, 0.02, -4.0])
GRADIENTS = [ramp((4,), "float64", -3, 2) * np.cos(step) for step in range(20)]
GRADIENTS[7][2] = 0.0  # a weight that no example of a batch touches

# What each rule does, in NumPy: x and gradient of step t = 1, 2, ..., and a dict to remember in.
RATE = 0.125  # exact in float32, which Keras keeps rates in


def sgd(x, dx, t, kept):
    return x - RATE * dx


def momentum(x, dx, t, kept):
    kept["v"] = 0.9 * kept.get("v", 0.0) - RATE * dx
    return x + kept["v"]


def nesterov(x, dx, t, kept):
    before = kept.get("v", np.zeros_like(x))
    kept["v"] = 0.9 * before - RATE * dx
    return x - 0.9 * before + (1 + 0.9) * kept["v"]


def adagrad(x, dx, t, kept):
    kept["g"] = kept.get("g", 0.0) + dx * dx
    return x - RATE * dx / (np.sqrt(kept["g"]) + 1e-7)


def rmsprop(x, dx, t, kept):
    kept["g"] = 0.9 * kept.get("g", 0.0) + (1 - 0.9) * dx * dx
    return x - RATE * dx / (np.sqrt(kept["g"]) + 1e-7)


def adam(x, dx, t, kept, correct=True):
    kept["m"] = 0.9 * kept.get("m", 0.0) + (1 - 0.9) * dx
    kept["v"] = 0.999 * kept.get("v", 0.0) + (1 - 0.999) * dx * dx
    m = kept["m"] / (1 - 0.9**t) if correct else kept["m"]
    v = kept["v"] / (1 - 0.999**t) if correct else kept["v"]
    return x - RATE * m / (np.sqrt(v) + 1e-7)


def adam_uncorrected(x, dx, t, kept):
    return adam(x, dx, t, kept, correct=False)


RULES = {
    "sgd": (lambda: optimizers.SGD(RATE), sgd),
    "momentum": (lambda: optimizers.Momentum(RATE), momentum),
    "nesterov": (lambda: optimizers.Nesterov(RATE), nesterov),
    "nesterov look-ahead": (lambda: optimizers.Nesterov(RATE, form="look_ahead"), nesterov),
    "adagrad": (lambda: optimizers.AdaGrad(RATE), adagrad),
    "rmsprop": (lambda: optimizers.RMSProp(RATE), rmsprop),
    "adam": (lambda: optimizers.Adam(RATE), adam),
    "adam uncorrected": (lambda: optimizers.Adam(RATE, bias_correction=False), adam_uncorrected),
}


def iterates(optimizer, gradients=GRADIENTS, dtype="float64"):
    """Returns the weights after each of the gradients."""
    x = keras.Variable(START, dtype=dtype)
    path = []
    for gradient in gradients:
        optimizer.apply([tf.constant(gradient, dtype)], [x])
        path.append(x.numpy())
    return np.stack(path)


def expected_iterates(rule, gradients=GRADIENTS):
    x, kept, path = START, {}, []
    for t, gradient in enumerate(gradients, 1):
        x = rule(x, gradient, t, kept)
        path.append(x)
    return np.stack(path)


@pytest.mark.parametrize("name", RULES)
def test_twenty_steps_are_the_formula(name):
    build, rule = RULES[name]
    np.testing.assert_allclose(iterates(build()), expected_iterates(rule), rtol=0, atol=1e-12)
    single = iterates(build(), dtype="float32")
    np.testing.assert_allclose(single, expected_iterates(rule), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("surface", ["parabola", "rosenbrock"])
@pytest.mark.parametrize("name", RULES)
def test_descent_is_the_formula_on_a_surface(name, surface):
    build, rule = RULES[name]
    if surface == "parabola":
        loss, start = surfaces.quadratic(np.diag([1.0, 3.0])), np.array([1.0, -1.0])
        gradient = lambda x: np.array([x[0], 3 * x[1]])  # noqa: E731
        step = build()
    else:
        loss, start = surfaces.rosenbrock, np.array([-0.5, 0.6])
        gradient = lambda x: np.array(  # noqa: E731
            [-2 * (1 - x[0]) - 400 * x[0] * (x[1] - x[0] ** 2), 200 * (x[1] - x[0] ** 2)]
        )
        step = build()
        step.clipnorm = 1.0  # Keras's own; no rule lives at this rate without it
    x, kept, path = start, {}, [start]
    for t in range(1, 31):
        dx = gradient(x)
        if surface == "rosenbrock":
            dx = dx / max(1.0, np.linalg.norm(dx))
        x = rule(x, dx, t, kept)
        path.append(x)
    got = surfaces.descend(loss, start, step, steps=30)
    np.testing.assert_allclose(got, np.stack(path), rtol=1e-9, atol=1e-9)


KERAS = {
    "momentum": (optimizers.Momentum(RATE), keras.optimizers.SGD(RATE, momentum=0.9)),
    "nesterov": (
        optimizers.Nesterov(RATE),
        keras.optimizers.SGD(RATE, momentum=0.9, nesterov=True),
    ),
    "adagrad": (
        optimizers.AdaGrad(RATE, epsilon_inside=True, initial=0.1),
        keras.optimizers.Adagrad(RATE),
    ),
    "rmsprop": (optimizers.RMSProp(RATE, epsilon_inside=True), keras.optimizers.RMSprop(RATE)),
    "adam": (optimizers.Adam(RATE, epsilon_hat=True), keras.optimizers.Adam(RATE)),
    "adam, epsilon as in the paper": (optimizers.Adam(), keras.optimizers.Adam()),
}


@pytest.mark.parametrize("name", KERAS)
def test_equals_keras(name):
    own, other = KERAS[name]
    gradients = [gradient + 3.5 for gradient in GRADIENTS]  # epsilon matters near 0 alone
    # In float64 Keras still takes its betas and momenta through float32.
    own, other = (iterates(each, gradients, "float32") for each in (own, other))
    np.testing.assert_allclose(own, other, rtol=1e-6, atol=1e-6)


def test_erratum_e7_epsilon_is_added_to_the_root():
    dx = GRADIENTS[0]
    by_hand = START - RATE * dx / (np.sqrt(dx**2) + 1e-2)
    for rule in (
        optimizers.AdaGrad(RATE, epsilon=1e-2),
        optimizers.RMSProp(RATE, decay=0.0, epsilon=1e-2),
    ):
        np.testing.assert_allclose(iterates(rule, [dx])[0], by_hand, rtol=0, atol=1e-12)
    leaky = START - RATE * dx / (np.sqrt(0.1 * dx**2) + 1e-2)
    got = iterates(optimizers.RMSProp(RATE, decay=0.9, epsilon=1e-2), [dx])[0]
    np.testing.assert_allclose(got, leaky, rtol=0, atol=1e-12)


def test_erratum_e7_rmsprop_forgets():
    constant = [np.full(4, 2.0)] * 400
    steps = np.diff(iterates(optimizers.RMSProp(RATE), constant), axis=0)
    np.testing.assert_allclose(steps[-1], -RATE, rtol=1e-5)  # AdaGrad's would have died out
    steps = np.diff(iterates(optimizers.AdaGrad(RATE), constant), axis=0)
    np.testing.assert_allclose(steps[-1], -RATE / np.sqrt(400), rtol=1e-5)


def test_erratum_e8_adam_starts_at_one_and_has_two_betas():
    first = iterates(optimizers.Adam(RATE), GRADIENTS[:1])[0]
    np.testing.assert_allclose(first, START - RATE * np.sign(GRADIENTS[0]), atol=1e-7)
    constant = [np.full(4, 2.0)] * 5  # corrected means of a constant are the constant
    np.testing.assert_allclose(
        iterates(optimizers.Adam(RATE, beta_1=0.5, beta_2=0.9), constant)[-1], START - 5 * RATE,
        atol=1e-6,
    )  # fmt: skip
    np.testing.assert_allclose(
        iterates(optimizers.Adam(RATE)), expected_iterates(adam), rtol=0, atol=1e-12
    )


def test_first_step_of_adagrad_is_the_sign_and_of_uncorrected_adam_three_rates():
    signs = np.sign(GRADIENTS[0])
    first = iterates(optimizers.AdaGrad(RATE, epsilon=0.0), GRADIENTS[:1])[0]
    np.testing.assert_allclose(first, START - RATE * signs, rtol=0, atol=1e-15)
    rule = optimizers.Adam(RATE, bias_correction=False, epsilon=0.0)
    length = np.abs(iterates(rule, GRADIENTS[:1])[0] - START) / RATE
    np.testing.assert_allclose(length, (1 - 0.9) / np.sqrt(1 - 0.999), rtol=1e-12)
    assert round(float(length[0]), 2) == 3.16


def test_both_forms_of_nesterov_take_the_same_look_ahead_steps():
    loss = surfaces.quadratic(surfaces.valley(50, degrees=30))
    paths = [
        surfaces.descend(loss, (1.0, -2.0), optimizers.Nesterov(0.01, form=form), steps=200)
        for form in ("rewritten", "look_ahead")
    ]
    assert np.abs(paths[0] - paths[1]).max() < 1e-12


def test_a_schedule_is_followed():
    schedule = optimizers.step_decay(0.5, every=2)
    path = iterates(optimizers.SGD(schedule), [np.ones(4)] * 6)
    steps = -np.diff(np.vstack([START, path]), axis=0)[:, 0]
    np.testing.assert_allclose(steps, [0.5, 0.5, 0.25, 0.25, 0.125, 0.125], rtol=1e-7)


def test_weight_decay_is_keras_decoupled_one():
    path = iterates(optimizers.Adam(RATE, weight_decay=0.5), [np.zeros(4)])
    np.testing.assert_allclose(path[0], START * (1 - RATE * 0.5), rtol=1e-9)


def test_sparse_gradients_are_those_of_the_whole_table():
    table = keras.Variable(np.ones((3, 2)), dtype="float64")
    rows = tf.IndexedSlices(
        tf.constant([[1.0, 2.0], [3.0, 4.0]], tf.float64), tf.constant([2, 2]), tf.constant([3, 2])
    )
    optimizers.SGD(RATE).apply([rows], [table])
    np.testing.assert_allclose(table.numpy(), [[1, 1], [1, 1], [0.5, 0.25]])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: optimizers.SGD(-0.1), "got learning_rate=-0.1, expected above 0"),
        (lambda: optimizers.SGD(float("nan")), "got learning_rate=nan"),
        (lambda: optimizers.Momentum(momentum=1.0), "got momentum=1.0, expected 0 or more, below"),
        (lambda: optimizers.Nesterov(form="ahead"), "got form='ahead', expected 'rewritten' or"),
        (lambda: optimizers.AdaGrad(initial=-1.0), "got initial=-1.0, expected 0 or more"),
        (lambda: optimizers.RMSProp(decay=1.5), "got decay=1.5, expected 0 or more, below 1"),
        (lambda: optimizers.Adam(beta_2=1.0), "got beta_2=1.0, expected 0 or more, below 1"),
        (lambda: optimizers.Adam(epsilon=-1e-8), "got epsilon=-1e-08, expected 0 or more"),
    ],
)
def test_bad_values_are_named(build, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        build()


def small_model():
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    model.compile(
        optimizers.Adam(optimizers.exponential_decay(0.05, k=0.1)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def test_a_run_goes_on_from_a_checkpoint_as_if_never_interrupted(tmp_path):
    images, labels = ramp((32, 4, 4, 1)), np.arange(32) % 3
    examples = tf.data.Dataset.from_tensor_slices((images, labels))
    batches = data.TrainingBatches(examples, 32, batch_size=8)
    whole = small_model()
    train.train(whole, batches, epochs=4, verbose=0)
    path = tmp_path / "checkpoint.npz"
    train.train(small_model(), batches, epochs=2, checkpoint=path, verbose=0)
    resumed = small_model()
    train.train(resumed, batches, epochs=4, checkpoint=path, resume=True, verbose=0)
    for one, other in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)
