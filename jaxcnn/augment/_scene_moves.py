"""Flips, crops and changes of scale of batches: images, label maps and boxes move together."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn._arrays import accumulator_dtype
from jaxcnn._axes import IntPerAxis, int_per_axis
from jaxcnn._errors import check_choice
from jaxcnn.augment._images import ImageAxis, as_amount, as_key, as_range, with_sharding_of
from jaxcnn.augment._scene import UNLABELLED, Batch, as_scene, moved, taken

_AXES = {"height": 0, "width": 1}


def random_scene_flip(
    key: jax.Array, batch: Batch, *, axis: ImageAxis = "width", probability: float = 0.5
) -> dict[str, Any]:
    """Mirrors the images of a batch with a probability, and their label maps and boxes with them.

    An image that is smaller than the array is mirrored within its own ``size``, so that its padding stays at the bottom
    and at the right.

    Args:
        key: determines the mirrored images, together with their number.
        batch: ``image`` ``(n, height, width, channels)``, floating; optional are ``size`` ``(n, 2)``, height and width
            of each image; ``segmentation`` ``(n, height, width)``; ``boxes`` ``(n, most, 4)`` as ``(x0, y0, x1, y1)``
            in pixels; ``box_label``, ``box_mask``, ``box_crowd``, ``box_difficult`` and ``box_area`` ``(n, most)``.
            Without ``box_mask``, the boxes of class 0 are padding. Integers in ``boxes`` and in ``box_area`` become
            float32. Other arrays stay as they are.
        axis: ``"width"`` swaps left and right, ``"height"`` top and bottom.
        probability: that an image is mirrored.

    Returns:
        the batch, with ``size``, and with ``box_mask`` where there are boxes.

    Raises:
        ShapeError: arrays that do not fit the images.
        ValueError: a batch without images, one with places that are not moved, such as ``keypoints``, another axis, or
            a probability outside [0, 1].
        TypeError: images that are not floating, a segmentation that is not of integers, or an invalid key.

    >>> batch = {"image": jnp.zeros((1, 2, 8, 3)), "boxes": jnp.array([[[1.0, 0, 4, 2]]])}
    >>> flip = jax.jit(lambda key, batch: random_scene_flip(key, batch, probability=1))
    >>> flip(jax.random.key(0), batch)["boxes"]
    Array([[[4., 0., 7., 2.]]], dtype=float32)
    """
    key, scene = as_key(key), as_scene(batch)
    check_choice(axis, _AXES, name="axis")
    probability = as_amount(probability, name="probability", most=1)
    mirrored = jax.random.uniform(key, (len(scene.image),), jnp.float32) < probability
    mirrored = with_sharding_of(mirrored, scene.image)[:, None]

    def sources(along: int) -> jax.Array:
        places = jnp.arange(scene.image.shape[1 + along])[None]
        length = scene.size[:, along : along + 1]
        back = mirrored & (places < length) & (along == _AXES[axis])
        return jnp.where(back, length - 1 - places, places)

    rows, columns = sources(0), sources(1)
    boxes = scene.boxes
    if boxes is not None:
        first = 1 - _AXES[axis]  # x of the width, y of the height
        length = scene.size[:, _AXES[axis]][:, None].astype(boxes.dtype)
        turned = boxes.at[..., first].set(length - boxes[..., first + 2])
        turned = turned.at[..., first + 2].set(length - boxes[..., first])
        boxes = jnp.where(mirrored[..., None], turned, boxes)
    classes = scene.segmentation
    return moved(
        batch,
        scene,
        image=taken(scene.image, rows, columns),
        size=scene.size,
        segmentation=None if classes is None else taken(classes, rows, columns),
        boxes=boxes,
    )


def random_scene_crop(key: jax.Array, batch: Batch, *, size: IntPerAxis) -> dict[str, Any]:
    """Crops the images of a batch at random positions, and their label maps and boxes with them.

    ``top`` and ``left`` are uniform over all positions at which the crop is inside the image; an image that is smaller
    than the crop is kept whole, at the top left. Boxes are clipped to the crop, and those whose centre is outside of it
    are dropped: zeros, and False in ``box_mask``. Pixels outside of the image are 0, and 255 in the segmentation.

    Args:
        key: determines the positions, together with the number of images.
        batch: as for ``random_scene_flip``.
        size: height and width of the crop, or one integer for both.

    Returns:
        the batch, with images ``(n, *size, channels)``, ``size``, and ``box_mask`` where there are boxes.

    Raises:
        ShapeError: as ``random_scene_flip``, or a size under 1.
        ValueError: as ``random_scene_flip``.
        TypeError: as ``random_scene_flip``.

    >>> batch = {"image": jnp.zeros((1, 4, 4, 3)), "boxes": jnp.array([[[1.0, 1, 3, 3], [0, 0, 4, 1]]])}
    >>> found = jax.jit(lambda key, batch: random_scene_crop(key, batch, size=2))(jax.random.key(3), batch)
    >>> found["image"].shape, found["boxes"][0].tolist(), found["box_mask"].tolist()
    ((1, 2, 2, 3), [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 2.0, 1.0]], [[False, True]])
    """
    key, scene = as_key(key), as_scene(batch)
    height, width = int_per_axis(size, 2, name="size")
    window = jnp.array([[height, width]])
    room = jnp.maximum(scene.size - window, 0)
    draws = with_sharding_of(jax.random.uniform(key, (len(scene.image), 2), jnp.float32), scene.image)
    start = _start(draws, room)
    new_size = jnp.minimum(scene.size, window)
    rows, columns = start[:, :1] + jnp.arange(height)[None], start[:, 1:] + jnp.arange(width)[None]
    inside = _inside(new_size, height, width)
    image = _where(inside[..., None], taken(scene.image, rows, columns), 0)
    classes = scene.segmentation
    if classes is not None:
        classes = _where(inside, taken(classes, rows, columns), UNLABELLED)
    boxes = scene.boxes
    if boxes is not None:
        boxes = boxes - jnp.tile(start[:, None, ::-1].astype(boxes.dtype), 2)
    return moved(batch, scene, image=image, size=new_size, segmentation=classes, boxes=boxes)


def random_scene_scale(
    key: jax.Array, batch: Batch, *, scale: tuple[float, float] = (0.5, 2.0), size: IntPerAxis | None = None
) -> dict[str, Any]:
    """Resizes the images of a batch by random factors and crops or pads them to one size: scale jitter.

    The factor is uniform in ``scale``, and the same for height and width. Resizing is bilinear, averaging over all
    pixels where it shrinks, as Pillow's ``resize`` does; label maps take the nearest pixel. Of an image that is then
    larger than ``size``, a part at a random position is kept; a smaller one is at the top left. Boxes are scaled,
    clipped, and dropped where their centre is outside, as in ``random_scene_crop``.

    Args:
        key: determines the factors and positions, together with the number of images.
        batch: as for ``random_scene_flip``.
        scale: the least and the largest factor.
        size: height and width of the result, or one integer for both; by default that of the images.

    Returns:
        as ``random_scene_crop``.

    Raises:
        ShapeError: as ``random_scene_flip``, or a size under 1.
        ValueError: as ``random_scene_flip``, or factors that are out of order or not positive.
        TypeError: as ``random_scene_flip``, or factors that are not a pair of plain numbers.

    Source: Chen et al. (2017), "Rethinking atrous convolution for semantic image segmentation", section 4.1.

    >>> batch = {"image": jnp.ones((1, 4, 8, 1)), "boxes": jnp.array([[[2.0, 0, 6, 4]]]), "size": jnp.array([[4, 8]])}
    >>> halve = jax.jit(lambda key, batch: random_scene_scale(key, batch, scale=(0.5, 0.5)))
    >>> found = halve(jax.random.key(0), batch)
    >>> found["boxes"], found["size"], float(found["image"].sum().round(3))
    (Array([[[1., 0., 3., 2.]]], dtype=float32), Array([[2, 4]], dtype=int32), 8.0)
    """
    key, scene = as_key(key), as_scene(batch)
    low, high = as_range(scale, name="scale")
    height, width = scene.image.shape[1:3] if size is None else int_per_axis(size, 2, name="size")
    draws = with_sharding_of(jax.random.uniform(key, (len(scene.image), 3), jnp.float32), scene.image)
    factor = low + (high - low) * draws[:, :1]
    scaled = jnp.maximum(jnp.round(scene.size.astype(jnp.float32) * factor), 1).astype(jnp.int32)
    ratio = scaled.astype(jnp.float32) / scene.size.astype(jnp.float32)  # of each axis, ``(n, 2)``
    canvas = jnp.array([[height, width]])
    room = jnp.maximum(scaled - canvas, 0)
    start = _start(draws[:, 1:], room)
    new_size = jnp.minimum(scaled, canvas)
    dtype = accumulator_dtype(scene.image.dtype)
    by_row, by_column = (
        _weights(start[:, axis], ratio[:, axis], scene.size[:, axis], scene.image.shape[1 + axis], length, dtype)
        for axis, length in enumerate((height, width))
    )
    exact = jax.lax.Precision.HIGHEST
    image = jnp.einsum("brq,bqwc->brwc", by_row, scene.image.astype(dtype), precision=exact)
    image = jnp.einsum("bsw,brwc->brsc", by_column, image, precision=exact)
    inside = _inside(new_size, height, width)
    classes = scene.segmentation
    if classes is not None:
        rows, columns = (
            _nearest(start[:, axis], scaled[:, axis], scene.size[:, axis], length)
            for axis, length in enumerate((height, width))
        )
        classes = _where(inside, taken(classes, rows, columns), UNLABELLED)
    boxes = scene.boxes
    if boxes is not None:
        by, less = ratio[:, None, ::-1].astype(boxes.dtype), start[:, None, ::-1].astype(boxes.dtype)
        boxes = boxes * jnp.tile(by, 2) - jnp.tile(less, 2)
    return moved(
        batch,
        scene,
        image=_where(inside[..., None], image, 0).astype(scene.image.dtype),
        size=new_size,
        segmentation=classes,
        boxes=boxes,
        magnification=ratio.prod(-1),
    )


def _where(inside: jax.Array, values: jax.Array, outside: int) -> jax.Array:
    return jnp.where(inside, values, jnp.array(outside, values.dtype))


def _start(draws: jax.Array, room: jax.Array) -> jax.Array:
    """Uniform integers from 0 to ``room``, of draws in [0, 1)."""
    return jnp.minimum(jnp.floor(draws * (room + 1).astype(draws.dtype)).astype(jnp.int32), room)


def _nearest(start: jax.Array, scaled: jax.Array, size: jax.Array, result: int) -> jax.Array:
    """``(n, result)``: the position of an axis that is nearest to each position of the scaled one, in whole numbers."""
    twice = 2 * (start[:, None] + jnp.arange(result, dtype=jnp.int32)[None]) + 1
    return jnp.minimum(twice * size[:, None] // (2 * scaled[:, None]), size[:, None] - 1)


def _inside(size: jax.Array, height: int, width: int) -> jax.Array:
    """Which pixels of each array are of its image, ``(n, height, width)``."""
    return (jnp.arange(height)[None, :, None] < size[:, :1, None]) & (jnp.arange(width)[None, None] < size[:, 1:, None])


def _weights(start: jax.Array, ratio: jax.Array, size: jax.Array, pixels: int, result: int, dtype: Any) -> jax.Array:
    """``(n, result, pixels)``: the weight of each position of an axis in each position of the scaled one.

    Args:
        start: the first position of the scaled axis that is kept, ``(n,)``.
        ratio: the factor, ``(n,)``.
        size: the number of positions that are of the image, ``(n,)``.
        pixels: all positions.
        result: positions that are kept.
        dtype: of the weights.
    """
    start, ratio, size = (each[:, None, None].astype(dtype) for each in (start, ratio, size))
    centre = (start + jnp.arange(result, dtype=dtype)[None, :, None] + 0.5) / ratio
    pixel = jnp.arange(pixels, dtype=dtype)[None, None] + 0.5
    weights = jnp.maximum(0, 1 - jnp.abs(pixel - centre) * jnp.minimum(ratio, 1))
    weights = jnp.where(pixel < size, weights, 0)
    total = weights.sum(-1, keepdims=True)
    return weights / jnp.where(total > 0, total, 1)
