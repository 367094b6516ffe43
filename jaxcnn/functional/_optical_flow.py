"""How far each pixel moves between two images, from coarse to fine; differentiable from end to end."""

import functools
import numbers
from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._arrays import ArrayLike, accumulator_dtype, as_array
from jaxcnn._axes import as_int
from jaxcnn._errors import ShapeError, check_choice
from jaxcnn._symbolic import is_less
from jaxcnn.functional._bilinear import bilinear
from jaxcnn.functional._varying import varying_like

Method = Literal["horn_schunck", "lucas_kanade"]
# The mean of the neighbours of a pixel: 1/6 for those next to it, 1/12 for the diagonal ones.
NEIGHBOURS = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]]) / 12
MOST_LEVELS = 30


def optical_flow(
    a: ArrayLike,
    b: ArrayLike,
    *,
    method: Method = "horn_schunck",
    levels: int = 3,
    warps: int = 4,
    iterations: int = 100,
    smoothness: float = 0.1,
    window_size: int = 15,
) -> jax.Array:
    """The displacement of each pixel from image ``a`` to image ``b``: ``b[y + v, x + u] = a[y, x]``.

    Both methods solve the linearised ``gx u + gy v + b - a = 0``, with ``gx`` and ``gy`` the mean gradients of both
    images, summed over the channels:

    - ``"horn_schunck"`` minimises the sum of its squares and of ``smoothness**2`` times the squared differences between
      neighbouring displacements. It iterates ``d = m - A^-1 (G (m - d0) + t)`` with ``m`` the mean displacement of the
      neighbours, ``d0`` the displacement at which the images are linearised, ``G`` the products of the gradients, ``t``
      the products of the gradients with the difference, and ``A = smoothness**2 I + G``.
    - ``"lucas_kanade"`` takes one displacement for each window: ``A d = smoothness**2 d0 + sum of (G d0 - t)`` with
      ``A = smoothness**2 I + sum of G``, summed over the window, so that windows without structure keep ``d0``.

    Images are halved ``levels - 1`` times. From the smallest on, the flow is doubled in size and value, and ``b`` is
    warped by it and linearised again ``warps`` times. A pixel whose target is outside ``b`` does not constrain the flow
    there.

    Args:
        a: ``(*batch, height, width, channels)``, floating; in [0, 1] for the default ``smoothness``.
        b: of the same shape.
        method: the equations to solve.
        levels: number of sizes of the images; each level finds displacements of about one of its pixels.
        warps: linearisations at each level.
        iterations: of Horn and Schunck, at each linearisation.
        smoothness: from 1e-8 to 1e8. Choose it in proportion to the range of the images: for images in [0, 255] take
            255 times the value for images in [0, 1].
        window_size: rows and columns of the windows of Lucas and Kanade, an odd number.

    Returns:
        ``(*batch, height, width, 2)`` as ``(u, v)``: columns first, in pixels; of the type of the images.

    Raises:
        ShapeError: shapes that differ, or images too small for the levels.
        ValueError: a method that is not known, numbers that are not positive, a smoothness out of range, or an even
            window.
        TypeError: images that are not floating, or numbers that are not integers.

    Source: Horn and Schunck (1981), "Determining optical flow"; Lucas and Kanade (1981), "An iterative image
    registration technique"; the warping of Brox et al. (2004), section 3.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> rows, columns = jnp.mgrid[:16.0, :16.0]
    >>> blob = lambda x: jnp.exp(-((columns - x) ** 2 + (rows - 8) ** 2) / 16)[..., None]
    >>> F.optical_flow(blob(7.5), blob(8.5), method="lucas_kanade", levels=1)[8, 8, 0].round(1)
    Array(1., dtype=float32)
    """
    check_choice(method, get_args(Method), name="method")
    first, second = as_array(a, name="a"), as_array(b, name="b")
    if first.shape != second.shape or first.ndim < 3 or not first.shape[-1]:
        raise ShapeError(
            f"a and b must be images of one shape (*batch, height, width, channels), but a.shape={first.shape} and "
            f"b.shape={second.shape}. Grey images have one channel: a[..., None]."
        )
    if not (jnp.issubdtype(first.dtype, jnp.floating) and first.dtype == second.dtype):
        raise TypeError(
            f"a and b must have one floating dtype, not {first.dtype} and {second.dtype}. Of uint8: "
            f"a.astype(jnp.float32) / 255."
        )
    levels, warps, iterations = (
        _positive(value, name=name)
        for name, value in (("levels", levels), ("warps", warps), ("iterations", iterations))
    )
    if _positive(window_size, name="window_size") % 2 == 0:
        raise ValueError(f"window_size={window_size} must be odd, so that a window has a pixel at its centre.")
    if not isinstance(smoothness, numbers.Real) or not 1e-8 <= smoothness <= 1e8:
        raise ValueError(f"smoothness={smoothness!r} must be a plain number from 1e-8 to 1e8, such as 0.1.")
    if levels > MOST_LEVELS:
        raise ValueError(f"levels={levels} must be at most {MOST_LEVELS}.")
    if any(not is_less(2**levels - 1, side) for side in first.shape[-3:-1]):
        raise ShapeError(
            f"levels={levels} requires images of at least {2**levels} pixels on each axis, but a.shape={first.shape}."
            f"{' Use fewer levels.' if levels > 1 else ''}"
        )
    weight = float(smoothness) ** 2
    solve: Callable[..., jax.Array]
    if method == "horn_schunck":
        solve = functools.partial(_horn_schunck, iterations=iterations, weight=weight)
    else:
        solve = functools.partial(_lucas_kanade, window_size=window_size, weight=weight)
    flow = functools.partial(_flow, solve=solve, levels=levels, warps=warps)
    for _ in range(first.ndim - 3):  # one example at a time: a sharded batch axis stays sharded
        flow = jax.vmap(flow)
    wide = accumulator_dtype(first.dtype)
    return flow(first.astype(wide), second.astype(wide)).astype(first.dtype)


def _positive(value: int, *, name: str) -> int:
    number = as_int(value, name=name)
    if number < 1:
        raise ValueError(f"{name}={number} must be at least 1.")
    return number


def _flow(a: jax.Array, b: jax.Array, *, solve: Callable[..., jax.Array], levels: int, warps: int) -> jax.Array:
    """The flow of one pair of images."""
    pyramid = [(a, b)]
    for _ in range(levels - 1):
        height, width, channels = pyramid[0][0].shape
        small = (-(-height // 2), -(-width // 2), channels)
        one, two = (jax.image.resize(image, small, "linear") for image in pyramid[0])
        pyramid.insert(0, (one, two))
    flow = varying_like(jnp.zeros((*pyramid[0][0].shape[:2], 2), a.dtype), a, b)
    for one, two in pyramid:
        before, now = flow.shape[:2], one.shape[:2]
        if before != now:
            scale = jnp.array([now[1] / before[1], now[0] / before[0]], a.dtype)
            flow = jax.image.resize(flow, (*now, 2), "linear") * scale[None, None]

        def warp(_: int, flow: jax.Array, one: jax.Array = one, two: jax.Array = two) -> jax.Array:
            return solve(*_linearised(one, two, flow), flow)

        flow = lax.fori_loop(0, warps, warp, flow)
    return flow


def _linearised(a: jax.Array, b: jax.Array, flow: jax.Array) -> tuple[jax.Array, jax.Array]:
    """For each pixel the products of the gradients, ``(.., 2, 2)``, and those with the difference, ``(.., 2)``."""
    height, width = flow.shape[:2]
    columns = jnp.arange(width, dtype=flow.dtype)[None, :] + flow[..., 0]
    rows = jnp.arange(height, dtype=flow.dtype)[:, None] + flow[..., 1]
    inside = (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
    warped = bilinear(b, rows, columns)
    mean = (a + warped) / 2
    gradient = jnp.stack([_difference(mean, 1), _difference(mean, 0)], -1)  # (height, width, channels, 2)
    gradient = jnp.where(inside[..., None, None], gradient, 0)
    products = (gradient[..., :, None] * gradient[..., None, :]).sum(2)
    return products, (gradient * (warped - a)[..., None]).sum(2)


def _difference(image: jax.Array, axis: int) -> jax.Array:
    """Central differences, with the border repeated."""
    size = image.shape[axis]
    padded = jnp.concatenate(
        [lax.slice_in_dim(image, 0, 1, axis=axis), image, lax.slice_in_dim(image, size - 1, size, axis=axis)], axis
    )
    ahead, behind = (lax.slice_in_dim(padded, start, start + size, axis=axis) for start in (2, 0))
    return (ahead - behind) / 2


def _solved(products: jax.Array, weight: float, right: jax.Array) -> jax.Array:
    """``(weight I + G)^-1 r`` of each pixel."""
    xx, xy, yy = products[..., 0, 0] + weight, products[..., 0, 1], products[..., 1, 1] + weight
    u, v = right[..., 0], right[..., 1]
    return jnp.stack([yy * u - xy * v, xx * v - xy * u], -1) / (xx * yy - xy * xy)[..., None]


def _horn_schunck(
    products: jax.Array, difference: jax.Array, start: jax.Array, *, iterations: int, weight: float
) -> jax.Array:
    def step(_: int, flow: jax.Array) -> jax.Array:
        mean = _mean_of_neighbours(flow)
        change = (products * (mean - start)[..., None, :]).sum(-1) + difference
        return mean - _solved(products, weight, change)

    return lax.fori_loop(0, iterations, step, start)


def _lucas_kanade(
    products: jax.Array, difference: jax.Array, start: jax.Array, *, window_size: int, weight: float
) -> jax.Array:
    height, width = start.shape[:2]
    # Each pixel of a window is linearised at its own displacement.
    right = (products * start[..., None, :]).sum(-1) - difference
    sums = jnp.concatenate([products.reshape(height, width, 4), right], -1)
    for window in ((window_size, 1, 1), (1, window_size, 1)):
        sums = lax.reduce_window(sums, np.zeros((), sums.dtype), lax.add, window, (1, 1, 1), "SAME")
    return _solved(sums[..., :4].reshape(height, width, 2, 2), weight, sums[..., 4:] + weight * start)


def _mean_of_neighbours(flow: jax.Array) -> jax.Array:
    """The mean displacement of the neighbours; beyond the border, displacements repeat."""
    height, width = flow.shape[:2]
    padded = jnp.pad(flow, ((1, 1), (1, 1), (0, 0)), mode="edge")
    total = jnp.zeros_like(flow)
    for (row, column), weight in np.ndenumerate(NEIGHBOURS):
        if weight:
            total = total + padded[row : row + height, column : column + width] * float(weight)
    return total
