"""The pipeline of k-means features against loops over patches, NumPy and scikit-learn."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from jaxcnn import unsupervised
from jaxcnn._errors import ShapeError
from jaxcnn.unsupervised import Whitening
from tests.compiled import compiled

encode_patches = compiled(unsupervised.encode_patches)
random_patches = compiled(unsupervised.random_patches)


def images(count: int = 2, size: int = 7, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, channels), np.uint8)


def all_patches(image: np.ndarray, side: int) -> np.ndarray:
    """All patches as ``(positions, features)``, by loops."""
    places = range(image.shape[0] - side + 1)
    return np.stack([image[i : i + side, j : j + side].ravel() for i, j in itertools.product(places, places)])


def normalized(patches: np.ndarray, epsilon: float = 10) -> np.ndarray:
    x = patches.astype(np.float64)
    centred: np.ndarray = x - x.mean(1, keepdims=True)
    return centred / np.sqrt(x.var(1, ddof=1, keepdims=True) + epsilon)


def whitened(x: np.ndarray, epsilon: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    values, vectors = np.linalg.eigh(np.cov(x.T))
    return x.mean(0), vectors @ np.diag((values + epsilon) ** -0.5) @ vectors.T


def test_patches_are_windows_of_the_image_of_their_number() -> None:
    source = images(3)
    found = np.asarray(random_patches(jax.random.key(0), source, window_shape=(4, 5), count=20))
    assert found.shape == (20, 4, 5, 3) and found.dtype == np.uint8
    places = []
    for index, patch in enumerate(found):
        image = source[index % 3]
        there = [
            (i, j) for i, j in itertools.product(range(4), range(3)) if (image[i : i + 4, j : j + 5] == patch).all()
        ]
        assert len(there) == 1
        places += there
    assert {i for i, _ in places} == {0, 1, 2, 3} and {j for _, j in places} == {0, 1, 2}, "every position occurs"
    again = random_patches(jax.random.key(0), source, window_shape=(4, 5), count=20)
    np.testing.assert_array_equal(found, again)


def test_whitened_patches_have_the_covariance_of_the_definition() -> None:
    x = normalized(all_patches(images(1, 20)[0], 2))
    whitening = unsupervised.zca_whitening(x.astype(np.float32))
    mean, matrix = whitened(x)
    np.testing.assert_allclose(whitening.mean, mean, atol=1e-6)
    np.testing.assert_allclose(whitening.matrix, matrix, atol=1e-4)
    values = np.linalg.eigvalsh(np.cov(x.T))
    found = np.linalg.eigvalsh(np.cov(np.asarray(whitening(x.astype(np.float32))).T))
    np.testing.assert_allclose(found, values / (values + 0.1), atol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_patches_of_half_precision(dtype: Any) -> None:
    """Squares of pixels overflow float16, which eigendecompositions do not support."""
    x = np.random.default_rng(3).integers(0, 256, (9, 4)).astype(np.float32)
    for function in (unsupervised.normalize_contrast, lambda x: unsupervised.zca_whitening(x)(x)):
        found, expected = function(jnp.asarray(x, dtype)), function(x)  # type: ignore[operator]
        np.testing.assert_allclose(np.asarray(found, np.float32), expected, atol=0.02)


def test_centroids_are_those_of_scikit_learn() -> None:
    draw = np.random.default_rng(1)
    x = draw.normal(size=(9000, 3)).astype(np.float32)  # more than two blocks
    start = x[:5]
    options: Any = {"n_clusters": 5, "init": start, "n_init": 1, "algorithm": "lloyd", "tol": 0}
    # In float32, scikit-learn assigns some examples to a centroid that is not the nearest one.
    expected = KMeans(max_iter=20, **options).fit(x.astype(np.float64)).cluster_centers_
    found = unsupervised.kmeans(jax.random.key(0), x, k=5, rounds=20, centroids=start)
    np.testing.assert_allclose(found, expected, atol=5e-6)
    labels, distances = unsupervised.nearest_centroids(x, start)
    squares = ((x[:, None].astype(np.float64) - start) ** 2).sum(-1)
    np.testing.assert_array_equal(labels, squares.argmin(1))
    np.testing.assert_allclose(distances, squares.min(1), atol=1e-4)
    np.testing.assert_array_equal(unsupervised.lloyd_step(x, start).labels, labels)


def test_a_centroid_without_examples_becomes_zero() -> None:
    step = unsupervised.lloyd_step([[1.0], [3.0]], [[2.0], [50.0]])
    np.testing.assert_array_equal(step.centroids, [[2.0], [0.0]])


def test_initial_centroids_are_of_the_key() -> None:
    x = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    first, again, other = (
        np.asarray(unsupervised.kmeans(jax.random.key(seed), x, k=4, rounds=1)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


@pytest.mark.parametrize("encoding", ["triangle", "hard"])
def test_codes_are_those_of_a_loop_over_patches(encoding: Any) -> None:
    source = images()
    patches = [normalized(all_patches(image, 3)) for image in source]
    mean, matrix = whitened(np.concatenate(patches))
    centroids = 3 * np.random.default_rng(1).normal(size=(4, 27))
    expected = []
    for each in patches:
        z = np.sqrt((((each - mean) @ matrix)[:, None] - centroids) ** 2 @ np.ones(27))
        hard = np.eye(4)[z.argmin(1)]
        expected.append(np.maximum(z.mean(1, keepdims=True) - z, 0) if encoding == "triangle" else hard)
    whitening = Whitening(np.float32(mean), np.float32(matrix))
    found = encode_patches(source, centroids.astype(np.float32), whitening, window_shape=(3, 3), encoding=encoding)
    np.testing.assert_allclose(found, np.reshape(expected, (2, 5, 5, 4)), atol=2e-4)
    assert 0.2 < np.mean(np.asarray(found) > 0) < 0.8


def test_patches_without_contrast_have_a_finite_code() -> None:
    flat = np.full((5, 5, 1), 200, np.uint8)
    found = encode_patches(flat, np.eye(2, 9), Whitening.identity(9), window_shape=(3, 3))
    np.testing.assert_allclose(found, 0, atol=1e-6)  # at the same distance from both centroids


def test_quadrants_of_27_rows_have_14_and_13() -> None:
    x = np.random.default_rng(0).normal(size=(2, 27, 27, 3)).astype(np.float32)
    halves = slice(0, 14), slice(14, 27)
    expected = np.concatenate([x[:, rows, columns].sum((1, 2)) for rows in halves for columns in halves], 1)
    np.testing.assert_allclose(unsupervised.grid_pool(x), expected, rtol=1e-4, atol=1e-4)


def test_a_batch_at_a_time_is_all_at_once() -> None:
    x = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    np.testing.assert_array_equal(unsupervised.in_batches(lambda x: x[:, :1] ** 2, x, batch_size=3), x[:, :1] ** 2)


def test_the_support_vector_machine_is_that_of_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 3, 1300)  # one block and a part of one
    x = (draw.normal(size=(3, 4))[labels] + draw.normal(size=(1300, 4))) * [0.1, 1, 10, 30] + [1, 0, 50, -100]
    svm = unsupervised.linear_svm(x, labels, c=3.0, variance_floor=1e-6)
    z = StandardScaler().fit_transform(x) * np.sqrt(1299 / 1300)
    sklearn: Any = LinearSVC(C=3.0 / 1300, intercept_scaling=1e3, tol=1e-8, max_iter=100_000)
    expected = sklearn.fit(z, labels).decision_function(z)
    np.testing.assert_allclose(svm(x.astype(np.float32)), expected, atol=5e-3)


X, IDENTITY = np.ones((4, 2)), Whitening.identity(4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda u, k: u.random_patches(k, X, window_shape=2, count=1), ShapeError, r"\(n, height, width, channels\)"),
        (lambda u, k: u.random_patches(k, images(), window_shape=8, count=1), ShapeError, "larger than the images"),
        (lambda u, k: u.random_patches(k, images(), window_shape=2, count=0), ValueError, "count=0 must be at least 1"),
        (lambda u, k: u.normalize_contrast(np.ones((3, 1))), ShapeError, r"at least 2 features, not \(3, 1\)"),
        (lambda u, k: u.normalize_contrast(X, epsilon=0.0), ValueError, "epsilon=0.0 must be positive"),
        (lambda u, k: u.zca_whitening(X[0]), ShapeError, r"\(n, features\) with n of at least 2, not \(2,\)"),
        (lambda u, k: u.zca_whitening(X, epsilon=-1), ValueError, "epsilon=-1 must be positive"),
        (lambda u, k: u.nearest_centroids(X, np.ones((1, 3))), ShapeError, r"centroids \(k, features\), not \(4, 2\)"),
        (lambda u, k: u.lloyd_step(X[0], X), ShapeError, r"x must have the shape \(n, features\)"),
        (lambda u, k: u.kmeans(k, X, k=0), ValueError, "k=0 must be at least 1"),
        (lambda u, k: u.kmeans(k, X, k=2, rounds=0), ValueError, "rounds=0 must be at least 1"),
        (lambda u, k: u.kmeans(k, X, k=2, centroids=X), ShapeError, "expected k=2 initial centroids, got 4"),
        (lambda u, k: u.encode_patches(X, X, IDENTITY, window_shape=2), ShapeError, "images must have the shape"),
        (
            lambda u, k: u.encode_patches(images()[..., :1], X[:, :1], u.Whitening.identity(1), window_shape=1),
            ShapeError,
            "a patch of one pixel and one channel has no contrast",
        ),
        (
            lambda u, k: u.encode_patches(images(), X, IDENTITY, window_shape=2),
            ShapeError,
            "a patch has 2 x 2 x 3 = 12 features, but the centroids",
        ),
        (
            lambda u, k: u.encode_patches(images(), X, IDENTITY, window_shape=2, encoding="soft"),
            ValueError,
            "encoding='soft'",
        ),
        (lambda u, k: u.grid_pool(X), ShapeError, r"height, width, channels\), not \(4, 2\)"),
        (lambda u, k: u.grid_pool(images(), grid=0), ValueError, "grid=0 must be at least 1"),
        (lambda u, k: u.grid_pool(images(), grid=5), ShapeError, "7 x 7 cannot be divided into 5 x 5"),
        (lambda u, k: u.in_batches(abs, X, batch_size=0), ValueError, "batch_size=0 must be at least 1"),
        (lambda u, k: u.in_batches(abs, X[:0]), ValueError, "expected at least one example"),
        (lambda u, k: u.linear_svm(X, [0, 1]), ShapeError, r"got \(4, 2\) and \(2,\)"),
        (lambda u, k: u.linear_svm(X[:1], [0]), ValueError, "at least two examples"),
        (lambda u, k: u.linear_svm(X, [0, 1, 0, 1], c=0), ValueError, "expected a positive c, got 0"),
    ],
)
def test_other_arguments_are_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(unsupervised, jax.random.key(0))
