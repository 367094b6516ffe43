"""The bins of adaptive pools, in plain integers, and the spatial axes of global pools."""

from collections.abc import Sequence

from jaxcnn._axes import as_int, int_per_axis, window_per_axis
from jaxcnn._errors import ShapeError


def adaptive_bins(size: int, bins: int) -> tuple[tuple[int, int], ...]:
    """Divides ``range(size)`` into bins: bin ``i`` is ``[floor(i * size / bins), ceil((i + 1) * size / bins))``.

    The bins cover the range in order. Neighbours share an entry if the division leaves a remainder. With more bins than
    entries, entries repeat.

    Raises:
        ShapeError: fewer than one entry, or fewer than one bin.
        TypeError: a count that is not an integer.

    Source: He et al. (2014), "Spatial pyramid pooling in deep convolutional networks", appendix A; the bins of
    PyTorch and Keras.

    >>> adaptive_bins(10, 4)
    ((0, 3), (2, 5), (5, 8), (7, 10))
    """
    size, bins = as_int(size, name="size"), as_int(bins, name="bins")
    if size < 1 or bins < 1:
        raise ShapeError(f"size={size} and bins={bins} must be at least 1.")
    return tuple((i * size // bins, -(-(i + 1) * size // bins)) for i in range(bins))


def adaptive_output(output_size: Sequence[int | None], x_shape: Sequence[int]) -> tuple[int, ...]:
    """The number of bins of each spatial axis; None is the size of the axis.

    Raises:
        ShapeError: a bare int, an entry under 1, too few axes of ``x``, or an axis of size 0.
        TypeError: an entry that is neither an integer nor None.

    >>> adaptive_output((7, None), (8, 14, 9, 512))
    (7, 9)
    """
    counts: object = output_size
    if hasattr(output_size, "__iter__") and not isinstance(output_size, str):
        counts = tuple(1 if entry is None else entry for entry in output_size)
    bins = window_per_axis(counts, name="output_size")
    sizes = spatial_sizes(x_shape, len(bins))
    return tuple(n if entry is None else m for n, m, entry in zip(sizes, bins, output_size, strict=True))


def spatial_sizes(x_shape: Sequence[int], spatial_ndim: int | None) -> tuple[int, ...]:
    """The spatial part of ``(*batch, *spatial, channels)``.

    ``spatial_ndim=None`` is for a batch of images or of volumes: all of 4 or 5 axes but the first and the last.

    Raises:
        ShapeError: None for another rank, a number of spatial axes that does not fit ``x``, or a spatial axis of size
            0.
        TypeError: ``spatial_ndim`` is not an integer.

    >>> spatial_sizes((8, 7, 7, 512), None)
    (7, 7)
    """
    shape = tuple(x_shape)
    if spatial_ndim is None:
        if len(shape) not in (4, 5):
            if len(shape) < 3:
                raise ShapeError(
                    f"x.shape={shape} is too short for a batch axis, spatial axes and channels. For one series "
                    f"of shape (length, channels) write spatial_ndim=1."
                )
            batched, single = len(shape) - 2, len(shape) - 1
            raise ShapeError(
                f"x.shape={shape} can be read with or without a batch axis. Write spatial_ndim={batched} if the "
                f"first axis is a batch, spatial_ndim={single} if it is spatial, as inside jax.vmap. Without "
                f"spatial_ndim, x is a batch of images (4 axes) or of volumes (5 axes)."
            )
        spatial_ndim = len(shape) - 2
    ndim = as_int(spatial_ndim, name="spatial_ndim")
    if not 1 <= ndim <= len(shape) - 1:
        raise ShapeError(
            f"{ndim} spatial axes before the channels do not fit x.shape={shape}. "
            f"x is (*batch, *spatial, channels), with at least one spatial axis."
        )
    sizes = shape[-ndim - 1 : -1]
    if 0 in sizes:
        raise ShapeError(f"x has a spatial axis of size 0 (x.shape={shape}), so there is nothing to pool.")
    return sizes


def pyramid_levels(levels: Sequence[int | Sequence[int]], spatial_ndim: int) -> tuple[tuple[int, ...], ...]:
    """The number of bins per axis of each level; a bare int applies to every axis.

    Raises:
        ShapeError: no level, a level whose length is not the number of axes, or an entry under 1.
        TypeError: levels that are not integers.

    >>> pyramid_levels((1, 2, (3, 4)), 2)
    ((1, 1), (2, 2), (3, 4))
    """
    if isinstance(levels, str) or not hasattr(levels, "__iter__"):
        raise TypeError(f"levels must have one entry per level, such as (1, 2, 4), not {levels!r}.")
    entries = tuple(int_per_axis(level, spatial_ndim, name="a level") for level in levels)
    if not entries:
        raise ShapeError("levels=() has no level. Write bins per axis for each, such as (1, 2, 4).")
    return entries
