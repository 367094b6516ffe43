"""Local contrast normalisation from the formulas in section 2 of Jarrett et al. (2009)."""

import math

import numpy as np


def local_contrast_norm(x: np.ndarray, *, window: tuple[int, ...], sigma: tuple[float, ...]) -> np.ndarray:
    """Normalises one example ``(*spatial, channels)``; the windows are cut off at the border."""
    spatial, channels = x.shape[:-1], x.shape[-1]

    def weighted(values: np.ndarray, o: tuple[int, ...]) -> float:
        total = weight = 0.0
        for k in np.ndindex(window):
            place = tuple(i + j - (size - 1) // 2 for i, j, size in zip(o, k, window, strict=True))
            if all(0 <= i < size for i, size in zip(place, spatial, strict=True)):
                away = sum(((j - (size - 1) / 2) / s) ** 2 for j, size, s in zip(k, window, sigma, strict=True))
                weight += channels * math.exp(-away / 2)
                total += math.exp(-away / 2) * sum(values[(*place, c)] for c in range(channels))
        return total / weight

    v, s, y = np.zeros(x.shape), np.zeros(spatial), np.zeros(x.shape)
    for o in np.ndindex(spatial):
        v[o] = x[o] - weighted(x, o)
    for o in np.ndindex(spatial):
        s[o] = math.sqrt(weighted(v**2, o))
    for o in np.ndindex(spatial):
        y[o] = v[o] / max(s[o], s.mean())
    return y
