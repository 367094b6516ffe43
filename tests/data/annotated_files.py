"""Small data sets in the formats of Pascal VOC, COCO and CamVid, written by the tests."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# Name, width, height, and (class, xmin, ymin, xmax, ymax, difficult) of each object, counted from 1.
VOC = {
    "one": (12, 8, [("dog", 1, 2, 5, 8, 0), ("cat", 4, 4, 4, 4, 1)]),
    "two": (6, 10, [("cat", 2, 1, 6, 10, 0)]),
    "three": (12, 8, []),
}
LISTS = {"train": ["one", "two"], "val": ["two"], "test": ["three"]}


def pixels_of(name: str, width: int, height: int) -> np.ndarray:
    generator = np.random.default_rng(sum(name.encode()))
    return generator.integers(0, 256, (height, width, 3), np.uint8)


def write_voc(
    root: Path,
    images: dict[str, tuple[int, int, list[tuple[Any, ...]]]] | None = None,
    lists: dict[str, list[str]] | None = None,
) -> Path:
    """Writes a folder in the format of Pascal VOC, with label maps of boxes drawn in the order of the classes."""
    for folder in ("Annotations", "JPEGImages", "SegmentationClass", "ImageSets/Main", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for name, (width, height, objects) in (images or VOC).items():
        Image.fromarray(pixels_of(name, width, height)).save(root / "JPEGImages" / f"{name}.png")
        parts = [f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"]
        classes = np.zeros((height, width), np.uint8)
        classes[0, 0] = 255
        for label, *corners, difficult in objects:
            inner = "".join(
                f"<{tag}>{value}</{tag}>" for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
            )
            parts.append(
                f"<object><name>{label}</name><difficult>{difficult}</difficult><bndbox>{inner}</bndbox></object>"
            )
            x0, y0, x1, y1 = (int(corner) for corner in corners)
            classes[y0 - 1 : y1, x0 - 1 : x1] = {"cat": 1, "dog": 2}.get(label, 3)
        text = f"<annotation>{''.join(parts)}</annotation>"
        (root / "Annotations" / f"{name}.xml").write_text(text, encoding="utf-8")
        picture = Image.fromarray(classes).convert("P")
        picture.putpalette([*range(256)] * 3)
        picture.putdata(classes.ravel().tolist())
        picture.save(root / "SegmentationClass" / f"{name}.png")
    for split, names in (lists or LISTS).items():
        for kind in ("Main", "Segmentation"):
            (root / "ImageSets" / kind / f"{split}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return root


def zipped(folder: Path, *, inside: str = "") -> Path:
    """Writes a zip file next to a folder, whose files are in a folder of the zip file."""
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, inside + file.relative_to(folder).as_posix())
    return path


CATEGORIES = [{"id": 90, "name": "toothbrush"}, {"id": 3, "name": "car"}]  # with holes, and not in order


def write_coco(
    root: Path, boxes: Sequence[dict[str, Any]], *, name: str = "boxes", categories: Any = None, images: Any = None
) -> Path:
    """Writes a JSON file for two images, which are written below ``root/images``."""
    folder = root / "images"
    folder.mkdir(parents=True, exist_ok=True)
    for file, (width, height) in {"a.png": (10, 6), "b.png": (4, 8)}.items():
        Image.fromarray(pixels_of(file, width, height)).save(folder / file)
    content = {
        "images": images
        or [
            {"id": 70, "file_name": "a.png", "width": 10, "height": 6},
            {"id": 7, "file_name": "b.png", "width": 4, "height": 8},
        ],
        "categories": categories or CATEGORIES,
        "annotations": list(boxes),
    }
    path = root / f"{name}.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


COCO = [
    {"image_id": 70, "category_id": 90, "bbox": [1, 2, 3, 4], "area": 7.5, "iscrowd": 0},
    {"image_id": 70, "category_id": 3, "bbox": [0, 0, 10, 6], "iscrowd": 1},
    {"image_id": 7, "category_id": 3, "bbox": [0.5, 1.25, 3, 2], "area": 5},
]
