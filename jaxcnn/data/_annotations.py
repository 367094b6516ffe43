"""Annotated images, with boxes or with a class for each pixel, as examples of one shape."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from jaxcnn._axes import IntPerAxis, int_per_axis
from jaxcnn._hints import did_you_mean
from jaxcnn.data._arrays import IGNORED
from jaxcnn.data._coco_masks import Shape, label_map_of
from jaxcnn.data._file_tree import FileTree
from jaxcnn.data._images import to_pixels
from jaxcnn.data._label_values import LabelValues
from jaxcnn.data._open_picture import open_picture
from jaxcnn.data._sampled_content import digest
from jaxcnn.data._stream import StreamedDataset, StreamedSplit

BACKGROUND = "background"
SPLITS = ("train", "validation", "test")
ROUNDING = 1.0  # pixels by which a box may exceed its image without being refused: coordinates are rounded

Size = tuple[int, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Annotated:
    """One image of a set and its annotations, in pixels of the file.

    Attributes:
        file: path of the image in its tree.
        size: height and width.
        image_id: the number of the image in its set.
        boxes: ``(n, 4)`` as ``(x0, y0, x1, y1)``.
        labels: ``(n,)``, from 1.
        crowd: ``(n,)``, whether a box is around many objects.
        difficult: ``(n,)``, whether evaluation leaves the object out.
        area: ``(n,)``, pixels of the object.
        label_map: path of the image of classes; None where there is none.
        shapes: of the object in each box; None where they are not read.
    """

    file: str
    size: Size
    image_id: int
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    difficult: np.ndarray
    area: np.ndarray
    label_map: str | None = None
    shapes: tuple[Shape, ...] | None = None

    @property
    def has_classes(self) -> bool:
        """Whether there is a class for each pixel."""
        return self.label_map is not None or self.shapes is not None


def annotated(
    file: str,
    size: Size,
    image_id: int,
    *,
    boxes: Any = (),
    labels: Any = (),
    crowd: Any = None,
    difficult: Any = None,
    area: Any = None,
    label_map: str | None = None,
    shapes: Sequence[Shape] | None = None,
    name: str,
    repair: bool,
    layout: str = "",
) -> Annotated:
    """The checked record of an image.

    Args:
        file: as in ``Annotated``; so are the others.
        size: height and width.
        image_id: the number of the image.
        boxes: any sequence of four numbers each.
        labels: one for each box.
        crowd: None is False for each box.
        difficult: None is False for each box.
        area: None, or NaN for a box, is the area of the box.
        label_map: path of the image of classes.
        shapes: one for each box.
        name: of the annotations in error messages.
        repair: whether boxes are clipped, and left out where they are empty, instead of being refused.
        layout: a sentence about the numbers of a box in the file, for error messages.

    Raises:
        ValueError: a box that is empty, inverted, not finite or outside of its image.
    """
    found = np.asarray(boxes, np.float64).reshape(-1, 4)
    none = np.zeros(len(found), bool)
    height, width = size
    limits = np.array([width, height, width, height])
    clipped = np.clip(found, 0, limits)
    empty = ~np.asarray((found[:, 2:] > found[:, :2]).all(1) & np.isfinite(found).all(1))
    inside = np.asarray((clipped[:, 2:] > clipped[:, :2]).all(1))
    wrong = empty | ~inside | ((found < -ROUNDING) | (found > limits + ROUNDING)).any(1)
    if wrong.any() and not repair:
        box = [float(value) for value in found[int(wrong.argmax())].round(3)]
        problem = (
            "is empty: x1 must be more than x0, and y1 more than y0"
            if empty[wrong.argmax()]
            else f"is outside of its image, {width} wide and {height} high"
        )
        raise ValueError(
            f"{name}: the box (x0, y0, x1, y1) = {tuple(box)} {problem}. {layout}Correct the file, or clip such boxes, "
            f"and leave out those without area, by repair=True."
        )
    keep = inside & ~empty
    of_boxes = (clipped[:, 2:] - clipped[:, :2]).prod(1)
    areas = of_boxes if area is None else np.asarray(area, np.float64)
    return Annotated(
        file=file,
        size=size,
        image_id=image_id,
        boxes=clipped[keep],
        labels=np.asarray(labels, np.int32).reshape(-1)[keep],
        crowd=(none if crowd is None else np.asarray(crowd, bool))[keep],
        difficult=(none if difficult is None else np.asarray(difficult, bool))[keep],
        area=np.where(np.isnan(areas), of_boxes, areas)[keep],
        label_map=label_map,
        shapes=None if shapes is None else tuple(shape for shape, there in zip(shapes, keep, strict=True) if there),
    )


def placed(
    pixels: np.ndarray, record: Annotated, canvas: Size, *, most: int, scale: bool, classes: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """An image and its annotations at the top left of a canvas; the rest is padding.

    Args:
        pixels: ``(height, width, 3)``, uint8.
        record: its annotations.
        canvas: height and width of the result.
        most: the number of boxes, with padding; 0 for a set without boxes.
        scale: whether the image is scaled to the largest size that fits into the canvas.
        classes: ``(height, width)``, uint8.
    """
    height, width = pixels.shape[:2]
    factor = min(canvas[0] / height, canvas[1] / width)
    inner = tuple(min(max(1, round(side * factor)), most) for side, most in zip((height, width), canvas, strict=True))
    inner = inner if scale else (height, width)
    if inner != (height, width):
        pixels = np.asarray(Image.fromarray(pixels).resize(inner[::-1], Image.Resampling.BILINEAR))
    found: dict[str, np.ndarray] = {
        "image": np.zeros((*canvas, 3), np.uint8),
        "size": np.array(inner, np.int32),
        "original_size": np.array((height, width), np.int32),
        "image_id": np.array(record.image_id, np.int32),
    }
    found["image"][: inner[0], : inner[1]] = pixels
    if most:
        ratio = np.array([inner[1] / width, inner[0] / height])
        boxes = {
            "boxes": (record.boxes * np.tile(ratio, 2)).astype(np.float32),
            "box_label": record.labels.astype(np.int32),
            "box_mask": np.ones(len(record.boxes), bool),
            "box_crowd": record.crowd,
            "box_difficult": record.difficult,
            "box_area": (record.area * ratio.prod()).astype(np.float32),
        }
        for name, array in boxes.items():
            found[name] = np.zeros((most, *array.shape[1:]), array.dtype)
            found[name][: len(array)] = array
    if classes is not None:
        if inner != (height, width):
            classes = np.asarray(Image.fromarray(classes).resize(inner[::-1], Image.Resampling.NEAREST))
        found["segmentation"] = np.full(canvas, IGNORED, np.uint8)
        found["segmentation"][: inner[0], : inner[1]] = classes
    return found


class AnnotatedSource:
    """The annotated images of a split, read and placed on a canvas."""

    def __init__(
        self,
        tree: FileTree,
        records: Sequence[Annotated],
        *,
        canvas: Size,
        most: int,
        scale: bool,
        values: LabelValues,
    ) -> None:
        self._tree, self._records, self._canvas, self._most, self._scale = tree, records, canvas, most, scale
        self._values = values

    def __len__(self) -> int:
        return len(self._records)

    def name_of(self, index: int) -> str:
        """The path of an image."""
        return self._tree.name_of(self._records[index].file)

    def read(self, index: int) -> dict[str, Any]:
        """An image with its boxes and classes."""
        record, name = self._records[index], self.name_of(index)
        pixels = to_pixels(open_picture(self._tree.read(record.file), name=name), name=name, channels=3)
        if pixels.shape[:2] != record.size:
            raise ValueError(
                f"{name} is {pixels.shape[1]} wide and {pixels.shape[0]} high, but its annotations are of an image "
                f"{record.size[1]} wide and {record.size[0]} high."
            )
        classes = self._classes_of(record)
        return placed(pixels, record, self._canvas, most=self._most, scale=self._scale, classes=classes)

    def _classes_of(self, record: Annotated) -> np.ndarray | None:
        if record.shapes is not None:
            return label_map_of(record.shapes, record.labels, record.size)
        return None if record.label_map is None else self._read_classes(record.label_map, record.size)

    def _read_classes(self, file: str, size: Size) -> np.ndarray:
        name = self._tree.name_of(file)
        classes = self._values.classes_of(open_picture(self._tree.read(file), name=name), name=name)
        if classes.shape != size:
            raise ValueError(
                f"{name} is {classes.shape[1]} wide and {classes.shape[0]} high, but its image is {size[1]} wide and "
                f"{size[0]} high."
            )
        return classes


def annotated_dataset(
    name: str,
    trees: Mapping[str, FileTree],
    records: Mapping[str, Sequence[Annotated]],
    *,
    class_names: tuple[str, ...],
    image_size: IntPerAxis | None,
    max_corrupt: int,
    values: LabelValues | None = None,
) -> StreamedDataset:
    """The data set of annotated images.

    Args:
        name: of the set.
        trees: the files of each split.
        records: the images of each split.
        class_names: the background first.
        image_size: height and width that all images are scaled to fit; None is the largest size, without scaling.
        max_corrupt: as in ``StreamedSplit``.
        values: the classes of the values of label maps; by default 255 is a pixel without a label, and other values are
            classes.

    Raises:
        ValueError: a split without images, or a class without a box in the training split.
    """
    if empty := [split for split, found in records.items() if not found]:
        raise ValueError(f"the {empty[0]} split of {name} has no image.")
    every = [record for found in records.values() for record in found]
    most = max(len(record.boxes) for record in every)
    seen = {int(label) for record in records["train"] for label in record.labels}
    if most and (unseen := [label for label in range(1, len(class_names)) if label not in seen]):
        names = ", ".join(repr(class_names[label]) for label in unseen[:5])
        raise ValueError(
            f"no image of the train split has a box of {names}, so that nothing can be learned of it. Is it spelt as "
            f"in the annotations? Leave it out of class_names."
        )
    scale = image_size is not None
    largest = tuple(max(record.size[axis] for record in every) for axis in (0, 1))
    canvas = largest if image_size is None else int_per_axis(image_size, 2, name="image_size")
    height, width = canvas
    fields: dict[str, tuple[tuple[int, ...], Any]] = {
        "image": ((height, width, 3), np.uint8),
        "size": ((2,), np.int32),
        "original_size": ((2,), np.int32),
        "image_id": ((), np.int32),
    }
    if most:
        fields["boxes"] = ((most, 4), np.float32)
        fields["box_label"] = ((most,), np.int32)
        fields |= {f"box_{kind}": ((most,), np.bool_) for kind in ("mask", "crowd", "difficult")}
        fields["box_area"] = ((most,), np.float32)
    if every[0].has_classes:
        fields["segmentation"] = ((height, width), np.uint8)

    def split(which: str) -> StreamedSplit:
        source = AnnotatedSource(
            trees[which],
            records[which],
            canvas=(height, width),
            most=most,
            scale=scale,
            values=values or LabelValues({}, [IGNORED]),
        )
        return StreamedSplit(source, fields=fields, classes=len(class_names), max_corrupt=max_corrupt)

    files = {
        file: trees[which].fingerprint(file)
        for which, found in records.items()
        for record in found
        for file in (record.file, record.label_map)
        if file is not None
    }
    contents = [f"{file} {fingerprint}" for file, fingerprint in files.items()] + [str(values or "")]
    contents += [f"{record.boxes.tolist()} {record.labels.tolist()} {record.crowd.tolist()}" for record in every]
    contents += [str([shape.checksum() for shape in record.shapes]) for record in every if record.shapes is not None]
    return StreamedDataset(
        name=name,
        train=split("train"),
        test=split("test"),
        validation=split("validation") if "validation" in records else None,
        class_names=class_names,
        fingerprint=digest([str(canvas), str(class_names), *contents]),
        files=files,
    )


def size_of(tree: FileTree, file: str, width: Any, height: Any) -> Size:
    """Height and width as annotated, or read from the image where they are not."""
    try:
        size = int(height), int(width)
    except (TypeError, ValueError):
        size = (0, 0)
    if min(size) < 1:
        picture = open_picture(tree.read(file), name=tree.name_of(file))
        size = (picture.height, picture.width)
    return size


def selected_classes(found: Sequence[str], class_names: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the classes, the background first.

    Args:
        found: the names in the annotations.
        class_names: those that are read, in order; None reads all.

    Raises:
        ValueError: a name that the annotations do not have, or one given twice.
    """
    names = tuple(found) if class_names is None else tuple(str(name) for name in class_names)
    if twice := [name for name in names if names.count(name) > 1 or name == BACKGROUND]:
        raise ValueError(
            f"the class {twice[0]!r} is there twice. The background is added to class_names as class 0; every other "
            f"name is given once."
        )
    for name in names:
        if name not in found:
            raise ValueError(
                f"no image has an object of the class {name!r} of class_names. {did_you_mean(name, found)}"
            )
    return (BACKGROUND, *names)
