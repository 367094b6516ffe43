"""Dark strokes on a light background are distinguished from light strokes on a dark background."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxcnn.data import holds_strokes, is_dark_on_light, load, stream
from jaxcnn.data._polarity import has_light_border

MNIST = Path(__file__).parents[3] / "shared" / "data" / "t10k-images-idx3-ubyte.gz"


def misjudged(images: np.ndarray) -> int:
    """The number of images with light strokes on dark, and of their inverses, that are classified wrongly."""
    return sum(has_light_border(image) for image in images) + sum(not has_light_border(255 - image) for image in images)


def test_no_embedded_digit_is_misjudged() -> None:
    data = load("digits")
    assert misjudged(np.concatenate([data.train["image"], data.test["image"]])[..., 0]) == 0


@pytest.mark.skipif(not MNIST.exists(), reason=f"the test images of MNIST are not at {MNIST.parent}")
def test_no_test_image_of_mnist_is_misjudged() -> None:
    images = np.frombuffer(gzip.decompress(MNIST.read_bytes()), np.uint8, offset=16).reshape(10000, 28, 28)
    assert misjudged(images) == 0


def photograph(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An image of faded ink on grey paper, unevenly lit, with noise."""
    paper = np.kron(image / 255, np.ones((3, 3)))
    rows, columns = np.mgrid[: paper.shape[0], : paper.shape[1]] / paper.shape[0]
    light = 0.55 + 0.45 * (rows * rng.uniform(-1, 1) + columns * rng.uniform(-1, 1)) / 2
    return np.clip(255 * light * (0.15 + 0.7 * paper) + rng.normal(0, 6, paper.shape), 0, 255).astype(np.uint8)


def test_photographs_of_digits_are_rarely_misjudged() -> None:
    rng, digits = np.random.default_rng(0), load("digits").test["image"][..., 0]
    assert sum(has_light_border(photograph(digit, rng)) for digit in digits) <= 2
    assert sum(not has_light_border(photograph(255 - digit, rng)) for digit in digits) <= 2


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1", "I;16"])
def test_files_of_every_mode(tmp_path: Path, mode: str, dark: bool) -> None:
    digit = load("digits").test["image"][0, ..., 0]
    grey = 255 - digit if dark else digit
    if mode == "I;16":
        picture = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode in ("LA", "RGBA"):  # ink on a transparent background
        ink = Image.new("L", digit.shape[::-1], 0 if dark else 255)
        picture = Image.merge("LA", (ink, Image.fromarray(digit))).convert(mode)
    else:
        picture = Image.fromarray(grey).convert(mode)
    picture.save(tmp_path / "digit.png")
    assert is_dark_on_light(tmp_path / "digit.png") == dark


def test_names_of_data_sets_of_strokes() -> None:
    assert all(holds_strokes(name) for name in ("digits", "mnist", "digits100", "emnist/letters", "mnist, held out"))
    assert not any(holds_strokes(name) for name in ("fashion_mnist", "cifar10", "digits over cifar10", "folder"))


def test_a_folder_with_the_name_of_a_set_of_strokes_is_none(tmp_path: Path) -> None:
    """Its images may be scans of dark ink, which must not be inverted for a network that was trained on them."""
    for number, label in enumerate("aabb"):
        (tmp_path / "digits" / label).mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 255).save(tmp_path / "digits" / label / f"{number}.png")
    for dataset in (
        load(f"folder:{tmp_path / 'digits'}"),
        stream(f"folder:{tmp_path / 'digits'}", image_size=8, channels=1),
    ):
        assert dataset.name == "folder digits" and not holds_strokes(dataset.name)
