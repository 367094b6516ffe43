"""A convolution that XLA:CPU aborts the whole process on, recognised before it is built.

XLA's algebraic simplifier swaps the operands of a dense convolution whose kernel has more positions than its input.
It takes an axis for one that merely lists groups, and leaves it as it is, if ``input_dilation == window``,
``strides == max(window - 1, 1)``, the kernel is not dilated and nothing is padded; but it does not look whether the
input has as many entries as the window. Where it has not, a check fails and the process ends (jax 0.10.2, 0.12.0).

Derivatives run into it as well, being convolutions with the roles exchanged. One more position at the end of each
axis, which the caller cuts off again, gives the convolution and its derivatives a padding that is not zero. (Padding
beforehand does not help: XLA folds it back.)
"""

import dataclasses
from typing import NamedTuple

from jaxcnn._geometry import ConvGeometry, dilated_size
from jaxcnn._symbolic import is_less, larger


class Axis(NamedTuple):
    """One axis of a convolution as XLA is told it."""

    size: int
    window: int
    stride: int
    input_dilation: int
    kernel_dilation: int
    pads: tuple[int, int]

    @property
    def taken_for_groups(self) -> bool:
        """Whether the swap leaves this axis alone though it must not."""
        return (
            not is_less(self.window, 2)
            and self.input_dilation == self.window != self.size
            and self.stride == larger(self.window - 1, 1)
            and self.kernel_dilation == 1
            and self.pads == (0, 0)
        )

    @property
    def may_be_short(self) -> bool:
        """Whether the kernel has more positions than the input, or may have where a size is symbolic."""
        return not is_less(self.window, self.size + 1)


def aborts_xla(geometry: ConvGeometry) -> bool:
    """Whether the convolution, or one of its two derivatives, has such an axis beside one that invites the swap."""
    if geometry.groups != 1:
        return False
    back = geometry.transposed()
    return any(_aborts(axes) for axes in (_axes(geometry), _axes(back), _kernel_grad_axes(geometry)))


def without_abort(geometry: ConvGeometry) -> ConvGeometry:
    """The same convolution with as many more positions at the end of each axis as keep XLA alive, mostly none."""
    while aborts_xla(geometry):
        geometry = dataclasses.replace(
            geometry,
            pads=tuple((before, after + s) for (before, after), s in zip(geometry.pads, geometry.strides, strict=True)),
            out_sizes=tuple(out + 1 for out in geometry.out_sizes),
        )
    return geometry


def _aborts(axes: list[Axis]) -> bool:
    return any(axis.taken_for_groups for axis in axes) and any(axis.may_be_short for axis in axes)


def _axes(geometry: ConvGeometry) -> list[Axis]:
    columns = zip(
        geometry.sizes,
        geometry.window,
        geometry.strides,
        geometry.input_dilation,
        geometry.kernel_dilation,
        geometry.pads,
        strict=True,
    )
    return [Axis(*column) for column in columns]


def _kernel_grad_axes(geometry: ConvGeometry) -> list[Axis]:
    """The cotangent of the output is the kernel here, dilated by the strides, and the kernel's dilation the stride."""
    axes = []
    for axis, out in zip(_axes(geometry), geometry.out_sizes, strict=True):
        reads = axis.kernel_dilation * (axis.window - 1) + dilated_size(out, axis.stride)
        before = axis.pads[0]
        pads = before, reads - dilated_size(axis.size, axis.input_dilation) - before
        axes.append(Axis(axis.size, out, axis.kernel_dilation, axis.input_dilation, axis.stride, pads))
    return axes
