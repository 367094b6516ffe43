"""Batches with boxes and label maps: all of them move with their image, compared pixel by pixel with NumPy.

The images contain the row and the column of each pixel, so that a moved image shows the original position of each of
its pixels. The expected boxes follow from this: boxes are drawn as masks, the masks are moved pixel by pixel, and the
tight boxes around the remaining pixels are the result.
"""

import math
import re
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxcnn import ShapeError, augment
from tests.tiers import default_rows

HEIGHT, WIDTH, COUNT, MOST = 9, 12, 6, 4
SIZES = np.array([[9, 12], [9, 12], [5, 12], [9, 7], [4, 6], [9, 11]], np.int32)


def batch() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    inside = (rows < SIZES[:, :1, None]) & (columns < SIZES[:, 1:, None])
    image = np.stack([np.broadcast_to(rows, inside.shape) + 1, np.broadcast_to(columns, inside.shape) + 1], -1)
    low = generator.integers(0, SIZES[:, None, ::-1] - 2, (COUNT, MOST, 2))
    high = np.minimum(low + generator.integers(1, 6, (COUNT, MOST, 2)), SIZES[:, None, ::-1])
    mask = np.arange(MOST) < np.array([4, 4, 3, 2, 1, 0])[:, None]
    boxes = np.where(mask[..., None], np.concatenate([low, high], -1), 0).astype(np.float32)
    return {
        "image": np.where(inside[..., None], image, 0).astype(np.float32),
        "size": SIZES,
        "segmentation": np.where(inside, generator.integers(0, 5, inside.shape), 255).astype(np.uint8),
        "boxes": boxes,
        "box_label": np.where(mask, generator.integers(1, 5, mask.shape), 0).astype(np.int32),
        "box_mask": mask,
        "box_crowd": mask & (generator.random(mask.shape) < 0.5),
        "box_area": ((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]) / 2).astype(np.float32),
        "label": np.arange(COUNT),
    }


def source_of(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The original row and column of each pixel, and whether it is within the image."""
    return image[..., 0].astype(int) - 1, image[..., 1].astype(int) - 1, image[..., 0] > 0


def check(given: dict[str, np.ndarray], found: dict[str, Any]) -> int:
    """Compares a moved batch with the expected one; returns the number of boxes that remain."""
    assert {*found} == {*given}
    rows, columns, inside = source_of(np.asarray(found["image"]))
    left = 0
    for index in range(COUNT):
        height, width = found["size"][index]
        there = np.zeros_like(inside[index])
        there[:height, :width] = True
        np.testing.assert_array_equal(inside[index], there)
        moved = given["segmentation"][index][rows[index], columns[index]]
        np.testing.assert_array_equal(found["segmentation"][index], np.where(there, moved, 255))
        for place in range(MOST):
            x0, y0, x1, y1 = given["boxes"][index, place].astype(int)
            drawn = np.zeros((HEIGHT, WIDTH), bool)
            drawn[y0:y1, x0:x1] = True
            visible = there & drawn[rows[index], columns[index]]
            # The centre is inside if the pixels around it are.
            centre = np.zeros((HEIGHT, WIDTH), bool)
            centre[(y0 + y1) // 2, (x0 + x1) // 2] = True
            kept = given["box_mask"][index, place] and (there & centre[rows[index], columns[index]]).any()
            if (x0 + x1) % 2 == 0 or (y0 + y1) % 2 == 0:  # a centre between pixels may be at the edge of the crop
                kept = kept if not visible.any() else bool(found["box_mask"][index, place])
            assert bool(found["box_mask"][index, place]) == kept, (index, place)
            if not kept:
                assert not np.any(found["boxes"][index, place]) and found["box_label"][index, place] == 0
                assert not found["box_crowd"][index, place] and found["box_area"][index, place] == 0
                continue
            left += 1
            ys, xs = np.nonzero(visible)
            tight = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            np.testing.assert_array_equal(found["boxes"][index, place], tight)
            assert found["box_label"][index, place] == given["box_label"][index, place]
            # the given area is half of the box
            assert found["box_area"][index, place] == pytest.approx(visible.sum() / 2)
    np.testing.assert_array_equal(found["label"], given["label"])
    return left


@pytest.mark.parametrize("axis", ["width", pytest.param("height", marks=pytest.mark.gate)])
def test_flips_mirror_within_the_size_of_each_image(axis: Any) -> None:
    given = batch()
    flip = jax.jit(lambda key, scene: augment.random_scene_flip(key, scene, axis=axis))
    found = flip(jax.random.key(1), given)
    assert check(given, found) == given["box_mask"].sum()
    along = {"height": 0, "width": 1}[axis]
    turned = []
    for index, size in enumerate(SIZES):
        own = tuple(slice(side) for side in size)
        mirrored = np.flip(given["image"][index][own], along)
        turned.append(np.array_equal(found["image"][index][own], mirrored))
        assert turned[-1] or np.array_equal(found["image"][index], given["image"][index])
    assert 0 < sum(turned) < COUNT
    # Two flips are the identity.
    all_of = jax.jit(lambda key, scene: augment.random_scene_flip(key, scene, axis=axis, probability=1))
    again = all_of(jax.random.key(0), all_of(jax.random.key(0), given))
    for name, array in given.items():
        np.testing.assert_allclose(again[name], array, rtol=1e-6, err_msg=name)


def test_crops_clip_boxes_and_drop_those_whose_centre_is_outside() -> None:
    given = batch()
    crop = jax.jit(lambda key, scene: augment.random_scene_crop(key, scene, size=(6, 7)))
    left = []
    for seed in range(6):
        found = crop(jax.random.key(seed), given)
        np.testing.assert_array_equal(found["size"], np.minimum(SIZES, [6, 7]))
        rows, columns, inside = source_of(np.asarray(found["image"]))
        for index in range(COUNT):  # after a crop, neighbouring pixels are still neighbours
            assert (np.diff(rows[index], axis=0)[inside[index][1:]] == 1).all()
            assert (np.diff(columns[index], axis=1)[inside[index][:, 1:]] == 1).all()
        left.append(check(given, found))
    assert len(set(left)) > 1 and max(left) < given["box_mask"].sum()


def test_a_box_is_dropped_where_its_centre_leaves_and_not_before() -> None:
    """Boxes from -2 to 1 and from -1 to 2, relative to the crop: the centre of the first box is outside."""
    boxes = np.array([[[0.0, 0, 3, 4], [1, 0, 4, 4]]], np.float32)
    given = {"image": np.ones((1, 4, 6, 1), np.float32), "boxes": boxes, "box_label": np.array([[1, 2]])}
    crop = jax.jit(jax.vmap(lambda key: augment.random_scene_crop(key, given, size=(4, 4))))
    crops = crop(jax.random.split(jax.random.key(0), 8))
    seen = {tuple(map(tuple, boxes[0].tolist())) for boxes in np.asarray(crops["boxes"])}
    assert seen == {
        ((0, 0, 3, 4), (1, 0, 4, 4)),
        ((0, 0, 2, 4), (0, 0, 3, 4)),
        ((0, 0, 0, 0), (0, 0, 2, 4)),
    }
    for labels, mask in zip(np.asarray(crops["box_label"]), np.asarray(crops["box_mask"]), strict=True):
        np.testing.assert_array_equal(labels > 0, mask)


def pixel_at(place: Fraction) -> int:
    """The pixel that contains a coordinate; pixel p covers the interval from p to p + 1."""
    return math.floor(place)


@pytest.mark.parametrize("scale", default_rows([0.5, 1.6], keep=[1.6]))
def test_scaled_images_are_pillow_s_at_some_position(scale: float) -> None:
    given = batch()
    generator = np.random.default_rng(3)
    inside = given["image"][..., :1] > 0
    given["image"] = np.where(inside, generator.random((COUNT, HEIGHT, WIDTH, 1)), 0).astype(np.float32)
    jitter = jax.jit(lambda key, scene: augment.random_scene_scale(key, scene, scale=(scale, scale)))
    found = jitter(jax.random.key(2), given)
    for index, (height, width) in enumerate(SIZES):
        own = given["image"][index, :height, :width, 0]
        scaled = np.rint(np.array([height, width]) * scale).astype(int)
        whole = np.asarray(Image.fromarray(own).resize(tuple(scaled[::-1].tolist()), Image.Resampling.BILINEAR))
        rows, columns = (
            [pixel_at(Fraction(2 * place + 1, 2) * Fraction(int(old), int(new))) for place in range(new)]
            for old, new in zip((height, width), scaled, strict=True)
        )
        map_of = given["segmentation"][index][rows][:, columns]
        high, wide = np.minimum(scaled, [HEIGHT, WIDTH])
        np.testing.assert_array_equal(found["size"][index], [high, wide])
        got = np.asarray(found["image"][index, ..., 0])
        assert not got[high:].any() and not got[:, wide:].any()
        places = [
            (top, left)
            for top in range(scaled[0] - high + 1)
            for left in range(scaled[1] - wide + 1)
            if np.abs(whole[top : top + high, left : left + wide] - got[:high, :wide]).max() < 1e-5
        ]
        assert len(places) == 1, index
        ((top, left),) = places
        np.testing.assert_array_equal(
            found["segmentation"][index, :high, :wide], map_of[top : top + high, left : left + wide]
        )
        assert (np.asarray(found["segmentation"][index])[high:] == 255).all()
        ratio = np.tile(scaled[::-1] / [width, height], 2)
        wanted = given["boxes"][index] * ratio - [left, top, left, top]
        kept = found["box_mask"][index]
        centre = (wanted[:, :2] + wanted[:, 2:]) / 2
        inside_crop = ((centre >= 0) & (centre < [wide, high])).all(1)
        np.testing.assert_array_equal(kept, given["box_mask"][index] & inside_crop)
        clipped = np.where(np.asarray(kept)[:, None], np.clip(wanted, 0, [wide, high, wide, high]), 0)
        np.testing.assert_allclose(found["boxes"][index], clipped, atol=1e-5)
        own_area, rest = (np.prod(each[:, 2:] - each[:, :2], 1) for each in (given["boxes"][index], clipped))
        np.testing.assert_allclose(found["box_area"][index], np.where(kept, rest / 2, 0), rtol=1e-5, atol=1e-6)
        assert (own_area > 0).sum() == given["box_mask"][index].sum()


def test_factors_and_positions_differ_between_images() -> None:
    given = {"image": np.ones((64, 8, 8, 1), np.float32)}
    found = jax.jit(lambda key: augment.random_scene_scale(key, given, scale=(0.5, 1.0), size=(4, 16)))(
        jax.random.key(0)
    )
    assert found["image"].shape == (64, 4, 16, 1)
    sizes = np.asarray(found["size"])
    assert {*sizes[:, 1].tolist()} == {4, 5, 6, 7, 8} and (sizes[:, 0] == 4).all()


def test_boxes_and_areas_of_integers_are_those_of_floats() -> None:
    whole = {name: array.astype(np.int32) for name, array in batch().items() if name in ("boxes", "box_area")}
    floats = {name: array.astype(np.float32) for name, array in whole.items()}

    @jax.jit
    def every(given: Any) -> Any:
        scaled = augment.random_scene_scale(jax.random.key(0), given, scale=(0.4, 1.3))
        return scaled, augment.random_scene_mosaic(jax.random.key(1), given, probability=0.5)

    for found, expected in zip(every(batch() | whole), every(batch() | floats), strict=True):
        assert found["box_mask"].any()
        for name in ("boxes", "box_area", "box_mask"):
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


IMAGE = np.zeros((2, 4, 4, 3), np.float32)


@pytest.mark.parametrize(
    ("scene", "error", "message"),
    [
        (IMAGE, TypeError, 'expected a batch, a dict with "image", not ndarray'),
        ({"label": np.zeros(2)}, ValueError, "the batch has no array 'image', only 'label'"),
        ({"image": IMAGE, "keypoints": IMAGE}, ValueError, "the batch has 'keypoints', which would stay where it is"),
        ({"image": IMAGE[0]}, ShapeError, "image must have the shape (n, height, width, channels), not (4, 4, 3)"),
        ({"image": IMAGE.astype(np.uint8)}, TypeError, "images must have a floating dtype, not uint8"),
        ({"image": IMAGE, "size": np.zeros(2)}, ShapeError, "size must have the shape (2, 2)"),
        (
            {"image": IMAGE, "segmentation": np.zeros((2, 4), int)},
            ShapeError,
            "segmentation must have the shape (2, 4, 4)",
        ),
        ({"image": IMAGE, "segmentation": np.zeros((2, 4, 4))}, TypeError, "segmentation must be integers"),
        ({"image": IMAGE, "boxes": np.zeros((2, 4))}, ShapeError, "boxes must have the shape (2, most, 4), not (2, 4)"),
        (
            {"image": IMAGE, "boxes": np.zeros((2, 3, 4)), "box_label": np.zeros((2, 2), int)},
            ShapeError,
            "box_label must have an entry for each box (2, 3), not (2, 2)",
        ),
        (
            {"image": IMAGE, "boxes": np.zeros((2, 3, 4)), "box_label": [[1, 2], [1, 2]]},
            ShapeError,
            "box_label must have an entry for each box (2, 3), not (2, 2)",
        ),
    ],
)
def test_refused_batches(scene: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(f"random_scene_flip: {message}")):
        augment.random_scene_flip(jax.random.key(0), scene)


def test_refused_options_and_the_hint_of_on() -> None:
    key, scene = jax.random.key(0), {"image": IMAGE}
    with pytest.raises(ValueError, match="random_scene_flip: axis='depth' is not known"):
        augment.random_scene_flip(key, scene, axis="depth")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="random_scene_crop: size=0 must be at least 1"):
        augment.random_scene_crop(key, scene, size=0)
    with pytest.raises(ValueError, match=r"random_scene_scale: scale=\(2, 1\) must have 0 < low <= high"):
        augment.random_scene_scale(key, scene, scale=(2, 1))
    with pytest.raises(ValueError, match="random_scene_flip, random_scene_crop and random_scene_scale move both"):
        augment.on("image", augment.random_flip)(key, {"image": jnp.asarray(IMAGE), "boxes": jnp.zeros((2, 1, 4))})


def test_a_segmentation_that_cannot_hold_255_is_refused() -> None:
    scene = {**batch(), "segmentation": np.zeros((COUNT, HEIGHT, WIDTH), np.int8)}
    with pytest.raises(TypeError, match=r"integers that hold 255, .* and int8 does not\. Use uint8 or int32"):
        augment.random_scene_crop(jax.random.key(0), scene, size=4)
