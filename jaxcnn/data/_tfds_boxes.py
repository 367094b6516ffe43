"""Examples of tensorflow-datasets with boxes, in the arrays that ``voc`` and ``coco`` give."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxcnn._axes import IntPerAxis, as_int, int_per_axis
from jaxcnn._errors import ShapeError
from jaxcnn.data._annotations import annotated, placed


def tfds_boxes(
    example: Mapping[str, Any],
    *,
    max_boxes: int,
    image_size: IntPerAxis,
    scale: bool = True,
    one_based: bool = False,
    repair: bool = False,
) -> dict[str, np.ndarray]:
    """An example of a TFDS set with ``objects``, such as ``coco`` or ``voc``, in the arrays that ``voc`` gives.

    TFDS holds boxes as ``(ymin, xmin, ymax, xmax)`` in fractions of the image; here they are ``(x0, y0, x1, y1)`` in
    pixels. Labels are one more than TFDS's, since 0 is the background here.

    Args:
        example: decoded, with ``image`` ``(height, width, 3)``, uint8, and ``objects`` with ``bbox`` ``(n, 4)`` and
            ``label`` ``(n,)``; optional are ``is_crowd``, ``is_difficult`` and ``area`` of the objects, in pixels, and
            ``image/id``.
        max_boxes: the number of boxes of every example, with padding.
        image_size: height and width of the canvas.
        scale: whether the image is scaled to the largest size that fits into the canvas.
        one_based: whether the fractions are of pixels that are counted from 1 and include the last, as in TFDS's
            ``voc``.
        repair: as in ``voc``.

    Returns:
        the arrays of one example of ``voc``, without ``segmentation``.

    Raises:
        ShapeError: an image that is not ``(height, width, 3)``, one that is larger than the canvas and is not scaled,
            or more than ``max_boxes`` boxes.
        ValueError: an example without ``image`` or ``objects``, or a box that is empty or outside of its image.

    >>> objects = {"bbox": np.array([[0.0, 0.5, 1.0, 1.0]]), "label": np.array([0])}
    >>> found = tfds_boxes({"image": np.zeros((4, 8, 3), np.uint8), "objects": objects}, max_boxes=2, image_size=8)
    >>> found["boxes"], found["box_mask"], found["size"]
    (array([[4., 0., 8., 4.], [0., 0., 0., 0.]], dtype=float32), array([ True, False]), array([4, 8], dtype=int32))
    """
    for name, names in (("image", example), ("objects", example)):
        if name not in names:
            raise ValueError(f"the example has no {name!r}, only {', '.join(map(repr, example))}.")
    pixels, objects = np.asarray(example["image"]), example["objects"]
    if pixels.ndim != 3 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8:
        raise ShapeError(f"expected an image (height, width, 3) of uint8, not {pixels.dtype}{list(pixels.shape)}.")
    canvas = int_per_axis(image_size, 2, name="image_size")
    height, width = pixels.shape[:2]
    if not scale and (height > canvas[0] or width > canvas[1]):
        raise ShapeError(f"the image is {height} x {width}, larger than image_size={canvas}. Scale it by scale=True.")
    boxes = np.asarray(objects["bbox"], np.float64).reshape(-1, 4)[:, [1, 0, 3, 2]]
    boxes = boxes * [width, height, width, height] - np.array([1, 1, 0, 0]) * one_based
    if len(boxes) > as_int(max_boxes, name="max_boxes"):
        raise ShapeError(f"the example has {len(boxes)} boxes, more than max_boxes={max_boxes}.")
    number = int(example.get("image/id", 0))
    record = annotated(
        f"image {number}",
        (height, width),
        number,
        boxes=boxes,
        labels=np.asarray(objects["label"]).astype(np.int32) + 1,
        crowd=objects.get("is_crowd"),
        difficult=objects.get("is_difficult"),
        area=objects.get("area"),
        name=f"image {number}",
        repair=repair,
    )
    return placed(pixels, record, (canvas[0], canvas[1]), most=max_boxes, scale=scale)
