"""Labs of the chapter on loss surfaces: the size of a step, valleys, saddles, minima, noise."""

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf import optimizers
from dlcv_tf.data import digits
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.optimizers import surfaces
from dlcv_tf.plots import charts, planes

FLIPS = 25  # steps of a path that are drawn, and in which changes of sign are counted
AWAY = 0.1  # from the axis of the saddle: beyond, a path has left it


def step_size(
    *,
    curvatures: tuple[float, ...] = (1.0, 8.0),
    parts: tuple[float, ...] = (0.1, 0.5, 0.9, 1.02),
    steps: int = 60,
) -> Finding:
    """Gradient descent falls for rates below 2/L and diverges above, L the largest curvature.

    The loop "evaluate the gradient, take a step" on a quadratic, x^T A x / 2, at several parts of
    the rate 2/L. On a quadratic the path is known beforehand: each coordinate shrinks by
    1 - rate * curvature in a step, x_t = (1 - rate * curvature)^t x_0.

    Curriculum: rows 29, 72.

    Args:
        curvatures: of the quadratic, along its axes.
        parts: rates to try, as parts of 2/L.
        steps: updates.
    """
    curvatures = np.array(curvatures)
    largest = curvatures.max()
    loss = surfaces.quadratic(np.diag(curvatures))
    start = np.ones(len(curvatures))
    curves, rows, error = {}, [], 0.0
    for part in parts:
        rate = part * 2 / largest
        path = optimizers.descend(loss, start, optimizers.SGD(rate), steps)
        formula = (1 - rate * curvatures) ** np.arange(steps + 1)[:, None] * start
        error = max(error, float(np.abs(path - formula).max()))
        values = loss(path).numpy()
        curves[f"{part:g}"] = (np.arange(steps + 1), values)
        rows.append(
            [f"{part:g}", float(rate), float(values[-1]), bool(np.all(np.diff(values) < 0))]
        )
    expected = [part < 1 for part in parts]
    figure = charts.draw(
        [charts.Panel("Loss, for rates as parts of 2/L", curves, "step", "loss", y_log=True)], 1
    )
    return Finding(
        "Gradient descent decreases a quadratic for rates below 2/L and diverges above.",
        [row[3] for row in rows] == expected and error < 1e-9,
        f"2/L is {2 / largest:g}. The loss falls in every step below it and grows above; the path "
        f"differs from its closed form by {error:.1e} at most.",
        {
            "limit": float(2 / largest),
            "worst_error_of_closed_form": error,
            "falls": {row[0]: row[3] for row in rows},
            "last_loss": {row[0]: row[2] for row in rows},
        },
        [Table(["part of 2/L", "rate", f"loss after {steps} steps", "falls in each step"], rows)],
        {"step_size": figure},
    )


def long_valley(
    *, conditions: tuple[float, ...] = (1.0, 10.0, 100.0), target: float = 1e-4
) -> Finding:
    """In a long narrow valley gradient descent zig-zags, and slowly.

    The condition number of a quadratic is the ratio of its LARGEST to its smallest curvature (the
    notes have it the other way round), 1 for a round bowl. Each valley is descended at its best
    constant rate, 2 / (largest + smallest curvature). Across the valley that goes too far, so that
    the sign flips in each step; along the valley it hardly moves.

    Curriculum: row 73.

    Args:
        conditions: condition numbers, increasing.
        target: part of the first loss at which to stop counting steps.
    """
    drawn, rows = [], []
    for condition in conditions:
        matrix = surfaces.valley(condition)
        loss = surfaces.quadratic(matrix)
        rule = optimizers.SGD(2 / (1 + condition))
        path = optimizers.descend(loss, (1.0, 0.4), rule, steps=int(10 * condition) + FLIPS)
        flips = int(np.sum(path[:FLIPS, 1] * path[1 : FLIPS + 1, 1] < 0))
        measured = optimizers.condition_number(matrix)
        rows.append([f"{condition:g}", measured, flips, _steps_to(loss, path, target)])
        limits = (-0.2, 1.1), (-0.65, 0.65)
        heights = loss(planes.grid(*limits)).numpy()
        title = f"Condition number {condition:g}"
        paths = {f"{FLIPS} steps of gradient descent": path[: FLIPS + 1]}
        drawn.append(planes.Plane(title, *limits, heights, paths=paths, log_heights=True))
    counts = [row[3] for row in rows]
    return Finding(
        "In a long narrow valley gradient descent zig-zags across and crawls along.",
        rows[-1][2] == FLIPS and counts == sorted(set(counts)),
        f"To {target:g} of the loss it takes {', '.join(map(str, counts))} steps at condition "
        f"numbers {', '.join(row[0] for row in rows)}. At the last the sign across the valley "
        f"flips in {rows[-1][2]} of {FLIPS} steps.",
        {
            "sign_flips": {row[0]: row[2] for row in rows},
            "steps": {row[0]: row[3] for row in rows},
            "measured": {row[0]: row[1] for row in rows},
        },
        [
            Table(
                ["condition number", "largest/smallest", f"sign flips in {FLIPS}", "steps"],
                rows,
                f"Steps until the loss is {target:g} of the first.",
            )
        ],
        {"long_valley": planes.draw(drawn)},
    )


def saddle_point(
    *, rate: float = 0.02, noise: float = 0.1, steps: int = 200, seed: int = 0
) -> Finding:
    """At a saddle point the gradient vanishes: descent stays, momentum with noise leaves.

    The surface is x^2 - y^2. Started on its axis, y = 0, the gradient has no part along y: descent
    goes to the saddle point and stays there, though the loss falls without end to both sides.
    Momentum alone rolls to the same point. With the noise of minibatches both get off the axis,
    momentum sooner.

    Curriculum: row 73.

    Args:
        rate: learning rate.
        noise: standard deviation of the gradient's noise.
        steps: updates.
        seed: of the noise.
    """
    rules = {
        "gradient descent": (optimizers.SGD(rate), 0.0),
        "momentum": (optimizers.Momentum(rate, 0.8), 0.0),
        "descent with noise": (optimizers.SGD(rate), noise),
        "momentum with noise": (optimizers.Momentum(rate, 0.8), noise),
    }
    paths, left, ends = {}, {}, {}
    for name, (rule, jitter) in rules.items():
        path = optimizers.descend(surfaces.saddle, (1.0, 0.0), rule, steps, noise=jitter, seed=seed)
        away = np.abs(path[:, 1]) > AWAY
        left[name] = int(np.argmax(away)) if away.any() else None
        ends[name] = float(np.hypot(*path[-1]))
        inside = np.abs(path).max(axis=1) <= 1.2
        paths[name] = path[: int(np.argmin(inside)) or None]
    limits = (-1.2, 1.2)
    plane = planes.Plane(
        "x² - y², started at (1, 0)",
        limits,
        limits,
        surfaces.saddle(planes.grid(limits, limits)),
        paths=paths,
    )
    stays = left["gradient descent"] is None and ends["gradient descent"] < 1e-3
    return Finding(
        "Descent that starts on the axis of a saddle stays there; momentum with noise leaves.",
        stays and left["momentum"] is None and left["momentum with noise"] is not None,
        f"After {steps} steps gradient descent is {ends['gradient descent']:.1e} from the saddle "
        f"point. With noise, momentum has left it after {left['momentum with noise']} steps and "
        f"plain descent after {left['descent with noise']}.",
        {"steps_until_it_left": left, "distance_at_the_end": ends},
        figures={"saddle_point": planes.draw([plane])},
    )


def local_minimum(*, rate: float = 0.02, momentum: float = 0.9, steps: int = 150) -> Finding:
    """Gradient descent ends in the nearest minimum; momentum may roll on into a lower one.

    The surface (x^2 - 1)^2 + 0.3 x + y^2 has two minima; the right one, nearer to the start, is the
    higher. The velocity that momentum has gathered carries it over the ridge.

    Curriculum: row 73.

    Args:
        rate: learning rate.
        momentum: part of the velocity that a step keeps.
        steps: updates.
    """
    rules = {
        "gradient descent": optimizers.SGD(rate),
        "momentum": optimizers.Momentum(rate, momentum),
    }
    paths = {
        name: optimizers.descend(surfaces.two_minima, (1.75, 0.7), rule, steps)
        for name, rule in rules.items()
    }
    ends = {name: float(surfaces.two_minima(path[-1])) for name, path in paths.items()}
    x_limits, y_limits = (-1.8, 1.9), (-1.85, 1.85)
    plane = planes.Plane(
        "Two minima",
        x_limits,
        y_limits,
        surfaces.two_minima(planes.grid(x_limits, y_limits)),
        paths=paths,
    )
    return Finding(
        "Gradient descent ends in the nearest minimum; momentum can roll on into a lower one.",
        ends["momentum"] < -0.25 and ends["gradient descent"] > 0.25,
        f"Gradient descent ends at a loss of {ends['gradient descent']:.3f}, momentum at "
        f"{ends['momentum']:.3f}.",
        {"loss": ends, "x": {name: float(path[-1, 0]) for name, path in paths.items()}},
        figures={"local_minimum": planes.draw([plane])},
    )


def gradient_noise(
    *, batch_sizes: tuple[int, ...] = (1, 4, 16, 64, 256), draws: int = 200, seed: int = 0
) -> Finding:
    """A minibatch's gradient is the whole one plus noise, which falls with the root of its size.

    The gradient of a linear softmax classifier on the digits, at its initial weights, from random
    minibatches. Its relative error is the distance to the gradient of all digits over that one's
    length. Four times the pictures halve the error and cost four times the work.

    Curriculum: row 73.

    Args:
        batch_sizes: pictures in a batch.
        draws: batches of each size.
        seed: of weights and batches.
    """
    keras.utils.set_random_seed(seed)
    images, labels = digits.arrays("train")
    images = tf.constant(images.reshape(len(images), -1) / 255.0, tf.float32)
    weights = tf.Variable(tf.random.normal((64, 10)) * 0.01)
    labels = tf.constant(labels)

    @tf.function(reduce_retracing=True)
    def gradient(chosen):
        with tf.GradientTape() as tape:
            logits = tf.gather(images, chosen) @ weights
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                tf.gather(labels, chosen), logits
            )
            loss = tf.reduce_mean(losses)
        return tape.gradient(loss, weights)

    whole = gradient(tf.range(len(labels)))
    random = np.random.default_rng(seed)
    errors = {}
    for size in batch_sizes:
        batches = [random.choice(len(labels), size) for _ in range(draws)]
        distances = [float(tf.norm(gradient(tf.constant(b)) - whole)) ** 2 for b in batches]
        errors[size] = float(np.sqrt(np.mean(distances)) / tf.norm(whole))
    sizes, values = np.array(list(errors)), np.array(list(errors.values()))
    slope = float(np.polyfit(np.log(sizes), np.log(values), 1)[0])
    lines = {
        "measured": charts.Series(sizes, values, marks=True),
        "1/√size": (sizes, values[0] / np.sqrt(sizes / sizes[0])),
    }
    figure = charts.draw(
        [
            charts.Panel(
                "Error of a minibatch's gradient, relative to the whole one",
                lines,
                "pictures in the batch",
                x_log=True,
                y_log=True,
                y_limits=(0.1, 10),
            )
        ],
        1,
    )
    return Finding(
        "The noise of a minibatch's gradient falls with the root of the batch size.",
        abs(slope + 0.5) < 0.05,
        f"The error is {values[0]:.2f} of the gradient for {sizes[0]} and {values[-1]:.2f} for "
        f"{sizes[-1]} pictures; in between it falls with the power {slope:.2f} of the size.",
        {"relative_error": {str(size): value for size, value in errors.items()}, "power": slope},
        figures={"gradient_noise": figure},
    )


def rotated_valley(
    *, condition: float = 100.0, degrees: float = 45.0, target: float = 1e-4, steps: int = 1000
) -> Finding:
    """Rules with a rate for each weight help only along the axes: the squashed taco.

    The same long valley, along an axis and turned by 45 degrees. AdaGrad, RMSProp and Adam divide
    each weight's step by the size of its own gradients, which undoes a valley along the axes. In a
    turned one both weights have the same gradients, and there is nothing to undo. Gradient descent
    and momentum take the same steps in both, only turned.

    Curriculum: row 79.

    Args:
        condition: condition number of the valley.
        degrees: how far it is turned.
        target: part of the first loss that is to be reached.
        steps: at most so many.
    """
    loss, turned = (surfaces.quadratic(surfaces.valley(condition, turn)) for turn in (0, degrees))
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    start = np.array([1.0, 1.0])
    rules = {
        "gradient descent": lambda: optimizers.SGD(1.5 / condition),
        "momentum": lambda: optimizers.Momentum(1.0 / condition, 0.9),
        "AdaGrad": lambda: optimizers.AdaGrad(0.5),
        "RMSProp": lambda: optimizers.RMSProp(0.01, 0.99),
        "Adam": lambda: optimizers.Adam(0.05),
    }
    rows, ratios, paths, error = [], {}, ({}, {}), 0.0
    for name, rule in rules.items():
        along = optimizers.descend(loss, start, rule(), steps)
        across = optimizers.descend(turned, turn @ start, rule(), steps)
        counts = [_steps_to(loss, along, target), _steps_to(turned, across, target)]
        ratios[name] = counts[1] / counts[0]
        rows.append([name, *counts, ratios[name]])
        if name in ("gradient descent", "momentum"):
            error = max(error, float(np.abs(along @ turn.T - across).max()))
        if name in ("momentum", "AdaGrad", "Adam"):
            paths[0][name], paths[1][name] = along[:100], across[:100]
    limits = (-1.6, 1.6)
    grid = planes.grid(limits, limits)
    drawn = [
        planes.Plane(title, limits, limits, f(grid).numpy(), paths=each, log_heights=True)
        for title, f, each in (
            ("Along an axis", loss, paths[0]),
            (f"Turned by {degrees:g} degrees", turned, paths[1]),
        )
    ]
    adaptive = [ratios[name] for name in ("AdaGrad", "RMSProp", "Adam")]
    return Finding(
        "No rule with a rate for each weight helps in a valley that is not along an axis.",
        min(adaptive) >= 2 and error < 1e-10,
        f"Turned, AdaGrad needs {adaptive[0]:.1f}, RMSProp {adaptive[1]:.1f} and Adam "
        f"{adaptive[2]:.1f} times the steps; descent and momentum take the same ones to "
        f"{error:.0e}.",
        {"ratio": ratios, "worst_difference_of_turned_descent": error}
        | {"steps": {row[0]: row[1:3] for row in rows}},
        [
            Table(
                ["rule", "steps along an axis", "steps turned", "ratio"],
                rows,
                f"Steps until the loss is {target:g} of the first.",
            )
        ],
        {"rotated_valley": planes.draw(drawn, 2)},
    )


def _steps_to(loss, path: np.ndarray, target: float) -> int:
    """Returns after how many steps a path's loss is below a part of the first; all if never."""
    values = np.asarray(loss(path))
    below = values <= target * values[0]
    return int(np.argmax(below)) if below.any() else len(path) - 1


LABS = (step_size, long_valley, saddle_point, local_minimum, gradient_noise, rotated_valley)
