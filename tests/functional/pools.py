"""Random pools for the tests of the pooling functions: shapes, options, and inputs with many ties."""

import dataclasses
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.oracles import pool as oracle


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pool:
    """One call: the input of one example, and the options for the library and for the oracles."""

    x: np.ndarray
    window: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    ceil_mode: bool

    @property
    def options(self) -> dict[str, Any]:
        return {
            "strides": self.strides,
            "padding": self.pads,
            "window_dilation": self.dilation,
            "ceil_mode": self.ceil_mode,
        }

    @property
    def walk(self) -> tuple[Any, ...]:
        return self.window, self.strides, self.dilation, self.pads, self.ceil_mode


@st.composite
def pools(draw: st.DrawFn, *, long: bool = False) -> Pool:
    """Small images of one to three axes, or long rows with windows of many taps; some windows contain only padding."""
    ndim = 1 if long else draw(st.integers(1, 3))
    ceil_mode = draw(st.booleans())
    axes = []
    for _ in range(ndim):
        size = draw(st.integers(9, 36) if long else st.integers(1, 8 if ndim < 3 else 4))
        window = draw(st.integers(5, 15) if long else st.integers(1, 4))
        stride = draw(st.sampled_from([1, 2, window, window + 1]) if long else st.integers(1, 3))
        dilation = draw(st.integers(1, 2 if long else 3))
        pads = draw(st.tuples(st.integers(-1, 3), st.integers(-1, 3)))
        if size + sum(pads) < 1 or oracle.positions(size, window, stride, dilation, pads, ceil_mode) < 1:
            window, dilation, pads = 1, 1, (0, 0)
        axes.append((size, window, stride, dilation, pads))
    sizes, window, strides, dilation, pads = zip(*axes, strict=True)
    x = ties((*sizes, 2), seed=draw(st.integers(0, 2**32 - 1)))
    return Pool(x=x, window=window, strides=strides, dilation=dilation, pads=pads, ceil_mode=ceil_mode)


def ties(shape: tuple[int, ...], *, seed: int) -> np.ndarray:
    """Small integers as floats, clipped below like the output of a ReLU, with some entries ``-inf``."""
    generator = np.random.default_rng(seed)
    x = np.maximum(generator.integers(-3, 4, shape), generator.integers(-3, 1))
    return np.where(generator.random(shape) < generator.choice([0, 0.3]), -np.inf, x).astype(np.float32)
