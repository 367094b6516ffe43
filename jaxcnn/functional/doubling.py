"""The best entry of each window of many taps, by combining the best of 1, 2, 4, ... taps."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._geometry import PoolAxis
from jaxcnn.functional.ordering import Order
from jaxcnn.functional.windows import on_axis, padded


@dataclasses.dataclass(frozen=True)
class Best:
    """The best of some taps at each position of one axis.

    Attributes:
        value: the entries.
        index: where the entries came from, when asked for.
        real: for each position of the axis, whether any tap so far reads the input. Plain integers decide this.
    """

    value: jax.Array
    index: jax.Array | None
    real: np.ndarray

    def sliced(self, at: int, start: int, stop: int, step: int = 1) -> "Best":
        """Some positions of the axis."""
        index = None if self.index is None else lax.slice_in_dim(self.index, start, stop, step, axis=at)
        return Best(lax.slice_in_dim(self.value, start, stop, step, axis=at), index, self.real[start:stop:step])

    def beaten_by(self, late: "Best", at: int, order: Order) -> "Best":
        """Position by position the better one, this one where they are equal."""
        take = order.beats(late.value, self.value)
        only_late = late.real & ~self.real  # padding gives way to an entry that is no better than it
        if only_late.any():
            take |= on_axis(only_late, at, take.ndim, jnp.bool_)
        index = None
        if self.index is not None and late.index is not None:
            index = jnp.where(take, late.index, self.index)
        return Best(jnp.where(take, late.value, self.value), index, self.real | late.real)


def best_by_doubling(
    x: jax.Array, index: jax.Array | None, axis: PoolAxis, at: int, order: Order
) -> tuple[jax.Array, jax.Array | None]:
    """The best of 1, 2, 4, ... taps from every start; two of them, which may overlap, make the window."""
    span = (axis.positions - 1) * axis.stride + 1
    length = span + axis.last
    best = Best(
        padded(x, axis, at, length, fill=order.worst(x.dtype)),
        None if index is None else padded(index, axis, at, length, fill=-1),
        np.array([axis.reads(entry - axis.before) for entry in range(length)]),
    )
    count = 1
    while 2 * count <= axis.window:
        shift = count * axis.dilation
        keep = best.real.size - shift
        best = best.sliced(at, 0, keep).beaten_by(best.sliced(at, shift, shift + keep), at, order)
        count *= 2
    shift = (axis.window - count) * axis.dilation
    late = best.sliced(at, shift, shift + span, axis.stride)
    best = best.sliced(at, 0, span, axis.stride).beaten_by(late, at, order)
    return best.value, best.index
