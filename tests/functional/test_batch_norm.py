"""Batch norm against loops, against the gradient in the paper, and in degenerate cases."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxcnn._errors import ShapeError
from jaxcnn.functional import _batch_norm, _moments
from jaxcnn.functional._batch_norm import BatchStats, batch_stats
from jaxcnn.functional._moments import _entries
from tests.compiled import compiled
from tests.examples import examples
from tests.oracles import batch_norm as oracle
from tests.tiers import default_rows

batch_norm = compiled(_batch_norm.batch_norm)


@st.composite
def batches(draw: Any) -> dict[str, Any]:
    shape = (*draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)), draw(st.integers(1, 3)))
    generator = np.random.default_rng(draw(st.integers(0, 2**31)))
    channels = shape[-1]
    kind = draw(st.sampled_from(["none", "examples", "positions", "rank of x", "entries"]))
    mask_shape = {
        "examples": shape[:1],
        "positions": shape[:-1],
        "rank of x": (shape[0], *(1,) * (len(shape) - 1)),
        "entries": shape,
    }.get(kind)
    return {
        "x": generator.standard_normal(shape) * 3 + 5,
        "mean": generator.standard_normal(channels),
        "var": generator.uniform(0.1, 2, channels),
        "count": float(draw(st.integers(0, 5))),
        "scale": generator.standard_normal(channels),
        "bias": generator.standard_normal(channels),
        "mask": None if mask_shape is None else generator.random(mask_shape) < 0.6,
        "momentum": draw(st.sampled_from([None, 0.0, 0.9, 1.0])),
        "epsilon": draw(st.sampled_from([1e-5, 1e-2])),
        "unbiased": draw(st.booleans()),
    }


def whole_mask(mask: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray | None:
    """A mask of leading axes, broadcast to ``shape``."""
    if mask is None:
        return None
    return np.broadcast_to(mask.reshape(mask.shape + (1,) * (len(shape) - mask.ndim)), shape)


@given(batches())
@examples(25)
def test_training_against_loops(case: dict[str, Any]) -> None:
    options = {name: case[name] for name in ("scale", "bias", "momentum", "epsilon", "unbiased")}
    expected = oracle.batch_norm(
        case["x"],
        case["mean"],
        case["var"],
        case["count"],
        mask=whole_mask(case["mask"], case["x"].shape),
        **options,
    )
    with jax.enable_x64(True):
        stats = BatchStats(case["mean"], case["var"], case["count"])
        y, stats = jax.jit(lambda *arrays: batch_norm(*arrays, train=True, mask=case["mask"], **options))(
            case["x"], stats
        )
    for got, want in zip((y, *jax.tree.leaves(stats)), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)


def test_inference_against_loops(key: jax.Array) -> None:
    x = jax.random.normal(key, (2, 3, 4))
    mean, var, scale, bias = np.random.default_rng(0).uniform(0.5, 2, (4, 4)).astype(np.float32)
    stats = BatchStats(mean, var, 7)
    y, after = batch_norm(x, stats, scale=scale, bias=bias, train=False, epsilon=1e-3)
    expected = oracle.normalise(np.asarray(x, float), mean, var, scale, bias, 1e-3)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    for before, now in zip(*map(jax.tree.leaves, (stats, after)), strict=True):
        np.testing.assert_array_equal(before, now)


@pytest.mark.parametrize("shape", [(64, 3), (16, 24, 24, 3), (4, 40_000, 3)])
def test_a_large_mean_costs_the_variance_nothing(shape: tuple[int, ...]) -> None:
    x = np.float32(1e4 + np.random.default_rng(0).standard_normal(shape))
    exact = np.asarray(x, float)
    axes = tuple(range(x.ndim - 1))
    mean, var = exact.mean(axes), exact.var(axes)
    y, stats = batch_norm(x, batch_stats(3), train=True, momentum=0.0, unbiased=False)
    np.testing.assert_allclose(stats.var, var, rtol=1e-5)
    np.testing.assert_allclose(stats.mean, mean, rtol=1e-7)
    # more accurate than the mean in float32
    np.testing.assert_allclose(y, (exact - mean) / np.sqrt(var + 1e-5), atol=2e-5)


def test_a_large_mean_costs_the_gradient_nothing() -> None:
    generator = np.random.default_rng(0)
    x, weight = (np.float32(mean + generator.standard_normal((32, 5, 3))) for mean in (1e4, 0))

    def gradient(x: Any, weight: Any) -> Any:
        return jax.jit(jax.grad(lambda x: jnp.sum(weight * batch_norm(x, batch_stats(3), train=True)[0])))(x)

    with jax.enable_x64(True):
        exact = gradient(x.astype(float), weight.astype(float))
    np.testing.assert_allclose(gradient(x, weight), exact, atol=2e-5)


def test_the_gradient_is_the_one_in_the_paper() -> None:
    """Ioffe and Szegedy, section 3: the chain rule through mean and variance."""
    with jax.enable_x64(True):
        generator = np.random.default_rng(0)
        x, g = 2 * generator.standard_normal((6, 4, 3)) + 1, generator.standard_normal((6, 4, 3))
        scale, bias = np.array([0.5, 1.0, -2.0]), np.zeros(3)

        def y(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
            return batch_norm(x, batch_stats(3), scale=scale, bias=bias, train=True)[0]

        dx, dscale, dbias = jax.jit(lambda *arrays: jax.vjp(y, *arrays)[1](g))(x, scale, bias)
    m = 24
    mean, var = x.mean((0, 1)), x.var((0, 1)) + 1e-5
    dhat = g * scale
    dvar = (dhat * (x - mean)).sum((0, 1)) * -0.5 * var**-1.5
    dmean = -dhat.sum((0, 1)) / np.sqrt(var)
    np.testing.assert_allclose(dx, dhat / np.sqrt(var) + dvar * 2 * (x - mean) / m + dmean / m, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(dscale, (g * (x - mean) / np.sqrt(var)).sum((0, 1)), rtol=1e-9)
    np.testing.assert_allclose(dbias, g.sum((0, 1)), rtol=1e-9)


def test_a_constant_channel_has_its_derivatives() -> None:
    """The variance of a channel that is constantly zero (a dead ReLU) is 0, and its second derivative is not."""
    with jax.enable_x64(True):
        x = np.zeros((4, 1))

        def var(x: jax.Array) -> jax.Array:
            return batch_norm(x, batch_stats(1), train=True, momentum=0.0, unbiased=False)[1].var[0]

        np.testing.assert_array_equal(jax.jit(jax.grad(var))(x), 0)
        np.testing.assert_allclose(jax.jit(jax.hessian(var))(x)[:, 0, :, 0], 2 / 4 * (np.eye(4) - 1 / 4), atol=1e-12)
        normed = jax.jit(lambda x: batch_norm(x, batch_stats(1), train=True, epsilon=1.0)[0])
        check_grads(normed, (x,), order=2)


def test_momentum_none_is_the_population_average(key: jax.Array) -> None:
    """Ioffe and Szegedy, algorithm 2: the mean over batches of the batch means and of the unbiased variances."""
    batches = 1 + 2 * jax.random.normal(key, (5, 8, 3, 2))

    def step(stats: BatchStats, x: jax.Array) -> tuple[BatchStats, None]:
        return batch_norm(x, stats, train=True, momentum=None)[1], None

    stats, _ = jax.lax.scan(step, batch_stats(2), batches)
    exact = np.asarray(batches, float)
    np.testing.assert_allclose(stats.mean, exact.mean((1, 2)).mean(0), rtol=1e-5)
    np.testing.assert_allclose(stats.var, exact.var((1, 2), ddof=1).mean(0), rtol=1e-5)
    assert stats.count == 5


def test_what_is_masked_out_has_no_part_in_the_statistics() -> None:
    real = np.random.default_rng(0).standard_normal((3, 4, 4, 2)).astype(np.float32)
    padded = np.concatenate([real, np.full((2, 4, 4, 2), 1e6, np.float32)])
    mask = np.arange(5) < 3
    y, stats = batch_norm(padded, batch_stats(2), train=True, mask=mask)
    expected_y, expected = batch_norm(real, batch_stats(2), train=True)
    np.testing.assert_allclose(y[:3], expected_y, rtol=1e-5, atol=1e-6)
    for got, want in zip(*map(jax.tree.leaves, (stats, expected)), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    gradient = jax.jit(jax.grad(lambda x: batch_norm(x, batch_stats(2), train=True, mask=mask)[1].var.sum()))(padded)
    np.testing.assert_array_equal(gradient[3:], 0)
    assert np.any(gradient[:3] != 0)


@pytest.mark.parametrize("momentum", default_rows([0.9, None], keep=[None]))
@pytest.mark.parametrize("nothing", ["masked out", "no example"])
def test_a_batch_of_nothing_changes_nothing(nothing: str, momentum: float | None) -> None:
    stats = BatchStats(np.float32([1, 2]), np.float32([4, 0.25]), np.float32(3))
    x, mask = np.float32([[3, 2.5], [5, 1]]), np.zeros(2, bool)
    if nothing == "no example":
        x, mask = x[:0], None
    y, after = batch_norm(x, stats, train=True, momentum=momentum, mask=mask)
    for before, now in zip(*map(jax.tree.leaves, (stats, after)), strict=True):
        np.testing.assert_array_equal(before, now)
    # normalised by the running statistics
    np.testing.assert_allclose(y, np.array([[1.0, 1.0], [2.0, -2.0]])[: len(x)], rtol=1e-4)
    gradients = jax.jit(jax.grad(lambda *a: batch_norm(*a, train=True, momentum=momentum, mask=mask)[0].sum(), (0, 1)))(
        x, stats
    )
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("x", [np.float32([[3, -1]]), np.float32([3, -1])], ids=["one example", "no batch axis"])
def test_a_batch_of_one_moves_the_mean_alone(x: jax.Array) -> None:
    """``m / (m - 1)`` is undefined for one entry, so the running variance does not change."""
    y, stats = batch_norm(x, batch_stats(2), train=True, momentum=0.5, bias=np.float32([7, 8]))
    np.testing.assert_array_equal(y.reshape(2), [7, 8])
    np.testing.assert_array_equal(stats.mean, [1.5, -0.5])
    np.testing.assert_array_equal(stats.var, [1, 1])
    biased = batch_norm(x, batch_stats(2), train=True, momentum=0.5, unbiased=False)[1]
    np.testing.assert_array_equal(biased.var, [0.5, 0.5])
    gradient = jax.jit(
        jax.grad(lambda x: sum(leaf.sum() for leaf in jax.tree.leaves(batch_norm(x, batch_stats(2), train=True)[1])))
    )(x)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_keeps_statistics_in_single(dtype: Any, key: jax.Array) -> None:
    x = (3 + jax.random.normal(key, (64, 4, 2))).astype(dtype)
    y, stats = batch_norm(x, batch_stats(2), train=True, momentum=0.0, unbiased=False)
    exact = np.asarray(x, float)
    assert y.dtype == dtype
    assert stats.mean.dtype == stats.var.dtype == jnp.float32
    np.testing.assert_allclose(stats.mean, exact.mean((0, 1)), rtol=1e-6)
    np.testing.assert_allclose(stats.var, exact.var((0, 1)), rtol=1e-5)
    expected = (exact - exact.mean((0, 1))) / np.sqrt(exact.var((0, 1)) + 1e-5)
    np.testing.assert_allclose(np.asarray(y, float), expected, atol=2e-2)
    assert batch_norm(x, stats, train=False, dtype=jnp.float32)[0].dtype == jnp.float32


def test_integers_become_float32() -> None:
    x = np.array([[0], [255], [255], [0]], np.uint8)
    y, _ = batch_norm(x, batch_stats(1), train=True)
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y[:, 0], [-1, 1, 1, -1], rtol=1e-4)


STATS = BatchStats(np.zeros(3), np.ones(3), 0.0)
IMAGES = np.ones((2, 4, 4, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: batch_norm(np.ones((2, 3, 8, 8)), STATS, train=True),
            ShapeError,
            r"batch_norm: stats.mean must have one entry per channel, \(8,\) for x.shape=\(2, 3, 8, 8\), but has shape "
            r"\(3,\). Is x channels-first\?",
        ),
        (
            lambda: batch_norm(IMAGES, dataclasses.replace(STATS, var=np.ones(4)), train=True),
            ShapeError,
            r"stats.var must have one entry per channel, \(3,\) .* has shape \(4,\). Is x channels-first",
        ),
        (lambda: batch_norm(IMAGES, STATS, scale=np.ones((1, 3)), train=False), ShapeError, r"scale .* \(1, 3\)\."),
        (lambda: batch_norm(IMAGES, STATS, bias=np.float32(1), train=False), ShapeError, r"bias .* has shape \(\)\."),
        (lambda: batch_norm(np.float32(1), STATS, train=False), ShapeError, "but is a scalar"),
        (
            lambda: batch_norm(IMAGES, STATS, train=True, mask=np.ones(4)),
            ShapeError,
            r"mask.shape=\(4,\) does not fit x.shape=\(2, 4, 4, 3\). Give it one entry per example, \(2,\), or per "
            r"position, \(2, 4, 4\), or the rank of x",
        ),
        (lambda: batch_norm(IMAGES, STATS, train=True, mask=np.ones((1,) * 5)), ShapeError, "does not fit"),
        (lambda: batch_norm(IMAGES, STATS, train=True, momentum=1.5), ValueError, "momentum=1.5 must be between 0"),
        (lambda: batch_norm(IMAGES, STATS, train=True, momentum="0.9"), TypeError, "momentum='0.9' .* must be numbers"),
        (lambda: batch_norm(IMAGES, STATS, train=True, epsilon=-1e-5), ValueError, "epsilon=-1e-05 must not be negat"),
        (lambda: batch_norm(IMAGES, STATS, train="no"), TypeError, "train is True or False, not 'no'"),
        (
            lambda: jax.jit(lambda train: batch_norm(IMAGES, STATS, train=train))(True),
            TypeError,
            "train is True or False, .* static_argnames='train'",
        ),
        (lambda: batch_norm(None, STATS, train=True), TypeError, "batch_norm: x must be an array"),
        (
            lambda: batch_norm(IMAGES, (0, 1), train=True),
            TypeError,
            r"stats must be a BatchStats, such as batch_stats\(channels\) returns, not tuple",
        ),
        (
            lambda: batch_norm(IMAGES + 1j, STATS, train=True),
            TypeError,
            "real numbers, not complex.*x.real and x.imag",
        ),
        (lambda: batch_stats(0), ShapeError, "batch_stats: channels=0 must be at least 1"),
        (lambda: batch_stats(2.0), TypeError, "batch_stats: channels must be an integer, not 2.0"),
    ],
)
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("value", default_rows([np.nan, np.inf, -np.inf, 1e38], keep=[np.nan]))
@pytest.mark.parametrize("spatial", default_rows([False, True], keep=[True]))
def test_what_is_masked_out_may_be_anything(value: float, spatial: bool, key: jax.Array) -> None:
    """Output, statistics and gradients equal those of the batch without the masked entries, whose own gradient is 0."""
    whole = np.array(jax.random.normal(key, (5, 3, 2, 2) if spatial else (5, 2)))
    counts = np.arange(5) != 2
    whole[2] = value

    def loss(x: jax.Array, scale: jax.Array, mask: Any) -> Any:
        y, stats = batch_norm(x, batch_stats(2), scale=scale, train=True, mask=mask)
        counted = y if mask is None else y[counts]
        return jnp.sin(counted).sum() + stats.var.sum() + stats.mean.sum(), (counted, stats)

    scale = jnp.array([0.5, 2.0])
    gradient = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
    (_, got), (dx, d_scale) = gradient(whole, scale, counts)
    (_, expected), (dx_alone, d_scale_alone) = gradient(whole[counts], scale, None)
    for one, two in zip(jax.tree.leaves((got, d_scale)), jax.tree.leaves((expected, d_scale_alone)), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(dx[counts], dx_alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(dx[2], 0)


@pytest.mark.parametrize("masked", [False, True])
def test_more_entries_than_integers_of_32_bits(masked: bool) -> None:
    """Shapes only: the program is traced and lowered, and never run."""
    x = jax.ShapeDtypeStruct((1, 60_000, 60_000, 1), jnp.float32)
    mask = jax.ShapeDtypeStruct((1, 60_000, 60_000), jnp.bool_) if masked else None

    def call(x: jax.Array, mask: jax.Array | None) -> jax.Array:
        return batch_norm(x, batch_stats(1), train=True, mask=mask)[0].sum()

    lowered = jax.jit(jax.value_and_grad(call)).lower(x, mask)
    assert lowered.out_info[1].shape == x.shape


def test_a_mask_of_many_entries_is_counted_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """The count for the largest batches, tested on a small batch with a lower limit."""
    mask = np.random.default_rng(0).random((3, 5, 7)) < 0.5
    x = jnp.zeros((3, 5, 7, 2))
    monkeypatch.setattr(_moments, "INT32_END", 8)
    assert float(_entries(x, jnp.asarray(mask)[..., None])[0]) == mask.sum()
