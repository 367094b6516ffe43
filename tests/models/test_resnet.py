"""Residual networks: shortcuts, the place of the stride, a last scale of zero, and two kinds of padding."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import models
from tests.models.small import quick_jit

IMAGES = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)


def shapes(name: str, **options: Any) -> Any:
    return jax.eval_shape(models.create(name, **options).init, jax.random.key(0), IMAGES)["params"]


def count(tree: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_plain_networks_are_residual_ones_without_their_projections() -> None:
    residual, plain = shapes("resnet34"), shapes("resnet34", shortcut="none")
    gone = {"shortcut_conv", "shortcut_norm"}
    assert jax.tree.structure(plain) == jax.tree.structure(
        {k: {n: v for n, v in layer.items() if n not in gone} for k, layer in residual.items()}
    )
    assert count(plain) == 21_797_672 - (64 * 128 + 2 * 128) - (128 * 256 + 2 * 256) - (256 * 512 + 2 * 512)


def test_a_plain_network_adds_nothing() -> None:
    """With a last scale of zero, the output of a plain block is zero, and that of a residual block is its input."""
    options = {"num_classes": 2, "width": 4, "stage_sizes": (1, 1, 1), "zero_init_last_scale": True}
    x = jax.random.normal(jax.random.key(0), (1, 8, 8, 3))
    found = {}
    for shortcut in ("none", "zero_pad"):
        model = models.create("resnet20_cifar", shortcut=shortcut, **options)
        variables = quick_jit(model.init)(jax.random.key(1), x)
        apply = quick_jit(functools.partial(model.apply, method="features"))
        found[shortcut] = jax.tree.map(np.asarray, apply(variables, x))
    assert not found["none"]["stage1"].any()
    stem, residual = found["zero_pad"]["stem"], found["zero_pad"]
    np.testing.assert_array_equal(residual["stage1"], stem)
    np.testing.assert_array_equal(residual["stage2"], np.pad(stem[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (0, 4))))
    np.testing.assert_array_equal(residual["stage3"][..., :4], stem[:, ::4, ::4])


def test_stride_in_the_1x1_keeps_the_shapes_and_takes_less_work() -> None:
    few = {"stage_sizes": (1, 1, 1, 1)}
    usual, other = shapes("resnet50", **few), shapes("resnet50", **few, stride_in="1x1")
    assert jax.tree.map(jnp.shape, usual) == jax.tree.map(jnp.shape, other)
    macs = {
        stride_in: models.summary(models.create("resnet50", stride_in=stride_in), (1, 224, 224, 3)).macs
        for stride_in in ("1x1", "3x3")
    }
    assert macs["1x1"] == pytest.approx(3.86e9, rel=1e-3)  # He et al. (2015), table 1, round it to 3.8
    assert macs["3x3"] == pytest.approx(4.09e9, rel=1e-3)  # torchvision


def test_padding_of_the_other_frameworks() -> None:
    """The shapes are equal; only the start positions of the windows differ."""
    x = jax.random.normal(jax.random.key(0), (1, 32, 32, 3))
    model = models.create("resnet18", num_classes=2, width=4, stage_sizes=(1, 1))
    variables = quick_jit(model.init)(jax.random.key(1), x)
    ours = model.apply(variables, x, method="features")
    theirs = model.clone(same_padding=True).apply(variables, x, method="features")
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
    np.testing.assert_array_equal(ours["stem"], theirs["stem"])
    assert not np.allclose(ours["stage1"], theirs["stage1"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shortcut": "projecton"}, "ResNet: shortcut='projecton' is not known. Did you mean 'projection'"),
        ({"stem": "5x5"}, "ResNet: stem='5x5' is not known"),
        ({"stride_in": "2x2"}, "ResNet: stride_in='2x2' is not known"),
        ({"stride_in": "1x1"}, "ResNet: stride_in='1x1' is for bottlenecks; basic blocks support only '3x3'"),
    ],
)
def test_options_misspelt(options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shapes("resnet18", **options)
