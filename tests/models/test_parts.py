"""Networks without optional branches, scaled widths, and image sizes that single models refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ShapeError, models
from jaxcnn.models._layers._stochastic_depth import StochasticDepth
from jaxcnn.models._layers._widths import scaled_width


def test_whole_images_are_left_out_and_the_mean_stays(key: jax.Array) -> None:
    x = 1 + jax.random.uniform(key, (40, 50, 2, 2, 3))
    y = StochasticDepth(0.25).apply({}, x, train=True, rngs={"dropout": key})
    left_out = np.asarray((y == 0).all((-3, -2, -1)))
    np.testing.assert_allclose(y, np.where(left_out[..., None, None, None], 0, np.asarray(x) / 0.75), rtol=1e-6)
    assert 0.22 < left_out.mean() < 0.28


def test_evaluation_and_a_rate_of_zero_draw_nothing(key: jax.Array) -> None:
    x = jax.random.normal(key, (2, 2, 2, 3))
    np.testing.assert_array_equal(StochasticDepth(0.5).apply({}, x), x)
    np.testing.assert_array_equal(StochasticDepth(0.0).apply({}, x, train=True), x)
    assert not StochasticDepth(1.0).apply({}, x, train=True).any()
    with pytest.raises(ValueError, match=r"StochasticDepth: rate=1.5 must be in .0, 1"):
        StochasticDepth(1.5).apply({}, x, train=True)


def test_the_rate_grows_with_depth() -> None:
    model = models.create("convnext_tiny", stage_sizes=(1, 2, 1), widths=(4, 4, 4), num_classes=2, drop_rate=0.3)
    text = str(
        jax.make_jaxpr(
            lambda key: model.init_with_output({"params": key, "dropout": key}, jnp.zeros((1, 32, 32, 3)), train=True)
        )(jax.random.key(0))
    )
    assert all(f"{1 - rate:.1f}" in text for rate in (0.1, 0.2, 0.3))


@pytest.mark.parametrize(
    ("channels", "factor", "width"), [(32, 1.0, 32), (16, 1.4, 24), (24, 0.5, 16), (1280, 1.4, 1792), (8, 0.01, 8)]
)
def test_scaled_widths(channels: int, factor: float, width: int) -> None:
    assert scaled_width(channels, factor) == width


def test_a_width_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="width=0 must be positive"):
        scaled_width(32, 0)
    for name, shape in (("resnet18", (1, 64, 64, 3)), ("r3d_18", (1, 4, 32, 32, 3))):
        with pytest.raises(ValueError, match=r"ResNet: width=0 must be at least 1\."):
            jax.eval_shape(models.create(name, width=0).init, jax.random.key(0), jnp.zeros(shape))


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("alexnet", 62, "AlexNet: .* sides of at least 63; got"),
        ("alexnet_2012", 224, "AlexNet2012: .* sides from 227 to 254; got .* require a map of 6x6"),
        ("alexnet_2012", 255, "AlexNet2012: .* sides from 227 to 254"),
        ("convnext_tiny", 31, "ConvNeXt: .* sides of at least 32"),
        ("vgg11", 31, "VGG: .* sides of at least 32"),
    ],
)
def test_sizes_that_a_structure_does_not_allow(name: str, size: int, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        jax.eval_shape(models.create(name).init, jax.random.key(0), jnp.zeros((1, size, size, 3)))


@pytest.mark.parametrize(
    ("name", "size"), [("alexnet", 63), ("alexnet_2012", 254), ("convnext_tiny", 32), ("vgg11", 32), ("resnet18", 1)]
)
def test_the_last_sizes_that_it_does_allow(name: str, size: int) -> None:
    model = models.create(name)
    shape = jax.eval_shape(lambda key: model.init_with_output(key, jnp.zeros((size, size, 3)))[0], jax.random.key(0))
    assert shape.shape == (1000,)


def test_the_info_of_a_model_lists_the_options_that_create_takes() -> None:
    for name in models.list_models():
        made, options = models.create(name), models.info(name).options
        assert models.create(name, **{option: getattr(made, option) for option in options}) == made
        assert not {"num_classes", "dtype", "parent", "name"} & set(options)
    assert {"stem", "width", "norm"} <= set(models.info("resnet18").options)
