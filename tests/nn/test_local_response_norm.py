"""LocalResponseNorm equals its function, and can be used as a layer."""

import jax
import numpy as np
from flax import linen

from jaxcnn.functional import local_response_norm
from jaxcnn.nn._local_response_norm import LocalResponseNorm


def test_it_is_the_function(key: jax.Array) -> None:
    x = jax.random.normal(key, (2, 3, 3, 7))
    np.testing.assert_array_equal(LocalResponseNorm().apply({}, x), local_response_norm(x))
    options = {"size": 3, "k": 1.0, "alpha": 0.5, "beta": 0.6}
    np.testing.assert_array_equal(LocalResponseNorm(**options).apply({}, x), local_response_norm(x, **options))


def test_it_has_no_variables_and_stands_in_a_sequential(key: jax.Array) -> None:
    x = jax.random.normal(key, (2, 5, 5, 3))
    assert LocalResponseNorm().init(key, x) == {}
    model = linen.Sequential([linen.Conv(4, (3, 3)), LocalResponseNorm(alpha=1.0), linen.relu])
    y, variables = model.init_with_output(key, x)
    assert y.shape == (2, 5, 5, 4)
    assert set(variables["params"]) == {"layers_0"}
