"""Convolutions by loops over positions and taps, from the formula, for any number of axes."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Pairs = Sequence[tuple[int, int]]


def outside(position: int, size: int, mode: str) -> int | None:
    """Where a position outside of ``size`` entries is read, walking step by step; None is a zero."""
    if mode == "zeros":
        return position if 0 <= position < size else None
    if mode == "circular":
        while position < 0:
            position += size
        while position >= size:
            position -= size
        return position
    if mode == "edge":
        return 0 if position < 0 else min(position, size - 1)
    if size == 1:
        return 0
    while not 0 <= position < size:
        position = -position if position < 0 else 2 * (size - 1) - position
    return position


def conv(
    x: np.ndarray,
    kernel: np.ndarray,
    *,
    pads: Pairs,
    strides: Sequence[int],
    input_dilation: Sequence[int],
    kernel_dilation: Sequence[int],
    groups: int = 1,
    mode: str = "zeros",
) -> np.ndarray:
    """``y[o, c] = sum over k, i of z[strides * o + dilation * k - before, i] * kernel[k, i, c]``."""
    ndim = kernel.ndim - 2
    batch, sizes = x.shape[: -ndim - 1], x.shape[-ndim - 1 : -1]
    window, reads, writes = kernel.shape[:-2], kernel.shape[-2], kernel.shape[-1] // groups
    lengths = [max((n - 1) * d + 1, 0) for n, d in zip(sizes, input_dilation, strict=True)]
    outs = [
        (length + before + after - (w - 1) * d - 1) // s + 1
        for length, (before, after), w, d, s in zip(lengths, pads, window, kernel_dilation, strides, strict=True)
    ]
    images = x.reshape(math.prod(batch), *sizes, x.shape[-1])
    y = np.zeros((len(images), *outs, kernel.shape[-1]), np.result_type(x, kernel))
    for o in itertools.product(*map(range, outs)):
        for k in itertools.product(*map(range, window)):
            place: list[Any] = []
            for axis in range(ndim):
                wanted = strides[axis] * o[axis] + kernel_dilation[axis] * k[axis] - pads[axis][0]
                found = outside(wanted, lengths[axis], mode)
                # Between the entries of a dilated input stand zeros.
                place.append(None if found is None or found % input_dilation[axis] else found // input_dilation[axis])
            if None in place:
                continue
            for g in range(groups):
                read = images[(slice(None), *place, slice(g * reads, (g + 1) * reads))]
                y[(slice(None), *o, slice(g * writes, (g + 1) * writes))] += (
                    read @ kernel[(*k, slice(None), slice(g * writes, (g + 1) * writes))]
                )
    return y.reshape(*batch, *outs, kernel.shape[-1])


def conv_transpose(
    x: np.ndarray,
    kernel: np.ndarray,
    *,
    out_sizes: Sequence[int],
    before: Sequence[int],
    strides: Sequence[int],
    kernel_dilation: Sequence[int],
    groups: int = 1,
) -> np.ndarray:
    """``y[strides * o + dilation * k - before, i] += sum over c of x[o, c] * kernel[k, i, c]``, by scattering."""
    ndim = kernel.ndim - 2
    batch, sizes = x.shape[: -ndim - 1], x.shape[-ndim - 1 : -1]
    window, writes, reads = kernel.shape[:-2], kernel.shape[-2], kernel.shape[-1] // groups
    images = x.reshape(math.prod(batch), *sizes, x.shape[-1])
    y = np.zeros((len(images), *out_sizes, writes * groups), np.result_type(x, kernel))
    for o in itertools.product(*map(range, sizes)):
        for k in itertools.product(*map(range, window)):
            place = tuple(strides[a] * o[a] + kernel_dilation[a] * k[a] - before[a] for a in range(ndim))
            if not all(0 <= p < n for p, n in zip(place, out_sizes, strict=True)):
                continue
            for g in range(groups):
                read = images[(slice(None), *o, slice(g * reads, (g + 1) * reads))]
                taps = kernel[(*k, slice(None), slice(g * reads, (g + 1) * reads))]
                y[(slice(None), *place, slice(g * writes, (g + 1) * writes))] += read @ taps.T
    return y.reshape(*batch, *out_sizes, writes * groups)
