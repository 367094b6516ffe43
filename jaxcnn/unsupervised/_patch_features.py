"""Features of images from a dictionary of patches, computed as convolutions."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn._axes import as_int, int_per_axis
from jaxcnn._errors import ShapeError, check_choice
from jaxcnn.functional import avg_pool, conv
from jaxcnn.unsupervised._patches import CONTRAST_EPSILON, Whitening

PatchEncoding = Literal["triangle", "hard"]


def encode_patches(
    images: ArrayLike,
    centroids: ArrayLike,
    whitening: Whitening,
    *,
    window_shape: Sequence[int],
    encoding: PatchEncoding = "triangle",
    epsilon: float = CONTRAST_EPSILON,
) -> jax.Array:
    """The code of every patch of images: how near it is to each centroid.

    Each patch, at stride 1, is normalised as by ``normalize_contrast`` and whitened. With its distances ``z[k]`` to the
    centroids the code is ``max(0, mean(z) - z[k])`` (triangle), which is 0 for about half of the centroids, or it is 1
    for the nearest centroid and 0 for the others (hard). Patches are not extracted: the mean and the variance of a
    patch are box filters, and the whitened patch is a convolution with the whitening matrix, divided by the standard
    deviation.

    Args:
        images: ``(*batch, height, width, channels)``. Integers become float32.
        centroids: ``(k, features)``, of whitened patches.
        whitening: of normalised patches.
        window_shape: height and width of a patch.
        encoding: ``"triangle"`` or ``"hard"``.
        epsilon: as in ``normalize_contrast``.

    Returns:
        ``(*batch, height - window height + 1, width - window width + 1, k)``.

    Raises:
        ShapeError: shapes that do not fit.
        ValueError: an unknown encoding.
        TypeError: arrays that are not made of numbers.

    Source: Coates, Lee and Ng (2011), equations 1 and 2.

    >>> image = jnp.array([[0.0, 4.0, 0.0]])[..., None]  # rises, falls
    >>> centroids, same = jnp.array([[-0.6, 0.6], [0.6, -0.6]]), Whitening.identity(2)
    >>> encode_patches(image, centroids, same, window_shape=(1, 2), encoding="hard")[0]
    Array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    check_choice(encoding, get_args(PatchEncoding), name="encoding")
    x, centroids = as_array(images, name="images"), as_array(centroids, name="centroids")
    window = int_per_axis(window_shape, 2, name="window_shape")
    if x.ndim < 3:
        raise ShapeError(f"images must have the shape (*batch, height, width, channels), not {x.shape}.")
    features = math.prod(window) * x.shape[-1]
    if features < 2:
        raise ShapeError("a patch of one pixel and one channel has no contrast; its features must be at least 2.")
    if centroids.ndim != 2 or centroids.shape[1] != features or whitening.matrix.shape != (features, features):
        raise ShapeError(
            f"a patch has {window[0]} x {window[1]} x {x.shape[-1]} = {features} features, but the centroids have the "
            f"shape {centroids.shape} and the whitening matrix {whitening.matrix.shape}."
        )
    x = x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)
    return _codes(x, centroids, whitening, epsilon, window, encoding)


@functools.partial(jax.jit, static_argnames=("window", "encoding"))
def _codes(
    x: jax.Array, centroids: jax.Array, whitening: Whitening, epsilon: float, window: tuple[int, ...], encoding: str
) -> jax.Array:
    whitened = _whitened_patches(x, whitening, window, epsilon)
    products = jnp.matmul(whitened, centroids.T.astype(x.dtype), precision="highest")
    lengths = (centroids**2).sum(1).reshape((1,) * (x.ndim - 1) + (-1,))
    if encoding == "hard":
        nearest = (products - lengths / 2).argmax(-1)
        return jax.nn.one_hot(nearest, len(centroids), dtype=x.dtype)
    squares = (whitened**2).sum(-1, keepdims=True) - 2 * products + lengths
    distances = jnp.sqrt(jnp.maximum(squares, 0))
    return jax.nn.relu(distances.mean(-1, keepdims=True) - distances)


def _whitened_patches(x: jax.Array, whitening: Whitening, window: tuple[int, ...], epsilon: float) -> jax.Array:
    """The whitened patch at each position, ``(*batch, height, width, features)``."""
    shape = (*window, x.shape[-1])
    features = math.prod(shape)
    # The result does not depend on a constant of the whole image, and sums of squares are more exact without it.
    x = x - x.mean((-3, -2, -1), keepdims=True)

    def correlate(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return conv(x, kernel.reshape(*shape, -1).astype(x.dtype), padding="VALID", precision="highest")

    ones = jnp.ones((features, 1))
    total, squares = correlate(x, ones), correlate(x**2, ones)
    variance = jnp.maximum(squares - total**2 / features, 0) / (features - 1)
    # A kernel whose entries sum to 0 gives the same for a patch and for the patch without its mean.
    kernel = whitening.matrix - whitening.matrix.mean(0, keepdims=True)
    offset = jnp.matmul(whitening.mean, whitening.matrix, precision="highest")
    return correlate(x, kernel) / jnp.sqrt(variance + epsilon) - offset.reshape((1,) * (x.ndim - 1) + (-1,))


def grid_pool(x: ArrayLike, *, grid: int = 2) -> jax.Array:
    """The sums of each channel over the cells of a grid, flattened.

    A cell has ``ceil(size / grid)`` rows and columns, the last cell the remaining ones: with 27 rows and ``grid=2``,
    rows 0 to 13 and 14 to 26.

    Args:
        x: ``(*batch, height, width, channels)``.
        grid: number of cells on each axis; 2 makes quadrants.

    Returns:
        ``(*batch, grid * grid * channels)``.

    Raises:
        ShapeError: ``x`` without three axes, or too few rows or columns for the last cell to have any.
        ValueError: ``grid`` below 1.
        TypeError: ``x`` that is not made of numbers, or ``grid`` that is not an integer.

    Source: Coates, Lee and Ng (2011), section 3.2.

    >>> grid_pool(jnp.ones((3, 3, 1)))
    Array([4., 2., 2., 1.], dtype=float32)
    """
    x = as_array(x, name="x")
    if as_int(grid, name="grid") < 1:
        raise ValueError(f"grid={grid} must be at least 1.")
    if x.ndim < 3:
        raise ShapeError(f"x must have the shape (*batch, height, width, channels), not {x.shape}.")
    sizes = x.shape[-3:-1]
    window = [-(-size // grid) for size in sizes]
    if any((grid - 1) * side >= size for side, size in zip(window, sizes, strict=True)):
        raise ShapeError(
            f"a map of {sizes[0]} x {sizes[1]} cannot be divided into {grid} x {grid} cells of equal size."
        )
    padding = [(0, grid * side - size) for side, size in zip(window, sizes, strict=True)]
    means = avg_pool(x, window, strides=window, padding=padding, count_include_pad=True)
    return (means * math.prod(window)).reshape(*x.shape[:-3], grid * grid * x.shape[-1])


def in_batches(
    function: Callable[[jax.Array], jax.Array], examples: np.ndarray, *, batch_size: int = 100
) -> np.ndarray:
    """``function(examples)``, computed from a part of the examples at a time, so that memory stays bounded.

    Args:
        function: maps ``(n, ...)`` to an array with ``n`` rows; it is compiled once.
        examples: any number of examples.
        batch_size: number of examples of a part. The last part is filled with repeated examples, which are dropped.

    Raises:
        ValueError: no example, or ``batch_size`` below 1.
        TypeError: a ``batch_size`` that is not an integer.

    >>> in_batches(lambda x: 2 * x, np.arange(5), batch_size=2)
    array([0, 2, 4, 6, 8], dtype=int32)
    """
    if as_int(batch_size, name="batch_size") < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1.")
    count = len(examples)
    if not count:
        raise ValueError("expected at least one example.")
    compiled, found = jax.jit(lambda part: function(part)), None  # the function itself need not be hashable
    for start in range(0, count, batch_size):
        stop = min(start + batch_size, count)
        rows = np.resize(np.arange(start, stop), batch_size)
        part = np.asarray(compiled(examples[rows]))[: stop - start]
        found = np.empty((count, *part.shape[1:]), part.dtype) if found is None else found
        found[start:stop] = part
    assert found is not None
    return found
