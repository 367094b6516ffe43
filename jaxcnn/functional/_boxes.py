"""Boxes ``(x0, y0, x1, y1)`` in pixels: areas, overlaps, clipping, and their encoding relative to anchors.

``x`` counts columns and ``y`` rows; a box covers ``x0 <= x < x1``, so its width is ``x1 - x0`` without "+1". A box
whose ``x1`` is below its ``x0``, or ``y1`` below ``y0``, is empty. Half-precision boxes are converted to float32 for
computations, but their coordinates are only exact to a pixel from 256 (bfloat16) or 2048 (float16) on: keep boxes in
float32.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn._arrays import ArrayLike, accumulator_dtype, as_array, common_dtype
from jaxcnn._errors import ShapeError

# log(1000 / 16): no box is decoded to more than 62.5 times the size of its anchor.
MAX_LOG_SCALE = math.log(1000 / 16)
SMALLEST_SIDE = 1e-6

Corners = tuple[jax.Array, jax.Array, jax.Array, jax.Array]  # x0, y0, x1, y1


def box_area(boxes: ArrayLike) -> jax.Array:
    """The area of each box, ``max(x1 - x0, 0) * max(y1 - y0, 0)``.

    Args:
        boxes: ``(..., 4)`` as ``(x0, y0, x1, y1)``.

    Returns:
        ``(...)``, of the type of the boxes; integers of fewer than 32 bits, which do not hold most areas, give int32.

    Raises:
        ShapeError: boxes without a last axis of 4.
        TypeError: boxes that are not real numbers.

    Source: ``box_area`` of torchvision, to which it is equal where no box is inverted.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> F.box_area(jnp.array([[0.0, 0.0, 4.0, 2.0], [3.0, 0.0, 1.0, 2.0]]))
    Array([8., 0.], dtype=float32)
    """
    array = as_boxes(boxes, name="boxes")
    area = _area(array.astype(accumulator_dtype(array.dtype)))
    return area.astype(array.dtype) if jnp.issubdtype(array.dtype, jnp.floating) else area


def box_iou(a: ArrayLike, b: ArrayLike) -> jax.Array:
    """The intersection over the union of each box of ``a`` with each box of ``b``.

    Args:
        a: ``(*batch, n, 4)`` as ``(x0, y0, x1, y1)``.
        b: ``(*batch, m, 4)``.

    Returns:
        ``(*batch, n, m)``, from 0 to 1; 0 for two boxes without area, where torchvision gives NaN. Of the floating type
        of the boxes, float32 for integers.

    Raises:
        ShapeError: boxes without a last axis of 4, or batch axes that differ.
        TypeError: boxes that are not real numbers.

    Source: Jaccard (1912); Everingham et al. (2010), "The Pascal visual object classes challenge", equation 3.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> F.box_iou(jnp.array([[0.0, 0.0, 2.0, 2.0]]), jnp.array([[0.0, 0.0, 2.0, 1.0], [1.0, 1.0, 3.0, 3.0]]))
    Array([[0.5       , 0.14285715]], dtype=float32)
    """
    one, two, result = _pairs(a, b)
    shared, union = shared_and_union(corners(one), corners(two))
    return _ratio(shared, union).astype(result)


def generalized_box_iou(a: ArrayLike, b: ArrayLike) -> jax.Array:
    """``box_iou`` less the share of the smallest box around both that neither covers: ``I / U - (C - U) / C``.

    Its gradient moves boxes towards each other also where they do not overlap.

    Args:
        a: ``(*batch, n, 4)`` as ``(x0, y0, x1, y1)``.
        b: ``(*batch, m, 4)``.

    Returns:
        ``(*batch, n, m)``, from -1 to 1, of the floating type of the boxes, float32 for integers.

    Raises:
        ShapeError: boxes without a last axis of 4, or batch axes that differ.
        TypeError: boxes that are not real numbers.

    Source: Rezatofighi et al. (2019), "Generalized intersection over union", algorithm 1.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> F.generalized_box_iou(jnp.array([[0.0, 0.0, 1.0, 1.0]]), jnp.array([[3.0, 0.0, 4.0, 1.0]]))
    Array([[-0.5]], dtype=float32)
    """
    one, two, result = _pairs(a, b)
    shared, union = shared_and_union(corners(one), corners(two))
    low = jnp.minimum(one[..., :, None, :2], two[..., None, :, :2])
    high = jnp.maximum(one[..., :, None, 2:], two[..., None, :, 2:])
    around = _area(jnp.concatenate([low, high], -1))
    return (_ratio(shared, union) - _ratio(around - union, around)).astype(result)


def encode_boxes(
    boxes: ArrayLike, anchors: ArrayLike, *, weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
) -> jax.Array:
    """Boxes relative to anchors: ``(w0 (x - xa) / wa, w1 (y - ya) / ha, w2 log(w / wa), w3 log(h / ha))``.

    ``x, y, w, h`` are the centre and the sides of a box, ``xa, ya, wa, ha`` those of its anchor. Sides below 1e-6 count
    as 1e-6, so that an empty box gives finite numbers.

    Args:
        boxes: ``(..., 4)`` as ``(x0, y0, x1, y1)``.
        anchors: of the same shape.
        weights: factors of the four numbers: (10, 10, 5, 5) in the second stage of Faster R-CNN.

    Returns:
        ``(..., 4)`` as ``(dx, dy, dw, dh)``, of the floating type of the boxes, float32 for integers.

    Raises:
        ShapeError: boxes without a last axis of 4, or two shapes that differ.
        TypeError: boxes that are not real numbers.

    Source: Girshick et al. (2014), "Rich feature hierarchies", appendix C; Ren et al. (2015), "Faster R-CNN", equation
    2; ``BoxCoder`` of torchvision.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> F.encode_boxes(jnp.array([2.0, 0.0, 6.0, 4.0]), jnp.array([0.0, 0.0, 4.0, 4.0]))
    Array([0.5, 0. , 0. , 0. ], dtype=float32)
    """
    box, anchor, result = _alike(boxes, anchors, names=("boxes", "anchors"))
    (centre, sides), (start, unit) = _centre_and_sides(box), _centre_and_sides(anchor)
    sides, unit = jnp.maximum(sides, SMALLEST_SIDE), jnp.maximum(unit, SMALLEST_SIDE)
    deltas = jnp.concatenate([(centre - start) / unit, jnp.log(sides / unit)], -1)
    return (deltas * _four(weights, deltas)).astype(result)


def decode_boxes(
    deltas: ArrayLike,
    anchors: ArrayLike,
    *,
    weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0),
    max_log_scale: float = MAX_LOG_SCALE,
) -> jax.Array:
    """The boxes that ``encode_boxes`` gives as ``deltas``: centres ``xa + dx wa / w0``, sides ``wa exp(dw / w2)``.

    Args:
        deltas: ``(..., 4)`` as ``(dx, dy, dw, dh)``.
        anchors: of the same shape, as ``(x0, y0, x1, y1)``.
        weights: as given to ``encode_boxes``.
        max_log_scale: ``dw / w2`` and ``dh / w3`` are at most this, so that no early output of a network overflows.

    Returns:
        ``(..., 4)`` as ``(x0, y0, x1, y1)``, of the floating type of the two, float32 for integers.

    Raises:
        ShapeError: arrays without a last axis of 4, or two shapes that differ.
        TypeError: boxes that are not real numbers.

    Source: as ``encode_boxes``.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> F.decode_boxes(jnp.array([0.5, 0.0, 0.0, 0.0]), jnp.array([0.0, 0.0, 4.0, 4.0]))
    Array([2., 0., 6., 4.], dtype=float32)
    """
    delta, anchor, result = _alike(deltas, anchors, names=("deltas", "anchors"))
    start, unit = _centre_and_sides(anchor)
    delta = delta / _four(weights, delta)
    centre = start + delta[..., :2] * unit
    half = jnp.exp(jnp.minimum(delta[..., 2:], max_log_scale)) * unit / 2
    return jnp.concatenate([centre - half, centre + half], -1).astype(result)


def clip_boxes(boxes: ArrayLike, image_shape: ArrayLike) -> jax.Array:
    """The part of each box within its image: ``x`` in ``[0, width]`` and ``y`` in ``[0, height]``.

    Args:
        boxes: ``(*batch, ..., 4)`` as ``(x0, y0, x1, y1)``.
        image_shape: ``(height, width)``; or an array ``(*batch, 2)``, the true size of each image of a padded batch.

    Returns:
        boxes of the same shape and type. One outside its image has no area.

    Raises:
        ShapeError: boxes without a last axis of 4, or sizes of another shape.
        TypeError: boxes or sizes that are not real numbers.

    Source: ``clip_boxes_to_image`` of torchvision.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> F.clip_boxes(jnp.array([[-2.0, 1.0, 3.0, 9.0]]), (4, 8))
    Array([[0., 1., 3., 4.]], dtype=float32)
    """
    array, sizes = as_boxes(boxes, name="boxes"), _real(image_shape, name="image_shape")
    batch = sizes.shape[:-1]
    if sizes.ndim == 0 or sizes.shape[-1] != 2 or array.shape[: len(batch)] != batch or len(batch) >= array.ndim:
        raise ShapeError(
            f"image_shape must be (height, width), or have the shape (*batch, 2) with the first axes of the boxes, but "
            f"image_shape has the shape {sizes.shape} and boxes.shape={array.shape}."
        )
    common = common_dtype(array, sizes)  # the dtype of the boxes may not hold the size of the image
    sizes = jnp.stack([sizes[..., 1], sizes[..., 0]] * 2, -1).astype(common)
    sizes = sizes.reshape(*batch, *(1,) * (array.ndim - len(batch) - 1), 4)
    clipped = jnp.clip(array.astype(common), jnp.zeros((), common), jnp.broadcast_to(sizes, array.shape))
    return clipped.astype(array.dtype)


def as_boxes(value: ArrayLike, *, name: str) -> jax.Array:
    """An array of boxes, or of deltas of boxes, with a last axis of 4.

    Raises:
        ShapeError: another shape.
        TypeError: something that is not made of real numbers.
    """
    array = _real(value, name=name)
    if array.ndim == 0 or array.shape[-1] != 4:
        raise ShapeError(
            f"{name} must have the shape (..., 4), four numbers for each box, but {name}.shape={array.shape}."
        )
    return array


def _real(value: ArrayLike, *, name: str) -> jax.Array:
    array = as_array(value, name=name)
    if array.dtype == jnp.bool_ or jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise TypeError(f"{name} must be real numbers, not {array.dtype}.")
    return array


def coordinate_dtype(boxes: jax.Array, features: jax.Array) -> Any:
    """The dtype of coordinates and weights: at least as precise as the dtype in which features are summed."""
    floating = boxes.dtype if jnp.issubdtype(boxes.dtype, jnp.floating) else jnp.float32
    return max(accumulator_dtype(floating), accumulator_dtype(features.dtype), key=lambda dtype: jnp.finfo(dtype).bits)


def corners(boxes: jax.Array) -> Corners:
    """The four coordinates of each box."""
    x0, y0, x1, y1 = (boxes[..., place] for place in range(4))
    return x0, y0, x1, y1


def shared_and_union(one: Corners, two: Corners) -> tuple[jax.Array, jax.Array]:
    """The areas of intersection and union of each box of ``one`` with each box of ``two``."""
    columns, rows = [each[..., :, None] for each in one], [each[..., None, :] for each in two]
    low = [jnp.maximum(columns[place], rows[place]) for place in (0, 1)]
    high = [jnp.minimum(columns[place], rows[place]) for place in (2, 3)]
    # An empty box shares nothing and has no gradient. Without the condition it would have one where maxima tie.
    first, second = _area_between(*columns), _area_between(*rows)
    shared = jnp.where((first > 0) & (second > 0), _area_between(*low, *high), 0)
    return shared, first + second - shared


def _area_between(x0: jax.Array, y0: jax.Array, x1: jax.Array, y1: jax.Array) -> jax.Array:
    return jnp.maximum(x1 - x0, 0) * jnp.maximum(y1 - y0, 0)


def _area(boxes: jax.Array) -> jax.Array:
    return _area_between(*corners(boxes))


def _ratio(part: jax.Array, whole: jax.Array) -> jax.Array:
    """``part / whole``, and 0 with a gradient of 0 where the whole is 0."""
    return jnp.where(whole > 0, part / jnp.where(whole > 0, whole, 1), 0)


def _centre_and_sides(boxes: jax.Array) -> tuple[jax.Array, jax.Array]:
    sides = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + sides / 2, sides


def _four(weights: Sequence[float], like: jax.Array) -> jax.Array:
    """The weights of the four numbers, in the shape of an array of boxes."""
    if np.shape(weights) != (4,):
        raise ShapeError(f"weights must be four numbers, one for each of dx, dy, dw and dh, not {weights!r}.")
    return jnp.broadcast_to(jnp.asarray(weights, like.dtype).reshape((1,) * (like.ndim - 1) + (4,)), like.shape)


def _floating(*arrays: jax.Array) -> tuple[jnp.dtype, jnp.dtype]:
    """The floating dtype of a result, and the one to compute in."""
    dtype = common_dtype(*arrays)
    result = dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.dtype("float32")
    return result, accumulator_dtype(result)


def _alike(one: ArrayLike, two: ArrayLike, *, names: tuple[str, str]) -> tuple[jax.Array, jax.Array, jnp.dtype]:
    """Two arrays of boxes of one shape, in the dtype to compute in, and the dtype of the result."""
    first, second = as_boxes(one, name=names[0]), as_boxes(two, name=names[1])
    if first.shape != second.shape:
        raise ShapeError(
            f"{names[0]} and {names[1]} must have the same shape, but {names[0]}.shape={first.shape} and "
            f"{names[1]}.shape={second.shape}."
        )
    result, wide = _floating(first, second)
    return first.astype(wide), second.astype(wide), result


def _pairs(a: ArrayLike, b: ArrayLike) -> tuple[jax.Array, jax.Array, jnp.dtype]:
    """Two lists of boxes with the same batch axes, in the dtype to compute in, and the dtype of the result."""
    one, two = as_boxes(a, name="a"), as_boxes(b, name="b")
    if min(one.ndim, two.ndim) < 2 or one.shape[:-2] != two.shape[:-2]:
        raise ShapeError(
            f"a and b must have the shapes (*batch, n, 4) and (*batch, m, 4) with the same batch axes, but a.shape="
            f"{one.shape} and b.shape={two.shape}."
        )
    result, wide = _floating(one, two)
    return one.astype(wide), two.astype(wide), result
