"""Labs of the chapter on frameworks: the same network written in every style."""

import dataclasses

import numpy as np
import tensorflow as tf

from dlcv_tf.labs import programs
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.plots import charts

# The lecture's four programs for TensorFlow 1, and what became of them.
STATIC = {
    "(a) feed weights": programs.feed_weights,
    "(b) assign, not fetched": programs.updates_not_fetched,
    "(c) tf.group": programs.updates_grouped,
    "(d) optimizer.minimize": programs.optimizer_minimize,
}
TODAY = {
    "(a) eager tensors": programs.eager_tensors,
    "(b, c) assign in tf.function": programs.function_assigns,
    "(d) Keras optimizer": programs.function_optimizer,
}
LEVELS = {
    "NumPy by hand": programs.numpy_by_hand,
    "GradientTape": programs.gradient_tape,
    "tf.custom_gradient": programs.custom_gradient,
    "keras.Model": programs.keras_model,
    "custom module": programs.custom_module,
    "tf.data batches": programs.dataset_batches,
}


def two_layer_static(
    *,
    steps: int = 50,
    rate: float = 1e-5,
    sizes: tuple[int, int, int, int] = (64, 1000, 100, 1000),
    seed: int = 0,
) -> Finding:
    """A static graph updates only what is fetched: four TensorFlow 1 programs, and today's.

    A two-layer network is trained by the lecture's four programs, run as they stand by
    `tf.compat.v1`: (a) feeds the weights, (b) assigns them but never fetches the updates, (c)
    fetches a group of them, (d) leaves them to an optimizer. The loss of (b) must stay where it is,
    (c) and (d) must agree. Beside them stand their TensorFlow 2 forms, where (b) cannot happen: a
    traced function runs its assignments.

    Erratum E9: the lecture's (b) fetches `[loss]` and unpacks two values, which fails; it is the
    example of what goes wrong.

    Curriculum: row 99.

    Args:
        steps: of gradient descent.
        rate: learning rate.
        sizes: N, D, H, D: examples, inputs, hidden units, outputs.
        seed: of data and weights.
    """
    problem = programs.noise(sizes, rate, steps, mean=True, dtype="float32", seed=seed)
    losses = {name: program(problem) for name, program in (STATIC | TODAY).items()}
    reference = losses["(c) tf.group"]
    apart = {name: _apart(each, reference) for name, each in losses.items()}
    stuck = losses["(b) assign, not fetched"]
    constant = max(stuck) == min(stuck)
    others = [name for name in losses if name != "(b) assign, not fetched"]
    worst = max(apart[name] for name in others)
    rows = [(name, each[0], each[-1], apart[name]) for name, each in losses.items()]
    return Finding(
        claim="Updates of a static graph run only if something that is fetched depends on them.",
        holds=constant and worst <= 1e-5 and reference[-1] < reference[0],
        summary=f"Without fetching the updates the loss stays at {stuck[0]:.4g} for all {steps} "
        f"steps; by the others it falls to {reference[-1]:.4g}, and they agree to {worst:.1e}.",
        numbers={"losses": losses, "apart": apart, "not_fetched_is_constant": constant},
        tables=[
            Table(
                ("program", "first loss", "last loss", "largest relative difference to (c)"), rows
            )
        ],
        figures={
            "two_layer_static": charts.draw(
                [
                    charts.Panel(
                        title,
                        {name: (range(1, steps + 1), losses[name]) for name in names},
                        "step",
                        "loss",
                        y_log=True,
                    )
                    for title, names in (("TensorFlow 1", STATIC), ("TensorFlow 2", TODAY))
                ],
                columns=1,
            )
        },
    )


def six_levels(
    *,
    steps: int = 500,
    rate: float = 1e-6,
    sizes: tuple[int, int, int, int] = (64, 1000, 100, 10),
    dtype: str = "float64",
    seed: int = 0,
) -> Finding:
    """From NumPy to tf.data: six ways to write a network give the same loss curve.

    The lecture climbs from arrays over automatic gradients, operations of one's own, layers and
    modules to batches of a data set. All six programs start from the same weights; their losses
    must agree at every step.

    Erratum E10: the lecture's first weights have the shape (H, D_out) twice, which does not
    multiply: they are (D_in, H); and its loop over batches goes on using x and y instead of the
    batch, so that every batch has the same loss. Both mistakes are tried.

    Curriculum: row 100.

    Args:
        steps: of gradient descent.
        rate: learning rate.
        sizes: N, D_in, H, D_out: examples, inputs, hidden units, outputs.
        dtype: of all numbers; in float32 rounding parts the curves where the loss is small.
        seed: of data and weights.
    """
    problem = programs.noise(sizes, rate, steps, mean=False, dtype=dtype, seed=seed)
    losses = {name: program(problem) for name, program in LEVELS.items()}
    reference = losses["NumPy by hand"]
    apart = {name: _apart(each, reference) for name, each in losses.items()}
    same_batches = programs.batch_losses(problem, mistaken=True)
    batches = programs.batch_losses(problem)
    refused = _refused(dataclasses.replace(problem, w1=problem.w2))
    worst = max(apart.values())
    turns, others = range(1, steps + 1), [name for name in LEVELS if name != "NumPy by hand"]

    def furthest(curve):
        so_far = np.maximum.accumulate(_relative(curve, reference))
        return np.where(so_far > 0, so_far, np.nan)  # a logarithmic axis has no 0

    mistaken_is_constant = max(same_batches) == min(same_batches)
    return Finding(
        claim="Six levels of abstraction, the same training.",
        holds=worst <= 1e-4 and mistaken_is_constant and min(batches) < max(batches) and refused,
        summary=f"Over {steps} steps the loss falls from {reference[0]:.3g} to "
        f"{reference[-1]:.3g}; the six programs agree to {worst:.1e}. Weights of the shape (H, "
        "D_out) are refused, and a loop that forgets to use its batch has the same loss for every "
        "one of them.",
        numbers={
            "apart": apart,
            "first_loss": reference[0],
            "last_loss": reference[-1],
            "wrong_shape_refused": refused,
            "batch_losses": batches,
            "mistaken_batch_losses": same_batches,
        },
        tables=[
            Table(
                ("program", "first loss", "last loss", "largest relative difference to NumPy"),
                [(name, each[0], each[-1], apart[name]) for name, each in losses.items()],
            )
        ],
        figures={
            "six_levels": charts.draw(
                [
                    charts.Panel(
                        "The loss, by NumPy", {"": (turns, reference)}, "step", y_log=True
                    ),
                    charts.Panel(
                        "How far the others have been from it",
                        {name: (turns, furthest(losses[name])) for name in others},
                        "step",
                        "largest relative difference so far",
                        y_log=True,
                    ),
                ],
                columns=1,
            )
        },
    )


def _apart(losses: list[float], reference: list[float]) -> float:
    """Returns the largest relative difference of two loss curves; infinite where not finite."""
    difference = _relative(losses, reference)
    return float(difference.max()) if np.isfinite(difference).all() else float("inf")


def _relative(losses: list[float], reference: list[float]) -> np.ndarray:
    return np.abs(np.asarray(losses) / np.asarray(reference) - 1)


def _refused(problem: programs.Problem) -> bool:
    """Says whether a product of shapes that do not fit is an error."""
    try:
        programs.gradient_tape(dataclasses.replace(problem, steps=1))
    except tf.errors.InvalidArgumentError:
        return True
    return False


LABS = (two_layer_static, six_levels)
