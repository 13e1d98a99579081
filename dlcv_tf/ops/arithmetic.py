"""Shape arithmetic of convolutions: sizes, parameters, work and receptive fields, by formula alone.

Nothing here computes with tensors; `models.summary` counts the same for a whole Keras model.
"""

import dataclasses
import math
from collections.abc import Sequence

from dlcv_tf.errors import InputError
from dlcv_tf.ops.whole_numbers import whole_number


def output_size(
    size: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    floor: bool = False,
) -> int:
    """Returns how many places a window has along an axis: (N - F + 2 P) / S + 1.

    The quotient must be whole, or the last pixels would never be read. Frameworks do not complain:
    they round down and leave those pixels out, as `floor=True` does.

    Args:
        size: N, pixels along the axis.
        kernel: F, pixels of the window.
        stride: S, pixels from one place to the next.
        padding: P, pixels added at EACH end.
        dilation: pixels from one of the window's taps to the next; it spans
            (F - 1) dilation + 1 pixels.
        floor: round down instead of refusing.

    Returns:
        The number of outputs along the axis.

    Raises:
        InputError: the window does not fit, or does not divide what is left; says what would fit.

    Example:
        >>> output_size(227, 11, stride=4), output_size(32, 5, padding=2), output_size(7, 3)
        (55, 32, 5)

    Reference: CS231n notes, "Convolutional Neural Networks", spatial arrangement.
    """
    _check_positive(size=size, kernel=kernel, stride=stride, dilation=dilation)
    if padding < 0:
        raise InputError(f"got padding={padding}, expected 0 or more pixels at each end")
    span = (kernel - 1) * dilation + 1
    free = size - span + 2 * padding
    if free < 0:
        raise InputError(
            f"got a window of {span} on {size} + 2*{padding} pixels, expected one that fits: take "
            f"padding={math.ceil((span - size) / 2)} or more, or a smaller kernel"
        )
    if free % stride and not floor:
        raise InputError(
            f"got ({size} - {span} + 2*{padding})/{stride} + 1 = {free / stride + 1:.2f} places, "
            f"expected a whole number: {_what_fits(size, span, stride, padding)}, or floor=True to "
            f"leave the last {free % stride} out as frameworks do"
        )
    return free // stride + 1


def _what_fits(size: int, span: int, stride: int, padding: int) -> str:
    """Returns the strides that divide, and the least padding that makes the given one divide."""
    free = size - span + 2 * padding
    strides = [str(each) for each in range(1, free + 1) if free % each == 0]
    fits = f"stride {' or '.join(strides[:4])} fits"
    more = [extra for extra in range(1, stride) if (free + 2 * extra) % stride == 0]
    return f"{fits}, so does padding={padding + more[0]}" if more else fits


def preserving_padding(kernel: int, dilation: int = 1) -> int:
    """Returns the padding at each end that keeps the size at stride 1: (F - 1) / 2.

    Raises:
        InputError: the window has an even number of pixels, which no equal padding can centre.
    """
    _check_positive(kernel=kernel, dilation=dilation)
    span = (kernel - 1) * dilation
    if span % 2:
        raise InputError(
            f"got a kernel of {kernel}, expected an odd one: padding it alike at both ends changes "
            f"the size by one; take {kernel - 1} or {kernel + 1}"
        )
    return span // 2


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A layer of square filters on a picture, and all that can be counted of it.

    Args:
        input_shape: (height, width, depth) of the picture.
        filters: K, number of filters.
        kernel: F, pixels a side of a filter; its depth is the picture's.
        stride: S.
        padding: P, pixels at each end.

    Example:
        >>> first = Convolution((227, 227, 3), filters=96, kernel=11, stride=4)  # AlexNet's
        >>> first.output_shape, first.parameters
        ((55, 55, 96), 34944)

    Reference: CS231n notes, "Convolutional Neural Networks".
    """

    input_shape: tuple[int, int, int]
    filters: int
    kernel: int
    stride: int = 1
    padding: int = 0

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Returns (height, width, filters); an InputError where the stride does not divide."""
        sides = (
            output_size(side, self.kernel, stride=self.stride, padding=self.padding)
            for side in self.input_shape[:2]
        )
        return (*sides, self.filters)

    @property
    def neurons(self) -> int:
        """Returns the number of outputs."""
        return math.prod(self.output_shape)

    @property
    def weights_per_filter(self) -> int:
        """Returns F * F * depth; the notes' "F * F * depth - 3" (erratum E4) is wrong."""
        return self.kernel**2 * self.input_shape[2]

    @property
    def weights(self) -> int:
        """Returns the weights of all filters, without biases."""
        return self.filters * self.weights_per_filter

    @property
    def parameters(self) -> int:
        """Returns weights and one bias for each filter."""
        return self.weights + self.filters

    @property
    def unshared_parameters(self) -> int:
        """Returns the parameters if every neuron had weights and a bias of its own."""
        return self.neurons * (self.weights_per_filter + 1)

    @property
    def macs(self) -> int:
        """Returns the multiply-adds of one picture, those on padding too; biases not counted."""
        return self.neurons * self.weights_per_filter

    @property
    def im2col_shape(self) -> tuple[int, int]:
        """Returns the shape of the matrix with one column of F * F * depth for each place."""
        return self.weights_per_filter, self.neurons // self.filters


def dense_weights(units: Sequence[int]) -> int:
    """Returns the weights of a fully connected network, without biases.

    Args:
        units: numbers of inputs, of hidden units layer by layer, and of outputs.
    """
    _check_positive(**{f"units[{number}]": count for number, count in enumerate(units)})
    return sum(before * after for before, after in zip(units, units[1:], strict=False))


def dense_parameters(units: Sequence[int]) -> int:
    """Returns weights and biases of a fully connected network.

    Args:
        units: numbers of inputs, of hidden units layer by layer, and of outputs.

    Example:
        >>> dense_parameters((3, 4, 2)), dense_parameters((3, 4, 4, 1))
        (26, 41)
    """
    return dense_weights(units) + sum(units[1:])


def receptive_field(stack: Sequence[tuple[int, ...]]) -> tuple[int, int]:
    """Returns how many input pixels one output of a stack of windows sees, and its stride.

    Each layer adds (F - 1) dilation steps, each as wide as the product of all strides before it.

    Args:
        stack: (kernel, stride) or (kernel, stride, dilation) of each convolution or pooling, in
            order.

    Returns:
        Pixels of the field along an axis, and pixels from one output's field to the next's.

    Example:
        >>> receptive_field([(3, 1), (3, 1), (3, 1)])  # three 3x3 see as much as one 7x7
        (7, 1)
    """
    field = jump = 1
    for kernel, stride, *dilation in stack:
        _check_positive(kernel=kernel, stride=stride, dilation=(dilation or [1])[0])
        field += (kernel - 1) * (dilation or [1])[0] * jump
        jump *= stride
    return field, jump


def _check_positive(**values: int) -> None:
    for name, value in values.items():
        whole_number(value, name)
