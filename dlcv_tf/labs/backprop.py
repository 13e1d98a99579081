"""Labs of the chapter on computational graphs, backpropagation and gradient checks."""

import numpy as np
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.ops import finite_differences, gates
from dlcv_tf.plots import charts, circuits

SYMBOLS = {
    gates.Add: "+",
    gates.Multiply: "×",
    gates.Maximum: "max",
    gates.Negate: "×−1",
    gates.Exp: "exp",
    gates.Reciprocal: "1/x",
    gates.Sqrt: "√",
    gates.Sum: "Σ",
    gates.MatMul: "@",
}


def gates_circuit(*, x: float = -2.0, y: float = 5.0, z: float = -4.0) -> Finding:
    """Backpropagation through f = (x + y) z, gate by gate, and by TensorFlow's tape.

    Add distributes the gradient, multiply switches its inputs, and max, in a circuit of its own,
    routes it to the larger input; a value that is used twice gets the sum of both branches.

    Curriculum: rows 32, 33, 34.

    Args:
        x: first number.
        y: second number.
        z: factor.

    Reference: CS231n notes, "Backpropagation, Intuitions".
    """
    inputs = [gates.Input(value, name) for value, name in ((x, "x"), (y, "y"), (z, "z"))]
    f = (inputs[0] + inputs[1]) * inputs[2]
    gates.backward(f)
    found = [float(each.gradient) for each in inputs]
    tensors = [tf.constant(value, tf.float64) for value in (x, y, z)]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        theirs = (tensors[0] + tensors[1]) * tensors[2]
    expected = [float(each) for each in tape.gradient(theirs, tensors)]

    behaviour = []
    for kind, does in (
        (gates.Add, "distributes"),
        (gates.Maximum, "routes"),
        (gates.Multiply, "switches"),
    ):
        a, b = gates.Input(x), gates.Input(y)
        gates.backward(kind(a, b) * 2)
        behaviour.append([kind.__name__, does, x, y, 2.0, float(a.gradient), float(b.gradient)])
    a = gates.Input(x)
    gates.backward(a * a + a)
    branches = float(a.gradient)
    routed = [2.0, 0.0] if x >= y else [0.0, 2.0]
    kinds = [row[-2:] for row in behaviour]
    return Finding(
        claim="Every gate needs only its own local gradient: backpropagation multiplies them.",
        holds=np.allclose(found, expected)
        and kinds == [[2, 2], routed, [2 * y, 2 * x]]
        and np.isclose(branches, 2 * x + 1),
        summary=f"f = {float(f.value):g}; df/dx, df/dy, df/dz = {found[0]:g}, {found[1]:g}, "
        f"{found[2]:g}, by tf.GradientTape the same; d(x x + x)/dx = {branches:g} = 2x + 1.",
        numbers={
            "f": float(f.value),
            "gradients": found,
            "gradients_by_tensorflow": expected,
            "branches": branches,
        },
        tables=[
            _circuit_table(f, "the circuit, in the order of computing"),
            Table(
                ("gate", "it", "x", "y", "gradient in", "to x", "to y"),
                behaviour,
                "what gates do to a gradient",
            ),
        ],
        figures={"gates_circuit": _drawn(f)},
    )


def sigmoid_circuit(
    *, w: tuple[float, ...] = (2.0, -3.0, -3.0), x: tuple[float, ...] = (-1.0, -2.0)
) -> Finding:
    """Exercise with solution: a sigmoid neuron, broken into gates and differentiated.

    f = 1 / (1 + e^-(w0 x0 + w1 x1 + w2)), with a plus: the sigmoid is the gates x -1, exp, + 1 and
    1/x. Going back through them one by one gives the same as the one gate s with s' = s (1 - s).

    Curriculum: row 37. Erratum E2: the sigmoid is not 1 / (1 - e^-x).

    Args:
        w: a weight for each input, and the bias.
        x: the inputs.

    Reference: CS231n notes, "Backpropagation, Intuitions", sigmoid example.
    """
    if len(w) != len(x) + 1:
        raise InputError(
            f"got {len(w)} weights for {len(x)} inputs, expected {len(x) + 1}: the last is the bias"
        )
    weights = [gates.Input(value, f"w{i}") for i, value in enumerate(w)]
    inputs = [gates.Input(value, f"x{i}") for i, value in enumerate(x)]
    dot = weights[0] * inputs[0]
    for weight, value in zip(weights[1:-1], inputs[1:], strict=True):
        dot = dot + weight * value
    dot = dot + weights[-1]
    f = gates.Reciprocal(gates.Exp(-dot) + 1)
    gates.backward(f)
    by_gates = [float(each.gradient) for each in (*weights, *inputs)]
    s = float(f.value)
    slope = s * (1 - s)  # the sigmoid as one gate
    by_hand = [slope * value for value in (*x, 1.0, *w[:-1])]
    tensors = tf.constant([*w, *x], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        theirs = tf.sigmoid(tf.reduce_sum(tensors[: len(x)] * tensors[len(w) :]) + tensors[len(x)])
    by_tensorflow = tape.gradient(theirs, tensors).numpy().tolist()
    worst = float(np.abs(np.subtract([by_hand, by_tensorflow], by_gates)).max())
    names = [each.name for each in (*weights, *inputs)]
    return Finding(
        claim="A sigmoid is four gates, and its gradient is theirs multiplied: s (1 - s).",
        holds=worst < 1e-12,
        summary=f"f = {s:.2f}; gradients by w: "
        f"{', '.join(f'{g:.2f}' for g in by_gates[: len(w)])}; by x: "
        f"{', '.join(f'{g:.2f}' for g in by_gates[len(w) :])}; the same by s (1 - s) and by "
        f"TensorFlow within {worst:.0e}.",
        numbers={
            "dot": float(dot.value),
            "f": s,
            "dw": by_gates[: len(w)],
            "dx": by_gates[len(w) :],
            "worst_difference": worst,
        },
        tables=[
            _circuit_table(f, "the circuit, in the order of computing"),
            Table(
                ("by", "gate by gate", "s (1 - s)", "TensorFlow"),
                list(zip(names, by_gates, by_hand, by_tensorflow, strict=True)),
                "three ways to the same gradient",
            ),
        ],
        figures={"sigmoid_circuit": _drawn(f)},
    )


def l2_norm_gradient(
    *, w: tuple[float, ...] = (0.1, 0.5, -0.3, 0.8), x: tuple[float, ...] = (0.2, 0.4)
) -> Finding:
    """Exercise with solution: the gradients of ||W x||^2 and of ||x||.

    With q = W x and f = q . q: df/dq = 2 q, so df/dW = 2 q x^T (each W_ij multiplies x_j and adds
    to q_i) and df/dx = W^T 2 q. The norm itself is the square root of x . x: by the chain rule
    2 x / (2 ||x||) = x / ||x||, a direction; at x = 0 there is none, and 0 is taken.

    Curriculum: row 36.

    Args:
        w: W row by row, as many columns as x has numbers.
        x: a vector.

    Reference: CS231n, lecture 4, vectorised example.
    """
    if len(w) % len(x):
        raise InputError(f"got {len(w)} weights, expected a multiple of x's {len(x)} numbers")
    matrix, vector = np.reshape(w, (-1, len(x))), np.array(x)
    W, X = gates.Input(matrix, "W"), gates.Input(vector, "x")
    q = W @ X
    f = gates.Sum(q * q)
    gates.backward(f)
    solved = {
        "dW": 2 * np.outer(q.value, vector),
        "dx": matrix.T @ (2 * q.value),
        "norm": vector / np.linalg.norm(vector) if vector.any() else vector,
    }
    given = gates.Input(vector, "x")
    norm = gates.Sqrt(gates.Sum(given * given))
    gates.backward(norm)
    by_gates = {"dW": W.gradient, "dx": X.gradient, "norm": given.gradient}
    numerical = {
        "dW": finite_differences.numerical_gradient(lambda w: np.sum((w @ vector) ** 2), matrix),
        "dx": finite_differences.numerical_gradient(lambda x: np.sum((matrix @ x) ** 2), vector),
        "norm": finite_differences.numerical_gradient(np.linalg.norm, vector),
    }
    errors = {
        name: float(
            finite_differences.relative_error(solution.ravel(), numerical[name].values).max()
        )
        for name, solution in solved.items()
    }
    agree = all(np.allclose(by_gates[name], solved[name], atol=1e-12) for name in solved)
    zero = gates.Input(np.zeros(2))
    gates.backward(gates.Sqrt(gates.Sum(zero * zero)))
    titles = {"dW": "2 q x^T", "dx": "W^T 2 q", "norm": "x / ||x||"}
    rows = [
        (name, titles[name], _numbers(solved[name]), _numbers(by_gates[name]), errors[name])
        for name in solved
    ]
    return Finding(
        claim="||W x||^2 has the gradients 2 (W x) x^T and 2 W^T (W x), and ||x|| has x / ||x||.",
        holds=agree and max(errors.values()) < 1e-8 and not zero.gradient.any(),
        summary=f"q = {_numbers(q.value)}, f = {float(f.value):.4g}; the formulas, the gates and "
        f"finite differences agree within {max(errors.values()):.0e}.",
        numbers={
            "q": q.value.tolist(),
            "f": float(f.value),
            "dW": solved["dW"].tolist(),
            "dx": solved["dx"].tolist(),
            "norm_gradient": solved["norm"].tolist(),
            "norm_gradient_at_zero": zero.gradient.tolist(),
            "numerical_errors": errors,
        },
        tables=[
            Table(("gradient", "formula", "solution", "by gates", "numerical error"), rows),
            _circuit_table(f, "the circuit of ||W x||^2"),
        ],
    )


def gradient_check_steps(*, examples: int = 10, places: int = 60, seed: int = 0) -> Finding:
    """How good a finite difference is: the step, one side or two, float32, kinks.

    The gradient of a two-layer network's softmax loss is measured at steps from 0.1 down to 1e-12.
    Large steps err by the curvature, by h one-sided and h^2 centred, small ones by rounding, by
    eps / h. So the error is a V, and in float32 its bottom is too high to tell right from wrong.
    With ReLU in place of tanh, a place at which some unit switches within the step is wrong in any
    precision: `gradcheck` finds these kinks.

    Curriculum: row 28.

    Args:
        examples: size of the batch; more of them have more kinks.
        places: number of weights that are checked, of 160, chosen at random.
        seed: of the batch, the weights and the choice.

    Reference: CS231n notes, "Learning", section "Gradient checks".
    """
    generator = np.random.default_rng(seed)
    batch, weights = generator.normal(size=(examples, 8)), generator.normal(size=(8, 20)) / 8**0.5
    second = generator.normal(size=(20, 3)) / 20**0.5
    chosen = generator.permutation(weights.size)[:places]

    def measure(activation, h, centred=True, dtype=np.float64):
        """Returns each place's error, relative to the steepest slope, and where kinks were told."""

        def loss(first):
            scores = activation(batch.astype(dtype) @ first) @ second.astype(dtype)
            return np.mean(np.log(np.exp(scores).sum(1)) - scores[:, 0])

        found = finite_differences.numerical_gradient(
            loss, weights.astype(dtype), h, centred, places=chosen
        )
        exact = _two_layer_gradient(batch, weights, second, activation).ravel()
        return abs(found.values - exact[chosen]) / abs(exact).max(), found.kinks

    sizes = {np.float32: np.logspace(-1, -6, 11), np.float64: np.logspace(-1, -12, 23)}
    curves = {
        f"{kind.__name__} {name}": (
            sizes[kind],
            [float(measure(np.tanh, h, centred, kind)[0].max()) for h in sizes[kind]],
        )
        for kind in (np.float32, np.float64)
        for name, centred in (("one-sided", False), ("centred", True))
    }
    kinked, smooth, missed, rows = [], [], 0, []
    steps = np.logspace(-1, -7, 13)
    for h in steps:
        errors, told = measure(_relu, h)
        switches = _switches(batch, weights, h).ravel()[chosen]
        kinked.append(errors[switches].max() if switches.any() else np.nan)
        smooth.append(errors[~switches].max() if not switches.all() else np.nan)
        missed += int((errors[~told] > 1e-3).sum()) if h <= 1e-3 else 0
        rows.append((f"{h:.0e}", int(switches.sum()), int(told.sum()), kinked[-1], smooth[-1]))
    best = {name: min(errors) for name, (_, errors) in curves.items()}
    best_step = {name: float(h[np.argmin(errors)]) for name, (h, errors) in curves.items()}
    one, two = best["float64 one-sided"], best["float64 centred"]
    return Finding(
        claim="Check gradients centred, in float64, with h about 1e-5, and away from kinks.",
        holds=two < 1e-9 < one < best["float32 centred"]
        and best["float32 centred"] > 1e-5
        and 1e-6 <= best_step["float64 centred"] <= 1e-4
        and missed == 0,
        summary=f"Smallest error in float64: centred {two:.0e} at h = "
        f"{best_step['float64 centred']:.0e}, one-sided {one:.0e}; in float32 "
        f"{best['float32 centred']:.0e}. With ReLU the error at places with a kink is up to "
        f"{np.nanmax(kinked):.1g}.",
        numbers={
            "errors": {
                name: dict(zip(h.tolist(), e, strict=True)) for name, (h, e) in curves.items()
            },
            "best_error": best,
            "best_step": best_step,
            "wrong_slopes_not_told_up_to_1e-3": missed,
        },
        tables=[
            Table(
                ("h", "units switch at", "kinks told", "error there", "error elsewhere"),
                rows,
                f"ReLU, centred, float64: {places} places",
            )
        ],
        figures={
            "gradient_check_steps": _error_by_step(
                curves, {"a unit switches": (steps, kinked), "none does": (steps, smooth)}
            )
        },
    )


def relu_jacobian(*, units: int = 4096, batch: int = 100, seed: int = 0) -> Finding:
    """The Jacobian of an elementwise gate is diagonal, and never formed.

    TensorFlow forms the whole Jacobian of a ReLU of 4096 numbers. All that is off the diagonal is
    zero, and the diagonal says which inputs were above zero: backpropagation multiplies by it, one
    number per unit. For a batch of 100 the matrix would have 409,600 rows and columns.

    Curriculum: row 35.

    Args:
        units: numbers in and out of the gate.
        batch: size of the batch whose Jacobian is not formed.
        seed: of the numbers.
    """
    x = tf.constant(np.random.default_rng(seed).normal(size=units), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = tf.nn.relu(x)
    jacobian = tape.jacobian(y, x).numpy()
    diagonal = np.diag(jacobian).copy()
    off_diagonal = float(abs(jacobian - np.diag(diagonal)).max())
    above = tf.constant(np.random.default_rng(seed + 1).normal(size=units), tf.float32)
    by_backprop = tape.gradient(y, x, output_gradients=above).numpy()
    by_matrix = jacobian.T @ above.numpy()
    side = units * batch
    full = 4 * side**2
    numbers = {
        "rows": units,
        "off_diagonal_max": off_diagonal,
        "ones_on_the_diagonal": int(diagonal.sum()),
        "inputs_above_zero": int((x.numpy() > 0).sum()),
        "jacobian_bytes": jacobian.nbytes,
        "batch_rows": side,
        "batch_jacobian_bytes": full,
        "backprop_bytes": 4 * side,
    }
    return Finding(
        claim="An elementwise gate has a diagonal Jacobian, so nobody ever forms it.",
        holds=off_diagonal == 0
        and set(diagonal) <= {0.0, 1.0}
        and numbers["ones_on_the_diagonal"] == numbers["inputs_above_zero"]
        and np.allclose(by_backprop, by_matrix),
        summary=f"The {units} x {units} Jacobian takes {jacobian.nbytes / 1e6:.0f} MB, and off its "
        f"diagonal the largest number is {off_diagonal:g}. That of a batch of {batch} would have "
        f"{side:,} rows and take {full / 1e9:.0f} GB in float32; backprop keeps "
        f"{4 * side / 1e6:.1f} MB.",
        numbers=numbers,
        tables=[
            Table(
                ("Jacobian of", "rows and columns", "float32, GB", "formed"),
                [
                    ("one example", units, jacobian.nbytes / 1e9, "here, once"),
                    (f"a batch of {batch}", side, full / 1e9, "never"),
                ],
            )
        ],
    )


def _relu(x):
    return np.maximum(x, 0)


def _error_by_step(smooth, kinked):
    axes = {"x_label": "step h", "y_label": "largest error", "x_log": True, "y_log": True}
    points = {name: charts.Series(*curve, marks=True) for name, curve in kinked.items()}
    return charts.draw(
        [
            charts.Panel("tanh: curvature and rounding", smooth, **axes),
            charts.Panel("ReLU, float64, centred: kinks", points, **axes),
        ]
    )


def _two_layer_gradient(batch, weights, second, activation) -> np.ndarray:
    """Returns the gradient of the mean softmax loss of class 0 by the first weights."""
    first = tf.constant(weights)
    hidden = {np.tanh: tf.tanh, _relu: tf.nn.relu}[activation]
    with tf.GradientTape() as tape:
        tape.watch(first)
        scores = hidden(batch @ first) @ second
        loss = tf.reduce_mean(tf.reduce_logsumexp(scores, axis=1) - scores[:, 0])
    return tape.gradient(loss, first).numpy()


def _switches(batch, weights, h: float) -> np.ndarray:
    """Returns (inputs, units): whether moving that weight by h takes some unit over zero."""
    before = batch @ weights  # (examples, units)
    reach = h * abs(batch)  # (examples, inputs)
    return (abs(before)[:, None, :] < reach[:, :, None]).any(axis=0)


def _numbers(array) -> str:
    if np.ndim(array) == 0:
        return f"{float(array):.3g}"
    return np.array2string(np.asarray(array), precision=3, separator=", ").replace("\n", "")


def _circuit_table(output: gates.Gate, caption: str) -> Table:
    rows = [
        (name, formula, _numbers(value), _numbers(gradient))
        for name, formula, value, gradient in gates.table(output)
    ]
    return Table(("gate", "is", "value", "gradient"), rows, caption)


def _drawn(output: gates.Gate):
    """Draws a circuit of scalars; a constant stands in the gate that takes it."""
    numbers, nodes = {}, []
    for gate in gates.order(output):
        constants = [
            each for each in gate.inputs if isinstance(each, gates.Input) and not each.name
        ]
        if isinstance(gate, gates.Input) and not gate.name:
            continue
        label = SYMBOLS.get(type(gate), gate.name) + "".join(f"{c.value:g}" for c in constants)
        inputs = [numbers[each] for each in gate.inputs if each not in constants]
        numbers[gate] = len(nodes)
        nodes.append(circuits.Node(label, inputs, float(gate.value), float(gate.gradient)))
    return circuits.draw(nodes)


LABS = (gates_circuit, sigmoid_circuit, l2_norm_gradient, gradient_check_steps, relu_jacobian)
