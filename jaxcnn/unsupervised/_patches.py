"""Patches of images: drawn at random, normalised in contrast, and whitened."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from jaxcnn._arrays import ArrayLike, accumulator_dtype, as_array, common_dtype
from jaxcnn._axes import as_int, int_per_axis
from jaxcnn._errors import ShapeError

# The constants of Coates, Lee and Ng (2011) for pixels from 0 to 255.
CONTRAST_EPSILON, ZCA_EPSILON = 10.0, 0.1


def random_patches(key: jax.Array, images: ArrayLike, *, window_shape: Sequence[int], count: int) -> jax.Array:
    """Windows of images at random positions; patch ``i`` is from image ``i % n``.

    Args:
        key: determines the positions, which are uniform over all windows inside of an image.
        images: ``(n, height, width, channels)``.
        window_shape: height and width of a patch.
        count: number of patches.

    Returns:
        ``(count, *window_shape, channels)`` in the dtype of the images.

    Raises:
        ShapeError: images with another number of axes, or a window that is larger than an image.
        ValueError: ``count`` below 1.
        TypeError: images that are not made of numbers, or a ``count`` that is not an integer.

    Source: Coates, Lee and Ng (2011), "An analysis of single-layer networks in unsupervised feature learning".

    >>> patches = random_patches(jax.random.key(0), jnp.arange(32.0).reshape(2, 4, 4, 1), window_shape=(2, 2), count=4)
    >>> patches.shape, (patches[:, 0, 0, 0] >= 16).tolist()
    ((4, 2, 2, 1), [False, True, False, True])
    """
    images = as_array(images, name="images")
    if images.ndim != 4 or not images.shape[0]:
        raise ShapeError(f"images must have the shape (n, height, width, channels), not {images.shape}.")
    window = int_per_axis(window_shape, 2, name="window_shape")
    free = [size - side + 1 for size, side in zip(images.shape[1:3], window, strict=True)]
    if min(free) < 1:
        raise ShapeError(f"window_shape={window} is larger than the images, {images.shape[1:3]}.")
    if as_int(count, name="count") < 1:
        raise ValueError(f"count={count} must be at least 1.")
    return _patches(key, images, window, count, free[0], free[1])


@functools.partial(jax.jit, static_argnums=(2, 3, 4, 5))
def _patches(
    key: jax.Array, images: jax.Array, window: tuple[int, ...], count: int, rows: int, columns: int
) -> jax.Array:
    row_key, column_key = jax.random.split(key)
    row = jax.random.randint(row_key, (count,), 0, rows)
    column = jax.random.randint(column_key, (count,), 0, columns)

    def patch(index: jax.Array, row: jax.Array, column: jax.Array) -> jax.Array:
        return lax.dynamic_slice(images, (index, row, column, 0), (1, *window, images.shape[3]))[0]

    return jax.vmap(patch)(jnp.arange(count) % len(images), row, column)


def normalize_contrast(patches: ArrayLike, *, epsilon: float = CONTRAST_EPSILON) -> jax.Array:
    """Patches with mean 0 and about unit variance: ``(x - mean(x)) / sqrt(var(x) + epsilon)`` for each patch ``x``.

    ``var`` is divided by one less than the number of entries.

    Args:
        patches: ``(*any, features)``, flattened patches with at least two entries. Integers become float32.
        epsilon: keeps noise in constant patches small; 10 is for pixels from 0 to 255, 10 / 255**2 for [0, 1].

    Returns:
        an array of the same shape.

    Raises:
        ShapeError: patches with fewer than two entries.
        ValueError: an ``epsilon`` that is not positive.
        TypeError: patches that are not made of numbers.

    Source: Coates, Lee and Ng (2011), section 3.2; the constant is that of the authors' program.

    >>> normalize_contrast([[0.0, 2.0], [5.0, 5.0]], epsilon=2.0)
    Array([[-0.5,  0.5],
           [ 0. ,  0. ]], dtype=float32)
    """
    x = _floating(patches)
    if not x.ndim or x.shape[-1] < 2:
        raise ShapeError(f"patches must have the shape (*any, features) with at least 2 features, not {x.shape}.")
    _check_positive(epsilon)
    return _normalized(x, epsilon)


@jax.jit
def _normalized(x: jax.Array, epsilon: float) -> jax.Array:
    dtype = x.dtype
    x = x.astype(accumulator_dtype(dtype))  # squares of pixels up to 255 are infinite in float16
    x = x - x.mean(-1, keepdims=True)
    return (x / jnp.sqrt((x**2).sum(-1, keepdims=True) / (x.shape[-1] - 1) + epsilon)).astype(dtype)


@struct.dataclass
class Whitening:
    """The linear map ``(x - mean) @ matrix`` of flattened patches; a pytree.

    Attributes:
        mean: ``(features,)``.
        matrix: ``(features, features)``.
    """

    mean: jax.Array
    matrix: jax.Array

    def __call__(self, x: ArrayLike) -> jax.Array:
        """The whitened patches ``(*any, features)``."""
        x = jnp.asarray(x)
        x = x.astype(common_dtype(x, self.matrix))
        return jnp.matmul(x - self.mean.reshape((1,) * (x.ndim - 1) + (-1,)), self.matrix, precision="highest")

    @classmethod
    def identity(cls, features: int) -> "Whitening":
        """The map that leaves patches unchanged.

        >>> Whitening.identity(2)([[1.0, 2.0]])
        Array([[1., 2.]], dtype=float32)
        """
        return cls(mean=jnp.zeros(features), matrix=jnp.eye(features))


def zca_whitening(patches: ArrayLike, *, epsilon: float = ZCA_EPSILON) -> Whitening:
    """The symmetric matrix that makes the covariance of patches close to the identity matrix.

    With the covariance ``V diag(d) V'``, divided by ``n - 1``, the matrix is ``V diag(1 / sqrt(d + epsilon)) V'``. So
    the covariance of whitened patches has the eigenvalues ``d / (d + epsilon)``.

    Args:
        patches: ``(n, features)``, at least two; of half precision they give a matrix of float32.
        epsilon: keeps directions without variance from being amplified.

    Raises:
        ShapeError: another number of axes, or fewer than two patches.
        ValueError: an ``epsilon`` that is not positive.
        TypeError: patches that are not made of numbers.

    Source: Bell and Sejnowski (1997), "The independent components of natural scenes are edge filters"; Coates, Lee and
    Ng (2011), section 3.2.

    >>> x = jax.random.normal(jax.random.key(0), (500, 2)) @ jnp.array([[3.0, 1.0], [0.0, 1.0]])
    >>> jnp.cov(zca_whitening(x, epsilon=1e-6)(x).T).round(2) + 0.0
    Array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    x = _floating(patches)
    if x.ndim != 2 or len(x) < 2:
        raise ShapeError(f"patches must have the shape (n, features) with n of at least 2, not {x.shape}.")
    _check_positive(epsilon)
    return _zca(x.astype(accumulator_dtype(x.dtype)), epsilon)


@jax.jit
def _zca(x: jax.Array, epsilon: float) -> Whitening:
    mean = x.mean(0)
    centred = x - mean[None]
    covariance = jnp.einsum("ni,nj->ij", centred, centred, precision="highest") / (len(x) - 1)
    values, vectors = jnp.linalg.eigh(covariance)
    scaled = vectors / jnp.sqrt(jnp.maximum(values, 0) + epsilon)[None]
    return Whitening(mean=mean, matrix=jnp.matmul(scaled, vectors.T, precision="highest"))


def _floating(patches: ArrayLike) -> jax.Array:
    x = as_array(patches, name="patches")
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)


def _check_positive(epsilon: float) -> None:
    if isinstance(epsilon, int | float) and not epsilon > 0:
        raise ValueError(f"epsilon={epsilon} must be positive.")
