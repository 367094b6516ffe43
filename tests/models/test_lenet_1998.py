"""LeNet-5 of 1998 against its paper: table I, the parameters of every layer, the target codes, equation 9."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn import ShapeError, models
from jaxcnn.models._layers._lenet_bitmaps import DIGITS
from jaxcnn.models._lenet_1998 import C3_READS, SparseConv, Subsampling, map_loss
from tests.models.small import quick_jit


def test_layers_have_the_paper_s_parameters() -> None:
    params = jax.eval_shape(models.create("lenet5_1998").init, jax.random.key(0), jnp.zeros((1, 32, 32, 1)))["params"]
    counts = {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in params.items()}
    assert counts == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120, "f6": 10_164}


def test_table_one_is_symmetric() -> None:
    """Every S2 map is read by ten of the C3 maps, and no two C3 maps read the same S2 maps."""
    assert [sum(source in reads for reads in C3_READS) for source in range(6)] == [10] * 6
    assert len(set(C3_READS)) == 16 and [len(reads) for reads in C3_READS] == [3] * 6 + [4] * 9 + [6]


def test_sparse_convolution_by_loops(key: jax.Array) -> None:
    reads = ((0, 2), (1,), (0, 1, 2))
    layer = SparseConv(reads, 2)
    x = jax.random.normal(key, (4, 4, 3))
    variables = layer.init(key, x)
    kernel, bias = (np.asarray(variables["params"][name]) for name in ("kernel", "bias"))
    wanted = np.zeros((3, 3, 3)) + bias
    link = 0
    for target, sources in enumerate(reads):
        for source in sources:
            for i in range(3):
                for j in range(3):
                    wanted[i, j, target] += (np.asarray(x)[i : i + 2, j : j + 2, source] * kernel[:, :, link]).sum()
            link += 1
    np.testing.assert_allclose(layer.apply(variables, x), wanted, rtol=1e-5, atol=1e-5)
    assert np.abs(kernel[:, :, 2]).max() <= 2.4 / 4  # map 1 has four connections


def test_subsampling_by_hand() -> None:
    x = jnp.arange(8.0).reshape(2, 2, 2)
    params = {"coefficient": jnp.array([0.1, 0.2]), "bias": jnp.array([0.0, 1.0])}
    wanted = 1.7159 * np.tanh(2 / 3 * np.array([0.1 * (0 + 2 + 4 + 6), 0.2 * (1 + 3 + 5 + 7) + 1]))
    np.testing.assert_allclose(Subsampling().apply({"params": params}, x)[0, 0], wanted, rtol=1e-6)


def test_codes_are_pictures_that_differ() -> None:
    assert DIGITS.shape == (10, 12, 7) and set(np.unique(DIGITS)) == {-1, 1}
    flat = DIGITS.reshape(10, -1)
    apart = [(flat[i] != flat[j]).sum() for i in range(10) for j in range(i)]
    assert min(apart) >= 6


def test_a_logit_is_the_distance_to_the_code() -> None:
    model, x = models.create("lenet5_1998"), jax.random.normal(jax.random.key(0), (3, 32, 32, 1))
    found = quick_jit(lambda x: model.init_with_output(jax.random.key(1), x, method="features")[0])(x)
    wanted = -((np.asarray(found["f6"])[:, None] - DIGITS.reshape(1, 10, 84)) ** 2).sum(-1)
    np.testing.assert_allclose(found["logits"], wanted, rtol=1e-5)


def test_loss_is_equation_nine() -> None:
    rng = np.random.default_rng(0)
    penalties, labels = rng.uniform(0, 9, (5, 10)), rng.integers(0, 10, 5)
    wanted = penalties[np.arange(5), labels] + np.log(np.exp(-2.0) + np.exp(-penalties).sum(1))
    np.testing.assert_allclose(map_loss(jnp.asarray(-penalties), jnp.asarray(labels), floor=2.0), wanted, rtol=1e-5)
    with pytest.raises(ShapeError, match=r"map_loss: logits \(5, 10\) require labels \(5,\), not \(4,\)"):
        map_loss(jnp.zeros((5, 10)), jnp.zeros(4, jnp.int32))


@pytest.mark.gate
def test_it_learns() -> None:
    model = models.create("lenet5_1998")
    x, labels = jax.random.normal(jax.random.key(0), (8, 32, 32, 1)), jnp.arange(8)
    params = quick_jit(model.init)(jax.random.key(1), x)["params"]
    optimizer = optax.flatten(optax.adam(0.002))

    @quick_jit
    def step(params: dict, moments: object) -> tuple:  # type: ignore[type-arg]
        value, grads = jax.value_and_grad(lambda p: map_loss(model.apply({"params": p}, x), labels).mean())(params)
        updates, moments = optimizer.update(grads, moments)
        return optax.apply_updates(params, updates), moments, value

    moments, values = quick_jit(optimizer.init)(params), []
    for _ in range(5):
        params, moments, value = step(params, moments)
        values.append(float(value))
    assert values[-1] < 0.9 * values[0], values


def test_refusals_and_types() -> None:
    model = models.create("lenet5_1998", dtype=jnp.bfloat16)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((32, 32, 1)))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    found = jax.eval_shape(lambda v: model.apply(v, jnp.zeros((2, 3, 32, 32, 1)), method="features"), variables)
    assert {leaf.dtype for leaf in found.values()} == {jnp.dtype(jnp.bfloat16)}
    assert found["logits"].shape == (2, 3, 10)
    with pytest.raises(ShapeError, match="LeNet5of1998: expected images of 32x32"):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    with pytest.raises(ValueError, match="codes for 1 to 10 classes, not 26"):
        jax.eval_shape(models.create("lenet5_1998", num_classes=26).init, jax.random.key(0), jnp.zeros((32, 32, 1)))
