"""Streams of videos: prepared sets of tensorflow-datasets, opened without TensorFlow, and folders of frames."""

import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jaxcnn import data
from jaxcnn.data import StreamedDataset
from tests.data.conftest import as_tfrecords
from tests.data.test_videos import fill

FEATURES = "tensorflow_datasets.core.features."
LABEL = {"pythonClassName": f"{FEATURES}class_label_feature.ClassLabel", "classLabel": {"numClasses": "2"}}
IMAGE = {
    "pythonClassName": f"{FEATURES}image_feature.Image",
    "image": {"shape": {"dimensions": ["6", "8", "3"]}, "dtype": "uint8"},
}
# As TFDS 4.9.10 writes Video(shape=(None, 6, 8, 3)).
VIDEO = {
    "pythonClassName": f"{FEATURES}video_feature.Video",
    "video": {"shape": {"dimensions": ["-1", "6", "8", "3"]}, "dtype": "uint8", "encodingFormat": "png"},
}
# As earlier versions of TFDS wrote it.
LEGACY_VIDEO = {
    "type": f"{FEATURES}video_feature.Video",
    "content": {"shape": [None, 6, 8, 3], "encoding_format": "png", "ffmpeg_extra_args": []},
}
LEGACY_LABEL = {"type": LABEL["pythonClassName"], "content": {"num_classes": 2}}
IMAGES = {"pythonClassName": f"{FEATURES}sequence_feature.Sequence", "sequence": {"feature": IMAGE, "length": "-1"}}

LEGACY_IMAGES = {
    "type": f"{FEATURES}sequence_feature.Sequence",
    "content": {
        "feature": {
            "type": f"{FEATURES}image_feature.Image",
            "content": {"shape": [6, 8, 3], "dtype": "uint8", "encoding_format": None},
        },
        "length": None,
    },
}


def described(**features: dict[str, Any]) -> dict[str, Any]:
    """The content of a ``features.json``, in the form of its features."""
    name = f"{FEATURES}features_dict.FeaturesDict"
    if any("type" in feature for feature in features.values()):
        return {"type": name, "content": features}
    return {"pythonClassName": name, "featuresDict": {"features": features}}


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (value, 0, 255 - value)).save(file, "PNG")
    return file.getvalue()


def records(lengths: Sequence[int]) -> list[bytes]:
    """Videos as TFDS stores them: frame ``t`` of video ``i`` has the red value ``10 i + t`` and the label ``i % 2``."""
    import tensorflow_datasets as tfds

    image = tfds.features.Image(shape=(6, 8, 3))
    features = tfds.features.FeaturesDict(
        {"video": tfds.features.Sequence(image), "label": tfds.features.ClassLabel(num_classes=2)}
    )
    return [
        features.serialize_example(
            features.encode_example(
                {"video": [io.BytesIO(png(10 * index + frame)) for frame in range(length)], "label": index % 2}
            )
        )
        for index, length in enumerate(lengths)
    ]


def prepare(
    root: Path,
    *,
    lengths: Sequence[int] = (4, 2, 9, 1),
    features: dict[str, Any] | None = None,
    kind: str = "tfrecord",
    damage: Callable[[bytes], bytes] = bytes,
) -> Path:
    """Writes the prepared set ``clips`` below a folder, with all videos in both splits."""
    folder = root / "clips" / "1.0.0"
    folder.mkdir(parents=True)
    splits = []
    for split in ("train", "test"):
        content, path = [damage(record) for record in records(lengths)], folder / f"clips-{split}.{kind}-00000-of-00001"
        if kind == "tfrecord":
            path.write_bytes(as_tfrecords(content))
        else:
            from array_record.python.array_record_module import ArrayRecordWriter

            writer = ArrayRecordWriter(str(path), "group_size:1")
            for record in content:
                writer.write(record)
            writer.close()
        template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
        splits.append({"name": split, "shardLengths": [str(len(content))], "filepathTemplate": template})
    info = {"name": "clips", "version": "1.0.0", "fileFormat": kind, "moduleName": "clips", "splits": splits}
    (folder / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    (folder / "features.json").write_text(json.dumps(features or described(video=VIDEO, label=LABEL)), encoding="utf-8")
    (folder / "label.labels.txt").write_text("run\nwalk\n", encoding="utf-8")
    return folder


def first_pixels(dataset: StreamedDataset) -> list[list[int]]:
    """The red value of each frame of each training video."""
    batch = dataset.train.read(np.arange(len(dataset.train)))
    video = batch.arrays["video"]
    np.testing.assert_array_equal(video, np.broadcast_to(video[:, :, :1, :1], video.shape))
    np.testing.assert_array_equal(video[..., 2], 255 - video[..., 0])
    assert batch.arrays["label"].tolist() == [index % 2 for index in range(len(video))]
    frames: list[list[int]] = video[:, :, 0, 0, 0].tolist()
    return frames


SPACED = [[0, 2, 3], [10, 11, 11], [20, 24, 28], [30, 30, 30]]


@pytest.mark.parametrize("kind", ["tfrecord", "array_record"])
@pytest.mark.parametrize(
    ("video", "label"),
    [(VIDEO, LABEL), (LEGACY_VIDEO, LEGACY_LABEL), (IMAGES, LABEL), (LEGACY_IMAGES, LEGACY_LABEL)],
    ids=["video", "legacy video", "images", "legacy images"],
)
def test_a_prepared_set_of_videos_is_read(
    tmp_path: Path, kind: str, video: dict[str, Any], label: dict[str, Any]
) -> None:
    prepare(tmp_path, kind=kind, features=described(video=video, label=label))
    clips = data.stream("clips", data_dir=tmp_path, frames=3, image_size=6, resize="cover")
    assert clips.class_names == ("run", "walk") and clips.train.fields["video"] == ((3, 6, 6, 3), np.uint8)
    assert first_pixels(clips) == SPACED


def test_the_length_of_videos_may_be_fixed(tmp_path: Path) -> None:
    fixed = VIDEO | {"video": VIDEO["video"] | {"shape": {"dimensions": ["4", "6", "8", "3"]}}}  # type: ignore[operator]
    prepare(tmp_path, lengths=(4, 4), features=described(video=fixed, label=LABEL))
    clips = data.stream("clips", data_dir=tmp_path, frames=2, image_size=6, resize="cover")
    assert first_pixels(clips) == [[0, 3], [10, 13]]


def test_a_folder_streams_the_videos_that_video_folder_reads(tmp_path: Path) -> None:
    fill(tmp_path, videos=4, frames=5)
    options: dict[str, Any] = {"frames": 3, "image_size": 4, "channels": 1, "test_fraction": 0.25}
    streamed, loaded = data.stream(f"folder:{tmp_path}", **options), data.video_folder(tmp_path, **options)
    held = data.in_memory(streamed)
    assert held.fingerprint == loaded.fingerprint and held.class_names == loaded.class_names
    np.testing.assert_allclose(held.mean, loaded.train["video"].mean(dtype=np.float64) / 255)
    assert len(streamed.files) == 40


def test_several_clips_of_each_video_start_at_equal_distances(tmp_path: Path) -> None:
    prepare(tmp_path, lengths=(9, 4))
    options: dict[str, Any] = {"data_dir": tmp_path, "image_size": 6, "resize": "cover", "frames": 3}
    clips = data.stream("clips", spacing=2, clips=3, **options)
    batch = clips.train.read(np.arange(len(clips.train))).arrays
    assert batch["video"][:3, :, 0, 0, 0].tolist() == [[0, 2, 4], [2, 4, 6], [4, 6, 8]]
    assert batch["video"][3:, :, 0, 0, 0].tolist() == [[10, 12, 13]] * 3  # its last frame is repeated
    assert batch["label"].tolist() == [0, 0, 0, 1, 1, 1] and len(clips.test) == 6
    middle = data.stream("clips", spacing=1, **options).train.read([0, 1]).arrays["video"]
    assert middle[:, :, 0, 0, 0].tolist() == [[3, 4, 5], [10, 11, 12]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 2, "spacing": 0}, "stream: spacing=0 must be at least 1."),
        ({"frames": 2, "spacing": 1, "clips": 0}, "stream: clips=0 must be at least 1."),
        (
            {"frames": 2, "clips": 3},
            "stream: clips=3 would be equal, since each has frames of the whole video. Set the",
        ),
        (
            {"spacing": 2},
            "stream: spacing and clips are options of videos. Set the number of frames too, such as frame",
        ),
        (
            {"clips": 2},
            "stream: spacing and clips are options of videos. Set the number of frames too, such as frames=",
        ),
    ],
)
def test_clips_that_do_not_exist_are_refused(tmp_path: Path, options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        data.stream(f"folder:{tmp_path}", image_size=4, **options)
    with pytest.raises(TypeError, match=r"stream: frames must be an integer, not 2\.5"):
        data.stream(f"folder:{tmp_path}", image_size=4, frames=2.5)  # type: ignore[arg-type]


def test_the_fingerprint_distinguishes_numbers_of_frames_and_their_contents(tmp_path: Path) -> None:
    fill(tmp_path, frames=5)
    options: dict[str, Any] = {"name": f"folder:{tmp_path}", "image_size": 4, "channels": 1}
    found = {data.stream(frames=frames, **options).fingerprint for frames in (2, 3)}
    found |= {data.stream(frames=2, spacing=1, clips=clips, **options).fingerprint for clips in (1, 2)}
    found.add(data.stream(frames=2, **options).fingerprint)
    Image.new("L", (3, 2), 7).save(tmp_path / "run" / "v0" / "frame3.png")
    found.add(data.stream(frames=2, **options).fingerprint)
    assert len(found) == 5


def test_videos_are_read_without_tensorflow(tmp_path: Path) -> None:
    prepare(tmp_path)
    code = "import sys; from jaxcnn import data\n"
    code += f"clips = data.stream('clips', data_dir={str(tmp_path)!r}, frames=2, image_size=4)\n"
    code += "print(clips.train.read([2]).arrays['video'].shape, 'tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], check=False, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["(1, 2, 4, 4, 3) False"], done.stderr


def test_damaged_videos_are_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    second = png(11)
    prepare(tmp_path, lengths=(3, 3, 0, 3), damage=lambda record: record.replace(second, second[:20] + second[:-20]))
    split = data.stream("clips", data_dir=tmp_path, frames=3, image_size=6).train
    with caplog.at_level(logging.WARNING, "jaxcnn"):
        assert split.read(np.arange(4), replace=False).good.tolist() == [True, False, False, True]
    messages = [record.getMessage() for record in caplog.records]
    assert re.search(r"left out \(1 of at most 100\): .*clips/1\.0\.0 train\[1\] frame 1", messages[0])
    assert re.search(r"left out \(2 of at most 100\): .*clips/1\.0\.0 train\[2\] has no frame\.", messages[1])
    assert len(messages) == 2


def test_a_damaged_frame_of_a_folder_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path, frames=3)
    for name in ("v0", "v1"):
        (tmp_path / "run" / name / "frame1.png").write_bytes(b"no image")
    split = data.stream(f"folder:{tmp_path}", frames=3, image_size=4).train
    with caplog.at_level(logging.WARNING, "jaxcnn"):
        assert split.read(np.arange(2), replace=False).good.tolist() == [False, True]
    assert "frame1.png" in caplog.text
    assert data.stream(f"folder:{tmp_path}", frames=2, image_size=4).train.read([0]).good.all()


TENSOR = {"pythonClassName": f"{FEATURES}tensor_feature.Tensor", "tensor": {"shape": {}, "dtype": "int64"}}


@pytest.mark.parametrize(
    ("features", "frames", "message"),
    [
        (
            {"video": VIDEO},
            None,
            "has no feature 'image', only ['label', 'video']: a set for classification has an image and a label. Its "
            "videos are read by stream(..., frames=16).",
        ),
        (
            {"image": IMAGE},
            2,
            "has no feature 'video', only ['image', 'label']: a set for classification has a video and a label. Its "
            "images are read without frames.",
        ),
        (
            {"video": VIDEO | {"video": VIDEO["video"] | {"dtype": "float32"}}},  # type: ignore[operator]
            2,
            "the feature 'video' has the dtype float32; uint8 and uint16 are read.",
        ),
        (
            {"image": IMAGE | {"image": {"dtype": "float32", "shape": {"dimensions": ["6", "8", "1"]}}}},
            None,
            "the feature 'image' has the dtype float32; uint8 and uint16 are read.",
        ),
        ({"video": TENSOR}, 2, "the feature 'video' is a Tensor; expected a Video or a Sequence of Image."),
        ({"video": VIDEO}, 0, "stream: frames=0 must be at least 1."),
    ],
)
def test_sets_that_hold_no_videos_are_refused(
    tmp_path: Path, features: dict[str, Any], frames: int | None, message: str
) -> None:
    prepare(tmp_path, features=described(label=LABEL, **features))
    with pytest.raises(ValueError, match=re.escape(message)):
        data.stream("clips", data_dir=tmp_path, frames=frames, image_size=4)


def test_a_feature_may_be_called_type(tmp_path: Path) -> None:
    prepare(tmp_path, features=described(video=VIDEO, label=LABEL, type=TENSOR))
    clips = data.stream("clips", data_dir=tmp_path, frames=3, image_size=6, resize="cover")
    assert first_pixels(clips) == SPACED


def test_folders_with_fewer_records_than_described_are_refused(tmp_path: Path) -> None:
    folder = prepare(tmp_path)
    (folder / "clips-test.tfrecord-00000-of-00001").write_bytes(as_tfrecords(records((3, 2))))
    message = r"clips/1\.0\.0 is incomplete: it has 2 test records of the 4 in dataset_info\.json\. Copy the whole"
    with pytest.raises(ValueError, match=message):
        data.stream("clips", data_dir=tmp_path, frames=2, image_size=4)
    with pytest.raises(ValueError, match=r"clips is the folder of one set; data_dir is the folder that holds it"):
        data.stream("clips", data_dir=tmp_path / "clips", frames=2, image_size=4)
