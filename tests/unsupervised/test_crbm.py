"""The convolutional RBM, against all states of a small image and against scikit-learn."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, logsumexp, softmax
from sklearn.neural_network import BernoulliRBM

from jaxcnn._errors import ShapeError
from jaxcnn.unsupervised import CRBM

BINARY = CRBM(window_shape=(3, 3), features=2, sigma=0.8)
GAUSSIAN = CRBM(window_shape=(3, 3), features=2, visible="gaussian", sigma=0.7)


def params_of(crbm: CRBM, scale: float = 0.4) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    shapes = {"bias": (2,), "kernel": (3, 3, 1, 2), "visible_bias": (1,)}
    return {name: (scale * draw.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()}


def energy(crbm: CRBM, params: dict[str, np.ndarray], v: np.ndarray, h: np.ndarray) -> float:
    """The energy by its definition, for an image ``(4, 4)`` and hidden units ``(2, 2, features)``."""
    total = -params["visible_bias"][0] * v.sum() + (0.5 * (v**2).sum() if crbm.visible == "gaussian" else 0)
    for i, j, k in np.ndindex(h.shape):
        total -= h[i, j, k] * ((v[i : i + 3, j : j + 3] * params["kernel"][:, :, 0, k]).sum() + params["bias"][k])
    return float(total / crbm.sigma**2)


def hidden_states() -> list[np.ndarray]:
    """All states of one block of 2x2 in two maps: in each map at most one unit is on."""
    states = []
    for choice in itertools.product(range(5), repeat=2):
        h = np.zeros((4, 2))
        for k, unit in enumerate(choice):
            h[unit : unit + 1, k] = 1  # the value 4 means that no unit is on
        states.append(h.reshape(2, 2, 2))
    return states


@pytest.mark.parametrize("crbm", [BINARY, GAUSSIAN], ids=["binary", "gaussian"])
def test_conditionals_and_free_energy_are_those_of_all_states(crbm: CRBM) -> None:
    params, states = params_of(crbm), hidden_states()
    draw = np.random.default_rng(1)
    v = draw.normal(size=(4, 4)) if crbm.visible == "gaussian" else draw.integers(0, 2, (4, 4)).astype(float)
    negative = np.array([-energy(crbm, params, v, h) for h in states])
    weights = softmax(negative)
    hidden, pooled = jax.jit(crbm.hidden)(params, v[..., None].astype(np.float32))
    expected = sum(weight * h for weight, h in zip(weights, states, strict=True))
    np.testing.assert_allclose(hidden, expected, atol=1e-6)
    np.testing.assert_allclose(pooled[0, 0], expected.sum((0, 1)), atol=1e-6)
    free = jax.jit(crbm.free_energy)(params, v[..., None].astype(np.float32))
    np.testing.assert_allclose(free, -logsumexp(negative), rtol=1e-5)


@pytest.mark.parametrize("crbm", [BINARY, GAUSSIAN], ids=["binary", "gaussian"])
def test_visible_units_follow_from_the_energy(crbm: CRBM) -> None:
    params, v = params_of(crbm), np.random.default_rng(1).integers(0, 2, (4, 4)).astype(float)
    for h in hidden_states()[7::9]:
        mean = np.asarray(jax.jit(crbm.mean_visible)(params, h.astype(np.float32)), float)[..., 0]
        for place in ((0, 0), (1, 2)):
            on, off = v.copy(), v.copy()
            on[place], off[place] = 1, 0
            ratio = energy(crbm, params, off, h) - energy(crbm, params, on, h)  # log p(1) - log p(0)
            if crbm.visible == "binary":
                assert mean[place] == pytest.approx(expit(ratio), abs=1e-6)
            else:
                assert (2 * mean[place] - 1) / (2 * crbm.sigma**2) == pytest.approx(ratio, abs=1e-5)


def test_of_a_block_at_most_one_unit_is_drawn_with_its_probability(key: jax.Array) -> None:
    params = params_of(BINARY, 1.0)
    v = np.random.default_rng(1).integers(0, 2, (4, 4, 1)).astype(np.float32)
    drawn = np.asarray(jax.jit(BINARY.sample_hidden)(key, params, np.broadcast_to(v, (4000, 4, 4, 1))))
    assert set(np.unique(drawn)) == {0.0, 1.0} and drawn.sum((1, 2)).max() == 1
    np.testing.assert_allclose(drawn.mean(0), jax.jit(BINARY.hidden)(params, v)[0], atol=0.03)


def test_gaussian_units_are_drawn_with_their_deviation(key: jax.Array) -> None:
    params, h = params_of(GAUSSIAN), np.broadcast_to(hidden_states()[3].astype(np.float32), (4000, 2, 2, 2))
    drawn = jax.jit(GAUSSIAN.sample_visible)(key, params, h)
    np.testing.assert_allclose(drawn.mean(0), jax.jit(GAUSSIAN.mean_visible)(params, h[0]), atol=0.05)
    np.testing.assert_allclose(drawn.std(0), 0.7, atol=0.05)


@pytest.mark.gate
def test_long_chains_give_the_gradient_of_the_likelihood(key: jax.Array) -> None:
    """The exact gradient of ``-log p(v)`` by the sum over all 65,536 images."""
    params = params_of(BINARY, 0.3)
    data = np.random.default_rng(2).integers(0, 2, (4000, 4, 4, 1)).astype(np.float32)
    data[:, :2] = 0
    every = (np.arange(2**16)[:, None] >> np.arange(16) & 1).astype(np.float32).reshape(-1, 4, 4, 1)

    def negative_log_likelihood(params: Any) -> jax.Array:
        z = jax.nn.logsumexp(-BINARY.free_energy(params, every))
        return (BINARY.free_energy(params, data).mean() + z) * 0.8**2 / 4  # with the scale of the loss

    def chains(params: Any) -> jax.Array:
        return BINARY.loss(key, params, data, steps=12)[0].mean()

    exact, found = (jax.jit(jax.grad(function))(params) for function in (negative_log_likelihood, chains))
    for name in params:
        np.testing.assert_allclose(found[name], exact[name], atol=0.03, err_msg=name)
    assert max(float(np.abs(leaf).max()) for leaf in exact.values()) > 0.3


def test_one_round_is_the_rule_of_the_paper(key: jax.Array) -> None:
    """``v x h - v' x h'`` over the size of a hidden map, and a penalty of the hidden biases only."""
    crbm, params = GAUSSIAN, params_of(GAUSSIAN)
    v = np.random.default_rng(1).normal(size=(3, 6, 6, 1)).astype(np.float32)
    options: dict[str, Any] = {"mean_field": True, "target": 0.1, "sparsity": 2.0}
    gradient = jax.jit(jax.grad(lambda params: crbm.loss(key, params, v, **options)[0].mean()))(params)
    hidden_key, _ = jax.random.split(jax.random.split(key, 1)[0])
    drawn = jax.jit(crbm.sample_hidden)(hidden_key, params, v)
    again = np.asarray(jax.jit(crbm.mean_visible)(params, drawn))
    (plus, _), (minus, _) = (jax.jit(crbm.hidden)(params, each) for each in (v, again))

    def products(v: np.ndarray, h: np.ndarray) -> np.ndarray:
        found = np.zeros((3, 3, 1, 2))
        for i, j in np.ndindex(3, 3):
            found[i, j] = np.einsum("nhwc,nhwk->ck", v[:, i : i + 4, j : j + 4], h)
        return found / (3 * 16)

    plus, minus = np.asarray(plus), np.asarray(minus)
    np.testing.assert_allclose(gradient["kernel"], products(again, minus) - products(v, plus), atol=1e-5)
    sparse = 2.0 * (plus.mean((0, 1, 2)) - 0.1)
    np.testing.assert_allclose(gradient["bias"], (minus - plus).mean((0, 1, 2)) + sparse, atol=1e-5)


def test_two_layers_on_mnist_have_the_2600_features_of_the_paper() -> None:
    first, second = CRBM(window_shape=(12, 12), features=40), CRBM(window_shape=(6, 6), features=40, channels=40)

    def features(image: jax.Array) -> jax.Array:
        _, lower = first.hidden(first.init(jax.random.key(0)), first.crop(image))
        _, upper = second.hidden(second.init(jax.random.key(1)), second.crop(lower))
        return jnp.concatenate([lower.ravel(), upper.ravel()])

    assert jax.eval_shape(features, jax.ShapeDtypeStruct((28, 28, 1), jnp.float32)).shape == (40 * 64 + 40,)


def test_an_input_from_above_raises_the_units_of_its_block() -> None:
    params = params_of(BINARY)
    v, top = np.zeros((4, 4, 1), np.float32), np.array([[[1.5, 0.0]]], np.float32)
    inputs = np.exp(params["bias"] / 0.8**2 + top[0, 0])
    np.testing.assert_allclose(
        BINARY.hidden(params, v, top_down=top)[1][0, 0], 4 * inputs / (1 + 4 * inputs), atol=1e-6
    )


def test_without_blocks_and_with_a_window_of_the_image_it_is_that_of_scikit_learn() -> None:
    crbm = CRBM(window_shape=(2, 3), features=3, block=1)
    draw = np.random.default_rng(0)
    params = {"bias": draw.normal(size=3), "kernel": draw.normal(size=(2, 3, 1, 3)), "visible_bias": np.zeros(1)}
    params = {name: leaf.astype(np.float32) for name, leaf in params.items()}
    rbm: Any = BernoulliRBM(n_components=3)
    rbm.components_ = params["kernel"].reshape(6, 3).T
    rbm.intercept_hidden_, rbm.intercept_visible_ = params["bias"], np.zeros(6, np.float32)
    v = draw.integers(0, 2, (5, 2, 3, 1)).astype(np.float32)
    found, _ = jax.jit(crbm.hidden)(params, v)
    np.testing.assert_allclose(found.reshape(5, 3), rbm.transform(v.reshape(5, 6)), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: CRBM(window_shape=(3, 3), features=0), ValueError, "features=0 must be at least 1"),
        (lambda p: CRBM(window_shape=(3, 3), features=1, sigma=0.0), ValueError, "sigma=0.0 must be positive"),
        (lambda p: CRBM(window_shape=(3, 3), features=1, visible="real"), ValueError, "visible='real'"),
        (
            lambda p: BINARY.init(jax.random.key(0), activation=0.3),
            ValueError,
            "activation=0.3 must be between 0 and 0.25",
        ),
        (lambda p: BINARY.hidden(p, np.zeros((5, 4, 1))), ShapeError, "hidden maps of 3 x 2, which cannot be divided"),
        (
            lambda p: CRBM(window_shape=(3, 3), features=1, block=4).crop(np.zeros((5, 9, 1))),
            ShapeError,
            "of at least 6 x 6, for which a block of 4 x 4 fits, got",
        ),
        (lambda p: BINARY.crop(np.zeros((9, 9))), ShapeError, r"expected images \(\*batch, height, width, channels\)"),
        (
            lambda p: CRBM(window_shape=BINARY.window_shape, features=BINARY.features + 1).hidden(
                p, np.zeros((4, 4, 1))
            ),
            ShapeError,
            "and a kernel",
        ),
        (lambda p: BINARY.hidden(p, np.zeros((4, 4, 2))), ShapeError, r"expected images \(\*batch, height, width, 1\)"),
        (
            lambda p: BINARY.loss(jax.random.key(0), p, np.zeros((1, 4, 4, 1)), steps=0),
            ValueError,
            "steps=0 must be at least 1",
        ),
    ],
)
def test_other_arguments_are_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(params_of(BINARY))
