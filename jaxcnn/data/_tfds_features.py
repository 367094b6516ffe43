"""Prepared folders of tensorflow-datasets, opened without TensorFlow and without running code of the folder."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

# TFDS's own classes of features.
_FEATURES = "tensorflow_datasets.core.features."

# TFDS's class of videos imports TensorFlow. A video is stored as the sequence of its encoded frames, which the class of
# sequences of texts reads as bytes.
_IMAGE, _VIDEO = f"{_FEATURES}image_feature.Image", f"{_FEATURES}video_feature.Video"
_SEQUENCE = f"{_FEATURES}sequence_feature.Sequence"
# The key of a class; earlier versions of TFDS call it a type.
_CLASS_KEYS = ("pythonClassName", "python_class_name", "type")
_ENCODED_FRAMES = {
    "pythonClassName": _SEQUENCE,
    "sequence": {"feature": {"pythonClassName": f"{_FEATURES}text_feature.Text", "text": {}}, "length": "-1"},
}

Content = Literal["image", "video"]


def open_prepared(folder: Path, *, content: Content = "image") -> Any:
    """TFDS's builder of a prepared folder, after its features are checked.

    Args:
        folder: the folder of one version of a set.
        content: the feature that the set must have, with a label.

    Raises:
        ValueError: TFDS cannot open the folder, the set lacks a feature, or it has a class of features from elsewhere,
            whose module TFDS would import.
    """
    try:
        description = json.loads((folder / "features.json").read_text(encoding="utf-8"))
        foreign = sorted(name for name in _feature_classes(description) if not name.startswith(_FEATURES))
        builder = None if foreign else _builder(folder, description)
    except Exception as error:  # TFDS passes on exceptions of JSON and protobuf
        raise ValueError(
            f"TFDS cannot open {folder} ({first_line(error)}). Delete the folder and prepare it again."
        ) from error
    if builder is None:
        raise ValueError(
            f"{folder / 'features.json'} names the class {foreign[0]!r}. Expected classes of {_FEATURES[:-1]} only: "
            f"to read others is to run their code."
        )
    features = builder.info.features
    if missing := [name for name in (content, "label") if name not in features]:
        kind = "an image" if content == "image" else "a video"
        raise ValueError(
            f"{folder} has no feature {missing[0]!r}, only {sorted(features)}: "
            f"a set for classification has {kind} and a label.{_HINTS[content] if _OTHER[content] in features else ''}"
        )
    if content == "video" and type(getattr(features["video"], "feature", None)).__name__ != "Text":
        found = type(features["video"]).__name__
        raise ValueError(f"{folder}: the feature 'video' is a {found}; expected a Video or a Sequence of Image.")
    if (dtype := _dtype(description, content)) not in ("uint8", "uint16"):
        # TFDS stores the bytes of other numbers as the channels of a picture.
        raise ValueError(f"{folder}: the feature {content!r} has the dtype {dtype}; uint8 and uint16 are read.")
    return builder


_OTHER = {"image": "video", "video": "image"}
_HINTS = {
    "image": " Its videos are read by stream(..., frames=16).",
    "video": " Its images are read without frames.",
}


def _builder(folder: Path, description: Any) -> Any:
    from tensorflow_datasets.core import dataset_info, read_only_builder
    from tensorflow_datasets.core.features import FeatureConnector

    info = dataset_info.read_from_json(folder / "dataset_info.json")
    info.features.CopyFrom(FeatureConnector.from_json(_without_videos(description)).to_proto())
    return read_only_builder.ReadOnlyBuilder(folder, info_proto=info)


def _without_videos(description: Any) -> Any:
    """A ``features.json`` with sequences of encoded frames in place of videos and of sequences of images."""
    if isinstance(description, list):
        return [_without_videos(each) for each in description]
    if not isinstance(description, dict):
        return description
    if _class_of(description) == _VIDEO:
        return _ENCODED_FRAMES
    content = description.get("sequence", description.get("content"))
    if (
        _class_of(description) == _SEQUENCE
        and isinstance(content, dict)
        and _class_of(content.get("feature")) == _IMAGE
    ):
        return _ENCODED_FRAMES
    return {name: _without_videos(value) for name, value in description.items()}


def _class_of(description: Any) -> str | None:
    """The class of a feature."""
    if not isinstance(description, dict):
        return None
    name = next((description[key] for key in _CLASS_KEYS if key in description), None)
    return name if isinstance(name, str) else None


def _dtype(description: Any, feature: str) -> str:
    """The dtype of the pixels of a feature; uint8 where none is stored."""
    found = next((each for each in _values_of(description, feature) if _class_of(each)), None)
    return str(next(_values_of(found, "dtype"), "uint8"))


def _values_of(description: Any, key: str) -> Iterator[Any]:
    """What a description has under a key, at any depth."""
    if isinstance(description, dict):
        if key in description:
            yield description[key]
        for value in description.values():
            yield from _values_of(value, key)


def _feature_classes(content: Any) -> Iterator[str]:
    """The names of classes in a ``features.json``, which may hold further JSON in strings."""
    if isinstance(content, str) and content.lstrip()[:1] in ("{", "["):
        with contextlib.suppress(ValueError):
            yield from _feature_classes(json.loads(content))
    elif isinstance(content, dict | list):
        for name, value in content.items() if isinstance(content, dict) else enumerate(content):
            # A feature may be called "type" too; its value is an object.
            if name in _CLASS_KEYS and not isinstance(value, dict):
                yield str(value)
            else:
                yield from _feature_classes(value)


def first_line(error: Exception) -> str:
    """The first line of the message of an error, or the name of its class if it has no message."""
    return (str(error).splitlines() or [type(error).__name__])[0]
