"""Non-maximum suppression with static shapes, exact at every threshold."""

import math
import numbers

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn._axes import as_int
from jaxcnn._errors import ShapeError
from jaxcnn.functional._boxes import as_boxes
from jaxcnn.functional._suppression import select
from jaxcnn.functional._varying import filled_like


def nms(
    boxes: ArrayLike,
    scores: ArrayLike,
    *,
    iou_threshold: float,
    max_output: int,
    classes: ArrayLike | None = None,
    mask: ArrayLike | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Selects boxes by descending score, and drops each box that overlaps a selected box by more than a threshold.

    Boxes are in the order of descending scores; boxes with equal scores keep their order. Box ``j`` is selected if no
    selected box ``i`` before it has ``IoU(i, j) > iou_threshold``. The selection is the only fixed point of
    ``selected[j] = not any of (selected[i] and overlaps[i, j])`` over the boxes ``i`` before ``j``. It is found by
    iteration, starting with all boxes selected. The number of iterations is the length of the longest chain of boxes
    that drop each other, usually a few. Lists of more than 256 boxes are processed in blocks of 256, until there are
    ``max_output`` indices; in exported programs, all pairs of up to 4,096 boxes are compared at once.

    Args:
        boxes: ``(*batch, n, 4)`` as ``(x0, y0, x1, y1)``.
        scores: ``(*batch, n)``. A score of NaN comes last.
        iou_threshold: from 0 to 1; with an overlap of exactly the threshold both boxes are kept.
        max_output: the number of indices that are returned; the selected boxes with the highest scores.
        classes: integers ``(*batch, n)``: only boxes of one class drop each other. None: all are of one class.
        mask: booleans ``(*batch, n)``: False for boxes that are padding. They are not selected and drop no other box.

    Returns:
        ``indices``, int32 ``(*batch, max_output)``, by descending score, -1 where there are no more, and ``valid``,
        booleans of the same shape, True where there is an index. Neither has a gradient.

    Raises:
        ShapeError: shapes that do not fit each other.
        ValueError: a threshold outside [0, 1] or a negative number of outputs.
        TypeError: boxes or scores that are not real numbers, classes that are not integers, a mask that is not boolean.

    Source: Girshick et al. (2014), "Rich feature hierarchies", section 2.2; the order of the result is that of ``nms``
    and ``batched_nms`` of torchvision on a CPU.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> boxes = jnp.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 3.0], [9.0, 9.0, 12.0, 12.0]])
    >>> F.nms(boxes, jnp.array([0.8, 0.9, 0.3]), iou_threshold=0.5, max_output=3)
    (Array([ 1,  2, -1], dtype=int32), Array([ True,  True, False], dtype=bool))
    """
    array, ranking = as_boxes(boxes, name="boxes"), as_array(scores, name="scores")
    if array.ndim < 2:
        raise ShapeError(f"boxes must have the shape (*batch, n, 4), but boxes.shape={array.shape}.")
    _check_each(ranking, array, name="scores")
    if ranking.dtype == jnp.bool_ or jnp.issubdtype(ranking.dtype, jnp.complexfloating):
        raise TypeError(f"scores must be real numbers, not {ranking.dtype}.")
    labels = filled_like(ranking, 0, jnp.int32) if classes is None else as_array(classes, name="classes")
    _check_each(labels, array, name="classes")
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"classes must be integers, not {labels.dtype}.")
    present = filled_like(ranking, 1, jnp.bool_) if mask is None else as_array(mask, name="mask")
    _check_each(present, array, name="mask")
    if present.dtype != jnp.bool_:
        raise TypeError(f"mask must be booleans, True for boxes that exist, not {present.dtype}.")
    if (number := as_int(max_output, name="max_output")) < 0:
        raise ValueError(f"max_output={number} must be at least 0.")
    return _select(
        lax.stop_gradient(array),
        lax.stop_gradient(ranking),
        labels,
        present,
        _threshold(iou_threshold),
        max_output=number,
    )


def _check_each(each: jax.Array, boxes: jax.Array, *, name: str) -> None:
    if each.shape != boxes.shape[:-1]:
        raise ShapeError(
            f"{name} must have one entry for each box, the shape {boxes.shape[:-1]}, but {name}.shape={each.shape}."
        )


def _threshold(iou_threshold: float) -> float:
    if not isinstance(iou_threshold, numbers.Real) or isinstance(iou_threshold, bool):
        raise TypeError(f"iou_threshold must be a plain number, not {iou_threshold!r}.")
    if not (math.isfinite(iou_threshold) and 0 <= iou_threshold <= 1):
        raise ValueError(f"iou_threshold={iou_threshold} must be from 0 to 1.")
    return float(iou_threshold)


_select = jax.jit(select, static_argnums=4, static_argnames="max_output")
