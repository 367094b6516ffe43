"""Measures of single images and masks: PSNR, SSIM, Dice. One number for each, of which ``Mean`` is the running mean."""

import functools
import math
import numbers
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn._arrays import ArrayLike
from jaxcnn._axes import as_int
from jaxcnn._errors import ShapeError, check_choice
from jaxcnn.metrics._arrays import as_floats, same_shape

Window = Literal["gaussian", "uniform"]


def psnr(references: ArrayLike, images: ArrayLike, *, data_range: float) -> jax.Array:
    """The peak signal-to-noise ratio of each image in decibels: ``10 log10(data_range**2 / mean of (x - y)**2)``.

    Args:
        references: ``(*batch, height, width, channels)``.
        images: of the same shape.
        data_range: the difference between the largest and the smallest value that is possible: 1.0 for images in
            [0, 1], 255 for bytes. It has no default, since it cannot be read from the images.

    Returns:
        ``(*batch)``; infinity for images that are equal.

    Raises:
        ShapeError: shapes that differ, or images without pixels.
        ValueError: a range that is not positive.
        TypeError: images that are not real numbers.

    Source: ITU-T J.340 (2010); ``peak_signal_noise_ratio`` of scikit-image.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import metrics
    >>> metrics.psnr(jnp.zeros((8, 8, 3)), jnp.full((8, 8, 3), 0.1), data_range=1.0).round(3)
    Array(20., dtype=float32)
    """
    x, y, peak = _images(references, images, data_range)
    return 10 * jnp.log10(peak * peak / ((x - y) ** 2).mean((-3, -2, -1)))


def ssim(
    references: ArrayLike,
    images: ArrayLike,
    *,
    data_range: float,
    window: Window = "gaussian",
    window_size: int = 11,
    sigma: float = 1.5,
) -> jax.Array:
    """The structural similarity of each image: the mean over all windows and channels of ``l * c``, 1 for equal images.

    With means ``m``, variances ``v`` and covariance ``c`` of a window: ``(2 mx my + c1) (2 c + c2) / ((mx**2 + my**2 +
    c1) (vx + vy + c2))``, ``c1 = (0.01 data_range)**2``, ``c2 = (0.03 data_range)**2``. Windows are inside the image.

    Args:
        references: ``(*batch, height, width, channels)``.
        images: of the same shape.
        data_range: the difference between the largest and the smallest value that is possible: 1.0 for images in
            [0, 1], 255 for bytes.
        window: the weights in a window.
        window_size: rows and columns of a window.
        sigma: the standard deviation of the Gaussian in pixels.

    Returns:
        ``(*batch)``, at most 1.

    Raises:
        ShapeError: shapes that differ, or a window larger than the images.
        ValueError: a range, a size or a standard deviation that is not positive, or a window that is not known.
        TypeError: images that are not real numbers, or a size that is not an integer.

    Source: Wang, Bovik, Sheikh and Simoncelli (2004), "Image quality assessment: from error visibility to structural
    similarity", equation 13; ``structural_similarity`` of scikit-image with ``use_sample_covariance=False`` (and
    ``gaussian_weights=True`` for the Gaussian).

    >>> import jax.numpy as jnp
    >>> from jaxcnn import metrics
    >>> image = jnp.arange(144.0).reshape(12, 12, 1) / 143
    >>> metrics.ssim(image, 1 - image, data_range=1.0).round(4)
    Array(-0.9317, dtype=float32)
    """
    check_choice(window, get_args(Window), name="window")
    x, y, peak = _images(references, images, data_range)
    taps = _taps(window, window_size, sigma, x.shape[-3:-1])
    return _ssim(x, y, tuple(taps.tolist()), peak)


@functools.partial(jax.jit, static_argnums=2)
def _ssim(x: jax.Array, y: jax.Array, taps: tuple[float, ...], peak: float) -> jax.Array:
    # Variances do not depend on a constant, and lose fewer digits where the values are around 0.
    centre = x.mean((-3, -2, -1), keepdims=True)
    x, y = x - centre, y - centre
    moments = _filtered(jnp.stack([x, y, x * x, y * y, x * y]), taps)
    mean_x, mean_y = moments[0], moments[1]
    var_x, var_y = moments[2] - mean_x**2, moments[3] - mean_y**2
    covariance = moments[4] - mean_x * mean_y
    mean_x, mean_y = mean_x + centre, mean_y + centre
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    similar = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return (similar / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean((-3, -2, -1))


def dice(masks: ArrayLike, predictions: ArrayLike, *, spatial_ndim: int = 2) -> jax.Array:
    """The Dice coefficient of each mask: ``2 sum of a * b / (sum of a + sum of b)``, 1 for two empty masks.

    Of a whole set of labels, ``f1`` of the confusion matrix is the Dice coefficient of each class.

    Args:
        masks: ``(*batch, *spatial)``: booleans, 0 and 1, or shares from 0 to 1.
        predictions: of the same shape.
        spatial_ndim: the number of axes at the end that are summed over: 2 for images, 3 for volumes.

    Returns:
        ``(*batch)``, from 0 to 1.

    Raises:
        ShapeError: shapes that differ, or fewer axes than ``spatial_ndim``.
        TypeError: masks that are not real numbers.

    Source: Dice (1945), "Measures of the amount of ecologic association between species"; Milletari, Navab and Ahmadi
    (2016), "V-Net", section 3, with plain sums in place of squares.

    >>> from jaxcnn import metrics
    >>> metrics.dice([[True, True, False]], [[True, False, False]])
    Array(0.6666667, dtype=float32)
    """
    a, b = as_floats(masks, name="masks"), as_floats(predictions, name="predictions")
    same_shape(a, b, names=("masks", "predictions"))
    if not 1 <= spatial_ndim <= a.ndim:
        raise ShapeError(f"spatial_ndim={spatial_ndim} must be from 1 to the number of axes of masks.shape={a.shape}.")
    axes = tuple(range(-spatial_ndim, 0))
    dtype = jnp.result_type(a, b)
    both, total = (a * b).sum(axes, dtype=dtype), a.sum(axes, dtype=dtype) + b.sum(axes, dtype=dtype)
    return jnp.where(total == 0, 1, 2 * both / jnp.where(total == 0, 1, total))


def _images(references: ArrayLike, images: ArrayLike, data_range: float) -> tuple[jax.Array, jax.Array, float]:
    """Both arrays of images in one dtype, and the range as a plain number."""
    x, y = as_floats(references, name="references"), as_floats(images, name="images")
    same_shape(x, y, names=("references", "images"))
    if x.ndim < 3 or not all(x.shape[-3:]):
        raise ShapeError(f"images must have the shape (*batch, height, width, channels), but images.shape={y.shape}.")
    if not isinstance(data_range, numbers.Real) or not 0 < float(data_range) < math.inf:
        raise ValueError(
            f"data_range={data_range!r} must be a positive number: 1.0 for images in [0, 1], 255 for bytes."
        )
    dtype = jnp.promote_types(x.dtype, y.dtype)
    return x.astype(dtype), y.astype(dtype), float(data_range)


def _taps(window: str, window_size: int, sigma: float, sizes: tuple[int, ...]) -> np.ndarray:
    """The weights of a window along one axis, which sum to 1."""
    number = as_int(window_size, name="window_size")
    if number < 1:
        raise ValueError(f"window_size={window_size} must be at least 1.")
    if number > min(sizes):
        raise ShapeError(
            f"a window of {number}x{number} does not fit into images of {sizes[0]}x{sizes[1]}. Use a smaller "
            f"window_size."
        )
    if not sigma > 0:
        raise ValueError(f"sigma={sigma} must be positive.")
    place = np.arange(number) - (number - 1) / 2
    weights = np.exp(-0.5 * (place / sigma) ** 2) if window == "gaussian" else np.ones(number)
    return weights / weights.sum()


def _filtered(maps: jax.Array, taps: tuple[float, ...]) -> jax.Array:
    """The weighted means of all windows within ``(..., height, width, channels)``, one axis after the other."""
    for axis in (-3, -2):
        axis += maps.ndim
        positions = maps.shape[axis] - len(taps) + 1
        maps = sum(jax.lax.slice_in_dim(maps, i, i + positions, axis=axis) * tap for i, tap in enumerate(taps))  # type: ignore[assignment]
    return maps
