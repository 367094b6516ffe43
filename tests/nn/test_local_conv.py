"""LocalConv against flax.linen.ConvLocal: the same numbers from the same weights in another layout."""

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn._errors import ShapeError
from jaxcnn.nn._local_conv import LocalConv


def from_flax(kernel: jax.Array, window: tuple[int, ...]) -> jax.Array:
    """Flax's kernel ``(*out_spatial, in * prod(window), features)``, converted as in the docstring."""
    ndim = len(window)
    *out_spatial, flat, features = kernel.shape
    split = kernel.reshape(*out_spatial, flat // int(np.prod(window)), *window, features)
    return jnp.moveaxis(split, ndim, -2)


@pytest.mark.parametrize(
    ("shape", "window", "options"),
    [
        pytest.param((2, 7, 6, 3), (3, 2), {}, marks=pytest.mark.gate),
        ((2, 7, 6, 3), (3, 2), {"padding": "VALID", "strides": (2, 1), "use_bias": False}),
        pytest.param((2, 8, 3), (3,), {"padding": "CIRCULAR", "strides": 2}, marks=pytest.mark.gate),
        pytest.param((2, 8, 3), (3,), {"padding": "CAUSAL", "kernel_dilation": 2}, marks=pytest.mark.gate),
        pytest.param((2, 7, 6, 3), (4, 3), {"padding": "REFLECT"}, marks=pytest.mark.gate),
        ((7, 6, 3), (3, 3), {"padding": ((1, 0), (2, 1)), "input_dilation": (1, 2)}),
        pytest.param((3, 2, 5, 4, 2), (2, 2), {"strides": None}, marks=pytest.mark.gate),
        pytest.param((1, 4, 4, 4, 2), (2, 2, 2), {"padding": 1}, marks=pytest.mark.gate),
    ],
    ids=str,
)
def test_the_numbers_are_flax_s(shape: tuple[int, ...], window: tuple[int, ...], options: dict, key: jax.Array) -> None:
    x = jax.random.normal(key, shape)
    theirs = flax.linen.ConvLocal(5, window, **{**options, "strides": options.get("strides", 1) or 1})
    variables = jax.jit(theirs.init)(jax.random.fold_in(key, 1), x)
    params = {"kernel": from_flax(variables["params"]["kernel"], window)}
    if "bias" in variables["params"]:
        params["bias"] = jax.random.normal(jax.random.fold_in(key, 2), variables["params"]["bias"].shape)
        variables["params"]["bias"] = params["bias"]
    ours = LocalConv(5, window, **options)
    mine = jax.eval_shape(ours.init, key, x)["params"]
    assert jax.tree.map(jnp.shape, mine) == jax.tree.map(jnp.shape, params)
    expected = jax.jit(theirs.apply)(variables, x)
    np.testing.assert_allclose(jax.jit(ours.apply)({"params": params}, x), expected, rtol=1e-4, atol=1e-5)


def test_each_filter_is_drawn_as_that_of_a_convolution(key: jax.Array) -> None:
    """For inputs of unit variance, outputs have unit variance.

    Flax's outputs start smaller by the square root of the number of positions.
    """
    x = np.random.default_rng(0).standard_normal((64, 12, 12, 16)).astype(np.float32)
    ours, theirs = LocalConv(8, (3, 3), padding="VALID"), flax.linen.ConvLocal(8, (3, 3), padding="VALID")
    y, variables = jax.jit(ours.init_with_output)(key, x)
    assert 0.9 < np.std(y) < 1.1
    assert np.std(jax.jit(theirs.init_with_output)(key, x)[0]) < 0.15
    kernel = np.asarray(variables["params"]["kernel"])
    assert np.abs(kernel[0, 0] - kernel[0, 1]).max() > 0.1


def test_groups_and_a_mask(key: jax.Array) -> None:
    x = jax.random.normal(key, (2, 5, 4))
    layer = LocalConv(6, (3,), feature_group_count=2, mask=np.arange(5 * 3 * 2 * 6).reshape(5, 3, 2, 6) % 2)
    y, variables = layer.init_with_output(key, x)
    assert variables["params"]["kernel"].shape == (5, 3, 2, 6)
    np.testing.assert_array_equal(y[..., ::2], 0)
    assert float(jnp.min(jnp.abs(y[..., 1::2]))) > 0


def test_dtypes(key: jax.Array) -> None:
    x = jax.random.normal(key, (2, 5, 4))
    layer = LocalConv(6, (3,), dtype=jnp.bfloat16)
    y, variables = layer.init_with_output(key, x)
    assert (y.dtype, variables["params"]["kernel"].dtype) == (jnp.bfloat16, jnp.float32)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (LocalConv(4, 3), r"LocalConv: kernel_size=3 can be read as"),
        (LocalConv(4, (9, 9), padding="VALID"), r"LocalConv: .*window of 9 is larger than the input of 5"),
        (LocalConv(4, (3, 3), padding="CIRCULR"), r"LocalConv: padding='CIRCULR' is not known.*'CIRCULAR'"),
        (LocalConv(4, (3, 3), feature_group_count=2), r"feature_group_count=2 does not divide the 3 input"),
        (
            LocalConv(4, (3, 3), mask=np.ones((3, 3))),
            r"LocalConv: mask must have the shape of the kernel, \(5, 5, 3, 3, 3, 4\), but has \(3, 3\)",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistakes(layer: LocalConv, message: str, key: jax.Array) -> None:
    with pytest.raises(ValueError if "is not known" in message else ShapeError, match=message):
        layer.init(key, jnp.ones((1, 5, 5, 3)))


def test_parameters_fix_the_size_of_the_input(key: jax.Array) -> None:
    layer = LocalConv(4, (3, 3))
    variables = layer.init(key, jnp.ones((1, 5, 5, 3)))
    with pytest.raises(flax.errors.ScopeParamShapeError):
        layer.apply(variables, jnp.ones((1, 6, 6, 3)))
