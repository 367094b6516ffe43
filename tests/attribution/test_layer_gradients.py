"""Values and gradients of all layers, against the chain rule in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name

from jaxcnn import attribution, models

RNG = np.random.default_rng(0)
X, FIRST, SECOND = (RNG.normal(size=shape).astype(np.float32) for shape in ((2, 3), (3, 4), (4, 5)))


def network(x: jax.Array) -> jax.Array:
    hidden = checkpoint_name(x @ FIRST, "hidden")
    active = checkpoint_name(checkpoint_name(jax.nn.relu(hidden), "active"), "again")
    checkpoint_name(jnp.argmax(active, -1), "largest")
    return checkpoint_name(active @ SECOND, "scores")


def test_values_and_gradients_are_those_of_the_chain_rule_and_in_order() -> None:
    found = attribution.layer_gradients(network, X, target=[1, 4])
    hidden = X @ FIRST
    active = np.maximum(hidden, 0)
    chosen = np.eye(5, dtype=np.float32)[[1, 4]]
    expected = {
        "hidden": (hidden, chosen @ SECOND.T * (hidden > 0)),
        "active": (active, chosen @ SECOND.T),
        "scores": (active @ SECOND, chosen),
    }
    assert list(found) == list(expected)  # each value has one name, and integers are left out
    for name, (value, gradient) in expected.items():
        np.testing.assert_allclose(found[name].value, value, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found[name].gradient, gradient, rtol=1e-5, atol=1e-6)
    named = jax.jit(lambda x: attribution.layer_gradients(network, x, target=[1, 4], layers=["again"]))(X)
    np.testing.assert_allclose(named["again"].gradient, expected["active"][1], rtol=1e-5, atol=1e-6)


def test_a_layer_that_is_the_input_and_one_without_influence() -> None:
    def f(x: jax.Array) -> jax.Array:
        checkpoint_name(3 * x, "unused")
        return (checkpoint_name(x, "input") ** 2).sum(-1)

    found = attribution.layer_gradients(f, X)
    np.testing.assert_allclose(found["input"].gradient, 2 * X, rtol=1e-6)
    assert not np.any(found["unused"].gradient)
    np.testing.assert_allclose(found["unused"].value, 3 * X, rtol=1e-6)


def test_layers_without_a_gradient_are_refused() -> None:
    with pytest.raises(TypeError, match="layer_gradients: the layer 'largest' has no gradient, since it holds int32"):
        attribution.layer_gradients(network, X, layers=["largest"])
    with pytest.raises(ValueError, match="layer_gradients: there is no layer 'hiden'"):
        attribution.layer_gradients(network, X, layers=["hiden"])


def test_a_message_lists_each_layer_once() -> None:
    model, x = models.create("lenet5", num_classes=10), jnp.zeros((1, 32, 32, 1))
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    variables = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), variables)
    with pytest.raises(ValueError, match=r"there is no layer 'zzzzz'\. Known: '") as caught:
        attribution.layer_outputs(lambda x: model.apply(variables, x), x, layers=["zzzzz"])
    names = str(caught.value).partition("Known: ")[2].split(", ")
    assert len(set(names)) == len(names) and "''" not in names and "'()'" not in names
