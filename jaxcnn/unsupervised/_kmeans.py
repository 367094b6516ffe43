"""k-means by Lloyd's algorithm."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._arrays import ArrayLike, as_array, common_dtype
from jaxcnn._axes import as_int
from jaxcnn._errors import ShapeError

# Examples whose distances to all centroids are in memory at a time.
_BLOCK = 4096


class Lloyd(NamedTuple):
    """One round of Lloyd's algorithm.

    Attributes:
        centroids: the updated ones, ``(k, features)``.
        labels: the nearest of the given centroids for each example, ``(n,)``.
        distances: the squared distance to it, ``(n,)``.
    """

    centroids: jax.Array
    labels: jax.Array
    distances: jax.Array


def nearest_centroids(x: ArrayLike, centroids: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """The nearest centroid of each example, and the squared Euclidean distance to it.

    The nearest is the one with the largest ``c . x - |c|**2 / 2``; of equal ones, the first. Examples are processed in
    blocks, so ``n k`` distances are never in memory.

    Args:
        x: ``(n, features)``.
        centroids: ``(k, features)``.

    Returns:
        labels ``(n,)``, integers from 0 to ``k - 1``, and distances ``(n,)``.

    Raises:
        ShapeError: shapes that do not fit.
        TypeError: arrays that are not made of numbers.

    Source: Lloyd (1982), "Least squares quantization in PCM".

    >>> nearest_centroids([[0.0], [9.0]], [[1.0], [7.0]])
    (Array([0, 1], dtype=int32), Array([1., 4.], dtype=float32))
    """
    return _nearest(*_checked(x, centroids))


def lloyd_step(x: ArrayLike, centroids: ArrayLike) -> Lloyd:
    """One round of Lloyd's algorithm: each centroid becomes the mean of the examples that are nearest to it.

    A centroid without examples becomes zero, as in the program of Coates, Lee and Ng (2011).

    Args:
        x: ``(n, features)``.
        centroids: ``(k, features)``.

    Raises:
        ShapeError: shapes that do not fit.
        TypeError: arrays that are not made of numbers.

    Source: Lloyd (1982), "Least squares quantization in PCM".

    >>> lloyd_step([[0.0], [1.0], [9.0]], [[2.0], [7.0]]).centroids
    Array([[0.5],
           [9. ]], dtype=float32)
    """
    return _step(*_checked(x, centroids))


def kmeans(key: jax.Array, x: ArrayLike, *, k: int, rounds: int = 50, centroids: ArrayLike | None = None) -> jax.Array:
    """Centroids that reduce the sum of squared distances of examples to the nearest one.

    Args:
        key: determines the initial centroids, which are normal with standard deviation 0.1.
        x: ``(n, features)``, such as whitened patches.
        k: number of centroids.
        rounds: number of rounds of Lloyd's algorithm.
        centroids: the initial ones, ``(k, features)``, instead of random ones.

    Returns:
        ``(k, features)``.

    Raises:
        ShapeError: shapes that do not fit.
        ValueError: ``k`` or ``rounds`` below 1.
        TypeError: arrays that are not made of numbers, or ``k`` or ``rounds`` that are not integers.

    Source: Coates, Lee and Ng (2011), section 3.1.

    >>> x = jnp.array([[0.0], [1.0], [9.0], [10.0]])
    >>> kmeans(jax.random.key(0), x, k=2, centroids=[[0.0], [1.0]])
    Array([[0.5],
           [9.5]], dtype=float32)
    """
    for name, value in (("k", k), ("rounds", rounds)):
        if as_int(value, name=name) < 1:
            raise ValueError(f"{name}={value} must be at least 1.")
    x = as_array(x, name="x")
    features = x.shape[-1] if x.ndim else 0
    start = 0.1 * jax.random.normal(key, (k, features)) if centroids is None else centroids
    x, start = _checked(x, start)
    if len(start) != k:
        raise ShapeError(f"expected k={k} initial centroids, got {len(start)}.")
    return _rounds(x, start, rounds)


def _checked(x: ArrayLike, centroids: ArrayLike) -> tuple[jax.Array, jax.Array]:
    x, centroids = as_array(x, name="x"), as_array(centroids, name="centroids")
    if x.ndim != 2 or centroids.ndim != 2 or x.shape[1] != centroids.shape[1] or not (len(x) and len(centroids)):
        raise ShapeError(
            f"x must have the shape (n, features) and centroids (k, features), not {x.shape} and {centroids.shape}."
        )
    dtype = common_dtype(x, centroids, jnp.float32)
    return x.astype(dtype), centroids.astype(dtype)


@jax.jit
def _nearest(x: jax.Array, centroids: jax.Array) -> tuple[jax.Array, jax.Array]:
    half = (centroids**2).sum(1) / 2

    def of_block(rows: jax.Array) -> tuple[jax.Array, jax.Array]:
        scores = jnp.matmul(rows, centroids.T, precision="highest") - half[None]
        return scores.argmax(1).astype(jnp.int32), (rows**2).sum(1) - 2 * scores.max(1)

    if len(x) <= _BLOCK:
        labels, distances = of_block(x)
    else:
        whole = len(x) // _BLOCK * _BLOCK
        blocks = lax.map(of_block, x[:whole].reshape(-1, _BLOCK, x.shape[1]))
        rest = of_block(x[whole:])
        labels, distances = (
            jnp.concatenate([block.reshape(-1), last]) for block, last in zip(blocks, rest, strict=True)
        )
    return labels, jnp.maximum(distances, 0)


@jax.jit
def _step(x: jax.Array, centroids: jax.Array) -> Lloyd:
    labels, distances = _nearest(x, centroids)
    sums = jax.ops.segment_sum(x, labels, len(centroids))
    counts = jax.ops.segment_sum(jnp.ones_like(distances), labels, len(centroids))
    return Lloyd(sums / jnp.maximum(counts, 1)[:, None], labels, distances)


@functools.partial(jax.jit, static_argnames="rounds")
def _rounds(x: jax.Array, centroids: jax.Array, rounds: int) -> jax.Array:
    return lax.fori_loop(0, rounds, lambda _, current: _step(x, current).centroids, centroids)
