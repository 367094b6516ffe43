"""Correlation and convolution with the names and the centring of signal processing, without batch and channels."""

import jax
import jax.numpy as jnp
from jax import lax
from jax.lax import PrecisionLike

from jaxcnn._arrays import ArrayLike, as_arrays
from jaxcnn._geometry import ConvAlgorithm, SignalMode, slide
from jaxcnn.functional._conv import conv


def correlate(
    x: ArrayLike,
    y: ArrayLike,
    *,
    mode: SignalMode = "full",
    algorithm: ConvAlgorithm = "auto",
    precision: PrecisionLike = None,
) -> jax.Array:
    """The cross-correlation at every offset: ``z[k] = sum over l of x[l] * conj(y[l - k + y.size - 1])``.

    This is for one axis; with more axes every index is a tuple. It equals ``scipy.signal.correlate``, except for the
    dtype of integers (see Returns).

    Args:
        x: any number of axes, without batch or channels.
        y: an array with the same number of axes.
        mode: ``"full"``: every offset at which they overlap. ``"same"``: the middle of the full result, with the size
            of ``x``. ``"valid"``: the offsets at which one contains the other.
        algorithm: as in ``conv``. ``"fft"`` multiplies spectra, which is much faster for long arrays; the error is
            relative to the largest entry of the whole array, and integers are refused. ``"auto"`` never selects it.
        precision: as in ``conv``.

    Returns:
        an array of ``n + m - 1``, ``n`` or ``|n - m| + 1`` entries per axis. Integers are exact, and those of fewer
        than 32 bits give int32 (SciPy's wrap around).

    Raises:
        ShapeError: arrays of different rank, an empty array, or ``mode="valid"`` where neither fits
            inside the other.
        ValueError: a mode or an algorithm that does not exist.

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), equation 9.6.

    >>> import jax.numpy as jnp
    >>> noise = jnp.array([0, 1, -1, 2, 1, 3, -1, 0])
    >>> print(correlate(noise, jnp.array([2, 1, 3]), mode="valid"))  # the pattern is found at offset 3
    [-2  7  3 14 2  5]
    """
    return _slide(x, y, mode, True, algorithm, precision)


def convolve(
    x: ArrayLike,
    y: ArrayLike,
    *,
    mode: SignalMode = "full",
    algorithm: ConvAlgorithm = "auto",
    precision: PrecisionLike = None,
) -> jax.Array:
    """The convolution ``z[k] = sum over l of x[l] * y[k - l]``, which is commutative and associative.

    This is for one axis; with more axes every index is a tuple. It equals ``scipy.signal.convolve``, except for the
    dtype of integers (see Returns).

    Args:
        x: any number of axes, without batch or channels.
        y: an array with the same number of axes.
        mode: ``"full"``: every entry. ``"same"``: the middle of the full result, with the size of ``x``. ``"valid"``:
            the entries that read nothing outside the larger array.
        algorithm: as in ``conv``. ``"fft"`` multiplies spectra, which is much faster for long arrays; the error is
            relative to the largest entry of the whole array, and integers are refused. ``"auto"`` never selects it.
        precision: as in ``conv``.

    Returns:
        an array of ``n + m - 1``, ``n`` or ``|n - m| + 1`` entries per axis. Integers are exact, and those of fewer
        than 32 bits give int32 (SciPy's wrap around).

    Raises:
        ShapeError: arrays of different rank, an empty array, or ``mode="valid"`` where neither fits
            inside the other.
        ValueError: a mode or an algorithm that does not exist.

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), equations 9.3 to 9.5.

    >>> import jax.numpy as jnp
    >>> print(convolve(jnp.array([1, 2, 1]), jnp.array([1, 2, 1])))  # (1 + t)**2 times (1 + t)**2
    [1 4 6 4 1]
    """
    return _slide(x, y, mode, False, algorithm, precision)


def autocorrelate(
    x: ArrayLike,
    *,
    mode: SignalMode = "full",
    algorithm: ConvAlgorithm = "auto",
    precision: PrecisionLike = None,
) -> jax.Array:
    """The correlation of ``x`` with itself at every offset: ``correlate(x, x)``. The middle entry is its energy.

    Args:
        x: any number of axes, without batch or channels.
        mode: as in ``correlate``.
        algorithm: as in ``conv``, like ``precision``.

    Returns:
        an array of ``2 * n - 1``, ``n`` or 1 entries per axis, Hermitian about the middle.

    Raises:
        ShapeError: an empty array.
        ValueError: a mode that does not exist.

    Source: Bracewell, The Fourier transform and its applications (3rd edition), chapter 3.

    >>> import jax.numpy as jnp
    >>> print(autocorrelate(jnp.array([1, 1, 1, -1])))  # Barker's code: sidelobes of at most 1
    [-1  0  1  4  1  0 -1]
    """
    return _slide(x, x, mode, True, algorithm, precision)


def _slide(
    x: ArrayLike, y: ArrayLike, mode: SignalMode, correlation: bool, algorithm: ConvAlgorithm, precision: PrecisionLike
) -> jax.Array:
    """Slides the smaller array over the larger: ``conv`` without batch and with one channel."""
    x, y = as_arrays(x=x, y=y)
    plan = slide(x.shape, y.shape, mode=mode, mirrored=correlation)
    if correlation:
        y = jnp.conj(y)
    large, small = (y, x) if plan.swapped else (x, y)
    z = conv(
        large[..., None],
        small[..., None, None],
        padding=plan.pads,
        flip_kernel=not correlation,
        algorithm=algorithm,
        precision=precision,
    )[..., 0]
    return lax.rev(z, range(z.ndim)) if plan.swapped and correlation else z
