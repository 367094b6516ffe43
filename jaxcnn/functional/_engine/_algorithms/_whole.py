"""One matrix product of whole maps, for convolutions in which every output reads every input.

The last maps of a network may be smaller than their windows, such as 3x3 windows on maps of 2x2 or 1x1 pixels. XLA:CPU
then exchanges image and kernel, and computes the images of the batch as output channels in a loop without vectors. A
window that covers the map is a dense layer whose matrix has, for each pair of positions, the part of the kernel that
joins them. Taps that read only padding are in none of these parts, so fewer products are computed as well.
"""

import itertools
from math import prod

import jax
from jax import lax

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional._engine._algorithms._algorithm import Algorithm
from jaxcnn.functional._engine._algorithms._counts import why_not_dense
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan

MOST_PAIRS = 64  # of an input and an output position, each of which is a copy of a part of the kernel


def forward(x: jax.Array, kernel: jax.Array, plan: ConvPlan) -> jax.Array:
    """``y[n, o] = sum over i of x[n, i] kernel[tap that joins i and o]`` as one product of matrices."""
    geometry = plan.geometry
    y = lax.dot_general(
        lax.reshape(x, (x.shape[0], prod(x.shape[1:]))),
        _matrix(kernel, geometry),
        (((1,), (0,)), ((), ())),
        precision=plan.precision,
        preferred_element_type=plan.preferred_element_type,
    )
    return lax.reshape(y, geometry.out_shape)


def _matrix(kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    """The kernel as a matrix of whole maps, ``(entries of x, entries of y)``."""
    taps = [_taps(geometry, axis) for axis in range(geometry.ndim)]
    inputs, outputs = (list(itertools.product(*map(range, sizes))) for sizes in (geometry.sizes, geometry.out_sizes))
    joined = [[tuple(line[i][o] for line, i, o in zip(taps, at, to, strict=True)) for to in outputs] for at in inputs]
    if joined == [[tap] for tap in itertools.product(*map(range, geometry.window))]:
        return lax.reshape(kernel, (prod(kernel.shape[:-1]), kernel.shape[-1]))
    rows = []
    for row in joined:
        assert not any(None in tap for tap in row)
        rows.append(lax.concatenate([kernel[tap] for tap in row], 1))
    return lax.concatenate(rows, 0)


def _taps(geometry: ConvGeometry, axis: int) -> list[list[int | None]]:
    """For each input and output position of an axis the tap of the window that joins them, None if there is none."""
    before, step, gap = geometry.pads[axis][0], geometry.strides[axis], geometry.kernel_dilation[axis]
    found: list[list[int | None]] = []
    for i in range(geometry.sizes[axis]):
        places = [i * geometry.input_dilation[axis] + before - step * o for o in range(geometry.out_sizes[axis])]
        inside = [0 <= place < geometry.reaches[axis] and place % gap == 0 for place in places]
        found.append([place // gap if is_read else None for place, is_read in zip(places, inside, strict=True)])
    return found


def _unsupported(plan: ConvPlan, operation: BaseOperation) -> str | None:
    """Supports one group, few positions, and windows that cover the map wherever they are."""
    geometry = plan.geometry
    if (why_not := why_not_dense(geometry)) is not None:
        return why_not
    pairs = prod(geometry.sizes) * prod(geometry.out_sizes)
    if pairs > MOST_PAIRS:
        return f"it requires at most {MOST_PAIRS} pairs of an input and an output position, and there are {pairs}"
    if any(None in line for axis in range(geometry.ndim) for line in _taps(geometry, axis)):
        return "it requires that every output reads every input"
    return None


def _estimate(plan: ConvPlan, operation: BaseOperation) -> float:
    """The products, and the copies of the kernel."""
    geometry = plan.geometry
    entries = prod(geometry.sizes) * prod(geometry.out_sizes) * geometry.in_channels * geometry.out_channels
    return 9e-5 + (9.3e-12 * geometry.batch_shape[0] + 5e-10) * entries


ALGORITHM = Algorithm(name="whole", unsupported=_unsupported, estimate=_estimate, forward=forward)
