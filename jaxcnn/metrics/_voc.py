"""Precision and recall of detections by the rules of Pascal VOC, on the host: lists of boxes differ in length."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from jaxcnn._errors import ShapeError
from jaxcnn.metrics._detection import Arrays, Image, image_arrays, overlaps_of


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DetectionCurve:
    """Precision and recall of one class after each of its detections, by descending score.

    Attributes:
        recall: the share of the boxes that are found, ``(n,)``.
        precision: the share of the detections that are right, ``(n,)``.
        scores: of the detections, ``(n,)``.
        count: the number of boxes to find.
    """

    recall: np.ndarray
    precision: np.ndarray
    scores: np.ndarray
    count: int


def detection_curves(
    targets: Sequence[Image], predictions: Sequence[Image], *, iou_threshold: float = 0.5
) -> dict[int, DetectionCurve]:
    """Precision and recall of each class by the rules of Pascal VOC.

    The detections of a class in all images are matched by descending score, each to the box of highest IoU in its
    image. A detection is right if this IoU is at least ``iou_threshold`` and no earlier detection was matched to the
    box. Boxes that are ``difficult`` or ``crowd`` are neither missed nor found: a detection that is matched to one does
    not count.

    Args:
        targets: as for ``detection_average_precision``; optional is ``difficult`` too, booleans ``(m,)``.
        predictions: as for ``detection_average_precision``.
        iou_threshold: the least IoU of a box that is found.

    Returns:
        a curve for each class that has boxes to find, by its label.

    Raises:
        ShapeError: lists of different lengths, or arrays of an image that do not fit each other.
        ValueError: an array that is missing, or a threshold that is not between 0 and 1.

    Source: Everingham et al. (2010), "The Pascal visual object classes challenge", section 4.2; ``VOCevaldet.m`` of its
    development kit.

    >>> from jaxcnn import metrics
    >>> target = {"boxes": [[0, 0, 10, 10], [20, 20, 30, 30]], "labels": [1, 1]}
    >>> found = {"boxes": [[0, 0, 10, 9], [0, 1, 10, 10]], "labels": [1, 1], "scores": [0.9, 0.8]}
    >>> curve = metrics.detection_curves([target], [found])[1]
    >>> curve.recall, curve.precision
    (array([0.5, 0.5]), array([1. , 0.5]))
    """
    if len(targets) != len(predictions):
        raise ShapeError(
            f"targets and predictions must have one entry for each image, but there are {len(targets)} and "
            f"{len(predictions)}."
        )
    if not 0 < iou_threshold <= 1:
        raise ValueError(f"iou_threshold={iou_threshold} must be more than 0 and at most 1.")
    truth = [image_arrays(image, index, "targets") for index, image in enumerate(targets)]
    found = [image_arrays(image, index, "predictions") for index, image in enumerate(predictions)]
    curves = {}
    for label in sorted({int(label) for image in truth for label in image["labels"]}):
        curve = _curve(truth, found, label, iou_threshold)
        if curve.count:
            curves[label] = curve
    return curves


def voc_average_precision(
    targets: Sequence[Image],
    predictions: Sequence[Image],
    *,
    year: Literal[2007, 2010] = 2010,
    iou_threshold: float = 0.5,
) -> dict[int, float]:
    """The average precision of each class by the rules of Pascal VOC; their mean is the mAP.

    It follows from ``detection_curves``; the precision at a recall is the highest one at that recall or beyond. Until
    2009 it was the mean at the eleven recalls 0, 0.1, ..., 1; since 2010 it is the area under the whole curve. Both
    differ from COCO's 101 recalls, ``ap50`` of ``detection_average_precision``.

    Args:
        targets: as for ``detection_curves``.
        predictions: as for ``detection_curves``.
        year: 2007 takes eleven recalls, 2010 the area.
        iou_threshold: as for ``detection_curves``.

    Returns:
        the average precision by label, from 0 to 1, of the classes that have boxes to find.

    Raises:
        ShapeError: as ``detection_curves``.
        ValueError: as ``detection_curves``, or another year.

    Source: Everingham et al. (2010), "The Pascal visual object classes challenge", section 4.2; ``VOCevaldet.m`` of the
    development kits of 2007 and 2010.

    >>> from jaxcnn import metrics
    >>> target = {"boxes": [[0, 0, 10, 10], [20, 20, 30, 30]], "labels": [1, 1]}
    >>> found = {"boxes": [[0, 0, 10, 9]], "labels": [1], "scores": [0.9]}
    >>> [round(metrics.voc_average_precision([target], [found], year=year)[1], 4) for year in (2007, 2010)]
    [0.5455, 0.5]
    """
    if year not in (2007, 2010):
        raise ValueError(f"year={year!r} is not known. Known: 2007, for eleven recalls, and 2010, for the area.")
    curves = detection_curves(targets, predictions, iou_threshold=iou_threshold)
    return {label: _area(curve, year) for label, curve in curves.items()}


def _curve(truth: Sequence[Arrays], found: Sequence[Arrays], label: int, threshold: float) -> DetectionCurve:
    scores, right, counted, count = [], [], [], 0
    for mine, theirs in zip(truth, found, strict=True):
        of_class, chosen = mine["labels"] == label, theirs["labels"] == label
        left_out = (mine["difficult"].astype(bool) | mine["crowd"].astype(bool))[of_class]
        count += int((~left_out).sum())
        overlaps = overlaps_of(theirs["boxes"][chosen], mine["boxes"][of_class], np.zeros(len(left_out), bool))
        taken = np.zeros(len(left_out), bool)
        for score, row in zip(theirs["scores"][chosen], overlaps, strict=True):
            best = int(row.argmax()) if row.size else -1
            hit = best >= 0 and bool(row[best] >= threshold)
            scores.append(float(score))
            right.append(hit and not taken[best])
            counted.append(not (hit and left_out[best]))
            if hit:
                taken[best] = True
    # Images are independent of each other, so that only the order of the sums is over all images.
    order = np.argsort(-np.array(scores, np.float64), kind="stable")
    keep = order[np.array(counted, bool)[order]]
    hits = np.cumsum(np.array(right, bool)[keep])
    return DetectionCurve(
        recall=hits / max(count, 1),
        precision=hits / np.arange(1, len(hits) + 1),
        scores=np.array(scores, np.float64)[keep],
        count=count,
    )


def _area(curve: DetectionCurve, year: int) -> float:
    highest = np.maximum.accumulate(np.append(curve.precision, 0)[::-1])[::-1]
    if year == 2007:
        places = np.searchsorted(curve.recall, np.arange(11) / 10, side="left")
        return float(highest[places].mean())
    return float((np.diff(curve.recall, prepend=0) * highest[:-1]).sum())
