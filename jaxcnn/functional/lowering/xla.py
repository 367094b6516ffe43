"""XLA's own convolution: serves everything, and is what GPUs and TPUs take.

Known to be wrong in one case, in XLA itself: with groups, under a mesh of several axes of which one does not split the
batch, the partitioner multiplies the kernel gradient by the size of that axis (jax 0.10.2 and 0.12.0, seen on CPUs).
``shifted`` and ``grouped`` are right there. With several channels in a group, its kernel gradient lets a value that is
not finite spread to the other groups.
"""

import dataclasses
import functools
from typing import Any

import jax
from jax import lax

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional._padding import dilate_and_pad
from jaxcnn.functional.lowering.batch import merge_batch
from jaxcnn.functional.lowering.linear import transposed_kernel_grad
from jaxcnn.functional.lowering.lowering import Lowering, Operation
from jaxcnn.functional.lowering.xla_abort import without_abort
from jaxcnn.functional.lowering.xla_cost import xla_seconds


def forward(
    x: jax.Array, kernel: jax.Array, geometry: ConvGeometry, *, precision: Any, preferred_element_type: Any
) -> jax.Array:
    """One ``conv_general_dilated``, over one merged batch axis."""
    wanted, geometry = geometry, without_abort(geometry)
    if not geometry.with_batch().is_static:
        x, geometry = _pad_exactly(x, geometry)
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
    return y if y.shape == wanted.out_shape else lax.slice(y, (0,) * y.ndim, wanted.out_shape)


def _pad_exactly(x: jax.Array, geometry: ConvGeometry) -> tuple[jax.Array, ConvGeometry]:
    """The input dilated and padded to what the windows read, and the convolution of that.

    ``lax.conv_general_dilated`` refuses symbolic padding, which it would need itself, or its transpose would.
    """
    pads = tuple(
        (before, (out - 1) * stride + span - size - before)
        for (before, _), out, stride, span, size in zip(
            geometry.pads, geometry.out_sizes, geometry.strides, geometry.reaches, geometry.dilated_sizes, strict=True
        )
    )
    exact = dataclasses.replace(geometry, pads=pads)
    return dilate_and_pad(x, pads, input_dilation=geometry.input_dilation), exact.padded()


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


def _inexact(geometry: ConvGeometry, operation: Operation) -> str | None:
    """XLA makes a dense kernel gradient of one with groups, and multiplies what other groups read by zero."""
    if (
        operation == "kernel_grad"
        and geometry.groups > 1
        and not geometry.in_channels == geometry.out_channels == geometry.groups
    ):
        return "XLA's own kernel gradient spreads what is not finite to other groups"
    return None


LOWERING = Lowering(
    name="xla",
    inexact=_inexact,
    unserved=_unserved,
    estimate=xla_seconds,
    forward=forward,
    kernel_grad=functools.partial(transposed_kernel_grad, forward),
    partitions=frozenset({"forward", "kernel_grad"}),
    symbolic=True,
)
