"""Formulas for counts against real layers, against counting every product, and against papers."""

from math import prod

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcnn._errors import ShapeError
from jaxcnn.shapes._counts import (
    batch_norm_counts,
    conv_counts,
    conv_transpose_counts,
    dense_counts,
    local_conv_counts,
    tiled_conv_counts,
)
from tests.examples import examples


def parameters(module: flax.linen.Module, input_shape: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """The number of parameters and the output shape of a Flax layer, without computing it."""
    x = jax.ShapeDtypeStruct((1, *input_shape), jnp.float32)
    y, variables = jax.eval_shape(module.init_with_output, jax.random.key(0), x)
    return sum(prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"])), y.shape[1:]


@given(
    window=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.integers(1, 3),
    padding=st.sampled_from(["SAME", "VALID", ((1, 0), (2, 1))]),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2, 4]),
    use_bias=st.booleans(),
)
@examples(25)
def test_conv_against_flax_and_by_counting(
    window: tuple[int, int], strides: int, padding: object, dilation: int, groups: int, use_bias: bool
) -> None:
    options = {"strides": strides, "padding": padding, "kernel_dilation": dilation, "feature_group_count": groups}
    counts = conv_counts((9, 8, 4), 8, window, use_bias=use_bias, **options)
    layer = flax.linen.Conv(8, window, use_bias=use_bias, **options)
    assert (counts.parameters, counts.output_shape) == parameters(layer, (9, 8, 4))
    macs = 0
    for _ in np.ndindex(*counts.output_shape[:2]):
        for _ in range(8):  # each feature of each position
            macs += window[0] * window[1] * (4 // groups)
    assert counts.macs == macs


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
def test_transposed_against_flax(padding: str) -> None:
    counts = conv_transpose_counts((5, 4, 3), 7, (3, 2), strides=2, padding=padding)
    layer = flax.linen.ConvTranspose(7, (3, 2), strides=(2, 2), padding=padding)
    assert (counts.parameters, counts.output_shape) == parameters(layer, (5, 4, 3))
    assert counts.macs == 5 * 4 * 3 * (3 * 2 * 7)  # every input entry is multiplied by the whole kernel


def test_transposed_costs_what_the_convolution_it_transposes_costs() -> None:
    down = conv_counts((8, 8, 4), 16, (3, 3), strides=2, padding=1, feature_group_count=2, use_bias=False)
    up = conv_transpose_counts(
        down.output_shape, 4, (3, 3), strides=2, padding=1, output_padding=1, feature_group_count=2, use_bias=False
    )
    assert up.output_shape == (8, 8, 4)
    assert (up.macs, up.parameters) == (down.macs, down.parameters)


def test_local_against_flax() -> None:
    counts = local_conv_counts((7, 6, 2), 5, (3, 2), strides=(2, 1), padding="VALID")
    layer = flax.linen.ConvLocal(5, (3, 2), strides=(2, 1), padding="VALID")
    assert (counts.parameters, counts.output_shape) == parameters(layer, (7, 6, 2))
    assert counts.macs == conv_counts((7, 6, 2), 5, (3, 2), strides=(2, 1), padding="VALID").macs


def test_tiled_lies_between_conv_and_local() -> None:
    shared = conv_counts((7, 6, 4), 6, (3, 3), feature_group_count=2)
    unshared = local_conv_counts((7, 6, 4), 6, (3, 3), feature_group_count=2)
    assert tiled_conv_counts((7, 6, 4), 6, (3, 3), tiles=1, feature_group_count=2) == shared
    assert tiled_conv_counts((7, 6, 4), 6, (3, 3), tiles=(7, 6), feature_group_count=2) == unshared
    assert tiled_conv_counts((7, 6, 4), 6, (3, 3), tiles=(2, 3), feature_group_count=2).parameters == (
        6 * shared.parameters
    )


def test_dense_and_batch_norm_against_flax() -> None:
    assert (dense_counts((10,), 7).parameters, (7,)) == parameters(flax.linen.Dense(7), (10,))
    assert dense_counts((5, 10), 7, use_bias=False).macs == 5 * 10 * 7
    norm = batch_norm_counts((4, 4, 6))
    assert (norm.parameters, norm.output_shape) == parameters(
        flax.linen.BatchNorm(use_running_average=False), (4, 4, 6)
    )
    assert batch_norm_counts((4, 4, 6), use_scale=False).parameters == 6
    assert norm.macs == 96


def test_a_batch_multiplies_the_work_not_the_parameters() -> None:
    one, many = conv_counts((8, 8, 3), 4, (3, 3)), conv_counts((32, 8, 8, 3), 4, (3, 3))
    assert (many.parameters, many.macs) == (one.parameters, 32 * one.macs)
    assert many.output_shape == (32, 8, 8, 4)


def test_alexnet_layers_as_published() -> None:
    """Krizhevsky et al. (2012), section 3.5: two groups in the second layer, 253,440 neurons in the first."""
    first = conv_counts((227, 227, 3), 96, (11, 11), strides=4, padding="VALID")
    second = conv_counts((27, 27, 96), 256, (5, 5), padding=2, feature_group_count=2)
    assert first.output_shape == (55, 55, 96)
    assert (first.parameters, first.macs) == (34_944, 105_415_200)
    assert (second.parameters, second.macs) == (307_456, 223_948_800)


def test_depthwise_separable_saves_what_mobilenet_says() -> None:
    """Howard et al. (2017), section 3.1: the cost falls by a factor of ``1/F + 1/K``."""
    full = conv_counts((14, 14, 512), 512, (3, 3), use_bias=False)
    depthwise = conv_counts((14, 14, 512), 512, (3, 3), feature_group_count=512, use_bias=False)
    pointwise = conv_counts((14, 14, 512), 512, (1, 1), use_bias=False)
    assert (depthwise.macs + pointwise.macs) * 512 * 9 == full.macs * (512 + 9)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: conv_counts((8, 8, 3), 4, 3), ShapeError, r"conv_counts: kernel_size=3 can be read as \(3,\)"),
        (lambda: conv_counts((8, 8, 3), 4, (9, 9), padding="VALID"), ShapeError, r"conv_counts: .*larger than"),
        (lambda: conv_counts((8, 8, 3), 4, (3, 3), feature_group_count=2), ShapeError, r"does not divide the 3 input"),
        (lambda: conv_transpose_counts((8, 8, 3), 4, 3), ShapeError, r"conv_transpose_counts: kernel_size=3"),
        (lambda: tiled_conv_counts((8, 8, 3), 4, (3, 3), tiles=0), ShapeError, r"tiled_conv_counts: tiles=0 must be"),
        (lambda: dense_counts((), 4), ShapeError, r"dense_counts: input_shape=\(\) has no axis of channels"),
        (lambda: conv_counts((8, 8, 3), 4.0, (3, 3)), TypeError, r"conv_counts: features must be an integer, not 4.0"),
        (lambda: dense_counts((3,), 4.0), TypeError, r"dense_counts: features must be an integer, not 4.0"),
    ],
)
def test_mistakes(call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()  # type: ignore[operator]
