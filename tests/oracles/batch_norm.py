"""Batch normalisation from its formula, channel by channel and entry by entry."""

from typing import Any

import numpy as np


def entries(x: np.ndarray, mask: np.ndarray | None, channel: int) -> list[float]:
    """The unmasked entries of one channel."""
    found = []
    for position in np.ndindex(x.shape[:-1]):
        if mask is None or mask[(*position, channel)]:
            found.append(float(x[(*position, channel)]))
    return found


def moments(values: list[float]) -> tuple[float, float]:
    """Mean and biased variance."""
    mean = sum(values) / len(values)
    return mean, sum((value - mean) ** 2 for value in values) / len(values)


def normalise(x: np.ndarray, mean: Any, var: Any, scale: Any, bias: Any, epsilon: float) -> np.ndarray:
    """``(x - mean) / sqrt(var + epsilon) * scale + bias``."""
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        c = index[-1]
        y[index] = (x[index] - mean[c]) / (var[c] + epsilon) ** 0.5 * scale[c] + bias[c]
    return y


def batch_norm(
    x: np.ndarray,
    mean: Any,
    var: Any,
    count: float,
    *,
    scale: Any,
    bias: Any,
    momentum: float | None,
    epsilon: float,
    mask: np.ndarray | None = None,
    unbiased: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """One step of training: ``y`` and the running mean, variance and count after it."""
    channels = x.shape[-1]
    batch_mean, batch_var = np.array(mean, float), np.array(var, float)
    new_mean, new_var = np.array(mean, float), np.array(var, float)
    counted = False
    for c in range(channels):
        values = entries(x, mask, c)
        m = len(values)
        if m == 0:
            continue
        counted = True
        batch_mean[c], batch_var[c] = moments(values)
        old = count / (count + 1) if momentum is None else momentum
        new_mean[c] = old * mean[c] + (1 - old) * batch_mean[c]
        if not unbiased:
            new_var[c] = old * var[c] + (1 - old) * batch_var[c]
        elif m > 1:
            new_var[c] = old * var[c] + (1 - old) * batch_var[c] * m / (m - 1)
    return normalise(x, batch_mean, batch_var, scale, bias, epsilon), new_mean, new_var, count + counted
