"""``jax.experimental.jet``: Taylor series of convolutions, against XLA's own convolution and against powers."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental.jet import jet

from jaxcnn import functional as F

ORDER = 3


def draw(*shape: int, seed: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def stock(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def series(function: Callable[..., jax.Array], *shapes: tuple[int, ...]) -> Any:
    primals = [draw(*shape, seed=0) for shape in shapes]
    terms = [[draw(*shape, seed=seed) for seed in range(1, ORDER + 1)] for shape in shapes]
    return jet(function, primals, terms)


def test_series_of_a_convolution_are_those_of_xla() -> None:
    shapes = (2, 7, 6, 3), (3, 3, 3, 4)
    value, terms = series(functools.partial(F.conv, strides=2), *shapes)
    expected, expected_terms = series(stock, *shapes)
    for one, two in zip([value, *terms], [expected, *expected_terms], strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["conv_kernel_grad", "conv_transpose", "depthwise_conv"])
def test_derivatives_along_a_line_are_those_of_nested_jvp(name: str) -> None:
    calls: dict[str, tuple[Callable[..., jax.Array], tuple[int, ...], tuple[int, ...]]] = {
        "conv_kernel_grad": (lambda x, g: F.conv_kernel_grad(x, g, (3, 3)), (2, 5, 5, 2), (2, 5, 5, 3)),
        "conv_transpose": (functools.partial(F.conv_transpose, strides=2), (1, 3, 4, 2), (3, 3, 4, 2)),
        "depthwise_conv": (F.depthwise_conv, (1, 5, 5, 4), (3, 3, 1, 4)),
    }
    function, *shapes = calls[name]
    starts, slopes = ([draw(*shape, seed=seed) for shape in shapes] for seed in (0, 1))
    zeros = [jnp.zeros(shape) for shape in shapes]
    _, (first, second) = jet(function, starts, [[slope, zero] for slope, zero in zip(slopes, zeros, strict=True)])

    def along(t: jax.Array) -> jax.Array:
        return function(*(start + t * slope for start, slope in zip(starts, slopes, strict=True)))

    def slope_of(function: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
        return lambda t: jax.jvp(function, (t,), (jnp.ones(()),))[1]

    np.testing.assert_allclose(first, slope_of(along)(jnp.zeros(())), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(second, slope_of(slope_of(along))(jnp.zeros(())), rtol=1e-4, atol=1e-3)
