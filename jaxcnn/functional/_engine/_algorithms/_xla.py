"""XLA's own convolution: it supports every plan, and is used on GPUs and TPUs.

XLA computes one case wrongly: with groups, under a mesh with an axis that does not split the batch, the partitioner
multiplies the kernel gradient by the size of that axis (jax 0.10.2 and 0.12.0, seen on CPUs). ``shifted`` and
``grouped`` are right there. With several channels in a group, a value in its kernel gradient that is not finite spreads
to the other groups.

XLA:CPU brings the axes of a convolution into the order that its fast routine requires, but not in a branch or in the
body of a loop: there it computes a kernel gradient 20 times as slowly (jax 0.10.2 and 0.12.0). On CPUs kernel gradients
are therefore written in this order.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AxisType

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional._engine._algorithms._algorithm import Algorithm
from jaxcnn.functional._engine._algorithms._batch import merge_batch
from jaxcnn.functional._engine._algorithms._transposition import transposed_kernel_grad
from jaxcnn.functional._engine._algorithms._xla_abort import without_abort
from jaxcnn.functional._engine._algorithms._xla_cost import xla_seconds
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan
from jaxcnn.functional._padding import dilate_and_pad


def forward(x: jax.Array, kernel: jax.Array, plan: ConvPlan) -> jax.Array:
    """One ``conv_general_dilated``, over one merged batch axis."""
    geometry = without_abort(plan.geometry)
    if not geometry.with_batch().is_static:
        x, geometry = _pad_exactly(x, geometry)
    x, extra, restore = merge_batch(x, geometry)
    # Batch axes that cannot be merged become spatial axes with a window of one.
    kernel = lax.expand_dims(kernel, range(extra))
    ones, spatial = (1,) * extra, geometry.ndim + extra
    y = lax.conv_general_dilated(
        x,
        kernel,
        window_strides=ones + geometry.strides,
        padding=((0, 0),) * extra + pads_for(geometry),
        lhs_dilation=ones + geometry.input_dilation,
        rhs_dilation=ones + geometry.kernel_dilation,
        dimension_numbers=lax.ConvDimensionNumbers(
            lhs_spec=(0, spatial + 1, *range(1, spatial + 1)),
            rhs_spec=(spatial + 1, spatial, *range(spatial)),
            out_spec=(0, spatial + 1, *range(1, spatial + 1)),
        ),
        feature_group_count=geometry.groups,
        precision=plan.precision,
        preferred_element_type=plan.preferred_element_type,
    )
    y, shape = restore(y), plan.geometry.out_shape
    return y if y.shape == shape else lax.slice(y, (0,) * y.ndim, shape)


def _pad_exactly(x: jax.Array, geometry: ConvGeometry) -> tuple[jax.Array, ConvGeometry]:
    """The input dilated and padded to the size that the windows read, and the geometry without padding.

    ``lax.conv_general_dilated`` refuses symbolic padding, which it or its transpose would require.
    """
    pads = tuple(
        (before, (out - 1) * stride + span - size - before)
        for (before, _), out, stride, span, size in zip(
            geometry.pads, geometry.out_sizes, geometry.strides, geometry.reaches, geometry.dilated_sizes, strict=True
        )
    )
    exact = dataclasses.replace(geometry, pads=pads)
    return dilate_and_pad(x, pads, input_dilation=geometry.input_dilation), exact.padded()


def pads_for(geometry: ConvGeometry) -> tuple[tuple[int, int], ...]:
    """The pads of the geometry, cropped if more positions would fit than it has.

    They are cropped only then, because the libraries of accelerators take symmetric pads without a copy.
    """
    pads = []
    for size, (before, after), out, stride, span in zip(
        geometry.dilated_sizes, geometry.pads, geometry.out_sizes, geometry.strides, geometry.reaches, strict=True
    ):
        fits = (size + before + after - span) // stride + 1 == out
        pads.append((before, after if fits else (out - 1) * stride + span - size - before))
    return tuple(pads)


def kernel_grad(x: jax.Array, g: jax.Array, plan: ConvPlan) -> jax.Array:
    """The transpose of ``forward``; on CPUs, dense ones as a forward operation whose images are channels."""
    geometry, transposed = plan.geometry, functools.partial(transposed_kernel_grad, forward, plan=plan)
    dense = geometry.groups == 1 and len(geometry.batch_shape) == 1 and geometry.is_static and not geometry.is_empty
    # With Explicit axes, a convolution that sums over a sharded axis would have to name the sharding of its result.
    sharded = any(AxisType.Explicit in jax.typeof(each).sharding.mesh.axis_types for each in (x, g))
    if sharded or not dense or not jnp.issubdtype(x.dtype, jnp.inexact):
        return transposed(x, g)
    return lax.platform_dependent(x, g, cpu=functools.partial(_as_forward, plan=plan), default=transposed)


def _as_forward(x: jax.Array, g: jax.Array, plan: ConvPlan) -> jax.Array:
    """``dk[k, i, c] = sum over o of z[k + o, i] g[o, c]``: a convolution of the image of each channel with ``g``."""
    spatial = range(1, plan.geometry.ndim + 1)
    last = plan.geometry.ndim + 1
    gradient = dataclasses.replace(plan, geometry=plan.geometry.of_kernel_grad(), preferred_element_type=None)
    dk = forward(lax.transpose(x, (last, *spatial, 0)), lax.transpose(g, (*spatial, 0, last)), gradient)
    return lax.transpose(dk, (*spatial, 0, last))


def _unsupported(plan: ConvPlan, operation: BaseOperation) -> str | None:
    return None


def _inexact(plan: ConvPlan, operation: BaseOperation) -> str | None:
    """XLA computes a kernel gradient with groups as a dense one, and multiplies what other groups read by zero."""
    geometry = plan.geometry
    if (
        operation == "kernel_grad"
        and geometry.groups > 1
        and not geometry.in_channels == geometry.out_channels == geometry.groups
    ):
        return "infinities and NaN spread to other groups in XLA's own kernel gradient"
    return None


ALGORITHM = Algorithm(
    name="xla",
    inexact=_inexact,
    unsupported=_unsupported,
    estimate=lambda plan, operation: xla_seconds(plan.geometry, operation),
    forward=forward,
    kernel_grad=kernel_grad,
    partitionable=frozenset({"forward", "kernel_grad"}),
    symbolic=True,
)
