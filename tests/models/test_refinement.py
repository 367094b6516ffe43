"""Recurrent refinement equals its definition, written with the network alone."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ShapeError, models, nn
from tests.models.small import quick_jit

CLASSES = 3


def unet(**options: Any) -> Any:
    widths = {"widths": (4, 8), "dropout_rate": 0.0}
    return models.create("unet", num_classes=CLASSES, **{"padding": "SAME", **widths, **options})


def images(dtype: Any = jnp.float32) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).standard_normal((2, 8, 8, 2)), dtype)


def initialized(model: Any) -> Any:
    return quick_jit(functools.partial(model.init, train=False))(jax.random.key(0), images())


@functools.partial(jax.jit, static_argnums=1)
def written_out(inner: Any, count: int) -> jax.Array:
    """The logits after a number of iterations."""
    network, labels = unet(), jnp.zeros((2, 8, 8, CLASSES))
    for _ in range(count):
        logits = network.apply(inner, jnp.concatenate([images(), labels], -1))
        exponential = jnp.exp(logits - logits.max(-1, keepdims=True))
        labels = exponential / exponential.sum(-1, keepdims=True)
    return logits


def test_each_repetition_reads_the_image_and_the_previous_labels() -> None:
    model = models.Refinement(unet(), num_classes=CLASSES)
    variables = initialized(model)
    inner = {"params": variables["params"]["network"]}

    found = quick_jit(functools.partial(model.apply, method="features"))(variables, images())
    assert sorted(found) == ["logits", "step1", "step2", "step3"]
    for index in (1, 2, 3):
        np.testing.assert_allclose(found[f"step{index}"], written_out(inner, index), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found["logits"], found["step3"])


@pytest.mark.gate
def test_the_gradient_passes_through_the_label_maps_unless_it_is_stopped() -> None:
    model = models.Refinement(unet(), num_classes=CLASSES)
    variables = initialized(model)
    inner = {"params": variables["params"]["network"]}
    ours = quick_jit(jax.grad(lambda variables: model.apply(variables, images())[..., 0].sum()))(variables)
    theirs = quick_jit(jax.grad(lambda inner: written_out(inner, 3)[..., 0].sum()))(inner)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4), ours["params"]["network"], theirs["params"]
    )
    stopped = models.Refinement(unet(), num_classes=CLASSES, stop_gradient=True)
    other = quick_jit(jax.grad(lambda variables: stopped.apply(variables, images())[..., 0].sum()))(variables)
    assert not np.allclose(
        other["params"]["network"]["head"]["kernel"], ours["params"]["network"]["head"]["kernel"], atol=1e-3
    )


@pytest.mark.gate
def test_batch_statistics_move_in_training_and_half_precision_stays() -> None:
    model = models.Refinement(unet(norm=nn.BatchNorm), num_classes=CLASSES, repetitions=2)
    variables = initialized(model)
    after = quick_jit(functools.partial(model.apply, train=True, mutable=["batch_stats"]))(variables, images())[1]
    before = jax.tree.leaves(variables["batch_stats"])
    moved = [not np.array_equal(a, b) for a, b in zip(before, jax.tree.leaves(after["batch_stats"]), strict=True)]
    assert all(moved)
    half = models.Refinement(unet(dtype=jnp.bfloat16), num_classes=CLASSES)
    x = images(jnp.bfloat16)
    assert jax.eval_shape(lambda x: half.init_with_output(jax.random.key(0), x)[0], x).dtype == jnp.bfloat16


def test_other_maps_and_no_repetition_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"Refinement: the network must return a map of the image's size with num_cl"):
        initialized(models.Refinement(unet(padding="VALID", widths=(4,)), num_classes=CLASSES))
    with pytest.raises(ShapeError, match=r"num_classes=5 channels, \(2, 8, 8, 5\); got \(2, 8, 8, 3\)"):
        initialized(models.Refinement(unet(), num_classes=5))
    with pytest.raises(ValueError, match=r"repetitions=0 must be at least 1"):
        initialized(models.Refinement(unet(), num_classes=CLASSES, repetitions=0))
