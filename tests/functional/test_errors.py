"""Mistakes that all functions of a kind report with the same words: padding, strides, windows that do not fit."""

import inspect
from typing import Any

import jax.numpy as jnp
import pytest

from jaxcnn import functional as F
from jaxcnn._errors import ShapeError

X = jnp.ones((2, 6, 5, 3))
G = jnp.ones((2, 6, 5, 4))
K = jnp.ones((3, 3, 3, 4))
WIDE, TALL = jnp.ones((9, 9, 3, 4)), (9, 9)
# A call of each function with valid arrays, to which options are added.
CALLS: dict[str, Any] = {
    "avg_pool": lambda **o: F.avg_pool(X, (2, 2), **{"strides": 1, **o}),
    "conv": lambda **o: F.conv(X, K, **o),
    "conv_input_grad": lambda **o: F.conv_input_grad(G, K, X.shape, **o),
    "conv_kernel_grad": lambda **o: F.conv_kernel_grad(X, G, (3, 3), **o),
    "conv_transpose": lambda **o: F.conv_transpose(G, K, **o),
    "depthwise_conv": lambda **o: F.depthwise_conv(X, jnp.ones((3, 3, 1, 6)), **o),
    "explain_conv": lambda **o: F.explain_conv(X.shape, K.shape, **o),
    "extract_patches": lambda **o: F.extract_patches(X, (2, 2), **{"strides": 1, **o}),
    "filters.apply_filter": lambda **o: F.filters.apply_filter(X, jnp.ones((3, 3)), **o),
    "fold_patches": lambda **o: F.fold_patches(
        jnp.ones((2, 5, 4, 2, 2, 3)), **{"output_shape": (6, 5), "window_shape": (2, 2), "strides": 1, **o}
    ),
    "local_conv": lambda **o: F.local_conv(X, jnp.ones((6, 5, 3, 3, 3, 4)), **o),
    "lp_pool": lambda **o: F.lp_pool(X, (2, 2), **{"strides": 1, **o}),
    "max_pool": lambda **o: F.max_pool(X, (2, 2), **{"strides": 1, **o}),
    "max_pool_with_indices": lambda **o: F.max_pool_with_indices(X, (2, 2), **{"strides": 1, **o}),
    "min_pool": lambda **o: F.min_pool(X, (2, 2), **{"strides": 1, **o}),
    "separable_conv": lambda **o: F.separable_conv(X, jnp.ones((3, 3, 1, 3)), jnp.ones((1, 1, 3, 4)), **o),
    "tiled_conv": lambda **o: F.tiled_conv(X, jnp.ones((2, 2, 3, 3, 3, 4)), **o),
    "weighted_pool": lambda **o: F.weighted_pool(X, jnp.ones((2, 2)), **{"strides": 1, **o}),
}
# The same calls with a window of 9 x 9 over an image of 6 x 5.
LARGE: dict[str, Any] = {
    "avg_pool": lambda: F.avg_pool(X, TALL, strides=1),
    "conv": lambda: F.conv(X, WIDE, padding="VALID"),
    "conv dilated": lambda: F.conv(X, K, padding="VALID", kernel_dilation=3),
    "conv_kernel_grad": lambda: F.conv_kernel_grad(X, G, TALL, padding="VALID"),
    "depthwise_conv": lambda: F.depthwise_conv(X, jnp.ones((9, 9, 1, 6)), padding="VALID"),
    "extract_patches": lambda: F.extract_patches(X, TALL, strides=1),
    "filters.apply_filter": lambda: F.filters.apply_filter(X, jnp.ones(TALL), padding="VALID"),
    "local_conv": lambda: F.local_conv(X, jnp.ones((1, 1, 9, 9, 3, 4)), padding="VALID"),
    "lp_pool": lambda: F.lp_pool(X, TALL, strides=1),
    "max_pool": lambda: F.max_pool(X, TALL, strides=1),
    "max_pool ceil": lambda: F.max_pool(X, TALL, strides=1, ceil_mode=True),
    "max_pool_with_indices": lambda: F.max_pool_with_indices(X, TALL, strides=1),
    "min_pool": lambda: F.min_pool(X, TALL, strides=1),
    "separable_conv": lambda: F.separable_conv(X, jnp.ones((9, 9, 1, 3)), jnp.ones((1, 1, 3, 4)), padding="VALID"),
    "tiled_conv": lambda: F.tiled_conv(X, jnp.ones((2, 2, 9, 9, 3, 4)), padding="VALID"),
    "weighted_pool": lambda: F.weighted_pool(X, jnp.ones(TALL), strides=1),
}


def having(option: str) -> list[str]:
    """The public functions with windows that have an option.

    The strides of ``anchors`` and ``pyramid_roi_align`` are those of several maps.
    """
    names = []
    for prefix, module in (("", F), ("filters.", F.filters)):
        for name in module.__all__:
            member = getattr(module, name)
            if name in ("anchors", "pyramid_roi_align"):
                continue
            if inspect.isfunction(member) and option in inspect.signature(member).parameters:
                names.append(prefix + name)
    return names


PADDED, STRIDED = having("padding"), having("strides")


def message_of(name: str, **options: Any) -> str:
    """The error message for an invalid option; an exception that the library does not raise itself fails the test."""
    with pytest.raises((ValueError, TypeError)) as caught:
        CALLS[name](**options)
    return f"{caught.type.__name__}: {caught.value}"


@pytest.mark.parametrize("name", sorted({*PADDED, *STRIDED}))
def test_arrays_that_fit_are_served(name: str) -> None:
    CALLS[name]()


@pytest.mark.parametrize("name", PADDED)
@pytest.mark.parametrize(("word", "meant"), [("SMAE", "SAME"), ("valid", "VALID"), ("CASUAL", "CAUSAL")])
def test_misspelt_padding_gets_a_suggestion(name: str, word: str, meant: str) -> None:
    message = message_of(name, padding=word)
    assert f"Did you mean {meant!r}?" in message
    assert f"{name.split('.')[-1]}: " in message, "the message does not say who refuses"


@pytest.mark.parametrize("name", PADDED)
@pytest.mark.parametrize("padding", [1.5, None, (1.0, 2.0), ((1, 2, 3), (1, 2, 3)), (1, 1, 1, 1), ((0.5, 1), (1, 1))])
def test_padding_of_another_kind_is_refused(name: str, padding: Any) -> None:
    assert "padding" in message_of(name, padding=padding)


@pytest.mark.parametrize("name", STRIDED)
@pytest.mark.parametrize("strides", [0, -1, (1, 0), (1, 1, 1)])
def test_strides_out_of_range_are_refused(name: str, strides: Any) -> None:
    message = message_of(name, strides=strides)
    assert message.startswith("ShapeError") and "strides" in message


@pytest.mark.parametrize("name", STRIDED)
@pytest.mark.parametrize("strides", [1.0, 2.5, "2", True, (1, 1.0), None])
def test_strides_that_are_no_integers_are_refused(name: str, strides: Any) -> None:
    message = message_of(name, strides=strides)
    assert message.startswith("TypeError") and "strides" in message


@pytest.mark.parametrize("name", LARGE)
def test_a_window_larger_than_the_input_is_refused(name: str) -> None:
    with pytest.raises(ShapeError, match=r"larger|window|no position") as caught:
        LARGE[name]()
    assert str(caught.value).startswith(f"{name.split('.')[-1].split()[0]}: ")


def test_every_windowed_function_is_in_the_tables() -> None:
    # these enlarge their input, or read no array
    adjoints = {"conv_input_grad", "conv_transpose", "explain_conv", "fold_patches"}
    assert set(CALLS) >= {*PADDED, *STRIDED}
    assert {name.split()[0] for name in LARGE} >= {*PADDED, *STRIDED} - adjoints


@pytest.mark.parametrize("name", ["conv", "depthwise_conv", "local_conv", "separable_conv", "tiled_conv"])
def test_channels_first_images_are_recognised(name: str) -> None:
    first = jnp.ones((2, 3, 32, 32))
    calls = {
        "conv": lambda: F.conv(first, K),
        "depthwise_conv": lambda: F.depthwise_conv(first, jnp.ones((3, 3, 1, 6))),
        "local_conv": lambda: F.local_conv(first, jnp.ones((3, 32, 3, 3, 3, 4))),
        "separable_conv": lambda: F.separable_conv(first, jnp.ones((3, 3, 1, 3)), jnp.ones((1, 1, 3, 4))),
        "tiled_conv": lambda: F.tiled_conv(first, jnp.ones((2, 2, 3, 3, 3, 4))),
    }
    with pytest.raises(ShapeError, match=r"channels-(first|last)"):
        calls[name]()


def test_a_bare_window_is_refused() -> None:
    for function in (F.max_pool, F.min_pool, F.avg_pool, F.lp_pool, F.max_pool_with_indices, F.extract_patches):
        with pytest.raises(ShapeError, match=r"\(2,\) for 1-D data or as \(2, 2\)"):
            function(X, 2, strides=2)


# Calls of functions without their array argument.
WITHOUT: dict[str, Any] = {
    "adaptive_avg_pool": lambda: F.adaptive_avg_pool(None, (2, 2)),
    "adaptive_max_pool": lambda: F.adaptive_max_pool(None, (2, 2)),
    "apply_filter": lambda: F.filters.apply_filter(None, jnp.ones((3, 3))),
    "avg_pool": lambda: F.avg_pool(None, (2, 2), strides=1),
    "convolve": lambda: F.convolve(None, jnp.ones(3)),
    "extract_patches": lambda: F.extract_patches(None, (2, 2), strides=1),
    "feature_pool": lambda: F.feature_pool(None, 2),
    "global_avg_pool": lambda: F.global_avg_pool(None),
    "global_max_pool": lambda: F.global_max_pool(None),
    "local_contrast_norm": lambda: F.local_contrast_norm(None),
    "local_response_norm": lambda: F.local_response_norm(None),
    "lp_pool": lambda: F.lp_pool(None, (2, 2), strides=1),
    "max_pool": lambda: F.max_pool(None, (2, 2), strides=1),
    "max_pool_with_indices": lambda: F.max_pool_with_indices(None, (2, 2), strides=1),
    "min_pool": lambda: F.min_pool(None, (2, 2), strides=1),
    "weighted_pool": lambda: F.weighted_pool(None, jnp.ones((2, 2)), strides=1),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_none_for_an_array_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name}: x must be an array"):
        WITHOUT[name]()


def test_none_for_patches_and_indices_is_refused() -> None:
    with pytest.raises(TypeError, match="fold_patches: patches must be an array"):
        F.fold_patches(None, output_shape=(5,), window_shape=(3,), strides=1)
    with pytest.raises(TypeError, match="max_unpool: indices must be an array"):
        F.max_unpool(jnp.ones((2, 2, 1)), None, (4, 4))


@pytest.mark.parametrize("name", ["global_avg_pool", "global_max_pool"])
def test_keepdims_is_a_truth_value(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name}: keepdims is True or False, not 'no'"):
        getattr(F, name)(X, keepdims="no")
