"""Valid calls that are very probably mistakes give a warning; similar calls that are not mistakes give none."""

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from jaxcnn import functional as F
from jaxcnn import models, nn
from jaxcnn._geometry import torch_layout_warning
from tests.models.small import quick_jit

RGB = jnp.ones((1, 9, 9, 3))


def warned(call: Callable[[], Any]) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        call()
    return caught


@pytest.mark.parametrize(
    ("operation", "shape", "message"),
    [
        (
            F.conv,
            (64, 3, 3, 3),
            r"^conv: kernel.shape=\(64, 3, 3, 3\) is read as a window of 64x3 from 3 to 3 chan",
        ),
        (
            F.conv_transpose,
            (3, 16, 3, 3),
            r"a window of 3x3 from 3 to 16 channels. If the latter is intended, use jnp.tr",
        ),
    ],
)
def test_kernels_in_the_layout_of_pytorch(operation: Any, shape: tuple[int, ...], message: str) -> None:
    kernel = jnp.asarray(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    for call in (lambda: operation(RGB, kernel, padding="SAME"), lambda: jax.eval_shape(operation, RGB, kernel)):
        with pytest.warns(UserWarning, match=message) as caught:
            call()
        assert [each.filename for each in caught] == [__file__], "the line of the caller is named"
    ours = jnp.transpose(kernel, (2, 3, 1, 0))
    assert operation(RGB, ours).shape[-1] == max(shape)


def test_a_line_warns_once() -> None:
    assert len(warned(lambda: [F.conv(RGB, jnp.ones((8, 3, 3, 3))) for _ in range(3)])) == 1


def test_no_plausible_kernel_gives_a_warning() -> None:
    """Windows up to 7x7, tall and wide windows, one channel, groups, one and three axes, usual channel counts."""
    windows = [*itertools.product((1, 2, 3, 5, 7), repeat=2), (31, 1), (1, 65), (64, 1)]
    channels = (1, 2, 3, 4, 8, 16, 64, 256)
    for window, c, out, transposed in itertools.product(windows, channels, channels, (False, True)):
        kernel = (*window, out, c) if transposed else (*window, c, out)
        options: dict[str, Any] = {"feature_group_count": 1, "transposed": transposed}
        assert torch_layout_warning((8, 64, 64, c), kernel, **options) is None
        assert torch_layout_warning((8, 64, 64, 2 * c), kernel, **{**options, "feature_group_count": 2}) is None
    for kernel in ((513, 1, 1), (64, 3, 9), (3, 3, 3, 3), (3, 3, 3, 3, 3)):
        assert torch_layout_warning((8, *[64] * (len(kernel) - 2), kernel[-2]), kernel, **options) is None


@pytest.fixture(scope="module")
def network() -> tuple[linen.Module, Any]:
    model = models.create("resnet20_cifar")
    return model, quick_jit(model.init)(jax.random.key(0), RGB)


def test_statistics_that_are_not_updated(network: tuple[linen.Module, Any]) -> None:
    model, variables = network
    message = r"^ResNet: batch_stats is mutable but not updated, because train is False by default. To train"
    for options in ({}, {"method": "features"}):
        with pytest.warns(UserWarning, match=message) as caught:
            jax.eval_shape(
                lambda v, options=options: model.apply(v, RGB, mutable=["batch_stats"], **options), variables
            )
        assert [each.filename for each in caught] == [__file__]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"train": False, "mutable": ["batch_stats"]},
        {"train": True, "mutable": ["batch_stats"]},
        {"mutable": True},
        {"mutable": ["intermediates"]},
    ],
)
def test_no_other_call_gives_a_warning(network: tuple[linen.Module, Any], options: dict[str, Any]) -> None:
    model, variables = network
    assert warned(lambda: jax.eval_shape(lambda v: model.apply(v, RGB, **options), variables)) == []


def test_a_part_of_a_network_may_be_frozen(network: tuple[linen.Module, Any]) -> None:
    class Whole(linen.Module):
        @linen.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            return nn.BatchNorm(use_running_average=False)(models.create("resnet20_cifar")(x))

    variables = jax.eval_shape(Whole().init, jax.random.key(0), RGB)
    assert warned(lambda: jax.eval_shape(lambda v: Whole().apply(v, RGB, mutable=["batch_stats"]), variables)) == []


def test_a_number_of_features_given_to_batch_norm() -> None:
    with pytest.raises(TypeError, match=r"BatchNorm: use_running_average must be True or False, not 64\. The"):
        nn.BatchNorm(64).init(jax.random.key(0), RGB)
    assert nn.BatchNorm(1).init(jax.random.key(0), RGB).keys() == {"params", "batch_stats"}
