"""Labs of the chapter on activation functions: what each does to values and to gradients."""

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf import data, layers, models, tasks
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.plots import charts, planes
from dlcv_tf.train import diagnostics, initialization


def activation_functions(*, alpha: float = 1.0, slope: float = 0.01) -> Finding:
    """Value and gradient of sigmoid, tanh, ReLU, leaky ReLU, PReLU, ELU and maxout.

    The layers of the toolkit are evaluated and differentiated over [-10, 10]. A sigmoid's gradient
    is never above 1/4 and 4.54e-5 at +-10: saturated units pass no gradient on. Maxout, the largest
    of two linear maps, has twice the weights of any other unit.

    Curriculum: row 46.

    Args:
        alpha: of ELU.
        slope: of leaky ReLU below zero.
    """
    prelu = layers.PReLU(initial_slope=0.25, dtype="float64")
    maxout = layers.Maxout(1, dtype="float64")
    maxout.build((None, 1))
    maxout.kernel.assign([[-0.5, 1.0]])  # two maps of one number: the largest of -x/2 and x
    functions = {
        "sigmoid": layers.Sigmoid(dtype="float64"),
        "tanh": layers.Tanh(dtype="float64"),
        "ReLU": layers.ReLU(dtype="float64"),
        f"leaky ReLU ({slope:g})": layers.LeakyReLU(slope, dtype="float64"),
        "PReLU (0.25, learned)": prelu,
        f"ELU (alpha {alpha:g})": layers.ELU(alpha, dtype="float64"),
        "maxout of -x/2 and x": maxout,
    }
    places = np.array([-10.0, -1.0, 0.5, 10.0])
    x = np.linspace(-5, 5, 401)
    rows, panels, found = [], [], {}
    for name, function in functions.items():
        values, gradients = _value_and_gradient(function, places)
        found[name.split(" (")[0]] = values, gradients
        rows.append([name, *values[[0, 1, 3]].tolist(), *gradients[[0, 1, 3]].tolist()])
        curve = dict(zip(("value", "gradient"), _value_and_gradient(function, x), strict=True))
        lines = {kind: (x, y) for kind, y in curve.items()}
        panels.append(charts.Panel(name, lines, y_limits=(-1.5, 3)))
    weights = [_weights_of(layer, 30) for layer in (layers.Affine(20), layers.Maxout(20))]
    numbers = {
        "sigmoid_gradient_at_minus_10": float(found["sigmoid"][1][0]),
        "sigmoid_gradient_at_10": float(found["sigmoid"][1][3]),
        "leaky_relu_at_minus_10": float(found["leaky ReLU"][0][0]),
        "leaky_relu_gradient_at_minus_10": float(found["leaky ReLU"][1][0]),
        "elu_at_minus_1": float(found["ELU"][0][1]),
        "prelu_weights_learned": len(prelu.trainable_weights),
        "weights_of_an_affine_layer": weights[0],
        "weights_of_a_maxout_layer": weights[1],
    }
    expected = {
        "sigmoid_gradient_at_minus_10": np.exp(-10) / (1 + np.exp(-10)) ** 2,
        "sigmoid_gradient_at_10": np.exp(-10) / (1 + np.exp(-10)) ** 2,
        "leaky_relu_at_minus_10": -10 * slope,
        "elu_at_minus_1": alpha * (np.exp(-1) - 1),
    }
    return Finding(
        "Sigmoid and tanh have next to no gradient away from zero; the others keep one.",
        all(abs(numbers[name] - value) < 1e-9 for name, value in expected.items())
        and weights[1] == 2 * weights[0],
        f"The sigmoid's gradient at -10 and 10 is {numbers['sigmoid_gradient_at_10']:.3g}, ELU(-1) "
        f"is {numbers['elu_at_minus_1']:.4f}, the leaky ReLU's gradient below zero "
        f"{numbers['leaky_relu_gradient_at_minus_10']:g}; maxout has {weights[1]} weights where an "
        f"affine layer has {weights[0]}.",
        numbers,
        [
            Table(
                ["function", "f(-10)", "f(-1)", "f(10)", "f'(-10)", "f'(-1)", "f'(10)"],
                rows,
                "values and gradients",
            )
        ],
        {"activation_functions": charts.draw(panels, columns=3)},
    )


def _value_and_gradient(function, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns a layer's values at (n,) numbers, and their derivatives."""
    inputs = tf.constant(x[:, None])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        values = function(inputs)
    return values.numpy()[:, 0], tape.gradient(values, inputs).numpy()[:, 0]


def _weights_of(layer, inputs: int) -> int:
    layer.build((None, inputs))
    return layer.count_params()


def saturation(*, depth: int = 10, width: int = 100, seed: int = 0) -> Finding:
    """Saturated units kill gradients: of one layer's weights, and through the depth.

    One hidden layer's weights, drawn after Xavier, are multiplied by up to 100. Sigmoid and tanh
    units go to their asymptotes, and the gradient of the layer's weights goes to zero while what
    arrives from above stays the same; a ReLU's gradient stays. Then a deep network: even
    unsaturated, each sigmoid passes on a quarter of the gradient at most.

    Curriculum: row 47.

    Args:
        depth: layers of the deep network.
        width: units of every layer.
        seed: of inputs, weights, and the gradient that arrives from above.
    """
    factors = (1, 3, 10, 30, 100)
    random = np.random.RandomState(seed)
    inputs, from_above = random.randn(2, 500, width).astype(np.float32)
    saturated, gradients, through = {}, {}, {}
    for act in ("sigmoid", "tanh", "relu"):
        network = initialization.plain_network(act, 1, width)
        initialization.initialize(network, "xavier", np.random.RandomState(seed))
        kernel = network.get_layer("layer1").kernel
        initial = kernel.numpy()
        saturated[act], gradients[act] = [], []
        for factor in factors:
            kernel.assign(factor * initial)
            (found,) = diagnostics.activity(network, inputs)
            saturated[act].append(found.saturated or 0.0)
            with tf.GradientTape() as tape:
                value = tf.reduce_sum(network(inputs) * from_above)
            gradients[act].append(float(tf.norm(tape.gradient(value, kernel.value))))
        gradients[act] = (np.array(gradients[act]) / gradients[act][0]).tolist()
        deep = initialization.plain_network(act, depth, width)
        initialization.initialize(deep, "he" if act == "relu" else "xavier", random)
        norms = diagnostics.gradient_norms(deep, inputs, from_above, _inner_product)
        through[act] = (np.array(list(norms.values())) / norms[f"layer{depth}"]).tolist()
    series = {act: (factors, gradients[act]) for act in gradients}
    panels = [
        charts.Panel(
            "Saturated units",
            {act: (factors, saturated[act]) for act in ("sigmoid", "tanh")},
            "weights times",
            "part",
            x_log=True,
        ),
        charts.Panel(
            "Gradient of the weights", series, "weights times", "relative", x_log=True, y_log=True
        ),
        charts.Panel(
            "Gradient through the depth",
            {act: (np.arange(1, depth + 1), norms) for act, norms in through.items()},
            "layer",
            "relative to the last",
            y_log=True,
        ),
    ]
    first = {act: norms[0] for act, norms in through.items()}
    return Finding(
        "Saturated units kill the gradient; a ReLU passes it on.",
        max(gradients["sigmoid"][-1], gradients["tanh"][-1]) < 0.2
        and gradients["relu"][-1] > 0.99
        and first["sigmoid"] < 0.01 < 0.2 < first["relu"],
        f"With weights 100 times as large {saturated['sigmoid'][-1]:.0%} of the sigmoids and "
        f"{saturated['tanh'][-1]:.0%} of the tanhs are saturated; {gradients['sigmoid'][-1]:.1%} "
        f"and {gradients['tanh'][-1]:.1%} of the weights' gradient is left, with ReLU all of it. "
        f"Of what enters the last of {depth} layers {first['sigmoid']:.1e} arrives at the first "
        f"with sigmoids, {first['tanh']:.2f} with tanh, {first['relu']:.2f} with ReLU.",
        {
            "factors": list(factors),
            "saturated": saturated,
            "weight_gradients": gradients,
            "gradients_through_depth": through,
        },
        figures={"saturation": charts.draw(panels, columns=3)},
    )


def _inner_product(from_above, outputs):
    return tf.reduce_sum(outputs * from_above)


def zig_zag(*, steps: int = 60, learning_rate: float = 0.1, seed: int = 0) -> Finding:
    """All-positive inputs: a unit's gradients all have one sign, and the path zig-zags.

    A unit with two weights learns, one example a step, to be w = (1, -1). Its inputs lie between 0
    and 1, or are the same ones with their mean taken off. Then a network with a sigmoid layer on
    the digits, as pixels from 0 to 1 and with the mean image taken off: the sign of every example's
    gradient, unit by unit.

    Curriculum: row 47.

    Args:
        steps: examples that the unit learns from.
        learning_rate: of its gradient steps.
        seed: of the inputs and the weights.
    """
    raw = np.random.RandomState(seed).rand(steps, 2)
    inputs = {"inputs from 0 to 1": raw, "their mean taken off": raw - 0.5}
    goal = np.array([1.0, -1.0])
    paths, same_sign, lengths, drawn = {}, {}, {}, []
    for name, x in inputs.items():
        path, one_sign = [np.zeros(2)], []
        # The same path needs longer steps where the inputs are shorter.
        rate = learning_rate * np.mean(raw**2) / np.mean(x**2)
        for example in x:
            step = -rate * (path[-1] - goal) @ example * example  # dW = delta * x
            one_sign.append(step[0] * step[1] > 0)
            path.append(path[-1] + step)
        paths[name], same_sign[name] = np.array(path), float(np.mean(one_sign))
        lengths[name] = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
        places = planes.grid((-0.6, 1.4), (-1.4, 0.6))
        losses = np.mean(((places - goal) @ x.T) ** 2, axis=-1)
        limits = {"x_limits": (-0.6, 1.4), "y_limits": (-1.4, 0.6)}
        drawn.append(
            planes.Plane(
                name, **limits, heights=losses, paths={"steps": paths[name]}, log_heights=True
            )
        )
    images, labels = data.digits.arrays("val")
    pixels = images[:100].astype(np.float32) / 255
    keras.utils.set_random_seed(seed)
    network = models.mlp((8, 8, 1), 10, hidden_units=(30, 30), activation="sigmoid")
    signs = {
        "pixels from 0 to 1": diagnostics.gradient_signs(network, pixels, labels[:100]),
        "mean image taken off": diagnostics.gradient_signs(
            network, pixels - pixels.mean(axis=0), labels[:100]
        ),
    }
    straight = {name: lengths[name] / np.linalg.norm(paths[name][-1]) for name in inputs}
    first, second = inputs
    return Finding(
        "Where all inputs are positive, all weights of a unit move up or all move down.",
        same_sign[first] == 1
        and same_sign[second] < 0.7
        and signs["pixels from 0 to 1"]["hidden1"] == 1
        and signs["mean image taken off"]["hidden1"] < 0.1
        and signs["mean image taken off"]["hidden2"] == 1,
        f"With inputs from 0 to 1 both weights move the same way in {same_sign[first]:.0%} of the "
        f"steps, and the path is {straight[first]:.1f} times as long as the straight one; with the "
        f"mean taken off it is {same_sign[second]:.0%} and {straight[second]:.1f}. In the network "
        f"{signs['mean image taken off']['hidden1']:.0%} of the first layer's gradients have one "
        "sign once the mean image is off, but all of those behind the sigmoids.",
        {
            "steps_of_one_sign": same_sign,
            "path_over_straight": straight,
            "gradients_of_one_sign": signs,
            "end": {name: path[-1].tolist() for name, path in paths.items()},
        },
        [
            Table(
                ["inputs", *signs["pixels from 0 to 1"]],
                [[name, *found.values()] for name, found in signs.items()],
                "part of (example, unit) pairs whose weights' gradients are of one sign",
            )
        ],
        {"zig_zag": planes.draw(drawn, columns=2)},
    )


def dead_units(
    *, learning_rate: float = 0.1, epochs: int = 10, units: int = 100, seed: int = 0
) -> Finding:
    """ReLUs die under a learning rate ten times too high, and a lower one does not wake them.

    A network of two hidden layers learns the digits by plain gradient descent. A unit is dead that
    is zero for every picture: no gradient reaches its weights any more. The network that was
    trained at the high rate is then trained on at the good one.

    Curriculum: row 47.

    Args:
        learning_rate: a good one; the other is ten times as high.
        epochs: passes over the training pictures; as many again at the good rate after the high.
        units: of each hidden layer.
        seed: of weights and order.
    """
    high = 10 * learning_rate
    courses = {f"{learning_rate:g}": [learning_rate], f"{high:g}": [high, learning_rate]}
    images, labels = data.digits.arrays("train")
    dead, errors, woken = {}, {}, 0
    for name, rates in courses.items():
        keras.utils.set_random_seed(seed)
        preprocess = data.Preprocess.fitted(images)
        network = models.mlp((8, 8, 1), 10, hidden_units=(units, units))
        task = tasks.Classifier(network, preprocess, data.digits.LABELS)
        task.compile(keras.optimizers.SGD())
        log = diagnostics.ActivityLog(network, preprocess(images))
        silent = _silent(log)
        dead[name], errors[name] = [float(np.mean(silent))], []
        for rate in rates:
            task.optimizer.learning_rate = rate
            before = _silent(log)
            options = {"batch_size": 32, "epochs": epochs, "verbose": 0, "callbacks": [log]}
            history = task.fit(images, labels, **options).history
            both = [history["dead/hidden1"], history["dead/hidden2"]]
            dead[name] += np.mean(both, axis=0).tolist()
            errors[name].append(1 - history["accuracy"][-1])
        woken = int(np.sum(before[0] & ~_silent(log)[0]))  # of the last course: the high rate's
    calm, hasty = dead.values()
    panel = charts.Panel(
        "Dead units by learning rate",
        {
            f"at {learning_rate:g}": (np.arange(epochs + 1), 100 * np.array(calm)),
            f"at {high:g}": (np.arange(epochs + 1), 100 * np.array(hasty[: epochs + 1])),
            f"then at {learning_rate:g}": (
                np.arange(epochs, 2 * epochs + 1),
                100 * np.array(hasty[epochs:]),
            ),
        },
        "epoch",
        "% of the hidden units",
    )
    return Finding(
        "A learning rate ten times too high kills ReLUs, and they stay dead.",
        hasty[epochs] > 2 * calm[-1] + 0.05 and hasty[-1] > hasty[epochs] / 2 and not woken,
        f"After {epochs} epochs {calm[-1]:.1%} of the ReLUs are dead at a learning rate of "
        f"{learning_rate:g}, {hasty[epochs]:.1%} at {high:g}. After as many more at "
        f"{learning_rate:g} it is {hasty[-1]:.1%}: {woken} dead units of the first layer woke.",
        {"dead": dead, "training_error": errors, "first_layer_units_woken": woken},
        figures={"dead_units": charts.draw([panel], columns=1)},
    )


def _silent(log: diagnostics.ActivityLog) -> np.ndarray:
    """Returns (layers, units) bool: the units that are zero for every picture."""
    return np.stack([each.silent for each in diagnostics.activity(log.network, log.inputs)])


LABS = (activation_functions, saturation, zig_zag, dead_units)
