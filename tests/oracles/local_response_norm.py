"""Local response normalisation from the formula in section 3.3 of Krizhevsky, Sutskever and Hinton (2012)."""

import math

import numpy as np


def local_response_norm(x: np.ndarray, *, size: int, k: float, alpha: float, beta: float) -> np.ndarray:
    """``b[i] = a[i] / (k + alpha * sum of a[j]**2)**beta``, ``j`` from ``i - size / 2`` to ``i + size / 2``.

    Where ``size`` is even the halves are those of ONNX.
    """
    channels = x.shape[-1]
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        i = index[-1]
        total = 0.0
        for j in range(max(0, i - math.floor((size - 1) / 2)), min(channels - 1, i + math.ceil((size - 1) / 2)) + 1):
            total += x[(*index[:-1], j)] ** 2
        y[index] = x[index] / (k + alpha * total) ** beta
    return y


def onnx(x: np.ndarray, *, size: int, bias: float, alpha: float, beta: float) -> np.ndarray:
    """The operator LRN of ONNX, which divides ``alpha`` by the size, on the last axis."""
    square_sum = np.zeros(x.shape)
    for c in range(x.shape[-1]):
        first = max(0, c - math.floor((size - 1) / 2))
        last = min(x.shape[-1] - 1, c + math.ceil((size - 1) / 2))
        square_sum[..., c] = (x[..., first : last + 1] ** 2).sum(-1)
    return x / (bias + (alpha / size) * square_sum) ** beta
