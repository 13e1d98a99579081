"""Finite differences: the gradient of any function, measured.

Reference: CS231n notes, "Optimization", section "Computing the gradient numerically".
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from dlcv_tf.errors import InputError

LEAST_JUMP = 1e-4  # of the steepest slope: what is told as a kink


@dataclasses.dataclass(frozen=True)
class Slopes:
    """Derivatives measured at some elements of a function's argument.

    Args:
        places: (checked,) numbers of the elements in the flattened argument.
        values: (checked,) the derivatives.
        kinks: (checked,) whether the slope to the left and the one to the right disagree.
    """

    places: np.ndarray
    values: np.ndarray
    kinks: np.ndarray


def numerical_gradient(
    f: Callable, x, h: float = 1e-5, centred: bool = True, *, output_gradient=None, places=None
) -> Slopes:
    """Measures the gradient of a function by moving one element of its argument at a time.

    Centred: (f(x + h) - f(x - h)) / 2h, wrong by O(h^2). One-sided: (f(x + h) - f(x)) / h, wrong
    by O(h). An f that returns an array counts as `sum(f(x) * output_gradient)`; its elements are
    subtracted before they are summed, so that those which do not change leave no rounding error.

    There is a kink where the slopes to the left and to the right differ, and a step of h / 10 does
    not bring them closer by that much: those of a smooth function differ by h f''.

    Args:
        f: function of an array like x; returns an array or a tensor.
        x: float array.
        h: step, above 0.
        centred: whether to measure on both sides.
        output_gradient: weights of f's elements; ones by default.
        places: numbers of the elements of the flattened x to measure; all by default.

    Raises:
        InputError: a step that is not above 0 or is lost in rounding; x or f(x) empty, not
            floating or not finite; f not finite a step from x.
    """
    x = checked(x, "x")
    if not (np.isfinite(h) and h > 0):
        raise InputError(f"got h={h}, expected a number above 0, such as 1e-5")
    middle = checked(f(x), "f(x)")
    weights = np.broadcast_to(1.0 if output_gradient is None else output_gradient, middle.shape)
    places = np.arange(x.size) if places is None else np.asarray(places)
    values, jumps, steepest = np.zeros(len(places)), np.zeros(len(places)), 0.0
    for number, place in enumerate(places):
        both_sides, one_side, jumps[number] = _slopes(f, x, place, h, middle, weights)
        values[number] = np.sum(both_sides if centred else one_side)
        steepest = max(steepest, np.max(abs(both_sides)))
    rounding = 8 * np.finfo(x.dtype).eps * np.max(abs(middle * weights)) / h
    kinks = jumps > LEAST_JUMP * steepest + 100 * rounding
    for number in np.flatnonzero(kinks):
        *_, closer = _slopes(f, x, places[number], h / 10, middle, weights)
        kinks[number] = not 0.05 < closer / jumps[number] < 0.2
    return Slopes(places, values, kinks)


def relative_error(analytic, numerical, denominator: str = "max", floor: float = 0.0) -> np.ndarray:
    """Returns |a - n| / max(|a|, |n|) of every element; 0 where both are 0, NaN if not finite.

    Args:
        analytic: array.
        numerical: array of the same shape.
        denominator: `"max"` of |a| and |n|, as in the notes, or their `"sum"`, as in CS231n's
            exercises.
        floor: the least denominator; CS231n's exercises take 1e-8.

    Raises:
        InputError: shapes that differ, or another denominator.
    """
    a, n = np.asarray(analytic, np.float64), np.asarray(numerical, np.float64)
    if a.shape != n.shape:
        raise InputError(f"got gradients of shapes {a.shape} and {n.shape}, expected one shape")
    if denominator not in ("max", "sum"):
        raise InputError(f"got denominator={denominator!r}, expected 'max' or 'sum'")
    size = np.maximum(abs(a), abs(n)) if denominator == "max" else abs(a) + abs(n)
    finite = np.isfinite(a) & np.isfinite(n)
    return np.divide(
        abs(np.where(finite, a, 0) - np.where(finite, n, 0)),
        np.maximum(size, floor),
        where=finite & (a != n),
        out=np.where(finite, 0.0, np.nan),
    )


def checked(values, name: str) -> np.ndarray:
    """Returns a copy as an array; InputError unless it holds finite floating-point numbers."""
    values = np.array(values)
    if values.dtype.kind != "f" or not values.size or not np.isfinite(values).all():
        raise InputError(
            f"got {name} of type {values.dtype} and shape {values.shape}, expected an array of "
            "finite floating-point numbers, float64 best"
        )
    return values


def _slopes(f: Callable, x: np.ndarray, place: int, h: float, middle, weights):
    """Returns the slopes of f's elements on both sides and to the right, and the largest jump.

    The steps divided by are those taken: x + h is rounded.
    """
    right, left = x.copy(), x.copy()
    right.flat[place] += h
    left.flat[place] -= h
    if right.flat[place] == x.flat[place] or left.flat[place] == x.flat[place]:
        raise InputError(
            f"got h={h:g}, which {x.dtype} cannot add to {x.flat[place]:g}: take a larger one"
        )
    above, below = np.array(f(right)), np.array(f(left))
    if not (np.isfinite(above).all() and np.isfinite(below).all()):
        raise InputError(
            f"got an f that is not finite a step of h={h:g} from {x.flat[place]:g}, expected "
            "finite values on both sides: take a smaller h, or inputs further from where f ends"
        )
    both_sides = weights * (above - below) / (right.flat[place] - left.flat[place])
    one_side = weights * (above - middle) / (right.flat[place] - x.flat[place])
    return both_sides, one_side, 2 * np.max(abs(one_side - both_sides))
