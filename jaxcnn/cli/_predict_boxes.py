"""Objects that a run detects on image files: printed with their boxes, and drawn."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

BACKGROUND = "background"  # the first class of data sets with boxes
SHOWN = 0.5  # the least score of a detection that is printed and drawn; JSON has all of them
HEADS = ("image", "object", "score", "box x0 y0 x1 y1")


def is_detection(outputs: Any) -> bool:
    """Whether predictions are boxes of several objects on each image, as ``train.detection`` predicts them."""
    return isinstance(outputs, Mapping) and {"boxes", "labels", "scores", "mask"} <= set(outputs)


def describe(outputs: Mapping[str, np.ndarray], images: Sequence[Path], names: Sequence[str]) -> list[dict[str, Any]]:
    """For each image its path and its detections by descending score, each with class, score and box in pixels."""
    found = []
    for index, image in enumerate(images):
        boxes, labels, scores, mask = (outputs[name][index] for name in ("boxes", "labels", "scores", "mask"))
        objects = [
            {
                "class": names[label] if label < len(names) else str(label),
                "score": float(score),
                "box": [round(float(value), 2) for value in box],
            }
            for box, label, score in zip(boxes[mask], labels[mask], scores[mask], strict=True)
        ]
        found.append({"image": str(image), "objects": objects})
    return found


def rows_of(found: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The rows of a table: one for each detection that is shown, or one for an image without detections."""
    rows = []
    for each in found:
        shown = [one for one in each["objects"] if one["score"] >= SHOWN]
        rows += [
            [each["image"], one["class"], f"{100 * one['score']:.1f} %", " ".join(f"{v:.1f}" for v in one["box"])]
            for one in shown
        ] or [[each["image"], "none found", "", ""]]
    return rows


def draw(
    outputs: Mapping[str, np.ndarray],
    images: np.ndarray,
    names: Sequence[str],
    path: Path,
    *,
    title: str,
    truth: np.ndarray | None = None,
    count: int = 12,
) -> None:
    """Draws the first images with the detections that are shown, or with the boxes of localisation.

    Args:
        outputs: predictions.
        images: ``(n, height, width, channels)``, uint8.
        names: of the classes.
        path: of the picture.
        title: of the picture.
        truth: true boxes, ``(n, m, 4)``, or ``(n, 4)`` of localisation; drawn dashed.
        count: the largest number of images.
    """
    from jaxcnn.vis import draw_boxes

    labels, scores, shown = _detected(outputs, names) if is_detection(outputs) else _located(outputs, names)
    number = len(labels)
    draw_boxes(
        images,
        outputs["boxes"].reshape(number, -1, 4),
        labels,
        shown,
        path,
        title=title,
        scores=scores,
        truth=None if truth is None else truth.reshape(number, -1, 4),
        count=count,
    )


def _detected(outputs: Mapping[str, np.ndarray], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray, Sequence[str]]:
    """Labels and scores of detections, and the names of the classes; class 0 is not drawn."""
    labels = np.where(outputs["mask"] & (outputs["scores"] >= SHOWN), outputs["labels"], 0)
    return labels, outputs["scores"], names or [str(label) for label in range(int(labels.max(initial=0)) + 1)]


def _located(outputs: Mapping[str, np.ndarray], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray, Sequence[str]]:
    """The same for the most probable classes of localisation, of which class 0 is drawn unless it is the background."""
    probabilities = outputs["probabilities"]
    names = [*names] or [str(label) for label in range(probabilities.shape[-1])]
    labels = probabilities.argmax(-1).reshape(len(probabilities), -1)
    scores = probabilities.max(-1).reshape(len(probabilities), -1)
    return (labels, scores, names) if names[0] == BACKGROUND else (labels + 1, scores, [BACKGROUND, *names])
