"""Whole numbers as arguments: sizes, strides and counts."""

import operator

from dlcv_tf.errors import InputError


def whole_number(value, name: str, least: int = 1) -> int:
    """Returns a whole number as an int, NumPy's as well as Python's.

    Args:
        value: what was given; a bool is no number.
        name: of the argument, for the message.
        least: the smallest number that is right.

    Raises:
        InputError: anything else.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least:
        raise InputError(f"got {name}={value!r}, expected a whole number, {least} or more")
    return number
