"""The course's update rules as Keras optimizers, each written as the lecture writes it.

A rule says what becomes of weights x and of what it remembers, given their gradient dx; all else is
Keras's: `compile`, schedules, clipping, `weight_decay` (decoupled: x -= rate * weight_decay * x
before the step), `use_ema`, saving. Keras's own optimizers are equal to the rules up to the place
of epsilon, which each docstring states.
"""

import math
import numbers

import keras
from keras import ops

from dlcv_tf.errors import InputError


class Rule(keras.optimizers.Optimizer):
    """What the rules share: a slot of each kind per variable, exact rates, one call of `update`.

    A subclass names its `slots` and defines `update(x, dx, rate, *slots)`, which returns the new x
    and the new slots, all in the dtype of the variable. A constant rate is kept in float64, so that
    a step in float64 is the formula's to the last digits.

    Args:
        learning_rate: number above 0, or a schedule.
        kwargs: of `keras.optimizers.Optimizer`.
    """

    slots: tuple[str, ...] = ()

    def __init__(self, learning_rate, **kwargs):
        if isinstance(learning_rate, numbers.Real):
            _check("learning_rate", learning_rate, 0 < learning_rate < math.inf, "above 0, finite")
            learning_rate = float(learning_rate)
        super().__init__(learning_rate, **kwargs)
        if isinstance(learning_rate, float):
            self._untrack_variable(self._learning_rate)  # Keras's is in float32
            self._learning_rate = self.add_variable(
                (),
                initializer=lambda shape, dtype: ops.convert_to_tensor(learning_rate, dtype),
                dtype="float64",
                aggregation="only_first_replica",
                name="learning_rate",
            )

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._slots = [
            self.add_optimizer_variables(variables, name, initializer=self.first_value(name))
            for name in self.slots
        ]

    def first_value(self, slot: str) -> keras.initializers.Initializer:
        """Returns what fills a slot before the first step: zeros."""
        return keras.initializers.Zeros()

    def update_step(self, gradient, variable, learning_rate):
        """Does one step for one variable, as Keras asks for it."""
        index = self._get_variable_index(variable)
        kept = [slot[index] for slot in self._slots]
        x, *new = self.update(
            ops.convert_to_tensor(variable),
            ops.cast(ops.convert_to_tensor(gradient), variable.dtype),  # sparse becomes dense
            ops.cast(learning_rate, variable.dtype),
            *(ops.convert_to_tensor(each) for each in kept),
        )
        for slot, value in zip(kept, new, strict=True):
            self.assign(slot, value)
        self.assign(variable, x)

    def update(self, x, dx, rate, *slots):
        """Returns the new x and the new slots."""
        raise NotImplementedError


def _check(name: str, value, is_good: bool, wanted: str) -> None:
    if not is_good:
        raise InputError(f"got {name}={value!r}, expected {wanted}")


def _check_part(**values) -> None:
    """Checks decays and momenta: 0 keeps nothing, 1 would forget nothing."""
    for name, value in values.items():
        _check(name, value, 0 <= value < 1, "0 or more, below 1")


def _check_epsilon(epsilon: float) -> None:
    _check("epsilon", epsilon, 0 <= epsilon < math.inf, "0 or more, finite")


def _root(square, epsilon: float, inside: bool):
    """Returns sqrt(square) + epsilon, or sqrt(square + epsilon)."""
    return ops.sqrt(square + epsilon) if inside else ops.sqrt(square) + epsilon


@keras.saving.register_keras_serializable(package="dlcv_tf")
class SGD(Rule):
    """Stochastic gradient descent: straight down the gradient.

    x -= rate * dx.

    Args:
        learning_rate: number above 0, or a schedule.
        kwargs: of `keras.optimizers.Optimizer`.

    Example:
        >>> from dlcv_tf import models, tasks
        >>> model = models.linear((8, 8, 1), 10)
        >>> model.compile(SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    """

    def __init__(self, learning_rate=0.01, **kwargs):
        super().__init__(learning_rate, **kwargs)

    def update(self, x, dx, rate):
        return (x - rate * dx,)


@keras.saving.register_keras_serializable(package="dlcv_tf")
class Momentum(Rule):
    """Gradient descent with momentum: a ball with velocity v that friction slows.

    v = momentum * v - rate * dx; x += v. This is `keras.optimizers.SGD(momentum=...)`. PyTorch
    leaves the rate out of v, which is the same only as long as the rate is.

    Args:
        learning_rate: number above 0, or a schedule.
        momentum: part of the velocity that a step keeps, in [0, 1); the lecture's 0.5, 0.9 or 0.99.
        kwargs: of `keras.optimizers.Optimizer`.

    Reference: Polyak, "Some methods of speeding up the convergence of iteration methods" (1964).
    """

    slots = ("velocity",)

    def __init__(self, learning_rate=0.01, momentum=0.9, **kwargs):
        _check_part(momentum=momentum)
        super().__init__(learning_rate, **kwargs)
        self.momentum = momentum

    def update(self, x, dx, rate, v):
        v = self.momentum * v - rate * dx
        return x + v, v

    def get_config(self):
        return super().get_config() | {"momentum": self.momentum}


@keras.saving.register_keras_serializable(package="dlcv_tf")
class Nesterov(Rule):
    """Nesterov momentum: the gradient is taken where the velocity is about to carry the weights.

    The network's weights are the look-ahead point, since that is where the gradient is wanted. Both
    forms take the same steps:

    * `"rewritten"`: v_before = v; v = momentum * v - rate * dx;
      x_ahead += (1 + momentum) * v - momentum * v_before.
    * `"look_ahead"`: x = x_ahead - momentum * v is the ball's own place;
      v = momentum * v - rate * dx; x += v; x_ahead = x + momentum * v.

    `keras.optimizers.SGD(momentum=..., nesterov=True)` is the rewritten form.

    Args:
        learning_rate: number above 0, or a schedule.
        momentum: part of the velocity that a step keeps, in [0, 1).
        form: `"rewritten"` or `"look_ahead"`.
        kwargs: of `keras.optimizers.Optimizer`.

    Reference: Sutskever et al., "On the importance of initialization and momentum" (2013); Bengio
    et al., https://arxiv.org/abs/1212.0901.
    """

    slots = ("velocity",)

    def __init__(self, learning_rate=0.01, momentum=0.9, form="rewritten", **kwargs):
        _check_part(momentum=momentum)
        _check("form", form, form in ("rewritten", "look_ahead"), "'rewritten' or 'look_ahead'")
        super().__init__(learning_rate, **kwargs)
        self.momentum = momentum
        self.form = form

    def update(self, x_ahead, dx, rate, v):
        if self.form == "look_ahead":
            x = x_ahead - self.momentum * v
            v = self.momentum * v - rate * dx
            x = x + v
            return x + self.momentum * v, v
        v_before = v
        v = self.momentum * v - rate * dx
        return x_ahead + (1 + self.momentum) * v - self.momentum * v_before, v

    def get_config(self):
        return super().get_config() | {"momentum": self.momentum, "form": self.form}


@keras.saving.register_keras_serializable(package="dlcv_tf")
class AdaGrad(Rule):
    """AdaGrad: each weight's steps shrink with the gradients it has seen so far.

    cache += dx^2; x -= rate * dx / (sqrt(cache) + epsilon). The first step is rate * sign(dx); the
    steps only ever decay.

    Epsilon is added to the root, as in the lecture, CS231n and PyTorch; the notes' `sqrt(cache) +
    1e-7` without parentheses would add it to x. `keras.optimizers.Adagrad` adds it inside the root
    and starts the cache at 0.1: `AdaGrad(epsilon_inside=True, initial=0.1)`.

    Args:
        learning_rate: number above 0, or a schedule.
        epsilon: keeps the quotient finite, 0 or more.
        epsilon_inside: sqrt(cache + epsilon) instead of sqrt(cache) + epsilon.
        initial: value of the cache before the first step, 0 or more.
        kwargs: of `keras.optimizers.Optimizer`.

    Reference: Duchi, Hazan and Singer (2011), https://jmlr.org/papers/v12/duchi11a.html.
    """

    slots = ("cache",)

    def __init__(
        self, learning_rate=0.01, epsilon=1e-7, epsilon_inside=False, initial=0.0, **kwargs
    ):
        _check_epsilon(epsilon)
        _check("initial", initial, 0 <= initial < math.inf, "0 or more, finite")
        super().__init__(learning_rate, **kwargs)
        self.epsilon = epsilon
        self.epsilon_inside = epsilon_inside
        self.initial = initial

    def first_value(self, slot):
        return keras.initializers.Constant(self.initial)

    def update(self, x, dx, rate, cache):
        cache = cache + dx**2
        return x - rate * dx / _root(cache, self.epsilon, self.epsilon_inside), cache

    def get_config(self):
        return super().get_config() | {
            "epsilon": self.epsilon,
            "epsilon_inside": self.epsilon_inside,
            "initial": self.initial,
        }


@keras.saving.register_keras_serializable(package="dlcv_tf")
class RMSProp(Rule):
    """RMSProp: AdaGrad with a leaky cache, so that the steps do not die out.

    cache = decay * cache + (1 - decay) * dx^2; x -= rate * dx / (sqrt(cache) + epsilon). The notes'
    `cache +=` would be AdaGrad again.

    Epsilon is added to the root, as in CS231n and PyTorch. `keras.optimizers.RMSprop` and
    TensorFlow 1 add it inside: `RMSProp(epsilon_inside=True)`.

    Args:
        learning_rate: number above 0, or a schedule.
        decay: part of the cache that a step KEEPS, in [0, 1); 0.9 or 0.99.
        epsilon: keeps the quotient finite, 0 or more.
        epsilon_inside: sqrt(cache + epsilon) instead of sqrt(cache) + epsilon.
        kwargs: of `keras.optimizers.Optimizer`.

    Reference: Tieleman and Hinton, lecture 6e of "Neural networks for machine learning" (2012).
    """

    slots = ("cache",)

    def __init__(
        self, learning_rate=0.001, decay=0.9, epsilon=1e-7, epsilon_inside=False, **kwargs
    ):
        _check_part(decay=decay)
        _check_epsilon(epsilon)
        super().__init__(learning_rate, **kwargs)
        self.decay = decay
        self.epsilon = epsilon
        self.epsilon_inside = epsilon_inside

    def update(self, x, dx, rate, cache):
        cache = self.decay * cache + (1 - self.decay) * dx**2
        return x - rate * dx / _root(cache, self.epsilon, self.epsilon_inside), cache

    def get_config(self):
        return super().get_config() | {
            "decay": self.decay,
            "epsilon": self.epsilon,
            "epsilon_inside": self.epsilon_inside,
        }


@keras.saving.register_keras_serializable(package="dlcv_tf")
class Adam(Rule):
    """Adam: momentum and RMSProp in one, corrected for both having started at zero.

    m = beta_1 * m + (1 - beta_1) * dx; v = beta_2 * v + (1 - beta_2) * dx^2; with t = 1 in the
    first step, m_hat = m / (1 - beta_1^t) and v_hat = v / (1 - beta_2^t);
    x -= rate * m_hat / (sqrt(v_hat) + epsilon).

    Without the correction, the first step is (1 - beta_1) / sqrt(1 - beta_2) = 3.16 rates long.

    Epsilon is added to the root of the corrected v_hat, as in the paper's algorithm 1, CS231n and
    PyTorch. Keras takes the paper's "epsilon hat", added to the root of v before the correction:
    `Adam(epsilon_hat=True)` is `keras.optimizers.Adam`.

    Args:
        learning_rate: number above 0, or a schedule; the lecture starts with 1e-3 or 5e-4.
        beta_1: part of the mean of gradients that a step keeps, in [0, 1).
        beta_2: part of the mean of their squares that a step keeps, in [0, 1).
        epsilon: keeps the quotient finite, 0 or more; 1e-8 in the paper.
        bias_correction: divide by 1 - beta^t.
        epsilon_hat: add epsilon to the root before the correction.
        kwargs: of `keras.optimizers.Optimizer`.

    Reference: Kingma and Ba, https://arxiv.org/abs/1412.6980.
    """

    slots = ("first_moment", "second_moment")

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        bias_correction=True,
        epsilon_hat=False,
        **kwargs,
    ):
        _check_part(beta_1=beta_1, beta_2=beta_2)
        _check_epsilon(epsilon)
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = float(beta_1)
        self.beta_2 = float(beta_2)
        self.epsilon = epsilon
        self.bias_correction = bias_correction
        self.epsilon_hat = epsilon_hat

    def update(self, x, dx, rate, m, v):
        m = self.beta_1 * m + (1 - self.beta_1) * dx
        v = self.beta_2 * v + (1 - self.beta_2) * dx**2
        m_hat, v_hat, epsilon = m, v, self.epsilon
        if self.bias_correction:
            t = ops.cast(self.iterations + 1, x.dtype)
            m_hat = m / (1 - ops.power(self.beta_1, t))
            v_hat = v / (1 - ops.power(self.beta_2, t))
            if self.epsilon_hat:
                epsilon = epsilon / ops.sqrt(1 - ops.power(self.beta_2, t))
        return x - rate * m_hat / (ops.sqrt(v_hat) + epsilon), m, v

    def get_config(self):
        return super().get_config() | {
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "bias_correction": self.bias_correction,
            "epsilon_hat": self.epsilon_hat,
        }
