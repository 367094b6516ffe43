"""Standard kernels of image processing, and a function that applies them.

A kernel here has spatial axes only, ``(*window)``; ``apply_filter`` slides it over each channel separately. All are
oriented for correlation, as ``conv`` computes it: a derivative along an axis is positive where values rise along it.
Kernels are float32 (float64 where x64 is on) unless ``dtype`` or an array among the parameters has another dtype, and
differentiable in every parameter that is a number.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import PrecisionLike
from jax.typing import DTypeLike

from jaxcnn._arrays import ArrayLike, accumulator_dtype, as_arrays, common_dtype
from jaxcnn._axes import window_per_axis
from jaxcnn._errors import ShapeError
from jaxcnn._geometry import Padding, PaddingMode, centred_window, check_filter, filter_axis, filter_ndim
from jaxcnn.functional._conv import conv


def apply_filter(
    x: ArrayLike,
    kernel: ArrayLike,
    *,
    padding: Padding = "SAME",
    padding_mode: PaddingMode = "zeros",
    precision: PrecisionLike = None,
) -> jax.Array:
    """Correlates each channel of ``x`` with one kernel.

    ``y[o, c] = sum over k of x[o + k - before, c] * kernel[k]``.

    Args:
        x: ``(*batch, *spatial, channels)``. Integer images become floating.
        kernel: ``(*window)``, one axis per spatial axis of ``x``.
        padding: as in ``conv``.
        padding_mode: as in ``conv``: ``"zeros"``, ``"reflect"``, ``"edge"`` or ``"circular"``.
        precision: as in ``conv``.

    Returns:
        ``(*batch, *out_spatial, channels)`` in the dtype that ``x`` and ``kernel`` promote to, at least a float.

    Raises:
        ShapeError: ``x`` has too few axes for the kernel, or a window larger than the padded input.
        ValueError: an option that does not exist.

    Source: Gonzalez and Woods, Digital image processing (4th edition), section 3.4.

    >>> import jax.numpy as jnp
    >>> image = jnp.zeros((4, 6, 1)).at[:, 3:].set(1)
    >>> print(apply_filter(image, sobel(axis=1), padding="VALID")[..., 0])  # 4 times the step, at the edge
    [[0. 4. 4. 0.]
     [0. 4. 4. 0.]]
    """
    x, kernel = as_arrays(x=x, kernel=kernel)
    check_filter(x.shape, kernel.shape)
    dtype = common_dtype(x, kernel)
    if not jnp.issubdtype(dtype, jnp.inexact):
        dtype = jnp.result_type(float)
    channels = x.shape[-1]
    return conv(
        x.astype(dtype),
        jnp.broadcast_to(kernel.astype(dtype)[..., None, None], (*kernel.shape, 1, channels)),
        padding=padding,
        padding_mode=padding_mode,
        feature_group_count=channels,
        precision=precision,
        preferred_element_type=None,
    )


def box(window_shape: Sequence[int], *, dtype: DTypeLike | None = None) -> jax.Array:
    """The mean over a window: every entry is 1 over the number of entries.

    Args:
        window_shape: one size per axis.
        dtype: of the kernel.

    Returns:
        the kernel, ``window_shape``.

    Raises:
        ShapeError: a bare int, or a size under 1.
        TypeError: a ``dtype`` of integers, which does not hold the entries.

    Source: Gonzalez and Woods, Digital image processing (4th edition), section 3.5.

    >>> print(box((2, 2)))
    [[0.25 0.25]
     [0.25 0.25]]
    """
    window = window_per_axis(window_shape)
    _check_dtype(dtype, fractions=True)
    return jnp.full(window, 1 / math.prod(window), jnp.result_type(float) if dtype is None else dtype)


def gaussian(
    window_shape: Sequence[int], *, sigma: float | Sequence[float], dtype: DTypeLike | None = None
) -> jax.Array:
    """A weighted mean: ``exp(-r**2 / (2 * sigma**2))`` at distance ``r`` from the middle, divided by its sum.

    The middle of an even window is between two entries.

    Args:
        window_shape: one size per axis.
        sigma: the standard deviation in entries, one for all axes or one per axis.
        dtype: of the kernel.

    Returns:
        the kernel, ``window_shape``.

    Raises:
        ShapeError: a bare int as window, a ``sigma`` with another number of entries than there are axes.
        ValueError: a ``sigma`` that is not positive.
        TypeError: a ``dtype`` of integers, which does not hold the entries.

    Source: Gonzalez and Woods, Digital image processing (4th edition), section 3.5.

    >>> print((16 * gaussian((3, 3), sigma=0.85)).round(1))  # near 1 2 1 times 1 2 1, over 16
    [[1. 2. 1.]
     [2. 4. 2.]
     [1. 2. 1.]]
    """
    window = window_per_axis(window_shape)
    (spread,), dtype = _numbers(dtype, sigma=sigma)
    _check_positive(sigma, name="sigma")
    if spread.shape not in ((), (len(window),)):
        raise ShapeError(f"sigma has shape {spread.shape}, but window_shape={window} has {len(window)} axes.")
    spread = jnp.broadcast_to(spread, (len(window),))
    rows = []
    for axis, size in enumerate(window):
        square = _offsets(size, spread.dtype) ** 2
        # Relative to the middle of an even window, so that not all weights of a small sigma are 0.
        row = jnp.exp(-(square - square[size // 2]) / spread[axis] / spread[axis] / 2)
        rows.append(row / row.sum())
    return _outer(rows).astype(dtype)


def prewitt(*, axis: int = 0, ndim: int = 2, dtype: DTypeLike | None = None) -> jax.Array:
    """The derivative along one axis, ``-1 0 1``, summed over three neighbours, ``1 1 1``, on the others.

    Args:
        axis: along which values rise.
        ndim: number of spatial axes.
        dtype: of the kernel.

    Returns:
        the kernel, ``(3,) * ndim``.

    Raises:
        ShapeError: an axis that is not among ``ndim``.
        TypeError: a ``dtype`` of unsigned integers, which does not hold the entries.

    Source: Prewitt, Object enhancement and extraction (1970); Gonzalez and Woods (4th edition), section 10.2.

    >>> print(prewitt(axis=0))
    [[-1. -1. -1.]
     [ 0.  0.  0.]
     [ 1.  1.  1.]]
    """
    return _derivative((1, 1, 1), axis, ndim, dtype)


def sobel(*, axis: int = 0, ndim: int = 2, dtype: DTypeLike | None = None) -> jax.Array:
    """The derivative along one axis, ``-1 0 1``, smoothed by ``1 2 1`` on the others.

    Args:
        axis: along which values rise.
        ndim: number of spatial axes.
        dtype: of the kernel.

    Returns:
        the kernel, ``(3,) * ndim``.

    Raises:
        ShapeError: an axis that is not among ``ndim``.
        TypeError: a ``dtype`` of unsigned integers, which does not hold the entries.

    Source: Sobel and Feldman (1968), as in Gonzalez and Woods (4th edition), section 10.2.

    >>> print(sobel(axis=1))
    [[-1.  0.  1.]
     [-2.  0.  2.]
     [-1.  0.  1.]]
    """
    return _derivative((1, 2, 1), axis, ndim, dtype)


def laplacian(*, ndim: int = 2, diagonals: bool = False, dtype: DTypeLike | None = None) -> jax.Array:
    """The sum of second derivatives: the sum of the neighbours minus their number times the middle.

    Args:
        ndim: number of spatial axes.
        diagonals: whether diagonal neighbours count too.
        dtype: of the kernel.

    Returns:
        the kernel, ``(3,) * ndim``.

    Raises:
        ShapeError: ``ndim`` under 1.
        TypeError: a ``dtype`` of unsigned integers, which does not hold the entries.

    Source: Gonzalez and Woods, Digital image processing (4th edition), section 3.6.

    >>> print(laplacian())
    [[ 0.  1.  0.]
     [ 1. -4.  1.]
     [ 0.  1.  0.]]
    """
    ndim = filter_ndim(ndim)
    _check_dtype(dtype, fractions=False)
    away = np.abs(np.indices((3,) * ndim) - 1).sum(0)
    kernel = (away > 0 if diagonals else away == 1).astype(float)
    kernel[(1,) * ndim] = -kernel.sum()
    return jnp.asarray(kernel, dtype)


def high_pass(window_shape: Sequence[int] = (3, 3), *, dtype: DTypeLike | None = None) -> jax.Array:
    """The middle minus the mean over the window: the identity minus ``box``. It sums to 0.

    Args:
        window_shape: one size per axis.
        dtype: of the kernel.

    Returns:
        the kernel, ``window_shape``.

    Raises:
        ShapeError: a window without a middle.
        TypeError: a ``dtype`` of integers, which does not hold the entries.

    Source: Gonzalez and Woods, Digital image processing (4th edition), section 3.7.

    >>> print(high_pass((1, 5)))
    [[-0.2 -0.2  0.8 -0.2 -0.2]]
    """
    window = centred_window(window_shape)
    return _identity(window, dtype) - box(window, dtype=dtype)


def sharpen(*, amount: float = 1.0, ndim: int = 2, dtype: DTypeLike | None = None) -> jax.Array:
    """The identity minus ``amount`` times the Laplacian, which steepens edges. It sums to 1.

    Args:
        amount: how much; 0 is the identity.
        ndim: number of spatial axes.
        dtype: of the kernel.

    Returns:
        the kernel, ``(3,) * ndim``.

    Raises:
        ShapeError: ``ndim`` under 1.
        TypeError: a ``dtype`` of integers, which does not hold the entries.

    Source: Gonzalez and Woods, Digital image processing (4th edition), section 3.6.

    >>> print(sharpen())
    [[ 0. -1.  0.]
     [-1.  5. -1.]
     [ 0. -1.  0.]]
    """
    ndim = filter_ndim(ndim)
    (strength,), dtype = _numbers(dtype, amount=amount)
    kernel = _identity((3,) * ndim, strength.dtype) - strength * laplacian(ndim=ndim, dtype=strength.dtype)
    return kernel.astype(dtype)


def gabor(
    window_shape: Sequence[int],
    *,
    wavelength: float,
    sigma: float,
    orientation: float = 0.0,
    aspect: float = 1.0,
    phase: float = 0.0,
    dtype: DTypeLike | None = None,
) -> jax.Array:
    """A cosine wave under a Gaussian, the receptive field of a simple cell of visual cortex.

    ``exp(-(u**2 + (aspect * v)**2) / (2 * sigma**2)) * cos(2 * pi * u / wavelength + phase)`` where ``u`` runs along
    the wave and ``v`` along its crests: with ``x`` and ``y`` the offsets from the middle on axis 1 and on axis 0,
    ``u = x * cos(orientation) + y * sin(orientation)`` and ``v = -x * sin(orientation) + y * cos(orientation)``.

    Args:
        window_shape: two sizes; the middle of an even one is between two entries.
        wavelength: entries per period.
        sigma: standard deviation of the Gaussian along the wave, in entries.
        orientation: angle of the wave in radians; 0 is along axis 1 (upright crests), pi / 2 along axis 0.
        aspect: width of the Gaussian along the wave, over its width along the crests.
        phase: 0 is even about the middle, -pi / 2 odd and rising.
        dtype: of the kernel.

    Returns:
        the kernel, ``window_shape``.

    Raises:
        ShapeError: a window that is not two sizes.
        ValueError: a ``wavelength`` or ``sigma`` that is not positive.
        TypeError: a ``dtype`` of integers, which does not hold the entries.

    Source: Marcelja (1980); Daugman, Uncertainty relation for resolution in space, spatial frequency, and orientation
    (1985); Goodfellow, Bengio and Courville, Deep Learning (2016), equations 9.16 to 9.18.

    >>> print(gabor((1, 5), wavelength=3, sigma=2).round(1))
    [[-0.3 -0.4  1.  -0.4 -0.3]]
    """
    window = window_per_axis(window_shape)
    if len(window) != 2:
        raise ShapeError(f"window_shape={window} must have two sizes; a Gabor filter is two-dimensional.")
    (period, width, angle, ratio, shift), dtype = _numbers(
        dtype, wavelength=wavelength, sigma=sigma, orientation=orientation, aspect=aspect, phase=phase
    )
    _check_positive(wavelength, name="wavelength")
    _check_positive(sigma, name="sigma")
    y, x = _offsets(window[0], angle.dtype)[:, None], _offsets(window[1], angle.dtype)[None, :]
    u = x * jnp.cos(angle) + y * jnp.sin(angle)
    v = y * jnp.cos(angle) - x * jnp.sin(angle)
    envelope = jnp.exp(-(u**2 + (ratio * v) ** 2) / (2 * width**2))
    return (envelope * jnp.cos(2 * math.pi * u / period + shift)).astype(dtype)


def _derivative(smoothing: tuple[int, ...], axis: int, ndim: int, dtype: Any) -> jax.Array:
    """``-1 0 1`` along one axis and ``smoothing`` along the others."""
    ndim = filter_ndim(ndim)
    along = filter_axis(axis, ndim)
    _check_dtype(dtype, fractions=False)
    rows = [np.array((-1, 0, 1) if number == along else smoothing, float) for number in range(ndim)]
    return jnp.asarray(functools.reduce(np.multiply.outer, rows), dtype)


def _outer(rows: Sequence[jax.Array]) -> jax.Array:
    """The product of one row per axis."""
    return functools.reduce(lambda kernel, row: kernel[..., None] * row.reshape((1,) * kernel.ndim + (-1,)), rows)


def _identity(window: tuple[int, ...], dtype: Any) -> jax.Array:
    """One in the middle, zeros around it."""
    kernel = np.zeros(window)
    kernel[tuple(size // 2 for size in window)] = 1
    return jnp.asarray(kernel, dtype)


def _offsets(size: int, dtype: Any) -> jax.Array:
    """Distances from the middle of an axis."""
    return jnp.asarray(np.arange(size) - (size - 1) / 2, dtype)


def _numbers(dtype: Any, **values: Any) -> tuple[list[jax.Array], Any]:
    """Parameters as arrays of the dtype to compute in, and the dtype of the kernel: theirs, at least a float."""
    _check_dtype(dtype, fractions=True)
    arrays = as_arrays(**values)
    if dtype is None:
        dtype = common_dtype(*arrays)
        dtype = dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.result_type(float)
    work = accumulator_dtype(dtype)
    return [array.astype(work) for array in arrays], dtype


def _check_dtype(dtype: Any, *, fractions: bool) -> None:
    """Refuses a dtype that does not hold the entries of a kernel: fractions, or negative numbers."""
    held = (jnp.inexact,) if fractions else (jnp.inexact, jnp.signedinteger)
    if dtype is None or any(jnp.issubdtype(dtype, kind) for kind in held):
        return
    kinds = "a floating dtype" if fractions else "a floating dtype or signed integers"
    raise TypeError(f"dtype={jnp.dtype(dtype)} does not hold the entries of this kernel. Use {kinds}.")


def _check_positive(value: Any, *, name: str) -> None:
    """Refuses a number, or one among several, that is known and not positive; a traced one is not known."""
    entries = value if isinstance(value, Sequence) else (value,)
    if not all(isinstance(entry, jax.core.Tracer) or (np.asarray(entry) > 0).all() for entry in entries):
        raise ValueError(f"{name}={value!r} must be positive.")
