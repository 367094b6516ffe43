"""Infinities, NaN and outliers reach only the outputs that depend on them, in every algorithm that ``auto`` may select.

Loops in float64 give the outputs that depend on an outlier, and the values of the other outputs.
"""

import functools
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxcnn
from jaxcnn._geometry import ConvGeometry, conv_geometry
from jaxcnn.functional._conv import conv
from jaxcnn.functional._engine._algorithms import ALGORITHMS
from jaxcnn.functional._engine._plan import BaseOperation
from jaxcnn.functional._explain import explain_conv
from tests.functional.engine.dense import plan_of, random_operands
from tests.functional.engine.groups import loop_grouped_forward, loop_grouped_kernel_grad

VALUES = [np.inf, np.nan, 1e6, -np.inf]
# Tolerances relative to the sum of the magnitudes of the products of an output. For minimal filtering, the largest
# magnitude of each tile replaces those of its entries.
TOLERANCE, TOLERANCE_OF_TILES = 3e-6, 3e-4

# Strides with a remainder, windows that are no multiple of the strides, border pixels that some taps do not read, rows
# that are no multiple of a block, and more and fewer groups than fit into a block.
LAYERS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "3x3": ((1, 7, 9, 2), (3, 3, 2, 3), {"padding": "VALID"}),
    "3x3 stride 2": ((2, 6, 5, 2), (3, 3, 2, 3), {"strides": 2}),
    "2x2 stride 2": ((1, 6, 5, 2), (2, 2, 2, 2), {"strides": 2, "padding": "VALID"}),
    "up by 2": ((1, 4, 3, 2), (3, 3, 2, 2), {"input_dilation": 2}),
    "5x5 on a small map": ((3, 4, 3, 2), (5, 5, 2, 3), {}),
    "1x1": ((2, 5, 4, 3), (1, 1, 3, 4), {"strides": 2}),
    "depthwise": ((2, 5, 7, 3), (3, 3, 1, 3), {"feature_group_count": 3, "padding": "VALID"}),
    "depthwise 5x5 stride 2": ((1, 7, 6, 2), (5, 5, 1, 4), {"feature_group_count": 2, "strides": 2}),
    "depthwise 13x10": ((1, 6, 7, 2), (13, 10, 1, 2), {"feature_group_count": 2}),
    "groups": ((1, 5, 6, 8), (3, 3, 2, 8), {"feature_group_count": 4}),
    "sound": ((2, 23, 3), (4, 3, 4), {"strides": 3, "padding": "VALID"}),
    "video": ((1, 4, 5, 4, 2), (3, 2, 2, 2, 2), {"strides": (1, 2, 1)}),
    "video in groups": ((1, 3, 4, 4, 4), (2, 2, 2, 2, 4), {"feature_group_count": 2}),
}
OPERATIONS = ("forward", "input_grad", "kernel_grad")


def _geometry(layer: str, operation: str) -> ConvGeometry:
    x_shape, kernel_shape, options = LAYERS[layer]
    geometry = conv_geometry(x_shape, kernel_shape, **options)
    return geometry.transposed() if operation == "input_grad" else geometry


def _cases() -> list[Any]:
    """Every algorithm with every operation of every layer that ``auto`` may select it for."""
    cases = [
        (name, layer, operation)
        for name, algorithm in ALGORITHMS.items()
        for layer in LAYERS
        for operation in OPERATIONS
        if algorithm.why_not_auto(plan_of(_geometry(layer, operation)), _base(operation)) is None
    ]
    # The default tier runs the last layer and operation of each algorithm.
    last = {name: (layer, operation) for name, layer, operation in cases}
    return [
        pytest.param(
            name,
            layer,
            operation,
            id=f"{name}-{layer}-{operation}",
            marks=() if (layer, operation) == last[name] else pytest.mark.gate,
        )
        for name, layer, operation in cases
    ]


def _base(operation: str) -> BaseOperation:
    return "kernel_grad" if operation == "kernel_grad" else "forward"


def _largest_of_tiles(x: np.ndarray) -> np.ndarray:
    """For each entry, the largest magnitude in any tile of 6 x 6 that may contain it."""
    x = np.abs(x)
    for axis in (1, 2):
        wide = np.pad(x, [(5, 5) if a == axis else (0, 0) for a in range(4)])
        x = np.max([np.take(wide, range(s, s + x.shape[axis]), axis) for s in range(11)], 0)
    return x


@pytest.mark.parametrize(("name", "layer", "operation"), _cases())
def test_an_outlier_reaches_only_what_reads_it(name: str, layer: str, operation: str) -> None:
    """The outlier is in the input, the kernel or the cotangent.

    In a kernel or cotangent, its products with the zeros of the padding may affect its channel.
    """
    geometry, base = _geometry(layer, operation), _base(operation)
    program = jax.jit(functools.partial(getattr(ALGORITHMS[name], base), plan=plan_of(geometry)))
    loops = loop_grouped_kernel_grad if base == "kernel_grad" else loop_grouped_forward
    tolerance, largest = TOLERANCE, np.abs
    if name == "winograd":
        tolerance, largest = TOLERANCE_OF_TILES, _largest_of_tiles
    x, kernel, g = random_operands(geometry)
    generator = np.random.default_rng(zlib.crc32(f"{name} {layer} {operation}".encode()))
    for value, which in zip(VALUES, (0, 1, 0, 0), strict=True):
        operands = [x.copy(), (g if base == "kernel_grad" else kernel).copy()]
        sizes = np.array(operands[which].shape)
        # The last outlier is at the border, which not every tap reads.
        place = tuple(sizes - 1) if value == -np.inf else tuple(generator.integers(sizes))
        hit = np.zeros_like(operands[which])
        operands[which][place], hit[place] = value, 1
        found = np.asarray(program(*operands), np.float64)
        marked = [np.ones_like(operand) for operand in operands]
        marked[which] = hit
        reads = loops(marked[0], marked[1], geometry) > 0
        finite = [np.where(np.isfinite(operand), operand, 0) for operand in operands]
        bound = tolerance * loops(largest(finite[0]), np.abs(finite[1]), geometry) + 1e-30
        exact = np.abs(found - loops(finite[0], finite[1], geometry)) <= bound
        if np.isfinite(value):
            assert exact.all()
            continue
        assert not np.isfinite(found[reads]).any()
        excused = reads | (np.arange(found.shape[-1]) == place[-1]) if which == 1 else reads
        assert exact[~excused].all()


def _ensemble(x: Any, kernels: Any) -> Any:
    """Values and both gradients of eight ensemble members."""

    def loss(x: jax.Array, kernel: jax.Array) -> jax.Array:
        y = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jnp.sum(y * jnp.cos(y))

    return jax.jit(jax.vmap(jax.value_and_grad(loss, (0, 1))))(x, kernels)


def _our_ensemble(x: Any, kernels: Any) -> Any:
    def loss(x: jax.Array, kernel: jax.Array) -> jax.Array:
        y = conv(x, kernel)
        return jnp.sum(y * jnp.cos(y))

    return jax.jit(jax.vmap(jax.value_and_grad(loss, (0, 1))))(x, kernels)


@pytest.mark.parametrize("run", [_our_ensemble, _ensemble], ids=["conv", "lax"])
@pytest.mark.gate
def test_one_member_of_an_ensemble_diverges(run: Any) -> None:
    """The values and gradients of the other members do not change, also under ``accelerate``."""
    assert explain_conv((2, 32, 32, 32), (3, 3, 4, 32), feature_group_count=8, platform="cpu").algorithm == "grouped"
    generator = np.random.default_rng(0)
    x = generator.standard_normal((8, 2, 32, 32, 4)).astype(np.float32)
    kernels = generator.standard_normal((8, 3, 3, 4, 4)).astype(np.float32)
    others = np.arange(8) != 3
    expected = _ensemble(x, kernels)
    # A copy: JAX may still read the memory of the original array.
    diverged = kernels.copy()
    diverged[3] = np.nan
    with jaxcnn.accelerate():
        found = run(x, diverged)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        scale = np.abs(np.asarray(theirs)).max()
        np.testing.assert_allclose(np.asarray(ours)[others], np.asarray(theirs)[others], atol=1e-4 * scale)
        assert np.isnan(np.asarray(ours)[3]).all()


def test_large_entries_that_the_transforms_would_overflow_on() -> None:
    """1e37 times the coefficients of minimal filtering is infinite, while the sum of products is finite."""
    geometry = conv_geometry((1, 8, 8, 2), (3, 3, 2, 2))
    x, kernel, _ = random_operands(geometry)
    x[0, 2, 2, 0] = 1e37
    kernel *= 0.1
    found = conv(x, kernel, algorithm="winograd")
    assert np.isfinite(found).all()
    far = found[0, 5:, 5:]
    np.testing.assert_allclose(far, loop_grouped_forward(x, kernel, geometry)[0, 5:, 5:], atol=1e-4)


def test_spectra_are_used_by_name_only() -> None:
    """A signal of 1e-3 with one entry of 1e6: outputs that do not depend on that entry are exact up to rounding."""
    generator = np.random.default_rng(0)
    x = (1e-3 * generator.standard_normal((1, 8192, 1))).astype(np.float32)
    x[0, 1000] = 1e6
    kernel = generator.standard_normal((513, 1, 1)).astype(np.float32)
    exact = np.convolve(x[0, :, 0].astype(float), kernel[::-1, 0, 0].astype(float), "same")
    quiet = slice(2000, None)
    assert np.abs(conv(x, kernel)[0, quiet, 0] - exact[quiet]).max() < 1e-6 * np.abs(exact[quiet]).max()
    candidates = explain_conv(x.shape, kernel.shape, platform="cpu").candidates
    why_not = next(candidate.why_not for candidate in candidates if candidate.algorithm == "fft")
    assert why_not is not None and "relative to the largest entry of the whole input" in why_not
