"""Calibration: the ranges of a program's values on images, for their storage in eight bits."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn._errors import ShapeError, check_choice
from jaxcnn._symbolic import is_symbolic
from jaxcnn.export._operations import Value
from jaxcnn.export._portable import PortableProgram

Calibration = Literal["minmax", "percentile", "entropy"]
BINS = 2048
LEVELS = 128  # of the reduced histogram, from which the loss of information is computed
BATCH = 32
MARGIN = 0.1  # fraction of the range by which images may exceed it, as after a resize
LEAST_SHARE = 0.01  # fraction of the range that images must span
MOST_CLIPPED = 0.01  # fraction of the entries that an entropy threshold may clip
STEP = 16  # bins from one candidate of a threshold to the next

Range = tuple[float, float]


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Calibration images of a program, and the method that derives the ranges of its values from them.

    Attributes:
        images: representative inputs of the program.
        method: which part of the values a range covers.
        percentile: the percentage of the values that a range of ``"percentile"`` covers.
    """

    images: Any
    method: Calibration
    percentile: float

    def __post_init__(self) -> None:
        check_choice(self.method, get_args(Calibration), name="method")

    def parts(self, rows: Any) -> list[Any]:
        """The images in batches of ``rows`` images, or of any size if ``rows`` is symbolic."""
        images = self.images
        if is_symbolic(rows):
            return [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        # the last batch is filled up with the first images
        return [images[np.arange(start, start + rows) % len(images)] for start in range(0, len(images), rows)]


def check_images(program: PortableProgram, images: jax.Array) -> None:
    """Checks that images are representative inputs of a program.

    Raises:
        ShapeError: images of another shape, or no images.
        TypeError: images of another dtype.
        ValueError: images with entries outside of the range of the program's images, or that span less than a hundredth
            of it.
    """
    shape, dtype, expected = program.input.shape[1:], program.input.dtype, program.input_range
    if images.shape[1:] != shape or not len(images):
        raise ShapeError(
            f"expected images of the shape (n, {', '.join(map(str, shape))}), at least one, but got {images.shape}."
        )
    low, high = float(images.min()), float(images.max())
    if images.dtype != dtype:
        if not jnp.issubdtype(dtype, jnp.integer):
            advice = f"images.astype({dtype}), divided by 255 if the network reads numbers from 0 to 1"
        else:
            advice = f"{'(255 * images).round()' if high <= 1 else 'images.round()'}.astype({dtype})"
        raise TypeError(
            f"the program reads {dtype}, but images are {images.dtype}, from {low:g} to {high:g}. Give images as the "
            f"program reads them in use, such as {advice}."
        )
    if expected is None:
        return
    first, last = expected
    outside = max(first - low, high - last)
    if outside > MARGIN * (last - first) or high - low < LEAST_SHARE * (last - first):
        advice = "preprocess them as the images in use"
        if first == 0 == min(low, 0) and (high <= 1 < last or last <= 1 < high <= 255):
            advice = f"try {'255 * images' if high <= 1 else 'images / 255'}"
        raise ValueError(
            f"images are from {low:g} to {high:g}, but the program reads images from {first:g} to {last:g}: {advice}."
        )


def ranges_of(program: PortableProgram, values: Sequence[Value], examples: Examples) -> dict[int, Range]:
    """The range of each value by its id; every range contains 0.

    Raises:
        ValueError: values that are not finite.
    """
    if not values:
        return {}
    parts = examples.parts(program.input.shape[0])
    measure = jax.jit(_over_values(program, values, lambda x, _: jnp.stack([x.min(), x.max()])))
    count = jax.jit(_over_values(program, values, _histogram))
    bounds = np.stack([np.asarray(measure(part, np.zeros((len(values), 2), np.float32))) for part in parts])
    found = ranges_from(
        bounds, lambda limits: sum(np.asarray(count(part, limits), np.int64) for part in parts), examples
    )
    return dict(zip(map(id, values), found, strict=True))


def ranges_from(bounds: np.ndarray, count: Callable[[np.ndarray], Any], examples: Examples) -> list[Range]:
    """The range of each array by the method of the examples; every range contains 0.

    Args:
        bounds: ``(calls, arrays, 2)``, the least and the largest entry.
        count: for limits ``(arrays, 2)`` the number of entries in each of 2048 bins between them, ``(arrays, 2048)``.
        examples: whose method is used.

    Raises:
        ValueError: entries that are not finite.
    """
    low, high = bounds[..., 0].min(0), bounds[..., 1].max(0)
    if not np.isfinite([low, high]).all():
        raise ValueError("a layer gives infinities or NaN for the calibration images.")
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    if examples.method != "minmax":
        limits = np.stack([low, np.where(high > low, high, low + 1)], -1).astype(np.float32)
        narrowed = [
            _narrowed(each, *bound, method=examples.method, percentile=examples.percentile)
            for each, bound in zip(np.asarray(count(limits)), limits, strict=True)
        ]
        low, high = np.asarray(narrowed).T
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def _over_values(
    program: PortableProgram, values: Sequence[Value], measure: Callable[[jax.Array, jax.Array], jax.Array]
) -> Callable[[Any, Any], jax.Array]:
    """A function of images and one row of numbers for each value, which measures these values of the program."""
    whole = dataclasses.replace(program, results=tuple(values), tree=jax.tree.structure([0] * len(values)))
    compute = whole.exported.call  # the batch of the operations may be symbolic

    def measured(images: jax.Array, rows: jax.Array) -> jax.Array:
        return jnp.stack([measure(x, row) for x, row in zip(compute(images), rows, strict=True)])

    return measured


def _histogram(x: jax.Array, limits: jax.Array) -> jax.Array:
    place = (x.reshape(-1) - limits[0]) / (limits[1] - limits[0]) * BINS
    return jnp.zeros(BINS, jnp.int32).at[jnp.clip(place.astype(jnp.int32), 0, BINS - 1)].add(1)


def _narrowed(counts: np.ndarray, low: float, high: float, *, method: Calibration, percentile: float) -> Range:
    """The part of a range that the method keeps."""
    edges = np.linspace(low, high, BINS + 1)
    if method == "percentile":
        share = np.cumsum(counts) / max(counts.sum(), 1)
        outside = (1 - percentile / 100) / (2 if low < 0 < high else 1)
        first = edges[np.searchsorted(share, outside, side="right")] if low < 0 else 0.0
        last = edges[min(int(np.searchsorted(share, 1 - outside)) + 1, BINS)] if high > 0 else 0.0
        return min(float(first), 0.0), max(float(last), 0.0)
    centres = np.abs(edges[:-1] + edges[1:]) / 2
    largest = max(-low, high)
    sizes = np.histogram(centres, bins=BINS, range=(0, largest), weights=counts)[0]
    threshold = entropy_threshold(sizes) / BINS * largest
    return max(low, -threshold), min(high, threshold)


def entropy_threshold(counts: np.ndarray) -> int:
    """The number of bins of a histogram of magnitudes to keep, so that clipping loses the least information.

    For each candidate the bins beyond it are added to its last one, giving ``p``; ``q`` is ``p`` without these, reduced
    to 128 levels and spread over the bins that are not empty. The candidate with the least ``sum p log(p / q)`` is
    selected (Migacz, 8-bit inference with TensorRT, 2017). Two details differ from this source. The first bin does not
    count: 0 is exactly representable, and the zeros of a rectifier or of a black background would seem to be spread
    over the first level. Candidates that clip more than one entry in a hundred are left out: a level that holds one
    frequent value, as a constant background gives in each layer, would seem to lose more than the clipped entries.

    >>> entropy_threshold(np.ones(2048))  # all bins are equally full
    2048
    """
    counts = np.concatenate([[0], counts[1:]])
    best, loss = len(counts), np.inf
    if not counts.any():
        return best
    clipped = 1 - np.cumsum(counts) / counts.sum()
    for size in range(LEVELS, len(counts) + 1, STEP):
        if clipped[size - 1] > MOST_CLIPPED:
            continue
        inside = counts[:size].astype(np.float64)
        p = inside.copy()
        p[-1] += counts[size:].sum()
        level = np.arange(size) * LEVELS // size
        filled = inside > 0
        sums, places = np.bincount(level, inside, LEVELS), np.bincount(level, filled, LEVELS)
        q = np.where(filled, (sums / np.maximum(places, 1))[level], 0)
        if not q.sum() or (p[-1] and not q[-1]):
            q = np.where(p > 0, np.maximum(q, 1e-9), 0)
        p, q = p / p.sum(), q / q.sum()
        some = p > 0
        found = float((p[some] * np.log(p[some] / np.maximum(q[some], 1e-12))).sum())
        if found < loss - 1e-12:
            best, loss = size, found
    return best


def scale_and_zero(bounds: Range) -> tuple[np.float32, int]:
    """Scale and zero point of unsigned bytes that cover a range, with 0 exactly representable.

    >>> scale_and_zero((0.0, 2.55)), scale_and_zero((-1.0, 1.55))
    ((np.float32(0.01), 0), (np.float32(0.01), 100))
    """
    low, high = bounds
    scale = np.float32((high - low) / 255) if high > low else np.float32(1)
    return scale, int(np.clip(np.round(-low / scale), 0, 255))


Scales = Mapping[int, tuple[np.float32, int]]
