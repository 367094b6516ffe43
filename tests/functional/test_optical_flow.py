"""Optical flow: known displacements, one step of each method by hand, and the errors."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
from scipy import ndimage
from skimage.color import rgb2gray
from skimage.registration import optical_flow_tvl1
from skimage.transform import resize

from jaxcnn import ShapeError, functional
from tests.compiled import compiled_functions

F = compiled_functions(functional)


def moved(u: float, v: float) -> tuple[np.ndarray, np.ndarray]:
    """A smooth random texture in [0, 1], and the same texture moved by ``u`` columns and ``v`` rows, by SciPy."""
    texture = ndimage.gaussian_filter(np.random.default_rng(0).random((64, 72)), 2)
    texture = (texture - texture.min()) / np.ptp(texture)
    shifted = ndimage.shift(texture, (v, u), order=3, mode="nearest")
    return texture[8:-8, 8:-8, None].astype(np.float32), shifted[8:-8, 8:-8, None].astype(np.float32)


def test_known_displacements_are_found() -> None:
    """A third of a pixel, and five pixels, which require coarse levels; the border is left out."""
    shifts = [(0.3, -0.4), (-4.0, 3.0)]
    pairs = [moved(*shift) for shift in shifts]
    a, b = (np.stack(images) for images in zip(*pairs, strict=True))

    @jax.jit
    def every() -> Any:
        return {
            "horn_schunck": F.optical_flow(a, b, iterations=50),
            "lucas_kanade": F.optical_flow(a, b, method="lucas_kanade"),
            "one level": F.optical_flow(a, b, method="lucas_kanade", levels=1, warps=1),
        }

    got = {name: flow[:, 8:-8, 8:-8] for name, flow in jax.device_get(every()).items()}
    for method in ("horn_schunck", "lucas_kanade"):
        errors = np.linalg.norm(got[method] - np.array(shifts)[:, None, None], axis=-1).mean((1, 2))
        assert (errors < 0.05).all(), (method, errors)
    assert np.linalg.norm(got["one level"][1] - shifts[1], axis=-1).mean() > 1


def test_real_displacements_beside_tv_l1() -> None:
    """The stereo pair of scikit-image at a quarter of its size; the true flow is minus the disparity."""
    left, right, disparity = skimage.data.stereo_motorcycle()
    size = left.shape[0] // 4, left.shape[1] // 4
    a, b = (resize(rgb2gray(image), size, anti_aliasing=True).astype(np.float32) for image in (left, right))
    true = disparity[2::4, 2::4][: size[0], : size[1]] / 4
    known = np.isfinite(true) & (true > 0)

    def error(u: np.ndarray, v: np.ndarray) -> float:
        return float(np.hypot(u + true, v)[known].mean())

    v, u = optical_flow_tvl1(a, b)
    theirs = error(u, v)
    assert 1.5 < theirs < 2.5 < error(0 * u, 0 * v)
    for method in ("horn_schunck", "lucas_kanade"):
        flow = np.asarray(F.optical_flow(a[..., None], b[..., None], method=method))
        assert error(flow[..., 0], flow[..., 1]) < theirs, method


def differences(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    padded = np.pad(image, 1, mode="edge")
    return (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2, (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2


def test_one_linearisation_against_loops() -> None:
    """The update of Horn and Schunck as in their paper, and the normal equations of each window."""
    a, b = np.random.default_rng(1).random((2, 6, 7))
    gx, gy = differences((a + b) / 2)
    options: dict[str, Any] = {"levels": 1, "warps": 1, "smoothness": 0.3}

    @jax.jit
    def every() -> Any:
        one, two = a[..., None], b[..., None]
        return (
            F.optical_flow(one, two, iterations=3, **options),
            F.optical_flow(one, two, method="lucas_kanade", window_size=3, **options),
        )

    with jax.enable_x64(True):
        horn_schunck, lucas_kanade = jax.device_get(every())
    u, v = np.zeros_like(a), np.zeros_like(a)
    weights = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]]) / 12
    for _ in range(3):
        mu, mv = (ndimage.correlate(each, weights, mode="nearest") for each in (u, v))
        step = (gx * mu + gy * mv + b - a) / (0.3**2 + gx**2 + gy**2)
        u, v = mu - gx * step, mv - gy * step
    np.testing.assert_allclose(horn_schunck, np.stack([u, v], -1), atol=1e-12)
    for row in range(6):
        for column in range(7):
            window = np.s_[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            g = np.stack([gx[window].ravel(), gy[window].ravel()])
            solved = -np.linalg.solve(g @ g.T + 0.3**2 * np.eye(2), g @ (b - a)[window].ravel())
            np.testing.assert_allclose(lucas_kanade[row, column], solved, atol=1e-12)


def test_half_precision_is_computed_in_float32() -> None:
    a, b = moved(0.3, -0.4)
    one, two = jnp.asarray(a[:16, :16], jnp.bfloat16), jnp.asarray(b[:16, :16], jnp.bfloat16)

    @jax.jit
    def both(one: jax.Array, two: jax.Array) -> Any:
        options: dict[str, Any] = {"levels": 2, "warps": 2, "iterations": 10}
        wide = F.optical_flow(one.astype(jnp.float32), two.astype(jnp.float32), **options)
        return F.optical_flow(one, two, **options), wide.astype(jnp.bfloat16)

    np.testing.assert_array_equal(*jax.device_get(both(one, two)))


IMAGE = np.ones((8, 9, 1), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: F.optical_flow(IMAGE, IMAGE[1:]),
            ShapeError,
            r"^optical_flow: a and b must be images of one shape \(\*batch, height, width, channels\), but a.shape",
        ),
        (lambda: F.optical_flow(IMAGE[..., 0], IMAGE[..., 0]), ShapeError, r"Grey images have one channel: a\[..., N"),
        (
            lambda: F.optical_flow(IMAGE.astype(np.uint8), IMAGE.astype(np.uint8)),
            TypeError,
            r"^optical_flow: a and b must have one floating dtype, not uint8 and uint8. Of uint8: a.astype",
        ),
        (
            lambda: F.optical_flow(IMAGE, IMAGE, method="lucas_canade"),
            ValueError,
            r"method='lucas_canade' is not known. Did you mean 'lucas_kanade'",
        ),
        (lambda: F.optical_flow(IMAGE, IMAGE, warps=0), ValueError, r"^optical_flow: warps=0 must be at least 1"),
        (lambda: F.optical_flow(IMAGE, IMAGE, window_size=4), ValueError, r"window_size=4 must be odd, so that a win"),
        (
            lambda: F.optical_flow(IMAGE, IMAGE, smoothness=0),
            ValueError,
            r"smoothness=0 must be a plain number from 1e-8 to",
        ),
        (lambda: F.optical_flow(IMAGE, IMAGE, levels=20_000), ValueError, "levels=20000 must be at most 30"),
        (
            lambda: F.optical_flow(IMAGE, IMAGE, smoothness=10**400),
            ValueError,
            "must be a plain number from 1e-8 to 1e8",
        ),
        (
            lambda: F.optical_flow(IMAGE[:1], IMAGE[:1], levels=1),
            ShapeError,
            r"levels=1 requires images of at least 2 pixels on each axis, but a.shape=\(1, 9, 1\)\.\s",
        ),
        (
            lambda: F.optical_flow(IMAGE, IMAGE, levels=4),
            ShapeError,
            r"levels=4 requires images of at least 16 pixels on each axis, but a.shape=\(8, 9, 1\). Use fewer levels",
        ),
    ],
)
def test_refusals(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
