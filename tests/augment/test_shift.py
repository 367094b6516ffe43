"""Integer shifts against ``numpy.pad``, and how often each shift is drawn."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import augment
from jaxcnn.shapes import ShapeError
from tests.compiled import compiled

random_shift = compiled(augment.random_shift)

NUMPY_MODES = {"zeros": "constant", "reflect": "reflect", "edge": "edge", "circular": "wrap"}


def shifts_that_fit(image: np.ndarray, shifted: np.ndarray, most: tuple[int, int], mode: str) -> list[tuple[int, int]]:
    """All shifts (down, right) that map one image to the other, as crops of the image padded by ``numpy.pad``."""
    height, width, _ = image.shape
    padded = np.pad(image, ((most[0],) * 2, (most[1],) * 2, (0, 0)), mode=NUMPY_MODES[mode])  # type: ignore[call-overload]
    found = []
    for down in range(-most[0], most[0] + 1):
        for right in range(-most[1], most[1] + 1):
            top, left = most[0] - down, most[1] - right
            if np.array_equal(padded[top : top + height, left : left + width], shifted):
                found.append((down, right))
    return found


@pytest.mark.parametrize("mode", NUMPY_MODES)
@pytest.mark.parametrize(
    ("size", "most"),
    [
        ((5, 6), (2, 1)),
        *(pytest.param(*row, marks=pytest.mark.gate) for row in [((4, 7), (3, 0)), ((3, 3), (5, 5)), ((1, 4), (2, 2))]),
    ],
)
def test_is_a_crop_of_the_padded_image(key: jax.Array, mode: str, size: tuple[int, int], most: tuple[int, int]) -> None:
    images = np.random.default_rng(0).normal(size=(32, *size, 2)).astype(np.float32)
    y = np.asarray(random_shift(key, images, max_pixels=most, padding_mode=mode))
    assert all(shifts_that_fit(x, moved, most, mode) for x, moved in zip(images, y, strict=True))


def test_every_shift_is_drawn_equally_often_and_both_axes_apart(key: jax.Array) -> None:
    image = np.random.default_rng(0).normal(size=(1, 5, 5, 1)).astype(np.float32)
    y = np.asarray(random_shift(key, np.repeat(image, 1800, axis=0), max_pixels=1, padding_mode="circular"))
    drawn = [shifts_that_fit(image[0], moved, (1, 1), "circular") for moved in y]
    assert all(len(fits) == 1 for fits in drawn)
    counts = np.zeros((3, 3), int)
    for ((down, right),) in drawn:
        counts[down + 1, right + 1] += 1
    assert counts.min() > 150 and counts.max() < 250, counts


def test_no_pixels_is_exactly_the_images(key: jax.Array) -> None:
    images = np.random.default_rng(0).normal(size=(3, 4, 5, 2)).astype(np.float32)
    np.testing.assert_array_equal(random_shift(key, images, max_pixels=0), images)


GOOD = jnp.zeros((2, 4, 4, 1))
MISTAKES: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"max_pixels": -1}, ShapeError, "max_pixels=-1 must be at least 0 on every axis"),
    ({"max_pixels": 1.5}, TypeError, "max_pixels must be an integer, not 1.5"),
    ({"max_pixels": (1, 2, 3)}, ShapeError, "max_pixels=(1, 2, 3) has 3 entries but there are 2 spatial axes"),
    ({"max_pixels": 1, "padding_mode": "zero"}, ValueError, "padding_mode='zero' is not known. Did you mean 'zeros'?"),
]


@pytest.mark.parametrize(("options", "kind", "message"), MISTAKES)
def test_mistakes(key: jax.Array, options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match="^random_shift: " + re.escape(message)):
        random_shift(key, GOOD, **options)
