"""Images with a class for each pixel: folders of images, and folders of label maps of the same names."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxcnn._axes import IntPerAxis
from jaxcnn._hints import did_you_mean
from jaxcnn.data._annotations import SPLITS, Annotated, annotated, annotated_dataset, size_of
from jaxcnn.data._arrays import IGNORED
from jaxcnn.data._file_tree import FileTree
from jaxcnn.data._folder_scan import left_by_a_tool
from jaxcnn.data._label_values import Color, LabelValues
from jaxcnn.data._open_picture import open_picture
from jaxcnn.data._stream import StreamedDataset

_FOLDERS = {"train": ("train", "trainannot"), "validation": ("val", "valannot"), "test": ("test", "testannot")}


def label_maps(
    folder: str | Path,
    *,
    class_names: Sequence[str],
    splits: Mapping[str, tuple[str, str]] | None = None,
    values: Mapping[int, int] | Mapping[Color, int] | None = None,
    ignored: Sequence[int] = (IGNORED,),
    image_size: IntPerAxis | None = None,
    max_corrupt: int = 0,
) -> StreamedDataset:
    """Images with a class for each pixel, from a folder of images and a folder of label maps for each split.

    A label map is a grey image, or one with a palette, of the name of its image, whose values are the classes; or, with
    ``values``, one whose values or colours have the classes that are given there. The first label map of each split is
    read here, the others with their images. The arrays of an example are ``image``, ``size``, ``original_size`` and
    ``image_id``, as in ``voc``, and ``segmentation``, where 255 is a pixel without a label. ``in_memory`` reads all
    images at once.

    Args:
        folder: the folder that contains all others, or a zip file of it.
        class_names: the name of class 0, of class 1, and so on.
        splits: of each split the folder of its images and that of its label maps; by default those of CamVid,
            ``{"train": ("train", "trainannot"), "validation": ("val", "valannot"), "test": ("test", "testannot")}``,
            without validation where there is none.
        values: the class of some values, such as ``{255: 1}`` for masks of 0 and 255, other values being classes
            themselves; or the class of each colour, such as ``{(0, 0, 0): 0, (128, 0, 0): 1}``. The class 255 is no
            label.
        ignored: the values of pixels without a label, unless ``values`` has them.
        image_size: as in ``voc``.
        max_corrupt: as in ``voc``.

    Raises:
        FileNotFoundError: a folder or a label map that is not there.
        TypeError: values that are neither integers nor colours.
        ValueError: a folder without images, a split that does not exist, values outside of 0 to 255, or a first label
            map of another kind than ``values`` is for.

    >>> import tempfile
    >>> from PIL import Image
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ("train", "test"):
    ...     for suffix, mode in (("", "RGB"), ("annot", "L")):
    ...         (root / (name + suffix)).mkdir()
    ...         Image.new(mode, (4, 2), 1 if suffix else 0).save(root / (name + suffix) / "a.png")
    >>> roads = label_maps(root, class_names=("sky", "road"))
    >>> roads.train.read([0]).arrays["segmentation"]
    array([[[1, 1, 1, 1],
            [1, 1, 1, 1]]], dtype=uint8)
    """
    tree = FileTree(folder)
    if splits is None:
        splits = {split: pair for split, pair in _FOLDERS.items() if split != "validation" or tree.names(pair[0])}
    if wrong := [split for split in splits if split not in SPLITS]:
        raise ValueError(f"there is no split {wrong[0]!r}. {did_you_mean(wrong[0], SPLITS)}")
    for split in ("train", "test"):
        if split not in splits:
            raise ValueError(
                f'splits has no folders of {split}, such as {{"train": ("images", "labels"), "test": ...}}.'
            )
    names = tuple(class_names)
    of_values = LabelValues(values or {}, ignored)
    records = {split: _records(tree, *pair) for split, pair in splits.items()}
    for found in records.values():
        first = str(found[0].label_map)
        try:
            picture = open_picture(tree.read(first), name=tree.name_of(first))
        except ValueError:
            continue  # a damaged file is among the examples that cannot be read
        of_values.classes_of(picture, name=tree.name_of(first))
    return annotated_dataset(
        tree.path.stem,
        dict.fromkeys(records, tree),
        records,
        class_names=names,
        image_size=image_size,
        max_corrupt=max_corrupt,
        values=of_values,
    )


def _records(tree: FileTree, images: str, maps: str) -> list[Annotated]:
    files, map_files = ([file for file in tree.names(each) if not left_by_a_tool(file)] for each in (images, maps))
    if not files:
        raise FileNotFoundError(f"there is no folder of images {tree.name_of(images)}, or it is empty.")
    of_stem = {Path(file).stem: f"{maps}/{file}" for file in map_files}
    if missing := [file for file in files if Path(file).stem not in of_stem]:
        raise FileNotFoundError(f"{tree.name_of(maps)} has no label map of the image {images}/{missing[0]}.")
    return [
        annotated(
            f"{images}/{file}",
            size_of(tree, f"{images}/{file}", None, None),
            index,
            label_map=of_stem[Path(file).stem],
            name=tree.name_of(f"{images}/{file}"),
            repair=False,
        )
        for index, file in enumerate(files)
    ]
