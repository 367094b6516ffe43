"""Kernels designed by hand: edges and waves of several orientations and widths."""

import functools
import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn._axes import as_int, int_per_axis
from jaxcnn.functional.filters import gabor

LEAST_LENGTH = 1e-4  # of a filter without its mean; a shorter one is only rounding error


def filter_bank(
    window_shape: Sequence[int], *, wavelengths: Sequence[float] = (4.0, 8.0), orientations: int = 8, channels: int = 1
) -> jax.Array:
    """A kernel of oriented edge and Gabor filters, for a first layer that is not trained.

    For each wavelength and orientation there is an even filter, which responds to lines, and an odd one, which responds
    to edges: ``filters.gabor`` with the phases 0 and ``-pi / 2``, ``sigma`` of half a wavelength, and an aspect of 1/2.
    Each has mean 0 and length 1, so a constant image gives 0.

    Args:
        window_shape: height and width of a filter.
        wavelengths: periods in pixels, one for each scale.
        orientations: number of angles, evenly spaced over half a turn.
        channels: of the image; a filter is the same in each.

    Returns:
        ``(*window_shape, channels, 2 * len(wavelengths) * orientations)``: by wavelength, by orientation, even and odd.

    Raises:
        ShapeError: a window that is not two sizes.
        ValueError: no wavelength or one that is not positive, a filter that is the same number at each pixel of the
            window, or ``orientations`` or ``channels`` below 1.
        TypeError: sizes that are not integers.

    Source: Daugman (1985), "Uncertainty relation for resolution in space, spatial frequency, and orientation";
    Marr and Hildreth (1980), "Theory of edge detection".

    >>> bank = filter_bank((7, 7), wavelengths=[4.0], orientations=2)
    >>> bank.shape
    (7, 7, 1, 4)
    >>> edge = jnp.broadcast_to(jnp.arange(7.0) > 3, (7, 7))[..., None, None]  # dark on the left
    >>> (bank * edge).sum((0, 1, 2)).round(2)[1::2] + 0.0  # the odd filters across and along
    Array([1.1, 0. ], dtype=float32)
    """
    window = int_per_axis(window_shape, 2, name="window_shape")
    for name, value in (("orientations", orientations), ("channels", channels)):
        if as_int(value, name=name) < 1:
            raise ValueError(f"{name}={value} must be at least 1.")
    if not len(wavelengths) or not all(wavelength > 0 for wavelength in wavelengths):
        raise ValueError(f"expected positive wavelengths, at least one, got {wavelengths}.")
    angles = math.pi * np.arange(orientations) / orientations
    filters = list(itertools.product(wavelengths, angles, (0.0, -math.pi / 2)))
    with jax.ensure_compile_time_eval():
        bank, lengths = _bank(np.asarray(filters, np.float32), window, channels)
        flat = np.flatnonzero(~(np.asarray(lengths) > LEAST_LENGTH))
    if flat.size:
        wavelength, angle, phase = filters[flat[0]]
        raise ValueError(
            f"in a window of {window} the {'odd' if phase else 'even'} filter of wavelength {wavelength} and "
            f"orientation {angle:.3g} is the same number at each pixel. Use a larger window, or wavelengths above 2."
        )
    return bank


@functools.partial(jax.jit, static_argnums=(1, 2))
def _bank(filters: jax.Array, window: tuple[int, ...], channels: int) -> tuple[jax.Array, jax.Array]:
    """The filters with these wavelengths, angles and phases, ``(n, 3)``, and their lengths before they are scaled."""

    def one(row: jax.Array) -> tuple[jax.Array, jax.Array]:
        wavelength, angle, phase = row
        wave = gabor(
            window, wavelength=wavelength, sigma=wavelength / 2, orientation=angle, aspect=jnp.float32(0.5), phase=phase
        )
        wave = wave - wave.mean()
        length = jnp.linalg.norm(wave)
        return wave / length / math.sqrt(channels), length

    waves, lengths = jax.vmap(one, out_axes=-1)(filters)
    return jnp.broadcast_to(waves[:, :, None], (*window, channels, len(filters))), lengths
