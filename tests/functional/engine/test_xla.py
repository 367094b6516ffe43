"""XLA's own convolution on CPUs, in branches and loops."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcnn import functional as F

OPTIONS: list[dict[str, Any]] = [
    {},
    {"strides": 2, "padding": [(2, 1), (0, 3)]},
    {"kernel_dilation": 2, "input_dilation": (1, 2), "padding": [(-1, 2), (1, 1)]},
]


@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "strides", "dilations"])
def test_gradients_in_a_branch_have_the_order_of_axes_that_is_fast(options: dict[str, Any]) -> None:
    keys = jax.random.split(jax.random.key(0))
    x, kernel = jax.random.normal(keys[0], (4, 11, 9, 3)), jax.random.normal(keys[1], (3, 2, 3, 8))

    def gradient(kernel: jax.Array, x: jax.Array) -> Any:
        return jax.grad(lambda *a: (F.conv(a[1], a[0], algorithm="xla", **options) ** 2).sum(), argnums=(0, 1))(
            kernel, x
        )

    def zeros(*arrays: jax.Array) -> Any:
        return jax.tree.map(jnp.zeros_like, arrays)

    in_branch = jax.jit(lambda flag, *arrays: lax.cond(flag, gradient, zeros, *arrays)).lower(True, kernel, x).compile()
    orders = re.findall(r" convolution\(.*dim_labels=(\S+?)[, ]", str(in_branch.as_text()))
    assert len(orders) == 3 and set(orders) == {"b01f_01io->b01f"}

    # JAX's own transpose of the same convolution.
    geometry = {"padding": options.get("padding", "SAME"), "dimension_numbers": ("NHWC", "HWIO", "NHWC")}
    for ours, name in (
        ("strides", "window_strides"),
        ("kernel_dilation", "rhs_dilation"),
        ("input_dilation", "lhs_dilation"),
    ):
        geometry[name] = np.broadcast_to(options.get(ours, 1), 2).tolist()
    expected = jax.grad(lambda *a: (lax.conv_general_dilated(a[1], a[0], **geometry) ** 2).sum(), argnums=(0, 1))(
        kernel, x
    )
    for one, other in zip(in_branch(True, kernel, x), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
