"""One matrix product of whole maps, for convolutions whose maps are not much larger than their windows.

The last maps of a network may be smaller than their windows, such as 3x3 windows on maps of 2x2 pixels or 5x5 windows
on maps of 4x4. XLA:CPU then exchanges image and kernel, and computes the images of the batch as output channels in a
loop without vectors. Such a convolution is a dense layer: its matrix has, for each pair of an input and an output
position, the part of the kernel that joins them, or zeros. Taps that read only padding are in none of these parts, so
fewer products are computed as well.
"""

from math import prod

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional._engine._algorithms import _xla
from jaxcnn.functional._engine._algorithms._algorithm import Algorithm
from jaxcnn.functional._engine._algorithms._counts import why_not_dense
from jaxcnn.functional._engine._algorithms._finite import recompute_unless_finite
from jaxcnn.functional._engine._algorithms._positions import matrix_of_positions, taps_of_positions
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan

MOST_PAIRS = 2401  # of an input and an output position: all pairs of a map of 7x7
MOST_ENTRIES = 2**26  # of the matrix


def forward(x: jax.Array, kernel: jax.Array, plan: ConvPlan) -> jax.Array:
    """``y[n, o] = sum over i of x[n, i] kernel[tap that joins i and o]`` as one product of matrices.

    Positions that no tap joins are multiplied by zero. Every output position reads all inputs, so that one entry of
    each image shows whether an input is not finite.
    """
    geometry = plan.geometry
    taps = taps_of_positions(geometry)
    y = lax.dot_general(
        lax.reshape(x, (x.shape[0], prod(x.shape[1:]))),
        matrix_of_positions(kernel, taps),
        (((1,), (0,)), ((), ())),
        precision=plan.precision,
        preferred_element_type=plan.preferred_element_type,
    )
    witness = y[:, 0]
    y = lax.reshape(y, geometry.out_shape)
    if taps.min() >= 0 or not jnp.issubdtype(y.dtype, jnp.inexact):
        return y
    return recompute_unless_finite(y, witness, lambda _, x, kernel: _xla.forward(x, kernel, plan), x, kernel)


def _unsupported(plan: ConvPlan, operation: BaseOperation) -> str | None:
    """Supports one group and few positions."""
    geometry = plan.geometry
    if (why_not := why_not_dense(geometry)) is not None:
        return why_not
    pairs = prod(geometry.sizes) * prod(geometry.out_sizes)
    if pairs > MOST_PAIRS:
        return f"it requires at most {MOST_PAIRS} pairs of an input and an output position, and there are {pairs}"
    entries = _entries(geometry)
    if entries > MOST_ENTRIES:
        return f"it requires a matrix of at most {MOST_ENTRIES} entries, and there are {entries}"
    return None


def _estimate(plan: ConvPlan, operation: BaseOperation) -> float:
    """The products, and the copies of the kernel, which are slower if the matrix has more entries than the kernel."""
    entries = _entries(plan.geometry)
    copy = 5e-10 if entries <= prod(plan.geometry.kernel_shape) else 1.5e-9
    return 9e-5 + (9.3e-12 * plan.geometry.batch_shape[0] + copy) * entries


def _entries(geometry: ConvGeometry) -> int:
    """Of the matrix."""
    return prod(geometry.sizes) * prod(geometry.out_sizes) * geometry.in_channels * geometry.out_channels


ALGORITHM = Algorithm(name="whole", unsupported=_unsupported, estimate=_estimate, forward=forward)
