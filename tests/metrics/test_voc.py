"""Average precision of Pascal VOC against the loops of its development kit, with difficult boxes, crowds and ties."""

import re
from typing import Any

import numpy as np
import pytest

from jaxcnn import ShapeError, metrics
from tests.metrics.test_detection import drawn

Images = list[dict[str, Any]]


def with_difficult(seed: int) -> tuple[Images, Images]:
    targets, predictions = drawn(seed)
    generator = np.random.default_rng(seed)
    targets = [each | {"difficult": generator.random(len(each["boxes"])) < 0.3} for each in targets]
    # Images have no scores in common, since the development kit does not define the order of such ties.
    count = iter(generator.permutation(10_000))
    return targets, [each | {"scores": np.array([next(count) for _ in each["scores"]])} for each in predictions]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    areas = [(each[2] - each[0]) * (each[3] - each[1]) for each in (a, b)]
    return wide * high / (sum(areas) - wide * high)


def loops(targets: Images, predictions: Images, label: int, threshold: float) -> tuple[list[float], list[float], int]:
    """``VOCevaldet.m``: all detections of a class in order of confidence."""
    left_out = [each["difficult"] | each["crowd"] for each in targets]
    count = sum(int((~left_out[i][targets[i]["labels"] == label]).sum()) for i in range(len(targets)))
    detections = [
        (float(score), image, box)
        for image, each in enumerate(predictions)
        for box, kind, score in zip(each["boxes"], each["labels"], each["scores"], strict=True)
        if kind == label
    ]
    taken: set[tuple[int, int]] = set()
    right = wrong = 0
    recall, precision = [], []
    for _, image, box in sorted(detections, key=lambda each: -each[0]):
        best, place = -1.0, -1
        for index, (mine, kind) in enumerate(zip(targets[image]["boxes"], targets[image]["labels"], strict=True)):
            if kind == label and overlap(box, mine) > best:
                best, place = overlap(box, mine), index
        if best >= threshold and left_out[image][place]:
            continue
        if best >= threshold and (image, place) not in taken:
            taken.add((image, place))
            right += 1
        else:
            wrong += 1
        recall.append(right / count)
        precision.append(right / (right + wrong))
    return recall, precision, count


def area(recall: list[float], precision: list[float], year: int) -> float:
    """``VOCap.m`` of the development kits."""
    if year == 2007:
        highest = [
            max([p for r, p in zip(recall, precision, strict=True) if r >= t / 10], default=0) for t in range(11)
        ]
        return sum(highest) / 11
    recall, precision = [0.0, *recall, 1.0], [0.0, *precision, 0.0]
    for index in range(len(precision) - 2, -1, -1):
        precision[index] = max(precision[index], precision[index + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))


@pytest.mark.parametrize("threshold", [0.5, 0.75])
def test_against_the_loops_of_the_development_kit(threshold: float) -> None:
    for seed in range(3):
        targets, predictions = with_difficult(seed)
        curves = metrics.detection_curves(targets, predictions, iou_threshold=threshold)
        assert {*curves} == {1, 2, 3}, "class 4 has detections, and no box"
        for year in (2007, 2010):
            found = metrics.voc_average_precision(targets, predictions, year=year, iou_threshold=threshold)  # type: ignore[arg-type]
            for label, value in found.items():
                recall, precision, count = loops(targets, predictions, label, threshold)
                np.testing.assert_allclose(curves[label].recall, recall)
                np.testing.assert_allclose(curves[label].precision, precision)
                assert curves[label].count == count
                assert abs(value - area(recall, precision, year)) < 1e-12 and 0 < value < 1
                assert (np.diff(curves[label].scores) <= 0).all()


def test_difficult_boxes_are_neither_missed_nor_found() -> None:
    target = {"boxes": [[0, 0, 10, 10], [20, 0, 30, 10]], "labels": [1, 1], "difficult": [False, True]}
    both = {"boxes": [[0, 0, 10, 10], [20, 0, 30, 10]], "labels": [1, 1], "scores": [0.5, 0.9]}
    one = {name: values[:1] for name, values in both.items()}
    for prediction in (both, one):
        assert metrics.voc_average_precision([target], [prediction]) == {1: 1.0}
    plain = {"boxes": target["boxes"], "labels": target["labels"]}
    assert metrics.voc_average_precision([plain], [one]) == {1: 0.5}
    twice = {"boxes": [[0, 0, 10, 10], [0, 0, 10, 9]], "labels": [1, 1], "scores": [0.9, 0.8]}
    assert metrics.detection_curves([target], [twice])[1].precision.tolist() == [1, 0.5]
    nothing: dict[str, Any] = {"boxes": [], "labels": [], "scores": []}
    assert metrics.voc_average_precision([plain], [nothing], year=2007) == {1: 0.0}
    assert metrics.voc_average_precision([{"boxes": [], "labels": []}], [both]) == {}


def test_refusals() -> None:
    for call, message in (
        (lambda: metrics.detection_curves([], [{}]), "detection_curves: targets and predictions must have one entry"),
        (
            lambda: metrics.detection_curves([], [], iou_threshold=0),
            "iou_threshold=0 must be more than 0 and at most 1",
        ),
        (lambda: metrics.voc_average_precision([], [], year=2009), "voc_average_precision: year=2009 is not known"),  # type: ignore[arg-type]
    ):
        with pytest.raises((ValueError, ShapeError), match=re.escape(message)):
            call()
