"""Where streamed images and videos come from: folders of image files, and prepared sets of tensorflow-datasets."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from jaxcnn._axes import as_int
from jaxcnn._errors import check_choice
from jaxcnn._geometry import Resize
from jaxcnn.data._folder import TEST_FRACTION, find_files, name_of
from jaxcnn.data._frames import evenly_spaced
from jaxcnn.data._images import brought_to, check_channels, to_pixels
from jaxcnn.data._open_picture import open_picture
from jaxcnn.data._sampled_content import digest, fingerprints_of, sampled_content
from jaxcnn.data._stream import MAX_CORRUPT, Source, StreamedDataset, StreamedSplit
from jaxcnn.data._tfds import class_names, data_folder, open_examples, prepared_folder, split_names
from jaxcnn.data._tfds_features import Content, open_prepared
from jaxcnn.data._video_folder import find_videos

_FOLDER = "folder:"

# An encoded picture, or its path.
Picture = Path | bytes

# A picture, or the frames of a video, and its name in errors -> pixels of the required size.
Decoder = Callable[[Any, str], np.ndarray]


def stream(
    name: str,
    *,
    image_size: int,
    frames: int | None = None,
    data_dir: str | Path | None = None,
    channels: int = 3,
    resize: Resize = "fit",
    test_fraction: float = TEST_FRACTION,
    max_corrupt: int = MAX_CORRUPT,
) -> StreamedDataset:
    """A data set that is read during training, for images or videos that do not fit into memory.

    The arrays of an example are ``image`` ``(height, width, channels)``, uint8, and ``label``; with ``frames``,
    ``video`` ``(frames, height, width, channels)`` and ``label``. Only the selected frames of a video are decoded.

    Args:
        name: ``"folder:/path"``, with one sub-folder of images for each class, or the name of a prepared TFDS set of
            labelled images, such as ``"imagenet2012"``; both as for ``load``. With ``frames``, a folder as for
            ``video_folder``, or a prepared set with the features ``video`` and ``label``, such as
            ``"ucf101/ucf101_1_256"``.
        image_size: height and width that all images are brought to on the host.
        frames: number of frames of each video, evenly spaced from the first to the last; if a video has fewer, some are
            repeated. None reads images.
        data_dir: the folder of prepared TFDS sets; by default ``$TFDS_DATA_DIR`` or ``~/tensorflow_datasets``.
        channels: 1 for grey, 3 for colour.
        resize: ``"fit"`` keeps the whole image, in a margin of zeros; ``"cover"`` the largest central square.
        test_fraction: the fraction of each class held out for testing, of a folder without a test split.
        max_corrupt: the number of images of each split that may be unreadable; they are left out, with a warning.

    Raises:
        FileNotFoundError: a set or a folder does not exist.
        ValueError: data that cannot be used, or an option that does not exist.
        ShapeError: other channels than 1 and 3.

    >>> import tempfile
    >>> from PIL import Image
    >>> for name in ("ant", "bee"):
    ...     folder = Path(tempfile.gettempdir()) / "jaxcnn_stream_example" / name
    ...     folder.mkdir(parents=True, exist_ok=True)
    ...     for number in range(5):
    ...         Image.new("L", (8, 8)).save(folder / f"{number}.png")
    >>> dataset = stream(f"folder:{folder.parent}", image_size=8, channels=1)
    >>> dataset.class_names, len(dataset.train), len(dataset.test)
    (('ant', 'bee'), 8, 2)
    """
    check_channels(channels)
    if as_int(image_size, name="image_size") < 1:
        raise ValueError(f"image_size={image_size} must be at least 1.")
    check_choice(resize, get_args(Resize), name="resize")
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction={test_fraction} must be between 0 and 1, such as 0.2.")
    if frames is not None and as_int(frames, name="frames") < 1:
        raise ValueError(f"frames={frames} must be at least 1.")
    decode: Decoder = functools.partial(_decode, channels=channels, size=(image_size, image_size), resize=resize)
    content: Content = "image" if frames is None else "video"
    shape: tuple[int, ...] = (image_size, image_size, channels)
    if frames is not None:
        decode, shape = functools.partial(_decode_video, frames=frames, decode=decode), (frames, *shape)
    if name.startswith(_FOLDER):
        found = _folder(name.removeprefix(_FOLDER), content, decode, test_fraction)
    else:
        found = _prepared(name, content, decode, data_dir)

    def split(source: Source) -> StreamedSplit:
        fields = {content: (shape, np.uint8), "label": ((), np.int32)}
        return StreamedSplit(source, fields=fields, classes=len(found.class_names), max_corrupt=max_corrupt)

    options = f"{image_size} {channels} {resize}" + ("" if frames is None else f" {frames}")
    return StreamedDataset(
        name=found.name,
        train=split(found.train),
        test=split(found.test),
        class_names=found.class_names,
        fingerprint=digest([options, *found.contents]),
        files=found.files,
        resize=resize,
        citation=found.citation,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Found:
    """The parts of a streamed data set; ``contents`` distinguishes these images from others."""

    name: str
    train: Source
    test: Source
    class_names: tuple[str, ...]
    contents: Iterable[str]
    files: dict[str, str]
    citation: str = ""


def _decode(file: Picture, name: str, *, channels: int, size: tuple[int, int], resize: Resize) -> np.ndarray:
    pixels = to_pixels(open_picture(file, name=name), name=name, channels=channels)
    return brought_to(pixels, size, resize=resize)


def _decode_video(pictures: Sequence[Picture], name: str, *, frames: int, decode: Decoder) -> np.ndarray:
    """Evenly spaced frames, each decoded once."""
    if not pictures:
        raise ValueError(f"{name} has no frame.")
    places = evenly_spaced(len(pictures), frames)
    decoded = {}
    for place in dict.fromkeys(places):
        picture = pictures[place]
        decoded[place] = decode(picture, str(picture) if isinstance(picture, Path) else f"{name} frame {place}")
    return np.stack([decoded[place] for place in places])


class FolderSource:
    """Image files, or folders of frames, and their labels."""

    def __init__(self, files: Sequence[tuple[Path | list[Path], int]], content: Content, decode: Decoder) -> None:
        self._files, self._content, self._decode = files, content, decode

    def __len__(self) -> int:
        return len(self._files)

    def name_of(self, index: int) -> str:
        """The path of an image, or of the folder of a video."""
        files, _ = self._files[index]
        return str(files if isinstance(files, Path) else files[0].parent)

    def read(self, index: int) -> dict[str, Any]:
        """An image or a video, and its label."""
        files, label = self._files[index]
        return {self._content: self._decode(files, self.name_of(index)), "label": label}


def _folder(path: str, content: Content, decode: Decoder, test_fraction: float) -> _Found:
    found = find_files(path, test_fraction) if content == "image" else find_videos(path, test_fraction)
    root, train, test, names = found
    named = [
        (part, label, file)
        for part, examples in (("train", train), ("test", test))
        for files, label in examples
        for file in ([files] if isinstance(files, Path) else files)
    ]
    names_and_sizes = (
        f"{part} {label} {file.relative_to(root).as_posix()} {file.stat().st_size}" for part, label, file in named
    )
    files = [file for _, _, file in named]
    sampled = list(sampled_content(files))
    return _Found(
        name=name_of(root),
        train=FolderSource(train, content, decode),
        test=FolderSource(test, content, decode),
        class_names=names,
        contents=itertools.chain(names_and_sizes, sampled),
        files=fingerprints_of(root, files, sampled),
    )


class PreparedSource:
    """The records of a split of a TFDS set, of either format."""

    def __init__(self, builder: Any, split: str, folder: Path, content: Content, decode: Decoder) -> None:
        self._name, self._content, self._decode = f"{folder} {split}", content, decode
        self._count = builder.info.splits[split].num_examples
        self._examples = open_examples(builder, split, folder)

    def __len__(self) -> int:
        return self._count

    def name_of(self, index: int) -> str:
        """Set, split and number of an example."""
        return f"{self._name}[{index}]"

    def read(self, index: int) -> dict[str, Any]:
        """An image or a video, and its label."""
        name = self.name_of(index)
        try:
            (example,) = self._examples([index])
            encoded, label = example[self._content], int(example["label"])
        except Exception as error:  # readers of formats raise various exceptions
            raise ValueError(f"{name} cannot be read ({type(error).__name__}: {error}).") from error
        if not isinstance(encoded, bytes if self._content == "image" else list):
            # Of a damaged file, array_record gives empty records, without an error.
            raise ValueError(f"{name} is an empty record.")
        return {self._content: self._decode(encoded, name), "label": label}


def _prepared(name: str, content: Content, decode: Decoder, data_dir: str | Path | None) -> _Found:
    root = data_folder(data_dir)
    folder = prepared_folder(name, root)
    if folder is None:
        raise FileNotFoundError(
            f"tensorflow-datasets has prepared no {name!r} in {root}. Prepare it there, name another data_dir, "
            f"or stream '{_FOLDER}/path'."
        )
    builder = open_prepared(folder, content=content)
    train, test = split_names(builder, folder)
    names = class_names(builder, name)
    if names is None:
        raise ValueError(f"{folder} does not say how many classes there are.")
    paths = [Path(path) for split in (train, test) for path in builder.info.splits[split].filepaths]
    sampled = list(sampled_content(paths))
    return _Found(
        name=name,
        train=PreparedSource(builder, train, folder, content, decode),
        test=PreparedSource(builder, test, folder, content, decode),
        class_names=names,
        contents=itertools.chain((f"{path.name} {path.stat().st_size}" for path in paths), sampled),
        files=fingerprints_of(folder, paths, sampled),
        citation=builder.info.citation or "",
    )
