"""TiledConv: its variables, and the two modules that are its special cases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn._errors import ShapeError
from jaxcnn.functional import tiled_conv
from jaxcnn.nn._conv import Conv
from jaxcnn.nn._local_conv import LocalConv
from jaxcnn.nn._tiled_conv import TiledConv
from jaxcnn.shapes import tiled_conv_counts


def test_variables_and_function(key: jax.Array) -> None:
    x = jax.random.normal(key, (2, 7, 6, 4))
    layer = TiledConv(
        6, (3, 2), tiles=(2, 3), feature_group_count=2, padding="CIRCULAR", bias_init=jax.nn.initializers.normal()
    )
    y, variables = layer.init_with_output(key, x)
    params = variables["params"]
    assert jax.tree.map(jnp.shape, params) == {"kernel": (2, 3, 3, 2, 2, 6), "bias": (2, 3, 6)}
    counts = tiled_conv_counts((7, 6, 4), 6, (3, 2), tiles=(2, 3), feature_group_count=2)
    assert counts.parameters == sum(leaf.size for leaf in jax.tree.leaves(params))
    expected = tiled_conv(
        x,
        params["kernel"],
        bias=params["bias"],
        padding=((1, 1), (0, 1)),
        padding_mode="circular",
        feature_group_count=2,
    )
    np.testing.assert_allclose(y, expected, rtol=1e-6)


@pytest.mark.parametrize("options", [{}, {"padding": "VALID", "strides": 2}, {"padding": "CAUSAL", "use_bias": False}])
def test_one_tile_is_conv_and_as_many_as_outputs_is_local(options: dict, key: jax.Array) -> None:
    x = np.random.default_rng(0).standard_normal((2, 7, 6, 4)).astype(np.float32)
    y, variables = jax.jit(Conv(5, (3, 2), **options).init_with_output)(key, x)
    one = jax.tree.map(lambda leaf: np.asarray(leaf)[None, None], variables)
    tiled = jax.jit(TiledConv(5, (3, 2), tiles=1, **options).apply)
    np.testing.assert_allclose(tiled(one, x), y, rtol=1e-5, atol=1e-6)
    every, variables = jax.jit(LocalConv(5, (3, 2), **options).init_with_output)(key, x)
    tiled = jax.jit(TiledConv(5, (3, 2), tiles=y.shape[1:3], **options).apply)
    np.testing.assert_allclose(tiled(variables, x), every, rtol=1e-5, atol=1e-6)


def test_each_filter_is_drawn_as_that_of_a_convolution(key: jax.Array) -> None:
    x = np.random.default_rng(0).standard_normal((64, 12, 12, 16)).astype(np.float32)
    y, _ = jax.jit(TiledConv(8, (3, 3), tiles=3, padding="VALID").init_with_output)(key, x)
    assert 0.9 < np.std(y) < 1.1


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (TiledConv(4, 3, tiles=2), r"TiledConv: kernel_size=3 can be read as"),
        (TiledConv(4, (3, 3), tiles=(2, 2, 2)), r"TiledConv: tiles=\(2, 2, 2\) has 3 entries"),
        (TiledConv(4, (3, 3), tiles=0), r"TiledConv: tiles=0 must be at least 1"),
        (TiledConv(4, (3, 3), tiles=2, mask=np.ones(3)), r"TiledConv: mask must have the shape of the kernel"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistakes(layer: TiledConv, message: str, key: jax.Array) -> None:
    with pytest.raises(ShapeError, match=message):
        layer.init(key, jnp.ones((1, 5, 5, 3)))


def test_tiles_have_no_default() -> None:
    with pytest.raises(TypeError, match="tiles"):
        TiledConv(4, (3, 3))  # type: ignore[call-arg]
