"""Convolutions as matrix products of whole rows, against loops."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from jaxcnn._geometry import ConvGeometry, conv_geometry
from jaxcnn.functional import conv, explain_conv
from jaxcnn.functional._engine._algorithms import _rows
from jaxcnn.functional._engine._choose import choose
from tests.examples import examples
from tests.functional.engine.dense import check, check_inside_shard_map, dense_geometries, plan_of

CASES: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 5, 4, 3), (3, 2, 3, 2), {"padding": "VALID"}),
    ((2, 4, 5, 2), (3, 3, 2, 3), {"padding": 2}),
    ((3, 3, 6, 1), (2, 3, 1, 2), {"strides": (1, 2), "padding": ((0, 1), (2, 0)), "kernel_dilation": (2, 1)}),
    ((1, 3, 2, 2), (3, 2, 2, 1), {"input_dilation": (2, 3), "padding": (2, 1)}),
    ((2, 5, 3, 2), (2, 2, 2, 2), {"padding": ((-2, 1), (1, -1))}),
    ((2, 2, 3, 2), (4, 1, 2, 2), {"padding": ((5, 4), (0, 0))}),  # some output rows read only padding
    ((2, 7, 3, 2), (1, 3, 2, 2), {"padding": ((-4, 2), (1, 1))}),
]


@pytest.mark.parametrize(("x_shape", "kernel_shape", "options"), CASES)
def test_it_agrees_with_loops(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], options: dict[str, Any]) -> None:
    check(_rows.ALGORITHM, conv_geometry(x_shape, kernel_shape, **options), "forward")


@examples(40)
@given(geometry=dense_geometries(ndims=(2,), strides=(1,)))
def test_random_geometries_agree_with_loops(geometry: ConvGeometry) -> None:
    check(_rows.ALGORITHM, geometry, "forward")


def test_inside_shard_map() -> None:
    check_inside_shard_map(_rows.ALGORITHM, conv_geometry((1, 5, 4, 2), (3, 2, 2, 3), padding=1), "forward")


def test_a_value_that_is_not_finite_reaches_only_the_outputs_that_read_it() -> None:
    x, kernel = np.ones((2, 6, 5, 2), np.float32), np.ones((3, 2, 2, 3), np.float32)
    x[1, 4, 3, 1] = np.inf
    found = conv(x, kernel, padding="VALID", algorithm="rows")
    np.testing.assert_array_equal(found, conv(x, kernel, padding="VALID", algorithm="xla"))
    assert np.isinf(found).sum() == 2 * 2 * 3


def test_half_precision_sums_in_float32() -> None:
    x, kernel = (
        jax.random.normal(jax.random.key(seed), shape, jnp.bfloat16)
        for seed, shape in enumerate([(2, 6, 6, 4), (5, 5, 4, 3)])
    )
    found = conv(x, kernel, padding="VALID", algorithm="rows")
    exact = conv(x.astype(jnp.float32), kernel.astype(jnp.float32), padding="VALID", algorithm="xla")
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(jnp.float32), exact, rtol=2**-8, atol=1e-6)


def test_it_is_chosen_for_few_output_channels_of_padded_rows() -> None:
    """The input gradients of C3 of LeNet-5, and of a layer of 10 to 20 channels."""
    for size, channels, out_channels in ((14, 6, 16), (12, 10, 20)):
        kernel_shape = (5, 5, channels, out_channels)
        geometry = conv_geometry((128, size, size, channels), kernel_shape, padding="VALID")
        choice = choose(plan_of(geometry), "input_grad", platform="cpu", partitioned=False)
        assert choice.algorithm == "rows"


def test_what_it_does_not_support() -> None:
    def why_not(shape: tuple[int, ...], **options: Any) -> str | None:
        kernel_shape = (3,) * (len(shape) - 2) + (shape[-1], 4)
        found = explain_conv(shape, kernel_shape, platform="cpu", **options)
        return next(each.why_not for each in found.forward.candidates if each.algorithm == "rows")

    assert why_not((2, 8, 8, 4)) is None
    assert why_not((2, 8, 4)) == "it requires 2 spatial axes, and there are 1"
    assert why_not((2, 8, 8, 4), strides=(2, 1)) == "it requires stride 1 along the first axis, and that is 2"
    assert why_not((2, 8, 8, 4), strides=(1, 2)) is None
    too_many = "it requires a matrix of at most 16777216 entries, and there are 25165824"
    assert why_not((2, 8, 1024, 2)) == too_many
