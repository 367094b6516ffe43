"""Sparse coding by FISTA, of patches and of whole images, and dictionaries of patches."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._arrays import ArrayLike, as_array, common_dtype
from jaxcnn._axes import as_int
from jaxcnn._errors import ShapeError
from jaxcnn.functional import conv, conv_transpose


def sparse_codes(x: ArrayLike, kernel: ArrayLike, *, penalty: float, steps: int = 200) -> jax.Array:
    """Maps ``z`` with few entries that are not zero, from which a dictionary of kernels reconstructs images.

    They minimise ``1/2 |x - conv_transpose(z, kernel)|**2 + penalty |z|_1`` of each image by FISTA from zero: a step of
    gradient descent, a shrinkage ``sign(z) max(0, |z| - threshold)``, and momentum. A patch is an image of the size of
    the window: its map is 1x1, and this is the lasso.

    Args:
        x: ``(*batch, height, width, channels)``.
        kernel: the dictionary, ``(*window, channels, features)``.
        penalty: weight of the absolute values; larger values give more zeros.
        steps: number of steps.

    Returns:
        ``(*batch, height - window height + 1, width - window width + 1, features)``.

    Raises:
        ShapeError: shapes that do not fit.
        ValueError: a ``penalty`` that is negative, or ``steps`` below 1.
        TypeError: arrays that are not made of numbers.

    Source: Beck and Teboulle (2009), "A fast iterative shrinkage-thresholding algorithm for linear inverse problems";
    Zeiler, Krishnan, Taylor and Fergus (2010), "Deconvolutional networks".

    >>> kernel = jnp.eye(2).reshape(1, 2, 1, 2)
    >>> sparse_codes(jnp.array([[3.0, -0.5]]).reshape(1, 2, 1), kernel, penalty=1.0) + 0.0
    Array([[[2., 0.]]], dtype=float32)
    """
    x, kernel = checked(x, kernel)
    check_steps(penalty, steps)
    return _codes(x, kernel, penalty, steps)


@functools.partial(jax.jit, static_argnames="steps")
def _codes(x: jax.Array, kernel: jax.Array, penalty: float, steps: int) -> jax.Array:
    start = jnp.zeros_like(analysis(x, kernel))

    def gradient(z: jax.Array) -> jax.Array:
        return analysis(synthesis(z, kernel) - x, kernel)

    return fista(gradient, start, step=1 / largest_curvature(kernel, x.shape), penalty=penalty, steps=steps)


def fista(
    gradient: Callable[[jax.Array], jax.Array], start: jax.Array, *, step: jax.Array, penalty: float, steps: int
) -> jax.Array:
    """The minimum of a smooth function, given by its gradient, plus ``penalty |z|_1``.

    Momentum starts anew where it points uphill (O'Donoghue and Candes 2015).
    """

    def one(_: int, state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        z, ahead, t = state
        moved = ahead - step * gradient(ahead)
        new = jnp.sign(moved) * jax.nn.relu(jnp.abs(moved) - step * penalty)
        uphill = jnp.sum((ahead - new) * (new - z)) > 0
        t = jnp.where(uphill, 1.0, t)
        next_t = (1 + jnp.sqrt(1 + 4 * t**2)) / 2
        return new, new + (t - 1) / next_t * (new - z), next_t

    z, _, _ = lax.fori_loop(0, steps, one, (start, start, jnp.ones((), start.dtype)))
    return z


def dictionary_step(patches: ArrayLike, codes: ArrayLike, kernel: ArrayLike) -> jax.Array:
    """One round of block coordinate descent on the kernels of a dictionary, with the codes of patches held fixed.

    One kernel after the other becomes the minimum of ``|patches - codes kernel|**2``, divided by its length if that is
    over 1. A kernel that no patch uses does not change.

    Args:
        patches: ``(n, *window, channels)``.
        codes: ``(n, features)``.
        kernel: ``(*window, channels, features)``.

    Returns:
        the updated kernel.

    Raises:
        ShapeError: shapes that do not fit.
        TypeError: arrays that are not made of numbers.

    Source: Mairal, Bach, Ponce and Sapiro (2009), "Online dictionary learning for sparse coding", algorithm 2.

    >>> patches = jnp.array([[1.0, 0.0], [0.0, 4.0]]).reshape(2, 1, 2, 1)
    >>> dictionary_step(patches, jnp.array([[1.0, 0], [0, 2]]), jnp.full((1, 2, 1, 2), 0.1)).reshape(2, 2)
    Array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    x, kernel = checked(patches, kernel)
    z = as_array(codes, name="codes").astype(x.dtype)
    if x.shape[1:] != kernel.shape[:-1] or z.shape != (len(x), kernel.shape[-1]):
        raise ShapeError(
            f"expected patches (n, *window, channels), codes (n, features) and a kernel (*window, channels, features), "
            f"got {x.shape}, {z.shape} and {kernel.shape}."
        )
    return _updated(x, z, kernel)


@jax.jit
def _updated(x: jax.Array, z: jax.Array, kernel: jax.Array) -> jax.Array:
    atoms = kernel.reshape(-1, kernel.shape[-1]).T
    among = jnp.matmul(z.T, z, precision="highest")
    with_x = jnp.matmul(z.T, x.reshape(len(x), -1), precision="highest")

    def one(index: jax.Array, atoms: jax.Array) -> jax.Array:
        weight = among[index, index]
        used = weight > 1e-6 * among.diagonal().max()
        best = atoms[index] + (with_x[index] - among[index] @ atoms) / jnp.where(used, weight, 1)
        best = best / jnp.maximum(jnp.linalg.norm(best), 1)
        return atoms.at[index].set(jnp.where(used, best, atoms[index]))

    return lax.fori_loop(0, len(atoms), one, atoms).T.reshape(kernel.shape)


def learn_dictionary(
    key: jax.Array, patches: ArrayLike, *, features: int, penalty: float, rounds: int = 30, steps: int = 50
) -> jax.Array:
    """A dictionary from which patches are reconstructed with few kernels each.

    A round computes ``sparse_codes`` of all patches and applies ``dictionary_step``. The initial kernels are patches,
    drawn without replacement as far as there are enough, scaled to length 1.

    Args:
        key: determines the initial kernels.
        patches: ``(n, *window, channels)``, such as whitened patches.
        features: number of kernels.
        penalty: weight of the absolute values of the codes.
        rounds: number of rounds.
        steps: steps of FISTA in a round.

    Returns:
        the kernel ``(*window, channels, features)``.

    Raises:
        ShapeError: patches with another number of axes than four.
        ValueError: a count below 1, or a negative ``penalty``.
        TypeError: patches that are not made of numbers, or counts that are not integers.

    Source: Olshausen and Field (1996), "Emergence of simple-cell receptive field properties by learning a sparse code
    for natural images"; Mairal et al. (2009).

    >>> patches = jnp.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]]).reshape(3, 1, 2, 1)
    >>> learn_dictionary(jax.random.key(1), patches, features=2, penalty=0.1).round(2).shape
    (1, 2, 1, 2)
    """
    x = as_array(patches, name="patches")
    if x.ndim != 4 or not len(x):
        raise ShapeError(f"patches must have the shape (n, height, width, channels), not {x.shape}.")
    for name, value in (("features", features), ("rounds", rounds)):
        if as_int(value, name=name) < 1:
            raise ValueError(f"{name}={value} must be at least 1.")
    check_steps(penalty, steps)
    x = x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)
    return _learned(key, x, features, penalty, rounds, steps)


@functools.partial(jax.jit, static_argnums=(2, 4, 5))
def _learned(key: jax.Array, x: jax.Array, features: int, penalty: float, rounds: int, steps: int) -> jax.Array:
    drawn = jax.random.choice(key, len(x), (features,), replace=features > len(x))
    start = jnp.moveaxis(x[drawn], 0, -1)
    start = start / jnp.maximum(jnp.sqrt((start**2).sum((0, 1, 2), keepdims=True)), 1e-6)

    def one(_: int, kernel: jax.Array) -> jax.Array:
        codes = _codes(x, kernel, penalty, steps)
        return _updated(x, codes.reshape(len(x), -1), kernel)

    return lax.fori_loop(0, rounds, one, start)


def checked(x: ArrayLike, kernel: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Images and a kernel that reads them, as floating arrays of one dtype.

    Raises:
        ShapeError: shapes that do not fit.
    """
    x, kernel = as_array(x, name="x"), as_array(kernel, name="kernel")
    if x.ndim < 3 or kernel.ndim != 4 or x.shape[-1] != kernel.shape[2]:
        raise ShapeError(
            f"expected x (*batch, height, width, channels) and a kernel (*window, channels, features), got {x.shape} "
            f"and {kernel.shape}."
        )
    if any(size < side for size, side in zip(x.shape[-3:-1], kernel.shape, strict=False)):
        raise ShapeError(f"the window {kernel.shape[:2]} of the kernel is larger than the images, {x.shape[-3:-1]}.")
    dtype = common_dtype(x, kernel, jnp.float32)
    return x.astype(dtype), kernel.astype(dtype)


def check_steps(penalty: float, steps: int) -> None:
    """Refuses a negative penalty and a number of steps below 1.

    Raises:
        ValueError: one of them.
    """
    if isinstance(penalty, int | float) and not penalty >= 0:
        raise ValueError(f"penalty={penalty} must not be negative.")
    if as_int(steps, name="steps") < 1:
        raise ValueError(f"steps={steps} must be at least 1.")


def analysis(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The correlation of images with a kernel, without padding."""
    if x.shape[-3:] == kernel.shape[:3]:  # a patch: a matrix product
        flat = x.reshape(*x.shape[:-3], 1, 1, math.prod(kernel.shape[:3]))
        return jnp.matmul(flat, kernel.reshape(-1, kernel.shape[-1]), precision="highest")
    return conv(x, kernel, padding="VALID", precision="highest")


def synthesis(z: jax.Array, kernel: jax.Array) -> jax.Array:
    """The adjoint of ``analysis``: the sum of the kernels, at each position times its code."""
    if z.shape[-3:-1] == (1, 1):
        flat = jnp.matmul(z, kernel.reshape(-1, kernel.shape[-1]).T, precision="highest")
        return flat.reshape(*z.shape[:-3], *kernel.shape[:3])
    return conv_transpose(z, kernel, padding="VALID", precision="highest")


def largest_curvature(kernel: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """A bound of the largest eigenvalue of ``analysis`` of ``synthesis`` for images of a shape, exact for patches.

    Images are long enough for the convolution to be a part of a circular one, whose eigenvalues are those of a matrix
    ``(channels, channels)`` at each frequency. It is positive even for a kernel of zeros, since the step size is its
    inverse.
    """
    least = jnp.finfo(kernel.dtype).tiny
    channels, features = kernel.shape[2:]
    if shape[-3:-1] == kernel.shape[:2]:
        matrix = kernel.reshape(-1, features)
        gram = matrix.T @ matrix if features < len(matrix) else matrix @ matrix.T
        return jnp.maximum(jnp.linalg.eigvalsh(gram)[-1] * (1 + 1e-5), least)
    spectrum = jnp.fft.fft2(kernel, s=shape[-3:-1], axes=(0, 1)).reshape(-1, channels, features)
    gram = jnp.einsum("wck,wdk->wcd", spectrum, spectrum.conj())
    return jnp.maximum(jnp.linalg.eigvalsh(gram)[:, -1].max() * (1 + 1e-5), least)
