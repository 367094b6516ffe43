"""1x1 convolutions as matrix products, against loops."""

import jax.numpy as jnp
from hypothesis import given

from jaxcnn._geometry import ConvGeometry, conv_geometry
from jaxcnn.functional._engine._algorithms import _matmul
from tests.compiled import compiled
from tests.examples import examples
from tests.functional.engine.dense import check, dense_geometries, plan_of


@examples(20)
@given(geometry=dense_geometries(windows=(1,)))
def test_both_operations_agree_with_loops(geometry: ConvGeometry) -> None:
    check(_matmul.ALGORITHM, geometry, "forward")
    check(_matmul.ALGORITHM, geometry, "kernel_grad")


def test_half_precision_is_summed_in_float32() -> None:
    geometry = conv_geometry((49, 1, 1), (1, 1, 1))
    x = jnp.ones((49, 1, 1), jnp.bfloat16).at[0].set(256)
    dk = compiled(_matmul.kernel_grad)(x, jnp.ones((49, 1, 1), jnp.bfloat16), plan_of(geometry))
    assert (dk.dtype, float(dk[0, 0, 0])) == (jnp.bfloat16, 304)
