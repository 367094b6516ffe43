"""The bilinear warp against SciPy, and what can be measured of the draws in the images."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcnn.augment import affine, random_affine
from jaxcnn.shapes import ShapeError

AMOUNTS = {"shift": 2.0, "rotate": 25.0, "scale": 0.3, "shear": 10.0}


def random_images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def random_matrices(count: int, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    linear = np.eye(2) + rng.normal(scale=0.5, size=(count, 2, 2))
    return np.concatenate([linear, rng.normal(scale=2, size=(count, 2, 1))], axis=-1)


def scipy_affine(images: np.ndarray, matrices: np.ndarray, *, fill: float) -> np.ndarray:
    """SciPy counts positions from the corner, so that the centre has to be moved there and back."""
    centre = (np.array(images.shape[1:3]) - 1) / 2
    result = np.empty(images.shape)
    for index, channel in np.ndindex(len(images), images.shape[-1]):
        linear, shift = matrices[index, :, :2].astype(float), matrices[index, :, 2].astype(float)
        offset = centre + shift - linear @ centre
        result[index, ..., channel] = scipy.ndimage.affine_transform(
            images[index, ..., channel].astype(float), linear, offset, order=1, mode="grid-constant", cval=fill
        )
    return result


@settings(max_examples=15, deadline=None)
@given(
    height=st.sampled_from([1, 4, 7]),
    width=st.sampled_from([1, 5, 8]),
    channels=st.sampled_from([1, 3]),
    fill=st.sampled_from([0.0, -1.5]),
    seed=st.integers(0, 2**16),
)
def test_agrees_with_scipy(height: int, width: int, channels: int, fill: float, seed: int) -> None:
    images = random_images(3, height, width, channels, seed=seed).astype(np.float64)
    matrices = random_matrices(3, seed=seed)
    with jax.enable_x64(True):
        y = jax.jit(affine, static_argnames="fill")(images, matrices, fill=fill)
        assert y.dtype == np.float64
        np.testing.assert_allclose(y, scipy_affine(images, matrices, fill=fill), rtol=0, atol=1e-12)


def test_agrees_with_scipy_in_float32() -> None:
    images, matrices = random_images(8, 32, 32, 1) / 4, random_matrices(8).astype(np.float32)
    np.testing.assert_allclose(affine(images, matrices), scipy_affine(images, matrices, fill=0.0), rtol=0, atol=1e-5)


def test_a_matrix_says_where_to_sample() -> None:
    image = random_images(1, 3, 4, 2)
    mirror = np.array([[[1, 0, 0], [0, -1, 0]]])
    np.testing.assert_array_equal(affine(image, mirror), image[:, :, ::-1])
    left = np.array([[[1, 0, 0], [0, 1, 1]]])
    expected = np.concatenate([image[:, :, 1:], np.full((1, 3, 1, 2), -1)], axis=2)
    np.testing.assert_array_equal(affine(image, left, fill=-1), expected)
    square, quarter = random_images(1, 5, 5, 2), np.array([[[0, 1, 0], [-1, 0, 0]]])
    np.testing.assert_array_equal(affine(square, quarter), np.rot90(square, axes=(1, 2)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("shape", [(3, 7, 4, 2), (0, 4, 4, 1)])
def test_standing_still_is_exact_and_keeps_the_dtype(key: jax.Array, dtype: str, shape: tuple[int, ...]) -> None:
    images = jnp.asarray(random_images(*shape)).astype(dtype)
    still = jnp.broadcast_to(jnp.eye(2, 3, dtype=jnp.int32), (len(images), 2, 3))
    for y in (jax.jit(affine)(images, still), random_affine(key, images)):
        assert y.dtype == images.dtype
        np.testing.assert_array_equal(y.astype(jnp.float32), images.astype(jnp.float32))


def test_a_matrix_that_is_not_a_number_spoils_its_own_image_only() -> None:
    images = random_images(2, 4, 4, 1)
    y = affine(images, np.stack([np.eye(2, 3), np.full((2, 3), np.nan)]).astype(np.float32))
    np.testing.assert_array_equal(y[0], images[0])
    assert bool(jnp.isnan(y[1]).all())


@pytest.mark.parametrize("name", AMOUNTS)
def test_each_image_gets_its_own_draw(key: jax.Array, name: str) -> None:
    images = np.repeat(random_images(1, 9, 9, 1), 6, axis=0)
    y = np.asarray(random_affine(key, images, **{name: AMOUNTS[name]}))
    assert all(np.abs(y[i] - y[j]).max() > 1e-3 for i in range(6) for j in range(i))
    assert all(np.abs(one - images[0]).max() > 1e-3 for one in y)


# Measured on a blob of Gaussian shape, far from the border: its mass, centre and second moments move as the plane does.
SIZE, COUNT, WIDTHS = 51, 400, (5.0, 3.0)


def blob() -> np.ndarray:
    row, column = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    return np.exp(-(row**2) / (2 * WIDTHS[0] ** 2) - column**2 / (2 * WIDTHS[1] ** 2))


def measured(key: jax.Array, **amounts: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mass (n,), centre (n, 2) and covariance (n, 2, 2) of blobs after their draws, positions from the middle."""
    images = np.broadcast_to(blob().astype(np.float32)[None, :, :, None], (COUNT, SIZE, SIZE, 1))
    weights = np.asarray(random_affine(key, images, **amounts), np.float64)[..., 0]
    mass = weights.sum((1, 2))
    positions = np.stack(np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2)
    centre = np.einsum("nhw,dhw->nd", weights, positions) / mass[:, None]
    second = np.einsum("nhw,dhw,ehw->nde", weights, positions, positions) / mass[:, None, None]
    return mass, centre, second - centre[:, :, None] * centre[:, None, :]


def assert_fills(values: np.ndarray, low: float, high: float, *, slack: float) -> None:
    """Within the stated range, nearly up to its ends, and evenly: a fifth of the draws in each fifth, roughly."""
    assert low - slack <= values.min() <= low + 0.05 * (high - low)
    assert high - 0.05 * (high - low) <= values.max() <= high + slack
    counts, _ = np.histogram(np.clip(values, low, high), bins=5, range=(low, high))
    assert counts.min() > 0.6 * len(values) / 5 and counts.max() < 1.4 * len(values) / 5


def test_shift_moves_rows_and_columns_up_to_so_many_pixels(key: jax.Array) -> None:
    """Of the output, whatever else is done to the image."""
    for others in ({}, {"rotate": 180.0, "scale": 0.2}):
        _, centre, _ = measured(key, shift=4.0, **others)
        for axis in range(2):
            assert_fills(centre[:, axis], -4, 4, slack=0.02)
        assert abs(np.corrcoef(centre.T)[0, 1]) < 0.15, "rows and columns are drawn apart"


def test_rotate_turns_up_to_so_many_degrees(key: jax.Array) -> None:
    mass, centre, covariance = measured(key, rotate=30.0)
    np.testing.assert_allclose(mass, blob().sum(), rtol=1e-3)
    np.testing.assert_allclose(centre, 0, atol=1e-3)
    turned = 0.5 * np.arctan2(2 * covariance[:, 0, 1], covariance[:, 0, 0] - covariance[:, 1, 1])
    assert_fills(np.rad2deg(turned), -30, 30, slack=0.5)
    sides = np.sqrt(np.linalg.eigvalsh(covariance))
    np.testing.assert_allclose(sides, np.broadcast_to(sorted(WIDTHS), sides.shape), rtol=0.03)


def test_scale_enlarges_evenly_in_its_logarithm(key: jax.Array) -> None:
    mass, centre, covariance = measured(key, scale=0.4)
    np.testing.assert_allclose(centre, 0, atol=1e-3)
    zoom = np.sqrt(mass / blob().sum())
    assert_fills(np.log(zoom), -np.log(1.4), np.log(1.4), slack=0.01)
    sides = np.sqrt(np.stack([covariance[:, 0, 0], covariance[:, 1, 1]], -1)) / zoom[:, None]
    np.testing.assert_allclose(sides, np.broadcast_to(WIDTHS, sides.shape), rtol=0.05)


def test_shear_leans_upright_lines_and_leaves_level_ones(key: jax.Array) -> None:
    """With ``column += lean * row`` the row's variance stays, and the covariance is ``lean`` times it."""
    mass, centre, covariance = measured(key, shear=20.0)
    np.testing.assert_allclose(mass, blob().sum(), rtol=1e-3)
    np.testing.assert_allclose(centre, 0, atol=1e-3)
    np.testing.assert_allclose(np.sqrt(covariance[:, 0, 0]), WIDTHS[0], rtol=0.03)
    assert_fills(np.rad2deg(np.arctan(covariance[:, 0, 1] / covariance[:, 0, 0])), -20, 20, slack=0.5)


def test_outside_lies_the_fill(key: jax.Array) -> None:
    y = np.asarray(random_affine(key, np.ones((50, 6, 6, 1), np.float32), shift=3.0, fill=7.0))
    corners = y[:, [0, 0, -1, -1], [0, -1, 0, -1], 0]
    assert y.min() >= 1 - 1e-5 and y.max() <= 7 + 1e-5
    assert (corners.max(1) == 7).mean() > 0.3


def test_gradient_of_the_matrices() -> None:
    with jax.enable_x64(True):
        images, matrices = random_images(2, 6, 6, 1).astype(np.float64), random_matrices(2)
        direction, step = random_matrices(2, seed=1), 1e-6
        move = jax.jit(lambda matrices: affine(images, matrices))
        _, tangent = jax.jvp(move, (matrices,), (direction,))
        ahead, back = (move(matrices + sign * step * direction) for sign in (1, -1))
        np.testing.assert_allclose(tangent, (ahead - back) / (2 * step), atol=1e-7)


GOOD = np.zeros((2, 4, 4, 1), np.float32)
MISTAKES: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (GOOD.astype(np.uint8), {}, TypeError, "not uint8. Convert them first: images.astype(jnp.float32) / 255 for"),
    (GOOD.astype(np.int32), {}, TypeError, "want a floating dtype, not int32"),
    (GOOD.astype(bool), {}, TypeError, "want a floating dtype, not bool"),
    (GOOD[0], {}, ShapeError, "images.shape=(4, 4, 1). One image alone is images[None]; grey images have one channel"),
    (GOOD[None], {}, ShapeError, "want the shape (batch, height, width, channels), but images.shape=(1, 2, 4, 4, 1)"),
    (GOOD[:, :0], {}, ShapeError, "no pixel in images of the shape (2, 0, 4, 1)"),
    (GOOD, {"shift": -1}, ShapeError, "shift=-1 must be finite, at least 0."),
    (GOOD, {"shift": float("nan")}, ShapeError, "shift=nan must be finite, at least 0."),
    (GOOD, {"scale": -0.5}, ShapeError, "scale=-0.5 must be finite, at least 0."),
    (GOOD, {"rotate": 181}, ShapeError, "rotate=181 must be finite, at least 0 and at most 180."),
    (GOOD, {"shear": 90.0}, ShapeError, "shear=90.0 must be finite, at least 0 and under 90."),
    (GOOD, {"rotate": "12"}, TypeError, "rotate wants a plain number, not '12' (str)"),
    (GOOD, {"shift": True}, TypeError, "shift wants a plain number, not True"),
    (GOOD, {"shift": (2, 2)}, TypeError, "shift wants a plain number, not (2, 2) (tuple)"),
]


@pytest.mark.parametrize(("images", "options", "kind", "message"), MISTAKES)
def test_mistakes(key: jax.Array, images: Any, options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match="^random_affine: .*" + re.escape(message)):
        random_affine(key, images, **options)


def test_mistakes_in_matrices() -> None:
    with pytest.raises(ShapeError, match=re.escape("matrices of the shape (2, 2, 3), but matrices.shape=(2, 3). One")):
        affine(GOOD, jnp.eye(2, 3))
    with pytest.raises(TypeError, match="affine: matrices want real numbers, not complex64"):
        affine(GOOD, jnp.zeros((2, 2, 3), jnp.complex64))
    with pytest.raises(TypeError, match="affine: images want a floating dtype"):
        affine(GOOD.astype(np.uint8), jnp.zeros((2, 2, 3)))
