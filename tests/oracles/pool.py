"""Pools by loops over positions and taps, from the formulas; slow, and without code of the library."""

import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

Pads = Sequence[tuple[int, int]]


def positions(size: int, window: int, stride: int, dilation: int, pads: tuple[int, int], ceil_mode: bool) -> int:
    """Counts windows one by one: a window fits, or in ceil mode the previous one ended before the padded end."""
    before, after = pads
    span = dilation * (window - 1) + 1
    padded, count = size + before + after, 0
    while count * stride + span <= padded or (ceil_mode and (count - 1) * stride + span < padded):
        count += 1
    if ceil_mode and count > 1 and (count - 1) * stride >= size + before + min(after, 0):
        count -= 1
    return count


def windows(
    sizes: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
    pads: Pads,
    ceil_mode: bool,
) -> Iterator[tuple[tuple[int, ...], list[tuple[int, ...]], int]]:
    """Each output position with its input entries, in row-major order, and its number of taps before the overhang."""
    axes = list(zip(sizes, window, strides, dilation, pads, strict=True))
    counts = [positions(n, k, s, d, p, ceil_mode) for n, k, s, d, p in axes]
    for position in itertools.product(*map(range, counts)):
        reads, padded = [], 0
        for tap in itertools.product(*map(range, window)):
            at = tuple(o * s - p[0] + j * d for o, j, (_, _, s, d, p) in zip(position, tap, axes, strict=True))
            if all(i < n + p[1] for i, (n, _, _, _, p) in zip(at, axes, strict=True)):
                padded += 1
            if all(0 <= i < n + min(p[1], 0) for i, (n, _, _, _, p) in zip(at, axes, strict=True)):
                reads.append(at)
        yield position, reads, padded


def out_shape(sizes: Sequence[int], options: tuple) -> tuple[int, ...]:
    *_, (last, _, _) = windows(sizes, *options)
    return tuple(o + 1 for o in last)


def worst_value(dtype: np.dtype, sign: int) -> float:
    """The value that is never better than an entry."""
    if dtype.kind == "f":
        return -sign * np.inf
    return np.iinfo(dtype).min if sign > 0 else np.iinfo(dtype).max


def max_pool(x: np.ndarray, *options, sign: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The maxima of ``(*spatial, channels)`` and their flat positions, -1 where a window reads only padding."""
    sizes, channels = x.shape[:-1], x.shape[-1]
    shape = (*out_shape(sizes, options), channels)
    y, where = np.full(shape, worst_value(x.dtype, sign), x.dtype), np.full(shape, -1)
    for position, reads, _ in windows(sizes, *options):
        for c in range(channels):
            best = None
            for at in reads:
                value = x[(*at, c)]
                wins = best is None or (value > best if sign > 0 else value < best)
                if wins or value != value:
                    best = value
                    y[(*position, c)] = value
                    where[(*position, c)] = np.ravel_multi_index(at, sizes)
    return y, where


def max_pool_grad(x: np.ndarray, g: np.ndarray, *options, sign: int = 1) -> np.ndarray:
    """The gradient, in which each entry of ``g`` goes to the first maximum of its window."""
    _, where = max_pool(x, *options, sign=sign)
    grad = np.zeros((math.prod(x.shape[:-1]), x.shape[-1]))
    for position in np.ndindex(*g.shape):
        if where[position] >= 0:
            grad[where[position], position[-1]] += g[position]
    return grad.reshape(x.shape)


def avg_pool(x: np.ndarray, *options, count_include_pad: bool = False) -> np.ndarray:
    """Averages of ``(*spatial, channels)``; 0 where nothing is counted."""
    sizes = x.shape[:-1]
    y = np.zeros((*out_shape(sizes, options), x.shape[-1]))
    for position, reads, padded in windows(sizes, *options):
        count = padded if count_include_pad else len(reads)
        total = sum((x[at].astype(np.float64) for at in reads), np.zeros(x.shape[-1]))
        y[position] = total / max(count, 1)
    return y


def lp_pool(x: np.ndarray, p: float, *options) -> np.ndarray:
    """p-norms of ``(*spatial, channels)``."""
    sizes = x.shape[:-1]
    y = np.zeros((*out_shape(sizes, options), x.shape[-1]))
    for position, reads, _ in windows(sizes, *options):
        entries = np.array([np.abs(x[at].astype(np.float64)) for at in reads]).reshape(-1, x.shape[-1])
        if len(entries):
            y[position] = entries.max(0) if math.isinf(p) else (entries**p).sum(0) ** (1 / p)
    return y


def weighted_pool(x: np.ndarray, kernel: np.ndarray, *options) -> np.ndarray:
    """Sums of ``(*spatial, channels)`` with weights; ``options`` are those after the window."""
    strides, dilation, pads, _ = options
    sizes = x.shape[:-1]
    y = np.zeros((*out_shape(sizes, (kernel.shape, *options)), x.shape[-1]))
    for position, reads, _ in windows(sizes, kernel.shape, *options):
        for at in reads:
            axes = zip(at, position, strides, pads, dilation, strict=True)
            tap = tuple((i - (o * s - p[0])) // d for i, o, s, p, d in axes)
            y[position] += kernel[tap] * x[at].astype(np.float64)
    return y


def max_unpool(y: np.ndarray, indices: np.ndarray, output_shape: Sequence[int]) -> np.ndarray:
    """Writes the entries of ``(*pooled, channels)`` one after the other, so that the last one remains."""
    x = np.zeros((*output_shape, y.shape[-1]), y.dtype)
    for position in np.ndindex(*y.shape):
        if 0 <= indices[position] < math.prod(output_shape):
            x[(*np.unravel_index(indices[position], output_shape), position[-1])] = y[position]
    return x


def adaptive_pool(x: np.ndarray, output_size: Sequence[int], reduce) -> np.ndarray:
    """``reduce`` over the bins of ``(*spatial, channels)``; bins are found by fractions, not by integer division."""
    y = np.zeros((*output_size, x.shape[-1]))
    for position in np.ndindex(*output_size):
        cut = []
        for i, n, m in zip(position, x.shape[:-1], output_size, strict=True):
            edges = Fraction(i * n, m), Fraction((i + 1) * n, m)
            cut.append(slice(math.floor(edges[0]), math.ceil(edges[1])))
        y[position] = reduce(x[tuple(cut)].reshape(-1, x.shape[-1]).astype(np.float64), 0)
    return y
