"""Filtering with SciPy, channel by channel, and Gabor's function from the textbook."""

import cmath
import math

import numpy as np
from scipy import ndimage

MODES = {"zeros": "constant", "reflect": "mirror", "edge": "nearest", "circular": "wrap"}


def apply_filter(x: np.ndarray, kernel: np.ndarray, *, padding_mode: str) -> np.ndarray:
    """``scipy.ndimage.correlate`` of every example and every channel, for windows of odd size."""
    y = np.zeros(x.shape)
    batch = x.ndim - 1 - kernel.ndim
    for index in np.ndindex(x.shape[:batch]):
        for c in range(x.shape[-1]):
            y[(*index, ..., c)] = ndimage.correlate(x[(*index, ..., c)], kernel, mode=MODES[padding_mode])
    return y


def gabor(
    window: tuple[int, int], *, wavelength: float, sigma: float, orientation: float, aspect: float, phase: float
) -> np.ndarray:
    """The real part of a plane wave under an elliptical Gaussian, entry by entry, in complex arithmetic."""
    kernel = np.zeros(window)
    for row, column in np.ndindex(*window):
        # In coordinates rotated by the orientation, the real part is the coordinate along the wave.
        turned = complex(column - (window[1] - 1) / 2, row - (window[0] - 1) / 2) * cmath.exp(-1j * orientation)
        radius = turned.real**2 + (aspect * turned.imag) ** 2
        wave = cmath.exp(1j * (2 * math.pi * turned.real / wavelength + phase))
        kernel[row, column] = math.exp(-radius / (2 * sigma**2)) * wave.real
    return kernel
