"""Mosaics of four images of a batch: images, label maps and boxes."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn.augment._images import as_amount, as_key, as_range, rolled, with_sharding_of
from jaxcnn.augment._scene import OF_BOXES, UNLABELLED, Batch, Scene, as_scene, moved, taken

PARTS = 4


def random_scene_mosaic(
    key: jax.Array, batch: Batch, *, middle: tuple[float, float] = (0.25, 0.75), probability: float = 1.0
) -> dict[str, Any]:
    """Replaces images by mosaics of four: parts of the image itself and of the three before it in the batch.

    The parts meet at a random point, whose row and column are uniform in ``middle`` times the height and the width. The
    image itself is at the top left, followed by the others by row. Each part is a window of its image, without scaling,
    at a random position; an image that is smaller than its part is whole, at the top left of it, and the rest of the
    part is 0, and 255 in the segmentation. Boxes are clipped to their part, and dropped where their centre is outside
    of it.

    For parts at several scales, put ``random_scene_scale`` before it in ``augment.chain``. Arrays that do not belong to
    boxes, such as ``label``, stay those of the image at the top left.

    Args:
        key: determines the points and the windows, together with the number of images.
        batch: as for ``random_scene_flip``.
        middle: the least and the largest share of a side that the part at the top left has.
        probability: that an image is replaced. Others keep their own boxes, followed by padding.

    Returns:
        the batch, with ``size``, and with four times as many entries in the arrays of boxes, ``box_mask`` among them.
        The size of a mosaic is that of the array.

    Raises:
        ShapeError: as ``random_scene_flip``.
        ValueError: as ``random_scene_flip``, or shares that are out of order or not within (0, 1].
        TypeError: as ``random_scene_flip``, or shares that are not a pair of plain numbers.

    Source: Bochkovskiy, Wang and Liao (2020), "YOLOv4: optimal speed and accuracy of object detection", figure 3.

    >>> images = jnp.broadcast_to(jnp.arange(4.0)[:, None, None, None], (4, 4, 4, 1))
    >>> mosaic = jax.jit(lambda key, batch: random_scene_mosaic(key, batch, middle=(0.5, 0.5)))
    >>> mosaic(jax.random.key(0), {"image": images})["image"][3, :, :, 0].astype(int)
    Array([[3, 3, 2, 2],
           [3, 3, 2, 2],
           [1, 1, 0, 0],
           [1, 1, 0, 0]], dtype=int32)
    """
    key, scene = as_key(key), as_scene(batch)
    low, high = as_range(middle, name="middle", most=1)
    probability = as_amount(probability, name="probability", most=1)
    count, height, width, _ = scene.image.shape
    draws = with_sharding_of(jax.random.uniform(key, (count, 3 + 2 * PARTS), jnp.float32), scene.image)
    sides = jnp.array([[height, width]])
    shares = low + (high - low) * draws[:, :2]
    point = jnp.clip(jnp.round(shares * sides.astype(jnp.float32)).astype(jnp.int32), 1, sides - 1)
    replaced = draws[:, 2] < probability
    parts = [_part(batch, scene, point, draws[:, 3 + 2 * index : 5 + 2 * index], index=index) for index in range(PARTS)]

    def whole(name: str, own: jax.Array) -> jax.Array:
        chosen = replaced.reshape(-1, *(1,) * (own.ndim - 1))
        return jnp.where(chosen, functools.reduce(jnp.add, [part[name] for part in parts]), own)

    found = {**batch, "image": whole("image", scene.image)}
    found["size"] = jnp.where(replaced[:, None], sides, scene.size)
    if scene.segmentation is not None:
        found["segmentation"] = whole("segmentation", scene.segmentation)
    if scene.boxes is None:
        return found
    own = {**batch, "boxes": scene.boxes, "box_mask": scene.mask}
    for name in ("boxes", *OF_BOXES):
        if name in parts[0]:
            alone = jnp.asarray(own[name]).astype(parts[0][name].dtype)
            padded = jnp.pad(alone, [(0, 0), (0, 3 * alone.shape[1]), *[(0, 0)] * (alone.ndim - 2)])
            chosen = replaced.reshape(-1, *(1,) * (alone.ndim - 1))
            found[name] = jnp.where(chosen, jnp.concatenate([part[name] for part in parts], 1), padded)
    return found


def _part(batch: Batch, scene: Scene, point: jax.Array, draws: jax.Array, *, index: int) -> dict[str, Any]:
    """One part of each mosaic at its place, zeros elsewhere; and its boxes.

    Args:
        batch: before.
        scene: its parts.
        point: row and column at which the parts meet, ``(n, 2)``.
        draws: uniform in [0, 1), of the window, ``(n, 2)``.
        index: of the part, by row.
    """
    _, height, width, _ = scene.image.shape
    after = jnp.array([divmod(index, 2)])
    first = point * after  # row and column of the part in the mosaic
    window = jnp.where(after > 0, jnp.array([[height, width]]) - point, point)
    of_boxes = {name: rolled(jnp.asarray(batch[name]), index) for name in OF_BOXES if name in batch}
    size = rolled(scene.size, index)
    room = jnp.maximum(size - window, 0)
    start = jnp.minimum(jnp.floor(draws * (room + 1).astype(draws.dtype)).astype(jnp.int32), room)
    inner = jnp.minimum(size, window)

    def along(axis: int, length: int) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Positions in the image, whether they are in the part, and whether in the image too."""
        place = jnp.arange(length)[None] - first[:, axis : axis + 1]
        begun = place >= 0
        limits = (each[:, axis : axis + 1] for each in (window, inner))
        in_part, in_image = (begun & (place < limit) for limit in limits)
        return place + start[:, axis : axis + 1], in_part, in_image

    rows, row_in_part, row_in_image = along(0, height)
    columns, column_in_part, column_in_image = along(1, width)
    in_part = row_in_part[:, :, None] & column_in_part[:, None]
    in_image = row_in_image[:, :, None] & column_in_image[:, None]
    pixels = taken(rolled(scene.image, index), rows, columns)
    found: dict[str, Any] = {"image": jnp.where(in_image[..., None], pixels, jnp.zeros_like(pixels))}
    if scene.segmentation is not None:
        classes = taken(rolled(scene.segmentation, index), rows, columns)
        nothing = jnp.zeros_like(classes)
        outside = jnp.where(in_part, jnp.full_like(classes, UNLABELLED), nothing)
        found["segmentation"] = jnp.where(in_image, classes, outside)
    if scene.boxes is None or scene.mask is None:
        return found
    mask = rolled(scene.mask, index)
    boxes = rolled(scene.boxes, index) - jnp.tile(start[:, None, ::-1], 2).astype(scene.boxes.dtype)
    other = Scene(scene.image, size, None, boxes, mask)
    clipped = moved(of_boxes, other, image=scene.image, size=inner, segmentation=None, boxes=boxes)
    shift = jnp.tile(first[:, None, ::-1], 2).astype(boxes.dtype)
    clipped["boxes"] = jnp.where(clipped["box_mask"][..., None], clipped["boxes"] + shift, jnp.zeros_like(boxes))
    return {**found, **{name: clipped[name] for name in ("boxes", *OF_BOXES) if name in clipped}}
