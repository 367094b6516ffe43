"""One matrix product of whole rows of the image, for small maps of few channels.

XLA:CPU packs each entry of a window for a product with the output channels. With 6 or 10 of them, packing takes several
times as long as the products, the more so where most windows read padding, as in input gradients of unpadded layers.
Here the positions of the last axis are channels: each row of the image is multiplied by a matrix that joins all its
positions with all positions of an output row, for each tap of the first axis, and the products are added to the output
rows that they belong to. A matrix has more entries than the windows, by the ratio of the width of the image to that of
the window, but they are multiplied at the full rate, and no row of padding is.
"""

import dataclasses
import functools
import operator

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional._dtypes import accumulator_dtype
from jaxcnn.functional._engine._algorithms import _xla
from jaxcnn.functional._engine._algorithms._algorithm import Algorithm
from jaxcnn.functional._engine._algorithms._counts import why_not_dense
from jaxcnn.functional._engine._algorithms._finite import recompute_unless_finite
from jaxcnn.functional._engine._algorithms._positions import matrix_of_positions, taps_of_positions
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan

MOST_ENTRIES = 2**24  # of the matrix


def forward(x: jax.Array, kernel: jax.Array, plan: ConvPlan) -> jax.Array:
    """``y[n, o] = sum over taps k of x[n, o + before - dilation * k] @ matrix[k]``, of whole rows.

    The first entry of a product reads the whole row, and so shows whether an input is not finite.
    """
    geometry = plan.geometry
    images, height, width, channels = geometry.x_shape
    rows, columns = geometry.out_sizes
    products = lax.dot_general(
        lax.reshape(x, (images * height, width * channels)),
        _matrix(kernel, geometry),
        (((1,), (0,)), ((), ())),
        precision=plan.precision,
        preferred_element_type=accumulator_dtype(plan.out_dtype),
    )
    witness = products[:, 0]
    by_tap = lax.reshape(products, (images, height, geometry.window[0], columns * geometry.out_channels))
    moved = [_moved(by_tap[:, :, tap], tap, geometry) for tap in range(geometry.window[0])]
    y = lax.reshape(functools.reduce(operator.add, moved), (images, rows, columns, geometry.out_channels))
    y = y.astype(plan.out_dtype)
    if not jnp.issubdtype(y.dtype, jnp.inexact):
        return y
    return recompute_unless_finite(y, witness, lambda _, x, kernel: _xla.forward(x, kernel, plan), x, kernel)


def _matrix(kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    """``(width * channels, taps of the first axis * out_width * out_channels)``."""
    taps, window, channels, out_channels = kernel.shape
    kernel = lax.reshape(lax.transpose(kernel, (1, 2, 0, 3)), (window, channels, taps * out_channels))
    matrix = matrix_of_positions(kernel, taps_of_positions(_along_rows(geometry)))
    split = lax.reshape(matrix, (len(matrix), geometry.out_sizes[1], taps, out_channels))
    return lax.reshape(lax.transpose(split, (0, 2, 1, 3)), matrix.shape)


def _along_rows(geometry: ConvGeometry) -> ConvGeometry:
    """The geometry of the last axis alone."""
    axes = ("sizes", "window", "strides", "pads", "input_dilation", "kernel_dilation", "out_sizes")
    return dataclasses.replace(geometry, **{name: getattr(geometry, name)[1:] for name in axes})


def _moved(products: jax.Array, tap: int, geometry: ConvGeometry) -> jax.Array:
    """The products of one tap at the output rows that they are added to; rows outside of the output are dropped."""
    step = geometry.input_dilation[0]
    first = geometry.pads[0][0] - geometry.kernel_dilation[0] * tap
    after = geometry.out_sizes[0] - first - (geometry.sizes[0] - 1) * step - 1
    config = ((0, 0, 0), (first, after, step - 1), (0, 0, 0))
    return lax.pad(products, jnp.zeros((), products.dtype), config)


def _unsupported(plan: ConvPlan, operation: BaseOperation) -> str | None:
    """Supports one group, two spatial axes, and stride 1 along the first."""
    geometry = plan.geometry
    if geometry.ndim != 2:
        return f"it requires 2 spatial axes, and there are {geometry.ndim}"
    if geometry.strides[0] != 1:
        return f"it requires stride 1 along the first axis, and that is {geometry.strides[0]}"
    if (entries := _entries(geometry)) > MOST_ENTRIES:
        return f"it requires a matrix of at most {MOST_ENTRIES} entries, and there are {entries}"
    return why_not_dense(geometry)


def _estimate(plan: ConvPlan, operation: BaseOperation) -> float:
    """The matrix, its products with all rows, and the sums of the products."""
    geometry = plan.geometry
    rows = geometry.batch_shape[0] * geometry.sizes[0]
    sums = rows * geometry.window[0] * geometry.out_sizes[1] * geometry.out_channels
    return 1.5e-4 + (1.3e-11 * rows + 1.5e-9) * _entries(geometry) + 4e-10 * sums


def _entries(geometry: ConvGeometry) -> int:
    """Of the matrix."""
    inputs = geometry.sizes[1] * geometry.in_channels
    return inputs * geometry.window[0] * geometry.out_sizes[1] * geometry.out_channels


ALGORITHM = Algorithm(name="rows", unsupported=_unsupported, estimate=_estimate, forward=forward)
