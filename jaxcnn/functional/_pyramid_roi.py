"""Regions of interest in a pyramid of maps: each box is read from the map whose pixels fit its size."""

import functools
import itertools
import math
import numbers
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._arrays import ArrayLike, accumulator_dtype, as_array
from jaxcnn._axes import IntPerAxis, as_int, int_per_axis
from jaxcnn._errors import ShapeError
from jaxcnn.functional._bilinear import bilinear_of_flat
from jaxcnn.functional._boxes import as_boxes, box_area, coordinate_dtype
from jaxcnn.functional._roi import sample_positions, weighted_in_blocks, weights_at


def pyramid_roi_align(
    maps: Sequence[ArrayLike],
    boxes: ArrayLike,
    *,
    strides: Sequence[int],
    output_size: IntPerAxis,
    sampling_ratio: int,
    aligned: bool,
    canonical_size: float = 224.0,
    canonical_level: int = 4,
) -> jax.Array:
    """``roi_align`` of each box in one of several maps, which the size of the box selects.

    A box of area ``a`` is read at level ``floor(canonical_level + log2(sqrt(a) / canonical_size) + 1e-6)``, where the
    map of stride ``2**l`` is level ``l``. A level below the first map or above the last one is clipped to it.

    Args:
        maps: ``(*batch, height, width, channels)`` each, of one dtype and one number of channels, from fine to coarse.
        boxes: ``(*batch, n, 4)`` as ``(x0, y0, x1, y1)`` in pixels of the image. Their dtype may differ from that of
            the maps, such as float32 boxes with bfloat16 maps.
        strides: of the maps, powers of two of which each is twice the one before: ``(4, 8, 16, 32)``.
        output_size: bins on each axis; one number for both.
        sampling_ratio: samples in a bin on each axis.
        aligned: as in ``roi_align``.
        canonical_size: side of the boxes that are read at ``canonical_level``: 224, the size of images for which
            backbones are trained.
        canonical_level: 4, the map of stride 16.

    Returns:
        ``(*batch, n, *output_size, channels)``, of the type of the maps. Differentiable in the maps; the boxes have no
        gradient.

    Raises:
        ShapeError: shapes that do not fit each other, a map without pixels, or an output size that is not positive.
        ValueError: strides that do not fit the maps or are not doubled powers of two, or a ratio or size that is not
            positive.
        TypeError: arrays that are not floating, or sizes that are not integers.

    Source: Lin et al. (2017), "Feature pyramid networks for object detection", equation 1; ``MultiScaleRoIAlign`` of
    torchvision.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> fine, coarse = jnp.zeros((8, 8, 1)), jnp.ones((4, 4, 1))
    >>> boxes = jnp.array([[0.0, 0.0, 8.0, 8.0], [0.0, 0.0, 32.0, 32.0]])
    >>> options = {"strides": (4, 8), "output_size": 1, "sampling_ratio": 2, "aligned": False}
    >>> F.pyramid_roi_align([fine, coarse], boxes, canonical_size=16, canonical_level=3, **options).ravel()
    Array([0., 1.], dtype=float32)
    """
    levels = [as_array(each, name="maps") for each in maps]
    regions = as_boxes(boxes, name="boxes")
    size = int_per_axis(output_size, 2, name="output_size")
    samples = as_int(sampling_ratio, name="sampling_ratio")
    if samples < 1:
        raise ValueError(f"sampling_ratio={samples} must be at least 1.")
    if not isinstance(canonical_size, numbers.Real) or not 0 < float(canonical_size) < math.inf:
        raise ValueError(f"canonical_size={canonical_size!r} must be a positive number: 224 for usual backbones.")
    steps = _check_strides(strides, len(levels))
    _check_maps(levels, regions)
    return _align(
        levels,
        lax.stop_gradient(regions).astype(coordinate_dtype(regions, levels[0])),
        strides=steps,
        output_size=(size[0], size[1]),
        samples=samples,
        aligned=bool(aligned),
        canonical=(float(canonical_size), as_int(canonical_level, name="canonical_level")),
    )


def _check_strides(strides: Sequence[int], count: int) -> tuple[int, ...]:
    steps = tuple(as_int(stride, name="strides") for stride in strides) if hasattr(strides, "__iter__") else ()
    doubled = all(b == 2 * a for a, b in itertools.pairwise(steps))
    if not steps or len(steps) != count or steps[0] < 1 or steps[0] & (steps[0] - 1) or not doubled:
        raise ValueError(
            f"strides={strides!r} must have one power of two for each of the {count} maps, each twice the one "
            f"before, such as (4, 8, 16, 32)."
        )
    return steps


def _check_maps(maps: Sequence[jax.Array], boxes: jax.Array) -> None:
    shapes = ", ".join(str(each.shape) for each in maps)
    if any(not jnp.issubdtype(each.dtype, jnp.floating) or each.dtype != maps[0].dtype for each in maps):
        raise TypeError(f"maps must be of one floating type, not {', '.join(str(each.dtype) for each in maps)}.")
    if boxes.ndim < 2 or any(
        each.ndim < 3 or each.shape[:-3] != boxes.shape[:-2] or each.shape[-1] != maps[0].shape[-1] for each in maps
    ):
        raise ShapeError(
            f"maps and boxes must have the shapes (*batch, height, width, channels) and (*batch, n, 4), with the same "
            f"batch axes and channels, but the maps have {shapes} and boxes.shape={boxes.shape}."
        )
    if not all(size for each in maps for size in each.shape[-3:-1]):
        raise ShapeError(f"maps of the shapes {shapes} have no pixels on some level.")


@functools.partial(jax.jit, static_argnames=("strides", "output_size", "samples", "aligned", "canonical"))
def _align(
    maps: list[jax.Array],
    boxes: jax.Array,
    *,
    strides: tuple[int, ...],
    output_size: tuple[int, int],
    samples: int,
    aligned: bool,
    canonical: tuple[float, int],
) -> jax.Array:
    each = functools.partial(
        _align_image,
        strides=strides,
        output_size=output_size,
        samples=samples,
        aligned=aligned,
        canonical=canonical,
    )
    for _ in range(boxes.ndim - 2):  # one example at a time: a sharded batch axis stays sharded
        each = jax.vmap(each)
    return each(maps, boxes)


def _align_image(
    maps: list[jax.Array],
    boxes: jax.Array,
    *,
    strides: tuple[int, ...],
    output_size: tuple[int, int],
    samples: int,
    aligned: bool,
    canonical: tuple[float, int],
) -> jax.Array:
    """The regions of one image."""
    heights, widths, _ = zip(*(each.shape for each in maps), strict=True)
    wide = accumulator_dtype(maps[0].dtype)
    level = _levels(boxes, strides, canonical)
    height, width = (_of_level(values, level)[:, None, None] for values in (heights, widths))
    regions = boxes / _of_level(strides, level).astype(boxes.dtype)[:, None] - (0.5 if aligned else 0.0)
    sides = regions[:, 2:] - regions[:, :2]
    sides = sides if aligned else jnp.maximum(sides, 1)
    rows, columns = (
        sample_positions(regions[:, axis], sides[:, axis] / bins, size, bins, samples=samples)
        for axis, size, bins in ((1, height, output_size[0]), (0, width, output_size[1]))
    )
    return _sampled([each.astype(wide) for each in maps], level, *rows, *columns).astype(maps[0].dtype)


@jax.custom_jvp
def _sampled(
    maps: list[jax.Array],
    level: jax.Array,
    rows: jax.Array,
    row_inside: jax.Array,
    columns: jax.Array,
    column_inside: jax.Array,
) -> jax.Array:
    """The means of the samples of each bin. The pixels of all maps are one list, from which each box reads its map."""
    heights, widths, channels = zip(*(each.shape for each in maps), strict=True)
    starts = np.cumsum([0, *(h * w for h, w in zip(heights, widths, strict=True))])[:-1].tolist()
    pixels = jnp.concatenate([each.reshape(-1, channels[0]) for each in maps])
    height, width, start = (_of_level(values, level)[:, None, None] for values in (heights, widths, starts))
    number, row_bins, samples = rows.shape
    total = jnp.zeros((number, row_bins, columns.shape[1], channels[0]), pixels.dtype)
    for a in range(samples):
        for b in range(samples):
            at = jnp.broadcast_arrays(rows[:, :, None, a], columns[:, None, :, b])
            inside = row_inside[:, :, None, a] & column_inside[:, None, :, b]
            taken = bilinear_of_flat(pixels, *at, height=height, width=width, start=start)
            total = total + jnp.where(inside[..., None], taken, 0)
    return total / samples**2


@_sampled.defjvp
def _tangent_of_sampled(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    """The tangent is a sum, so that its transpose is one too. Positions have no gradient."""
    maps, level, rows, row_inside, columns, column_inside = primals
    of_rows, of_columns = [], []
    for index, (height, width, _) in enumerate(each.shape for each in maps):
        here = (level == index)[:, None, None]
        of_rows.append(weights_at(rows, row_inside & here, height))
        of_columns.append(weights_at(columns, column_inside, width))
    return _sampled(*primals), weighted_in_blocks(tangents[0], of_rows, of_columns)


def _of_level(values: Sequence[int], level: jax.Array) -> jax.Array:
    """The value of each box's map, without a lookup: the type of a sharded lookup would be ambiguous."""
    found = jnp.full_like(level, values[0])
    for index, value in enumerate(values[1:], start=1):
        found = jnp.where(level == index, value, found)
    return found


def _levels(boxes: jax.Array, strides: tuple[int, ...], canonical: tuple[float, int]) -> jax.Array:
    """The index of the map that each box is read from."""
    size, level = canonical
    first = strides[0].bit_length() - 1
    target = jnp.floor(level + jnp.log2(jnp.sqrt(box_area(boxes)) / size) + 1e-6)
    return jnp.clip(target - first, 0, len(strides) - 1).astype(jnp.int32)
