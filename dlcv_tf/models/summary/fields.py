"""Receptive fields: which pixels of the input each output of a graph sees.

Along an axis, output i sees the pixels `first + jump * i` to `last + jump * i`. A window of F taps
widens that by (F - 1) jumps, a stride multiplies the jump, padding moves both ends, and where
branches meet the union counts. Reference: Araujo et al. 2019, "Computing Receptive Fields of
Convolutional Neural Networks", https://distill.pub/2019/computing-receptive-fields.
"""

import dataclasses
import math

import keras
from keras import layers

from dlcv_tf.layers import MaxPoolWithSwitches, MaxUnpool
from dlcv_tf.models.summary import kinds
from dlcv_tf.models.summary.calls import Call, Graph


@dataclasses.dataclass(frozen=True)
class Span:
    """What the outputs along one axis see.

    Args:
        jump: pixels from one output's field to the next's; 0 where all see the same.
        first: first pixel that output 0 sees; below 0 in the padding.
        last: its last pixel.
    """

    jump: float
    first: float
    last: float

    @property
    def size(self) -> int:
        """Returns the pixels of the field."""
        return math.ceil(self.last - self.first + 1 - 1e-6)

    def shifted(self, places: float) -> "Span":
        """Returns the span where output i stands at the place i + places of this one."""
        move = self.jump * places
        return Span(self.jump, self.first + move, self.last + move)

    def through(self, taps: int, stride: float, before: float, dilation: int = 1) -> "Span":
        """Returns the span behind a window of `taps` with `before` padding at the low end."""
        moved = self.shifted(-before)
        reach = (taps - 1) * dilation * self.jump
        return Span(self.jump * stride, moved.first, moved.last + reach)

    def collapsed(self, places: int) -> "Span":
        """Returns the union over all places, which every output now sees."""
        return Span(0.0, self.first, self.last + self.jump * (places - 1))


Field = tuple[Span, ...] | None  # None: not known; an empty one: does not depend on the input

# Input pixels that an output of an upsampling lies between.
INTERPOLATED = {"nearest": 1, "bilinear": 2, "bicubic": 4}


def fields(graph: Graph) -> dict[int, Field]:
    """Returns the field of every tensor of a graph, in pixels of the first input.

    Returns:
        By `id` of the symbolic tensor: a span for each axis of the first input between batch and
        channels; None where an operation's effect is not known.
    """
    axes = len(graph.inputs[0].shape) - 2
    found: dict[int, Field] = {id(each): () for each in graph.inputs}
    found[id(graph.inputs[0])] = (Span(1.0, 0.0, 0.0),) * max(axes, 0)
    for call in graph.calls:
        if not call.inputs:
            continue
        before = [found[id(each)] for each in call.inputs]
        if isinstance(call.operation, MaxUnpool):  # a number may go to any place of its window
            before[0] = _doubled(before[0])
        field = _field(call, before)
        found |= {id(each): field for each in call.outputs}
        if isinstance(call.operation, MaxPoolWithSwitches):  # a switch sees what its window does
            found[id(call.outputs[1])] = _doubled(field)
    return found


def _field(call: Call, before: list[Field]) -> Field:
    """Returns the field of a call's outputs."""
    if None in before:
        return None
    depends = [
        (field, places(each, call.operation))
        for field, each in zip(before, call.inputs, strict=True)
        if field
    ]
    if not depends:
        return ()
    merged = _union(depends)
    operation, sizes = call.operation, depends[0][1]
    if all(span.jump == 0 for span in merged):  # all see the same, and go on doing so
        return merged
    if isinstance(operation, kinds.GLOBAL) or len(call.outputs[0].shape) < 3:  # no places are left
        return collapsed(merged, sizes)
    if kinds.is_pointwise(operation):
        return merged
    if isinstance(operation, layers.Concatenate):
        return merged if operation.axis in (-1, len(call.inputs[0].shape) - 1) else None
    if len(sizes) == len(merged):
        return _windowed(operation, merged, sizes, call)
    return None


def _windowed(operation, field: Field, sizes: tuple[int, ...], call: Call) -> Field:
    """Returns the field behind a layer with a window, or one that moves or repeats places."""
    if isinstance(operation, kinds.WINDOWED):
        return tuple(
            span.through(taps, stride, before, dilation)
            for span, (taps, stride, dilation, before) in zip(
                field, kinds.windows(operation, sizes), strict=True
            )
        )
    if isinstance(operation, kinds.TRANSPOSED):
        windows = zip(field, operation.kernel_size, operation.strides, strict=True)
        return tuple(
            _between(span, math.ceil(kernel / stride), stride, _transposed_centre(operation, axis))
            for axis, (span, kernel, stride) in enumerate(windows)
        )
    if isinstance(operation, kinds.UPSAMPLINGS):
        factors = kinds.for_each(operation.size, len(field))
        taps = INTERPOLATED.get(getattr(operation, "interpolation", "nearest"))
        if taps is None:
            return None
        return tuple(
            _between(span, taps, factor, (factor - 1) / 2)
            for span, factor in zip(field, factors, strict=True)
        )
    if isinstance(operation, kinds.PADDINGS + kinds.CROPPINGS):
        sign = -1 if isinstance(operation, kinds.PADDINGS) else 1
        margins = operation.padding if isinstance(operation, kinds.PADDINGS) else operation.cropping
        margins = (margins,) if isinstance(margins[0], int) else margins
        return tuple(
            span.shifted(sign * low) for span, (low, _) in zip(field, margins, strict=True)
        )
    if type(operation).__name__ == "Pad":  # keras.ops.pad
        margins = operation.pad_width[1:-1]
        return tuple(span.shifted(-low) for span, (low, _) in zip(field, margins, strict=True))
    if type(operation).__name__ == "Split":
        kept = {places(each, operation) for each in call.outputs} == {sizes}
        return field if kept else None  # of the channels only
    return None


def _transposed_centre(operation, axis: int) -> float:
    """Returns the output place above the middle of what input 0 is spread over."""
    kernel, stride = operation.kernel_size[axis], operation.strides[axis]
    cut = max(kernel - stride, 0) // 2 if operation.padding == "same" else 0
    return (kernel - 1) / 2 - cut


def _between(span: Span, taps: int, factor: int, centre: float) -> Span:
    """Returns the span of outputs between the input's places: `factor` of them to each."""
    middle = span.shifted(-centre / factor - (taps - 1) / 2)
    return Span(span.jump / factor, middle.first, middle.last + (taps - 1) * span.jump)


def _doubled(field: Field) -> Field:
    """Returns the field of a map that repeats each place of another over 2x2."""
    return field and tuple(_between(span, 1, 2, 0.5) for span in field)


def _union(depends: list[tuple[Field, tuple[int, ...]]]) -> Field:
    """Returns what an operation of several inputs sees."""
    if len({tuple(span.jump for span in field) for field, _ in depends}) > 1:
        # E.g. a map times a gate computed from all of it: now each output sees all.
        depends = [(collapsed(field, sizes), sizes) for field, sizes in depends]
    first, *others = (field for field, _ in depends)
    for other in others:
        first = tuple(
            Span(one.jump, min(one.first, two.first), max(one.last, two.last))
            for one, two in zip(first, other, strict=True)
        )
    return first


def collapsed(field: Field, sizes: tuple[int, ...]) -> Field:
    """Returns the union over all places of a tensor, whose axes have these sizes."""
    if len(sizes) != len(field):  # collapsed before
        return field
    return tuple(span.collapsed(size) for span, size in zip(field, sizes, strict=True))


def places(tensor: keras.KerasTensor, operation) -> tuple[int, ...]:
    """Returns the sizes of a tensor's axes between batch and channels."""
    if getattr(operation, "data_format", None) == "channels_first":
        return tuple(tensor.shape[2:])
    return tuple(tensor.shape[1:-1])
