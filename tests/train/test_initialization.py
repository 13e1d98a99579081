"""The course's tables of activation statistics, for every scheme of initial weights."""

import keras
import numpy as np
import pytest

from dlcv_tf import data, models, tasks
from dlcv_tf.errors import InputError
from dlcv_tf.train import diagnostics, initialization
from dlcv_tf.train.initialization import activation_stats

# CS231n, lecture 6: D = randn(1000, 500), ten layers of 500 units, tanh, W = 0.01 * randn.
SMALL_TANH = (0.213081, 0.047551, 0.010630, 0.002378, 0.000532, 0.000119, 26e-6, 6e-6, 1e-6, 0)
# The same with W = 1.0 * randn.
LARGE_TANH = (
    0.98205,
    0.98193,
    0.98173,
    0.98180,
    0.98155,
    0.98169,
    0.98169,
    0.98163,
    0.98154,
    0.98181,
)
# Simulations with NumPy (RandomState(0): first the data, then layer by layer), no published table
# known: randn / sqrt(500) and randn * sqrt(2 / 500).
XAVIER_TANH = (0.6272, 0.4866, 0.4072, 0.3575, 0.3203, 0.2935, 0.2729, 0.2550, 0.2395, 0.2266)
XAVIER_RELU = (0.5833, 0.4096, 0.2766, 0.1908, 0.1317, 0.0959, 0.0706, 0.0478, 0.0335, 0.0239)
HE_RELU = (0.8249, 0.8193, 0.7823, 0.7632, 0.7447, 0.7670, 0.7984, 0.7650, 0.7583, 0.7643)


def drawn(init, shape):
    return initialization.draw(init, shape, np.random.RandomState(0))


def deviations(init, act, **options):
    return [layer.std for layer in activation_stats(init, act, verbose=0, **options)]


@pytest.mark.parametrize("seed", [0, 1])
def test_small_weights_and_tanh_the_activations_vanish(seed):
    np.testing.assert_allclose(deviations("small", "tanh", seed=seed), SMALL_TANH, 0.03, 2e-6)


def test_erratum_e5_the_deviations_of_the_first_layers():
    """The notes' copy of this table is damaged in its first six rows (0.000181, 0.000001, ...)."""
    first = deviations("small", "tanh")[:6]
    np.testing.assert_allclose(first, (0.213, 0.0476, 0.0106, 0.00238, 0.00053, 0.00012), rtol=0.03)


def test_large_weights_and_tanh_the_activations_saturate():
    found = activation_stats("large", "tanh", verbose=0)
    np.testing.assert_allclose([layer.std for layer in found], LARGE_TANH, rtol=0.003)
    assert all(layer.saturated > 0.85 and abs(layer.mean) < 0.01 for layer in found)


@pytest.mark.parametrize(
    "init, act, expected, tolerance",
    [
        ("xavier", "tanh", XAVIER_TANH, 0.04),
        ("xavier", "relu", XAVIER_RELU, 0.15),
        ("he", "relu", HE_RELU, 0.15),
    ],
)
def test_xavier_and_he(init, act, expected, tolerance):
    np.testing.assert_allclose(deviations(init, act), expected, atol=1e-4)  # the very same draw
    several = np.mean([deviations(init, act, seed=seed) for seed in range(5)], axis=0)
    np.testing.assert_allclose(several, expected, rtol=tolerance)


def test_with_he_the_mean_square_stays_and_with_xavier_and_relu_it_halves():
    def squares(init):
        return [
            np.mean([layer.std**2 + layer.mean**2 for layer in layers])
            for layers in zip(
                *(activation_stats(init, "relu", seed=seed, verbose=0) for seed in range(8)),
                strict=True,
            )
        ]

    # E[relu(z)^2] = Var[z] / 2, and Var[z] = fan_in * Var[w] * E[h^2].
    np.testing.assert_allclose(squares("he"), np.ones(10), rtol=0.25)
    np.testing.assert_allclose(squares("xavier"), 0.5 ** np.arange(1, 11), rtol=0.25)


def test_erratum_e6_xavier_divides_by_the_root_of_fan_in_and_he_by_that_of_its_half():
    """The notes divide random(min, max) by sqrt(min), and "divide by 2" without saying what."""
    for name, expected in (
        ("xavier", 1 / np.sqrt(400)),
        ("he", 1 / np.sqrt(400 / 2)),
        ("glorot", np.sqrt(2 / (400 + 900))),
    ):
        weights = drawn(name, (400, 900))
        np.testing.assert_allclose(weights.std(), expected, rtol=0.01)
        assert abs(weights).max() > 4 * weights.std()  # a whole normal, no cut tails


def test_a_unit_of_a_convolution_has_the_inputs_of_its_window():
    np.testing.assert_allclose(drawn("he", (3, 3, 50, 60)).std(), np.sqrt(2 / 450), rtol=0.02)
    glorot = np.sqrt(2 / (9 * 50 + 9 * 60))
    np.testing.assert_allclose(drawn("glorot", (3, 3, 50, 60)).std(), glorot, rtol=0.02)


def test_a_number_is_the_standard_deviation():
    np.testing.assert_array_equal(drawn(0.01, (9, 9)), drawn("small", (9, 9)))


def test_orthogonal_matrices_keep_lengths():
    weights = drawn("orthogonal", (50, 50))
    np.testing.assert_allclose(weights.T @ weights, np.eye(50), atol=1e-5)


def test_any_model_can_be_initialised():
    network = models.convnet((8, 8, 1), 3, filters=(4,), hidden_units=6)
    task = tasks.Classifier(network, data.Preprocess((8, 8), 1), "abc")
    before = [np.array(weight) for weight in network.get_weights()]
    initialization.initialize(task, "xavier", np.random.RandomState(0))
    for weight, old in zip(network.weights, before, strict=True):
        assert np.array_equal(weight, old) == (weight.name != "kernel"), weight.path


def test_zeros_give_nothing():
    assert deviations("zeros", "tanh", depth=3, width=20) == [0, 0, 0]


@pytest.mark.parametrize(
    "init", [*initialization.SCHEMES, "he_uniform", keras.initializers.LecunNormal()]
)
@pytest.mark.parametrize("act", ["relu", "elu", "sigmoid", "linear", keras.activations.softsign])
def test_any_scheme_any_function_any_depth(init, act):
    found = activation_stats(init, act, depth=3, width=30, examples=40, verbose=0)
    assert [layer.layer for layer in found] == ["layer1", "layer2", "layer3"]
    assert all(np.isfinite(layer.std) for layer in found)


def test_layers_do_not_start_alike_and_a_seed_gives_the_same_again():
    def kernels(seed):
        network = initialization.plain_network("relu", 2, 9)
        own = keras.initializers.HeNormal(seed=5)
        initialization.initialize(network, own, np.random.RandomState(seed))
        return network.get_weights()

    first, second = kernels(0)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(kernels(0), [first, second])
    assert not np.array_equal(kernels(1)[0], first)


def test_the_table_is_printed(capsys):
    found = activation_stats("he", "relu", depth=2, width=10)
    assert capsys.readouterr().out == diagnostics.describe(found) + "\n"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("xaver",), "unknown initialisation 'xaver': did you mean 'xavier'"),
        (("he", "rellu"), "unknown activation function 'rellu': did you mean 'relu'"),
        ((-0.1,), "got init=-0.1, expected a standard deviation of 0 or more"),
        ((None,), "got init=None, expected a name, a number or"),
        (("he", "relu", 0), "got depth=0"),
        (("he", "relu", 2, 0), "and width=0"),
    ],
)
def test_bad_options_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        activation_stats(*arguments)
