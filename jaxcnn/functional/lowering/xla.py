"""XLA's own convolution: serves everything, and is what GPUs and TPUs take.

Known to be wrong in one case, in XLA itself: with groups, under a mesh of several axes of which one does not split the
batch, the partitioner multiplies the kernel gradient by the size of that axis (jax 0.10.2 and 0.12.0, seen on CPUs).
The formulations ``shifted`` and ``grouped`` are right there.
"""

import functools
from typing import Any

import jax
from jax import lax

from jaxcnn.functional.lowering.batch import merge_batch
from jaxcnn.functional.lowering.linear import transposed_kernel_grad
from jaxcnn.functional.lowering.lowering import Lowering, Operation
from jaxcnn.functional.lowering.xla_abort import without_abort
from jaxcnn.functional.lowering.xla_cost import xla_seconds
from jaxcnn.shapes.conv import ConvGeometry


def forward(
    x: jax.Array, kernel: jax.Array, geometry: ConvGeometry, *, precision: Any, preferred_element_type: Any
) -> jax.Array:
    """One ``conv_general_dilated``, over one merged batch axis."""
    wanted, geometry = geometry, without_abort(geometry)
    x, extra, restore = merge_batch(x, geometry)
    # Batch axes that cannot be merged ride along as spatial axes under a window of one.
    kernel = lax.expand_dims(kernel, range(extra))
    ones, spatial = (1,) * extra, geometry.ndim + extra
    y = lax.conv_general_dilated(
        x,
        kernel,
        window_strides=ones + geometry.strides,
        padding=((0, 0),) * extra + _pads_for(geometry),
        lhs_dilation=ones + geometry.input_dilation,
        rhs_dilation=ones + geometry.kernel_dilation,
        dimension_numbers=lax.ConvDimensionNumbers(
            lhs_spec=(0, spatial + 1, *range(1, spatial + 1)),
            rhs_spec=(spatial + 1, spatial, *range(spatial)),
            out_spec=(0, spatial + 1, *range(1, spatial + 1)),
        ),
        feature_group_count=geometry.groups,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    y = restore(y)
    return y if geometry is wanted else lax.slice(y, (0,) * y.ndim, wanted.out_shape)


def _pads_for(geometry: ConvGeometry) -> tuple[tuple[int, int], ...]:
    """The pads as they are, unless more positions would fit than the geometry asks for: then what is over is cropped.

    Not always cropped, because symmetric pads are what the libraries of accelerators take without a copy.
    """
    pads = []
    for size, (before, after), out, stride, span in zip(
        geometry.dilated_sizes, geometry.pads, geometry.out_sizes, geometry.strides, geometry.reaches, strict=True
    ):
        fits = (size + before + after - span) // stride + 1 == out
        pads.append((before, after if fits else (out - 1) * stride + span - size - before))
    return tuple(pads)


def _unserved(geometry: ConvGeometry, dtype: Any, operation: Operation) -> str | None:
    return None


LOWERING = Lowering(
    name="xla",
    unserved=_unserved,
    estimate=xla_seconds,
    forward=forward,
    kernel_grad=functools.partial(transposed_kernel_grad, forward),
    partitions=frozenset({"forward", "kernel_grad"}),
)
