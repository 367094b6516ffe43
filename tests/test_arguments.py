"""Every array argument that is not made of numbers gives an error that names the function and the argument."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import augment, models, nn
from jaxcnn import functional as F
from jaxcnn.unsupervised import learn_neocognitron

KEY = jax.random.key(0)
X, KERNEL, ONES = np.ones((1, 4, 4, 3), np.float32), np.ones((3, 3, 3, 4), np.float32), np.ones(3, np.float32)
STATS = F.batch_stats(3)

# The function and the argument in the message, and a call with a value for the argument.
CALLS: dict[str, Callable[[Any], Any]] = {
    "conv: x": lambda value: F.conv(value, KERNEL),
    "conv: kernel": lambda value: F.conv(X, value),
    "conv: bias": lambda value: F.conv(X, KERNEL, bias=value),
    "conv_kernel_grad: g": lambda value: F.conv_kernel_grad(X, value, (3, 3)),
    "correlate: y": lambda value: F.correlate(ONES, value),
    "extract_patches: x": lambda value: F.extract_patches(value, (2, 2), strides=1),
    "max_pool: x": lambda value: F.max_pool(value, (2, 2), strides=2),
    "avg_pool: x": lambda value: F.avg_pool(value, (2, 2), strides=2),
    "weighted_pool: kernel": lambda value: F.weighted_pool(X, value, strides=2),
    "batch_norm: x": lambda value: F.batch_norm(value, STATS, train=True),
    "batch_norm: mask": lambda value: F.batch_norm(X, STATS, train=True, mask=value),
    "batch_norm: stats.var": lambda value: F.batch_norm(X, F.BatchStats(ONES, value, np.ones(())), train=True),
    "fold_batch_norm: bias": lambda value: F.fold_batch_norm(np.ones((2, 3), np.float32), value, STATS),
    "local_contrast_norm: x": lambda value: F.local_contrast_norm(value),
    "local_response_norm: beta": lambda value: F.local_response_norm(X, beta=value),
    "gaussian: sigma": lambda value: F.filters.gaussian((3, 3), sigma=value),
    "Conv: inputs": lambda value: nn.Conv(4, (3, 3)).init(KEY, value),
    "ConvTranspose: inputs": lambda value: nn.ConvTranspose(4, (3, 3)).init(KEY, value),
    "LocalConv: inputs": lambda value: nn.LocalConv(4, (3, 3)).init(KEY, value),
    "TiledConv: inputs": lambda value: nn.TiledConv(4, (3, 3), tiles=2).init(KEY, value),
    "DepthwiseConv: inputs": lambda value: nn.DepthwiseConv((3, 3)).init(KEY, value),
    "SeparableConv: inputs": lambda value: nn.SeparableConv(4, (3, 3)).init(KEY, value),
    "BatchNorm: x": lambda value: nn.BatchNorm(use_running_average=False).init(KEY, value),
    "random_flip: images": lambda value: augment.random_flip(KEY, value),
    "adjust_brightness: factors": lambda value: augment.adjust_brightness(X, value),
    "ResNet: x": lambda value: models.create("resnet20_cifar").init(KEY, value),
    "Neocognitron: x": lambda value: models.create("neocognitron").init(KEY, value),
    "learn_neocognitron: images": lambda value: learn_neocognitron(models.create("neocognitron"), {}, value),
}
VALUES = {
    "of type str": "image.png",
    "an array of dtype object": np.array([[1, 2]], object),
    "an array of dtype <U1": np.array([["a", "b"]]),
    "a list of str": ["cat", "dog"],
    "of type dict": {"image": X},
}


@pytest.mark.parametrize("named", CALLS)
def test_what_is_not_made_of_numbers_is_named(named: str) -> None:
    for kind, value in VALUES.items():
        with pytest.raises(TypeError, match=f"{named} must be an array of numbers, not {kind}"):
            CALLS[named](value)


@pytest.mark.parametrize("named", ["conv: x", "conv: kernel", "max_pool: x", "Conv: inputs", "random_flip: images"])
def test_arrays_of_the_other_byte_order_are_converted(named: str) -> None:
    value = KERNEL if named == "conv: kernel" else X
    swapped = value.astype(value.dtype.newbyteorder())
    for one, two in zip(jax.tree.leaves(CALLS[named](swapped)), jax.tree.leaves(CALLS[named](value)), strict=True):
        np.testing.assert_array_equal(one, two)


def test_the_neocognitron_says_what_its_images_hold() -> None:
    images = jnp.ones((1, 16, 16, 1), jnp.uint8)
    with pytest.raises(TypeError, match=r"Neocognitron: x must be floating, in \[0, 1\].*not uint8.*x / 255"):
        models.create("neocognitron").init(KEY, images)
