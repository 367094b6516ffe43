"""Mosaics of scenes, compared pixel by pixel with NumPy: the content of each part, and the boxes that remain in it."""

from typing import Any

import jax
import numpy as np
import pytest

from jaxcnn import augment
from tests.augment.test_scenes import COUNT, HEIGHT, MOST, SIZES, WIDTH, batch, source_of


def mosaics(probability: float = 1.0) -> Any:
    return jax.jit(lambda key, scene: augment.random_scene_mosaic(key, scene, probability=probability))


def test_parts_are_windows_of_four_images_with_their_boxes() -> None:
    given = batch()
    numbered = np.broadcast_to(np.arange(1.0, COUNT + 1)[:, None, None, None], (COUNT, HEIGHT, WIDTH, 1))
    left, points, mosaic = 0, set(), mosaics()
    for seed in range(4):
        key = jax.random.key(seed)
        found = jax.device_get(mosaic(key, given))
        numbers = np.asarray(mosaic(key, {"image": numbered.astype(np.float32)})["image"])[..., 0].astype(int) - 1
        assert {*found} == {*given} and found["boxes"].shape == (COUNT, 4 * MOST, 4)
        np.testing.assert_array_equal(found["size"], [[HEIGHT, WIDTH]] * COUNT)
        np.testing.assert_array_equal(found["label"], given["label"])
        rows, columns, there = source_of(found["image"])
        for index in range(COUNT):
            height, width = ((numbers[index] == index).sum(axis).max() for axis in (0, 1))
            points.add((height, width))
            for part in range(4):
                source = (index - part) % COUNT
                down, right = divmod(part, 2)
                place = (
                    slice(height, None) if down else slice(height),
                    slice(width, None) if right else slice(width),
                )
                assert (numbers[index][place] == source).all()
                left += check_part(given, found, index, part, source, place, rows[index], columns[index], there[index])
    assert len(points) > 10 and left > 50


def check_part(
    given: dict[str, np.ndarray],
    found: dict[str, np.ndarray],
    index: int,
    part: int,
    source: int,
    place: tuple[slice, slice],
    rows: np.ndarray,
    columns: np.ndarray,
    there: np.ndarray,
) -> int:
    """Compares a part with its image; returns the number of boxes that remain."""
    rows, columns, there = rows[place], columns[place], there[place]
    inner = np.minimum(SIZES[source], there.shape)
    wanted = np.zeros_like(there)
    wanted[: inner[0], : inner[1]] = True
    np.testing.assert_array_equal(there, wanted)
    np.testing.assert_array_equal(rows[wanted], (rows[0, 0] + np.arange(inner[0]))[:, None].repeat(inner[1], 1).ravel())
    np.testing.assert_array_equal(columns[wanted], np.tile(columns[0, 0] + np.arange(inner[1]), inner[0]))
    classes = given["segmentation"][source][rows, columns]
    np.testing.assert_array_equal(found["segmentation"][index][place], np.where(there, classes, 255))
    left = 0
    for old, new in enumerate(range(part * MOST, (part + 1) * MOST)):
        corner = np.tile([columns[0, 0], rows[0, 0]], 2)
        moved = given["boxes"][source, old] - corner
        centre = (moved[:2] + moved[2:]) / 2
        kept = given["box_mask"][source, old] and bool((centre >= 0).all() and (centre < inner[::-1]).all())
        assert found["box_mask"][index, new] == kept
        limits = np.tile(inner[::-1], 2)
        clipped = np.clip(moved, 0, limits)
        offset = np.tile([place[1].start or 0, place[0].start or 0], 2)
        np.testing.assert_allclose(found["boxes"][index, new], (clipped + offset) * kept)
        assert found["box_label"][index, new] == given["box_label"][source, old] * kept
        assert found["box_crowd"][index, new] == (given["box_crowd"][source, old] and kept)
        area = (clipped[2] - clipped[0]) * (clipped[3] - clipped[1]) / 2 * kept
        np.testing.assert_allclose(found["box_area"][index, new], area, rtol=1e-5)
        left += kept
    return left


def test_images_that_are_not_replaced_keep_their_boxes() -> None:
    given = batch()
    found = mosaics(0.0)(jax.random.key(0), given)
    for name, array in given.items():
        if name.startswith("box"):
            np.testing.assert_array_equal(found[name][:, :MOST], array)
            assert not np.any(found[name][:, MOST:])
        else:
            np.testing.assert_array_equal(found[name], array)


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"random_scene_mosaic: middle=\(0\.5, 2\) must have 0 < low <= high <= 1"):
        augment.random_scene_mosaic(jax.random.key(0), batch(), middle=(0.5, 2))
    with pytest.raises(ValueError, match="random_scene_mosaic: probability=2"):
        augment.random_scene_mosaic(jax.random.key(0), batch(), probability=2)
    with pytest.raises(ValueError, match="random_scene_mosaic: the batch has no array 'image'"):
        augment.random_scene_mosaic(jax.random.key(0), {})
