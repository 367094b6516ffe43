"""Residual networks of the Flax example: the same architecture in pure Flax gives the same logits."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import serialization

from jaxcnn import ShapeError, models
from tests.models.small import quick_jit
from tests.models.torchvision_states import generated


class BottleneckResNetBlock(nn.Module):
    """A block with automatic names and SAME padding, as in the checkpoints of the example."""

    width: int
    strides: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = x
        for window, strides, width in ((1, 1, 1), (3, self.strides, 1), (1, 1, 4)):
            y = nn.Conv(self.width * width, (window, window), strides, use_bias=False)(y)
            y = nn.BatchNorm(True)(y)
            y = y if width == 4 else nn.relu(y)
        if x.shape != y.shape:
            x = nn.Conv(self.width * 4, (1, 1), self.strides, use_bias=False, name="conv_proj")(x)
            x = nn.BatchNorm(True, name="norm_proj")(x)
        return nn.relu(x + y)


class ResNet50(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(64, (7, 7), 2, padding=[(3, 3), (3, 3)], use_bias=False, name="conv_init")(x)
        x = nn.max_pool(nn.relu(nn.BatchNorm(True, name="bn_init")(x)), (3, 3), (2, 2), "SAME")
        for stage, size in enumerate((3, 4, 6, 3)):
            for index in range(size):
                x = BottleneckResNetBlock(64 * 2**stage, 2 if stage and not index else 1)(x)
        return nn.Dense(self.num_classes)(x.mean((1, 2)))


def example() -> tuple[nn.Module, Any]:
    """The network, with weights and statistics drawn by NumPy."""
    model = ResNet50(7)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    leaves = jax.tree.leaves_with_path(shapes)
    names = {jax.tree_util.keystr(path): tuple(leaf.shape) for path, leaf in leaves}
    # the default scales by all axes but the first
    drawn = generated({name: shape[::-1] for name, shape in names.items()})
    spread = {name: drawn[name].transpose() + 0.5 * ("'var'" in name) for name in names}
    return model, jax.tree.unflatten(jax.tree.structure(shapes), [spread[name] for name in names])


@pytest.mark.gate
def test_a_checkpoint_of_the_example_is_loaded() -> None:
    _, tree = example()
    model, variables = models.load_flax_resnet("resnet50", tree)
    assert model.num_classes == 7 and model.same_padding

    def beginnings(tree: Any) -> set[tuple[Any, ...]]:
        return {(leaf.shape, *np.ravel(leaf)[:4].tolist()) for leaf in jax.tree.leaves(jax.device_get(tree))}

    assert beginnings(variables) == beginnings(tree)


@pytest.mark.gate
def test_logits_are_those_of_the_example(tmp_path: Path) -> None:
    theirs, tree = example()
    x = jax.random.normal(jax.random.key(0), (2, 64, 64, 3))
    (tmp_path / "checkpoint_90").write_bytes(serialization.msgpack_serialize({"step": 90, **tree}))
    model, variables = models.load_flax_resnet("resnet50", tmp_path / "checkpoint_90")
    assert model.num_classes == 7 and model.same_padding
    wanted = np.asarray(quick_jit(theirs.apply)(tree, x))
    atol = 1e-5 * np.abs(wanted).max()
    np.testing.assert_allclose(quick_jit(model.apply)(variables, x), wanted, rtol=0, atol=atol)
    other = quick_jit(model.clone(same_padding=False).apply)(variables, x)
    assert np.abs(other - wanted).max() > 100 * atol, "the padding has to matter"


def test_what_does_not_fit_is_named() -> None:
    _, tree = example()
    with pytest.raises(ValueError, match=r"resnet101, does not fit. Missing: .*BottleneckResNetBlock_17/BatchNorm_0"):
        models.load_flax_resnet("resnet101", tree)
    tree["params"]["bn_init"]["scale"] = np.ones(3, np.float32)
    with pytest.raises(ShapeError, match=r"Of another shape: params/bn_init/scale \(3,\) for \(64,\)\.$"):
        models.load_flax_resnet("resnet50", tree)
    tree["params"]["Dense_0"]["bias"] = np.float32(0)
    with pytest.raises(ShapeError, match=r"Of another shape: .*params/Dense_0/bias \(\) for \(1000,\)"):
        models.load_flax_resnet("resnet50", tree)
    with pytest.raises(ValueError, match=r"the example has resnet18, .*; got 'vgg16'"):
        models.load_flax_resnet("vgg16", tree)
