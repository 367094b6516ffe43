"""PSNR and SSIM against scikit-image, Dice against its definition."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from jaxcnn import ShapeError, metrics

GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5}


def pairs(dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Two stacks of images in [0, 255], the second with noise of growing strength."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:20, :17]
    base = 128 + 90 * np.sin(rows / 4)[..., None] * np.cos(columns[..., None] / np.array([3, 4, 5]))
    images = np.broadcast_to(base, (2, 3, 20, 17, 3))
    noise = np.linspace(2, 60, 6).reshape(2, 3, 1, 1, 1)
    noisy = np.clip(images + noise * generator.normal(size=images.shape), 0, 255)
    return images.astype(dtype), noisy.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_psnr_and_ssim_against_scikit_image(dtype: Any) -> None:
    references, images = pairs(dtype)
    measures = {
        "psnr": functools.partial(metrics.psnr, data_range=255),
        "gaussian": functools.partial(metrics.ssim, data_range=255),
        "uniform": functools.partial(metrics.ssim, data_range=255, window="uniform", window_size=7),
    }
    got = jax.jit(lambda x, y: {name: measure(x, y) for name, measure in measures.items()})(references, images)
    similarity = functools.partial(structural_similarity, data_range=255, use_sample_covariance=False, channel_axis=-1)
    for index in np.ndindex(2, 3):
        x, y = references[index].astype(np.float64), images[index].astype(np.float64)
        np.testing.assert_allclose(got["psnr"][index], peak_signal_noise_ratio(x, y, data_range=255), rtol=1e-5)
        np.testing.assert_allclose(got["gaussian"][index], similarity(x, y, **GAUSSIAN), atol=2e-5)
        np.testing.assert_allclose(got["uniform"][index], similarity(x, y, win_size=7), atol=2e-5)
    assert got["gaussian"].min() < 0.5 < 0.9 < got["gaussian"].max()


def test_ssim_of_a_texture_on_a_large_mean_keeps_its_digits() -> None:
    """A variance of 0.1 is lost in a mean of squares of values around 1e4."""
    references, images = np.random.default_rng(0).random((2, 12, 12, 1)).astype(np.float32) + np.float32(1e4)
    options: dict[str, Any] = {"data_range": 1.0, "use_sample_covariance": False, "channel_axis": -1}
    expected = structural_similarity(references.astype(np.float64), images.astype(np.float64), **options, **GAUSSIAN)
    np.testing.assert_allclose(metrics.ssim(references, images, data_range=1.0), expected, atol=1e-4)


def test_equal_images() -> None:
    image = np.full((12, 12, 1), 0.3, np.float32)
    assert metrics.ssim(image, image, data_range=1.0) == 1
    assert metrics.psnr(image, image, data_range=1.0) == jnp.inf


def test_ssim_has_a_gradient() -> None:
    references, images = (array[0, 2].astype(np.float64) for array in pairs(np.float64))
    direction = np.random.default_rng(1).normal(size=images.shape)
    with jax.enable_x64(True):

        def along(step: float) -> jax.Array:
            return metrics.ssim(references, images + step * direction, data_range=255)

        slope = (along(1e-3) - along(-1e-3)) / 2e-3
        np.testing.assert_allclose(jax.jit(jax.grad(along))(0.0), slope, rtol=1e-6)


def test_dice() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.random((2, 3, 4, 6, 5)) < 0.4
    a[0, 0] = b[0, 0] = False
    expected = [
        [2 * (p & q).sum() / max(p.sum() + q.sum(), 1) for p, q in zip(*rows, strict=True)]
        for rows in zip(a, b, strict=True)
    ]
    expected[0][0] = 1
    np.testing.assert_allclose(metrics.dice(a, b), expected, rtol=1e-6)
    volumes = 2 * (a & b).sum((1, 2, 3)) / (a.sum((1, 2, 3)) + b.sum((1, 2, 3)))
    np.testing.assert_allclose(metrics.dice(a, b, spatial_ndim=3), volumes, rtol=1e-6)


IMAGE = np.ones((8, 9, 1), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: metrics.psnr(IMAGE, IMAGE[:4], data_range=1), ShapeError, r"references and images must have the same"),
        (lambda: metrics.psnr(IMAGE[0], IMAGE[0], data_range=1), ShapeError, r"\(\*batch, height, width, channels\)"),
        (lambda: metrics.psnr(IMAGE, IMAGE, data_range=0), ValueError, r"data_range=0 must be a positive number"),
        (lambda: metrics.psnr(IMAGE, IMAGE, data_range="1"), ValueError, r"data_range='1' must be a positive number"),
        (
            lambda: metrics.ssim(IMAGE, IMAGE, data_range=1),
            ShapeError,
            r"a window of 11x11 does not fit into images of 8x9. Use a smaller window_size",
        ),
        (
            lambda: metrics.ssim(IMAGE, IMAGE, data_range=1, window_size=0),
            ValueError,
            r"window_size=0 must be at least 1",
        ),
        (
            lambda: metrics.ssim(IMAGE, IMAGE, data_range=1, window_size=2.5),
            TypeError,
            r"window_size .*integer, not 2.5",
        ),
        (
            lambda: metrics.ssim(IMAGE, IMAGE, data_range=1, window_size=3, sigma=0),
            ValueError,
            r"sigma=0 must be positive",
        ),
        (
            lambda: metrics.ssim(IMAGE, IMAGE, data_range=1, window="gausian"),
            ValueError,
            r"window='gausian' is not known. Did you mean 'gaussian'",
        ),
        (
            lambda: metrics.dice(IMAGE, IMAGE, spatial_ndim=4),
            ShapeError,
            r"spatial_ndim=4 must be from 1 to the number of axes of masks.shape=\(8, 9, 1\)",
        ),
    ],
)
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
