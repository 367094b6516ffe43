"""BatchNorm replaces Flax's: the same arguments, the same variables and, with ``unbiased=False``, the same numbers."""

import contextlib
import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from flax.errors import ModifyScopeVariableError
from jax.sharding import PartitionSpec as P

from jaxcnn._errors import ShapeError
from jaxcnn.nn._batch_norm import BatchNorm
from tests.tiers import default_rows


def flax_fields(module: Any) -> list[tuple[str, Any]]:
    """Names and defaults of the arguments, in order."""
    skipped = {"parent", "name"}
    return [(f.name, f.default) for f in dataclasses.fields(module) if f.name not in skipped]


@contextlib.contextmanager
def lenient() -> Iterator[None]:
    """Allows mixed dtypes and ranks, which Flax requires."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def dtype_of(leaf: jax.Array) -> Any:
    return leaf.dtype


def expect_same(ours: Any, theirs: Any, tolerance: float) -> None:
    """Compares results; the mean over no entries is NaN in Flax and the running mean here."""
    assert np.isfinite(ours).all()
    np.testing.assert_allclose(np.where(np.isnan(theirs), ours, theirs), ours, rtol=tolerance, atol=tolerance)


def test_the_arguments_are_those_of_flax() -> None:
    ours = flax_fields(BatchNorm)
    names = [name for name, _ in flax_fields(linen.BatchNorm)]
    assert [name for name, _ in ours if name != "unbiased"] == names
    assert dict(ours) == {**dict(flax_fields(linen.BatchNorm)), "unbiased": True}
    call, theirs = (inspect.signature(module.__call__).parameters for module in (BatchNorm, linen.BatchNorm))
    assert [(p.name, p.kind, p.default) for p in call.values()] == [
        (p.name, p.kind, p.default) for p in theirs.values()
    ]


OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "momentum and epsilon": {"momentum": 0.8, "epsilon": 0.1},
    "no bias": {"use_bias": False},
    "no scale": {"use_scale": False},
    "initializers": {"bias_init": linen.initializers.normal(1.0), "scale_init": linen.initializers.normal(1.0)},
    "first axis": {"axis": 0},
    "middle axis": {"axis": -2},
    "two axes": {"axis": (1, -1)},
    "every axis but one": {"axis": (0, 1, 2)},
    "float64 parameters": {"param_dtype": jnp.float64},
    "statistics of parameters": {"param_dtype": jnp.float64, "force_float32_reductions": False},
    "dtype": {"dtype": jnp.float32},
}
BY_DEFAULT = {
    ("momentum and epsilon", "none"),
    ("initializers", "none"),
    ("first axis", "none"),
    ("statistics of parameters", "none"),
    ("defaults", "examples"),
    ("two axes", "entries"),
}


@pytest.mark.parametrize(
    ("options", "mask"),
    [
        pytest.param(options, mask, marks=() if (options, mask) in BY_DEFAULT else pytest.mark.gate)
        for options in OPTIONS
        for mask in ("none", "examples", "entries")
    ],
)
def test_variables_and_numbers_are_those_of_flax(options: str, mask: str, key: jax.Array) -> None:
    with jax.enable_x64(True):
        x = 3 + 2 * jax.random.normal(key, (4, 3, 5, 2), jnp.float64)
        counts = {"none": None, "examples": np.array([1, 0, 1, 1]).reshape(4, 1, 1, 1), "entries": np.asarray(x) > 2.5}

        def run(module: Any, after: Any) -> Any:
            """Variables, and results and statistics in training and evaluation; ``after`` is used in evaluation."""

            @jax.jit
            def program(x: jax.Array, after: Any) -> Any:
                made, more = module.init(key, x, use_running_average=False), {"mutable": ["batch_stats"]}
                trained = module.apply(made, x, use_running_average=False, mask=counts[mask], **more)
                variables = {**made, **(after or trained[1])}
                return made, trained, module.apply(variables, x, use_running_average=True, mask=counts[mask], **more)

            return program(x, after)

        made, *ours = run(BatchNorm(**OPTIONS[options], unbiased=False), None)
        with lenient():
            variables, *theirs = run(linen.BatchNorm(**OPTIONS[options], use_fast_variance=False), ours[0][1])
        jax.tree.map(np.testing.assert_array_equal, made, variables)
        assert jax.tree.map(dtype_of, made) == jax.tree.map(dtype_of, variables)
        for (y, updates), (expected, their_updates) in zip(ours, theirs, strict=True):
            assert y.dtype == expected.dtype
            tolerance = 1e-5 if expected.dtype == jnp.float32 else 1e-6  # statistics are float32
            expect_same(y, expected, tolerance)
            jax.tree.map(lambda a, b: expect_same(a, b, 1e-6), updates, their_updates)


@pytest.mark.parametrize(
    "x_dtype", default_rows([jnp.bfloat16, jnp.float16, jnp.float32, jnp.uint8], keep=[jnp.bfloat16, jnp.uint8])
)
@pytest.mark.parametrize("dtype", default_rows([None, jnp.bfloat16, jnp.float32], keep=[None, jnp.bfloat16]))
@pytest.mark.parametrize("param_dtype", default_rows([jnp.float32, jnp.bfloat16], keep=[jnp.float32]))
def test_result_dtypes_are_those_of_flax(x_dtype: Any, dtype: Any, param_dtype: Any) -> None:
    x = (10 * np.random.default_rng(0).random((8, 3))).astype(x_dtype)
    options = {"use_running_average": False, "dtype": dtype, "param_dtype": param_dtype}
    with lenient():
        expected, variables = jax.jit(linen.BatchNorm(**options).init_with_output)(jax.random.key(0), x)
    y, made = jax.jit(BatchNorm(**options).init_with_output)(jax.random.key(0), x)
    assert y.dtype == expected.dtype
    assert jax.tree.map(dtype_of, made) == jax.tree.map(dtype_of, variables)
    np.testing.assert_allclose(np.asarray(y, float), np.asarray(expected, float), atol=3e-2)


def test_the_running_variance_is_unbiased_by_default(key: jax.Array) -> None:
    x = jax.random.normal(key, (5, 2))
    layer = BatchNorm(use_running_average=False, momentum=0.0)
    _, updates = layer.apply(layer.init(key, x), x, mutable=["batch_stats"])
    np.testing.assert_allclose(updates["batch_stats"]["var"], np.var(x, 0, ddof=1), rtol=1e-5)


def test_momentum_none_counts_the_batches(key: jax.Array) -> None:
    batches = 5 + jax.random.normal(key, (3, 8, 2))
    layer = BatchNorm(use_running_average=False, momentum=None)
    variables = layer.init(key, batches[0])
    assert set(variables["batch_stats"]) == {"mean", "var", "count"}
    assert variables["batch_stats"]["count"] == 0
    for x in batches:
        _, updates = layer.apply(variables, x, mutable=["batch_stats"])
        variables = {**variables, **updates}
    np.testing.assert_allclose(variables["batch_stats"]["mean"], np.mean(batches, (0, 1)), rtol=1e-6)
    np.testing.assert_allclose(variables["batch_stats"]["var"], np.var(batches, 1, ddof=1).mean(0), rtol=1e-5)
    assert variables["batch_stats"]["count"] == 3


def test_a_large_mean_costs_nothing_where_it_costs_flax_everything(key: jax.Array) -> None:
    x = 1e4 + jax.random.normal(key, (64, 1))
    layers = (BatchNorm(use_running_average=False), linen.BatchNorm(use_running_average=False))
    ours, theirs = (layer.init_with_output(key, x)[0] for layer in layers)
    assert abs(float(ours.std()) - 1) < 1e-3
    assert abs(float(theirs.std()) - 1) > 0.1  # if this fails, remove the sentence about it from the docstring


def test_init_needs_no_axis_and_moves_nothing(key: jax.Array) -> None:
    layer = BatchNorm(use_running_average=False, axis_name="data")
    variables = layer.init(key, 7 + jnp.ones((4, 2)))
    np.testing.assert_array_equal(variables["batch_stats"]["mean"], 0)
    np.testing.assert_array_equal(variables["batch_stats"]["var"], 1)


def test_devices_share_a_batch_by_axis_name(key: jax.Array) -> None:
    x = jax.random.normal(key, (8, 3, 2)) * jnp.arange(1, 9.0).reshape(8, 1, 1)
    mask = np.array([1, 1, 1, 0, 0, 0, 1, 0], bool)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:4])
    alone, together = BatchNorm(), BatchNorm(axis_name="data")
    variables = alone.init(key, x, use_running_average=False)

    def train(layer: Any, variables: Any, x: jax.Array, mask: jax.Array) -> Any:
        return layer.apply(variables, x, use_running_average=False, mask=mask, mutable=["batch_stats"])

    expected = train(alone, variables, x, mask)
    sharded = jax.shard_map(
        lambda *a: train(together, *a),
        mesh=mesh,
        in_specs=(P(), P("data"), P("data")),
        out_specs=(P("data"), P()),
    )
    got = jax.jit(sharded)(variables, x, mask)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, expected)


def test_it_trains(key: jax.Array) -> None:
    """Gradients reach scale, bias and the input; a frozen collection is refused as in Flax."""
    x = jax.random.normal(key, (6, 3))
    layer = BatchNorm(use_running_average=False)
    variables = jax.jit(layer.init)(key, x)

    def loss(params: Any, x: jax.Array) -> jax.Array:
        y, _ = layer.apply({**variables, "params": params}, x, mutable=["batch_stats"])
        return jnp.sum(jnp.sin(3 * y))

    gradients = jax.jit(jax.grad(loss, (0, 1)))(variables["params"], x)
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradients))
    with pytest.raises(ModifyScopeVariableError):
        layer.apply(variables, x)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"axis": 2}, ShapeError, r"BatchNorm: axis=2 is not among the 2 axes of x.shape=\(4, 3\)"),
        ({"axis": (0, -2)}, ShapeError, r"axis=\(0, -2\) names an axis of x.shape=\(4, 3\) twice"),
        ({"axis": 1.0}, TypeError, "BatchNorm: axis must be an integer"),
        ({"momentum": 2.0}, ValueError, "momentum=2.0 must be between 0 and 1"),
        ({"use_running_average": None}, ValueError, "use_running_average"),
    ],
)
def test_errors(options: dict[str, Any], error: type[Exception], message: str) -> None:
    layer = BatchNorm(**{"use_running_average": False, **options})
    with pytest.raises(error, match=message):
        layer.init(jax.random.key(0), jnp.ones((4, 3)))


def test_a_mask_that_does_not_fit_is_refused() -> None:
    x = jnp.ones((4, 3))
    for axis in (-1, 0):
        with pytest.raises(ShapeError, match=r"mask.shape=\(3,\) does not fit x.shape=\(4, 3\)"):
            BatchNorm(axis=axis).init(jax.random.key(0), x, use_running_average=False, mask=jnp.ones(3))
