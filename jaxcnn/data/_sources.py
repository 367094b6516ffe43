"""Data sets that are read during training, from folders of files and from prepared sets of tensorflow-datasets."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from jaxcnn._axes import as_int
from jaxcnn._errors import check_choice
from jaxcnn._geometry import Resize
from jaxcnn.data._encoded import FOLDER, Encoded, Picture, encoded_folder, encoded_set
from jaxcnn.data._folder import TEST_FRACTION
from jaxcnn.data._frames import Clips
from jaxcnn.data._images import brought_to, check_channels, to_pixels
from jaxcnn.data._open_picture import open_picture
from jaxcnn.data._sampled_content import digest
from jaxcnn.data._stream import MAX_CORRUPT, Source, StreamedDataset, StreamedSplit
from jaxcnn.data._tfds_features import Content

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
        spacing: distance between two of these frames in the video, such as 1 for consecutive frames, the last of which
            is repeated beyond the end; None spreads them evenly from the first frame to the last.
        clips: number of clips of each video, whose starts are evenly spaced; of one clip, the middle is read. Requires
            ``spacing`` if greater than 1.
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
    if frames is None and (spacing is not None or clips != 1):
        raise ValueError("spacing and clips are options of videos. Set the number of frames too, such as frames=16.")
    selection = None if frames is None else Clips(frames=frames, spacing=spacing, count=clips)
    content: Content = "image" if selection is None else "video"
    if name.startswith(FOLDER):
        found = encoded_folder(name.removeprefix(FOLDER), content, test_fraction)
    else:
        found = encoded_set(name, content, data_dir)
    decode = functools.partial(_decode, channels=channels, size=(image_size, image_size), resize=resize)
    shape = (image_size, image_size, channels)
    fields = {content: (shape if selection is None else (selection.frames, *shape), np.uint8), "label": ((), np.int32)}

    def split(examples: Encoded) -> StreamedSplit:
        source: Source = ImageSource(examples, decode) if selection is None else ClipSource(examples, selection, decode)
        return StreamedSplit(source, fields=fields, classes=len(found.class_names), max_corrupt=max_corrupt)

    options = f"{image_size} {channels} {resize}" + ("" if selection is None else f" {selection}")
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


def _decode(file: Picture, name: str, *, channels: int, size: tuple[int, int], resize: Resize) -> np.ndarray:
    pixels = to_pixels(open_picture(file, name=name), name=name, channels=channels)
    return brought_to(pixels, size, resize=resize)


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
            raise ValueError(f"{self.name_of(index)} has no frame.")
        places = self._clips.places(len(pictures), clip)
        frames = {place: self._frame(pictures, place, self._examples.name_of(video)) for place in dict.fromkeys(places)}
        return {"video": np.stack([frames[place] for place in places]), "label": label}

    def _frame(self, pictures: Sequence[Picture], place: int, name: str) -> np.ndarray:
        picture = pictures[place]
        return self._decode(picture, str(picture) if isinstance(picture, Path) else f"{name} frame {place}")
