"""The multi-scale network equals its definition, written with SciPy, scikit-image and lax."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from skimage.color import rgb2yuv

from jaxcnn import ShapeError, functional, models
from jaxcnn.models._multiscale import laplacian_pyramid
from tests.models.small import quick_jit

SMALL: dict[str, Any] = {"num_classes": 3, "widths": (2, 3, 4), "hidden": 5}


def test_sizes_are_those_of_the_info() -> None:
    info = models.info("farabet_multiscale")
    found = models.summary(models.create("farabet_multiscale"), (1, *info.input_shape))
    assert (found.parameters, found.macs) == (info.parameters, info.macs)
    by_hand = 49 * (3 * 16 + 16 * 64 + 64 * 256) + 16 + 64 + 256 + (768 + 1) * 1024 + (1024 + 1) * 8
    assert info.parameters == by_hand


def enlarged(maps: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Linear interpolation between the centres of pixels, axis by axis."""
    for axis, size in enumerate(shape):
        old = maps.shape[axis]
        places = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
        low = np.floor(places).astype(int)
        high, part = np.minimum(low + 1, old - 1), places - low
        part = part.reshape([-1 if each == axis else 1 for each in range(maps.ndim)])
        maps = maps.take(low, axis) * (1 - part) + maps.take(high, axis) * part
    return maps


def test_the_pyramid_is_burt_and_adelson_s() -> None:
    image = np.random.default_rng(0).normal(size=(11, 14, 2))
    levels = jax.jit(functools.partial(laplacian_pyramid, levels=3))(jnp.asarray(image, jnp.float32))
    rest = image
    for level in levels[:-1]:
        blurred = rest
        for axis in (0, 1):
            blurred = ndimage.correlate1d(blurred, np.array([1, 4, 6, 4, 1]) / 16, axis, mode="nearest")
        half = blurred[::2, ::2]
        np.testing.assert_allclose(level, rest - enlarged(half, rest.shape[:2]), atol=1e-5)
        rest = half
    np.testing.assert_allclose(levels[-1], rest, atol=1e-5)


@pytest.mark.gate
def test_one_network_reads_every_level() -> None:
    model = models.create("farabet_multiscale", **SMALL)
    image = np.random.default_rng(1).random((12, 20, 3)).astype(np.float32)
    variables = quick_jit(model.init)(jax.random.key(0), image)
    assert sorted(variables["params"]) == ["head", "hidden", "network"]
    found = quick_jit(functools.partial(model.apply, method="features"))(variables, image)
    params = jax.tree.map(np.asarray, variables["params"])

    def convolved(x: np.ndarray, layer: dict[str, np.ndarray]) -> np.ndarray:
        kernel, bias = layer["kernel"], layer["bias"]
        y = np.zeros((*x.shape[:2], len(bias)))
        for out in range(len(bias)):
            for channel in range(x.shape[2]):
                y[..., out] += ndimage.correlate(x[..., channel], kernel[:, :, channel, out], mode="constant")
        return y + bias

    normalized = jax.jit(functools.partial(functional.local_contrast_norm, window_shape=(15, 15)))
    levels = jax.jit(functools.partial(laplacian_pyramid, levels=3))(jnp.asarray(rgb2yuv(image), jnp.float32))
    maps = []
    for index, level in enumerate(levels, 1):
        channels = [normalized(level[..., [c]]) for c in range(3)]
        x = np.concatenate([np.asarray(each, np.float64) for each in channels], -1)
        for layer in ("conv1", "conv2"):
            x = np.tanh(convolved(x, params["network"][layer]))
            high, wide = -(-x.shape[0] // 2), -(-x.shape[1] // 2)
            x = np.pad(x, ((0, 2 * high - x.shape[0]), (0, 2 * wide - x.shape[1]), (0, 0)), constant_values=-np.inf)
            x = x.reshape(high, 2, wide, 2, -1).max((1, 3))
        x = convolved(x, params["network"]["conv3"])
        np.testing.assert_allclose(found[f"scale{index}"], x, rtol=1e-3, atol=2e-3)
        maps.append(x)
    whole = np.concatenate([enlarged(each, maps[0].shape[:2]) for each in maps], -1)
    hidden = np.tanh(convolved(whole, params["hidden"]))
    logits = enlarged(convolved(hidden, params["head"]), image.shape[:2])
    np.testing.assert_allclose(found["logits"], logits, rtol=1e-3, atol=3e-3)


def test_what_it_refuses() -> None:
    for options, shape, error, message in (
        ({}, (8, 8, 2), ShapeError, r"images must have 1 channel \(grey\) or 3 \(red, green, blue\), not 2"),
        ({"scales": 0}, (8, 8, 3), ValueError, "scales=0 must be at least 1"),
    ):
        with pytest.raises(error, match=message):
            jax.eval_shape(models.create("farabet_multiscale", **options).init, jax.random.key(0), jnp.zeros(shape))
    grey = models.create("farabet_multiscale", **SMALL)
    variables = jax.eval_shape(grey.init, jax.random.key(0), jnp.zeros((2, 5, 7, 1)))
    assert jax.eval_shape(grey.apply, variables, jnp.zeros((2, 5, 7, 1))).shape == (2, 5, 7, 3)
