"""Clips of moving digits, and folders of videos."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jaxcnn import data
from jaxcnn.data import Dataset, Split, _moving_digits
from jaxcnn.data._moving_digits import DIRECTIONS


def flat(value: int, size: int = 8) -> Dataset:
    """An image with one value everywhere."""
    split = Split(image=np.full((1, size, size, 1), value, np.uint8), label=np.zeros(1, int))
    return Dataset(name="flat", train=split, test=split, validation=split, class_names=("0",))


def test_a_digit_moves_in_the_direction_of_its_label() -> None:
    """The centre of the pixels that differ from the photograph, compared between the first and the last frame."""
    clips = data.moving_digits(flat(255), flat(7), train_count=60, test_count=30, frames=6, size=32)
    changed = (clips.train["video"] != 7).any(-1)
    rows, columns = np.mgrid[:32, :32]
    mass = changed.sum((2, 3))
    centres = np.stack([(changed * each).sum((2, 3)) / mass for each in (columns, rows)], -1)
    moved = centres[:, -1] - centres[:, 0]
    steps = np.array(list(DIRECTIONS.values()))[clips.train["label"]]
    cosine = (moved * steps).sum(-1) / np.linalg.norm(moved, axis=-1) / np.linalg.norm(steps, axis=-1)
    assert cosine.min() > 0.95 and set(clips.train["label"]) == set(range(8))
    assert np.linalg.norm(moved, axis=-1).min() > 4.2 and np.linalg.norm(moved, axis=-1).max() < 10.8
    assert np.abs(centres[:, 3] - 15.5).max() < 3.1
    assert list(clips.splits) == ["train", "validation", "test"] and len(clips.validation) == 30  # type: ignore[arg-type]


@pytest.mark.parametrize("frames", [5, 6])
def test_one_frame_does_not_show_the_direction(monkeypatch: pytest.MonkeyPatch, frames: int) -> None:
    """The frame is the same, bit for bit, if every digit moves in the opposite direction."""
    options: dict[str, Any] = {"train_count": 20, "test_count": 1, "frames": frames}
    clips = data.moving_digits(flat(255), flat(7), **options).train["video"]
    opposite = {name: (-across, -down) for name, (across, down) in DIRECTIONS.items()}
    monkeypatch.setattr(_moving_digits, "DIRECTIONS", opposite)
    reversed_clips = data.moving_digits(flat(255), flat(7), **options).train["video"]
    differs = (clips != reversed_clips).any((0, 2, 3, 4))
    np.testing.assert_array_equal(differs, np.arange(frames) != frames // 2)


def test_the_photograph_moves_and_the_digit_keeps_its_colour() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), np.uint8)
    photographs = Dataset(name="p", train=Split(image=picture), test=Split(image=picture))
    options: dict[str, Any] = {"train_count": 3, "test_count": 1, "frames": 5, "size": 16}
    still = data.moving_digits(flat(0), photographs, drift=0, **options).train["video"]
    moving = data.moving_digits(flat(0), photographs, drift=2, **options).train["video"]
    assert (still == still[:, :1]).all()
    assert (moving != moving[:, :1]).any((1, 2, 3, 4)).sum() >= 2  # a speed may round to zero
    colours = data.moving_digits(flat(255), flat(7), **options).train["video"]
    assert all(len(np.unique(clip.reshape(-1, 3), axis=0)) == 2 for clip in colours)


def test_both_labels_of_a_clip() -> None:
    digits = data.load("digits", image_size=8)
    options: dict[str, Any] = {"train_count": 20, "test_count": 2, "frames": 3, "size": 8, "seed": 1}
    both = data.moving_digits(digits, digits, task="digit_and_direction", **options)
    one = data.moving_digits(digits, digits, **options)
    assert len(both.class_names) == 80 and both.class_names[19] == "2 down left"
    np.testing.assert_array_equal(both.train["label"] % 8, one.train["label"])
    np.testing.assert_array_equal(both.train["video"], one.train["video"])
    assert len(set(both.train["label"] // 8)) > 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 0}, "moving_digits: frames=0 must be at least 1"),
        ({"size": 4}, "size=4 is under 8, the size of the digits"),
        ({"drift": -1}, "drift=-1 must be a number of pixels of at least 0"),
        ({"drift": "x"}, "drift='x' must be a number of pixels of at least 0"),
        ({"seed": -1}, "moving_digits: seed=-1 must be at least 0"),
        ({"task": "directions"}, "task='directions' is not known. Did you mean 'direction'"),
    ],
)
def test_clips_that_cannot_be_made_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        data.moving_digits(flat(255), flat(7), **{"train_count": 1, "test_count": 1, **options})
    with pytest.raises(ValueError, match="digits must have one channel, but colour has 3"):
        colour = Split(image=np.zeros((1, 4, 4, 3), np.uint8), label=np.zeros(1, int))
        data.moving_digits(Dataset(name="colour", train=colour, test=colour), flat(7), train_count=1, test_count=1)
    with pytest.raises(ValueError, match="photographs must have one or three channels, but deep has 4"):
        deep = Split(image=np.zeros((1, 4, 4, 4), np.uint8))
        data.moving_digits(flat(255), Dataset(name="deep", train=deep, test=deep), train_count=1, test_count=1)
    with pytest.raises(TypeError, match=r"moving_digits: photographs must be a Dataset, such as .*, not NoneType"):
        data.moving_digits(flat(255), None, train_count=1, test_count=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"digit_scenes: digits must be a Dataset, such as .*, not str"):
        data.digit_scenes("digits", flat(7), train_count=1, test_count=1)  # type: ignore[arg-type]


def test_a_digit_may_leave_the_frame() -> None:
    """In 40 frames every digit moves beyond the frame, and back into none."""
    clips = data.moving_digits(flat(255), flat(7), train_count=40, test_count=1, frames=40, size=16).train["video"]
    there = (clips != 7).any((2, 3, 4))
    assert there[:, 20].all() and not there[:, 0].any() and not there[:, -1].any()
    assert (np.abs(np.diff(there.astype(int), axis=1)).sum(1) == 2).all()  # it enters once and leaves once


def fill(root: Path, *, videos: int = 2, frames: int = 11) -> Path:
    for number, name in enumerate(("run", "walk")):
        for video in range(videos):
            for frame in range(frames):
                file = root / name / f"v{video}" / f"frame{frame}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (3, 2), 100 * number + 20 * video + frame).save(file)
    return root


def test_frames_are_taken_at_equal_distances_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for part in ("train", "test"):
        fill(tmp_path / part)
    videos = data.video_folder(tmp_path, frames=3, channels=3)
    assert videos.train["video"].shape == (4, 3, 2, 3, 3) and videos.class_names == ("run", "walk")
    firsts = videos.train["video"][:, :, 0, 0, 0]
    np.testing.assert_array_equal(firsts, np.array([[0, 5, 10]]) + np.array([[0], [20], [100], [120]]))
    np.testing.assert_array_equal(videos.train["label"], [0, 0, 1, 1])


def test_videos_are_divided_whole_and_short_ones_repeat_frames(tmp_path: Path) -> None:
    videos = data.video_folder(fill(tmp_path, videos=4, frames=2), frames=4, image_size=4, test_fraction=0.25)
    assert videos.train["video"].shape == (6, 4, 4, 4, 1) and videos.test["video"].shape == (2, 4, 4, 4, 1)
    middle = videos.test["video"][:, :, 2, 2, 0]
    np.testing.assert_array_equal(middle - middle[:, :1], [[0, 0, 1, 1]] * 2)


@pytest.mark.parametrize(
    ("count", "frames", "places"),
    [(4, 7, [0, 1, 1, 2, 2, 3, 3]), (10, 7, [0, 2, 3, 5, 6, 8, 9]), (5, 1, [0]), (1, 3, [0, 0, 0])],
)
def test_halves_are_rounded_up(tmp_path: Path, count: int, frames: int, places: list[int]) -> None:
    videos = data.video_folder(fill(tmp_path, frames=count), frames=frames).train["video"][0, :, 0, 0, 0]
    np.testing.assert_array_equal(videos - videos[0], places)


def test_a_link_to_a_frame_of_the_same_video_is_a_frame(tmp_path: Path) -> None:
    fill(tmp_path, frames=4)
    for video in ("v0", "v1"):
        (tmp_path / "run" / video / "frame1.png").unlink()
        (tmp_path / "run" / video / "frame1.png").symlink_to("frame0.png")
    (tmp_path / "run" / "v2").symlink_to("v1")  # the same video again
    videos = data.video_folder(tmp_path, frames=4)
    assert len(videos.train) == len(videos.test) == 2
    video = videos.train["video"][0, :, 0, 0, 0]
    np.testing.assert_array_equal(video - video[0], [0, 0, 2, 3])


def test_folders_that_hold_no_videos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"frames=0 must be at least 1"):
        data.video_folder(fill(tmp_path / "a"), frames=0)
    with pytest.raises(ValueError, match=r"the class .*run has one video only; it needs two"):
        data.video_folder(fill(tmp_path / "b", videos=1), frames=1)
    Image.new("L", (3, 2)).save(tmp_path / "a" / "run" / "loose.png")
    with pytest.raises(
        ValueError, match=r"^video_folder: .*loose.png is in the folder of a class. A folder of videos has one"
    ):
        data.video_folder(tmp_path / "a", frames=1)
    (tmp_path / "a" / "run" / "loose.png").unlink()
    (tmp_path / "a" / "run" / "v0" / "small").mkdir()
    Image.new("L", (3, 2)).save(tmp_path / "a" / "run" / "v0" / "small" / "0.png")
    with pytest.raises(ValueError, match=r"0.png is in a folder within that of a video. A folder of videos has one"):
        data.video_folder(tmp_path / "a", frames=1)
    with pytest.raises(ValueError, match=r"^video_folder: the path is empty. A folder of videos has one sub-folder"):
        data.video_folder("", frames=1)
    with pytest.raises(TypeError, match=r"^video_folder: path must be the path of a folder, not None"):
        data.video_folder(None, frames=1)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match=r"^video_folder: .*nowhere does not exist. A folder of videos has one"):
        data.video_folder(tmp_path / "nowhere", frames=1)
    with pytest.raises(ValueError, match=r"^video_folder: test_fraction='x' must be between 0 and 1"):
        data.video_folder(tmp_path / "a", frames=1, test_fraction="x")  # type: ignore[arg-type]
    shutil.rmtree(tmp_path / "b" / "walk")
    with pytest.raises(ValueError, match=r"has one class only, 'run'"):
        data.video_folder(tmp_path / "b", frames=1)


@pytest.mark.parametrize("spacing", [None, 2])
def test_one_video_is_read_as_a_stream_reads_it(tmp_path: Path, spacing: int | None) -> None:
    fill(tmp_path, frames=12)
    (tmp_path / "run" / "v1" / "._0.png").write_bytes(b"left by a tool")
    (tmp_path / "run" / "v1" / "thumbs.png").mkdir()
    options: dict[str, Any] = {"frames": 3, "image_size": 4, "spacing": spacing, "channels": 1, "resize": "cover"}
    found = data.read_video(tmp_path / "run" / "v1", **options)
    streamed = data.stream(f"folder:{tmp_path}", **options)
    both = [split.read([0]).arrays["video"][0] for split in (streamed.train, streamed.test)]
    assert any(np.array_equal(found, each) for each in both)
    values = [20, 26, 31] if spacing is None else [23, 25, 27]
    assert found[:, 2, 2, 0].tolist() == values


def test_folders_that_are_no_video_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"read_video: there is no folder .*nowhere\. A video is a fold"):
        data.read_video(tmp_path / "nowhere", frames=2, image_size=4)
    with pytest.raises(ValueError, match=r"read_video: .* has no images \(\.png, .*\)\. A video is a folder"):
        data.read_video(tmp_path, frames=2, image_size=4)
    with pytest.raises(ValueError, match=r"read_video: image_size=0 must be at least 1"):
        data.read_video(tmp_path, frames=2, image_size=0)


def test_files_of_several_images_are_no_frames(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path)
    pages = [Image.new("L", (3, 2), 10 * page) for page in range(6)]
    pages[0].save(tmp_path / "walk" / "v0" / "frame0.gif", save_all=True, append_images=pages[1:])
    message = r"frame0\.gif has 6 images\. The folder of a video has one file for each frame\."
    with pytest.raises(ValueError, match=message):
        data.video_folder(tmp_path, frames=12)
    videos = data.stream(f"folder:{tmp_path}", frames=12, image_size=4)
    for split in (videos.train, videos.test):
        split.read([0, 1], replace=False)
    assert re.search(message, caplog.text)


def test_video_files_are_named_where_frames_are_missing(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "swim").mkdir()
    (tmp_path / "swim" / "a.MP4").touch()
    with pytest.raises(ValueError, match=r"swim has no images \(.*\); a\.MP4 is a video file, whose frames have"):
        data.video_folder(tmp_path, frames=1)


def test_images_are_not_taken_for_videos(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"if the sub-folders are videos, read them by data\.video_folder, or"):
        data.load(f"folder:{fill(tmp_path)}")


def test_a_link_to_a_frame_of_another_video_is_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "run" / "v1" / "frame3.png").unlink()
    (tmp_path / "run" / "v1" / "frame3.png").symlink_to("../v0/frame3.png")
    message = r"v1/frame3\.png is a link to a frame of another video, .*v0/frame3\.png\. Copy the frame, or"
    with pytest.raises(ValueError, match=message):
        data.video_folder(tmp_path, frames=2)


def test_val_beside_test_is_the_validation_split(tmp_path: Path) -> None:
    for name, count in (("train", 3), ("val", 1), ("test", 2)):
        fill(tmp_path / name, videos=count)
    loaded = data.video_folder(tmp_path, frames=2, image_size=4)
    streamed = data.in_memory(data.stream(f"folder:{tmp_path}", frames=2, image_size=4, channels=1))
    assert {name: len(split) for name, split in loaded.splits.items()} == {"train": 6, "validation": 2, "test": 4}
    assert streamed.fingerprint == loaded.fingerprint
