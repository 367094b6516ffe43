"""Crops, distortions, erasing, mixing and views, against NumPy, SciPy and Pillow."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from jaxcnn import augment as package
from jaxcnn.augment._crop import _random_parts
from jaxcnn.shapes import ShapeError
from tests.compiled import compiled, compiled_functions
from tests.tiers import default_rows

augment, random_parts = compiled_functions(package), compiled(_random_parts)
RNG = np.random.default_rng(0)


def distinct(*shape: int) -> np.ndarray:
    return RNG.permutation(np.arange(1, np.prod(shape) + 1)).reshape(shape).astype(np.float32) / 1000


def test_alternating_flip_shows_both_sides_in_two_epochs(key: jax.Array) -> None:
    images, numbers = distinct(200, 1, 3, 1), np.arange(200)
    flip = jax.jit(augment.alternating_flip)
    first, second, third = (np.asarray(flip(key, images, numbers, epoch=epoch)) for epoch in range(3))
    mirrored = (first != images).any((1, 2, 3))
    assert 70 < mirrored.sum() < 130
    np.testing.assert_array_equal(first, np.where(mirrored[:, None, None, None], images[:, :, ::-1], images))
    np.testing.assert_array_equal(second, first[:, :, ::-1])
    np.testing.assert_array_equal(third, first)
    order = RNG.permutation(200)
    np.testing.assert_array_equal(flip(key, images[order], numbers[order], epoch=0), first[order])


@pytest.mark.parametrize(("mode", "numpy_mode"), [("zeros", "constant"), ("reflect", "reflect")])
def test_crops_are_all_windows_of_the_padded_image(key: jax.Array, mode: str, numpy_mode: Any) -> None:
    image = distinct(4, 5, 2)
    y = augment.random_crop(key, np.tile(image, (600, 1, 1, 1)), size=(3, 5), padding=(1, 2), padding_mode=mode)
    padded = np.pad(image, ((1, 1), (2, 2), (0, 0)), mode=numpy_mode)
    windows = {padded[r : r + 3, c : c + 5].tobytes(): 0 for r in range(4) for c in range(5)}
    for one in np.asarray(y):
        windows[one.tobytes()] += 1
    assert len(windows) == 20 and min(windows.values()) > 10 and max(windows.values()) < 60


def test_parts_have_the_areas_and_shapes_that_were_asked_for(key: jax.Array) -> None:
    size, area, aspect = (200, 300), (0.1, 0.5), (0.5, 2.0)
    top, left, tall, wide = (np.asarray(row) for row in random_parts(key, 4000, size, area, aspect))
    shares, ratios = tall * wide / 60000, np.log(wide / tall) / np.log(2)
    assert 0.095 < shares.min() < 0.105 and 0.48 < shares.max() < 0.51 and abs(shares.mean() - 0.3) < 0.01
    assert abs(ratios).max() < 1.03
    small = ratios[shares < 0.3]  # these always fit
    assert abs(small.mean()) < 0.05 and abs(small.std() - 1 / np.sqrt(3)) < 0.03
    assert top.min() >= 0 and (top + tall).max() == 200 and left.min() >= 0 and (left + wide).max() == 300
    assert abs(((top + tall / 2) / 200).mean() - 0.5) < 0.01 and abs(((left + wide / 2) / 300).mean() - 0.5) < 0.01
    # A strip twice as wide as high, where no crop may be wider than high: the central square.
    whole = [int(row[0]) for row in random_parts(key, 1, (10, 20), (1.0, 1.0), (1.0, 1.0))]
    assert whole == [0, 5, 10, 10]


@pytest.mark.parametrize(("size", "area"), default_rows([((9, 5), (0.3, 1.0)), ((40, 30), (0.1, 0.3))], keep=[(9, 5)]))
def test_resizing_is_that_of_pillow(key: jax.Array, size: tuple[int, int], area: tuple[float, float]) -> None:
    images = RNG.uniform(size=(6, 24, 30, 1)).astype(np.float32)
    y = np.asarray(augment.random_resized_crop(key, images, size=size, area=area))
    parts = np.stack(random_parts(key, 6, (24, 30), area, (3 / 4, 4 / 3)), axis=1).astype(int).tolist()
    for image, one, (top, left, tall, wide) in zip(images, y, parts, strict=True):
        part = Image.fromarray(image[top : top + tall, left : left + wide, 0])
        expected = np.asarray(part.resize(size[::-1], Image.Resampling.BILINEAR))
        np.testing.assert_allclose(one[..., 0], expected, atol=1e-5)


def test_elastic_is_scipys_of_the_same_noise(key: jax.Array) -> None:
    images = RNG.uniform(size=(2, 12, 15, 1)).astype(np.float32)
    y = np.asarray(augment.random_elastic(key, images, alpha=20.0, sigma=1.5, fill=0.5))
    noise = np.asarray(jax.random.uniform(key, (2, 2, 12, 15), minval=-1.0, maxval=1.0), np.float64)
    for index in range(2):
        moves = [20 * scipy.ndimage.gaussian_filter(noise[axis, index], 1.5, mode="constant") for axis in (0, 1)]
        positions = np.mgrid[:12, :15] + np.stack(moves)
        expected = scipy.ndimage.map_coordinates(
            images[index, ..., 0], positions, order=1, mode="grid-constant", cval=0.5
        )
        np.testing.assert_allclose(y[index, ..., 0], expected, atol=2e-4)


def test_cutout_has_its_centre_anywhere(key: jax.Array) -> None:
    y = np.asarray(augment.random_cutout(key, np.ones((3000, 6, 8, 2), np.float32), size=(2, 3), fill=-1.0))
    expected = np.zeros((6, 8))
    for row in range(6):
        for column in range(8):
            expected[max(row - 1, 0) : row + 1, max(column - 1, 0) : column + 2] += 1 / 48
    assert set(np.unique(y)) == {-1, 1}
    np.testing.assert_allclose((y[..., 0] < 0).mean(0), expected, atol=0.03)
    np.testing.assert_array_equal(y[..., 0], y[..., 1])


def test_erased_rectangles(key: jax.Array) -> None:
    options: dict[str, Any] = {"area": (0.1, 0.3), "aspect": (0.5, 2.0)}
    y = np.asarray(augment.random_erasing(key, np.full((1500, 40, 50, 1), 2.0, np.float32), **options))[..., 0]
    erased = y < 1
    changed = erased.any((1, 2))
    assert 0.45 < changed.mean() < 0.55
    tall, wide = erased[changed].any(2).sum(1), erased[changed].any(1).sum(1)
    assert (tall * wide == erased[changed].sum((1, 2))).all(), "whole rectangles"
    shares, ratios = tall * wide / 2000, np.log(tall / wide)  # the sides are rounded to whole pixels
    assert shares.min() > 0.0875 and shares.max() < 0.3125 and abs(shares.mean() - 0.2) < 0.01
    assert abs(ratios).max() < np.log(2.3) and abs(ratios.mean()) < 0.05
    noise = y[erased]
    assert noise.min() >= 0 and noise.max() < 1 and abs(noise.mean() - 0.5) < 0.01 and abs(noise.std() - 0.2887) < 0.01


def test_mixup_mixes_images_and_targets_alike(key: jax.Array) -> None:
    images, targets = RNG.uniform(size=(2000, 1, 2, 1)).astype(np.float32), np.eye(2000, dtype=np.float32)
    x, mixed = (np.asarray(one) for one in augment.mixup(key, images, targets, alpha=0.5))
    weights = np.diag(mixed)
    np.testing.assert_allclose(mixed.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(mixed @ images.reshape(2000, 2), x.reshape(2000, 2), atol=1e-4)
    assert abs(weights.mean() - 0.5) < 0.03 and abs(weights.var() - 1 / 8) < 0.01, "those of Beta(1/2, 1/2)"


def test_cutmix_counts_the_pixels_it_pasted(key: jax.Array) -> None:
    images = np.arange(800, dtype=np.float32).reshape(-1, 1, 1, 1) * np.ones((1, 16, 20, 1), np.float32)
    x, mixed = (np.asarray(one) for one in augment.cutmix(key, images, np.eye(800, dtype=np.float32)))
    own = (x == images).mean((1, 2, 3))
    np.testing.assert_allclose(np.diag(mixed), own, atol=1e-5)
    np.testing.assert_allclose(np.roll(np.diag(np.roll(mixed, 1, 1)), 0), 1 - own, atol=1e-5)
    np.testing.assert_array_equal(np.where(x == images, images, x), np.where(x == images, x, np.roll(images, 1, 0)))
    assert own.min() < 0.2 and own.max() == 1 and 0.55 < own.mean() < 0.75


def test_either_mix_is_one_of_the_two(key: jax.Array) -> None:
    images = np.tile(np.float32([0, 1]), 150).reshape(300, 1, 1, 1) * np.ones((1, 6, 6, 1), np.float32)
    x, _ = augment.mixup_or_cutmix(key, images, np.eye(300, dtype=np.float32), mixup_alpha=1.0)
    blended = ((np.asarray(x) > 1e-6) & (np.asarray(x) < 1 - 1e-6)).any((1, 2, 3))
    assert 0.4 < blended.mean() < 0.6
    same, targets = augment.mixup_or_cutmix(key, images, np.eye(300), mixup_alpha=0, cutmix_alpha=0)
    np.testing.assert_array_equal(same, images)
    np.testing.assert_array_equal(targets, np.eye(300))


def test_views_and_their_mean() -> None:
    images = distinct(2, 5, 6, 3)
    crops = np.asarray(augment.ten_crop(images, size=(3, 4)))
    assert crops.shape == (10, 2, 3, 4, 3)
    for crop, (top, left) in zip(crops, [(0, 0), (0, 2), (2, 0), (2, 2), (1, 1)], strict=False):
        np.testing.assert_array_equal(crop, images[:, top : top + 3, left : left + 4])
    np.testing.assert_array_equal(crops[5:], crops[:5, :, :, ::-1])
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    shifted = augment.shift_views(images)
    np.testing.assert_array_equal(shifted, np.stack([images, padded[:, :5, :6], padded[:, 2:, 2:]]))
    six = jnp.concatenate([augment.flip_views(view) for view in shifted])
    kernel = RNG.normal(size=(90, 4)).astype(np.float32)
    apply = jax.jit(lambda x: x.reshape(len(x), 90) @ kernel)
    weights = [0.25, 0.25, *[0.125] * 4]
    logits = np.stack([np.asarray(view).reshape(2, 90) @ kernel for view in six])
    expected = {"logits": logits, "probabilities": np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)}
    for average, values in expected.items():
        y = augment.average_over_views(apply, six, weights=weights, average=average)
        np.testing.assert_allclose(y, np.einsum("v,vbc->bc", weights, values), atol=1e-5)
    y = augment.average_over_views(apply, six)
    np.testing.assert_allclose(y, expected["probabilities"].mean(0), atol=1e-5)


IMAGES = np.zeros((2, 4, 4, 3), np.float32)
average = functools.partial(augment.average_over_views, lambda x: x[:, 0, 0])
MISTAKES: list[tuple[Any, type[Exception], str]] = [
    (
        lambda k: augment.random_crop(k, IMAGES, size=7, padding=1),
        ShapeError,
        r"size=\(7, 7\) is larger than images of 4x4",
    ),
    (
        lambda k: augment.random_crop(k, IMAGES, size=2, padding_mode="mirror"),
        ValueError,
        "padding_mode='mirror' is not k",
    ),
    (
        lambda k: augment.random_resized_crop(k, IMAGES, size=2, area=0.5),
        TypeError,
        r"area must be a pair \(low, high\), not 0.5",
    ),
    (lambda k: augment.random_resized_crop(k, IMAGES, size=2, area=(0.5, 2)), ValueError, "0 < low <= high <= 1"),
    (lambda k: augment.random_resized_crop(k, IMAGES, size=2, aspect=(2, 1)), ValueError, "must have 0 < low <= high"),
    (lambda k: augment.random_elastic(k, IMAGES, sigma=0), ValueError, "sigma=0 smooths nothing"),
    (lambda k: augment.random_elastic(k, IMAGES, alpha=-1), ValueError, "alpha=-1 must be finite, at least 0"),
    (lambda k: augment.random_cutout(k, IMAGES, size=1.5), TypeError, "size must be an integer, not 1.5"),
    (
        lambda k: augment.random_erasing(k, IMAGES, fill="random"),
        ValueError,
        "fill='random' does not exist. Write a number",
    ),
    (
        lambda k: augment.random_erasing(k, IMAGES, probability=2),
        ValueError,
        "probability=2 must be finite, at least 0 and",
    ),
    (lambda k: augment.mixup(k, IMAGES, jnp.arange(2)), TypeError, r"mixup: targets .* jax.nn.one_hot\(labels, num_cl"),
    (
        lambda k: augment.cutmix(k, IMAGES, jnp.zeros(2)),
        ShapeError,
        r"cutmix: targets must have the shape \(2, ..., classes\), but targets.shape=\(2,\)",
    ),
    (lambda k: augment.mixup(k, IMAGES, jnp.eye(3)), ShapeError, r"targets.shape=\(3, 3\)"),
    (
        lambda k: augment.alternating_flip(k, IMAGES, jnp.arange(3), epoch=0),
        ShapeError,
        r"indices.shape=\(3,\) and epoch",
    ),
    (
        lambda k: augment.alternating_flip(k, IMAGES, jnp.arange(2), epoch=0.5),
        TypeError,
        "epoch must be integers, not float",
    ),
    (lambda k: augment.ten_crop(IMAGES, size=5), ShapeError, r"size=\(5, 5\) is larger than images of 4x4"),
    (
        lambda k: augment.shift_views(IMAGES, pixels=4),
        ValueError,
        "pixels=4 must be at least 0 and less than the size 4",
    ),
    (
        lambda k: average(IMAGES[0]),
        ShapeError,
        r"views must have the shape \(views, \*batch, height, width, channels\)",
    ),
    (lambda k: average(IMAGES[None], weights=[0.5, 0.5]), ShapeError, "1 views need 1 weights, but there are 2"),
    (lambda k: average(IMAGES[None], weights=[0.5]), ValueError, "weights=.0.5. add up to 0.5"),
    (
        lambda k: average(IMAGES[None], average="logit"),
        ValueError,
        "average='logit' is not known. Did you mean 'logits'?",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), MISTAKES)
def test_mistakes(key: jax.Array, call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call(key)
