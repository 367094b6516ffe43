"""Networks for time series: sizes, masks in every layer, causality, and generation with a cache."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ShapeError, models
from tests.models.small import count_multiply_adds, quick_jit
from tests.tiers import default_rows

CLASSIFIERS: dict[str, dict[str, Any]] = {
    "fcn_1d": {"widths": (3, 4, 3)},
    "resnet_1d": {"widths": (2, 3)},
    "inception_time": {"width": 2, "depth": 3, "windows": (4,)},
}


def random(shape: tuple[int, ...]) -> np.ndarray:
    """The same values for a shape in every test, independent of the order of tests."""
    return np.random.default_rng(shape).standard_normal(shape)


every_classifier = pytest.mark.parametrize("name", default_rows(list(CLASSIFIERS), keep=["inception_time"]))


@pytest.mark.parametrize(
    "name", default_rows([*CLASSIFIERS, "pilotnet", "wavenet_stack"], keep=[*list(CLASSIFIERS)[:1], "pilotnet"])
)
def test_sizes_are_those_of_the_info(name: str) -> None:
    info, model = models.info(name), models.create(name)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *info.input_shape)))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == info.parameters
    assert count_multiply_adds(model, (1, *info.input_shape)) == info.macs


@pytest.mark.gate
@pytest.mark.parametrize(
    ("name", "parameters"), [("fcn_1d", 265_478), ("resnet_1d", 504_774), ("inception_time", 420_966)]
)
def test_sizes_for_six_classes(name: str, parameters: int) -> None:
    variables = jax.eval_shape(models.create(name, num_classes=6).init, jax.random.key(0), jnp.zeros((427, 1)))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == parameters


def drawn(shapes: Any) -> Any:
    """Random parameters, and statistics with positive variances."""
    draw = {"params": random, "batch_stats": lambda shape: np.abs(random(shape)) + 0.5}
    return {
        part: jax.tree.map(lambda leaf, part=part: draw[part](leaf.shape).astype(np.float32), tree)
        for part, tree in shapes.items()
    }


def padded(series: list[np.ndarray], length: int, fill: float) -> tuple[np.ndarray, np.ndarray]:
    x = np.full((len(series), length, series[0].shape[-1]), fill, np.float32)
    mask = np.zeros((len(series), length), bool)
    for index, each in enumerate(series):
        x[index, : len(each)], mask[index, : len(each)] = each, True
    return x, mask


@every_classifier
def test_a_padded_series_has_the_logits_of_the_series_alone(name: str) -> None:
    """The padding may have any values at evaluation, and does not enter the batch statistics in training."""
    model = models.create(name, num_classes=3, **CLASSIFIERS[name])
    series = [random((length, 2)).astype(np.float32) for length in (5, 9)]
    variables = drawn(jax.eval_shape(model.init, jax.random.key(0), series[0]))

    @quick_jit
    def every(variables: Any) -> Any:
        nan, other = (padded(series, 12, fill) for fill in (np.nan, 7.0))
        train = jax.vmap(lambda x: model.apply(variables, x, train=True, mask=nan[1], mutable=["batch_stats"]))
        alone = model.apply(variables, series[0])
        return alone, model.apply(variables, nan[0], mask=nan[1])[0], train(np.stack([nan[0], other[0]]))

    alone, together, (logits, updates) = every(variables)
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits[0], logits[1], rtol=1e-4, atol=1e-5)
    for before, after in zip(jax.tree.leaves(variables["batch_stats"]), jax.tree.leaves(updates), strict=True):
        np.testing.assert_allclose(after[0], after[1], rtol=1e-4, atol=1e-5)
        assert not np.allclose(after[0], before)


def test_a_full_mask_changes_nothing_and_statistics_are_those_of_the_entries() -> None:
    model = models.create("fcn_1d", num_classes=3, widths=(3, 2, 2))
    x = random((4, 6, 1)).astype(np.float32)
    variables = drawn(jax.eval_shape(model.init, jax.random.key(0), x))
    mask = np.arange(6) < np.array([[6], [4], [2], [6]])

    @quick_jit
    def every() -> Any:
        train = functools.partial(model.apply, variables, x, train=True, mutable=["batch_stats"])
        return train(), train(mask=np.ones((4, 6))), train(mask=mask)[1]

    plain, full, updates = every()
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), plain, full)
    kernel, bias = (variables["params"]["conv1"][leaf] for leaf in ("kernel", "bias"))
    # Keras pads an even window by one more at the end
    wide = np.pad(np.where(mask[..., None], x, 0), ((0, 0), (3, 4), (0, 0)))
    conv1 = np.stack([(wide[:, t : t + 8, :, None] * kernel).sum((1, 2)) for t in range(6)], 1) + bias
    old = variables["batch_stats"]["norm1"]["mean"]
    wanted = 0.99 * old + 0.01 * conv1[mask].mean(0)
    np.testing.assert_allclose(updates["batch_stats"]["norm1"]["mean"], wanted, rtol=1e-5)


@pytest.mark.gate
def test_features_and_a_model_without_a_head() -> None:
    x = jnp.zeros((2, 3, 20, 1))
    for name, options in CLASSIFIERS.items():
        model = models.create(name, num_classes=0, **options)
        variables = jax.eval_shape(model.init, jax.random.key(0), x)
        assert "head" not in variables["params"]
        found = jax.eval_shape(functools.partial(model.apply, method="features"), variables, x)
        assert found["pooled"].shape == found["logits"].shape and found["pooled"].shape[:2] == (2, 3)


WAVENET: dict[str, Any] = {"num_classes": 3, "dilations": (1, 3), "stacks": 2, "width": 2, "skip_width": 3}
FIELD = 1 + 2 * (1 + 3)


def test_each_output_depends_on_its_entry_and_those_of_the_receptive_field_before() -> None:
    model = models.create("wavenet_stack", **WAVENET)
    x = np.abs(random((20, 2))).astype(np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), x)
    # With positive numbers no rectifier is zero, so that an input entry changes all outputs that depend on it.
    variables = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.2, np.float32), shapes)
    changed = x.copy()
    changed[3] += 1
    before, after = quick_jit(jax.vmap(functools.partial(model.apply, variables)))(np.stack([x, changed]))
    differs = (before != after).any(-1)
    np.testing.assert_array_equal(differs, (np.arange(20) >= 3) & (np.arange(20) < 3 + FIELD))


def test_the_maps_of_a_stack_are_its_features() -> None:
    model = models.create("wavenet_stack", **WAVENET)
    x = random((20, 2)).astype(np.float32)
    variables = drawn(jax.eval_shape(model.init, jax.random.key(0), x))
    found = quick_jit(functools.partial(model.apply, method="features"))(variables, x)
    assert {name: each.shape for name, each in found.items()} == {
        **{f"layer{number}": (20, 2) for number in range(1, 5)},
        "logits": (20, 3),
    }
    np.testing.assert_allclose(found["logits"], quick_jit(model.apply)(variables, x), rtol=1e-6)


def test_the_generator_with_a_cache_equals_the_full_pass() -> None:
    model = models.create("wavenet_stack", **WAVENET)
    x = random((2, 3, 20, 2)).astype(np.float32)
    variables = drawn(jax.eval_shape(model.init, jax.random.key(0), x))

    @quick_jit
    def both() -> Any:
        def step(cache: Any, entry: jax.Array) -> Any:
            logits, cache = model.apply(variables, entry, cache, method="step")
            return cache, logits

        entries = jnp.moveaxis(jnp.asarray(x), -2, 0)
        return model.apply(variables, x), jax.lax.scan(step, model.initial_cache((2, 3)), entries)[1]

    full, stepped = both()
    np.testing.assert_allclose(np.moveaxis(stepped, 0, -2), full, rtol=1e-4, atol=1e-5)


def test_a_gated_layer_against_numpy() -> None:
    model = models.create("wavenet_stack", num_classes=2, dilations=(2,), stacks=1, width=2, skip_width=2)
    x = random((5, 1)).astype(np.float32)
    variables = drawn(jax.eval_shape(model.init, jax.random.key(0), x))
    p = variables["params"]

    def dense(name: str, x: np.ndarray, tree: Any = p) -> np.ndarray:
        return x @ tree[name]["kernel"] + tree[name]["bias"]

    h = dense("input", x)
    kernel, bias = p["layers_0"]["gated"]["kernel"], p["layers_0"]["gated"]["bias"]
    z = np.concatenate([np.zeros((2, 2)), h])[:5] @ kernel[0] + h @ kernel[1] + bias
    y = np.tanh(z[:, :2]) / (1 + np.exp(-z[:, 2:]))
    skip = dense("skip", y, p["layers_0"])
    wanted = dense("head", np.maximum(dense("hidden", np.maximum(skip, 0)), 0))
    np.testing.assert_allclose(quick_jit(model.apply)(variables, x), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("fcn_1d", (8,), r"expected series \(\*batch, length, channels\); got x.shape=\(8,\)"),
        ("resnet_1d", (0, 1), r"with length of at least 1; got x.shape=\(0, 1\)"),
        ("pilotnet", (66, 205, 3), r"of 61 to 68 rows and 197 to 204 columns; got .* a map of 1x18"),
        ("pilotnet", (69, 200, 3), r"of 61 to 68 rows"),
    ],
)
def test_other_shapes_are_refused(name: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        jax.eval_shape(models.create(name).init, jax.random.key(0), jnp.zeros(shape))


def test_masks_and_caches_of_other_shapes_are_refused() -> None:
    x = jnp.zeros((2, 8, 1))
    with pytest.raises(ShapeError, match=r"expected a mask \(\*batch, length\) .*mask.shape=\(8,\) and x.shape=\(2, 8"):
        jax.eval_shape(functools.partial(models.create("fcn_1d").init, mask=jnp.ones(8)), jax.random.key(0), x)
    model = models.create("wavenet_stack", **WAVENET)
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    step = functools.partial(model.apply, cache=model.initial_cache((3,)), method="step")
    with pytest.raises(ShapeError, match=r"batch axes of the cache, \(3,\); got x.shape=\(2, 1\)\. Start with initial"):
        jax.eval_shape(step, variables, x[:, 0])
    with pytest.raises(ValueError, match="num_classes=0 would leave no output"):
        jax.eval_shape(models.create("wavenet_stack", num_classes=0).init, jax.random.key(0), x)


@pytest.mark.parametrize("shape", [(61, 197, 3), (68, 204, 3)])
def test_the_range_of_pilotnet(shape: tuple[int, ...]) -> None:
    init = functools.partial(models.create("pilotnet").init_with_output, jax.random.key(0))
    assert jax.eval_shape(init, jnp.zeros(shape))[0].shape == (1,)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_series_of_integers_are_those_of_floats(name: str) -> None:
    model, x = models.create(name, num_classes=2), np.random.default_rng(0).integers(0, 9, (2, 9, 3))
    apply = functools.partial(model.apply, train=False, mask=np.arange(9) < np.array([[5], [9]]))
    variables = drawn(jax.eval_shape(model.init, jax.random.key(0), x.astype(np.float32)))
    whole, floats = (quick_jit(apply)(variables, x.astype(dtype)) for dtype in (np.int32, np.float32))
    np.testing.assert_allclose(whole, floats, rtol=1e-5, atol=1e-5)
