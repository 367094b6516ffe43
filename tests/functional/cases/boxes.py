"""Rows for functions of boxes, regions of interest and optical flow."""

from typing import Any

import jax.numpy as jnp

from jaxcnn.functional._anchors import anchors
from jaxcnn.functional._boxes import box_area, box_iou, clip_boxes, decode_boxes, encode_boxes, generalized_box_iou
from jaxcnn.functional._nms import nms
from jaxcnn.functional._optical_flow import optical_flow
from jaxcnn.functional._pyramid_roi import pyramid_roi_align
from jaxcnn.functional._roi import roi_align, roi_pool
from tests.functional.cases.case import Case


def upright(numbers: Any) -> Any:
    """Boxes with corners in order, made without rounding."""
    one, two = numbers[..., :2], numbers[..., 2:]
    return jnp.concatenate([jnp.minimum(one, two), jnp.maximum(one, two)], -1)


BOXES, OTHERS = (8, 5, 4), (8, 3, 4)
CASES = [
    Case(
        function="anchors",
        call=lambda: anchors((2, 1), strides=8, sizes=(16,)),
        shapes=(),
        batched=(),
        like="filters.sobel",
    ),
    Case(
        function="box_area",
        call=lambda a: box_area(upright(a)),
        shapes=(BOXES,),
        batched=(True,),
        like="encode_boxes",
    ),
    Case(
        function="box_iou",
        call=lambda a, b: box_iou(upright(a), upright(b)),
        shapes=(BOXES, OTHERS),
        batched=(True, True),
        distinct=True,
        like="encode_boxes",
    ),
    Case(
        function="generalized_box_iou",
        call=lambda a, b: generalized_box_iou(upright(a), upright(b)),
        shapes=(BOXES, OTHERS),
        batched=(True, True),
        distinct=True,
        like="encode_boxes",
    ),
    Case(
        function="encode_boxes",
        call=lambda a, b: encode_boxes(upright(a), upright(b), weights=(1, 1, 0.5, 0.5)),
        shapes=(BOXES, BOXES),
        batched=(True, True),
        distinct=True,
    ),
    Case(
        function="decode_boxes",
        call=lambda d, a: decode_boxes(d, a, weights=(1, 1, 2, 2)),
        shapes=(BOXES, BOXES),
        batched=(True, True),
        note="of each image",
        like="encode_boxes",
    ),
    Case(
        function="clip_boxes",
        call=lambda a: clip_boxes(a, (1, 2)),
        shapes=(BOXES,),
        batched=(True,),
        distinct=True,
        like="encode_boxes",
    ),
    Case(
        function="nms",
        call=lambda boxes, scores, classes: nms(
            upright(boxes), scores, iou_threshold=0.1, max_output=5, classes=classes
        ),
        shapes=((8, 9, 4), (8, 9), (8, 9)),
        batched=(True, True, True),
        integer=(0, 0, 2),
        differentiable=(False, False, False),
        distinct=True,
    ),
    *(
        Case(
            function="roi_align",
            call=lambda x, boxes, ratio=ratio, aligned=aligned: roi_align(
                x,
                3 + 2 * boxes.astype(jnp.float32),
                output_size=(2, 3),
                spatial_scale=0.5,
                sampling_ratio=ratio,
                aligned=aligned,
            ),
            shapes=((8, *size, 2), (8, 3, 4)),
            batched=(True, True),
            differentiable=(True, False),
            note=note,
            like=like,
        )
        for ratio, aligned, size, note, like in (
            (1, True, (7, 8), "aligned", ""),  # it reads single pixels; the others sum over all of them
            (2, True, (5, 6), "small map", "roi_align-aligned"),
            (None, False, (5, 6), "adaptive", "roi_align-aligned"),
        )
    ),
    Case(
        function="pyramid_roi_align",
        call=lambda x, y, boxes: pyramid_roi_align(
            [x, y],
            3 + 2 * boxes.astype(jnp.float32),
            strides=(2, 4),
            output_size=(2, 1),
            sampling_ratio=1,
            aligned=True,
            canonical_size=4,
            canonical_level=2,
        ),
        shapes=((8, 5, 6, 2), (8, 3, 3, 2), (8, 3, 4)),
        batched=(True, True, True),
        differentiable=(True, True, False),
        like="roi_align-aligned",
    ),
    Case(
        function="roi_pool",
        call=lambda x, boxes: roi_pool(x, boxes.astype(x.dtype), output_size=(2, 3), spatial_scale=0.5),
        shapes=((8, 5, 6, 2), (8, 3, 4)),
        batched=(True, True),
        integer=(0, 12),
        differentiable=(True, False),
        distinct=True,
    ),
    Case(
        function="optical_flow",
        call=lambda a, b: optical_flow(a, b, levels=1, warps=1, iterations=2, smoothness=1.0),
        shapes=((8, 6, 5, 2), (8, 6, 5, 2)),
        batched=(True, True),
        note="horn_schunck",
        dtypes=("float32", "float64"),
        like="roi_align-aligned",  # bilinear samples of one example after another
    ),
    Case(
        function="optical_flow",
        call=lambda a, b: optical_flow(a, b, method="lucas_kanade", levels=1, warps=1, window_size=3, smoothness=1.0),
        shapes=((8, 6, 5, 2), (8, 6, 5, 2)),
        batched=(True, True),
        note="lucas_kanade",
        dtypes=("float32", "float64"),
        like="roi_align-aligned",
    ),
]
