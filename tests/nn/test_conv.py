"""nn.Conv against flax.linen.Conv: the same arguments, variables and numbers."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from jaxcnn import nn
from jaxcnn._errors import ShapeError
from jaxcnn.functional import conv

INJECTED = {"conv_general_dilated", "conv_general_dilated_cls"}
EXTRAS = {"padding_mode", "algorithm"}


def arguments(module: Any, *, leave_out: set[str]) -> list[tuple[str, Any]]:
    """Names in order with their defaults; initializers are compared by the arrays that they draw."""
    found = []
    for name, parameter in inspect.signature(module).parameters.items():
        if name not in leave_out:
            found.append((name, "an initializer" if name.endswith("_init") else parameter.default))
    return found


def test_arguments_are_those_of_flax() -> None:
    theirs = arguments(linen.Conv, leave_out=INJECTED)
    assert arguments(nn.Conv, leave_out=EXTRAS) == theirs
    parameters = inspect.signature(nn.Conv).parameters
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in EXTRAS)


TABLE: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((2, 8, 8, 3), {"kernel_size": (3, 3)}),
    ((2, 9, 7, 3), {"kernel_size": (4, 3), "strides": 2, "padding": "VALID"}),
    ((2, 9, 7, 4), {"kernel_size": [3, 2], "strides": (2, 3), "feature_group_count": 2, "use_bias": False}),
    ((2, 9, 7, 3), {"kernel_size": (4, 4), "strides": 2, "padding": "CIRCULAR"}),
    ((2, 9, 7, 3), {"kernel_size": (4, 5), "kernel_dilation": (1, 2), "padding": "REFLECT"}),
    ((2, 9, 3), {"kernel_size": (3,), "kernel_dilation": 2, "padding": "CAUSAL"}),
    ((2, 9, 7, 3), {"kernel_size": (3, 3), "padding": 2, "strides": None, "kernel_dilation": None}),
    ((2, 9, 7, 3), {"kernel_size": (3, 3), "padding": (1, (2, 0))}),
    ((2, 5, 4, 3), {"kernel_size": (3, 3), "padding": ((1, 2), (0, 3)), "input_dilation": (2, 3), "strides": 2}),
    ((2, 5, 4, 3, 2), {"kernel_size": (3, 2, 2), "strides": (1, 2, 1)}),
    ((9, 7, 3), {"kernel_size": (3, 3)}),
    ((2, 3, 9, 7, 3), {"kernel_size": (3, 3), "strides": 2, "padding": "CIRCULAR"}),
    ((2, 8, 8, 6), {"kernel_size": (3, 3), "feature_group_count": 6, "features": 12}),
    ((2, 8, 8, 3), {"kernel_size": (1, 1), "strides": 2}),
    ((2, 8, 8, 3), {"kernel_size": (3, 3), "dtype": jnp.bfloat16}),
    ((2, 8, 8, 3), {"kernel_size": (3, 3), "param_dtype": jnp.float16}),
    ((2, 8, 8, 3), {"kernel_size": (3, 3), "precision": "highest", "mask": np.tri(27, 4).reshape(3, 3, 3, 4)}),
    (
        (2, 8, 3),
        {"kernel_size": (3,), "kernel_init": linen.initializers.ones, "bias_init": linen.initializers.normal()},
    ),
]


# One row with strides and groups, one with a padding mode, and one with dilations of the input.
BY_DEFAULT = {2, 3, 8}


@pytest.mark.parametrize(
    ("shape", "options"),
    [pytest.param(*row, marks=() if number in BY_DEFAULT else pytest.mark.gate) for number, row in enumerate(TABLE)],
)
def test_variables_and_numbers_are_those_of_flax(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    options = {"features": 4, **options}
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    theirs, ours = linen.Conv(**options), nn.Conv(**options)

    # Flax's promote_dtype, which both modules call, requires standard promotion for mixed dtypes.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        # Each initialisation is a program of its own, since fusion with other operations may change the rounding of a
        # draw.
        drawn, ours_drawn = (jax.jit(module.init)(jax.random.key(0), x) for module in (theirs, ours))
        # Their bias is zero at first, so a missing bias would not show.
        variables = jax.tree.map(
            lambda leaf: np.asarray(leaf) + np.linspace(0, 1, leaf.size).reshape(leaf.shape).astype(leaf.dtype), drawn
        )
        both = jax.jit(lambda variables, x: (theirs.apply(variables, x), ours.apply(variables, x)))
        expected, y = jax.tree.map(np.asarray, both(variables, x))
    jax.tree.map(np.testing.assert_array_equal, ours_drawn, drawn)
    assert y.dtype == expected.dtype
    assert y.shape == expected.shape
    close = 2e-2 if y.dtype == jnp.bfloat16 else 2e-5
    np.testing.assert_allclose(y.astype(np.float32), expected.astype(np.float32), rtol=close, atol=close)


def test_integers_are_read_as_flax_reads_them() -> None:
    x = jnp.arange(24, dtype=jnp.int32).reshape(2, 4, 3)
    ours, theirs = nn.Conv(2, (3,)), linen.Conv(2, (3,))
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        variables = ours.init(jax.random.key(0), x)
        expected = theirs.apply(variables, x)
        np.testing.assert_allclose(ours.apply(variables, x), expected, rtol=1e-5)


def test_what_flax_has_not() -> None:
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
    layer = nn.Conv(4, (3, 3), padding="SAME_LOWER", strides=2, padding_mode="edge", algorithm="fft")
    y, variables = layer.init_with_output(jax.random.key(0), x)
    kernel, bias = variables["params"]["kernel"], variables["params"]["bias"]
    expected = conv(x, kernel, bias=bias, padding="SAME_LOWER", strides=2, padding_mode="edge")
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    circular = nn.Conv(4, (3, 3), padding="CIRCULAR", input_dilation=2)
    assert circular.init_with_output(jax.random.key(0), x)[0].shape == (2, 15, 15, 4)
    assert nn.Conv(4, (3, 3), padding="CAUSAL").init_with_output(jax.random.key(0), x)[0].shape == (2, 8, 8, 4)
    assert nn.Conv(4, (3, 3), padding="FULL").init_with_output(jax.random.key(0), x)[0].shape == (2, 10, 10, 4)


def test_a_mask_may_be_lists(key: jax.Array) -> None:
    x = np.random.default_rng(0).standard_normal((2, 4, 1)).astype(np.float32)
    layers = (nn.Conv(2, (1,), mask=[[[1, 0]]]), nn.LocalConv(2, (1,), mask=[[[[1, 0]]]] * 4))
    for layer in layers:
        y = np.asarray(jax.jit(layer.init_with_output)(key, x)[0])
        assert (y[..., 0] != 0).all() and not y[..., 1].any()


def test_partitioned_parameters_are_unboxed() -> None:
    init = linen.with_partitioning(linen.initializers.lecun_normal(), (None, None, None, "model"))
    layer = nn.Conv(4, (3, 3), kernel_init=init)
    variables = layer.init(jax.random.key(0), jnp.ones((1, 4, 4, 3)))
    assert isinstance(variables["params"]["kernel"], linen.Partitioned)
    assert layer.apply(variables, jnp.ones((1, 4, 4, 3))).shape == (1, 4, 4, 4)


X = jnp.ones((2, 8, 8, 3))
MISTAKES: list[tuple[Any, Any, type[Exception], str]] = [
    (nn.Conv(4, 3), X, ShapeError, r"Conv: kernel_size=3 can be read as \(3,\) for 1-D data or as \(3, 3\) for images"),
    (nn.Conv(4, (3, 3)), X[0, 0], ShapeError, r"Is the channel axis missing\? Try x\[..., None\]"),
    (nn.Conv(4, (3, 3), feature_group_count=2), X, ShapeError, "feature_group_count=2 does not divide the 3 input"),
    (nn.Conv(4, (3, 3), feature_group_count=3), X, ShapeError, "feature_group_count=3 does not divide the 4 output"),
    (
        nn.Conv(4, (3, 3), padding="CIRCULER"),
        X,
        ValueError,
        r"padding='CIRCULER' is not known. Did you mean 'CIRCULAR'\?",
    ),
    (nn.Conv(4, (3, 3), padding="same"), X, ValueError, r"Did you mean 'SAME'\?"),
    (nn.Conv(4, (3, 3), padding="REFLECT", padding_mode="edge"), X, ValueError, "contradict each other"),
    (
        nn.Conv(4, (3, 3), mask=np.ones((3, 3))),
        X,
        ShapeError,
        r"mask must have the shape of the kernel, \(3, 3, 3, 4\)",
    ),
    (nn.Conv(4, (9, 9), padding="VALID"), X, ShapeError, "the output would be empty"),
    (nn.Conv(4, (3, 3), strides=1.5), X, TypeError, "strides must be an integer, not 1.5"),
    (nn.Conv(4, (3, 3), algorithm="shifted"), X, ValueError, "algorithm='shifted' does not support this"),
]


@pytest.mark.parametrize(("layer", "x", "kind", "message"), MISTAKES)
def test_mistakes(layer: Any, x: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        layer.init(jax.random.key(0), x)


def test_injection_is_gone() -> None:
    with pytest.raises(TypeError, match="conv_general_dilated"):
        nn.Conv(4, (3, 3), conv_general_dilated=jax.lax.conv_general_dilated)
