"""Downloading and preparing without TensorFlow; only the addresses differ from real use."""

import dataclasses
import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from jaxcnn.data import _tfds_prepare as tfds_prepare
from jaxcnn.data import load
from jaxcnn.data._arrays import Split
from jaxcnn.data._tfds_prepare import SOURCES, download_and_prepare, read_idx
from tests.data.conftest import CIFAR_CLASSES, Internet, cifar_rows, idx, mnist_arrays, write_cifar, write_mnist


def assert_holds(split: Split, images: np.ndarray, labels: np.ndarray) -> None:
    """Checks that the split has these images with these labels, in the order of TFDS."""
    expected = {image.tobytes(): int(label) for image, label in zip(images, labels, strict=True)}
    found = {image.tobytes(): int(label) for image, label in zip(split["image"], split["label"], strict=True)}
    assert found == expected
    assert len(split) == len(images)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_idx_archives_become_a_prepared_set(tmp_path: Path, internet: Internet, name: str) -> None:
    write_mnist(internet.folder)
    data = load(name, data_dir=tmp_path / "sets")
    arrays = mnist_arrays()
    assert_holds(data.train, *arrays["train"])
    assert_holds(data.test, *arrays["t10k"])
    assert data.image_shape == (28, 28, 1)
    assert data.class_names[0] == ("0" if name == "mnist" else "T-shirt/top")
    assert data.name == name and data.citation and data.licence == SOURCES[name].licence
    assert len(internet.asked) == 4
    again = load(name, data_dir=tmp_path / "sets")
    assert len(internet.asked) == 4, "a prepared set is read, not fetched again"
    assert again.fingerprint == data.fingerprint


def test_a_cifar_archive_becomes_a_prepared_set(tmp_path: Path, internet: Internet) -> None:
    write_cifar(internet.folder)
    data = load("cifar10", data_dir=tmp_path)
    rows = cifar_rows()
    test = rows.pop("test_batch.bin")
    train = np.concatenate(list(rows.values()))
    for split, table in ((data.train, train), (data.test, test)):
        # The planes are red, green and blue: pixel (r, c) of plane p is channel p of that pixel.
        images = np.stack([table[:, 1 + 1024 * plane : 1 + 1024 * (plane + 1)] for plane in range(3)], axis=-1)
        assert_holds(split, images.reshape(-1, 32, 32, 3), table[:, 0])
    assert data.class_names == tuple(CIFAR_CLASSES)


def test_the_two_sets_with_the_same_archive_names_do_not_mix(tmp_path: Path, internet: Internet) -> None:
    write_mnist(internet.folder)
    first = load("mnist", data_dir=tmp_path / "sets")
    changed = {stem: (255 - images, labels) for stem, (images, labels) in mnist_arrays().items()}
    write_mnist(internet.folder, changed)
    second = load("fashion_mnist", data_dir=tmp_path / "sets")
    assert len(internet.asked) == 8
    assert_holds(first.train, *mnist_arrays()["train"])
    assert_holds(second.train, *changed["train"])


def test_without_internet_the_error_says_what_to_do_and_nothing_is_left(
    tmp_path: Path, internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = dataclasses.replace(SOURCES["mnist"], address="http://127.0.0.1:9/")
    monkeypatch.setitem(tfds_prepare.SOURCES, "mnist", nowhere)
    root = tmp_path / "deep" / "sets"
    with pytest.raises(FileNotFoundError) as caught:
        load("mnist", data_dir=root)
    message = str(caught.value)
    assert message.startswith(f"load: mnist is not prepared: there is no {root / 'mnist'} with a version in it")
    assert "downloading from http://127.0.0.1:9/ failed ([Errno " in message and "refused). If" in message
    assert "--set data_dir=DIR" in message and "TFDS_DATA_DIR" in message
    assert f"copy that machine's mnist folder to {root / 'mnist'}" in message
    assert f"t10k-labels-idx1-ubyte.gz into {root / 'downloads' / 'mnist' / 'manual'}." in message
    assert not (tmp_path / "deep").exists()


def test_what_was_there_before_a_failure_stays(tmp_path: Path, internet: Internet) -> None:
    (tmp_path / "sets" / "other").mkdir(parents=True)
    write_mnist(internet.folder)
    (internet.folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"failed \(Failed to get url .*HTTP code: 404"):
        load("mnist", data_dir=tmp_path / "sets")
    assert (tmp_path / "sets" / "other").is_dir()
    assert not (tmp_path / "sets" / "mnist").exists()
    left = [path.name for path in (tmp_path / "sets" / "downloads").rglob("*")]
    assert not [name for name in left if ".tmp." in name]
    write_mnist(internet.folder)
    assert len(load("mnist", data_dir=tmp_path / "sets").train) == 150


def test_archives_can_be_laid_down_by_hand(tmp_path: Path, internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    """TFDS accepts archives placed by hand only if it has their checksum, and then verifies it."""
    from tensorflow_datasets.core.download import checksums

    manual = tmp_path / "downloads" / "mnist" / "manual"
    manual.mkdir(parents=True)
    write_mnist(manual)
    known = {internet.address + name: checksums.compute_url_info(manual / name) for name in SOURCES["mnist"].archives}
    monkeypatch.setattr(checksums, "get_all_url_infos", lambda: known)
    monkeypatch.setattr(tfds_prepare, "_check_reachable", lambda address: pytest.fail("there is no need for it"))
    data = load("mnist", data_dir=tmp_path)
    assert_holds(data.test, *mnist_arrays()["t10k"])
    assert internet.asked == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[: len(content) // 2], "is damaged (Compressed file ended"),
        (lambda content: b"<html>not found</html>", "is damaged (Not a gzipped file"),
        (lambda content: content[:40] + bytes(20) + content[60:], "is damaged ("),
        (lambda content: gzip.compress(gzip.decompress(content)[:-1]), "is not an IDX file of 3 axes, or not a whole"),
        (lambda content: idx(np.zeros((3, 4), np.uint8)), "is not an IDX file of 3 axes"),
        (lambda content: idx(np.zeros((3, 28, 28), np.uint8)), "train: there are 3 images but 150 labels"),
    ],
    ids=["half", "a web page", "garbled", "a byte short", "another rank", "too few"],
)
def test_damaged_archives(tmp_path: Path, internet: Internet, change: object, message: str) -> None:
    write_mnist(internet.folder)
    path = internet.folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(ValueError, match=re.escape(message)):
        load("mnist", data_dir=tmp_path / "sets")
    assert not (tmp_path / "sets" / "mnist").exists(), "it would look prepared"


def test_a_damaged_cifar_archive(tmp_path: Path, internet: Internet) -> None:
    path = write_cifar(internet.folder) / "cifar-10-binary.tar.gz"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match="is not a whole CIFAR-10 archive"):
        load("cifar10", data_dir=tmp_path / "sets")
    assert not (tmp_path / "sets" / "cifar10").exists()


def test_idx_files_say_their_own_shape(tmp_path: Path) -> None:
    array = np.random.default_rng(3).integers(0, 256, (2, 300, 5), np.uint8)
    (tmp_path / "x.gz").write_bytes(idx(array))
    np.testing.assert_array_equal(read_idx(tmp_path / "x.gz", rank=3), array)


def test_a_proxy_is_left_to_reach_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    tfds_prepare._check_reachable("http://no.such.host/")
    monkeypatch.delenv("http_proxy")
    with pytest.raises(OSError):
        tfds_prepare._check_reachable("http://127.0.0.1:9/")


def test_a_folder_that_cannot_be_written(tmp_path: Path, internet: Internet) -> None:
    write_mnist(internet.folder)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="Not a directory"):
        download_and_prepare("mnist", tmp_path / "file")
