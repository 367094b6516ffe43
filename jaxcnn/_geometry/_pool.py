"""The positions of the windows of a pooling operation on its input, in plain integers.

On each spatial axis, output ``o`` reads the positions ``o * stride - before + j * dilation`` for ``j`` in ``range(k)``,
where ``k`` is the window's size. Each of them is an entry of the input, an entry of the padding, or, with
``ceil_mode``, a position past the padded input (the overhang of the last window). A maximum uses only entries of the
input. The divisor of an average may include the padding, but never the overhang.
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
        positions: number of windows.
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
        """Whether the windows are the single entries of the input, each entry once."""
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
        """Start and end of the input that is not cropped; with ``include_pad``, start and end of the padded input.

        >>> axis = plan_pool((5,), (3,), strides=2, padding=((-1, 2),))[0]
        >>> axis.bounds(), axis.bounds(include_pad=True)
        ((1, 5), (1, 7))
        """
        if include_pad:
            return -self.before, self.size + self.after
        return larger(0, -self.before), self.size + smaller(0, self.after)

    def positions_inside(self, tap: int) -> tuple[int, int]:
        """Start and end of the positions at which this tap of the window reads the input.

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
    """Expands the options to one value per axis and computes the number of windows.

    Raises:
        ShapeError: an option whose length is not the number of axes, or a window larger than the padded input.
        TypeError: an option that is not made of integers.
        ValueError: an unknown name of a padding.

    >>> [axis.positions for axis in plan_pool((7, 8), (2, 2), strides=2)]
    [3, 4]
    """
    window = window_per_axis(window_shape)
    ndim = len(window)
    stride = int_per_axis(strides, ndim, name="strides")
    dilation = int_per_axis(window_dilation, ndim, name="window_dilation")
    if not isinstance(ceil_mode, bool):
        raise TypeError(f"ceil_mode must be True or False, not {ceil_mode!r}.")
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
    """The number of windows on one axis: ``(size + before + after - reach) / stride + 1``, rounded down or up.

    Rounded up, the last window may extend past the end. It is dropped if it would start in the padding after, since it
    would read no entry of the input.

    Raises:
        ShapeError: the window is larger than the padded input.

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
        positions = rounded_up = -(-(excess + stride) // stride)
        # Otherwise the last window starts inside, and the minimum is not computed: it has three terms of a symbolic
        # size, so after several pools JAX would compare expressions of thousands of terms.
        if not is_less(stride + larger(after, 0), reach(window, dilation) + 1):
            starts_inside = -(-(size + before + smaller(after, 0)) // stride)
            positions = smaller(rounded_up, larger(rounded_up - 1, larger(starts_inside, 1)))
    if is_less(positions, 1):  # output_size raises the error
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
    """The shape of the result of ``max_pool`` and the other pools, for an input ``(*batch, *spatial, channels)``.

    Args:
        x_shape: ``(*batch, *spatial, channels)``.
        window_shape: one integer per spatial axis.
        strides: as in ``max_pool``, like ``padding``, ``window_dilation`` and ``ceil_mode``.

    Raises:
        ShapeError: arguments for which the pools raise a ``ShapeError``.
        TypeError: an option that is not made of integers.
        ValueError: an unknown name of a padding.

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
        ValueError: a number that is not positive.

    >>> norm_exponent(3)
    3.0
    """
    if isinstance(p, bool) or not isinstance(p, Real):
        raise TypeError(f"p must be a positive number or inf, not {p!r} ({type(p).__name__}).")
    if not p > 0:
        raise ValueError(f"p={p!r} must be positive. Write p=1 for a sum, p=2 for a norm, p=inf for a maximum.")
    return float(p)
