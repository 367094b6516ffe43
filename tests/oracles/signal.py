"""Correlation and convolution of signals from their sums, index by index."""

import numpy as np


def convolve_full(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``z[k] = sum over l of x[l] * y[k - l]``: every product lands where its indices add up to."""
    z = np.zeros([n + m - 1 for n, m in zip(x.shape, y.shape, strict=True)], np.result_type(x, y))
    for i in np.ndindex(x.shape):
        for j in np.ndindex(y.shape):
            z[tuple(np.add(i, j))] += x[i] * y[j]
    return z


def correlate_full(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``z[k] = sum over l of x[l] * conj(y[l - k + m - 1])``."""
    z = np.zeros([n + m - 1 for n, m in zip(x.shape, y.shape, strict=True)], np.result_type(x, y))
    for i in np.ndindex(x.shape):
        for j in np.ndindex(y.shape):
            z[tuple(np.add(np.subtract(i, j), y.shape) - 1)] += x[i] * np.conj(y[j])
    return z
