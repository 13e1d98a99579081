"""Labs of the chapter on update rules: momentum to Adam, decays, Newton's method and L-BFGS."""

import keras
import numpy as np

from dlcv_tf import optimizers
from dlcv_tf.data import digits
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.optimizers import second_order, surfaces
from dlcv_tf.plots import charts, planes

RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)


def nesterov_overshoot(
    *, condition: float = 20.0, rate: float = 0.02, momentum: float = 0.9, steps: int = 80
) -> Finding:
    """Nesterov momentum overshoots the minimum less than momentum does.

    Both on the same valley from the same start. Momentum takes the gradient where it is, and finds
    out too late that it went too far; Nesterov momentum takes it where the velocity is about to
    carry it, and brakes. Its two forms, the look-ahead one of the papers and the rewritten one of
    the codes, take the same steps.

    Curriculum: row 75.

    Args:
        condition: condition number of the valley.
        rate: learning rate.
        momentum: part of the velocity that a step keeps.
        steps: updates.
    """
    loss = surfaces.quadratic(surfaces.valley(condition))
    start = (1.0, 0.5)
    rules = {
        "momentum": optimizers.Momentum(rate, momentum),
        "Nesterov": optimizers.Nesterov(rate, momentum),
    }
    paths = {name: optimizers.descend(loss, start, rule, steps) for name, rule in rules.items()}
    other = optimizers.Nesterov(rate, momentum, form="look_ahead")
    apart = np.abs(paths["Nesterov"] - optimizers.descend(loss, start, other, steps)).max()
    beyond = {name: [float(-each) for each in path.min(axis=0)] for name, path in paths.items()}
    limits = (-0.7, 1.1), (-0.6, 0.6)
    heights = loss(planes.grid(*limits)).numpy()
    drawn = [
        planes.Plane(name.capitalize(), *limits, heights, paths={f"{steps} steps": path})
        for name, path in paths.items()
    ]
    return Finding(
        "Nesterov momentum overshoots the minimum less than momentum does.",
        all(a < b for a, b in zip(beyond["Nesterov"], beyond["momentum"], strict=True))
        and apart < 1e-12,
        f"Along the valley momentum goes {beyond['momentum'][0]:.2f} beyond the minimum, Nesterov "
        f"{beyond['Nesterov'][0]:.2f}; across it {beyond['momentum'][1]:.2f} and "
        f"{beyond['Nesterov'][1]:.2f}. The two forms of Nesterov differ by {apart:.0e}.",
        {"overshoot_along": {name: each[0] for name, each in beyond.items()}}
        | {"overshoot_across": {name: each[1] for name, each in beyond.items()}}
        | {"forms_differ_by": float(apart)},
        figures={"nesterov_overshoot": planes.draw(drawn, 2)},
    )


def race_of_rules(*, steps: int = 1000, target: float = 1e-2) -> Finding:
    """All update rules on one surface, each at its best rate.

    The surface is Rosenbrock's bent valley, from (-1, 1): down the wall is easy, along the floor it
    is nearly flat. Each rule runs at nine rates from 3e-4 to 3, and the one that is first below the
    target for good counts. Momentum, in any form, is what carries along the floor.

    Curriculum: rows 31, 74, 76, 77, 78.

    Args:
        steps: at most so many.
        target: loss to reach.
    """
    rules = {
        "SGD": optimizers.SGD,
        "Momentum": optimizers.Momentum,
        "Nesterov": optimizers.Nesterov,
        "AdaGrad": optimizers.AdaGrad,
        "RMSProp": optimizers.RMSProp,
        "Adam": optimizers.Adam,
    }
    rows, paths = [], {}
    for name, rule in rules.items():
        results = []
        for rate in RATES:
            path = optimizers.descend(surfaces.rosenbrock, (-1.0, 1.0), rule(rate), steps)
            with np.errstate(all="ignore"):  # too large a rate diverges
                losses = surfaces.rosenbrock(path)
            above = np.flatnonzero(~(losses < target))
            last = float(losses[-1]) if np.isfinite(losses[-1]) else np.inf
            results.append((int(above[-1]) + 1, last, rate, path))
        needed, last, rate, paths[name] = min(results, key=lambda result: result[:3])
        rows.append([name, rate, needed if needed <= steps else f"over {steps}", last])
    x_limits, y_limits = (-1.5, 1.5), (-0.6, 1.7)
    heights = surfaces.rosenbrock(planes.grid(x_limits, y_limits))
    drawn = [
        planes.Plane(
            f"{row[0]}, rate {row[1]:g}", x_limits, y_limits, heights,
            paths={f"{row[2]} steps to {target:g}": paths[row[0]][:200]}, log_heights=True,
        )
        for row in rows
    ]  # fmt: skip
    counts = {row[0]: row[2] if isinstance(row[2], int) else steps for row in rows}
    return Finding(
        "With momentum, in any form, a bent valley is passed sooner than without.",
        max(counts["Momentum"], counts["Nesterov"], counts["Adam"])
        < min(counts["SGD"], counts["AdaGrad"], counts["RMSProp"]),
        f"To a loss of {target:g}: "
        + ", ".join(f"{row[0]} {row[2]} steps at {row[1]:g}" for row in rows)
        + ".",
        {row[0]: {"rate": row[1], "steps": counts[row[0]], "last_loss": row[3]} for row in rows},
        [Table(["rule", "best rate", f"steps to {target:g}", f"loss after {steps}"], rows)],
        {"race_of_rules": planes.draw(drawn)},
    )


def adam_bias_correction(*, rate: float = 1e-3, steps: int = 3000) -> Finding:
    """Without its bias correction, Adam's first steps are several rates long.

    Under a constant gradient each step of Adam should be one rate long. Both of its means start at
    zero, the one of squares 100 times slower than the other (0.999 and 0.9): uncorrected, the first
    step is (1 - 0.9) / sqrt(1 - 0.999) = 3.16 rates, and the next ones are longer still.

    Curriculum: row 78.

    Args:
        rate: learning rate.
        steps: updates.
    """
    lines, first, longest = {}, {}, {}
    for name, correct in {"corrected": True, "uncorrected": False}.items():
        rule = optimizers.Adam(rate, bias_correction=correct)
        path = optimizers.descend(lambda x: -x[0], (0.0,), rule, steps)[:, 0]
        lengths = np.diff(path) / rate
        lines[name] = (np.arange(1, steps + 1), lengths)
        first[name], longest[name] = float(lengths[0]), float(lengths.max())
    expected = (1 - 0.9) / np.sqrt(1 - 0.999)
    figure = charts.draw(
        [charts.Panel("Length of Adam's steps", lines, "step", "rates", x_log=True)], 1
    )
    return Finding(
        "Without bias correction Adam's first step is 3.16 rates long, with it one.",
        abs(first["uncorrected"] - expected) < 1e-5 and abs(first["corrected"] - 1) < 1e-5,
        f"The first step is {first['corrected']:.3f} rates long with and "
        f"{first['uncorrected']:.3f} without the correction, the longest "
        f"{longest['corrected']:.2f} and {longest['uncorrected']:.2f}.",
        {"first_step": first, "longest_step": longest, "expected": float(expected)},
        figures={"adam_bias_correction": figure},
    )


def decay_schedules(*, rate: float = 0.5, epochs: int = 20, seed: int = 0) -> Finding:
    """A constant rate stays above the minimum by its noise; any decay gets closer.

    A regularised linear classifier on the digits, minibatches of 16, by SGD: constant, halved every
    four epochs, exponential and 1/t. The problem is convex, and its minimum known from L-BFGS;
    what is left above it is drawn.

    Curriculum: row 80.

    Args:
        rate: the first learning rate.
        epochs: passes over the 1,258 training digits.
        seed: of the order.
    """
    x, y = _digits()
    least = _minimum(x, y)
    per_epoch = -(-len(x) // 16)
    k = 6 / epochs
    schedules = {
        "constant": rate,
        "step": optimizers.step_decay(rate, every=epochs // 5 * per_epoch),
        "exponential": optimizers.exponential_decay(rate, k, per_epoch),
        "1/t": optimizers.one_over_t_decay(rate, 4 * k, per_epoch),
    }
    rates, above, rows = {}, {}, []
    for name, schedule in schedules.items():
        model = _softmax(optimizers.SGD(schedule))
        keras.utils.set_random_seed(seed)
        excess = _Excess(x, y, least)
        model.fit(x, y, batch_size=16, epochs=epochs, callbacks=[excess], verbose=0)
        steps = np.arange(0, epochs * per_epoch, per_epoch)
        of_step = (lambda step: rate) if name == "constant" else schedule
        rates[name] = (np.arange(epochs), [float(of_step(step)) for step in steps])
        above[name] = (np.arange(1, epochs + 1), excess.values)
        rows.append([name, rates[name][1][-1], excess.values[2], excess.values[-1]])
    last = {row[0]: row[3] for row in rows}
    one_over_t = schedules["1/t"]
    half = float(one_over_t(per_epoch / (4 * k))) / rate
    figure = charts.draw(
        [
            charts.Panel("Learning rate", rates, "epoch", y_limits=(0, rate * 1.05)),
            charts.Panel("Loss above the minimum", above, "epoch", y_log=True),
        ]
    )
    return Finding(
        "Any decay of the rate gets closer to the minimum than a constant rate.",
        max(last[name] for name in last if name != "constant") < last["constant"] / 3,
        f"After {epochs} epochs the loss is above its minimum by "
        + ", ".join(f"{value:.1e} ({name})" for name, value in last.items())
        + f". The 1/t rate at t = 1/k is {half:.3f} of the first.",
        {"above_minimum": last, "one_over_t_at_one_over_k": half}
        | {"after_three_epochs": {row[0]: row[2] for row in rows}},
        [Table(["decay", "last rate", "above minimum after 3 epochs", "at the end"], rows)],
        {"decay_schedules": figure},
    )


def newton_method(*, steps: int = 30) -> Finding:
    """Newton's method needs no learning rate and few steps, and memory for N^2 numbers.

    A quadratic (regularised least squares) is solved in one step. The regularised softmax
    classifier on the digits, 650 parameters, takes Newton's method a handful of steps where
    gradient descent, at the best of nine rates, is far from done. The table says why networks are
    not trained so.

    Curriculum: row 81.

    Args:
        steps: of gradient descent and L-BFGS.
    """
    x, y = _digits()
    with optimizers.double_precision():
        ridge = keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(1e-2))
        line = keras.Sequential([keras.Input((64,)), ridge])
        line.compile("sgd", "mse")
        one = optimizers.newton(line, x, y[:, None].astype(np.float64), verbose=0)
    histories = {
        "Newton": _second_order(optimizers.newton, x, y, tolerance=1e-9),
        "L-BFGS": _second_order(optimizers.lbfgs, x, y, steps=steps),
    }
    descents = {
        rate: _second_order(_gradient_descent, x, y, rate=rate, steps=steps) for rate in RATES
    }
    best = min(RATES, key=lambda rate: descents[rate][-1])
    histories[f"descent, rate {best:g}"] = descents[best]
    least = _minimum(x, y)
    curves = {
        name: (np.arange(len(losses)), np.maximum(np.array(losses) - least, 1e-13))
        for name, losses in histories.items()
    }
    networks = {
        "softmax on digits": 650,
        "a layer of 100 units on digits": 7510,
        "softmax on CIFAR-10": 30_730,
        "ResNet-20": 272_474,
        "AlexNet": 62_378_344,
    }
    rows = [[name, n, second_order.hessian_bytes(n) / 2**30] for name, n in networks.items()]
    taken = len(histories["Newton"]) - 1
    figure = charts.draw([charts.Panel("Loss above the minimum", curves, "step", y_log=True)], 1)
    return Finding(
        "Newton's method needs few steps and no learning rate, but memory for N^2 numbers.",
        len(one["loss"]) == 2
        and taken < 12
        and histories["Newton"][-1] - least < 1e-9
        and descents[best][-1] - least > 1e-3,
        f"The quadratic is solved in {len(one['loss']) - 1} step. On the digits Newton's method "
        f"takes {taken} steps to the minimum; after {steps} steps L-BFGS is "
        f"{curves['L-BFGS'][1][-1]:.1e} and gradient descent "
        f"{descents[best][-1] - least:.1e} above it.",
        {
            "steps_on_a_quadratic": len(one["loss"]) - 1,
            "gradient_after_it": one["gradient_norm"][-1],
            "newton_steps": taken,
            "above_minimum": {name: float(each[-1]) - least for name, each in histories.items()},
            "hessian_gib": {row[0]: row[2] for row in rows},
        },
        [Table(["network", "parameters", "GiB for Newton's method"], rows)],
        {"newton_method": figure},
    )


def minibatch_lbfgs(*, batch_size: int = 64, epochs: int = 30, seed: int = 0) -> Finding:
    """L-BFGS wants the whole batch: on minibatches it stalls, far from the minimum.

    The regularised softmax classifier on the digits. L-BFGS on all digits goes straight to the
    minimum. On minibatches its memory holds differences of gradients of different pictures, mostly
    noise, and its line search goes to the minimum of one batch: it wanders about, where minibatch
    SGD with a decaying rate gets ever closer.

    Curriculum: row 82.

    Args:
        batch_size: pictures in a minibatch.
        epochs: passes over the 1,258 training digits.
        seed: of the minibatches.
    """
    x, y = _digits()
    least = _minimum(x, y)
    whole = _second_order(optimizers.lbfgs, x, y, steps=epochs)
    batched = _lbfgs_on_minibatches(x, y, batch_size, epochs, seed)
    rate = optimizers.exponential_decay(1.0, 4 / epochs, steps=-(-len(x) // batch_size))
    model, excess = _softmax(optimizers.SGD(rate)), _Excess(x, y, 0.0)
    keras.utils.set_random_seed(seed)
    model.fit(x, y, batch_size=batch_size, epochs=epochs, callbacks=[excess], verbose=0)
    losses = {"L-BFGS, all digits": whole[1:], "L-BFGS, minibatches": batched}
    losses |= {"SGD, minibatches": excess.values}
    curves = {
        name: (np.arange(1, len(each) + 1), np.array(each) - least) for name, each in losses.items()
    }
    last = {name: float(each[-1]) for name, (_, each) in curves.items()}
    tail = float(np.mean(curves["L-BFGS, minibatches"][1][-epochs // 3 :]))
    figure = charts.draw(
        [charts.Panel("Loss above the minimum", curves, "pass over the digits", y_log=True)], 1
    )
    return Finding(
        "L-BFGS on minibatches stalls; on the whole batch it finds the minimum.",
        max(last["L-BFGS, all digits"], last["SGD, minibatches"]) < tail / 3,
        f"After {epochs} passes L-BFGS is {last['L-BFGS, all digits']:.1e} above the minimum with "
        f"the whole batch and {tail:.1e} (mean of the last third) with minibatches of "
        f"{batch_size}, SGD {last['SGD, minibatches']:.1e}.",
        {"above_minimum": last, "minibatches_last_third": tail},
        figures={"minibatch_lbfgs": figure},
    )


def _digits() -> tuple[np.ndarray, np.ndarray]:
    images, labels = digits.arrays("train")
    return images.reshape(len(images), -1) / 255.0, labels


def _softmax(optimizer, l2: float = 1e-2) -> keras.Model:
    """Returns the regularised linear classifier of digits: convex, with one minimum."""
    penalty = keras.regularizers.L2(l2)
    dense = keras.layers.Dense(10, None, True, "zeros", kernel_regularizer=penalty,
                               bias_regularizer=penalty)  # fmt: skip
    model = keras.Sequential([keras.Input((64,)), dense])
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def _second_order(train, x, y, **options) -> list[float]:
    """Returns the losses of a full-batch method on a new classifier, in float64."""
    with optimizers.double_precision():
        return train(_softmax("sgd"), x, y, verbose=0, **options)["loss"]


def _minimum(x, y) -> float:
    """Returns the least loss there is."""
    return _second_order(optimizers.newton, x, y)[-1]


def _gradient_descent(model, x, y, *, rate: float, steps: int, verbose: int) -> dict:
    """Returns the losses of gradient descent on the whole batch."""
    objective = second_order.FullBatch(model, x, y)
    point, losses = objective.point(), []
    for _ in range(steps + 1):
        loss, gradient = objective.loss_and_gradient(point)
        losses.append(loss)
        point = point - rate * gradient
    return {"loss": losses}


def _lbfgs_on_minibatches(x, y, batch_size: int, epochs: int, seed: int) -> list[float]:
    """Returns the whole loss after each epoch of L-BFGS, one step on each minibatch."""
    random = np.random.default_rng(seed)
    with optimizers.double_precision():
        model = _softmax("sgd")
        whole = second_order.FullBatch(model, x, y)
        batch = second_order.FullBatch(model, x[:batch_size], y[:batch_size])
        inverse = second_order.InverseHessian()
        point, before, losses = whole.point(), None, []
        for _ in range(epochs):
            order = random.permutation(len(x))
            for first in range(0, len(x) - batch_size + 1, batch_size):
                chosen = order[first : first + batch_size]
                batch.use(x[chosen], y[chosen])
                _, gradient = batch.loss_and_gradient(point)
                if before is not None:
                    inverse.remember(point - before[0], gradient - before[1])
                before = point, gradient
                following = second_order.search_along(batch, point, -inverse.times(gradient))
                point = point if following is None else following
            losses.append(whole.loss_and_gradient(point)[0])
    return losses


class _Excess(keras.callbacks.Callback):
    """Keeps how far the whole loss is above a value, after each epoch."""

    def __init__(self, x, y, least: float):
        super().__init__()
        self.x, self.y, self.least, self.values = x, y, least, []

    def on_epoch_end(self, epoch, logs=None):
        loss = self.model.evaluate(self.x, self.y, batch_size=len(self.x), verbose=0)
        self.values.append(float(loss) - self.least)


LABS = (
    nesterov_overshoot,
    race_of_rules,
    adam_bias_correction,
    decay_schedules,
    newton_method,
    minibatch_lbfgs,
)
