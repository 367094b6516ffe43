"""Examples that are not decoded yet: image files, folders of frames, and records of tensorflow-datasets."""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from jaxcnn.data._folder import find_files, name_of
from jaxcnn.data._sampled_content import fingerprints_of, sampled_content
from jaxcnn.data._tfds import check_root, class_names, data_folder, open_examples, prepared_folder, split_names
from jaxcnn.data._tfds_features import Content, open_prepared
from jaxcnn.data._video_folder import find_videos

FOLDER = "folder:"

# An encoded picture, or its path.
Picture = Path | bytes


class Encoded(Protocol):
    """Examples that several threads may read at the same time, in any order."""

    def __len__(self) -> int:
        """The number of examples."""

    def name_of(self, index: int) -> str:
        """The name of an example in errors."""

    def encoded(self, index: int) -> tuple[Any, int]:
        """The picture of an image, or the list of the pictures of a video, and the label.

        Raises:
            ValueError: the record is damaged.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodedDataset:
    """The parts of a streamed data set; ``contents`` distinguishes its examples from others."""

    name: str
    splits: Mapping[str, Encoded]
    class_names: tuple[str, ...]
    contents: Iterable[str]
    files: dict[str, str]
    citation: str = ""


class FolderExamples:
    """Image files, or folders of frames, and their labels."""

    def __init__(self, files: Sequence[tuple[Path | list[Path], int]]) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def name_of(self, index: int) -> str:
        """The path of an image, or of the folder of a video."""
        files, _ = self._files[index]
        return str(files if isinstance(files, Path) else files[0].parent)

    def encoded(self, index: int) -> tuple[Any, int]:
        """The path of an image, or the paths of the frames of a video, and the label."""
        return self._files[index]


def encoded_folder(path: str, content: Content, test_fraction: float) -> EncodedDataset:
    """The examples of a folder, which has test images or videos, or of which a part is held out for testing.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: what ``find_files`` and ``find_videos`` refuse.
    """
    splits: Mapping[str, Sequence[tuple[Path | list[Path], int]]]
    root, splits, names = find_files(path, test_fraction) if content == "image" else find_videos(path, test_fraction)
    named = [
        (split, label, file)
        for split, examples in splits.items()
        for files, label in examples
        for file in ([files] if isinstance(files, Path) else files)
    ]
    names_and_sizes = (
        f"{split} {label} {file.relative_to(root).as_posix()} {file.stat().st_size}" for split, label, file in named
    )
    files = [file for _, _, file in named]
    sampled = list(sampled_content(files))
    return EncodedDataset(
        name=name_of(root),
        splits={split: FolderExamples(examples) for split, examples in splits.items()},
        class_names=names,
        contents=itertools.chain(names_and_sizes, sampled),
        files=fingerprints_of(root, files, sampled),
    )


class PreparedExamples:
    """The records of a split of a TFDS set, of either format."""

    def __init__(self, builder: Any, split: str, folder: Path, content: Content) -> None:
        self._name, self._content = f"{folder} {split}", content
        self._count = builder.info.splits[split].num_examples
        self._examples = open_examples(builder, split, folder)

    def __len__(self) -> int:
        return self._count

    def name_of(self, index: int) -> str:
        """Set, split and number of an example."""
        return f"{self._name}[{index}]"

    def encoded(self, index: int) -> tuple[Any, int]:
        """An encoded image, or the encoded frames of a video, and the label."""
        name = self.name_of(index)
        try:
            (example,) = self._examples([index])
            encoded, label = example[self._content], int(example["label"])
        except Exception as error:  # readers of formats raise various exceptions
            raise ValueError(f"{name} cannot be read ({type(error).__name__}: {error}).") from error
        if not isinstance(encoded, bytes if self._content == "image" else list):
            # Of a damaged file, array_record gives empty records, without an error.
            raise ValueError(f"{name} is an empty record.")
        return encoded, label


def encoded_set(name: str, content: Content, data_dir: str | Path | None) -> EncodedDataset:
    """The examples of a prepared TFDS set.

    Raises:
        FileNotFoundError: the set is not prepared.
        ValueError: ``data_dir`` is the folder of one set, TFDS cannot open it, or the set has no such features.
    """
    root = data_folder(data_dir)
    folder = prepared_folder(name, root)
    if folder is None:
        check_root(root)
        raise FileNotFoundError(
            f"tensorflow-datasets has prepared no {name!r} in {root}. Prepare it there, name another data_dir, "
            f"or stream '{FOLDER}/path'."
        )
    builder = open_prepared(folder, content=content)
    splits = split_names(builder, folder)
    names = class_names(builder, name)
    if names is None:
        raise ValueError(f"{folder} does not say how many classes there are.")
    paths = [Path(path) for split in splits.values() for path in builder.info.splits[split].filepaths]
    sampled = list(sampled_content(paths))
    return EncodedDataset(
        name=name,
        splits={ours: PreparedExamples(builder, theirs, folder, content) for ours, theirs in splits.items()},
        class_names=names,
        contents=itertools.chain((f"{path.name} {path.stat().st_size}" for path in paths), sampled),
        files=fingerprints_of(folder, paths, sampled),
        citation=builder.info.citation or "",
    )
