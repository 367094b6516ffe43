"""Data sets that are read during training, from folders of files and from prepared sets of tensorflow-datasets."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from jaxcnn._axes import as_int
from jaxcnn._errors import check_choice
from jaxcnn._geometry import Resize
from jaxcnn.data._encoded import FOLDER, Encoded, FolderExamples, Picture, encoded_folder, encoded_set
from jaxcnn.data._folder import TEST_FRACTION, check_options
from jaxcnn.data._folder_scan import SUFFIXES, left_by_a_tool
from jaxcnn.data._frames import Clips
from jaxcnn.data._images import brought_to, to_pixels
from jaxcnn.data._open_picture import open_picture
from jaxcnn.data._sampled_content import digest
from jaxcnn.data._stream import MAX_CORRUPT, Source, StreamedDataset, StreamedSplit
from jaxcnn.data._tfds_features import Content
from jaxcnn.data._video_folder import ordered

# A picture and its name in errors -> pixels of the required size.
Decoder = Callable[[Picture, str], np.ndarray]


def stream(
    name: str,
    *,
    image_size: int,
    frames: int | None = None,
    spacing: int | None = None,
    clips: int = 1,
    data_dir: str | Path | None = None,
    channels: int = 3,
    resize: Resize = "fit",
    test_fraction: float = TEST_FRACTION,
    max_corrupt: int = MAX_CORRUPT,
) -> StreamedDataset:
    """A data set that is read during training, for images or videos that do not fit into memory.

    The arrays of an example are ``image`` ``(height, width, channels)``, uint8, and ``label``; with ``frames``,
    ``video`` ``(frames, height, width, channels)`` and ``label``. Only the selected frames of a video are decoded. Of
    several ``clips`` of each video, clip ``c`` of video ``v`` is the example ``v * clips + c``.

    Args:
        name: ``"folder:/path"``, with one sub-folder of images for each class, or the name of a prepared TFDS set of
            labelled images, such as ``"imagenet2012"``; both as for ``load``. With ``frames``, a folder as for
            ``video_folder``, or a prepared set with the features ``video`` and ``label``, such as
            ``"ucf101/ucf101_1_256"``.
        image_size: height and width that all images are brought to on the host.
        frames: number of frames of each video; if it has too few, some are repeated. None reads images.
        spacing: distance between two of these frames in the video; 1 reads consecutive frames. Beyond the end of the
            video, its last frame is repeated. None spreads the frames evenly from the first to the last.
        clips: number of clips of each video; more than 1 require ``spacing``. Their starts are evenly spaced. A single
            clip is taken from the middle of the video.
        data_dir: the folder of prepared TFDS sets; by default ``$TFDS_DATA_DIR`` or ``~/tensorflow_datasets``.
        channels: 1 for grey, 3 for colour.
        resize: ``"fit"`` keeps the whole image, in a margin of zeros; ``"cover"`` the largest central square.
        test_fraction: the fraction of each class held out for testing, of a folder without a test split.
        max_corrupt: the number of images or clips of each split that may be unreadable; they are left out, with a
            warning.

    Raises:
        FileNotFoundError: a set or a folder does not exist.
        TypeError: a name that is not a text, or a number that is not an integer.
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
    if not isinstance(name, str):
        raise TypeError(f"name must be a text, such as 'imagenet2012' or 'folder:/path', not {name!r}.")
    check_options(as_int(image_size, name="image_size"), channels, test_fraction)
    check_choice(resize, get_args(Resize), name="resize")
    if frames is None and (spacing is not None or as_int(clips, name="clips") != 1):
        raise ValueError("spacing and clips are options of videos. Set the number of frames too, such as frames=16.")
    selection = None if frames is None else Clips(frames=frames, spacing=spacing, count=clips)
    content: Content = "image" if selection is None else "video"
    if name.startswith(FOLDER):
        found = encoded_folder(name.removeprefix(FOLDER), content, test_fraction)
    else:
        found = encoded_set(name, content, data_dir)
    size, frame = (image_size, image_size), selection is not None
    decode = functools.partial(_decode, channels=channels, size=size, resize=resize, frame=frame)
    shape = (image_size, image_size, channels)
    fields = {content: (shape if selection is None else (selection.frames, *shape), np.uint8), "label": ((), np.int32)}

    def split(examples: Encoded) -> StreamedSplit:
        source: Source = ImageSource(examples, decode) if selection is None else ClipSource(examples, selection, decode)
        return StreamedSplit(source, fields=fields, classes=len(found.class_names), max_corrupt=max_corrupt)

    splits = {name: split(examples) for name, examples in found.splits.items()}
    options = f"{image_size} {channels} {resize}"
    if selection is not None:
        options += f" {selection.frames} {selection.spacing} {selection.count}"
    return StreamedDataset(
        name=found.name,
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits["test"],
        class_names=found.class_names,
        clips=clips,
        fingerprint=digest([options, *found.contents]),
        files=found.files,
        resize=resize,
        citation=found.citation,
    )


def _decode(
    file: Picture, name: str, *, channels: int, size: tuple[int, int], resize: Resize, frame: bool
) -> np.ndarray:
    pixels = to_pixels(open_picture(file, name=name, frame=frame), name=name, channels=channels)
    return brought_to(pixels, size, resize=resize)


def read_video(
    path: str | Path,
    *,
    frames: int,
    image_size: int,
    spacing: int | None = None,
    channels: int = 3,
    resize: Resize = "fit",
) -> np.ndarray:
    """One video, as ``stream`` reads it from the folder of its frames.

    Args:
        path: the folder of the frames, which are images; they are ordered by the whole numbers in their names.
        frames: as for ``stream``.
        image_size: as for ``stream``.
        spacing: as for ``stream``; the clip is in the middle of the video.
        channels: 1 for grey, 3 for colour.
        resize: as for ``stream``.

    Returns:
        uint8 ``(frames, image_size, image_size, channels)``.

    Raises:
        FileNotFoundError: there is no such folder.
        TypeError: a number that is not an integer.
        ValueError: a folder without images, an image that cannot be read, or an option that does not exist.
        ShapeError: other channels than 1 and 3.

    >>> import tempfile
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> for number in range(11):
    ...     Image.new("L", (8, 8), number).save(folder / f"{number}.png")
    >>> read_video(folder, frames=3, image_size=8, channels=1)[:, 0, 0, 0]
    array([ 0,  5, 10], dtype=uint8)
    """
    clips = Clips(frames=frames, spacing=spacing)
    check_options(as_int(image_size, name="image_size"), channels)
    check_choice(resize, get_args(Resize), name="resize")
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}. A video is a folder of images, one for each frame.")
    files = (file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and not left_by_a_tool(file.name))
    pictures = ordered(file for file in files if file.is_file())
    if not pictures:
        raise ValueError(f"{folder} has no images ({', '.join(SUFFIXES)}). A video is a folder of images.")
    decode = functools.partial(_decode, channels=channels, size=(image_size, image_size), resize=resize, frame=True)
    found: np.ndarray = ClipSource(FolderExamples([(pictures, 0)]), clips, decode).read(0)["video"]
    return found


class ImageSource:
    """Decoded images and their labels."""

    def __init__(self, examples: Encoded, decode: Decoder) -> None:
        self._examples, self._decode = examples, decode

    def __len__(self) -> int:
        return len(self._examples)

    def name_of(self, index: int) -> str:
        """The path of an image, or its set, split and number."""
        return self._examples.name_of(index)

    def read(self, index: int) -> dict[str, Any]:
        """An image and its label."""
        picture, label = self._examples.encoded(index)
        return {"image": self._decode(picture, self.name_of(index)), "label": label}


class ClipSource:
    """Decoded clips of videos and their labels."""

    def __init__(self, examples: Encoded, clips: Clips, decode: Decoder) -> None:
        self._examples, self._clips, self._decode = examples, clips, decode

    def __len__(self) -> int:
        return len(self._examples) * self._clips.count

    def name_of(self, index: int) -> str:
        """The path of a folder of frames, or the set, split and number of a video; and the number of the clip."""
        video, clip = divmod(index, self._clips.count)
        return self._examples.name_of(video) + (f" clip {clip}" if self._clips.count > 1 else "")

    def read(self, index: int) -> dict[str, Any]:
        """A clip and its label; each frame is decoded once."""
        video, clip = divmod(index, self._clips.count)
        pictures, label = self._examples.encoded(video)
        if not pictures:
            raise ValueError(f"{self._examples.name_of(video)} has no frame.")
        places = self._clips.places(len(pictures), clip)
        frames = {place: self._frame(pictures, place, self._examples.name_of(video)) for place in dict.fromkeys(places)}
        return {"video": np.stack([frames[place] for place in places]), "label": label}

    def _frame(self, pictures: Sequence[Picture], place: int, name: str) -> np.ndarray:
        picture = pictures[place]
        return self._decode(picture, str(picture) if isinstance(picture, Path) else f"{name} frame {place}")
