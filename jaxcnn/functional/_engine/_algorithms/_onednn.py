"""The convolution of oneDNN, which is part of jaxlib on x86: selected only where a measured table names it.

XLA does not use it for convolutions, but contains a custom call to it. JAX documents neither the call nor its
configuration, ``jax.export`` refuses the call, and a convolution that oneDNN rejects terminates the process. So
``jaxcnn bench --tune`` first computes each operation in a process of its own and compares the result; a table names the
operations that passed, and is used only with the versions and the processor that it was measured with. A program with
the call is not kept in JAX's compilation cache, which warns that it cannot write it. docs/decisions/0023-onednn.md has
measurements.

This is the only module that contains the name of the call and the form of its configuration (``onednn_config.proto`` of
XLA; as in jaxlib 0.10.2 and 0.12.0, where dimensions, pads, strides and dilations are plain numbers).
"""

import json
from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn.functional._engine._algorithms._algorithm import Algorithm
from jaxcnn.functional._engine._algorithms._xla import pads_for
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan

TARGET = "__onednn$convolution"


def forward(x: jax.Array, kernel: jax.Array, plan: ConvPlan) -> jax.Array:
    """The custom call, on arrays in the layout of this library."""
    call = jax.ffi.ffi_call(
        TARGET,
        jax.ShapeDtypeStruct(plan.geometry.out_shape, plan.out_dtype),
        custom_call_api_version=2,
        legacy_backend_config=json.dumps({"onednn_conv_config": _configuration(plan)}),
    )
    return call(x, kernel)


def _configuration(plan: ConvPlan) -> dict[str, Any]:
    geometry, pads = plan.geometry, pads_for(plan.geometry)
    rank, last = geometry.ndim + 2, geometry.ndim + 1
    image = {"batch_dim": 0, "feature_dim": last, "spatial_dims": [*range(1, last)]}
    kernel = {"input_feature_dim": last - 1, "output_feature_dim": last, "spatial_dims": [*range(last - 1)]}
    return {
        "dims": rank,
        "feature_groups": geometry.groups,
        "input": {"dims": rank, "data": image},
        "kernel": {"dims": rank, "filter": kernel},
        "output": {"dims": rank, "data": image},
        "window": {
            "pad_left": [before for before, _ in pads],
            "pad_right": [after for _, after in pads],
            "strides": [*geometry.strides],
            "window_dilations": [*geometry.kernel_dilation],
        },
    }


def _unsupported(plan: ConvPlan, operation: BaseOperation) -> str | None:
    geometry = plan.geometry
    if plan.dtype != jnp.float32 or plan.out_dtype != jnp.float32:
        return f"it is for float32, and this is {plan.dtype} to {plan.out_dtype}"
    if len(geometry.batch_shape) != 1 or not 1 <= geometry.ndim <= 3:
        return "it takes one batch axis and one to three spatial axes"
    if any(step > 1 for step in geometry.input_dilation):
        return "it does not dilate the input"
    if geometry.is_empty or any(min(pads) < 0 for pads in pads_for(geometry)):
        return "it takes no empty arrays and crops nothing"
    return None


ALGORITHM = Algorithm(
    name="onednn",
    unsupported=_unsupported,
    estimate=lambda plan, operation: float("inf"),  # it is measured, never estimated
    forward=forward,
)
