"""Batches of images with boxes and label maps: their parts, and boxes that move with their image."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn._arrays import as_array
from jaxcnn._errors import ShapeError
from jaxcnn.augment._images import as_images, with_sharding_of

Batch = Mapping[str, Any]

UNLABELLED = 255  # of pixels that enter a segmentation from outside
# Arrays of places in an image that these functions do not move.
_OTHER_PLACES = ("bbox", "keypoints", "objects", "flow")
OF_BOXES = ("box_label", "box_mask", "box_crowd", "box_difficult", "box_area")


@dataclasses.dataclass(frozen=True)
class Scene:
    """The parts of a batch that have positions in an image.

    Attributes:
        image: ``(n, height, width, channels)``.
        size: height and width of each image, ``(n, 2)``; the rest of the array is padding.
        segmentation: ``(n, height, width)``, or None.
        boxes: ``(n, most, 4)``, or None.
        mask: which of the boxes are not padding, ``(n, most)``; None without boxes.
    """

    image: jax.Array
    size: jax.Array
    segmentation: jax.Array | None
    boxes: jax.Array | None
    mask: jax.Array | None


def as_scene(batch: Batch) -> Scene:
    """The parts of a batch that have positions in an image, checked.

    Raises:
        ShapeError: arrays that do not fit the images.
        ValueError: no images, or places that cannot be moved.
        TypeError: images that are not floating, a segmentation that is not of integers, or no batch.
    """
    if not isinstance(batch, Mapping):
        raise TypeError(f'expected a batch, a dict with "image", not {type(batch).__name__}.')
    if "image" not in batch:
        raise ValueError(f"the batch has no array 'image', only {', '.join(map(repr, batch)) or 'none'}.")
    if other := [name for name in _OTHER_PLACES if name in batch]:
        raise ValueError(
            f"the batch has {other[0]!r}, which would stay where it is: 'image', 'segmentation' and 'boxes' are moved. "
            f"Remove it from the batch, or write an augment of the whole batch, (key, batch) -> batch."
        )
    image, batch_shape = as_images(batch["image"])
    if len(batch_shape) != 1:
        shape = (*batch_shape, *image.shape[1:])
        raise ShapeError(f"image must have the shape (n, height, width, channels), not {shape}.")
    count, height, width, _ = image.shape
    size = jnp.asarray(batch["size"]) if "size" in batch else jnp.broadcast_to(jnp.array([[height, width]]), (count, 2))
    if size.shape != (count, 2):
        raise ShapeError(f"size must have the shape ({count}, 2), height and width of each image, not {size.shape}.")
    classes = batch.get("segmentation")
    if classes is not None:
        classes = jnp.asarray(classes)
        if classes.shape != (count, height, width):
            raise ShapeError(f"segmentation must have the shape {(count, height, width)}, not {classes.shape}.")
        if not jnp.issubdtype(classes.dtype, jnp.integer):
            raise TypeError(f"segmentation must be integers, one class for each pixel, not {classes.dtype}.")
        if jnp.iinfo(classes.dtype).max < UNLABELLED:
            raise TypeError(
                f"segmentation must be integers that hold {UNLABELLED}, which is a pixel without a label, and "
                f"{classes.dtype} does not. Use uint8 or int32."
            )
    boxes, mask = batch.get("boxes"), None
    if boxes is not None:
        boxes = _as_floating(boxes)
        if boxes.ndim != 3 or boxes.shape[0] != count or boxes.shape[2] != 4:
            raise ShapeError(f"boxes must have the shape ({count}, most, 4), not {boxes.shape}.")
        for name in OF_BOXES:
            if name in batch and (shape := as_array(batch[name], name=name).shape) != boxes.shape[:2]:
                raise ShapeError(f"{name} must have an entry for each box {boxes.shape[:2]}, not {shape}.")
        if "box_mask" in batch:
            mask = jnp.asarray(batch["box_mask"], bool)
        elif "box_label" in batch:
            mask = jnp.asarray(batch["box_label"]) > 0
        else:
            mask = (boxes[..., 2:] > boxes[..., :2]).all(-1)
    return Scene(image, with_sharding_of(size.astype(jnp.int32), image), classes, boxes, mask)


def _as_floating(array: Any) -> jax.Array:
    """The array, with integers as float32, since clipped boxes and scaled areas are not integers.

    >>> _as_floating([1, 2]).dtype
    dtype('float32')
    """
    array = jnp.asarray(array)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(jnp.float32)


def moved(
    batch: Batch,
    scene: Scene,
    *,
    image: jax.Array,
    size: jax.Array,
    segmentation: jax.Array | None,
    boxes: jax.Array | None,
    magnification: jax.Array | float = 1.0,
) -> dict[str, Any]:
    """The batch with moved images, and the boxes whose centre is still in its image, clipped to it.

    Args:
        batch: before.
        scene: its parts.
        image: moved.
        size: of each moved image, ``(n, 2)``.
        segmentation: moved.
        boxes: moved, ``(n, most, 4)``, not yet clipped.
        magnification: the factor of areas, of each image ``(n,)``.
    """
    found = {**batch, "image": image, "size": size}
    if segmentation is not None:
        found["segmentation"] = segmentation
    if boxes is None or scene.mask is None:
        return found
    limits = size[:, None, ::-1].astype(boxes.dtype)  # width and height
    low, high = (jnp.minimum(jnp.maximum(each, 0), limits) for each in (boxes[..., :2], boxes[..., 2:]))
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    mask = scene.mask & ((centre >= 0) & (centre < limits) & (high > low)).all(-1)
    whole, rest = (boxes[..., 2:] - boxes[..., :2]).prod(-1), (high - low).prod(-1)
    found["boxes"] = jnp.where(mask[..., None], jnp.concatenate([low, high], -1), 0)
    found["box_mask"] = mask
    for name in ("box_label", "box_crowd", "box_difficult"):
        if name in batch:
            found[name] = jnp.where(mask, jnp.asarray(batch[name]), jnp.zeros((), jnp.asarray(batch[name]).dtype))
    if "box_area" in batch:
        area = _as_floating(batch["box_area"])
        share = rest / jnp.where(whole > 0, whole, 1) * jnp.reshape(jnp.asarray(magnification, boxes.dtype), (-1, 1))
        found["box_area"] = jnp.where(mask, area * share.astype(area.dtype), 0)
    return found


def taken(array: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """``array[n, rows[n, r], columns[n, c]]`` of arrays ``(n, height, width, ...)``; indices are clipped."""
    return jax.vmap(lambda each, row, column: each[jnp.clip(row, 0, len(each) - 1)].take(column, 1, mode="clip"))(
        array, rows, columns
    )
