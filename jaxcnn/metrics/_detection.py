"""Average precision of detections by the rules of COCO, on the host: lists of boxes differ in length."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxcnn._errors import ShapeError

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
AREAS = {"": (0, 1e10), "_small": (0, 32**2), "_medium": (32**2, 96**2), "_large": (96**2, 1e10)}
MOST = (1, 10, 100)  # detections of an image and class that count

Image = Mapping[str, Any]
Arrays = dict[str, np.ndarray]
Match = tuple[np.ndarray, np.ndarray, np.ndarray, int]


def detection_average_precision(targets: Sequence[Image], predictions: Sequence[Image]) -> dict[str, float]:
    """The twelve numbers of COCO: average precision and recall over overlaps from 0.50 to 0.95, and by size.

    In each image and at each of ten thresholds, the detections of a class are matched by descending score, each to the
    free box of highest overlap. Over all images, precision at 101 recalls is the highest at that recall or beyond; its
    mean is the average precision. The numbers are means over thresholds and over the classes that have boxes.

    Boxes of a crowd, and boxes outside the range of areas, are neither missed nor found: a detection that is matched to
    one does not count, and any number is matched to a crowd. A range of areas includes both ends. For each image and
    class the 100 detections of highest score count; for ``ar1`` and ``ar10``, the first 1 and 10.

    Args:
        targets: for each image ``boxes`` ``(m, 4)`` as ``(x0, y0, x1, y1)`` and ``labels`` ``(m,)``, integers;
            optional are ``crowd``, booleans ``(m,)``, by default none, and ``area``, ``(m,)``, by default those of the
            boxes.
        predictions: for each image ``boxes`` ``(n, 4)``, ``labels`` ``(n,)`` and ``scores`` ``(n,)``; for lists of
            fixed length, as ``jaxcnn.functional.nms`` gives them, ``mask``, booleans ``(n,)``.

    Returns:
        ``ap``, ``ap50``, ``ap75``, ``ap_small``, ``ap_medium``, ``ap_large``, ``ar1``, ``ar10``, ``ar100``,
        ``ar_small``, ``ar_medium`` and ``ar_large``, from 0 to 1; NaN where no box is in the range.

    Raises:
        ShapeError: lists of different lengths, or arrays of an image that do not fit each other.
        ValueError: an array that is missing, or a box with ``x1 < x0`` or ``y1 < y0``.

    Source: Lin et al. (2014), "Microsoft COCO: common objects in context"; ``COCOeval`` of pycocotools.

    >>> from jaxcnn import metrics
    >>> target = {"boxes": [[0, 0, 10, 10], [20, 20, 30, 30]], "labels": [1, 1]}
    >>> prediction = {"boxes": [[0, 0, 10, 9]], "labels": [1], "scores": [0.9]}
    >>> found = metrics.detection_average_precision([target], [prediction])
    >>> round(found["ap50"], 4), found["ar100"]
    (0.505, 0.45)
    """
    if len(targets) != len(predictions):
        raise ShapeError(
            f"targets and predictions must have one entry for each image, but there are {len(targets)} and "
            f"{len(predictions)}."
        )
    truth = [image_arrays(image, index, "targets") for index, image in enumerate(targets)]
    found = [image_arrays(image, index, "predictions") for index, image in enumerate(predictions)]
    classes = sorted({int(label) for image in (*truth, *found) for label in image["labels"]})
    precision = {name: np.full((len(THRESHOLDS), len(RECALLS), len(classes)), np.nan) for name in AREAS}
    recall = {(name, most): np.full((len(THRESHOLDS), len(classes)), np.nan) for name in AREAS for most in MOST}
    for k, label in enumerate(classes):
        pairs = [_of_class(one, two, label) for one, two in zip(truth, found, strict=True)]
        for name, limits in AREAS.items():
            matches = [_match(mine, theirs, overlaps, limits) for mine, theirs, overlaps in pairs]
            for most in MOST:
                curve = _curve(matches, most)
                if curve is not None:
                    recall[name, most][:, k] = curve[1]
                    if most == MOST[-1]:
                        precision[name][:, :, k] = curve[0]
    result = {
        "ap": _mean(precision[""]),
        "ap50": _mean(precision[""][0]),
        "ap75": _mean(precision[""][5]),
        **{f"ap{name}": _mean(precision[name]) for name in AREAS if name},
        **{f"ar{most}": _mean(recall["", most]) for most in MOST},
        **{f"ar{name}": _mean(recall[name, MOST[-1]]) for name in AREAS if name},
    }
    return result


def image_arrays(image: Image, index: int, kind: str) -> Arrays:
    """The arrays of one image, without padding; the detections by descending score.

    Raises:
        ShapeError: arrays that do not fit each other.
        ValueError: an array that is missing, or a box with ``x1 < x0`` or ``y1 < y0``.
    """
    needed = ("boxes", "labels", "scores") if kind == "predictions" else ("boxes", "labels")
    missing = [name for name in needed if name not in image]
    if missing:
        raise ValueError(f"{kind}[{index}] has no {' and no '.join(missing)}. It has {', '.join(image) or 'nothing'}.")
    boxes = np.asarray(image["boxes"], np.float64)
    boxes = boxes.reshape(-1, 4) if boxes.size == 0 else boxes
    arrays = {"boxes": boxes}
    count = len(boxes) if boxes.ndim else 0
    names = ("labels", "scores") if kind == "predictions" else ("labels", "crowd", "difficult", "area")
    arrays |= {name: np.asarray(image[name]) for name in (*names, "mask") if name in image}
    fits = boxes.ndim == 2 and boxes.shape[1] == 4
    if not fits or any(array.shape != (count,) for name, array in arrays.items() if name != "boxes"):
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ShapeError(f"{kind}[{index}] must have boxes of shape (n, 4) and n of everything else, not {shapes}.")
    if kind == "targets":
        none = np.zeros(count, bool)
        arrays = {"crowd": none, "difficult": none, "area": _area(boxes)} | arrays
    if "mask" in arrays:
        mask = arrays.pop("mask").astype(bool)
        arrays = {name: array[mask] for name, array in arrays.items()}
    boxes = arrays["boxes"]
    if (inverted := (boxes[:, 2:] < boxes[:, :2]).any(1)).any():
        raise ValueError(
            f"{kind}[{index}] has the box {boxes[inverted][0].tolist()}. Expected (x0, y0, x1, y1) with x0 <= x1 and "
            f"y0 <= y1; to convert (x, y, width, height), add x and y to the last two."
        )
    if kind == "predictions":
        order = np.argsort(-arrays["scores"].astype(np.float64), kind="stable")
        arrays = {name: array[order] for name, array in arrays.items()}
    return arrays


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _of_class(truth: Arrays, found: Arrays, label: int) -> tuple[Arrays, Arrays, np.ndarray]:
    """Boxes and detections of a class in one image, with their overlaps ``(detections, boxes)``."""
    mine = {name: array[truth["labels"] == label] for name, array in truth.items()}
    theirs = {name: array[found["labels"] == label][: MOST[-1]] for name, array in found.items()}
    return mine, theirs, overlaps_of(theirs["boxes"], mine["boxes"], mine["crowd"].astype(bool))


def overlaps_of(found: np.ndarray, truth: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """The IoU of detections with boxes ``(detections, boxes)``; of a crowd, the share of the detection in it."""
    low = np.maximum(found[:, None, :2], truth[None, :, :2])
    high = np.minimum(found[:, None, 2:], truth[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(-1)
    own = _area(found)[:, None]
    union = np.where(crowd[None], own, own + _area(truth)[None] - shared)
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _match(truth: Arrays, found: Arrays, overlaps: np.ndarray, limits: tuple[float, float]) -> Match:
    """At each threshold, which detections are matched and which do not count, and the number of boxes to find."""
    low, high = limits
    ignored = truth["crowd"].astype(bool) | (truth["area"] < low) | (truth["area"] > high)
    order = np.argsort(ignored, kind="stable")  # boxes that count come first
    ignored, crowd, overlaps = ignored[order], truth["crowd"].astype(bool)[order], overlaps[:, order]
    count = len(found["scores"])
    matched, left_out = np.zeros((2, len(THRESHOLDS), count), bool)
    for t, threshold in enumerate(THRESHOLDS):
        taken = np.zeros(len(order), bool)
        for d in range(count):
            for group in (~ignored, ignored):  # a box that counts is preferred to one that does not
                free = np.where(group & (crowd | ~taken), overlaps[d], -1.0)
                if free.size and free.max() >= min(threshold, 1 - 1e-10):
                    best = len(free) - 1 - int(np.argmax(free[::-1]))  # of equal overlaps the last
                    taken[best] = matched[t, d] = True
                    left_out[t, d] = ignored[best]
                    break
    area = _area(found["boxes"])
    left_out |= ~matched & ((area < low) | (area > high))[None]
    return found["scores"], matched, left_out, int((~ignored).sum())


def _curve(matches: Sequence[Match], most: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The precision of one class at each threshold and recall, and the last recall; None without boxes to find."""
    boxes = sum(int(match[3]) for match in matches)
    if boxes == 0:
        return None
    scores = np.concatenate([match[0][:most] for match in matches]).astype(np.float64)
    order = np.argsort(-scores, kind="stable")
    matched = np.concatenate([match[1][:, :most] for match in matches], 1)[:, order]
    left_out = np.concatenate([match[2][:, :most] for match in matches], 1)[:, order]
    right, wrong = np.cumsum(matched & ~left_out, 1), np.cumsum(~matched & ~left_out, 1)
    precision, last = np.zeros((len(THRESHOLDS), len(RECALLS))), np.zeros(len(THRESHOLDS))
    for t in range(len(THRESHOLDS)):
        reached = right[t] / boxes
        share = right[t] / (right[t] + wrong[t] + np.spacing(1))
        share = np.maximum.accumulate(share[::-1])[::-1]
        place = np.searchsorted(reached, RECALLS, side="left")
        precision[t] = np.append(share, 0)[place]
        last[t] = reached[-1] if len(reached) else 0
    return precision, last


def _mean(values: np.ndarray) -> float:
    """The mean of the values that are defined; NaN if there are none."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else float("nan")
