"""Windows of one position as matrix products, against loops."""

import jax.numpy as jnp
from hypothesis import given

from jaxcnn._geometry import ConvGeometry, conv_geometry
from jaxcnn.functional.lowering import matmul
from tests.examples import examples
from tests.functional.lowering.dense import check, dense_geometries


@examples(20)
@given(geometry=dense_geometries(windows=(1,)))
def test_both_operations_agree_with_loops(geometry: ConvGeometry) -> None:
    check(matmul.LOWERING, geometry, "forward")
    check(matmul.LOWERING, geometry, "kernel_grad")


def test_half_precision_is_summed_in_float32() -> None:
    geometry = conv_geometry((49, 1, 1), (1, 1, 1))
    x = jnp.ones((49, 1, 1), jnp.bfloat16).at[0].set(256)
    dk = matmul.kernel_grad(x, jnp.ones((49, 1, 1), jnp.bfloat16), geometry, precision=None)
    assert (dk.dtype, float(dk[0, 0, 0])) == (jnp.bfloat16, 304)
