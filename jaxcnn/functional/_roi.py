"""Regions of interest: a grid of bins, of one size, from each box of a feature map."""

import functools
import math
import numbers
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._arrays import ArrayLike, accumulator_dtype, as_array
from jaxcnn._axes import IntPerAxis, as_int, int_per_axis
from jaxcnn._errors import ShapeError
from jaxcnn._symbolic import is_symbolic
from jaxcnn.functional._bilinear import bilinear
from jaxcnn.functional._boxes import as_boxes, coordinate_dtype
from jaxcnn.functional._varying import varying_like

# Sums over a whole map cost less where it has at most this number of pixels for each pixel that a row of bins reads.
PRODUCTS_PER_READ = 4
BLOCK = 32  # boxes whose gradient is computed together


def roi_align(
    features: ArrayLike,
    boxes: ArrayLike,
    *,
    output_size: IntPerAxis,
    spatial_scale: float,
    sampling_ratio: int | None,
    aligned: bool,
) -> jax.Array:
    """The means of bilinear samples in a grid of bins over each box.

    A box is scaled to the map, ``spatial_scale * box``, less half a pixel where ``aligned``. Each axis of it is divided
    into ``output_size`` bins and each bin into ``sampling_ratio`` parts, with a sample at the centre of each part:
    ``start + (i + (a + 0.5) / sampling_ratio) * size / output_size``. A sample more than one pixel outside the map is
    0; others are clipped to the map.

    Args:
        features: ``(*batch, height, width, channels)``.
        boxes: ``(*batch, n, 4)`` as ``(x0, y0, x1, y1)`` in pixels of the image. Their dtype may differ from that of
            the features, such as float32 boxes with bfloat16 features.
        output_size: bins on each axis; one number for both.
        spatial_scale: the size of the map over that of the image, 1 / 16 for a map of stride 16.
        sampling_ratio: samples in a bin on each axis. None is ``ceil(size / output_size)`` for each box, about one
            sample for each pixel (0 and -1 in torchvision); this costs a product with all pixels of the map.
        aligned: whether position 0 is the corner of the first pixel, as for boxes in pixels of the image. False puts
            it at the centre of that pixel and takes boxes as at least one pixel wide and high, as the detectors of
            torchvision do.

    Returns:
        ``(*batch, n, *output_size, channels)``, of the type of the features. Differentiable in the features; the boxes
        have no gradient.

    Raises:
        ShapeError: shapes that do not fit each other, a map without pixels, or an output size that is not positive.
        ValueError: a scale or a ratio that is not positive.
        TypeError: arrays that are not floating, or sizes that are not integers.

    Source: He, Gkioxari, Dollár and Girshick (2017), "Mask R-CNN", section 3; ``roi_align`` of torchvision.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> ramp = jnp.arange(6.0)[None, :, None] * jnp.ones((6, 1, 1))  # each pixel is its column
    >>> boxes = jnp.array([[1.0, 1.0, 5.0, 3.0]])
    >>> F.roi_align(ramp, boxes, output_size=2, spatial_scale=1.0, sampling_ratio=2, aligned=True)[0, :, :, 0]
    Array([[1.5, 3.5],
           [1.5, 3.5]], dtype=float32)
    """
    x, regions, size = _arguments(features, boxes, output_size, spatial_scale)
    samples = None if sampling_ratio is None else as_int(sampling_ratio, name="sampling_ratio")
    if samples is not None and samples < 1:
        raise ValueError(f"sampling_ratio={samples} must be at least 1. None adapts it to the size of each box.")
    regions = regions * spatial_scale - (0.5 if aligned else 0.0)
    return _align(x, regions, output_size=size, samples=samples, least=0.0 if aligned else 1.0)


def roi_pool(features: ArrayLike, boxes: ArrayLike, *, output_size: IntPerAxis, spatial_scale: float) -> jax.Array:
    """The maxima of a grid of bins over each box, with borders rounded to pixels.

    A box becomes the pixels ``round(spatial_scale * x0)`` to ``round(spatial_scale * x1)``, both included, and at least
    one. Of ``s`` pixels, bin ``i`` of ``p`` reads those from ``floor(i s / p)`` to ``ceil((i + 1) s / p)``, less those
    outside the map. ``adaptive_max_pool`` has the same bins for a whole map.

    Args:
        features: ``(*batch, height, width, channels)``.
        boxes: ``(*batch, n, 4)`` as ``(x0, y0, x1, y1)`` in pixels of the image.
        output_size: bins on each axis; one number for both.
        spatial_scale: the size of the map over that of the image, 1 / 16 for a map of stride 16.

    Returns:
        ``(*batch, n, *output_size, channels)``, of the type of the features; 0 for a bin without pixels. Differentiable
        in the features, of which the first of equal maxima gets the gradient; the boxes have none.

    Raises:
        ShapeError: shapes that do not fit each other, a map without pixels, or an output size that is not positive.
        ValueError: a scale that is not positive.
        TypeError: arrays that are not floating, or sizes that are not integers.

    Source: Girshick (2015), "Fast R-CNN", section 2.1; ``roi_pool`` of torchvision, which divides with rounding and so
    reads one pixel more for a few sizes.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> image = jnp.arange(16.0).reshape(4, 4, 1)
    >>> F.roi_pool(image, jnp.array([[0.0, 0.0, 3.0, 1.0]]), output_size=2, spatial_scale=1.0)[0, :, :, 0]
    Array([[1., 3.],
           [5., 7.]], dtype=float32)
    """
    x, regions, size = _arguments(features, boxes, output_size, spatial_scale)
    regions = regions * spatial_scale
    regions = (jnp.sign(regions) * jnp.floor(jnp.abs(regions) + 0.5)).astype(jnp.int32)  # half away from 0
    return _pool(x, regions, output_size=size)


def _arguments(
    features: ArrayLike, boxes: ArrayLike, output_size: IntPerAxis, spatial_scale: float
) -> tuple[jax.Array, jax.Array, tuple[int, int]]:
    """The features, the boxes in a dtype to compute in and without gradient, and bins on each axis."""
    x, regions = as_array(features, name="features"), as_boxes(boxes, name="boxes")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"features must be floating, not {x.dtype}.")
    if x.ndim < 3 or x.shape[:-3] != regions.shape[:-2] or regions.ndim < 2:
        raise ShapeError(
            f"features and boxes must have the shapes (*batch, height, width, channels) and (*batch, n, 4), but "
            f"features.shape={x.shape} and boxes.shape={regions.shape}."
        )
    if not all(x.shape[-3:-1]):
        raise ShapeError(f"features of shape {x.shape} have no pixels.")
    rows, columns = int_per_axis(output_size, 2, name="output_size")
    if not isinstance(spatial_scale, numbers.Real) or not 0 < float(spatial_scale) < math.inf:
        raise ValueError(f"spatial_scale={spatial_scale!r} must be a positive number: 1 / 16 for a map of stride 16.")
    return x, lax.stop_gradient(regions).astype(coordinate_dtype(regions, x)), (rows, columns)


@functools.partial(jax.jit, static_argnames=("output_size", "samples", "least"))
def _align(
    x: jax.Array, boxes: jax.Array, *, output_size: tuple[int, int], samples: int | None, least: float
) -> jax.Array:
    """``roi_align`` of boxes in pixels of the map."""
    sizes = boxes[..., 2:] - boxes[..., :2]
    sizes = jnp.maximum(sizes, least) if least else sizes
    axes = [
        (boxes[..., column], sizes[..., column] / bins, size, bins)
        for column, size, bins in ((1, x.shape[-3], output_size[0]), (0, x.shape[-2], output_size[1]))
    ]
    wide = accumulator_dtype(x.dtype)
    mean: Callable[..., jax.Array] = _weighted
    if samples is None:
        operands = [_adaptive_weights(*axis).astype(wide) for axis in axes]
    elif _is_small(x, output_size, samples):
        mean = _weighted_of_small
        operands = [_fixed_weights(*axis, samples=samples).astype(wide) for axis in axes]
    else:
        mean = _sampled
        operands = [each for axis in axes for each in sample_positions(*axis, samples=samples)]
    for _ in range(x.ndim - 3):  # one example at a time: a sharded batch axis stays sharded
        mean = jax.vmap(mean)
    return mean(x.astype(wide), *operands).astype(x.dtype)


def _weighted(x: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """The sums of all pixels of one map, with the weights of each bin on each axis.

    The weights of the columns are repeated for each bin of the rows: as a batch of products without them, XLA would
    transpose the sums over rows, the largest array here.
    """
    of_rows = jnp.einsum("nih,hwc->niwc", rows, x, precision=lax.Precision.HIGHEST)
    repeated = jnp.broadcast_to(columns[:, None], (*rows.shape[:2], *columns.shape[1:]))
    return jnp.einsum("nijw,niwc->nijc", repeated, of_rows, precision=lax.Precision.HIGHEST)


def _weighted_of_small(x: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """``_weighted`` as one product: the weights are multiplied first, so that no larger array is transposed."""
    weights = rows[:, :, None, :, None] * columns[:, None, :, None, :]
    return jnp.einsum("nijhw,hwc->nijc", weights, x, precision=lax.Precision.HIGHEST)


def _is_small(x: jax.Array, output_size: tuple[int, int], samples: int) -> bool:
    """Whether sums over all pixels, with their gradients, cost less than reading four pixels of each sample."""
    height, width = x.shape[-3:-1]
    if is_symbolic(height) or is_symbolic(width):
        return False
    return height * width <= PRODUCTS_PER_READ * 4 * output_size[1] * samples**2


def _fixed_weights(start: jax.Array, step: jax.Array, size: int, bins: int, *, samples: int) -> jax.Array:
    """Along one axis, the weight of each pixel in each bin, ``(*batch, n, bins, size)``."""
    return weights_at(*sample_positions(start, step, size, bins, samples=samples), size)


def weights_at(at: jax.Array, inside: jax.Array, size: int) -> jax.Array:
    """Along one axis, the weight of each pixel in each bin, ``(..., bins, size)``, of samples ``(..., bins, n)``."""
    near = jnp.maximum(1 - jnp.abs(jnp.clip(at, 0, size - 1)[..., None] - _over(np.arange(size), at)), 0)
    return jnp.where(inside[..., None], near, 0).mean(-2)


@jax.custom_jvp
def _sampled(
    x: jax.Array, rows: jax.Array, row_inside: jax.Array, columns: jax.Array, column_inside: jax.Array
) -> jax.Array:
    """The means of the samples of each bin of one map."""
    number, row_bins, samples = rows.shape
    total = jnp.zeros((number, row_bins, columns.shape[1], x.shape[-1]), x.dtype)
    for a in range(samples):
        for b in range(samples):
            at = jnp.broadcast_arrays(rows[:, :, None, a], columns[:, None, :, b])
            inside = row_inside[:, :, None, a] & column_inside[:, None, :, b]
            total = total + jnp.where(inside[..., None], bilinear(x, *at), 0)
    return total / samples**2


@_sampled.defjvp
def _tangent_of_sampled(primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
    """The tangent is a sum, so that its transpose is one too. Positions have no gradient."""
    x, rows, row_inside, columns, column_inside = primals
    of_rows, of_columns = weights_at(rows, row_inside, x.shape[0]), weights_at(columns, column_inside, x.shape[1])
    return _sampled(*primals), weighted_in_blocks([tangents[0]], [of_rows], [of_columns])


def weighted_in_blocks(maps: Sequence[jax.Array], rows: Sequence[jax.Array], columns: Sequence[jax.Array]) -> jax.Array:
    """The sums of all pixels of all maps of one image, with the weights of each bin on each axis, block by block.

    The transpose of a gather adds the gradient of each sample to four pixels, one after another. These sums are two
    products, and so is their transpose; for all boxes at once it would have ``(n, bins, width, channels)`` entries.

    Args:
        maps: ``(height, width, channels)`` each.
        rows: for each map, the weights ``(n, bins, height)``.
        columns: for each map, the weights ``(n, bins, width)``.
    """
    number = len(rows[0])

    def blocks(weights: jax.Array) -> jax.Array:
        padded = jnp.pad(weights.astype(maps[0].dtype), ((0, -number % BLOCK), (0, 0), (0, 0)))
        return padded.reshape(-1, BLOCK, *weights.shape[1:])

    def sums(block: list[tuple[jax.Array, jax.Array]]) -> jax.Array:
        parts = [_weighted(each, *weights) for each, weights in zip(maps, block, strict=True)]
        return functools.reduce(jnp.add, parts)

    found = lax.map(sums, [(blocks(row), blocks(column)) for row, column in zip(rows, columns, strict=True)])
    return found.reshape(-1, *found.shape[2:])[:number]


def sample_positions(
    start: jax.Array, step: jax.Array, size: int | jax.Array, bins: int, *, samples: int
) -> tuple[jax.Array, jax.Array]:
    """Along one axis, the positions ``(*batch, n, bins, samples)``, and whether each counts.

    Args:
        start: ``(*batch, n)``, of each box in pixels of the map.
        step: ``(*batch, n)``, the size of a bin.
        size: of the map, a number or ``(*batch, n, 1, 1)``.
        bins: the number of bins.
        samples: the number of samples in a bin.
    """
    index = np.arange(bins)[:, None] + (np.arange(samples) + 0.5) / samples
    at = start[..., None, None] + step[..., None, None] * _over(index, start)
    return at, (at >= -1) & (at <= jnp.asarray(size, at.dtype))


def _over(values: np.ndarray, like: jax.Array) -> jax.Array:
    """Constants in the dtype of an array, with an axis of size 1 before them for each of its axes."""
    return jnp.asarray(values.reshape((1,) * like.ndim + values.shape), like.dtype)


def _adaptive_weights(start: jax.Array, step: jax.Array, size: int, bins: int) -> jax.Array:
    """Along one axis, the weight of each pixel in each bin, ``(*batch, n, bins, size)``.

    A bin has ``ceil(step)`` samples, so their number differs between boxes. For a box far larger than the map only the
    samples that count are visited, from ``first`` on.
    """
    count = jnp.maximum(jnp.ceil(step), 0)[..., None]
    gap = jnp.where(count > 0, step[..., None] / jnp.maximum(count, 1), 1)
    begin = start[..., None] + _over(np.arange(bins), start) * step[..., None]
    # One sample more on each side: the quotients are rounded.
    first = jnp.clip(jnp.floor((-1 - begin) / gap - 0.5) - 1, 0, count)
    last = jnp.clip(jnp.ceil((size - begin) / gap - 0.5) + 1, 0, count) - 1
    pixels = _over(np.arange(size)[None], start)

    def add(offset: jax.Array, total: jax.Array) -> jax.Array:
        index = first + offset.astype(first.dtype)
        at = begin + (index + 0.5) * gap
        inside = (index <= last) & (at >= -1) & (at <= size)
        near = jnp.maximum(1 - jnp.abs(jnp.clip(at, 0, size - 1)[..., None] - pixels), 0)
        return total + jnp.where(inside[..., None], near, 0)

    steps = jnp.max(last - first, initial=-1).astype(jnp.int32) + 1  # of the whole batch
    nothing = jnp.zeros_like(begin[..., None] * pixels)
    return lax.fori_loop(0, steps, add, varying_like(nothing, begin)) / jnp.maximum(count, 1)[..., None]


@functools.partial(jax.jit, static_argnames=("output_size",))
def _pool(x: jax.Array, boxes: jax.Array, *, output_size: tuple[int, int]) -> jax.Array:
    """``roi_pool`` of boxes in whole pixels of the map."""
    height, width = x.shape[-3:-1]
    rows = _bins(boxes[..., 1], boxes[..., 3], height, output_size[0])
    columns = _bins(boxes[..., 0], boxes[..., 2], width, output_size[1])
    if is_symbolic(height) or is_symbolic(width):
        return _at_maxima(x, *rows, *columns)(x)
    return _maxima(x, *rows, *columns)


@jax.custom_jvp
def _maxima(x: jax.Array, row: jax.Array, row_end: jax.Array, column: jax.Array, column_end: jax.Array) -> jax.Array:
    """The largest pixel of each bin; 0 for a bin without pixels.

    Maxima of 1, 2, 4, ... rows from each pixel on are computed first. Two of them, which may overlap, cover any number
    of rows, so a bin costs two reads for each of its columns.
    """
    *batch, height, width, channels = x.shape
    tables = [x]
    while 2 ** len(tables) <= height:
        step = 2 ** (len(tables) - 1)
        last = tables[-1]
        below = jnp.concatenate([last[..., step:, :, :], last[..., height - step :, :, :]], -3)
        tables.append(jnp.maximum(last, below))  # valid where all rows are in the map; other entries are not read
    pixels = jnp.stack(tables, -4).reshape(*batch, len(tables) * height * width, channels)
    rows = row_end - row
    level = functools.reduce(jnp.add, [(rows >= 2**k).astype(row.dtype) for k in range(1, len(tables))], rows * 0)
    first, second = (
        ((level * height + each) * width)[..., :, None] for each in (row, row_end - jnp.left_shift(1, level))
    )
    take = _take_pixels
    for _ in batch:
        take = jax.vmap(take)
    widest = jnp.max(column_end - column, initial=0)  # bins of the whole batch are read in step

    def update(step: jax.Array, best: jax.Array) -> jax.Array:
        right = column + step.astype(column.dtype)
        inside = (rows > 0)[..., :, None] & (right < column_end)[..., None, :]
        places = (jnp.where(inside, each + right[..., None, :], 0) for each in (first, second))
        value = functools.reduce(jnp.maximum, [take(pixels, place) for place in places])
        return jnp.where(inside[..., None], jnp.maximum(best, value), best)

    bins = (row[..., :, None] * 0 + column[..., None, :] * 0)[..., None]  # sharded as the batch is
    none = bins.astype(x.dtype) + jnp.full((1,) * (bins.ndim - 1) + (channels,), -jnp.inf, x.dtype)
    found = lax.fori_loop(0, widest, update, varying_like(none, x, row))
    empty = (rows <= 0)[..., :, None] | (column_end <= column)[..., None, :]
    return jnp.where(empty[..., None], jnp.zeros((), x.dtype), found)


@_maxima.defjvp
def _tangent_of_maxima(primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
    """The tangent of a bin is that of the first of its largest pixels."""
    read = _at_maxima(*primals)
    return read(primals[0]), read(tangents[0])


def _at_maxima(
    x: jax.Array, row: jax.Array, row_end: jax.Array, column: jax.Array, column_end: jax.Array
) -> Callable[[jax.Array], jax.Array]:
    """A function that reads, from maps of the same shape, the first of the largest pixels of each bin."""
    *batch, height, width, channels = x.shape
    values = lax.stop_gradient(x).reshape(*batch, height * width, channels)
    # Bins of the whole batch are read in step: the loop ends with the largest.
    tallest = jnp.max(row_end - row, initial=0)
    widest = jnp.max(column_end - column, initial=1)
    take = _take_pixels
    put = functools.partial(jnp.take_along_axis, axis=0, mode="promise_in_bounds")
    for _ in batch:
        take, put = jax.vmap(take), jax.vmap(put)

    def update(step: jax.Array, best: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        down, right = row + step // widest, column + step % widest
        inside = (down < row_end)[..., :, None] & (right < column_end)[..., None, :]
        at = jnp.where(inside, down[..., :, None] * width + right[..., None, :], 0)
        value = take(values, at)
        higher = (best[1] < 0) | (value > best[0]) | (jnp.isnan(value) & ~jnp.isnan(best[0]))
        better = inside[..., None] & higher
        return jnp.where(better, value, best[0]), jnp.where(better, at[..., None], best[1])

    at = jnp.zeros_like(row[..., :, None] + column[..., None, :])
    start = jnp.zeros_like(take(values, at)), jnp.broadcast_to(at[..., None] - 1, (*at.shape, channels))
    _, index = lax.fori_loop(0, tallest * widest, update, varying_like(start, x, row))
    flat = jnp.maximum(index, 0).reshape(*batch, math.prod(index.shape[-4:-1]), channels)

    def read(maps: jax.Array) -> jax.Array:
        pixels = maps.reshape(*batch, height * width, channels)
        return jnp.where(index >= 0, put(pixels, flat).reshape(index.shape), 0)

    return read


def _take_pixels(pixels: jax.Array, at: jax.Array) -> jax.Array:
    """The pixels of one map at flat positions."""
    return pixels.at[at].get(mode="promise_in_bounds")


def _bins(start: jax.Array, end: jax.Array, size: int, bins: int) -> tuple[jax.Array, jax.Array]:
    """Along one axis, the first pixel of each bin within the map and the one after its last, ``(*batch, n, bins)``."""
    length = jnp.maximum(end - start + 1, 1)[..., None]
    index = _over(np.arange(bins), start)
    low = start[..., None] + index * length // bins
    high = start[..., None] - (-(index + 1) * length // bins)
    return jnp.clip(low, 0, size), jnp.clip(high, 0, size)
