"""Sparse codes against scikit-learn, dictionaries against optimality conditions, and PSD against its parts."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.decomposition import dict_learning, sparse_encode

from jaxcnn import functional as F
from jaxcnn import unsupervised
from jaxcnn._errors import ShapeError
from tests.compiled import compiled

sparse_codes = compiled(unsupervised.sparse_codes)


def patches_and_kernel(count: int, *, features: int) -> tuple[np.ndarray, np.ndarray]:
    """Sparse sums of unit kernels with noise, and the kernels: 3x4 pixels with 2 channels."""
    draw = np.random.default_rng(0)
    kernel = draw.normal(size=(3, 4, 2, features))
    kernel /= np.sqrt((kernel**2).sum((0, 1, 2)))
    codes = draw.normal(size=(count, features)) * (draw.random((count, features)) < 0.2)
    x = np.einsum("nk,hwck->nhwc", codes, kernel) + 0.05 * draw.normal(size=(count, 3, 4, 2))
    return x, kernel


@pytest.mark.parametrize("features", [pytest.param(10, marks=pytest.mark.gate), 40])
def test_codes_of_patches_are_those_of_scikit_learn(features: int) -> None:
    x, kernel = patches_and_kernel(20, features=features)
    found = sparse_codes(x.astype(np.float32), kernel.astype(np.float32), penalty=0.1, steps=1000)
    atoms = kernel.reshape(-1, features).T
    options: Any = {"algorithm": "lasso_cd", "alpha": 0.1, "max_iter": 100_000}
    expected = sparse_encode(x.reshape(20, -1), atoms, **options)
    np.testing.assert_allclose(np.reshape(found, (20, features)), expected, atol=1e-4)
    assert 0.05 < np.mean(expected != 0) < 0.6


def test_codes_of_images_are_those_of_the_matrix_of_the_convolution() -> None:
    """The rows of an equivalent dictionary of whole images are the kernels at every position."""
    draw = np.random.default_rng(0)
    kernel = draw.normal(size=(2, 3, 2, 2)).astype(np.float32)
    places = np.eye(3 * 3 * 2, dtype=np.float32).reshape(-1, 3, 3, 2)
    rows = np.asarray(F.conv_transpose(places, kernel, padding="VALID"), float)
    assert rows.shape == (18, 4, 5, 2)
    x = draw.normal(size=(2, 4, 5, 2))
    options: Any = {"algorithm": "lasso_cd", "alpha": 0.5, "max_iter": 100_000}
    expected = sparse_encode(x.reshape(2, -1), rows.reshape(18, -1), **options)
    found = sparse_codes(x.astype(np.float32), kernel, penalty=0.5, steps=2000)
    np.testing.assert_allclose(np.reshape(found, (2, 18)), expected, atol=1e-4)


@pytest.mark.parametrize("size", [2, 4])
def test_of_a_dictionary_of_zeros_the_codes_are_zero(size: int) -> None:
    kernel = np.zeros((2, 2, 1, 3), np.float32)
    for penalty in (0.0, 0.1):
        np.testing.assert_array_equal(sparse_codes(np.ones((1, size, size, 1)), kernel, penalty=penalty, steps=3), 0)


def test_the_updated_dictionary_is_the_best_one_of_length_at_most_one() -> None:
    """For each kernel, the gradient of the squared error is 0, or opposite to the kernel (Karush, Kuhn and Tucker)."""
    x, kernel = patches_and_kernel(60, features=5)
    codes = np.random.default_rng(1).normal(size=(60, 5))
    x = x + np.einsum("nk,hwck->nhwc", codes, kernel * [2, 0.5, 2, 0.5, 1.5])  # some kernels exceed the maximum length
    found = kernel.astype(np.float32)
    for _ in range(60):
        found = unsupervised.dictionary_step(x.astype(np.float32), codes.astype(np.float32), found)
    atoms = np.asarray(found, float).reshape(-1, 5).T
    gradient = codes.T @ (codes @ atoms - x.reshape(60, -1))
    lengths = np.linalg.norm(atoms, axis=1)
    assert (lengths <= 1 + 1e-5).all() and 0 < (lengths < 0.99).sum() < 5
    outwards = np.maximum(-(gradient * atoms).sum(1, keepdims=True), 0) * (lengths > 0.999)[:, None]
    np.testing.assert_allclose(gradient, -outwards * atoms, atol=1e-3)


def test_a_dictionary_of_one_pattern_is_found() -> None:
    x = np.random.default_rng(0).uniform(1, 2, (8, 1, 1, 1)) * np.full((1, 1, 2, 1), 0.5**0.5)
    kernel = unsupervised.learn_dictionary(jax.random.key(0), x, features=1, penalty=0.1, rounds=2, steps=2)
    np.testing.assert_allclose(kernel, np.full((1, 2, 1, 1), 0.5**0.5), atol=1e-6)


def test_a_kernel_that_is_not_used_stays() -> None:
    x, kernel = patches_and_kernel(6, features=3)
    codes = np.ones((6, 3)) * [1, 0, 2]
    found = unsupervised.dictionary_step(x, codes, kernel)
    np.testing.assert_array_equal(found[..., 1], kernel[..., 1].astype(np.float32))


@pytest.mark.gate
def test_a_learned_dictionary_is_as_good_as_that_of_scikit_learn() -> None:
    x, _ = patches_and_kernel(200, features=12)
    flat = x.reshape(200, -1)
    kernel = unsupervised.learn_dictionary(jax.random.key(0), x, features=12, penalty=0.1, rounds=60)
    codes = sparse_codes(x.astype(np.float32), kernel, penalty=0.1, steps=300)
    error = x - np.asarray(F.conv_transpose(codes, kernel, padding="VALID"))
    found = 0.5 * (error**2).sum() + 0.1 * np.abs(codes).sum()
    options: Any = {"n_components": 12, "alpha": 0.1, "max_iter": 60, "method": "cd", "random_state": 0}
    loss = dict_learning(flat, **options)[2][-1]
    assert found < 1.03 * loss, (found, loss)


def psd(nonlinearity: Any) -> tuple[dict[str, jax.Array], np.ndarray, dict[str, Any]]:
    params = unsupervised.init_psd(jax.random.key(0), (2, 2), channels=1, features=3)
    params = {**params, "bias": jnp.array([0.3, -0.2, 0.1]), "decoder": 2 * params["decoder"]}
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 1))
    return params, x, {"penalty": 0.2, "alpha": 0.7, "steps": 1000, "nonlinearity": nonlinearity}


@pytest.mark.gate
@pytest.mark.parametrize("nonlinearity", ["tanh", "shrink"])
def test_the_gradient_is_that_of_the_minimum_over_codes(nonlinearity: Any) -> None:
    """Finite differences of the energy, in which the codes change with the parameters."""
    params, x, options = psd(nonlinearity)
    with jax.enable_x64(True):
        params64 = {name: jnp.asarray(np.asarray(leaf, np.float64)) for name, leaf in params.items()}
        flat, restore = jax.flatten_util.ravel_pytree(params64)
        loss = jax.jit(lambda flat: unsupervised.psd_loss(restore(flat), jnp.asarray(x), **options).sum())
        expected = approx_fprime(np.asarray(flat), lambda flat: float(loss(jnp.asarray(flat))), 1e-6)
        np.testing.assert_allclose(jax.jit(jax.grad(loss))(flat), expected, atol=1e-4)


@pytest.mark.parametrize("nonlinearity", [pytest.param("tanh", marks=pytest.mark.gate), "shrink"])
def test_the_energy_has_its_three_parts(nonlinearity: Any) -> None:
    params, x, options = psd(nonlinearity)
    options["steps"] = 2
    encoder, bias = np.asarray(params["encoder"], float), np.asarray(params["bias"], float)
    s = np.zeros((2, 2, 3, 3))
    for i in range(2):
        for j in range(3):
            s[:, i, j] = (x[:, i : i + 2, j : j + 2, :, None] * encoder).sum((1, 2, 3))
    shrunk = np.sign(s) * (np.log(np.exp(abs(bias)) + np.exp(abs(s)) - 1) - abs(bias))
    predicted = np.tanh(s + bias) if nonlinearity == "tanh" else shrunk
    found = compiled(unsupervised.psd_encode)(params, x.astype(np.float32), nonlinearity=nonlinearity)
    np.testing.assert_allclose(found, predicted, atol=1e-5)
    z = np.asarray(compiled(unsupervised.psd_codes)(params, x.astype(np.float32), **options), float)
    decoder = np.asarray(params["decoder"], float) / 2
    rebuilt = np.zeros(x.shape)
    for i in range(2):
        for j in range(3):
            rebuilt[:, i : i + 2, j : j + 2] += np.einsum("nk,hwck->nhwc", z[:, i, j], decoder)
    parts = 0.5 * (x - rebuilt) ** 2, 0.2 * abs(z), 0.7 * (z - predicted) ** 2
    expected = sum(part.reshape(2, -1).sum(1) for part in parts)
    np.testing.assert_allclose(
        compiled(unsupervised.psd_loss)(params, x.astype(np.float32), **options), expected, rtol=1e-4
    )


X, K = np.ones((2, 3, 3, 1)), np.ones((2, 2, 1, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda u, k: u.sparse_codes(X[..., 0], K, penalty=1), ShapeError, r"got \(2, 3, 3\) and \(2, 2, 1, 3\)"),
        (lambda u, k: u.sparse_codes(X, np.ones((4, 2, 1, 3)), penalty=1), ShapeError, "larger than the images"),
        (lambda u, k: u.sparse_codes(X, K, penalty=-1), ValueError, "penalty=-1 must not be negative"),
        (lambda u, k: u.sparse_codes(X, K, penalty=1, steps=0), ValueError, "steps=0 must be at least 1"),
        (lambda u, k: u.dictionary_step(X, np.ones((2, 3)), K), ShapeError, r"got \(2, 3, 3, 1\), \(2, 3\) and"),
        (lambda u, k: u.learn_dictionary(k, X[0], features=2, penalty=1), ShapeError, "patches must have the shape"),
        (lambda u, k: u.learn_dictionary(k, X, features=0, penalty=1), ValueError, "features=0 must be at least 1"),
        (lambda u, k: u.init_psd(k, (2, 2), channels=0, features=1), ValueError, "channels=0 must be at least 1"),
        (lambda u, k: u.psd_encode({"encoder": K}, X, nonlinearity="relu"), ValueError, "nonlinearity='relu'"),
    ],
)
def test_other_arguments_are_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(unsupervised, jax.random.key(0))
