"""Newton's method and L-BFGS find the minimum of a whole data set's loss."""

import keras
import numpy as np
import pytest
import scipy.optimize
from sklearn.linear_model import LogisticRegression

from dlcv_tf import data, optimizers
from dlcv_tf.optimizers import second_order


@pytest.fixture
def double():
    with optimizers.double_precision():
        yield


def regression(seed=0):
    """Returns a least-squares model, its data, and the solution by linear algebra."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(40, 5))
    y = x @ random.normal(size=(5, 2)) + 0.3 * random.normal(size=(40, 2)) + 1.0
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    solution = np.linalg.lstsq(np.c_[x, np.ones(40)], y, rcond=None)[0]
    return model, x, y, solution


def softmax(seed=0, l2=1e-2):
    """Returns a regularised softmax classifier of digits, and its data."""
    keras.utils.set_random_seed(seed)
    images, labels = data.digits.arrays("val")
    penalty = keras.regularizers.L2(l2)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.AveragePooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(10, kernel_regularizer=penalty, bias_regularizer=penalty),
        ]
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model, images / 255.0, labels


def test_newton_solves_a_quadratic_in_one_step(double, capsys):
    model, x, y, solution = regression()
    history = optimizers.newton(model, x, y, steps=1)
    np.testing.assert_allclose(model.layers[-1].kernel, solution[:5], rtol=0, atol=1e-10)
    np.testing.assert_allclose(model.layers[-1].bias, solution[5], rtol=0, atol=1e-10)
    assert len(history["loss"]) == 2 and history["gradient_norm"][1] < 1e-10
    assert "12 parameters need 0 MiB for their Hessian" in capsys.readouterr().out


def test_the_hessian_is_that_of_differences(double):
    model, x, y = softmax()
    objective = second_order.FullBatch(model, x, y)
    point = objective.point()
    hessian = objective.hessian(point)
    assert hessian.shape == (170, 170)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-14)
    for number in (0, 31, 32, 169):  # also beyond the rows that are taken at once
        change = np.zeros(170)
        change[number] = 1e-5
        above, below = (objective.loss_and_gradient(point + s * change)[1] for s in (1, -1))
        np.testing.assert_allclose(hessian[number], (above - below) / 2e-5, atol=1e-9)


def test_lbfgs_and_newton_find_the_same_optimum(double):
    points = []
    for train in (optimizers.newton, optimizers.lbfgs):
        model, x, y = softmax()
        train(model, x, y, steps=500, verbose=0)
        points.append(second_order.FullBatch(model, x, y).point())
    assert np.abs(points[0] - points[1]).max() < 1e-6


def test_lbfgs_is_as_quick_as_scipys_and_ends_at_scikit_learns_optimum(double):
    model, x, y = softmax()
    objective = second_order.FullBatch(model, x, y)
    scipys = scipy.optimize.minimize(
        objective.loss_and_gradient,
        objective.point(),
        jac=True,
        method="L-BFGS-B",
        options={"gtol": 1e-7, "ftol": 0},
    )
    model, x, y = softmax()
    history = optimizers.lbfgs(model, x, y, tolerance=1e-7, verbose=0)
    assert len(history["loss"]) < 1.3 * scipys.nit + 5
    np.testing.assert_allclose(history["loss"][-1], scipys.fun, rtol=1e-10)
    # scikit-learn's C multiplies the sum of losses, and its penalty has a factor 1/2.
    pooled = keras.Model(model.layers[0].input, model.layers[1].output).predict(x, verbose=0)
    pooled = np.c_[pooled, np.ones(len(y))]  # the bias is penalised too
    theirs = LogisticRegression(
        C=1 / (2 * 1e-2 * len(y)), fit_intercept=False, tol=1e-10, max_iter=2000
    ).fit(pooled, y)
    own = np.vstack([model.layers[-1].kernel, model.layers[-1].bias]).T
    np.testing.assert_allclose(own, theirs.coef_, atol=1e-5)


def test_a_small_network_with_dropout_and_batch_norm_trains_in_float32():
    keras.utils.set_random_seed(0)
    images, labels = data.digits.arrays("train")
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(16, activation="tanh"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"])
    history = optimizers.lbfgs(model, images, labels, steps=60, verbose=0)
    assert np.all(np.diff(history["loss"]) <= 1e-6)  # every step leads down
    logs = model.evaluate(images, labels, return_dict=True, verbose=0)
    assert abs(logs["loss"] - history["loss"][-1]) < 1e-5  # the model is where the history ends
    assert logs["accuracy"] > 0.98


def test_damping_makes_a_singular_hessian_solvable(double):
    model, x, y, _ = regression()
    x = np.c_[x[:, :4], x[:, 0]]  # two inputs are the same
    with pytest.raises(ValueError, match="the Hessian is singular after 0 steps .* give damping"):
        optimizers.newton(model, x, y, verbose=0)
    history = optimizers.newton(model, x, y, damping=1e-3, steps=100, verbose=0)
    assert history["gradient_norm"][-1] < 1e-9


def test_newton_says_where_its_step_would_lead_up(double):
    random = np.random.default_rng(0)
    x = random.normal(size=(50, 2))
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(3, "tanh"), keras.layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    y = 3 * np.sin(3 * x[:, :1])
    with pytest.raises(ValueError, match="leads up after .* give more damping"):
        for seed in range(10):
            keras.utils.set_random_seed(seed)
            fresh = keras.models.clone_model(model)
            fresh.compile("sgd", "mse")
            optimizers.newton(fresh, x, y, verbose=0)
    history = optimizers.newton(model, x, y, damping=5.0, steps=30, verbose=0)
    assert history["loss"][-1] < history["loss"][0]


def test_what_cannot_work_is_said_early():
    model, x, y, _ = regression()
    with pytest.raises(ValueError, match="12 parameters need 0 MiB .* expected at most 0: use lb"):
        optimizers.newton(model, x, y, memory_limit=1000)
    with pytest.raises(ValueError, match="got 40 inputs and 39 targets"):
        optimizers.lbfgs(model, x, y[:-1])
    with pytest.raises(ValueError, match="inputs that are not all finite"):
        optimizers.lbfgs(model, np.where(x > 2, np.nan, x), y)
    with pytest.raises(ValueError, match="a model without a loss, expected a compiled one"):
        optimizers.newton(keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)]), x, y)
    with pytest.raises(ValueError, match="got damping=-1, expected 0 or more"):
        optimizers.newton(model, x, y, damping=-1)
    with pytest.raises(ValueError, match="got memory=0, expected 1 or more"):
        optimizers.lbfgs(model, x, y, memory=0)
    with pytest.raises(ValueError, match="the loss is inf .* after 0 steps"):
        optimizers.lbfgs(model, x, y * 1e30, verbose=0)
