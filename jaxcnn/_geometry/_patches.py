"""The positions of the windows of an operation on its input, in plain integers.

On each spatial axis, output ``o`` reads the positions ``o * stride - before + j * dilation`` for ``j`` in ``range(k)``,
where ``k`` is the window's size.
"""

import dataclasses
from collections.abc import Sequence

from jaxcnn._axes import IntPerAxis, as_size, int_per_axis, window_per_axis
from jaxcnn._errors import ShapeError
from jaxcnn._geometry._padding import Padding, Pads, output_size, pads_per_axis


@dataclasses.dataclass(frozen=True, kw_only=True)
class PatchPlan:
    """The windows of one operation, with one value of each option per spatial axis.

    Attributes:
        sizes: the input's spatial shape.
        window: entries of the window.
        strides: steps between windows.
        dilation: steps between the entries of one window.
        pads: padding before and after; negative counts crop.
        positions: number of windows.
    """

    sizes: tuple[int, ...]
    window: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: Pads
    positions: tuple[int, ...]

    @property
    def ndim(self) -> int:
        """The number of spatial axes."""
        return len(self.sizes)


def plan_patches(
    sizes: Sequence[int],
    window_shape: Sequence[int],
    *,
    strides: IntPerAxis,
    padding: Padding = "VALID",
    window_dilation: IntPerAxis = 1,
) -> PatchPlan:
    """Expands the options to one value per axis and computes the number of positions.

    Raises:
        ShapeError: an option whose length is not the number of axes, or a window larger than the padded input.
        TypeError: an option that is not made of integers.
        ValueError: an unknown name of a padding.

    >>> plan_patches((7, 7), (3, 3), strides=2).positions
    (3, 3)
    """
    window = window_per_axis(window_shape)
    ndim = len(window)
    stride = int_per_axis(strides, ndim, name="strides")
    dilation = int_per_axis(window_dilation, ndim, name="window_dilation")
    pads = pads_per_axis(padding, sizes, window, strides=stride, dilation=dilation)
    positions = tuple(
        output_size(n, k, stride=s, dilation=d, pads=pad, axis=axis)
        for axis, (n, k, s, d, pad) in enumerate(zip(sizes, window, stride, dilation, pads, strict=True))
    )
    return PatchPlan(
        sizes=tuple(sizes), window=window, strides=stride, dilation=dilation, pads=pads, positions=positions
    )


def split_image_shape(x_shape: Sequence[int], ndim: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Splits ``(*batch, *spatial, channels)`` into its batch and its spatial part.

    Raises:
        ShapeError: the array has fewer axes than the spatial axes and the channels require.

    >>> split_image_shape((8, 32, 32, 3), 2)
    ((8,), (32, 32))
    """
    if len(x_shape) < ndim + 1:
        raise ShapeError(
            f"{ndim} spatial axes and one of channels require at least {ndim + 1} axes, but x has "
            f"{len(x_shape)} (x.shape={tuple(x_shape)}). Is the channel axis missing?"
        )
    return tuple(x_shape[: -ndim - 1]), tuple(x_shape[-ndim - 1 : -1])


def patches_output_shape(
    x_shape: Sequence[int],
    window_shape: Sequence[int],
    *,
    strides: IntPerAxis,
    padding: Padding = "VALID",
    window_dilation: IntPerAxis = 1,
) -> tuple[int, ...]:
    """The whole shape of ``extract_patches(x, window_shape, ...)``.

    Args:
        x_shape: ``(*batch, *spatial, channels)``.
        window_shape: one integer per spatial axis.
        strides: as in ``extract_patches``, like ``padding`` and ``window_dilation``.

    Raises:
        ShapeError: arguments for which ``extract_patches`` raises a ``ShapeError``.
        ValueError: an unknown name of padding.
        TypeError: an option that is not made of integers.

    >>> patches_output_shape((8, 32, 32, 3), (5, 5), strides=1)
    (8, 28, 28, 5, 5, 3)
    """
    batch, sizes = split_image_shape(x_shape, len(window_per_axis(window_shape)))
    plan = plan_patches(sizes, window_shape, strides=strides, padding=padding, window_dilation=window_dilation)
    return (*batch, *plan.positions, *plan.window, x_shape[-1])


def plan_fold(
    patches_shape: Sequence[int],
    output_shape: Sequence[int],
    window_shape: Sequence[int],
    *,
    strides: IntPerAxis,
    padding: Padding = "VALID",
    window_dilation: IntPerAxis = 1,
) -> PatchPlan:
    """The plan whose patches of an image of ``output_shape`` have the shape ``patches_shape``.

    Raises:
        ShapeError: the patches of such an image have another shape.
        TypeError: an option that is not made of integers.

    >>> plan_fold((8, 3, 3, 2, 2, 16), (4, 4), (2, 2), strides=1).positions
    (3, 3)
    """
    window = window_per_axis(window_shape)
    if isinstance(output_shape, int):
        raise ShapeError(f"output_shape={output_shape} is one integer; write the spatial shape, such as (8, 8).")
    sizes = tuple(as_size(size, name="output_shape") for size in output_shape)
    if len(sizes) != len(window):
        raise ShapeError(
            f"output_shape={sizes} and window_shape={window} differ in length. "
            f"output_shape is spatial: no batch axes, no channels."
        )
    plan = plan_patches(sizes, window, strides=strides, padding=padding, window_dilation=window_dilation)
    found = tuple(patches_shape[-2 * plan.ndim - 1 : -1])
    if len(patches_shape) < 2 * plan.ndim + 1 or found != plan.positions + window:
        raise ShapeError(
            f"an image of {sizes} has windows (*batch, {', '.join(map(str, plan.positions + window))}, "
            f"channels) with these options, but patches.shape={tuple(patches_shape)}. "
            f"Pass the same options as to extract_patches."
        )
    return plan
