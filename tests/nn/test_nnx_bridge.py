"""The Linen modules in NNX, by ``flax.nnx.bridge.ToNNX``."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxcnn.nn._batch_norm import BatchNorm
from jaxcnn.nn._conv import Conv


def test_batch_norm_keeps_its_statistics(key: jax.Array) -> None:
    """Training updates them in place, also under ``nnx.jit`` and ``nnx.grad``; inference reads them."""
    x = 3 + 2 * jax.random.normal(key, (16, 4, 5))
    linen = BatchNorm(momentum=0.5)
    layer = nnx.bridge.ToNNX(linen, rngs=nnx.Rngs(0)).lazy_init(x, use_running_average=True)
    variables = linen.init(key, x, use_running_average=True)
    np.testing.assert_array_equal(layer.mean[...], 0)
    assert isinstance(layer.mean, nnx.BatchStat) and isinstance(layer.scale, nnx.Param)

    @nnx.jit
    def step(layer: nnx.Module, x: jax.Array) -> jax.Array:
        def loss(layer: nnx.Module) -> jax.Array:
            return jnp.sum(jnp.sin(layer(x, use_running_average=False, mutable=["batch_stats"])))

        return nnx.grad(loss)(layer)

    for _ in range(2):
        gradients = step(layer, x)
        _, updates = linen.apply(variables, x, use_running_average=False, mutable=["batch_stats"])
        variables = {**variables, **updates}
    np.testing.assert_allclose(layer.mean[...], variables["batch_stats"]["mean"], rtol=1e-5)
    np.testing.assert_allclose(layer.var[...], variables["batch_stats"]["var"], rtol=1e-5)
    assert float(jnp.abs(gradients["scale"][...]).max()) > 0
    expected = linen.apply(variables, x, use_running_average=True)
    np.testing.assert_allclose(layer(x, use_running_average=True), expected, rtol=1e-5, atol=1e-5)


def test_conv_trains(key: jax.Array) -> None:
    """Its parameters are NNX parameters, its numbers equal those of Linen, and ``nnx.grad`` reaches the parameters."""
    x = jax.random.normal(key, (2, 8, 8, 3))
    linen = Conv(4, (3, 3), strides=2)
    layer = nnx.bridge.ToNNX(linen, rngs=nnx.Rngs(0)).lazy_init(x)
    assert isinstance(layer.kernel, nnx.Param) and isinstance(layer.bias, nnx.Param)
    variables = {"params": {"kernel": layer.kernel[...], "bias": layer.bias[...]}}
    np.testing.assert_allclose(layer(x), linen.apply(variables, x), rtol=1e-6)
    gradients = nnx.jit(nnx.grad(lambda layer: jnp.sum(jnp.sin(layer(x)))))(layer)
    expected = jax.grad(lambda v: jnp.sum(jnp.sin(linen.apply(v, x))))(variables)["params"]
    for name in ("kernel", "bias"):
        np.testing.assert_allclose(gradients[name][...], expected[name], rtol=1e-5, atol=1e-5)
