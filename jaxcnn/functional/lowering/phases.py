"""Strides folded into channels, so that what is left is a convolution in single steps.

A convolution of stride ``s`` reads ``s`` interleaved inputs (phases), each in single steps: laid out as channels
(space to depth) they make one convolution of a window ``s`` times shorter. The way back, whose input would be dilated
with zeros, writes ``s`` interleaved outputs: one convolution of the input as it is, with the phases as output channels
(depth to space). No zero is multiplied but for those that round the window up to a multiple of ``s``. A window as long
as its stride leaves one position, so a matrix product.
"""

import dataclasses
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional.lowering import im2col, matmul, xla
from jaxcnn.functional.lowering.counts import count_dense, why_not_dense
from jaxcnn.functional.lowering.isolation import recompute_unless_finite
from jaxcnn.functional.lowering.lowering import Lowering, Operation


def forward(
    x: jax.Array, kernel: jax.Array, geometry: ConvGeometry, *, precision: Any, preferred_element_type: Any
) -> jax.Array:
    """By phases of the input where there are strides, by phases of the output where the input is dilated."""
    options = {"precision": precision, "preferred_element_type": preferred_element_type}
    if max(geometry.strides) > 1:
        inner = folded(geometry)
        y = _dense(inner).forward(fold_input(x, geometry), fold_kernel(kernel, geometry), inner, **options)
    else:
        inner, firsts = unfolded(geometry)
        y = _dense(inner).forward(x, _phase_kernel(kernel, geometry, inner, firsts), inner, **options)
        y = _interleave(y, geometry)
    if not _adds_zeros(geometry) or not jnp.issubdtype(y.dtype, jnp.inexact):
        return y
    # Every output channel multiplies the same entries by the zeros that round the window up.
    return recompute_unless_finite(
        y, y[..., 0], lambda _, x, kernel: xla.forward(x, kernel, geometry, **options), x, kernel
    )


def _adds_zeros(geometry: ConvGeometry) -> bool:
    """Whether the window has to be rounded up."""
    if max(geometry.strides) > 1:
        return any(w % s for w, s in zip(geometry.window, geometry.strides, strict=True))
    inner, firsts = unfolded(geometry)
    return any(pads != (0, 0) for pads in _phase_pads(geometry, inner, firsts))


def kernel_grad(x: jax.Array, g: jax.Array, geometry: ConvGeometry, *, precision: Any) -> jax.Array:
    """The gradient of the folded kernel, of which the positions that rounding added are dropped."""
    inner = folded(geometry)
    by = matmul if max(inner.window) == 1 else im2col
    dk = by.kernel_grad(fold_input(x, geometry), g, inner, precision=precision)
    return unfold_kernel(dk, geometry)


def _dense(inner: ConvGeometry) -> Any:
    return matmul if max(inner.window) == 1 else xla


# ------------------------------------------------------------------------------------------- phases of the input


def folded(geometry: ConvGeometry) -> ConvGeometry:
    """The convolution in single steps over the phases of the padded input."""
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
    """The kernel of the folded convolution: its window rounded up with zeros, and the phases in its channels."""
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


def _to_channels(z: jax.Array, lead: int, sizes: tuple[int, ...], steps: tuple[int, ...]) -> jax.Array:
    ndim = len(sizes)
    split = lax.reshape(z, (*z.shape[:lead], *_pairs(sizes, steps), z.shape[-1]))
    order = (*range(lead), *range(lead, lead + 2 * ndim, 2), *range(lead + 1, lead + 2 * ndim, 2), lead + 2 * ndim)
    return lax.reshape(lax.transpose(split, order), (*z.shape[:lead], *sizes, prod(steps) * z.shape[-1]))


def _pairs(sizes: tuple[int, ...], steps: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(entry for pair in zip(sizes, steps, strict=True) for entry in pair)


# ------------------------------------------------------------------------------------------ phases of the output


def unfolded(geometry: ConvGeometry) -> tuple[ConvGeometry, tuple[int, ...]]:
    """The convolution of the input before dilation, one output channel per phase, and where its windows begin.

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

    Counting phases backwards the index runs in single steps, so one padding and one reshape do it.
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
    """``(n, h, w, D * D * c)`` to ``(n, D * h, D * w, c)``, cut to the size asked for."""
    ndim, steps = geometry.ndim, geometry.input_dilation
    sizes = y.shape[1:-1]
    split = lax.reshape(y, (*y.shape[:-1], *steps, geometry.out_channels))
    order = tuple(axis for pair in zip(range(1, 1 + ndim), range(1 + ndim, 1 + 2 * ndim), strict=True) for axis in pair)
    whole = lax.transpose(split, (0, *order, 1 + 2 * ndim))
    long = tuple(n * s for n, s in zip(sizes, steps, strict=True))
    whole = lax.reshape(whole, (y.shape[0], *long, geometry.out_channels))
    return lax.slice(whole, (0,) * whole.ndim, geometry.out_shape)


def _unserved(geometry: ConvGeometry, dtype: Any, operation: Operation) -> str | None:
    """Serves one group over one or two axes with strides or a dilated input, not both, and no dilated kernel."""
    strided, dilated = max(geometry.strides) > 1, max(geometry.input_dilation) > 1
    if geometry.ndim > 2:
        return f"it wants at most 2 spatial axes, and there are {geometry.ndim}"
    if max(geometry.kernel_dilation) > 1:
        return "it wants neighbouring taps, and the kernel is dilated"
    if strided == dilated:
        return "it wants either strides or a dilated input"
    if dilated and operation == "kernel_grad":
        return "it wants strides for a kernel gradient"
    return why_not_dense(geometry)


def _estimate(geometry: ConvGeometry, dtype: Any, operation: Operation) -> float:
    """Of the inner convolution, and of the copies that interleave; pieces of fewer channels than a vector are slow."""
    inner = folded(geometry) if max(geometry.strides) > 1 else unfolded(geometry)[0]
    n, single = count_dense(inner), max(inner.window) == 1
    folding = 2.8e-9 * prod(inner.x_shape) / min(geometry.in_channels, 16)
    if operation == "kernel_grad":
        return (
            folding
            + 3e-5
            + 1.14e-11 * n.products
            + 5.5e-10 * n.entries * (not single)
            + 4.5e-10 * n.positions * n.writes
        )
    seconds = 8e-5 + 1.05e-11 * n.products + 4.4e-11 * n.entries * (not single) + 9e-11 * n.arrays
    if max(geometry.strides) > 1:
        seconds += folding
    elif geometry.out_channels < 16:
        seconds += 5.5e-9 * prod(geometry.out_shape) / geometry.out_channels
    return seconds


LOWERING = Lowering(name="phases", unserved=_unserved, estimate=_estimate, forward=forward, kernel_grad=kernel_grad)
