"""A convolution as a matrix: the part of the kernel that joins each pair of an input and an output position."""

from math import prod

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._geometry import ConvGeometry


def matrix_of_positions(kernel: jax.Array, taps: np.ndarray) -> jax.Array:
    """The kernel as a matrix ``(positions of x * channels, positions of y * channels)``, with zeros for no tap."""
    inputs, outputs = taps.shape
    channels = kernel.shape[-2:]
    rows = lax.reshape(kernel, (prod(kernel.shape[:-2]), *channels))
    if not np.array_equal(taps, np.arange(len(rows))[:, None]):
        if taps.min() < 0:
            rows = lax.pad(rows, jnp.zeros((), rows.dtype), ((1, 0, 0), (0, 0, 0), (0, 0, 0)))
            taps = taps + 1
        rows = rows.at[taps].get(mode="promise_in_bounds")
        rows = lax.transpose(rows, (0, 2, 1, 3))
    return lax.reshape(rows, (inputs * channels[0], outputs * channels[1]))


def taps_of_positions(geometry: ConvGeometry) -> np.ndarray:
    """For each input and output position the tap of the window that joins them, or -1 if there is none."""
    taps = np.zeros((1, 1), np.int32)
    for axis, window in enumerate(geometry.window):
        before, step, gap = geometry.pads[axis][0], geometry.strides[axis], geometry.kernel_dilation[axis]
        inputs = geometry.input_dilation[axis] * np.arange(geometry.sizes[axis], dtype=np.int32)[:, None]
        places = inputs + before - step * np.arange(geometry.out_sizes[axis], dtype=np.int32)
        is_read = (places >= 0) & (places < geometry.reaches[axis]) & (places % gap == 0)
        outer, inner = taps[:, None, :, None], np.where(is_read, places // gap, -1)[None, :, None, :]
        joined = np.where((outer < 0) | (inner < 0), -1, window * outer + inner)
        taps = joined.reshape(taps.shape[0] * is_read.shape[0], taps.shape[1] * is_read.shape[1])
    return taps
