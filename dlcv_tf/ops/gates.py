"""A computational graph of gates, and backpropagation through it, in NumPy.

Every gate computes its value as soon as it is made and remembers its inputs. `backward` walks the
graph from the output to the inputs, and every gate passes on what it got, times its own local
gradient: the chain rule, one gate at a time. What the gates do to a gradient is worth knowing by
heart: `Add` distributes it, `Maximum` routes it to the larger input, `Multiply` switches its
inputs.

    >>> x, y, z = Input(-2, "x"), Input(5, "y"), Input(-4, "z")
    >>> f = (x + y) * z
    >>> backward(f)
    >>> float(f.value), [float(gate.gradient) for gate in (x, y, z)]
    (-12.0, [-4.0, -4.0, 3.0])

Reference: CS231n notes, "Backpropagation, Intuitions".
"""

import numpy as np

from dlcv_tf.errors import InputError


class Gate:
    """A node of the graph: a value computed from other nodes, and the gradient that reaches it.

    A kind of gate is its two methods. `forward` takes the values of the inputs and returns its
    own. `backward` takes the gradient of the output with respect to this gate and returns that
    with respect to each input; it may use `self.value` and the values of `self.inputs`.

    Args:
        inputs: gates or numbers; scalars and arrays broadcast as NumPy's do.
        name: shown in `table`.

    Raises:
        InputError: the value is not finite.
    """

    __array_ufunc__ = None  # an array to the left of a gate leaves the operator to the gate

    def __init__(self, *inputs, name: str = ""):
        self.inputs = tuple(each if isinstance(each, Gate) else Input(each) for each in inputs)
        self.name = name
        values = [each.value for each in self.inputs]
        with np.errstate(all="ignore"):
            self.value = np.asarray(self.forward(*values))
        if not np.isfinite(self.value).all():
            got = ", ".join(map(str, values)) or self.value
            raise InputError(f"got {type(self).__name__} of {got}, expected a finite value")
        self.gradient = np.zeros_like(self.value)

    def __add__(self, other):
        return Add(self, other)

    def __mul__(self, other):
        return Multiply(self, other)

    def __neg__(self):
        return Negate(self)

    def __sub__(self, other):
        return Add(self, Negate(other))

    def __rsub__(self, other):
        return Add(other, Negate(self))

    def __truediv__(self, other):
        return Multiply(self, Reciprocal(other))

    def __rtruediv__(self, other):
        return Multiply(other, Reciprocal(self))

    def __matmul__(self, other):
        return MatMul(self, other)

    def __rmatmul__(self, other):
        return MatMul(other, self)

    __radd__, __rmul__ = __add__, __mul__


class Input(Gate):
    """A number or an array that is given."""

    def __init__(self, value, name: str = ""):
        self.given = np.asarray(value, np.float64)
        super().__init__(name=name)

    def forward(self):
        return self.given

    def backward(self, gradient):
        return ()


class Add(Gate):
    """x + y: distributes the gradient."""

    def forward(self, x, y):
        return x + y

    def backward(self, gradient):
        return gradient, gradient


class Multiply(Gate):
    """x * y: switches the inputs."""

    def forward(self, x, y):
        return x * y

    def backward(self, gradient):
        x, y = self.inputs
        return gradient * y.value, gradient * x.value


class Maximum(Gate):
    """max(x, y): routes the gradient to the larger input; to the first where both are equal."""

    def forward(self, x, y):
        return np.maximum(x, y)

    def backward(self, gradient):
        x, y = self.inputs
        return gradient * (x.value >= y.value), gradient * (x.value < y.value)


class Negate(Gate):
    """-x."""

    def forward(self, x):
        return -x

    def backward(self, gradient):
        return (-gradient,)


class Exp(Gate):
    """e^x: its own derivative."""

    def forward(self, x):
        return np.exp(x)

    def backward(self, gradient):
        return (gradient * self.value,)


class Log(Gate):
    """Natural logarithm of x: 1/x."""

    def forward(self, x):
        return np.log(x)

    def backward(self, gradient):
        return (gradient / self.inputs[0].value,)


class Reciprocal(Gate):
    """1/x: -1/x^2."""

    def forward(self, x):
        return 1 / x

    def backward(self, gradient):
        return (-gradient * self.value**2,)


class Sqrt(Gate):
    """Square root of x; the gradient at 0, where there is none, is 0 by convention."""

    def forward(self, x):
        return np.sqrt(x)

    def backward(self, gradient):
        slope = np.divide(0.5, self.value, where=self.value > 0, out=np.zeros_like(self.value))
        return (gradient * slope,)


class Sum(Gate):
    """Sum over all of x: distributes the gradient."""

    def forward(self, x):
        return np.sum(x)

    def backward(self, gradient):
        return (np.full_like(self.inputs[0].value, gradient),)


class MatMul(Gate):
    """x @ y of a matrix and a matrix or vector: `Multiply`, with the shapes to match."""

    def forward(self, x, y):
        if x.ndim != 2 or y.ndim not in (1, 2) or x.shape[1] != y.shape[0]:
            raise InputError(
                f"got shapes {x.shape} @ {y.shape}, expected (n, m) @ (m,) or (n, m) @ (m, k): "
                "give a row x as x[None, :]"
            )
        return x @ y

    def backward(self, gradient):
        x, y = (each.value for each in self.inputs)
        if y.ndim == 1:
            return np.outer(gradient, y), x.T @ gradient
        return gradient @ y.T, x.T @ gradient


def order(output: Gate) -> list[Gate]:
    """Returns all gates behind an output, each after its inputs: the topological order."""
    ordered, seen, waiting = [], set(), [(output, False)]
    while waiting:
        gate, inputs_done = waiting.pop()
        if inputs_done:
            ordered.append(gate)
        elif gate not in seen:
            seen.add(gate)
            waiting.append((gate, True))
            waiting.extend((each, False) for each in reversed(gate.inputs))
    return ordered


def backward(output: Gate) -> None:
    """Sets `gradient` of every gate behind a scalar output: that of the output by the gate.

    Where a value is used more than once, the gradients of its branches add up. Each gradient has
    the shape of its value.

    Raises:
        InputError: the output is not a scalar.
    """
    if output.value.ndim:
        raise InputError(
            f"got an output of shape {output.value.shape}, expected a scalar: put a Sum behind it"
        )
    gates = order(output)
    for gate in gates:
        gate.gradient = np.zeros_like(gate.value)
    output.gradient = np.ones_like(output.value)
    for gate in reversed(gates):
        for each, gradient in zip(gate.inputs, gate.backward(gate.gradient), strict=True):
            each.gradient = each.gradient + _summed_to(gradient, each.value.shape)


def table(output: Gate) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    """Returns a row per gate in the order of computing: name, formula, value, gradient.

    Gates without a name are numbered `g1`, `g2`...; constants stand in the formulas by value.
    """
    names, rows, unnamed = {}, [], 0
    for gate in order(output):
        constant = isinstance(gate, Input) and not gate.name
        unnamed += not constant and not gate.name
        names[gate] = gate.name or (str(gate.value) if constant else f"g{unnamed}")
        if not constant:
            arguments = ", ".join(names[each] for each in gate.inputs)
            formula = f"{type(gate).__name__}({arguments})" if gate.inputs else "given"
            rows.append((names[gate], formula, gate.value, gate.gradient))
    return rows


def _summed_to(gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sums a gradient over the axes along which a value of that shape was broadcast."""
    gradient = np.sum(gradient, axis=tuple(range(np.ndim(gradient) - len(shape))))
    stretched = tuple(i for i, side in enumerate(shape) if side == 1 and gradient.shape[i] > 1)
    return np.sum(gradient, axis=stretched, keepdims=True)
