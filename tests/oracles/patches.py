"""Windows by loops over every position and every entry."""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

Pairs = Sequence[tuple[int, int]]


def reads(
    sizes: Sequence[int], window: Sequence[int], strides: Sequence[int], pads: Pairs, dilation: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """Every ``(position, entry of the window, index in the input)`` with an index inside the input."""
    counts = [
        (n + sum(pad) - d * (k - 1) - 1) // s + 1
        for n, k, s, pad, d in zip(sizes, window, strides, pads, dilation, strict=True)
    ]
    for position in product(*map(range, counts)):
        for entry in product(*map(range, window)):
            place = tuple(
                o * s - pad[0] + j * d for o, j, s, pad, d in zip(position, entry, strides, pads, dilation, strict=True)
            )
            if all(0 <= at < n for at, n in zip(place, sizes, strict=True)):
                yield position, entry, place


def extract_patches(
    x: np.ndarray, window: Sequence[int], *, strides: Sequence[int], pads: Pairs, dilation: Sequence[int]
) -> np.ndarray:
    sizes = x.shape[-len(window) - 1 : -1]
    found = list(reads(sizes, window, strides, pads, dilation))
    counts = [
        (n + sum(pad) - d * (k - 1) - 1) // s + 1
        for n, k, s, pad, d in zip(sizes, window, strides, pads, dilation, strict=True)
    ]
    patches = np.zeros((*x.shape[: -len(window) - 1], *counts, *window, x.shape[-1]), x.dtype)
    for position, entry, place in found:
        patches[(..., *position, *entry, slice(None))] = x[(..., *place, slice(None))]
    return patches


def fold_patches(
    patches: np.ndarray,
    *,
    output_shape: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    pads: Pairs,
    dilation: Sequence[int],
) -> np.ndarray:
    x = np.zeros((*patches.shape[: -2 * len(window) - 1], *output_shape, patches.shape[-1]), patches.dtype)
    for position, entry, place in reads(output_shape, window, strides, pads, dilation):
        x[(..., *place, slice(None))] += patches[(..., *position, *entry, slice(None))]
    return x
