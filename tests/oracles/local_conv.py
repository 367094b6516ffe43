"""Convolutions whose filter depends on the position, written as loops from equations 9.9 and 9.10 of Deep Learning."""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

Pairs = Sequence[tuple[int, int]]
NUMPY_MODES = {"zeros": "constant", "reflect": "reflect", "edge": "edge", "circular": "wrap"}


def unshared(
    x: np.ndarray,
    filter_at: Callable[[tuple[int, ...]], np.ndarray],
    *,
    strides: Sequence[int],
    pads: Pairs,
    padding_mode: str,
    input_dilation: Sequence[int],
    kernel_dilation: Sequence[int],
    groups: int,
    flip: bool,
) -> np.ndarray:
    """``filter_at(o)`` is the ``(*window, in // groups, out)`` filter of output ``o``; no padding count is negative."""
    ndim = len(strides)
    batch = x.shape[: -ndim - 1]
    spread = [(n - 1) * d + 1 for n, d in zip(x.shape[-ndim - 1 : -1], input_dilation, strict=True)]
    z = np.zeros((*batch, *spread, x.shape[-1]), x.dtype)
    z[(..., *(slice(None, None, d) for d in input_dilation), slice(None))] = x
    z = np.pad(z, [(0, 0)] * len(batch) + list(pads) + [(0, 0)], mode=NUMPY_MODES[padding_mode])
    first = filter_at((0,) * ndim)
    window, per_group, out = first.shape[:ndim], first.shape[-2], first.shape[-1]
    counts = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(z.shape[-ndim - 1 : -1], window, strides, kernel_dilation, strict=True)
    ]
    y = np.zeros((*batch, *counts, out), x.dtype)
    for o in product(*map(range, counts)):
        weights = filter_at(o)
        for k in product(*map(range, window)):
            place = [p * s + j * d for p, s, j, d in zip(o, strides, k, kernel_dilation, strict=True)]
            tap = tuple(n - 1 - j for n, j in zip(window, k, strict=True)) if flip else k
            for channel in range(out):
                group = channel // (out // groups)
                for i in range(per_group):
                    y[(..., *o, channel)] += z[(..., *place, group * per_group + i)] * weights[(*tap, i, channel)]
    return y


def local_conv(x: np.ndarray, kernel: np.ndarray, **options: object) -> np.ndarray:
    """``kernel`` is ``(*out_spatial, *window, in // groups, out)``."""
    return unshared(x, lambda o: kernel[o], **options)  # type: ignore[arg-type]
