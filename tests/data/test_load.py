"""Data sets by name."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxcnn.data import Dataset, load, names, read_image
from jaxcnn.data._digits import digits


def images(root: Path, size: int = 6) -> Path:
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for index in range(5):
            pixels = np.random.default_rng(index).integers(0, 256, (size, size), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return root


def test_digits_by_name() -> None:
    assert load("digits").fingerprint == digits().fingerprint
    assert load("digits", image_size=28).image_shape == (28, 28, 1)


def test_a_folder_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = images(tmp_path / "mine")
    data = load(f"folder:{root}")
    assert isinstance(data, Dataset) and data.image_shape == (6, 6, 1) and len(data.test) == 2
    assert load(f"folder:{root}", image_size=9, channels=3, test_fraction=0.4).image_shape == (9, 9, 3)
    assert len(load(f"folder:{root}", test_fraction=0.4).test) == 4
    monkeypatch.chdir(tmp_path)
    assert load("folder:mine").fingerprint == data.fingerprint
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load("folder:~/mine").fingerprint == data.fingerprint


def test_all_names_are_known(tmp_path: Path) -> None:
    assert names() == ("digits", "mnist", "fashion_mnist", "cifar10")
    assert callable(read_image)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "minst",
            "load: there is no data set 'minst'. Did you mean 'mnist'? Known: 'digits', 'mnist', 'fashion_mnist'",
        ),
        ("MNIST", "Did you mean 'mnist'?"),
        (
            "imagenet",
            "there is no data set 'imagenet'. Known: 'digits', 'mnist', 'fashion_mnist', 'cifar10', 'folder:/",
        ),
        ("", "there is no data set ''. Known:"),
        ("folder:", "folder: which folder? Write folder:/path, with one sub-folder of images for each class."),
        ("folder:/no/such/place", "folder: /no/such/place does not exist"),
    ],
)
def test_names_that_are_not_known(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(message)):
        load(name, data_dir=tmp_path)


def test_a_path_without_the_word_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(f"Did you mean 'folder:{tmp_path}'?")):
        load(str(tmp_path))


def test_the_message_says_where_prepared_sets_were_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(f"that tensorflow-datasets has prepared in {tmp_path}.")):
        load("cifar100", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"image_size": 0}, ValueError, "load: image_size=0 must be at least 1"),
        ({"image_size": "32"}, TypeError, "load: image_size must be an integer, not '32'"),
        ({"image_size": 4}, ValueError, "digits: image_size=4 is under 8"),
        ({"channels": 3}, ValueError, "load: channels can be given for a folder:/path only, not for 'digits'"),
        ({"channels": 3, "test_fraction": 0.1}, ValueError, "load: channels and test_fraction can be given for a"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        load("digits", **options)  # type: ignore[arg-type]
