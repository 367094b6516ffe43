"""Anchors: the boxes about each position of a map that a detector classifies and moves."""

import math
import numbers
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn._axes import IntPerAxis, as_int, int_per_axis
from jaxcnn._errors import ShapeError


def anchors(
    map_shape: Sequence[int],
    *,
    strides: IntPerAxis,
    sizes: Sequence[float],
    ratios: Sequence[float] = (0.5, 1.0, 2.0),
    offset: float = 0.0,
) -> jax.Array:
    """Boxes of several sizes and ratios about each position of a map, in pixels of the image.

    An anchor of size ``s`` and ratio ``r = height / width`` is ``s / sqrt(r)`` wide and ``s sqrt(r)`` high, so that its
    area is ``s * s``. Half of each side is rounded to an integer, half to even. Anchors of position ``(i, j)`` have
    their centre at ``y = (i + offset) strides[0]`` and ``x = (j + offset) strides[1]``.

    The nine anchors of Faster R-CNN are ``strides=16, sizes=(128, 256, 512)``. The detectors of torchvision have one
    size on each level of a pyramid: 32 for a stride of 4, doubled from level to level.

    Args:
        map_shape: ``(height, width)`` of the map.
        strides: pixels of the image from one position of the map to the next.
        sizes: of the anchors, square roots of areas.
        ratios: heights over widths.
        offset: 0 puts centres at the corner of a position's first pixel, as in torchvision; 0.5 in the middle of its
            pixels.

    Returns:
        ``(height * width * len(ratios) * len(sizes), 4)`` as ``(x0, y0, x1, y1)``, float32: ordered by row, column,
        ratio and size; the size changes fastest. Anchors may cross the border of the image.

    Raises:
        ShapeError: a map that is not of two axes, or strides below 1.
        ValueError: no size, no ratio, one that is not positive, or an offset outside [0, 1].
        TypeError: sizes of the map or strides that are not integers.

    Source: Ren, He, Girshick and Sun (2015), "Faster R-CNN", section 3.1.1; ``AnchorGenerator`` of torchvision, to
    which it is equal.

    >>> from jaxcnn import functional as F
    >>> F.anchors((1, 2), strides=16, sizes=(32,), ratios=(0.5, 1.0))
    Array([[-23., -11.,  23.,  11.],
           [-16., -16.,  16.,  16.],
           [ -7., -11.,  39.,  11.],
           [  0., -16.,  32.,  16.]], dtype=float32)
    """
    shape = tuple(as_int(size, name="map_shape") for size in map_shape) if hasattr(map_shape, "__iter__") else ()
    if len(shape) != 2 or min(shape) < 0:
        raise ShapeError(f"map_shape must be (height, width), not {map_shape!r}.")
    steps = int_per_axis(strides, 2, name="strides")
    for name, values in (("sizes", sizes), ("ratios", ratios)):
        several = hasattr(values, "__len__") and len(values) > 0
        if not several or not all(isinstance(v, numbers.Real) and 0 < float(v) < math.inf for v in values):
            raise ValueError(f"{name} must be one or more positive numbers, not {values!r}. Write one as (32,).")
    if not 0 <= offset <= 1:
        raise ValueError(f"offset={offset} must be from 0, the corner of a position, to 1.")
    heights = np.sqrt(np.asarray(ratios, np.float32))
    high, wide = (
        (factor[:, None] * np.asarray(sizes, np.float32)).ravel() for factor in (heights, np.float32(1) / heights)
    )
    about_zero = np.round(np.stack([-wide, -high, wide, high], -1) / 2)
    y, x = (
        (np.arange(size, dtype=np.float32) + np.float32(offset)) * step for size, step in zip(shape, steps, strict=True)
    )
    rows, columns = np.meshgrid(y, x, indexing="ij")
    centres = np.stack([columns, rows, columns, rows], -1).reshape(-1, 1, 4)
    return jnp.asarray((centres + about_zero).reshape(-1, 4))
