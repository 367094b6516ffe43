"""Convolutions by loops over positions and taps, from the formula, for any number of axes."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

Pairs = Sequence[tuple[int, int]]


def outside(position: int, size: int, mode: str) -> int | None:
    """The position that is read in place of one outside of ``size`` entries, found step by step; None is a zero."""
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


def places(
    sizes: Sequence[int],
    outs: Sequence[int],
    window: Sequence[int],
    *,
    pads: Pairs,
    strides: Sequence[int],
    input_dilation: Sequence[int],
    kernel_dilation: Sequence[int],
    mode: str = "zeros",
) -> list[list[list[int | None]]]:
    """For each axis, output position and tap, the index of the entry of ``x`` that is read; None is a zero."""

    def entry(axis: int, o: int, k: int) -> int | None:
        dilation, length = input_dilation[axis], max((sizes[axis] - 1) * input_dilation[axis] + 1, 0)
        found = outside(strides[axis] * o + kernel_dilation[axis] * k - pads[axis][0], length, mode)
        # Between the entries of a dilated input are zeros.
        return None if found is None or found % dilation else found // dilation

    return [[[entry(axis, o, k) for k in range(window[axis])] for o in range(out)] for axis, out in enumerate(outs)]


def reads(table: list[list[list[int | None]]], outs: Sequence[int], window: Sequence[int]) -> Iterator[tuple]:
    """Every output position and tap that reads an entry, with the index of the entry."""
    for o in itertools.product(*map(range, outs)):
        for k in itertools.product(*map(range, window)):
            place = [axis[i][j] for axis, i, j in zip(table, o, k, strict=True)]
            if None not in place:
                yield o, k, place


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
    window, per_group, writes = kernel.shape[:-2], kernel.shape[-2], kernel.shape[-1] // groups
    lengths = [max((n - 1) * d + 1, 0) for n, d in zip(sizes, input_dilation, strict=True)]
    outs = [
        (length + before + after - (w - 1) * d - 1) // s + 1
        for length, (before, after), w, d, s in zip(lengths, pads, window, kernel_dilation, strides, strict=True)
    ]
    steps = {"strides": strides, "input_dilation": input_dilation, "kernel_dilation": kernel_dilation}
    table = places(sizes, outs, window, pads=pads, mode=mode, **steps)
    images = x.reshape(math.prod(batch), *sizes, x.shape[-1])
    y = np.zeros((len(images), *outs, kernel.shape[-1]), np.result_type(x, kernel))
    for o, k, place in reads(table, outs, window):
        for g in range(groups):
            read = images[(slice(None), *place, slice(g * per_group, (g + 1) * per_group))]
            y[(slice(None), *o, slice(g * writes, (g + 1) * writes))] += (
                read @ kernel[(*k, slice(None), slice(g * writes, (g + 1) * writes))]
            )
    return y.reshape(*batch, *outs, kernel.shape[-1])


def conv_kernel_grad(x: np.ndarray, g: np.ndarray, window: Sequence[int], **steps: Any) -> np.ndarray:
    """``dk[k, i, c] = sum over n and o of z[n, strides * o + dilation * k - before, i] * g[n, o, c]``."""
    outs = g.shape[1:-1]
    dk = np.zeros((*window, x.shape[-1], g.shape[-1]), np.result_type(x, g))
    for o, k, place in reads(places(x.shape[1:-1], outs, window, **steps), outs, window):
        dk[k] += x[(slice(None), *place)].T @ g[(slice(None), *o)]
    return dk


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
