"""Images with boxes in the format of COCO: a JSON file and a folder of images for each split."""

import collections
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxcnn._axes import IntPerAxis
from jaxcnn._hints import did_you_mean
from jaxcnn.data._annotations import SPLITS, Annotated, annotated, annotated_dataset, selected_classes, size_of
from jaxcnn.data._arrays import IGNORED
from jaxcnn.data._coco_masks import Shape, shape_of
from jaxcnn.data._file_tree import FileTree
from jaxcnn.data._stream import StreamedDataset


def coco(
    images: str | Path | Mapping[str, str | Path],
    annotations: Mapping[str, str | Path],
    *,
    class_names: Sequence[str] | None = None,
    segmentation: bool = False,
    image_size: IntPerAxis | None = None,
    repair: bool = False,
    max_corrupt: int = 0,
) -> StreamedDataset:
    """Images with boxes in the format of COCO, such as ``instances_train2017.json``.

    The ids of the categories may have holes: labels are numbered from 1 in the order of the ids, and 0 is the
    background; ``class_names`` of the data set has the names. Boxes of crowds are read and marked. The arrays are those
    of ``voc``; ``image_id`` is COCO's, and ``box_area`` the area of the object's mask, scaled with the image.

    Args:
        images: the folder or zip file of the images, or one for each split.
        annotations: the JSON file of ``train``, of ``test`` and, optionally, of ``validation``.
        class_names: the categories to read, in order; boxes of others are left out. None reads all.
        segmentation: True adds ``segmentation``, the class of each pixel, from the polygons or run lengths of the
            objects: 0 without an object, and 255 where objects of different classes overlap, and in the padding. The
            pixels of each object are those of ``pycocotools``.
        image_size: as in ``voc``.
        repair: as in ``voc``.
        max_corrupt: as in ``voc``.

    Raises:
        FileNotFoundError: a file, a folder or an image that is not there.
        ValueError: a file that is not in this format, an id that is missing or given twice, a box that is empty or
            outside of its image, a category that has no box in the training split, or, with ``segmentation``, an object
            without a valid segmentation, or more than 254 categories.

    Source: Lin et al. (2014), "Microsoft COCO: common objects in context"; cocodataset.org, "Data format".

    >>> import tempfile
    >>> from PIL import Image
    >>> root = Path(tempfile.mkdtemp())
    >>> Image.new("RGB", (8, 6)).save(root / "a.png")
    >>> image = {"id": 7, "file_name": "a.png", "height": 6, "width": 8}
    >>> box = {"image_id": 7, "category_id": 90, "bbox": [1, 2, 4, 3], "area": 12, "iscrowd": 0}
    >>> content = {"images": [image], "categories": [{"id": 90, "name": "cat"}], "annotations": [box]}
    >>> _ = (root / "boxes.json").write_text(json.dumps(content), encoding="utf-8")
    >>> cats = coco(root, {"train": root / "boxes.json", "test": root / "boxes.json"})
    >>> cats.class_names, cats.train.read([0]).arrays["boxes"]
    (('background', 'cat'), array([[[1., 2., 5., 5.]]], dtype=float32))
    """
    if not isinstance(annotations, Mapping) or not {"train", "test"} <= set(annotations):
        raise ValueError(
            'annotations must name a file for each split, such as {"train": "instances_train2017.json", "test": '
            f'"instances_val2017.json"}}, not {annotations!r}.'
        )
    if wrong := [split for split in annotations if split not in SPLITS]:
        raise ValueError(f"there is no split {wrong[0]!r}. {did_you_mean(wrong[0], SPLITS)}")
    folders = images if isinstance(images, Mapping) else dict.fromkeys(annotations, images)
    if missing := [split for split in annotations if split not in folders]:
        raise ValueError(f"images has no folder of the {missing[0]} split, only of {', '.join(folders)}.")
    files = {split: _parsed(Path(path)) for split, path in annotations.items()}
    categories = {split: _categories(file, annotations[split]) for split, file in files.items()}
    for split, found in categories.items():
        if found != categories["train"]:
            raise ValueError(f"{annotations[split]} has other categories than {annotations['train']}.")
    ids = dict(sorted(categories["train"].items()))
    classes = selected_classes(list(ids.values()), class_names)
    if segmentation and len(classes) > IGNORED:
        raise ValueError(
            f"segmentation=True holds the class of a pixel in 8 bits, where {IGNORED} is a pixel without a label, so "
            f"there are at most {IGNORED - 1} classes besides the background, not {len(classes) - 1}. Name fewer "
            f"of them by class_names."
        )
    labels = {number: classes.index(name) for number, name in ids.items() if name in classes}
    trees = {split: FileTree(folders[split]) for split in annotations}
    records = {
        split: _records(file, trees[split], set(ids), labels, str(annotations[split]), repair, segmentation)
        for split, file in files.items()
    }
    return annotated_dataset(
        Path(annotations["train"]).stem,
        trees,
        records,
        class_names=classes,
        image_size=image_size,
        max_corrupt=max_corrupt,
    )


def _parsed(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}).") from None
    for name in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise ValueError(f"{path} has no list {name!r}, which a file of COCO's instances has.")
    return content


def _categories(content: Mapping[str, Any], path: str | Path) -> dict[int, str]:
    try:
        pairs = [(int(each["id"]), str(each["name"])) for each in content["categories"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: a category has no id or no name ({type(error).__name__}: {error}).") from None
    found = dict(pairs)
    for kind, index in (("id", 0), ("name", 1)):
        for value, times in collections.Counter(pair[index] for pair in pairs).most_common(1):
            if times > 1:
                raise ValueError(f"{path}: two categories have the {kind} {value!r}.")
    return found


def _records(
    content: Mapping[str, Any],
    tree: FileTree,
    ids: set[int],
    labels: Mapping[int, int],
    path: str,
    repair: bool,
    segmentation: bool,
) -> list[Annotated]:
    """The images of a file with their boxes.

    Args:
        content: of the file.
        tree: the images.
        ids: of all categories.
        labels: the label of each category that is read, by its id.
        path: of the file, for errors.
        repair: as in ``voc``.
        segmentation: whether the shapes of objects are read.
    """
    try:
        images = {int(each["id"]): each for each in content["images"]}
        counts = collections.Counter(int(each["id"]) for each in content["images"])
        files = [str(each["file_name"]) for each in content["images"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: an image has no id or no file_name ({type(error).__name__}: {error}).") from None
    if len(images) < len(files):
        raise ValueError(f"{path}: two images have the id {counts.most_common(1)[0][0]}.")
    if large := [number for number in images if not -(2**31) <= number < 2**31]:
        raise ValueError(f"{path}: the image id {large[0]} does not fit into 32 bits, in which integers are held.")
    if missing := [file for file in files if not tree.has(file)]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise FileNotFoundError(f"there is no image {tree.name_of(missing[0])}{more}, which {path} names.")
    boxes: dict[int, list[dict[str, Any]]] = collections.defaultdict(list)
    for index, each in enumerate(content["annotations"]):
        place = f"{path}, annotations[{index}]"
        try:
            box = {
                "image": int(each["image_id"]),
                "category": int(each["category_id"]),
                "sides": [float(value) for value in each["bbox"]],
                "crowd": bool(each.get("iscrowd", 0)),
                "area": np.nan if each.get("area") is None else float(each["area"]),
                "shape": each.get("segmentation"),
            }
            x, y, width, height = box["sides"]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{place} has no image_id, no category_id, no bbox of four numbers, or an area that is "
                f"no number ({type(error).__name__}: {error})."
            ) from None
        if box["category"] not in ids:
            raise ValueError(f"{place} has the category_id {box['category']}, but the categories are {sorted(ids)}.")
        if box["image"] not in images:
            raise ValueError(f"{place} has the image_id {box['image']}, but there is no such image.")
        if box["category"] in labels:
            boxes[box["image"]].append(box | {"corners": [x, y, x + width, y + height]})
    found = []
    for number, image in images.items():
        size = size_of(tree, str(image["file_name"]), image.get("width"), image.get("height"))
        name, objects = f"{path}, image {number}", boxes[number]
        shapes = [_shape(each["shape"], size, name, repair) for each in objects] if segmentation else None
        record = annotated(
            str(image["file_name"]),
            size,
            number,
            boxes=[box["corners"] for box in objects],
            labels=[labels[box["category"]] for box in objects],
            crowd=[box["crowd"] for box in objects],
            area=[box["area"] for box in objects],
            shapes=shapes,
            name=name,
            repair=repair,
            layout="A bbox of COCO is [x, y, width, height]. ",
        )
        found.append(record)
    return found


def _shape(segmentation: Any, size: tuple[int, int], name: str, repair: bool) -> Shape:
    try:
        return shape_of(segmentation, size, repair=repair)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name}: the segmentation of an object has {error}. Correct the file; repair=True leaves out polygons of "
            f"fewer than three points."
        ) from None
