"""Update rules, learning-rate schedules and full-batch methods for Keras models.

The rules are Keras optimizers, for `compile`; the schedules are what they take as their
`learning_rate`; `newton` and `lbfgs` are called on a compiled model instead of `fit`. `surfaces`
has loss surfaces of two weights.
"""

import importlib

from dlcv_tf.optimizers.rules import SGD as SGD
from dlcv_tf.optimizers.rules import AdaGrad as AdaGrad
from dlcv_tf.optimizers.rules import Adam as Adam
from dlcv_tf.optimizers.rules import Momentum as Momentum
from dlcv_tf.optimizers.rules import Nesterov as Nesterov
from dlcv_tf.optimizers.rules import RMSProp as RMSProp
from dlcv_tf.optimizers.schedules import OneCycle as OneCycle
from dlcv_tf.optimizers.schedules import cosine_restarts as cosine_restarts
from dlcv_tf.optimizers.schedules import exponential_decay as exponential_decay
from dlcv_tf.optimizers.schedules import one_over_t_decay as one_over_t_decay
from dlcv_tf.optimizers.schedules import spanning as spanning
from dlcv_tf.optimizers.schedules import step_decay as step_decay

RULES = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adagrad": AdaGrad,
    "rmsprop": RMSProp,
    "adam": Adam,
}

_MEMBERS = {
    "newton": "second_order",
    "lbfgs": "second_order",
    "double_precision": "second_order",
    "descend": "surfaces",
    "condition_number": "surfaces",
}


def __getattr__(name: str):
    """Imports a member of the room on first use (PEP 562); what a saved model names is there."""
    if name in _MEMBERS:
        return getattr(importlib.import_module(f"{__name__}.{_MEMBERS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
