"""Where the windows of a pooling operation lie on its input, in plain integers.

Position ``o`` of a window of ``k`` entries reads ``o * stride - before + j * dilation`` for ``j`` in ``range(k)``,
on each spatial axis by itself. What that reads is one of three things: an entry of the input, real padding (asked for
by ``padding``), or the overhang of ``ceil_mode``, where the last window hangs over the padded input. Only the first
counts for a maximum; an average may count the second, never the third.
"""

import dataclasses
from collections.abc import Sequence
from numbers import Real

from jaxcnn._axes import IntPerAxis, int_per_axis, window_per_axis
from jaxcnn._errors import ShapeError
from jaxcnn._geometry._padding import Padding, output_size, pads_per_axis, reach
from jaxcnn._geometry._patches import split_image_shape
from jaxcnn._symbolic import is_less, is_symbolic, larger, smaller


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoolAxis:
    """The windows on one spatial axis.

    Attributes:
        size: length of the input.
        window: entries of a window.
        stride: steps between windows.
        dilation: steps between the entries of one window.
        before: padding before; a negative count crops.
        after: padding after; a negative count crops.
        positions: how many windows there are.
    """

    size: int
    window: int
    stride: int
    dilation: int
    before: int
    after: int
    positions: int

    @property
    def symbolic(self) -> bool:
        """Whether the size is a symbolic dimension."""
        return is_symbolic(self.size)

    @property
    def trivial(self) -> bool:
        """Whether each window is one entry of the input, and all entries have one."""
        return self.window == 1 and self.stride == 1 and self.before == self.after == 0

    @property
    def disjoint(self) -> bool:
        """Whether each window ends before the next one starts."""
        return self.extent <= self.stride

    @property
    def extent(self) -> int:
        """The number of entries from the first tap of a window to the last one."""
        return reach(self.window, self.dilation)

    @property
    def span(self) -> int:
        """The number of entries from the start of the first window to the end of the last one."""
        return (self.positions - 1) * self.stride + self.extent

    def entry(self, position: int, tap: int) -> int:
        """The index of the input, inside or outside, that a tap of the window at a position reads."""
        return position * self.stride - self.before + tap * self.dilation

    def bounds(self, *, include_pad: bool = False) -> tuple[int, int]:
        """The first index of the input that is not cropped and the end of these, or those of the padded input.

        >>> axis = plan_pool((5,), (3,), strides=2, padding=((-1, 2),))[0]
        >>> axis.bounds(), axis.bounds(include_pad=True)
        ((1, 5), (1, 7))
        """
        if include_pad:
            return -self.before, self.size + self.after
        return larger(0, -self.before), self.size + smaller(0, self.after)

    def positions_inside(self, tap: int) -> tuple[int, int]:
        """The first position whose window reads the input with this tap, and the end of these.

        >>> axis = plan_pool((5,), (3,), strides=2, padding=1)[0]
        >>> [axis.positions_inside(tap) for tap in range(3)]
        [(1, 3), (0, 3), (0, 2)]
        """
        first, end = (-(-(bound - self.entry(0, tap)) // self.stride) for bound in self.bounds())
        first, end = max(first, 0), min(end, self.positions)
        return (first, end) if first < end else (0, 0)


PoolPlan = tuple[PoolAxis, ...]


def plan_pool(
    sizes: Sequence[int],
    window_shape: Sequence[int],
    *,
    strides: IntPerAxis,
    padding: Padding = "VALID",
    window_dilation: IntPerAxis = 1,
    ceil_mode: bool = False,
) -> PoolPlan:
    """Spreads the options over the axes and counts the windows of each.

    Raises:
        ShapeError: options of another length than there are axes, unknown words, or no window at all.
        TypeError: an option that is not made of integers.

    >>> [axis.positions for axis in plan_pool((7, 8), (2, 2), strides=2)]
    [3, 4]
    """
    window = window_per_axis(window_shape)
    ndim = len(window)
    stride = int_per_axis(strides, ndim, name="strides")
    dilation = int_per_axis(window_dilation, ndim, name="window_dilation")
    if not isinstance(ceil_mode, bool):
        raise TypeError(f"ceil_mode is True or False, not {ceil_mode!r}.")
    pads = pads_per_axis(padding, sizes, window, strides=stride, dilation=dilation)
    plan = []
    for axis, (size, taps, step, gap, (before, after)) in enumerate(
        zip(sizes, window, stride, dilation, pads, strict=True)
    ):
        positions = pool_positions(
            size, taps, stride=step, dilation=gap, pads=(before, after), ceil_mode=ceil_mode, axis=axis
        )
        plan.append(
            PoolAxis(size=size, window=taps, stride=step, dilation=gap, before=before, after=after, positions=positions)
        )
    return tuple(plan)


def pool_positions(
    size: int,
    window: int,
    *,
    stride: int,
    dilation: int = 1,
    pads: tuple[int, int] = (0, 0),
    ceil_mode: bool = False,
    axis: int = 0,
) -> int:
    """How many windows lie on one axis: ``(size + before + after - reach) / stride + 1``, rounded down or up.

    Rounded up, the last window may hang over the end; it is dropped where it would start in the padding after, since
    it would read nothing of the input.

    Raises:
        ShapeError: there is no window, or nothing to read.

    Source: the pooling operators of PyTorch and of ONNX, which share this rule.

    >>> pool_positions(6, 3, stride=2), pool_positions(6, 3, stride=2, ceil_mode=True)
    (2, 3)
    >>> pool_positions(4, 2, stride=3, pads=(1, 1), ceil_mode=True)  # a third window would start at 5
    2
    """
    before, after = pads
    excess = size + before + after - reach(window, dilation)
    positions = (excess + stride) // stride
    if ceil_mode:
        starts_inside = -(-(size + before + smaller(after, 0)) // stride)
        rounded_up = -(-(excess + stride) // stride)
        positions = smaller(rounded_up, larger(rounded_up - 1, larger(starts_inside, 1)))
    if is_less(positions, 1):  # which raises the error
        return output_size(size, window, stride=stride, dilation=dilation, pads=pads, axis=axis)
    if not is_less(0, positions):
        raise ShapeError(
            f"on spatial axis {axis} a window of {window} may be larger than the input of {size} with padding {pads}. "
            f'Pass a constraint to jax.export.symbolic_shape, such as "{size} >= {size - excess}".'
        )
    return positions


def pool_output_shape(
    x_shape: Sequence[int],
    window_shape: Sequence[int],
    *,
    strides: IntPerAxis,
    padding: Padding = "VALID",
    window_dilation: IntPerAxis = 1,
    ceil_mode: bool = False,
) -> tuple[int, ...]:
    """The shape of ``max_pool`` and its kin, from the shape ``(*batch, *spatial, channels)`` of their input.

    Raises:
        ShapeError: as the pools do.
        TypeError: as the pools do.

    >>> pool_output_shape((8, 112, 112, 64), (3, 3), strides=2, padding="SAME")
    (8, 56, 56, 64)
    """
    batch, sizes = split_image_shape(x_shape, len(window_per_axis(window_shape)))
    plan = plan_pool(
        sizes,
        window_shape,
        strides=strides,
        padding=padding,
        window_dilation=window_dilation,
        ceil_mode=ceil_mode,
    )
    return (*batch, *(axis.positions for axis in plan), x_shape[-1])


def norm_exponent(p: float) -> float:
    """The exponent of a norm as a float.

    Raises:
        TypeError: not a real number.
        ShapeError: a number that is not positive.

    >>> norm_exponent(3)
    3.0
    """
    if isinstance(p, bool) or not isinstance(p, Real):
        raise TypeError(f"p wants a positive number or inf, not {p!r} ({type(p).__name__}).")
    if not p > 0:
        raise ShapeError(f"p={p!r} must be positive. Write p=1 for a sum, p=2 for a norm, p=inf for a maximum.")
    return float(p)
