"""Strides or input dilation as channels, so that a convolution with strides of 1 remains.

A convolution of stride ``s`` reads ``s`` interleaved inputs (phases), each with a stride of 1: as channels (space to
depth) they make one convolution whose window is ``s`` times shorter. A convolution of a dilated input writes ``s``
interleaved outputs: it is one convolution of the input before dilation, with the phases as output channels (depth to
space). The only zeros that are multiplied are those that round the window up to a multiple of ``s``. A window of the
size of the stride leaves one position, and so a matrix product.
"""

import dataclasses
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional._engine._algorithms import _im2col, _matmul, _xla
from jaxcnn.functional._engine._algorithms._algorithm import Algorithm
from jaxcnn.functional._engine._algorithms._counts import count_dense, why_not_dense
from jaxcnn.functional._engine._algorithms._finite import recompute_unless_finite
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan


def forward(x: jax.Array, kernel: jax.Array, plan: ConvPlan) -> jax.Array:
    """By phases of the input if there are strides, by phases of the output if the input is dilated."""
    geometry = plan.geometry
    if max(geometry.strides) > 1:
        inner = plan.with_geometry(folded(geometry))
        y = _dense(inner).forward(fold_input(x, geometry), fold_kernel(kernel, geometry), inner)
    else:
        unfolded_geometry, firsts = unfolded(geometry)
        inner = plan.with_geometry(unfolded_geometry)
        y = _dense(inner).forward(x, _phase_kernel(kernel, geometry, unfolded_geometry, firsts), inner)
        y = _interleave(y, geometry)
    if not _adds_zeros(geometry) or not jnp.issubdtype(y.dtype, jnp.inexact):
        return y
    # Every output channel multiplies the same entries by the zeros that round the window up.
    return recompute_unless_finite(y, y[..., 0], lambda _, x, kernel: _xla.forward(x, kernel, plan), x, kernel)


def _adds_zeros(geometry: ConvGeometry) -> bool:
    """Whether the window must be rounded up."""
    if max(geometry.strides) > 1:
        return any(w % s for w, s in zip(geometry.window, geometry.strides, strict=True))
    inner, firsts = unfolded(geometry)
    return any(pads != (0, 0) for pads in _phase_pads(geometry, inner, firsts))


def kernel_grad(x: jax.Array, g: jax.Array, plan: ConvPlan) -> jax.Array:
    """The gradient of the folded kernel, without the positions that were added to round the window up."""
    inner = plan.with_geometry(folded(plan.geometry))
    algorithm = _matmul if max(inner.geometry.window) == 1 else _im2col
    return unfold_kernel(algorithm.kernel_grad(fold_input(x, plan.geometry), g, inner), plan.geometry)


def _dense(inner: ConvPlan) -> Any:
    return _matmul if max(inner.geometry.window) == 1 else _xla


# ------------------------------------------------------------------------------------------- phases of the input


def folded(geometry: ConvGeometry) -> ConvGeometry:
    """The convolution with strides of 1 over the phases of the padded input."""
    window = tuple(-(-w // s) for w, s in zip(geometry.window, geometry.strides, strict=True))
    ones = (1,) * geometry.ndim
    return dataclasses.replace(
        geometry,
        sizes=tuple(out + w - 1 for out, w in zip(geometry.out_sizes, window, strict=True)),
        in_channels=geometry.in_channels * prod(geometry.strides),
        window=window,
        strides=ones,
        pads=((0, 0),) * geometry.ndim,
    )


def fold_input(x: jax.Array, geometry: ConvGeometry) -> jax.Array:
    """``(n, s * h, s * w, c)`` of the padded input to ``(n, h, w, s * s * c)``."""
    inner = folded(geometry)
    long = [m * s for m, s in zip(inner.sizes, geometry.strides, strict=True)]
    pads = [(b, n - size - b, 0) for n, size, (b, _) in zip(long, geometry.sizes, geometry.pads, strict=True)]
    z = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *pads, (0, 0, 0)])
    return _to_channels(z, 1, inner.sizes, geometry.strides)


def fold_kernel(kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    """The kernel of the folded convolution: its window rounded up with zeros, the phases as channels."""
    window = folded(geometry).window
    pads = [(0, w * s - k, 0) for w, s, k in zip(window, geometry.strides, geometry.window, strict=True)]
    full = lax.pad(kernel, jnp.zeros((), kernel.dtype), [*pads, (0, 0, 0), (0, 0, 0)])
    split = lax.reshape(full, (*_pairs(window, geometry.strides), *kernel.shape[-2:]))
    ndim = geometry.ndim
    order = (*range(0, 2 * ndim, 2), *range(1, 2 * ndim, 2), 2 * ndim, 2 * ndim + 1)
    return lax.reshape(lax.transpose(split, order), folded(geometry).kernel_shape)


def unfold_kernel(dk: jax.Array, geometry: ConvGeometry) -> jax.Array:
    """The transpose of ``fold_kernel``."""
    window, ndim = folded(geometry).window, geometry.ndim
    split = lax.reshape(dk, (*window, *geometry.strides, geometry.in_channels, geometry.out_channels))
    order = tuple(axis for pair in zip(range(ndim), range(ndim, 2 * ndim), strict=True) for axis in pair)
    full = lax.transpose(split, (*order, 2 * ndim, 2 * ndim + 1))
    long = tuple(w * s for w, s in zip(window, geometry.strides, strict=True))
    full = lax.reshape(full, (*long, geometry.in_channels, geometry.out_channels))
    return lax.slice(full, (0,) * full.ndim, geometry.kernel_shape)


def _to_channels(z: jax.Array, batch: int, sizes: tuple[int, ...], steps: tuple[int, ...]) -> jax.Array:
    ndim = len(sizes)
    split = lax.reshape(z, (*z.shape[:batch], *_pairs(sizes, steps), z.shape[-1]))
    last = batch + 2 * ndim
    order = (*range(batch), *range(batch, last, 2), *range(batch + 1, last, 2), last)
    return lax.reshape(lax.transpose(split, order), (*z.shape[:batch], *sizes, prod(steps) * z.shape[-1]))


def _pairs(sizes: tuple[int, ...], steps: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(entry for pair in zip(sizes, steps, strict=True) for entry in pair)


# ------------------------------------------------------------------------------------------ phases of the output


def unfolded(geometry: ConvGeometry) -> tuple[ConvGeometry, tuple[int, ...]]:
    """The convolution of the input before dilation, one output channel per phase, and the first entry of its windows.

    Position ``D * a + r`` reads entry ``m`` of the input through tap ``k = D * m - (D * a + r) + before``. Over all
    phases ``r`` these ``m - a`` run from ``first = ceil(-before / D)`` to ``(window - 1 + D - 1 - before) // D``.
    """
    columns = zip(
        geometry.sizes, geometry.out_sizes, geometry.window, geometry.input_dilation, geometry.pads, strict=True
    )
    window, pads, outs, firsts = [], [], [], []
    for size, out, taps, step, (before, _) in columns:
        first, last = -(before // step), (taps + step - 2 - before) // step
        positions = -(-out // step)
        window.append(last - first + 1)
        pads.append((-first, positions + last - size))
        outs.append(positions)
        firsts.append(first)
    inner = dataclasses.replace(
        geometry,
        window=tuple(window),
        out_channels=prod(geometry.input_dilation) * geometry.out_channels,
        pads=tuple(pads),
        input_dilation=(1,) * geometry.ndim,
        out_sizes=tuple(outs),
    )
    return inner, tuple(firsts)


def _phase_kernel(kernel: jax.Array, geometry: ConvGeometry, inner: ConvGeometry, firsts: tuple[int, ...]) -> jax.Array:
    """``kernel[D * (j + first) - r + before]`` at window position ``j`` of phase ``r``, zero outside.

    In reverse order of the phases the indices are consecutive, so one padding and one reshape suffice.
    """
    ndim, steps = geometry.ndim, geometry.input_dilation
    pads = [(before, after, 0) for before, after in _phase_pads(geometry, inner, firsts)]
    full = lax.pad(kernel, jnp.zeros((), kernel.dtype), [*pads, (0, 0, 0), (0, 0, 0)])
    split = lax.reshape(full, (*_pairs(inner.window, steps), *kernel.shape[-2:]))
    split = lax.rev(split, range(1, 2 * ndim, 2))
    order = (*range(0, 2 * ndim, 2), 2 * ndim, *range(1, 2 * ndim, 2), 2 * ndim + 1)
    return lax.reshape(lax.transpose(split, order), inner.kernel_shape)


def _phase_pads(geometry: ConvGeometry, inner: ConvGeometry, firsts: tuple[int, ...]) -> list[tuple[int, int]]:
    """The zeros before and after the taps of each axis that make every phase as long as the longest."""
    pads = []
    for taps, step, (before, _), first, count in zip(
        geometry.window, geometry.input_dilation, geometry.pads, firsts, inner.window, strict=True
    ):
        low = step - 1 - step * first - before
        pads.append((low, count * step - taps - low))
    return pads


def _interleave(y: jax.Array, geometry: ConvGeometry) -> jax.Array:
    """``(n, h, w, D * D * c)`` to ``(n, D * h, D * w, c)``, then the positions of the geometry."""
    ndim, steps = geometry.ndim, geometry.input_dilation
    sizes = y.shape[1:-1]
    split = lax.reshape(y, (*y.shape[:-1], *steps, geometry.out_channels))
    order = tuple(axis for pair in zip(range(1, 1 + ndim), range(1 + ndim, 1 + 2 * ndim), strict=True) for axis in pair)
    whole = lax.transpose(split, (0, *order, 1 + 2 * ndim))
    long = tuple(n * s for n, s in zip(sizes, steps, strict=True))
    whole = lax.reshape(whole, (y.shape[0], *long, geometry.out_channels))
    return lax.slice(whole, (0,) * whole.ndim, geometry.out_shape)


def _unsupported(plan: ConvPlan, operation: BaseOperation) -> str | None:
    """Supports one group over one or two axes with strides or a dilated input, not both, and no dilated kernel."""
    geometry = plan.geometry
    strided, dilated = max(geometry.strides) > 1, max(geometry.input_dilation) > 1
    if geometry.ndim > 2:
        return f"it requires at most 2 spatial axes, and there are {geometry.ndim}"
    if max(geometry.kernel_dilation) > 1:
        return "it requires a kernel without dilation"
    if strided == dilated:
        return "it requires either strides or a dilated input"
    if dilated and operation == "kernel_grad":
        return "it requires strides for a kernel gradient"
    return why_not_dense(geometry)


def _estimate(plan: ConvPlan, operation: BaseOperation) -> float:
    """Of the inner convolution, and of the copies that interleave, which are slow for fewer channels than a vector."""
    geometry = plan.geometry
    inner = folded(geometry) if max(geometry.strides) > 1 else unfolded(geometry)[0]
    n, single = count_dense(inner), max(inner.window) == 1
    folding = 2.8e-9 * prod(inner.x_shape) / min(geometry.in_channels, 16)
    if operation == "kernel_grad":
        rows = 5.5e-10 * n.entries * (not single)
        return folding + 3e-5 + 1.14e-11 * n.products + rows + 4.5e-10 * n.positions * n.out_channels
    packed = (4.4e-11 if geometry.ndim > 1 else 1e-10) * n.entries * (not single)
    seconds = 8e-5 + 1.05e-11 * n.products + packed + 9e-11 * n.arrays
    if max(geometry.strides) > 1:
        seconds += folding
    elif geometry.out_channels < 16:
        seconds += 5.5e-9 * prod(geometry.out_shape) / geometry.out_channels
    return seconds


ALGORITHM = Algorithm(
    name="phases", unsupported=_unsupported, estimate=_estimate, forward=forward, kernel_grad=kernel_grad
)
