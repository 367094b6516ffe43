"""Prepared TFDS folders, whatever program wrote them, and the message of each error."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxcnn.data import Dataset, load, stream
from jaxcnn.data import _tfds as tfds_module
from jaxcnn.data._tfds import data_folder, prepared_folder
from tests.data.conftest import CIFAR_CLASSES, Internet, as_tfrecords, idx, write_cifar, write_mnist

SHARED = Path(os.environ.get("JAXCNN_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")


@pytest.fixture
def sets(tmp_path: Path, internet: Internet) -> Path:
    """A folder with a small MNIST."""
    write_mnist(internet.folder)
    load("mnist", data_dir=tmp_path / "sets")
    return tmp_path / "sets"


@pytest.fixture
def mnist(sets: Path) -> Dataset:
    return load("mnist", data_dir=sets)


def change_info(folder: Path, **changes: object) -> None:
    path = folder / "dataset_info.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def test_the_newest_finished_version_is_read(tmp_path: Path) -> None:
    for version in ("3.0.9", "3.0.10", "incomplete.AB12CD_3.0.11", "notes"):
        (tmp_path / "mnist" / version).mkdir(parents=True)
        (tmp_path / "mnist" / version / "dataset_info.json").write_text("{}", encoding="utf-8")
    (tmp_path / "mnist" / "4.0.0").mkdir()
    assert prepared_folder("mnist", tmp_path) == tmp_path / "mnist" / "3.0.10"
    assert prepared_folder("cifar10", tmp_path) is None


def test_where_sets_are_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    assert data_folder() == tmp_path / "tensorflow_datasets"
    monkeypatch.setenv("TFDS_DATA_DIR", "~/sets")
    assert data_folder() == tmp_path / "sets"
    assert data_folder("/elsewhere") == Path("/elsewhere")


@pytest.mark.parametrize("place", ["class", "nested json"])
def test_a_set_imports_no_module_of_its_own(
    sets: Path, mnist: Dataset, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """TFDS would import the module of an unknown class from anywhere on the path."""
    (sets / "foreign_features.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(sets)
    path = sets / "mnist" / "3.0.1" / "features.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    foreign = {"pythonClassName": "foreign_features.Image", "tensor": {}}
    if place == "class":
        content["featuresDict"]["features"]["image"] = foreign
    else:
        legacy = {"type": "foreign_features.Image", "content": {}}
        content = {
            "pythonClassName": content["pythonClassName"],
            "jsonFeature": {"json": json.dumps({"image": json.dumps(legacy)})},
        }
    path.write_text(json.dumps(content), encoding="utf-8")
    message = (
        r"features\.json names the class 'foreign_features\.Image'\. Expected classes of tensorflow_datasets\.core"
    )
    with pytest.raises(ValueError, match=message):
        load("mnist", data_dir=sets)


def test_the_environment_names_the_folder(sets: Path, mnist: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(sets))
    assert load("mnist").fingerprint == mnist.fingerprint


def test_a_set_without_a_preparer_is_read_where_it_lies(sets: Path, mnist: Dataset) -> None:
    shutil.move(sets / "mnist", sets / "my_digits")
    data = load("my_digits", data_dir=sets)
    assert data.fingerprint == mnist.fingerprint
    assert data.name == "my_digits"


def test_images_can_be_brought_to_another_size(sets: Path, mnist: Dataset) -> None:
    data = load("mnist", data_dir=sets, image_size=14)
    assert data.image_shape == (14, 14, 1)
    means = mnist.train["image"].reshape(-1, 14, 2, 14, 2).mean((2, 4))
    assert np.corrcoef(means.ravel(), data.train["image"].ravel())[0, 1] > 0.9


def as_tfrecord(folder: Path) -> None:
    """Rewrites a set in the default format of TFDS."""
    from array_record.python.array_record_module import ArrayRecordReader

    for path in folder.glob("*.array_record-*"):
        reader = ArrayRecordReader(str(path))
        records = [reader.read() for _ in range(reader.num_records())]
        reader.close()
        framed = as_tfrecords(records)
        path.with_name(path.name.replace("array_record", "tfrecord")).write_bytes(framed)
        path.unlink()
    change_info(folder, fileFormat="tfrecord")


def test_the_format_of_older_sets_is_read_too(sets: Path, mnist: Dataset) -> None:
    as_tfrecord(sets / "mnist" / "3.0.1")
    assert load("mnist", data_dir=sets).fingerprint == mnist.fingerprint


def test_a_record_that_does_not_match_its_checksum(sets: Path) -> None:
    as_tfrecord(folder := sets / "mnist" / "3.0.1")
    (path,) = folder.glob("*test.tfrecord-*")
    content = bytearray(path.read_bytes())
    content[-20] ^= 1  # in the last record
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"the test images in .*3\.0\.1 cannot be read \(.*does not match its checksum"
    ):
        load("mnist", data_dir=sets)
    split = stream("mnist", data_dir=sets, image_size=28, channels=1).test
    assert split.read(np.arange(len(split)), replace=False).good.sum() == len(split) - 1


def test_the_classes_of_cifar10_have_names_even_where_the_folder_has_none(tmp_path: Path, internet: Internet) -> None:
    write_cifar(internet.folder)
    load("cifar10", data_dir=tmp_path)
    (tmp_path / "cifar10" / "3.0.2" / "label.labels.txt").write_text(
        "".join(f"{label}\n" for label in range(10)), encoding="utf-8"
    )
    assert load("cifar10", data_dir=tmp_path).class_names == tuple(CIFAR_CLASSES)


def test_the_folder_of_one_set_in_place_of_the_folder_of_sets(sets: Path) -> None:
    with pytest.raises(
        ValueError,
        match=re.escape(f"the folder of one set; data_dir is the folder that holds it: --set data_dir={sets}"),
    ):
        load("mnist", data_dir=sets / "mnist")


def test_another_process_may_be_faster(tmp_path: Path, internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    """TFDS renames its finished folder, which fails if the new name already exists."""
    prepare = tfds_module.download_and_prepare

    def lose_the_race(name: str, root: Path) -> None:
        prepare(name, root)
        raise FileNotFoundError("Directory not empty")

    monkeypatch.setattr(tfds_module, "download_and_prepare", lose_the_race)
    write_mnist(internet.folder)
    assert len(load("mnist", data_dir=tmp_path / "sets").test) == 20


def test_an_incomplete_copy(sets: Path) -> None:
    (shard,) = (sets / "mnist" / "3.0.1").glob("*test*")
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(f"incomplete: {shard.name} is missing. Copy the whole")):
        load("mnist", data_dir=sets)


def test_a_damaged_description(sets: Path) -> None:
    (sets / "mnist" / "3.0.1" / "dataset_info.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"TFDS cannot open .*3\.0\.1 \(.*Delete the folder and prepare it again"):
        load("mnist", data_dir=sets)


def test_damaged_records(sets: Path) -> None:
    (shard,) = (sets / "mnist" / "3.0.1").glob("*test*")
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"the test images in .*3\.0\.1 cannot be read"):
        load("mnist", data_dir=sets)


def test_a_format_that_is_not_read(sets: Path) -> None:
    as_tfrecord(folder := sets / "mnist" / "3.0.1")
    for path in folder.glob("*.tfrecord-*"):
        path.rename(path.with_name(path.name.replace("tfrecord", "riegeli")))
    change_info(folder, fileFormat="riegeli")
    with pytest.raises(ValueError, match="is in the format riegeli; array_record and tfrecord are read"):
        load("mnist", data_dir=sets)


def test_a_set_that_is_not_for_classification(sets: Path) -> None:
    path = sets / "mnist" / "3.0.1" / "features.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"label"', '"digit"'), encoding="utf-8")
    with pytest.raises(ValueError, match=r"has no feature 'label', only \['digit', 'image'\]"):
        load("mnist", data_dir=sets)


def test_splits(sets: Path, mnist: Dataset) -> None:
    folder = sets / "mnist" / "3.0.1"
    (shard,) = folder.glob("*test*")
    splits = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))["splits"]
    change_info(folder, splits=[split | {"name": split["name"].replace("test", "validation")} for split in splits])
    shard.rename(shard.with_name(shard.name.replace("test", "validation")))
    assert load("mnist", data_dir=sets).fingerprint == mnist.fingerprint
    change_info(folder, splits=splits[:1])
    with pytest.raises(ValueError, match=r"has the splits \['train'\]: train and test \(or validation\) are required"):
        load("mnist", data_dir=sets)


@pytest.mark.parametrize("labelled", [True, False])
def test_the_validation_split_is_read_and_a_test_split_without_labels_is_not(
    sets: Path, mnist: Dataset, labelled: bool
) -> None:
    """ImageNet's test images have the label -1."""
    folder = sets / "mnist" / "3.0.1"
    as_tfrecord(folder)
    splits = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))["splits"]
    test = next(split for split in splits if split["name"] == "test")
    (shard,) = folder.glob("*test*")
    shutil.copy(shard, shard.with_name(shard.name.replace("test", "validation")))
    change_info(folder, splits=[*splits, test | {"name": "validation"}])
    if not labelled:
        write_unlabelled(shard, count=20)
    for data in (load("mnist", data_dir=sets), stream("mnist", data_dir=sets, image_size=28, channels=1)):
        assert list(data.splits) == (["train", "validation", "test"] if labelled else ["train", "test"])
        labels = data.test["label"] if isinstance(data, Dataset) else data.test.read(np.arange(20)).arrays["label"]
        np.testing.assert_array_equal(labels, mnist.test["label"])


def write_unlabelled(shard: Path, *, count: int) -> None:
    """Writes black digits with the label -1."""
    import io

    import tensorflow_datasets as tfds
    from PIL import Image

    file = io.BytesIO()
    Image.new("L", (28, 28)).save(file, "PNG")
    features = tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(28, 28, 1)), "label": np.int64})
    encoded = features.encode_example({"image": io.BytesIO(file.getvalue()), "label": -1})
    shard.write_bytes(as_tfrecords([features.serialize_example(encoded)] * count))


def test_importing_the_data_layer_imports_nothing_slow_and_reading_needs_no_tensorflow(sets: Path) -> None:
    slow = ("tensorflow_datasets", "grain", "jax", "tensorflow")
    code = f"import sys, jaxcnn.data; print(sorted(set({slow}) & set(sys.modules)))\n"
    code += f"jaxcnn.data.load('mnist', data_dir={str(sets)!r}); print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], check=False, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[]", "False"], done.stderr


def read_real(stem: str) -> tuple[np.ndarray, np.ndarray]:
    from jaxcnn.data._tfds_prepare import read_idx

    images = read_idx(SHARED / f"{stem}-images-idx3-ubyte.gz", rank=3)
    return images, read_idx(SHARED / f"{stem}-labels-idx1-ubyte.gz", rank=1)


@pytest.mark.gate
@pytest.mark.skipif(
    not (SHARED / "t10k-images-idx3-ubyte.gz").exists(),
    reason="the files of MNIST are not here: name their folder in JAXCNN_TEST_DATA",
)
def test_real_digits(tmp_path: Path, internet: Internet) -> None:
    """The 10,000 real test digits, the last 500 of them as the training split, through TFDS and back."""
    images, labels = read_real("t10k")
    for stem, start in (("t10k", 0), ("train", 9500)):
        (internet.folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(idx(images[start:]))
        (internet.folder / f"{stem}-labels-idx1-ubyte.gz").write_bytes(idx(labels[start:]))
    data = load("mnist", data_dir=tmp_path)
    assert np.bincount(data.test["label"]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    # TFDS orders examples by a hash of their index, so the test split comes back in its published order.
    assert data.test["label"][:10].tolist() == [2, 0, 4, 8, 7, 6, 0, 6, 3, 1]
    expected = {image.tobytes(): int(label) for image, label in zip(images, labels, strict=True)}
    for image, label in zip(data.test["image"], data.test["label"], strict=True):
        assert expected.pop(image.tobytes()) == label
    assert not expected
    assert len(data.train) == 500
