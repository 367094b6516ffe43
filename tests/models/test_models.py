"""Tests of every model: its exact size, the names of its maps, dtypes, batch axes, and training."""

import functools
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ShapeError, models
from tests.models.small import SMALL, Small, count_multiply_adds, initialized, losses, quick_jit
from tests.tiers import default_rows

FAMILIES = (
    "alexnet*",
    "cifar_speedrun",
    "convnext*",
    "deeplab*",
    "fcn_*",
    "efficientnet*",
    "mobilenet*",
    "resnet*",
    "vgg*",
)
NAMES = [name for family in FAMILIES for name in models.list_models(family)]
DEEP = {"resnet101", "resnet110_cifar", "resnet152", "resnet56_cifar"}
FIRST = [next(name for name in models.list_models(family) if name not in DEEP) for family in FAMILIES]
every_small = pytest.mark.parametrize("small", SMALL, ids=lambda small: small.name)
a_few_small = pytest.mark.parametrize(
    "small", default_rows({small.name: small for small in SMALL}, keep=["resnet20_cifar"])
)
some_small = pytest.mark.parametrize(
    "small",
    default_rows({small.name: small for small in SMALL}, keep=[small.name for small in SMALL if small.name in FIRST]),
)


@pytest.mark.parametrize("name", default_rows(NAMES, keep=FIRST))
def test_sizes_are_those_of_the_info(name: str) -> None:
    info, model = models.info(name), models.create(name)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *info.input_shape)))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == info.parameters
    assert count_multiply_adds(model, (1, *info.input_shape)) == info.macs


@pytest.mark.parametrize("name", [name for name in NAMES if len(models.info(name).input_shape) > 2])
def test_what_is_no_image_is_refused(name: str) -> None:
    with pytest.raises(
        ShapeError, match=r"expected images \(\*batch, height, width, channels\).*got x.shape=\(32, 32\)"
    ):
        jax.eval_shape(models.create(name).init, jax.random.key(0), jnp.zeros((32, 32)))


# One model of each class that has dropout.
DROPPING = {
    type(models.create(name)): name for name in models.list_models("*") if "dropout_rate" in models.info(name).options
}


@pytest.mark.parametrize("name", default_rows(sorted(DROPPING.values()), keep=["alexnet", "c3d"]))
@pytest.mark.parametrize("rate", [1.0, -0.1, float("nan"), "0.5", True])
def test_rates_of_dropout_that_do_not_exist_are_refused(name: str, rate: Any) -> None:
    message = rf"dropout_rate={re.escape(repr(rate))} must be at least 0 and less than 1, such as 0\.5\."
    if not isinstance(rate, float):
        message = rf"dropout_rate must be a number, such as 0\.5, not {rate!r}\."
    model = models.create(name, dropout_rate=rate)
    with pytest.raises(ValueError if isinstance(rate, float) else TypeError, match=message):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *models.info(name).input_shape)))


@a_few_small
@pytest.mark.gate
def test_five_steps_on_one_batch_lower_the_loss(small: Small) -> None:
    values = losses(small, steps=5, batch=4)
    assert np.isfinite(values).all()
    assert values[-1] < 0.9 * values[0], values


@some_small
def test_half_precision_keeps_parameters_in_single(small: Small) -> None:
    model = small.create(dtype=jnp.bfloat16)
    variables = jax.eval_shape(model.init, jax.random.key(0), small.images(2))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    found = jax.eval_shape(lambda v: model.apply(v, small.images(2), method="features"), variables)
    assert {leaf.dtype for leaf in found.values()} == {jnp.dtype(jnp.bfloat16)}


@a_few_small
def test_batch_axes_any_number(small: Small) -> None:
    model, variables = small.create(), initialized(small)
    apply = quick_jit(lambda x: model.apply(variables, x, train=False))
    x = small.images(2, 2)
    y = apply(x)
    assert y.shape == (2, 2, 4)
    np.testing.assert_allclose(apply(x[1]), y[1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(apply(x[0, 1]), y[0, 1], rtol=1e-4, atol=1e-5)


@some_small
def test_features_hold_the_logits(small: Small) -> None:
    model = small.create()
    variables = jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), small.images(1))
    found = jax.eval_shape(lambda v: model.apply(v, small.images(2, 3), train=False, method="features"), variables)
    assert found["logits"].shape == (2, 3, 4)
    assert len(found) > 2


@a_few_small
def test_training_moves_the_statistics_and_only_training_does(small: Small) -> None:
    model, variables = small.create(), initialized(small)

    @functools.partial(quick_jit, static_argnums=0)
    def updated(train: bool) -> Any:
        options = {"mutable": ["batch_stats"], "rngs": {"dropout": jax.random.key(0)}}
        return model.apply(variables, small.images(4), train=train, **options)[1]

    if not small.norms:
        assert updated(True) == {}
        return
    before = variables["batch_stats"]
    moved = jax.tree.map(lambda old, new: not np.array_equal(old, new), before, updated(True)["batch_stats"])
    assert all(jax.tree.leaves(moved))
    kept = jax.tree.map(np.array_equal, before, updated(False)["batch_stats"])
    assert all(jax.tree.leaves(kept))
