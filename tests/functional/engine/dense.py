"""Random dense convolutions, and loops for their two operations, for the tests of single algorithms."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from jax.sharding import PartitionSpec

from jaxcnn._geometry import ConvGeometry, conv_geometry
from jaxcnn.functional._engine._algorithms._algorithm import Algorithm
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan
from tests.oracles import conv as oracle


@st.composite
def dense_geometries(
    draw: st.DrawFn,
    *,
    ndims: tuple[int, ...] = (1, 2, 3),
    windows: tuple[int, ...] = (1, 2, 3, 4),
    strides: tuple[int, ...] = (1, 2, 3),
    input_dilations: tuple[int, ...] = (1, 2, 3),
    kernel_dilations: tuple[int, ...] = (1, 2, 3),
    largest: int = 9,
) -> ConvGeometry:
    """One batch axis and one group.

    Padding may be larger than the window or negative. Some geometries have fewer output positions than fit.
    """
    ndim = draw(st.sampled_from(ndims))
    columns = []
    for _ in range(ndim):
        size = draw(st.integers(1, max(largest // ndim, 3)))
        window, gap = draw(st.sampled_from(windows)), draw(st.sampled_from(kernel_dilations))
        spread = draw(st.sampled_from(input_dilations))
        before = draw(st.integers(-1, 4))
        missing = gap * (window - 1) - spread * (size - 1) - before
        after = max(draw(st.integers(-1, 4)), missing)
        columns.append((size, window, draw(st.sampled_from(strides)), spread, gap, (before, after)))
    sizes, window, steps, spreads, gaps, pads = (tuple(column) for column in zip(*columns, strict=True))
    reads, writes = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    geometry = conv_geometry(
        (draw(st.integers(1, 4)), *sizes, reads),
        (*window, reads, writes),
        strides=steps,
        padding=pads,
        input_dilation=spreads,
        kernel_dilation=gaps,
    )
    fewer = tuple(out - draw(st.integers(0, min(out - 1, 1))) for out in geometry.out_sizes)
    return dataclasses.replace(geometry, out_sizes=fewer)


def random_operands(geometry: ConvGeometry, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``x``, ``kernel`` and ``g`` in float32."""
    generator = np.random.default_rng(seed)
    shapes = geometry.x_shape, geometry.kernel_shape, geometry.out_shape
    x, kernel, g = (generator.standard_normal(shape).astype(np.float32) for shape in shapes)
    return x, kernel, g


def plan_of(geometry: ConvGeometry, dtype: Any = jnp.float32) -> ConvPlan:
    """The plan of a geometry with no options."""
    return ConvPlan(geometry=geometry, dtype=dtype)


def loop_forward(x: np.ndarray, kernel: np.ndarray, geometry: ConvGeometry) -> np.ndarray:
    """The formula in float64, limited to the requested output positions."""
    y = oracle.conv(x.astype(np.float64), kernel.astype(np.float64), **_steps(geometry))
    return y[(slice(None), *map(slice, geometry.out_sizes))]


def loop_kernel_grad(x: np.ndarray, g: np.ndarray, geometry: ConvGeometry) -> np.ndarray:
    """The formula in float64."""
    return oracle.conv_kernel_grad(x.astype(np.float64), g.astype(np.float64), geometry.window, **_steps(geometry))


def _steps(geometry: ConvGeometry) -> dict[str, Any]:
    return {
        "pads": geometry.pads,
        "strides": geometry.strides,
        "input_dilation": geometry.input_dilation,
        "kernel_dilation": geometry.kernel_dilation,
    }


def check(algorithm: Algorithm, geometry: ConvGeometry, operation: BaseOperation, tolerance: float = 1e-5) -> None:
    """Compares one operation with the loops, with a tolerance relative to the scale of the result."""
    assert algorithm.why_not(plan_of(geometry), operation) is None
    x, kernel, g = random_operands(geometry)
    if operation == "forward":
        expected = loop_forward(x, kernel, geometry)
        found = jax.jit(functools.partial(_forward, algorithm, geometry))(x, kernel)
    else:
        expected = loop_kernel_grad(x, g, geometry)
        found = jax.jit(functools.partial(_kernel_grad, algorithm, geometry))(x, g)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    scale = max(np.abs(expected).max(initial=0), 1.0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)


def check_inside_shard_map(algorithm: Algorithm, geometry: ConvGeometry, operation: BaseOperation) -> None:
    """The loops of an algorithm pass the checks of ``shard_map``; each of two devices has its own images."""
    halves = geometry.with_batch(2 * geometry.batch_shape[0])
    x, kernel, g = random_operands(halves)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:2])
    split, whole = PartitionSpec("data"), PartitionSpec()
    if operation == "forward":
        apply = functools.partial(_forward, algorithm, geometry)
        found = jax.jit(jax.shard_map(apply, mesh=mesh, in_specs=(split, whole), out_specs=split))(x, kernel)
        expected = loop_forward(x, kernel, halves)
    else:

        def summed(x: jax.Array, g: jax.Array) -> jax.Array:
            return jax.lax.psum(_kernel_grad(algorithm, geometry, x, g), "data")

        found = jax.jit(jax.shard_map(summed, mesh=mesh, in_specs=(split, split), out_specs=whole))(x, g)
        expected = loop_kernel_grad(x, g, halves)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


def _forward(algorithm: Algorithm, geometry: ConvGeometry, x: Any, kernel: Any) -> jax.Array:
    assert algorithm.forward is not None
    return algorithm.forward(x, kernel, plan_of(geometry))


def _kernel_grad(algorithm: Algorithm, geometry: ConvGeometry, x: Any, g: Any) -> jax.Array:
    assert algorithm.kernel_grad is not None
    return algorithm.kernel_grad(x, g, plan_of(geometry))
