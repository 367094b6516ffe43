"""The changes that reduce memory accesses do not change the results of the network."""

import jax
import numpy as np
import pytest
from flax import linen

from docs.bench.fewer_bytes import CONVOLUTION, Recomputed, stem_convolution
from jaxcnn import functional as F
from jaxcnn import nn


def test_a_first_layer_on_squares_is_the_same_convolution() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 10, 8, 3)).astype("float32")
    kernel = rng.normal(size=(7, 7, 3, 5)).astype("float32")
    expected = F.conv(x, kernel, strides=2, padding=3)
    np.testing.assert_allclose(jax.jit(stem_convolution)(x, kernel), expected, atol=1e-4)


class Layers(linen.Module):
    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = linen.relu(nn.BatchNorm(use_running_average=False)(nn.Conv(4, (1, 1))(x)))
        return nn.Conv(2, (1, 1))(x).sum()


@pytest.mark.gate
def test_convolutions_are_not_computed_once_more() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 2)).astype("float32")
    model = Layers()
    variables = model.init(jax.random.key(0), x)
    stats = {"batch_stats": variables["batch_stats"]}

    def gradient(model: linen.Module | Recomputed) -> jax.stages.Traced:
        def loss(params: object) -> jax.Array:
            y: jax.Array = model.apply({"params": params, **stats}, x, mutable=["batch_stats"])[0]
            return y

        return jax.jit(jax.grad(loss)).trace(variables["params"])

    plain, recomputed = gradient(model), gradient(Recomputed(model))
    results = [each.lower().compile()(variables["params"]) for each in (plain, recomputed)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *results)
    texts = [str(each.jaxpr) for each in (plain, recomputed)]
    assert CONVOLUTION in texts[1]
    for name, added in (("dot_general", False), ("conv_general_dilated", False), ("rsqrt", True)):
        counts = [text.count(f" {name}") for text in texts]
        assert (counts[0] < counts[1]) if added else (counts[0] == counts[1]), (name, counts)
