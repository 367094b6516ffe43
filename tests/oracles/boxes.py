"""Boxes, suppression and regions by loops over their definitions; equal to torchvision 0.29.1."""

import math

import numpy as np


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """The intersection over union of two boxes, by their areas."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return float(shared / union) if union > 0 else 0.0


def generalized_iou(a: np.ndarray, b: np.ndarray) -> float:
    around = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    union -= max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    return float(iou(a, b) - (around - union) / around)


def nms(boxes: np.ndarray, scores: np.ndarray, threshold: float, classes: np.ndarray | None = None) -> list[int]:
    """Greedy: takes the best remaining box, and removes the boxes that overlap it by more than the threshold."""
    left, taken = sorted(range(len(boxes)), key=lambda i: -scores[i]), []
    while left:
        best = left.pop(0)
        taken.append(best)
        left = [
            i
            for i in left
            if (classes is not None and classes[i] != classes[best]) or not iou(boxes[best], boxes[i]) > threshold
        ]
    return taken


def nms_of_arrays(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, threshold: float) -> list[int]:
    """As ``nms``, with all overlaps of one box computed at once, for long lists."""
    left, taken = np.argsort(-scores, kind="stable"), []
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    while len(left):
        best, left = left[0], left[1:]
        taken.append(int(best))
        sides = np.minimum(boxes[best, 2:], boxes[left, 2:]) - np.maximum(boxes[best, :2], boxes[left, :2])
        shared = np.maximum(sides, 0).prod(-1)
        over = shared / (area[best] + area[left] - shared) > np.float32(threshold)
        left = left[~over | (classes[left] != classes[best])]
    return taken


def encode(box: np.ndarray, anchor: np.ndarray, weights: tuple[float, ...]) -> list[float]:
    (x, y, w, h), (xa, ya, wa, ha) = (
        ((b[0] + b[2]) / 2, (b[1] + b[3]) / 2, b[2] - b[0], b[3] - b[1]) for b in (box, anchor)
    )
    deltas = (x - xa) / wa, (y - ya) / ha, math.log(w / wa), math.log(h / ha)
    return [weight * delta for weight, delta in zip(weights, deltas, strict=True)]


def sample(features: np.ndarray, row: float, column: float) -> np.ndarray:
    """A bilinear sample as in RoIAlign: 0 more than a pixel outside, clipped otherwise."""
    height, width, channels = features.shape
    if not (-1 <= row <= height and -1 <= column <= width):
        return np.zeros(channels)
    row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
    y, x = min(int(row), max(height - 2, 0)), min(int(column), max(width - 2, 0))
    total = np.zeros(channels)
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = (row - y if dy else 1 - row + y) * (column - x if dx else 1 - column + x)
        if weight:
            total += weight * features[y + dy, x + dx]
    return total


def roi_align(
    features: np.ndarray,
    boxes: np.ndarray,
    output_size: tuple[int, int],
    *,
    scale: float,
    ratio: int | None,
    aligned: bool,
) -> np.ndarray:
    rows, columns = output_size
    result = np.zeros((len(boxes), rows, columns, features.shape[-1]))
    for k, box in enumerate(boxes * scale - 0.5 * aligned):
        width, height = box[2] - box[0], box[3] - box[1]
        if not aligned:
            width, height = max(width, 1.0), max(height, 1.0)
        down = ratio or math.ceil(height / rows)
        right = ratio or math.ceil(width / columns)
        for i in range(rows):
            for j in range(columns):
                for a in range(max(down, 0)):
                    for b in range(max(right, 0)):
                        y = box[1] + (i + (a + 0.5) / down) * height / rows
                        x = box[0] + (j + (b + 0.5) / right) * width / columns
                        result[k, i, j] += sample(features, y, x)
                result[k, i, j] /= max(down * right, 1)
    return result


def roi_pool(features: np.ndarray, boxes: np.ndarray, output_size: tuple[int, int], *, scale: float) -> np.ndarray:
    rows, columns = output_size
    height, width, channels = features.shape
    result = np.zeros((len(boxes), rows, columns, channels))
    for k, box in enumerate(boxes * scale):
        x0, y0, x1, y1 = (int(math.copysign(math.floor(abs(at) + 0.5), at)) for at in box)
        tall, wide = max(y1 - y0 + 1, 1), max(x1 - x0 + 1, 1)
        for i in range(rows):
            for j in range(columns):
                ys = [y0 + y for y in range(i * tall // rows, -(-(i + 1) * tall // rows)) if 0 <= y0 + y < height]
                xs = [x0 + x for x in range(j * wide // columns, -(-(j + 1) * wide // columns)) if 0 <= x0 + x < width]
                if ys and xs:
                    result[k, i, j] = features[np.ix_(ys, xs)].max((0, 1))
    return result
