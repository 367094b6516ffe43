"""Streams: the same images as in memory, from whatever step they are read. Damaged images are left out and named."""

import logging
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jaxcnn.data import Split, hold_out, in_memory, label_maps, load, stream
from jaxcnn.data._images import cover
from jaxcnn.data._stream import Source, StreamedDataset, StreamedSplit
from tests.data.conftest import Internet, write_mnist
from tests.data.test_folder import fill
from tests.data.test_tfds import as_tfrecord

FIELDS = {"image": ((1, 1, 1), np.uint8), "label": ((), np.int32)}


class Numbers:
    """Images of one pixel whose value is the number of the image; some of them cannot be read."""

    def __init__(self, count: int, damaged: tuple[int, ...] = (), label: int = 0) -> None:
        self.count, self.damaged, self.label = count, damaged, label

    def __len__(self) -> int:
        return self.count

    def name_of(self, index: int) -> str:
        return f"number {index}"

    def read(self, index: int) -> dict[str, object]:
        if index in self.damaged:
            raise ValueError(f"number {index} is damaged.")
        return {"image": np.full((1, 1, 1), index, np.uint8), "label": self.label}


def split_of(source: Source, **options: int) -> StreamedSplit:
    return StreamedSplit(source, fields=FIELDS, classes=1, **options)


def clips() -> StreamedSplit:
    return StreamedSplit(Numbers(2), fields={"video": ((2, 1, 1, 1), np.uint8), "label": ((), np.int32)}, classes=1)


def everything(split: StreamedSplit) -> tuple[np.ndarray, np.ndarray]:
    batch = split.read(np.arange(len(split)))
    assert batch.good.all()
    return batch.arrays["image"], batch.arrays["label"]


def assert_as_loaded(streamed: StreamedDataset, loaded: object) -> None:
    assert streamed.class_names == loaded.class_names
    assert streamed.image_shape == loaded.image_shape
    for ours, theirs in ((streamed.train, loaded.train), (streamed.test, loaded.test)):
        images, labels = everything(ours)
        np.testing.assert_array_equal(images, theirs["image"])
        np.testing.assert_array_equal(labels, theirs["label"])


@pytest.mark.parametrize("clips", [1, 2])
def test_a_part_of_a_stream_is_held_out_as_in_memory(clips: int) -> None:
    train, test = split_of(Numbers(10, damaged=(4,))), split_of(Numbers(4))
    options: dict[str, Any] = {"name": "numbers", "train": train, "test": test, "class_names": ("0",)}
    whole = StreamedDataset(clips=clips, fingerprint="whole", **options)
    other = StreamedDataset(clips=3 - clips, fingerprint="whole", **options)
    held = hold_out(whole, one_in=3)
    assert held.validation is not None and held.test is test and hold_out(whole, one_in=0) is whole
    expected = ([2, 5, 8], [0, 1, 3, 4, 6, 7, 9]) if clips == 1 else ([4, 5], [0, 1, 2, 3, 6, 7, 8, 9])
    for split, numbers in zip((held.validation, held.train), expected, strict=True):
        batch = split.read(np.arange(len(split)), replace=False)
        good = [number != 4 for number in numbers]
        assert batch.good.tolist() == good and split.corrupt == tuple(np.flatnonzero(~np.array(good)).tolist())
        assert batch.arrays["image"][:, 0, 0, 0].tolist() == [number * (number != 4) for number in numbers]
    others = [hold_out(whole, one_in=2), hold_out(other, one_in=3)]
    assert len({whole.fingerprint, held.fingerprint, *(other.fingerprint for other in others)}) == 4
    noun = "10, the training examples" if clips == 1 else "5, the training videos"
    with pytest.raises(ValueError, match=rf"hold_out: one_in=11 must be 0, or at least 2 and at most {noun}\."):
        hold_out(whole, one_in=11)
    with pytest.raises(ValueError, match=r"hold_out: numbers has a validation split already; one_in=0 keeps it\."):
        hold_out(held, one_in=2)
    with pytest.raises(TypeError, match=r"hold_out: expected a Dataset or a StreamedDataset, not str\."):
        hold_out("digits", one_in=2)  # type: ignore[type-var]


def test_several_clips_of_each_video_in_memory_are_not_divided() -> None:
    """Some may have been left out, so that it is not known which examples are of one video."""
    split = split_of(Numbers(4))
    loaded = in_memory(StreamedDataset(name="clips", train=split, test=split, clips=2, fingerprint=""))
    with pytest.raises(ValueError, match=r"hold_out: clips has 2 clips of each video in memory\. Call hold_out before"):
        hold_out(loaded, one_in=2)


@pytest.mark.parametrize("clips", [0, 3])
def test_clips_divide_the_examples(clips: int) -> None:
    split = split_of(Numbers(4))
    message = rf"numbers: clips={clips} must be at least 1 and divide 4, the number of examples of the train split\."
    with pytest.raises(ValueError, match=message):
        StreamedDataset(name="numbers", train=split, test=split, clips=clips, fingerprint="")


def test_some_examples_are_taken_as_in_memory() -> None:
    split = split_of(Numbers(6, damaged=(4,)), max_corrupt=1)
    loaded = Split(number=np.arange(6))
    for index in (slice(1, 6, 2), [5, 0, 0], np.arange(6) % 3 == 0, np.array([-1])):
        taken = split.take(index)
        values = taken.read(np.arange(len(taken))).arrays["image"][:, 0, 0, 0]
        np.testing.assert_array_equal(values, loaded.take(index)["number"])
    with pytest.raises(TypeError, match=r"take: expected a list of integers or a slice, got 3\. One example is take"):
        split.take(3)  # type: ignore[arg-type]
    with pytest.raises(IndexError):
        split.take([6])


def test_a_part_of_label_maps_is_held_out(tmp_path: Path) -> None:
    for folder, mode in (("train", "RGB"), ("trainannot", "L"), ("test", "RGB"), ("testannot", "L")):
        (tmp_path / folder).mkdir()
        for number in range(4):
            Image.new(mode, (4, 4), number % 2).save(tmp_path / folder / f"{number}.png")
    held = hold_out(label_maps(tmp_path, class_names=("a", "b")), one_in=2)
    assert held.validation is not None
    classes = [split.read([0, 1]).arrays["segmentation"].ravel() for split in (held.train, held.validation)]
    assert set(classes[0]) == {0} and set(classes[1]) == {1}


def test_reading_into_memory_keeps_how_images_are_resized(tmp_path: Path) -> None:
    fill(tmp_path, {"dog": 3, "ant": 3})
    assert in_memory(stream(f"folder:{tmp_path}", image_size=4, resize="cover")).resize == "cover"


def test_a_folder_streams_what_it_loads(tmp_path: Path) -> None:
    fill(tmp_path, {"dog": 10, "ant": 5, "cat": 7})
    streamed = stream(f"folder:{tmp_path}", image_size=4)
    assert_as_loaded(streamed, load(f"folder:{tmp_path}", image_size=4, channels=3))


def test_cover_takes_the_largest_part_in_the_middle() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    expected = Image.fromarray(pixels[:, 2:10]).resize((4, 4), Image.Resampling.BILINEAR)
    inside = np.s_[1:-1, 1:-1]  # pixels at the edge are averages that include pixels outside of the crop
    np.testing.assert_array_equal(cover(pixels, (4, 4))[inside], np.asarray(expected)[inside])
    np.testing.assert_array_equal(cover(pixels[:, 2:10], (8, 8)), pixels[:, 2:10])
    high = Image.fromarray(pixels[1:7]).resize((16, 8), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(cover(pixels, (8, 16))[inside], np.asarray(high)[inside])
    assert cover(pixels[..., :1], (5, 3)).shape == (5, 3, 1)


@pytest.mark.parametrize("kind", ["array_record", "tfrecord"])
def test_a_prepared_set_streams_what_it_loads(tmp_path: Path, internet: Internet, kind: str) -> None:
    write_mnist(internet.folder)
    loaded = load("mnist", data_dir=tmp_path)
    if kind == "tfrecord":
        as_tfrecord(tmp_path / "mnist" / "3.0.1")
    streamed = stream("mnist", data_dir=tmp_path, image_size=28, channels=1)
    assert_as_loaded(streamed, loaded)
    assert streamed.train.corrupt == ()


@pytest.mark.parametrize("size", [3, 16, 24, 40])
def test_batches_are_those_of_their_steps_from_any_step_on(size: int) -> None:
    split, steps = split_of(Numbers(100)), 7

    def indices(step: int) -> np.ndarray:
        return np.random.default_rng(step).integers(0, 100, size)

    for start in (0, 3, 6):
        batches = list(split.batches(indices, start, steps))
        assert len(batches) == steps - start
        for step, batch in enumerate(batches, start):
            assert batch.arrays["image"][:, 0, 0, 0].tolist() == indices(step).tolist()
            assert batch.good.all()


class Large:
    """Examples of 3 MiB, whose values are their numbers; it counts those that are read."""

    def __init__(self) -> None:
        self.shape, self.read_so_far = (3, 1024, 1024), list[int]()

    def __len__(self) -> int:
        return 1000

    def name_of(self, index: int) -> str:
        return f"number {index}"

    def read(self, index: int) -> dict[str, object]:
        self.read_so_far.append(index)
        return {"video": np.full(self.shape, index, np.uint8)}


def test_few_large_examples_are_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    source = Large()
    batches = StreamedSplit(source, fields={"video": (source.shape, np.uint8)}).batches(
        lambda step: np.arange(16 * step, 16 * step + 16), 0, 60
    )
    for step in range(2):
        found = next(batches).arrays["video"]
        assert found[:, 0, 0, 0].tolist() == found[:, -1, -1, -1].tolist() == list(range(16 * step, 16 * step + 16))
    number = 0
    while number < len(source.read_so_far):  # until the threads have read as far as they may
        number = len(source.read_so_far)
        time.sleep(0.1)
    batches.close()
    assert number <= 32 + 33  # two batches are taken, and 2 * 16 chunks of an example are read ahead


@pytest.mark.parametrize(("limit", "chunk"), [(10**6, 8), (8, 1), (5 * 4, 4), (5 * 8 - 1, 4), (5 * 8, 8), (1, 1)])
def test_batches_do_not_depend_on_the_size_of_a_chunk(monkeypatch: pytest.MonkeyPatch, limit: int, chunk: int) -> None:
    """An example has 5 bytes, and 8 is the greatest number of them that divides both a batch and 16."""
    monkeypatch.setattr("jaxcnn.data._stream.CHUNK_BYTES", limit)
    split, read, sizes = split_of(Numbers(100)), StreamedSplit.read, set()

    def noted(self: StreamedSplit, indices: np.ndarray, *, replace: bool = True) -> object:
        sizes.add(len(indices))
        return read(self, indices, replace=replace)

    monkeypatch.setattr(StreamedSplit, "read", noted)
    for step, batch in enumerate(split.batches(lambda step: np.arange(24 * step, 24 * step + 24), 0, 3)):
        assert batch.arrays["image"][:, 0, 0, 0].tolist() == list(range(24 * step, 24 * step + 24))
    assert sizes == {chunk}


def test_what_cannot_be_read_is_replaced_by_the_next_and_named_once(caplog: pytest.LogCaptureFixture) -> None:
    split = split_of(Numbers(10, damaged=(3, 4, 9)))
    with caplog.at_level(logging.WARNING, "jaxcnn"):
        for _ in range(2):
            batch = split.read(np.array([2, 3, 4, 9]))
            assert batch.arrays["image"][:, 0, 0, 0].tolist() == [2, 5, 5, 0]
            assert batch.good.all()
    assert split.corrupt == (3, 4, 9)
    assert [record.getMessage() for record in caplog.records] == [
        f"left out ({number} of at most 100): number {index} is damaged." for number, index in ((1, 3), (2, 4), (3, 9))
    ]


def test_evaluation_goes_without_what_cannot_be_read() -> None:
    batch = split_of(Numbers(10, damaged=(3,))).read(np.array([2, 3]), replace=False)
    assert batch.good.tolist() == [True, False]
    assert batch.arrays["image"][:, 0, 0, 0].tolist() == [2, 0]


@pytest.mark.parametrize(
    ("most", "count", "message"),
    [
        (
            2,
            10,
            r"\d examples cannot be read, more than max_corrupt=2: (number \d(, )?){3,5}.*. The last: number \d is",
        ),
        (
            100,
            4,
            r"^none of the examples can be read, 4 in all: (number \d(, )?){4}\. The last: number \d is damaged\.",
        ),
    ],
)
def test_too_many_are_an_error_that_names_them(most: int, count: int, message: str) -> None:
    split = split_of(Numbers(count, damaged=tuple(range(count))), max_corrupt=most)
    with pytest.raises(ValueError, match=message):
        list(split.batches(lambda step: np.arange(count), 0, 1))


def test_damaged_files_of_a_folder_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path, {"ant": 3, "cat": 3})
    for name, content in (("ant/000.png", b""), ("cat/001.png", b"no image"), ("cat/002.png", None)):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:60] if content is None else content)
    data = stream(f"folder:{tmp_path}", image_size=5)
    for split in (data.train, data.test):
        split.read(np.arange(len(split)))
    said = " ".join(record.getMessage() for record in caplog.records)
    assert all(name in said for name in ("ant/000.png", "cat/001.png", "cat/002.png"))
    assert len(data.train.corrupt) + len(data.test.corrupt) == 3


def test_the_fingerprint_tells_other_images_and_sizes(tmp_path: Path) -> None:
    fill(tmp_path / "one", {"ant": 3, "cat": 3})
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    name = f"folder:{tmp_path / 'one'}"
    first = stream(name, image_size=5).fingerprint
    assert first == stream(f"folder:{tmp_path / 'two'}", image_size=5).fingerprint
    content = bytearray((tmp_path / "two/cat/001.png").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "two/cat/001.png").write_bytes(content)
    assert first != stream(f"folder:{tmp_path / 'two'}", image_size=5).fingerprint
    (tmp_path / "two/cat/001.png").unlink()
    others = [stream(f"folder:{tmp_path / 'two'}", image_size=5), stream(name, image_size=6)]
    others += [stream(name, image_size=5, resize="cover"), stream(name, image_size=5, channels=1)]
    assert len({first, *(other.fingerprint for other in others)}) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, "stream: image_size=0 must be at least 1."),
        ({"channels": 3.0}, "stream: channels must be an integer, not 3.0"),
        ({"name": None}, "stream: name must be a text, such as 'imagenet2012' or 'folder:/path', not None."),
        ({"test_fraction": "0.2"}, "stream: test_fraction='0.2' must be between 0 and 1, such as 0.2."),
        ({"channels": 2}, "stream: images have 1 channel (grey) or 3 (colour), not 2."),
        ({"resize": "covr"}, "Did you mean 'cover'?"),
        ({"test_fraction": 1.0}, "stream: test_fraction=1.0 must be between 0 and 1"),
        ({"max_corrupt": -1}, "max_corrupt=-1 cannot be negative"),
        ({"max_corrupt": 2.5}, "max_corrupt must be an integer, not 2.5 (float)"),
        ({"max_corrupt": "3"}, "max_corrupt must be an integer, not '3' (str)"),
        ({"max_corrupt": None}, "max_corrupt must be an integer, not None (NoneType)"),
        ({"max_corrupt": True}, "max_corrupt must be an integer, not True"),
        (
            {"name": "imagenet2012", "data_dir": "nowhere"},
            "tensorflow-datasets has prepared no 'imagenet2012' in nowhere",
        ),
    ],
)
def test_what_cannot_be_streamed(tmp_path: Path, options: dict[str, object], message: str) -> None:
    fill(tmp_path, {"ant": 3, "cat": 3})
    with pytest.raises((TypeError, ValueError, FileNotFoundError), match=re.escape(message)):
        stream(**{"name": f"folder:{tmp_path}", "image_size": 5} | options)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (lambda: split_of(Numbers(0)), "there is no example"),
        (lambda: split_of(Numbers(2, label=1)).read(np.arange(2)), "number 0 has the label 1, but there are 1 classes"),
        (
            lambda: StreamedSplit(Numbers(2), fields={"image": ((2, 2, 1), np.uint8)}, classes=1).read(np.arange(2)),
            "number 0 is uint8 of shape (1, 1, 1) in image, but the source promised uint8 of shape (2, 2, 1).",
        ),
        (
            lambda: StreamedSplit(Numbers(2), fields={"boxes": ((4,), np.float32)}).read(np.arange(2)),
            "number 0 has no 'boxes', which the source promised, only image, label.",
        ),
        (lambda: StreamedSplit(Numbers(2), fields={}), "expected the shape and dtype of at least one array"),
        (
            lambda: StreamedDataset(name="clips", train=clips(), test=clips(), fingerprint="").image_shape,
            "clips: there is no array 'image', only 'video', 'label'. The shape and the dtype of an example of each",
        ),
        (
            lambda: StreamedDataset(
                name="odd",
                train=split_of(Numbers(2)),
                test=StreamedSplit(Numbers(2), fields=FIELDS | {"image": ((2, 2, 1), np.uint8)}, classes=1),
                class_names=("0",),
                fingerprint="",
            ),
            "odd: image is uint8[1, 1, 1] for each example of the train split, but uint8[2, 2, 1]",
        ),
    ],
)
def test_what_is_no_stream(split: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        split()
