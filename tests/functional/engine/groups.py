"""Random convolutions with groups, and loops over the groups for their two operations."""

import dataclasses

import numpy as np
from hypothesis import strategies as st

from jaxcnn._geometry import ConvGeometry
from tests.functional.engine.dense import dense_geometries, loop_forward, loop_kernel_grad


@st.composite
def depthwise_geometries(draw: st.DrawFn, *, input_dilations: tuple[int, ...] = (1, 2)) -> ConvGeometry:
    """One input channel per group, one to three output channels."""
    geometry, channels = draw(dense_geometries(input_dilations=input_dilations)), draw(st.integers(1, 5))
    multiplier = draw(st.sampled_from([1, 1, 2, 3]))
    return dataclasses.replace(geometry, in_channels=channels, out_channels=channels * multiplier, groups=channels)


@st.composite
def grouped_geometries(
    draw: st.DrawFn, *, ndims: tuple[int, ...] = (1, 2, 3), input_dilations: tuple[int, ...] = (1, 2)
) -> ConvGeometry:
    """Two to six groups of up to three channels on either side."""
    geometry, groups = draw(dense_geometries(ndims=ndims, input_dilations=input_dilations)), draw(st.integers(2, 6))
    reads, writes = groups * geometry.in_channels, groups * geometry.out_channels
    return dataclasses.replace(geometry, in_channels=reads, out_channels=writes, groups=groups)


def loop_grouped_forward(x: np.ndarray, kernel: np.ndarray, geometry: ConvGeometry) -> np.ndarray:
    """The dense loops for each group, concatenated."""
    one, pieces = geometry.group_block(1), (np.split(a, geometry.groups, -1) for a in (x, kernel))
    return np.concatenate([loop_forward(a, b, one) for a, b in zip(*pieces, strict=True)], -1)


def loop_grouped_kernel_grad(x: np.ndarray, g: np.ndarray, geometry: ConvGeometry) -> np.ndarray:
    """The dense loops for each group, concatenated."""
    one, pieces = geometry.group_block(1), (np.split(a, geometry.groups, -1) for a in (x, g))
    return np.concatenate([loop_kernel_grad(a, b, one) for a, b in zip(*pieces, strict=True)], -1)
