"""Padding with what is there already: reflected, repeated or wrapped round."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.shapes.boundary import boundary_runs
from jaxcnn.shapes.padding import Pads


def dilate_and_pad(
    x: jax.Array, pads: Pads, *, input_dilation: tuple[int, ...] | None = None, padding_mode: str = "zeros"
) -> jax.Array:
    """Puts zeros between the entries of the spatial axes, then pads them; negative counts crop.

    Each padded axis is slices of the input laid end to end, so that derivatives and sharded batch axes go through.
    The spatial axes are those before the last, as many as ``pads`` has entries.
    """
    first = x.ndim - 1 - len(pads)
    gaps = [0 if input_dilation is None else d - 1 for d in input_dilation or (1,) * len(pads)]
    zero = jnp.zeros((), x.dtype)
    outer = [(0, 0, 0)] * first
    if padding_mode == "zeros":
        spatial = [(before, after, gap) for (before, after), gap in zip(pads, gaps, strict=True)]
        return lax.pad(x, zero, [*outer, *spatial, (0, 0, 0)])
    if any(gaps):
        x = lax.pad(x, zero, [*outer, *((0, 0, gap) for gap in gaps), (0, 0, 0)])
    for axis, entry in enumerate(pads, start=first):
        if entry != (0, 0):
            x = _lay_runs(x, axis, boundary_runs(x.shape[axis], entry, padding_mode=padding_mode))
    return x


def _lay_runs(x: jax.Array, axis: int, runs: list[tuple[int, int, int]]) -> jax.Array:
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
