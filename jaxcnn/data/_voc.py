"""Images with boxes in the layout of Pascal VOC: a folder of XML files, one of images, and lists of names."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args
from xml.etree import ElementTree

import numpy as np

from jaxcnn._axes import IntPerAxis
from jaxcnn._errors import check_choice
from jaxcnn._hints import did_you_mean
from jaxcnn.data._annotations import SPLITS, Annotated, annotated, annotated_dataset, selected_classes, size_of
from jaxcnn.data._file_tree import FileTree
from jaxcnn.data._stream import StreamedDataset

CORNERS = ("xmin", "ymin", "xmax", "ymax")
ImageSet = Literal["Main", "Segmentation"]


def voc(
    folder: str | Path,
    *,
    splits: Mapping[str, str] | None = None,
    image_set: ImageSet = "Main",
    class_names: Sequence[str] | None = None,
    image_size: IntPerAxis | None = None,
    one_based: bool = True,
    repair: bool = False,
    max_corrupt: int = 0,
) -> StreamedDataset:
    """Images with boxes, and with a class for each pixel where there are label maps, in the layout of Pascal VOC.

    The folder, or zip file, contains ``Annotations/NAME.xml``, ``JPEGImages/NAME.jpg`` (or another suffix),
    ``ImageSets/Main/SPLIT.txt`` with one name in each line, and for segmentation ``ImageSets/Segmentation/SPLIT.txt``
    and ``SegmentationClass/NAME.png``. All annotations are read and checked at once; images are read when they are
    needed, or all at once by ``in_memory``.

    Images are turned upright by their EXIF orientation; boxes and label maps are those of the upright image. An image
    is at the top left of a canvas, and the rest is zeros. The arrays of an example are ``image``; ``size`` and
    ``original_size``, the height and width of the image on the canvas and in its file; ``image_id``, its place in the
    list; ``boxes`` ``(most, 4)`` as ``(x0, y0, x1, y1)`` in pixels of the canvas; ``box_label``, ``box_mask``,
    ``box_crowd``, ``box_difficult`` and ``box_area`` ``(most,)``; and ``segmentation``, where 255 is a pixel without a
    label, the padding included. Where an image has fewer boxes, the last are zeros, and False in ``box_mask``.

    Args:
        folder: the folder that contains ``Annotations``, or a zip file of it.
        splits: the list of ``train``, of ``test`` and, optionally, of ``validation``, such as
            ``{"train": "trainval", "test": "test"}``. By default ``train``; ``test``, with ``val`` for validation; or
            ``val`` for testing, where there is no list ``test``.
        image_set: ``"Main"`` for boxes; ``"Segmentation"`` for label maps too, whose values are places in the names of
            the classes, so that ``class_names`` are all of these in alphabetical order, as VOC's.
        class_names: the classes to read, without the background, in order; boxes of other classes are left out. None
            reads all that occur, by the alphabet.
        image_size: height and width of the canvas, or one number for both; images are scaled to the largest size that
            fits, keeping their proportions. None is the largest height and width in the set, without scaling.
        one_based: whether coordinates count pixels from 1 and include the last, as VOC's do; False: ``xmin`` and
            ``xmax`` are ``x0`` and ``x1``.
        repair: True clips boxes to their image and leaves out those without area, which are errors otherwise. Boxes
            that exceed the image by at most one pixel are always clipped.
        max_corrupt: the number of images of each split that may be unreadable.

    Raises:
        FileNotFoundError: a folder, a list, an annotation or an image that is not there.
        ValueError: a box that is empty or outside of its image, a file that cannot be read, a class that has no box in
            the training split, or names that do not exist.

    Source: Everingham et al. (2010), "The Pascal visual object classes challenge".

    >>> import tempfile
    >>> from PIL import Image
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
    ...     (root / name).mkdir(parents=True)
    >>> Image.new("RGB", (8, 6)).save(root / "JPEGImages" / "a.jpg")
    >>> box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>4</xmax><ymax>6</ymax></bndbox>"
    >>> xml = f"<annotation><object><name>cat</name>{box}</object></annotation>"
    >>> _ = (root / "Annotations" / "a.xml").write_text(xml, encoding="utf-8")
    >>> for split in ("train", "test"):
    ...     _ = (root / "ImageSets" / "Main" / f"{split}.txt").write_text("a", encoding="utf-8")
    >>> cats = voc(root)
    >>> cats.class_names, cats.image_shape, cats.train.read([0]).arrays["boxes"]
    (('background', 'cat'), (6, 8, 3), array([[[0., 1., 4., 6.]]], dtype=float32))
    """
    check_choice(image_set, get_args(ImageSet), name="image_set")
    tree = FileTree(folder)
    images = {Path(file).stem: f"JPEGImages/{file}" for file in tree.names("JPEGImages")}
    lists = _lists(tree, images, image_set, splits)
    maps = image_set == "Segmentation"
    read = {split: [_read(tree, name, images, maps=maps) for name in names] for split, names in lists.items()}
    found = sorted({name for each in read.values() for image in each for name in image.names})
    if maps and class_names is not None:
        found = [*class_names]  # the values of label maps are classes, whether or not there are boxes
    if not found:
        raise ValueError(f"no image of {tree.path} has an object.{' Give class_names.' if maps else ''}")
    classes = selected_classes(found, class_names)
    numbers = {name: label for label, name in enumerate(classes)}
    records: dict[str, list[Annotated]] = {}
    for split, each in read.items():
        records[split] = [image.record(index, numbers, one_based, repair) for index, image in enumerate(each)]
    return annotated_dataset(
        tree.path.stem,
        dict.fromkeys(records, tree),
        records,
        class_names=classes,
        image_size=image_size,
        max_corrupt=max_corrupt,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Image:
    """The annotations of an image, with the names of the classes."""

    place: str
    file: str
    size: tuple[int, int]
    names: list[str]
    corners: list[list[float]]
    difficult: list[bool]
    label_map: str | None

    def record(self, index: int, numbers: Mapping[str, int], one_based: bool, repair: bool) -> Annotated:
        chosen = [place for place, name in enumerate(self.names) if name in numbers]
        boxes = np.array([self.corners[place] for place in chosen], np.float64).reshape(-1, 4)
        return annotated(
            self.file,
            self.size,
            index,
            boxes=boxes - np.array([1, 1, 0, 0]) * one_based,
            labels=[numbers[self.names[place]] for place in chosen],
            difficult=[self.difficult[place] for place in chosen],
            label_map=self.label_map,
            name=self.place,
            repair=repair,
        )


def _lists(
    tree: FileTree, images: Mapping[str, str], image_set: str, splits: Mapping[str, str] | None
) -> dict[str, list[str]]:
    """The names of the images of each split."""
    folder = f"ImageSets/{image_set}"
    there = [Path(file).stem for file in tree.names(folder) if file.endswith(".txt")]
    if not there:
        raise FileNotFoundError(
            f"{tree.path} has no lists {folder}/*.txt. Name the folder that contains Annotations, JPEGImages and "
            f"ImageSets."
        )
    if splits is None:
        splits = {"train": "train", "test": "test" if "test" in there else "val"}
        splits |= {"validation": "val"} if {"test", "val"} <= set(there) else {}
    if wrong := [split for split in splits if split not in SPLITS]:
        raise ValueError(f"there is no split {wrong[0]!r}. {did_you_mean(wrong[0], SPLITS)}")
    for split in ("train", "test"):
        if split not in splits:
            raise ValueError(f'splits has no list of {split}, such as {{"train": "trainval", "test": "test"}}.')
    for name in splits.values():
        if name not in there:
            raise FileNotFoundError(f"{tree.path} has no list {folder}/{name}.txt. {did_you_mean(name, there)}")
    lists = {}
    for split, name in splits.items():
        lines = tree.read(f"{folder}/{name}.txt").decode("utf-8-sig", "replace").split("\n")
        stripped = [line.strip() for line in lines if line.strip()]
        # Lists of one class have 1, 0 or -1 after the name. A name may have spaces, and end in such a number itself.
        lists[split] = [line if line in images else re.sub(r"\s+-?[01]$", "", line) for line in stripped]
    return lists


def _read(tree: FileTree, name: str, images: Mapping[str, str], *, maps: bool) -> _Image:
    annotations, label_map = f"Annotations/{name}.xml", f"SegmentationClass/{name}.png" if maps else None
    if name not in images:
        raise FileNotFoundError(f"there is no image {tree.name_of(f'JPEGImages/{name}')}.*, which a list names.")
    if label_map is not None and not tree.has(label_map):
        raise FileNotFoundError(f"there is no label map {tree.name_of(label_map)}.")
    if maps and not tree.has(annotations):  # label maps are enough
        root = ElementTree.Element("annotation")
    else:
        try:
            root = ElementTree.fromstring(tree.read(annotations))
        except ElementTree.ParseError as error:
            raise ValueError(f"{tree.name_of(annotations)} is not valid XML ({error}).") from None
    place = tree.name_of(annotations)
    objects = root.findall("object")
    names = [(each.findtext("name") or "").strip() for each in objects]
    if "" in names:
        raise ValueError(f"{place} has an object without a name.")
    return _Image(
        place=place,
        file=images[name],
        size=size_of(tree, images[name], root.findtext("size/width"), root.findtext("size/height")),
        names=names,
        corners=[_corners(each, place) for each in objects],
        difficult=[(each.findtext("difficult") or "0").strip() == "1" for each in objects],
        label_map=label_map,
    )


def _corners(element: ElementTree.Element, place: str) -> list[float]:
    texts = [element.findtext(f"bndbox/{corner}") for corner in CORNERS]
    try:
        return [float(str(text)) for text in texts]
    except ValueError:
        raise ValueError(
            f"{place} has an object with the box {dict(zip(CORNERS, texts, strict=True))}. Expected four numbers."
        ) from None
