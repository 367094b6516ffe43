"""Convolutions on which XLA:CPU aborts the process, and equivalents on which it does not.

XLA's algebraic simplifier swaps the operands of a dense convolution whose kernel has more positions than its input.
It treats an axis as one that lists groups, and does not swap it, if ``input_dilation == window``,
``strides == max(window - 1, 1)``, the kernel is not dilated and nothing is padded; but it does not check whether the
input has as many entries as the window. If it has not, an assertion fails and the process ends (jax 0.10.2, 0.12.0).

Derivatives are affected too, since they are convolutions with the roles exchanged. One more position at the end of each
axis, which the caller removes again, gives the convolution and its derivatives a padding that is not zero. (Padding
beforehand does not help, because XLA merges it into the convolution.)
"""

import dataclasses
from typing import NamedTuple

from jaxcnn._geometry import ConvGeometry
from jaxcnn._symbolic import is_less, larger


class Axis(NamedTuple):
    """One axis of a convolution."""

    size: int
    window: int
    stride: int
    input_dilation: int
    kernel_dilation: int
    pads: tuple[int, int]

    @property
    def is_treated_as_groups(self) -> bool:
        """Whether XLA does not swap this axis although it must."""
        return (
            not is_less(self.window, 2)
            and self.input_dilation == self.window != self.size
            and self.stride == larger(self.window - 1, 1)
            and self.kernel_dilation == 1
            and self.pads == (0, 0)
        )

    @property
    def may_be_short(self) -> bool:
        """Whether the kernel has more positions than the input, or may have because a size is symbolic."""
        return not is_less(self.window, self.size + 1)


def aborts_xla(geometry: ConvGeometry) -> bool:
    """Whether the convolution, or one of its two derivatives, has such an axis and one that causes the swap."""
    if geometry.groups != 1:
        return False
    back = geometry.transposed()
    return any(_aborts(axes) for axes in (_axes(geometry), _axes(back), _axes(geometry.with_batch(1).of_kernel_grad())))


def without_abort(geometry: ConvGeometry) -> ConvGeometry:
    """The same convolution with the additional positions at the end of each axis that XLA requires, usually none."""
    while aborts_xla(geometry):
        geometry = dataclasses.replace(
            geometry,
            pads=tuple((before, after + s) for (before, after), s in zip(geometry.pads, geometry.strides, strict=True)),
            out_sizes=tuple(out + 1 for out in geometry.out_sizes),
        )
    return geometry


def _aborts(axes: list[Axis]) -> bool:
    return any(axis.is_treated_as_groups for axis in axes) and any(axis.may_be_short for axis in axes)


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
