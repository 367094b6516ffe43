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
    """Draws the first images with the detections that are shown.

    Args:
        outputs: predictions.
        images: ``(n, height, width, channels)``, uint8.
        names: of the classes.
        path: of the picture.
        title: of the picture.
        truth: true boxes, ``(n, m, 4)``, drawn dashed.
        count: the largest number of images.
    """
    from jaxcnn.vis import draw_boxes

    labels = np.where(outputs["mask"] & (outputs["scores"] >= SHOWN), outputs["labels"], 0)  # 0 is not drawn
    draw_boxes(
        images,
        outputs["boxes"],
        labels,
        names or [str(label) for label in range(int(labels.max(initial=0)) + 1)],
        path,
        title=title,
        scores=outputs["scores"],
        truth=truth,
        count=count,
    )


def draw_located(
    outputs: Mapping[str, np.ndarray],
    images: np.ndarray,
    names: Sequence[str],
    path: Path,
    *,
    title: str,
    truth: np.ndarray | None = None,
    count: int = 12,
) -> None:
    """Draws the first images with the boxes of localisation, whose first class need not be the background.

    Args:
        outputs: predictions, ``boxes`` and ``probabilities`` of one or several objects on each image.
        images: as in ``draw``; so are the others.
        names: of the classes.
        path: of the picture.
        title: of the picture.
        truth: true boxes, drawn dashed.
        count: the largest number of images.
    """
    from jaxcnn.vis import draw_boxes

    probabilities = outputs["probabilities"]
    number, names = len(probabilities), tuple(names) or tuple(map(str, range(probabilities.shape[-1])))
    labels = probabilities.argmax(-1).reshape(number, -1)
    if names[0] != BACKGROUND:  # class 0, which draw_boxes does not draw
        labels, names = labels + 1, (BACKGROUND, *names)
    draw_boxes(
        images,
        outputs["boxes"].reshape(number, -1, 4),
        labels,
        names,
        path,
        title=title,
        scores=probabilities.max(-1).reshape(number, -1),
        truth=None if truth is None else truth.reshape(number, -1, 4),
        count=count,
    )
