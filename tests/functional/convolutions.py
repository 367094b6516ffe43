"""Random configurations of convolutions, for all files that test convolutions."""

import dataclasses
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.oracles import conv as oracle

MODES = ("zeros", "zeros", "reflect", "edge", "circular")


@dataclasses.dataclass(frozen=True)
class Convolution:
    """Two arrays, the options of the library, and the result of the loops."""

    x: np.ndarray
    kernel: np.ndarray
    options: dict[str, Any]

    def expected(self) -> np.ndarray:
        options = dict(self.options)
        flip, kernel = options.pop("flip_kernel"), self.kernel
        if flip:
            kernel = np.flip(kernel, tuple(range(kernel.ndim - 2)))
        return oracle.conv(
            self.x,
            kernel,
            pads=options.pop("padding"),
            groups=options.pop("feature_group_count"),
            mode=options.pop("padding_mode"),
            **options,
        )


@st.composite
def convolutions(draw: st.DrawFn, *, modes: tuple[str, ...] = MODES, ndims: tuple[int, ...] = (1, 2, 3)) -> Convolution:
    """Any number of axes, padding larger than the kernel or negative, strides with a remainder, groups, batch axes."""
    ndim, mode = draw(st.sampled_from(ndims)), draw(st.sampled_from(modes))
    axes = [_axis(draw, largest=(7, 4, 3)[ndim - 1]) for _ in range(ndim)]
    sizes, window, strides, spread, gaps, pads = (tuple(column) for column in zip(*axes, strict=True))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    reads, writes = draw(st.integers(1, 2)), draw(st.integers(1, 2)) * groups
    batch = draw(st.sampled_from([(), (2,), (2, 1)]))
    generator = np.random.default_rng(draw(st.integers(0, 10_000)))
    return Convolution(
        generator.standard_normal((*batch, *sizes, reads * groups)),
        generator.standard_normal((*window, reads, writes)),
        {
            "strides": strides,
            "padding": pads,
            "padding_mode": mode,
            "input_dilation": spread,
            "kernel_dilation": gaps,
            "feature_group_count": groups,
            "flip_kernel": draw(st.booleans()),
        },
    )


def _axis(draw: st.DrawFn, largest: int) -> tuple[Any, ...]:
    """Size, window, stride, both dilations and padding of one axis with at least one window position."""
    size, spread = draw(st.integers(1, largest)), draw(st.sampled_from([1, 1, 2, 3]))
    window, gap = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    before = draw(st.integers(-1, 5))
    missing = gap * (window - 1) + 1 - (spread * (size - 1) + 1) - before
    after = max(draw(st.integers(-1, 4)), missing)
    return size, window, draw(st.integers(1, 3)), spread, gap, (before, after)
