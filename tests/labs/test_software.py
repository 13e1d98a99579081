"""The same network in every style gives the same losses, and the lecture's mistakes show."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.labs import programs, software


@pytest.fixture(scope="module")
def static():
    """The lab at the lecture's sizes: N, D, H = 64, 1000, 100, fifty steps at 1e-5."""
    return software.two_layer_static()


def test_the_four_static_programs_and_todays(static):
    assert static.holds
    losses = static.numbers["losses"]
    assert losses.keys() == (software.STATIC | software.TODAY).keys()
    assert all(len(each) == 50 for each in losses.values())
    # (c) and (d), and tf.function and eager, agree to 1e-5.
    np.testing.assert_allclose(losses["(c) tf.group"], losses["(d) optimizer.minimize"], rtol=1e-5)
    np.testing.assert_allclose(
        losses["(a) eager tensors"], losses["(b, c) assign in tf.function"], rtol=1e-5
    )
    np.testing.assert_allclose(losses["(a) feed weights"], losses["(c) tf.group"], rtol=1e-5)
    assert losses["(c) tf.group"][-1] < 1e-4 * losses["(c) tf.group"][0]


def test_erratum_e9_updates_that_are_not_fetched_do_not_run(static):
    stuck = static.numbers["losses"]["(b) assign, not fetched"]
    assert len(stuck) == 50 and set(stuck) == {stuck[0]}
    assert static.numbers["not_fetched_is_constant"]


def test_erratum_e9_one_fetched_value_is_not_two():
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loss = tf.constant(1.0)
        with pytest.raises(ValueError, match="not enough values to unpack"):
            value, _ = session.run([loss])  # as the lecture writes it


def test_six_levels_have_one_loss_curve():
    finding = software.six_levels(steps=120)
    assert finding.holds
    assert finding.numbers["apart"].keys() == software.LEVELS.keys()
    assert max(finding.numbers["apart"].values()) <= 1e-4
    assert finding.numbers["last_loss"] < 1e-3 * finding.numbers["first_loss"]


@pytest.mark.slow
def test_six_levels_at_the_lectures_sizes():
    finding = software.six_levels()
    assert finding.holds and finding.numbers["last_loss"] < 1e-5


@pytest.fixture
def small():
    """A problem of six examples."""
    return programs.noise((6, 5, 4, 3), 1e-3, 3, mean=False, dtype="float64", seed=1)


def test_erratum_e10_first_weights_are_inputs_by_hidden(small):
    assert small.w1.shape == (5, 4) and small.w2.shape == (4, 3)
    wrong = dataclasses.replace(small, w1=small.w2)  # (H, D_out) twice, as the lecture writes it
    with pytest.raises(tf.errors.InvalidArgumentError, match="Matrix size-incompatible"):
        programs.gradient_tape(wrong)


def test_erratum_e10_a_loop_that_forgets_its_batch_sees_the_same_loss(small):
    mistaken = programs.batch_losses(small, 2, mistaken=True)
    assert len(mistaken) == 3 and set(mistaken) == {mistaken[0]}
    batches = programs.batch_losses(small, 2)
    assert len(set(batches)) == 3
    assert sum(batches) == pytest.approx(mistaken[0], rel=1e-12)


@pytest.mark.parametrize("mean", [False, True])
def test_gradients_by_hand_are_those_of_finite_differences(small, mean):
    problem = dataclasses.replace(small, mean=mean, steps=2, rate=1e-7)

    def loss(w1, w2):
        squared = ((np.maximum(problem.x @ w1, 0) @ w2 - problem.y) ** 2).sum()
        return squared / len(problem.x) if mean else squared

    def slopes(index):
        weights = [problem.w1.copy(), problem.w2.copy()]
        found = np.empty_like(weights[index])
        for place in np.ndindex(found.shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = [each.copy() for each in weights]
                moved[index][place] += step
                ends.append(loss(*moved))
            found[place] = (ends[0] - ends[1]) / 2e-5
        return found

    first, second = programs.numpy_by_hand(problem)
    assert first == pytest.approx(loss(problem.w1, problem.w2), rel=1e-12)
    slope = sum((slopes(index) ** 2).sum() for index in (0, 1))
    assert first - second == pytest.approx(1e-7 * slope, rel=1e-4)


def test_custom_gradient_of_relu_is_its_gradient():
    x = tf.constant([-2.0, 0.0, 3.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = programs.relu(x)
    np.testing.assert_array_equal(y, [0, 0, 3])
    np.testing.assert_array_equal(tape.gradient(y, x, output_gradients=[5.0, 5.0, 5.0]), [0, 0, 5])
