"""COCO average precision against pycocotools, with crowds, areas that differ from those of boxes, and empty images."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from jaxcnn import ShapeError, metrics

NAMES = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"]
NAMES += ["ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"]


def drawn(seed: int, images: int = 12) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Boxes of three sizes, detections close to them and elsewhere, scores with ties; class 4 has no boxes."""
    generator = np.random.default_rng(seed)
    targets, predictions = [], []
    for image in range(images):
        count = 0 if image == 3 else int(generator.integers(1, 9))
        corner = generator.uniform(0, 200, (count, 2))
        boxes = np.concatenate([corner, corner + generator.choice([12, 60, 150], (count, 1)) * [1, 1.2]], 1).round(1)
        labels = generator.integers(1, 4, count)
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        targets.append(
            {
                "boxes": boxes,
                "labels": labels,
                "crowd": generator.random(count) < 0.15,
                "area": area * generator.uniform(0.6, 1, count),
            }
        )
        near = np.repeat(np.arange(count), 3)
        jitter = generator.normal(size=(len(near), 4)) * generator.choice([0.5, 4, 12], (len(near), 1))
        stray = generator.uniform(0, 100, (4, 2))
        found = np.concatenate([boxes[near] + jitter, np.concatenate([stray, stray + 40], 1)])
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        kinds = np.concatenate([labels[near], generator.integers(1, 5, 4)])
        scores = generator.integers(0, 20, len(found)) / 20
        predictions.append({"boxes": found, "labels": kinds, "scores": scores})
    # The first detection overlaps two boxes equally; its match decides which box remains for the second detection.
    pair = np.array([[0, 0, 10, 10], [2, 0, 12, 10]])
    kinds = np.array([1, 1])
    targets.append({"boxes": pair, "labels": kinds, "crowd": kinds > 1, "area": np.array([100, 100])})
    predictions.append({"boxes": pair - [[-1, 0, -1, 0], [0, 0, 0, 0]], "labels": kinds, "scores": np.array([2, 1])})
    return targets, predictions


def theirs(targets: list[dict[str, Any]], predictions: list[dict[str, Any]]) -> dict[str, float]:
    def with_sides(box: np.ndarray) -> list[float]:
        return [box[0], box[1], box[2] - box[0], box[3] - box[1]]

    boxes = [
        {
            "image_id": image,
            "category_id": int(target["labels"][i]),
            "bbox": with_sides(target["boxes"][i]),
            "area": float(target["area"][i]),
            "iscrowd": int(target["crowd"][i]),
        }
        for image, target in enumerate(targets)
        for i in range(len(target["boxes"]))
    ]
    found = [
        {
            "image_id": image,
            "category_id": int(prediction["labels"][i]),
            "bbox": with_sides(prediction["boxes"][i]),
            "score": float(prediction["scores"][i]),
        }
        for image, prediction in enumerate(predictions)
        for i in range(len(prediction["boxes"]))
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": image} for image in range(len(targets))],
            "categories": [{"id": label} for label in range(1, 5)],
            "annotations": [{"id": number + 1, **box} for number, box in enumerate(boxes)],
        }
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(found), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return dict(zip(NAMES, judge.stats, strict=True))


def test_against_pycocotools() -> None:
    for seed in range(3):
        targets, predictions = drawn(seed)
        got, expected = metrics.detection_average_precision(targets, predictions), theirs(targets, predictions)
        assert list(got) == NAMES
        for name in NAMES:
            assert abs(got[name] - expected[name]) < 1e-12, (seed, name, got[name], expected[name])
        assert 0.05 < got["ap"] < got["ap50"] < 0.95 and len({round(value, 6) for value in got.values()}) > 8


def test_padding_perfection_and_nothing() -> None:
    targets, predictions = drawn(5)
    padded = [
        {name: np.concatenate([array, array[:2]]) for name, array in each.items()}
        | {"mask": np.arange(len(each["boxes"]) + 2) < len(each["boxes"])}
        for each in predictions
    ]
    plain = metrics.detection_average_precision(targets, predictions)
    assert metrics.detection_average_precision(targets, padded) == plain
    alone = [{"boxes": each["boxes"], "labels": each["labels"]} for each in targets]
    exact = [each | {"scores": np.ones(len(each["boxes"]))} for each in alone]
    assert metrics.detection_average_precision(alone, exact)["ap"] == 1
    turned = [*exact[1:], exact[0]]
    assert metrics.detection_average_precision(alone, turned)["ap50"] < 0.1, "boxes of other images are wrong"
    none = [{"boxes": [], "labels": [], "scores": []}]
    assert np.isnan(metrics.detection_average_precision([{"boxes": [], "labels": []}], none)["ap"])
    assert metrics.detection_average_precision([{"boxes": [[0, 0, 9, 9]], "labels": [1]}], none)["ap"] == 0


@pytest.mark.parametrize(
    ("targets", "predictions", "error", "message"),
    [
        (
            [],
            [{}],
            ShapeError,
            r"^detection_average_precision: targets and predictions must have one entry for each im",
        ),
        ([{"boxes": []}], [{}], ValueError, r"targets\[0\] has no labels. It has boxes"),
        (
            [{"boxes": [[0, 0, 1, 1]], "labels": [1, 2]}],
            [{}],
            ShapeError,
            r"targets\[0\] must have boxes of shape \(n, 4\) and n of everything else, not boxes \(1, 4\), labels",
        ),
        (
            [{"boxes": [[0, 0, 1]], "labels": [1]}],
            [{}],
            ShapeError,
            r"targets\[0\] must have boxes of shape \(n, 4\) and n of everything else, not boxes \(1, 3\), labels",
        ),
        (
            [{"boxes": [[0, 0, 1, 1]], "labels": 1}],
            [{}],
            ShapeError,
            r"targets\[0\] must have boxes .* not boxes \(1, 4\), labels \(\)",
        ),
        (
            [{"boxes": [[0, 0, 1, 1]], "labels": [1]}],
            [{"boxes": [[0, 0, 1, 1]], "labels": [1], "scores": [1], "mask": [True, False]}],
            ShapeError,
            r"predictions\[0\] must have boxes .* scores \(1,\), mask \(2,\)",
        ),
    ],
)
def test_refusals(targets: Any, predictions: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        metrics.detection_average_precision(targets, predictions)


@pytest.mark.parametrize("kind", ["targets", "predictions"])
def test_a_box_of_corners_in_another_order_is_refused(kind: str) -> None:
    good, bad = ({"boxes": [box], "labels": [1], "scores": [0.5]} for box in ([1, 1, 1, 4], [10, 10, 2, 2]))
    images = {"targets": [good], "predictions": [good], kind: [bad]}
    with pytest.raises(ValueError, match=rf"{kind}\[0\] has the box \[10\.0, 10\.0, 2\.0, 2\.0\]\. Expected \(x0, y0"):
        metrics.detection_average_precision(**images)
