"""A folder of videos whose frames are images: one sub-folder for each class, with one for each video in it."""

from collections.abc import Iterable
from pathlib import Path

from jaxcnn._axes import as_int
from jaxcnn.data._arrays import Dataset
from jaxcnn.data._folder import TEST_FRACTION, check_options, decode_files, in_splits, labelled
from jaxcnn.data._folder_scan import scan_videos
from jaxcnn.data._frames import by_number, evenly_spaced

# The frames of a video in their order, and the number of its class.
Video = tuple[list[Path], int]


def video_folder(
    path: str | Path,
    *,
    frames: int,
    image_size: int | None = None,
    channels: int | None = None,
    test_fraction: float = TEST_FRACTION,
) -> Dataset:
    """The videos below a folder, decoded: ``CLASS/VIDEO/FRAME.png``, or ``train/CLASS/VIDEO/FRAME.png`` and ``test``.

    Frames are ordered by the whole numbers in their names. From each video, ``frames`` evenly spaced frames are
    selected, from the first to the last; if it has fewer, some are repeated. Other files than images are left out, and
    so is a folder without images. ``val`` beside ``train`` and ``test`` is the validation split. Without ``train`` and
    ``test``, a fixed ``test_fraction`` of the videos of every class is held out for testing, the same on every machine.

    The arrays of a split are ``video`` ``(n, frames, height, width, channels)``, uint8, and ``label``.

    Args:
        path: the folder.
        frames: number of frames of each video.
        image_size: height and width of all frames, resized as by ``read_image``; None: they already have one size.
        channels: 1 for grey, 3 for colour; None: grey where every frame is.
        test_fraction: the fraction of each class held out for testing, between 0 and 1; at least one video.

    Raises:
        FileNotFoundError: there is no such folder.
        TypeError: a path that is neither a text nor a path.
        ValueError: fewer than two classes, a class with fewer than two videos, an image that is not in the folder of a
            video or is deeper, and whatever ``scan_folder`` and ``read_image`` refuse.

    >>> import tempfile
    >>> from PIL import Image
    >>> root = Path(tempfile.mkdtemp())
    >>> for number in range(16):
    ...     file = root / f"{'run' if number < 8 else 'walk'}/video{number // 4 % 2}/{number % 4}.png"
    ...     file.parent.mkdir(parents=True, exist_ok=True)
    ...     Image.new("L", (6, 4), number).save(file)
    >>> videos = video_folder(root, frames=2)
    >>> videos.train["video"].shape, videos.test["video"][:, :, 0, 0, 0].tolist(), videos.class_names
    ((2, 2, 4, 6, 1), [[4, 7], [12, 15]], ('run', 'walk'))
    """
    check_options(image_size, channels, test_fraction)
    if as_int(frames, name="frames") < 1:
        raise ValueError(f"frames={frames} must be at least 1.")
    root, splits, names = find_videos(path, test_fraction)
    videos = [video for examples in splits.values() for video, _ in examples]
    chosen = [video[place] for video in videos for place in evenly_spaced(len(video), frames)]
    pixels = decode_files(chosen, image_size, channels, root, frames=True)
    parts = in_splits(splits, video=pixels.reshape(len(videos), frames, *pixels.shape[1:]))
    return Dataset(
        name=root.resolve().name,
        train=parts["train"],
        validation=parts.get("validation"),
        test=parts["test"],
        class_names=names,
    )


def find_videos(path: str | Path, test_fraction: float) -> tuple[Path, dict[str, list[Video]], tuple[str, ...]]:
    """The folder, the videos of each split with their labels, and the names of the classes.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: fewer than two classes, a class with fewer than two videos, or what ``scan_videos`` refuses.
    """
    found = scan_videos(path)
    root, names = found.root, found.class_names
    if len(names) < 2:
        raise ValueError(f"{root} has one class only, {names[0]!r}; classification has two or more.")
    files: dict[Path, list[Path]] = {}
    folders: dict[str, dict[str, list[Path]]] = {}
    for split, classes in found.splits.items():
        for name, images in classes.items():
            for image in images:
                files.setdefault(image.parent, []).append(image)
            folders.setdefault(split, {})[name] = sorted({image.parent for image in images})
    splits = labelled(folders, names, root, test_fraction, noun="video")
    return (
        root,
        {split: [(ordered(files[video]), label) for video, label in own] for split, own in splits.items()},
        names,
    )


def ordered(frames: Iterable[Path]) -> list[Path]:
    """Frames by the whole numbers in their names."""
    return sorted(frames, key=by_number)
