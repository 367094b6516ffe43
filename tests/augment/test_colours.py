"""Colours against ``colorsys``, Pillow and NumPy; the policies' operations against Pillow."""

import colorsys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from jaxcnn import augment as package
from jaxcnn.augment._operations import OPERATIONS, apply_operations, strength_table
from jaxcnn.shapes import ShapeError
from tests.compiled import compiled, compiled_functions

augment = compiled_functions(package)
RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (1, 11, 14, 3), np.uint8)
BYTES[0, :3] = BYTES[0, :3] // 3 + 60  # so that histograms are uneven
IMAGES = BYTES.astype(np.float32) / 255
PICTURE = Image.fromarray(BYTES[0])


def repeated(count: int) -> np.ndarray:
    return np.repeat(IMAGES, count, axis=0)


def test_hue_is_that_of_colorsys() -> None:
    turns = np.array([0.3, -0.45, 0.0], np.float32)
    y = np.asarray(augment.adjust_hue(repeated(3), turns))
    for turned, turn in zip(y, turns, strict=True):
        for old, new in zip(IMAGES[0].reshape(-1, 3), turned.reshape(-1, 3), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*(float(channel) for channel in old))
            np.testing.assert_allclose(new, colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value), atol=1e-5)
    grey = jnp.full((1, 2, 2, 3), 0.5)
    np.testing.assert_array_equal(augment.adjust_hue(grey, jnp.array([0.3])), grey)


@pytest.mark.parametrize("name", ["Brightness", "Contrast", "Color"])
def test_factors_are_those_of_pillow(name: str) -> None:
    adjust = {
        "Brightness": augment.adjust_brightness,
        "Contrast": augment.adjust_contrast,
        "Color": augment.adjust_saturation,
    }
    factors = np.array([0.0, 0.4, 1.0, 1.7], np.float32)
    y = np.asarray(adjust[name](repeated(4), factors))
    for one, factor in zip(y, factors, strict=True):
        expected = np.asarray(getattr(ImageEnhance, name)(PICTURE).enhance(float(factor)), np.float32)
        assert np.abs(255 * one - expected).max() < 2


def pillow(name: str, strength: float) -> Image.Image:
    """The picture after Pillow's operation, called as AutoAugment calls it."""
    size, affine = PICTURE.size, Image.Transform.AFFINE
    return {
        "identity": lambda: PICTURE,
        "shear_x": lambda: PICTURE.transform(size, affine, (1, strength, 0, 0, 1, 0)),
        "shear_y": lambda: PICTURE.transform(size, affine, (1, 0, 0, strength, 1, 0)),
        "translate_x": lambda: PICTURE.transform(size, affine, (1, 0, strength, 0, 1, 0)),
        "translate_y": lambda: PICTURE.transform(size, affine, (1, 0, 0, 0, 1, strength)),
        "rotate": lambda: PICTURE.rotate(strength),
        "brightness": lambda: ImageEnhance.Brightness(PICTURE).enhance(1 + strength),
        "color": lambda: ImageEnhance.Color(PICTURE).enhance(1 + strength),
        "contrast": lambda: ImageEnhance.Contrast(PICTURE).enhance(1 + strength),
        "sharpness": lambda: ImageEnhance.Sharpness(PICTURE).enhance(1 + strength),
        "posterize": lambda: ImageOps.posterize(PICTURE, int(strength)),
        "solarize": lambda: ImageOps.solarize(PICTURE, int(strength)),
        "auto_contrast": lambda: ImageOps.autocontrast(PICTURE),
        "equalize": lambda: ImageOps.equalize(PICTURE),
    }[name]()


STRENGTHS: dict[str, tuple[float, ...]] = {
    "shear_x": (0.23, -0.9),
    "shear_y": (0.23, -0.9),
    "translate_x": (3.0, -4.0),
    "translate_y": (3.0, -4.0),
    "rotate": (17.3, -128.0),
    "brightness": (0.5, -0.5),
    "color": (0.9, -0.9),
    "contrast": (0.9, -0.9),
    "sharpness": (0.9, -0.9),
    "posterize": (4.0, 2.0),
    "solarize": (100.0, 255.0),
}
CASES = [(name, strength) for name in OPERATIONS for strength in STRENGTHS.get(name, (0.0,))]


@pytest.fixture(scope="module")
def operated() -> np.ndarray:
    which = jnp.array([OPERATIONS.index(name) for name, _ in CASES])
    strengths = jnp.array([strength for _, strength in CASES], jnp.float32)
    return np.asarray(jax.jit(lambda x: apply_operations(x, which, strengths, fill=0.0))(repeated(len(CASES))))


@pytest.mark.parametrize(("name", "strength"), CASES)
def test_operations_are_those_of_pillow(operated: np.ndarray, name: str, strength: float) -> None:
    """All operations in one batch. Moves, masks and histograms agree exactly, blends up to Pillow's rounding."""
    y = 255 * operated[CASES.index((name, strength))]
    blend = name in ("brightness", "color", "contrast", "sharpness", "auto_contrast")
    np.testing.assert_allclose(y, np.asarray(pillow(name, strength), np.float32), atol=2 if blend else 1e-3)


def test_equalize_leaves_what_has_no_steps() -> None:
    few = (RNG.integers(0, 256, (1, 4, 4, 1)) / 255).astype(np.float32)
    y = compiled(apply_operations)(few, np.array([13]), np.zeros(1, np.float32), fill=0.0)
    np.testing.assert_allclose(y, few, atol=1e-6)


def test_tables_are_torchvisions() -> None:
    """The first, the last and some middle entries of ``_augmentation_space``, copied by hand."""
    table, signed = strength_table(bins=31, shear=0.3, translate=(14.5, 14.5), rotate=30.0, factor=0.9, bits=4)
    at = {name: table[index] for index, name in enumerate(OPERATIONS)}
    assert at["shear_x"][30] == np.float32(0.3) and at["rotate"][9] == 9.0 and at["translate_y"][30] == 14
    assert at["solarize"][[0, 30]].tolist() == [255, 0] and at["brightness"][10] == np.float32(0.3)
    assert at["posterize"][[0, 3, 4, 9, 11, 30]].tolist() == [8, 8, 7, 7, 7, 4]
    wide, _ = strength_table(bins=31, shear=0.99, translate=(32, 32), rotate=135.0, factor=0.99, bits=6)
    assert wide[10, [0, 5, 15, 30]].tolist() == [8, 7, 5, 2] and wide[5, 30] == 135 and wide[3, 16] == 17
    assert [name for name, sign in zip(OPERATIONS, signed, strict=True) if not sign] == [
        "identity",
        "posterize",
        "solarize",
        "auto_contrast",
        "equalize",
    ]


@pytest.mark.gate
def test_policies_draw_all_operations_equally_often(key: jax.Array) -> None:
    """On a uniform grey image only brightness and solarize have an effect: 1 of 14 operations each.

    Brightness darkens as often as it brightens.
    """
    grey = np.full((4200, 1, 1, 1), 0.75, np.float32)
    y = np.asarray(augment.rand_augment(key, grey, num_ops=1, magnitude=12, fill=0.75))[:, 0, 0, 0]
    counts = [int((np.abs(y - value) < 1e-3).sum()) for value in (0.75 * 0.64, 1.0, 0.25)]
    assert 100 < counts[0] < 200 and 100 < counts[1] < 200 and 230 < counts[2] < 370, counts
    trivial = np.asarray(augment.trivial_augment(key, grey, fill=0.75))[:, 0, 0, 0]
    assert 20 < len(np.unique(trivial.round(3))) < 80


def test_factors_fill_their_ranges(key: jax.Array) -> None:
    grey = np.full((2000, 1, 1, 1), 0.5, np.float32)
    bright = np.asarray(augment.random_color(key, grey, brightness=0.4)).ravel() / 0.5
    assert 0.6 <= bright.min() < 0.61 and 1.39 < bright.max() <= 1.4 and abs(bright.mean() - 1) < 0.02
    red = np.tile(np.float32([1, 0, 0]), (500, 1, 1, 1))
    turned = np.asarray(augment.random_color(key, red, hue=0.25))[:, 0, 0]
    hues = np.array([(colorsys.rgb_to_hsv(*map(float, colour))[0] + 0.5) % 1 - 0.5 for colour in turned])
    assert -0.251 < hues.min() < -0.24 and 0.24 < hues.max() < 0.251 and abs(hues.mean()) < 0.02


def test_colour_noise_has_the_covariance_of_the_set(key: jax.Array) -> None:
    mixing = np.float32([[0.3, 0.1, 0], [0.2, -0.1, 0.05], [0.1, 0, 0.1]])
    pixels = RNG.normal(size=(20, 8, 8, 3)).astype(np.float32) @ mixing.T
    axes = np.asarray(augment.color_axes(pixels))
    covariance = np.cov(pixels.reshape(-1, 3).T, bias=True)
    np.testing.assert_allclose(axes @ axes.T, covariance, atol=1e-5)
    lengths = np.linalg.norm(axes, axis=0)
    assert lengths[0] > lengths[1] > lengths[2]
    noise = np.asarray(augment.random_pca_noise(key, jnp.zeros((6000, 1, 2, 3)), axes, strength=0.1))
    np.testing.assert_array_equal(noise[:, :, 0], noise[:, :, 1])
    np.testing.assert_allclose(np.cov(noise[:, 0, 0].T), 0.01 * covariance, atol=0.06 * 0.01 * covariance.max())


ONE, BYTE = np.zeros((2, 4, 4, 3), np.float32), np.zeros((2, 4, 4, 2), np.float32)
MISTAKES: list[tuple[Any, type[Exception], str]] = [
    (lambda k: augment.random_color(k, BYTE, hue=0.1), ShapeError, r"random_color: images must have 3 channels"),
    (
        lambda k: augment.random_color(k, ONE, hue=0.6),
        ValueError,
        r"hue=0.6 must be finite, at least 0 and at most 0.5",
    ),
    (
        lambda k: augment.adjust_hue(ONE, jnp.zeros(3)),
        ShapeError,
        r"turns must have the shape \(2,\), one for each image, or \(\), the same for all, but turns.shape=\(3",
    ),
    (lambda k: augment.adjust_contrast(ONE, jnp.zeros(2, bool)), TypeError, "factors must be real numbers, not bool"),
    (
        lambda k: augment.random_pca_noise(k, ONE, jnp.eye(2)),
        ShapeError,
        r"must have the shape \(3, 3\), but axes.shape=\(2",
    ),
    (lambda k: augment.random_pca_noise(k, ONE, jnp.eye(3, dtype=int)), TypeError, "axes must have a floating dtype"),
    (lambda k: augment.color_axes(ONE[:0]), ShapeError, r"there are no images in an array of shape \(0, 4"),
    (
        lambda k: augment.rand_augment(k, ONE, magnitude=31),
        ValueError,
        "magnitude=31 must be from 0 to num_bins - 1 = 30",
    ),
    (lambda k: augment.rand_augment(k, ONE, num_ops=-1), ValueError, "num_ops=-1 must be at least 0"),
    (lambda k: augment.rand_augment(k, ONE, magnitude=9.5), TypeError, "magnitude must be an integer, not 9.5"),
    (lambda k: augment.trivial_augment(k, ONE, num_bins=1), ValueError, "num_bins=1 must be at least 2"),
]


@pytest.mark.parametrize(("call", "kind", "message"), MISTAKES)
def test_mistakes(key: jax.Array, call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call(key)
