"""Padding with zeros, or with entries that are reflected, repeated or wrapped round, and its adjoint."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._geometry import Pads, boundary_runs, dilated_size


def dilate_and_pad(
    x: jax.Array, pads: Pads, *, input_dilation: tuple[int, ...] | None = None, padding_mode: str = "zeros"
) -> jax.Array:
    """Puts zeros between the entries of the spatial axes, then pads them; negative counts crop.

    Each padded axis is a concatenation of slices, so that derivatives and sharded batch axes are supported. The spatial
    axes are the ``len(pads)`` axes before the last.
    """
    first = x.ndim - 1 - len(pads)
    gaps = [0 if input_dilation is None else d - 1 for d in input_dilation or (1,) * len(pads)]
    zero = jnp.zeros((), x.dtype)
    outer = [(0, 0, 0)] * first
    if padding_mode == "zeros":
        spatial = [(before, after, gap) for (before, after), gap in zip(pads, gaps, strict=True)]
        unchanged = all(config == (0, 0, 0) for config in spatial)
        return x if unchanged else lax.pad(x, zero, [*outer, *spatial, (0, 0, 0)])
    if any(gaps):
        x = lax.pad(x, zero, [*outer, *((0, 0, gap) for gap in gaps), (0, 0, 0)])
    for axis, entry in enumerate(pads, start=first):
        if entry != (0, 0):
            x = _concatenate_runs(x, axis, boundary_runs(x.shape[axis], entry, padding_mode=padding_mode))
    return x


def _concatenate_runs(x: jax.Array, axis: int, runs: list[tuple[int, int, int]]) -> jax.Array:
    """Concatenates ``(start, step, count)`` runs of one axis; the step is 1, -1, or 0 for one entry repeated."""
    pieces = []
    for start, step, count in runs:
        if step == 0:
            shape = list(x.shape)
            shape[axis] = count
            pieces.append(jnp.broadcast_to(lax.slice_in_dim(x, start, start + 1, axis=axis), shape))
        elif step == 1:
            pieces.append(lax.slice_in_dim(x, start, start + count, axis=axis))
        else:
            pieces.append(lax.rev(lax.slice_in_dim(x, start - count + 1, start + 1, axis=axis), (axis,)))
    return lax.concatenate(pieces, axis)


def dilate_and_pad_adjoint(
    g: jax.Array,
    sizes: tuple[int, ...],
    pads: Pads,
    *,
    input_dilation: tuple[int, ...] | None = None,
    padding_mode: str = "zeros",
) -> jax.Array:
    """The cotangent of the array before padding: each entry is the sum over its copies."""
    first = g.ndim - 1 - len(pads)
    dilation = input_dilation or (1,) * len(pads)
    for axis, (size, entry, step) in enumerate(zip(sizes, pads, dilation, strict=True), start=first):
        length = dilated_size(size, step)
        if entry != (0, 0):
            runs = [(-entry[0], 1, length + sum(entry))]
            if padding_mode != "zeros":
                runs = boundary_runs(length, entry, padding_mode=padding_mode)
            g = _gather_runs(g, axis, length, runs)
        g = lax.slice_in_dim(g, 0, length, stride=step, axis=axis)
    return g


def _gather_runs(g: jax.Array, axis: int, length: int, runs: list[tuple[int, int, int]]) -> jax.Array:
    """The adjoint of ``_concatenate_runs``: each run is added to the positions that it was read from."""
    placed, offset = [], 0
    for start, step, count in runs:
        piece = lax.slice_in_dim(g, offset, offset + count, axis=axis)
        offset += count
        if step == 0:
            piece, low = jnp.sum(piece, axis, keepdims=True), start
        elif step == 1:
            low = start
        else:
            piece, low = lax.rev(piece, (axis,)), start - count + 1
        config = [(0, 0, 0)] * g.ndim
        config[axis] = (low, length - low - piece.shape[axis], 0)
        placed.append(lax.pad(piece, jnp.zeros((), g.dtype), config))
    return functools.reduce(jnp.add, placed)
