"""The bilinear warp against SciPy, and the distributions of the draws, measured in the images."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st

from jaxcnn import augment
from jaxcnn.augment._sampling import affine_positions, nearest
from jaxcnn.shapes import ShapeError
from tests.compiled import compiled
from tests.examples import examples
from tests.tiers import default_rows

affine, random_affine = compiled(augment.affine), compiled(augment.random_affine)
AMOUNTS = {"shift": 2.0, "rotate": 25.0, "scale": 0.3, "shear": 10.0}


def random_images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def random_matrices(count: int, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    linear = np.eye(2) + rng.normal(scale=0.5, size=(count, 2, 2))
    return np.concatenate([linear, rng.normal(scale=2, size=(count, 2, 1))], axis=-1)


def scipy_affine(images: np.ndarray, matrices: np.ndarray, *, fill: float) -> np.ndarray:
    """The result of SciPy, which counts positions from the corner: the centre is moved to the origin and back."""
    centre = (np.array(images.shape[1:3]) - 1) / 2
    result = np.empty(images.shape)
    for index, channel in np.ndindex(len(images), images.shape[-1]):
        linear, shift = matrices[index, :, :2].astype(float), matrices[index, :, 2].astype(float)
        offset = centre + shift - linear @ centre
        result[index, ..., channel] = scipy.ndimage.affine_transform(
            images[index, ..., channel].astype(float), linear, offset, order=1, mode="grid-constant", cval=fill
        )
    return result


@examples(15)
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


@pytest.mark.parametrize("dtype", default_rows(["float32", "bfloat16", "float16"], keep=["bfloat16"]))
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


SIZE, COUNT = 33, 400
ALL = {"shift": 4.0, "rotate": 60.0, "scale": 0.5, "shear": 20.0}


def recovered(key: jax.Array, **amounts: float) -> dict[str, np.ndarray]:
    """The drawn transform of each image, computed from images whose two channels are their own coordinates.

    Such an image, after sampling, contains the sampled positions. The map of the content is the inverse of the map of
    positions. Without its shift it is a product of a rotation, a factor and ``[[1, 0], [lean, 1]]``, and this
    factorisation is unique.
    """
    middle = SIZE // 2
    ramps = np.moveaxis(np.mgrid[:SIZE, :SIZE] - middle, 0, -1).astype(np.float32)
    images = np.broadcast_to(ramps, (COUNT, SIZE, SIZE, 2))
    y = np.asarray(random_affine(key, images, **amounts), np.float64)
    here = y[:, middle, middle]
    forward = np.linalg.inv(np.stack([y[:, middle + 1, middle] - here, y[:, middle, middle + 1] - here], axis=-1))
    factor = np.linalg.norm(forward[:, :, 1], axis=-1)
    turn = np.arctan2(-forward[:, 0, 1], forward[:, 1, 1])
    back = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) / factor
    slant = np.einsum("ijn,njk->nik", back, forward)
    np.testing.assert_allclose(slant[:, [0, 0, 1], [0, 1, 1]], np.broadcast_to([1, 0, 1], (COUNT, 3)), atol=1e-4)
    down, right = -np.einsum("nij,nj->in", forward, here)
    degrees = {"rotate": np.rad2deg(turn), "shear": np.rad2deg(np.arctan(slant[:, 1, 0]))}
    return {"down": down, "right": right, "scale": np.log(factor), **degrees}


def assert_fills(values: np.ndarray, most: float) -> None:
    """Checks that the draws fill the stated range evenly: about a fifth of them is in each fifth of the range."""
    assert -most - 1e-3 <= values.min() <= -0.95 * most
    assert 0.95 * most <= values.max() <= most + 1e-3
    counts, _ = np.histogram(np.clip(values, -most, most), bins=5, range=(-most, most))
    assert counts.min() > 0.6 * COUNT / 5 and counts.max() < 1.4 * COUNT / 5


@pytest.mark.parametrize("amounts", [*({name: amount} for name, amount in ALL.items()), ALL])
def test_draws_fill_their_ranges(key: jax.Array, amounts: dict[str, float]) -> None:
    """Draws are uniform, for the scale in its logarithm.

    The shift is in pixels of the output, independent of the other transforms.
    """
    wanted = {
        "down": amounts.get("shift", 0.0),
        "right": amounts.get("shift", 0.0),
        "scale": np.log1p(amounts.get("scale", 0.0)),
        "rotate": amounts.get("rotate", 0.0),
        "shear": amounts.get("shear", 0.0),
    }
    drawn = recovered(key, **amounts)
    assert drawn.keys() == wanted.keys()
    for name, most in wanted.items():
        if most:
            assert_fills(drawn[name], most)
        else:
            np.testing.assert_allclose(drawn[name], 0.0, atol=1e-3)


def test_draws_are_independent(key: jax.Array) -> None:
    correlations = np.corrcoef(np.stack(list(recovered(key, **ALL).values())))
    assert np.abs(correlations - np.eye(5)).max() < 0.2


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
    (GOOD.astype(np.int32), {}, TypeError, "must have a floating dtype, not int32"),
    (GOOD.astype(bool), {}, TypeError, "must have a floating dtype, not bool"),
    (
        GOOD[0, 0],
        {},
        ShapeError,
        "must have the shape (*batch, height, width, channels), but images.shape=(4, 1). Grey",
    ),
    (GOOD[:, :0], {}, ShapeError, "images of shape (2, 0, 4, 1) have no pixels"),
    (None, {}, TypeError, "images must be an array of numbers, not None"),
    (
        {"image": 0},
        {},
        TypeError,
        "images must be an array of numbers, not of type dict. The images of a batch are augmented by augment",
    ),
    (GOOD, {"shift": -1}, ValueError, "shift=-1 must be finite, at least 0."),
    (GOOD, {"shift": float("nan")}, ValueError, "shift=nan must be finite, at least 0."),
    (GOOD, {"scale": -0.5}, ValueError, "scale=-0.5 must be finite, at least 0."),
    (GOOD, {"rotate": 181}, ValueError, "rotate=181 must be finite, at least 0 and at most 180."),
    (GOOD, {"shear": 90.0}, ValueError, "shear=90.0 must be finite, at least 0 and less than 90."),
    (GOOD, {"rotate": "12"}, TypeError, "rotate must be a plain number, not '12' (str)"),
    (GOOD, {"shift": True}, TypeError, "shift must be a plain number, not True"),
    (GOOD, {"fill": (0, 0, 0)}, TypeError, "fill must be a single number for all channels, not (0, 0, 0)"),
    (GOOD, {"shift": (2, 2)}, TypeError, "shift must be a plain number, not (2, 2) (tuple)"),
]


@pytest.mark.parametrize(("images", "options", "kind", "message"), MISTAKES)
def test_mistakes(key: jax.Array, images: Any, options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match="^random_affine: .*" + re.escape(message)):
        random_affine(key, images, **options)


def test_mistakes_in_matrices() -> None:
    message = (
        "matrices must have the shape (2, 2, 3), one for each image, or (2, 3), the same for all, but matrices.shape"
    )
    with pytest.raises(ShapeError, match=re.escape(message)):
        affine(GOOD, jnp.ones((3, 2, 3)))
    with pytest.raises(TypeError, match="affine: matrices must be real numbers, not complex64"):
        affine(GOOD, jnp.zeros((2, 2, 3), jnp.complex64))
    with pytest.raises(TypeError, match="affine: images must have a floating dtype"):
        affine(GOOD.astype(np.uint8), jnp.zeros((2, 2, 3)))


@pytest.mark.gate
def test_the_nearest_pixels_of_an_image_with_more_pixels_than_float32_counts() -> None:
    side = 4099
    image = jnp.arange(side * side, dtype=jnp.int32).reshape(1, side, side, 1)
    identity = jnp.array([[[1.0, 0, 0], [0, 1, 0]]])
    places = affine_positions(jnp.zeros((1, side, side, 1)), identity)
    assert bool((nearest(image, *places, 0) == image).all())
