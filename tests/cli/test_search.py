"""An index of digits, and searches in it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxcnn.cli import main
from jaxcnn.cli._search import nearest
from jaxcnn.data import load


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("digits")
    paths = [folder / f"{place}.png" for place in range(6)]
    for path, digit in zip(paths, load("digits").test["image"][:6, :, :, 0], strict=True):
        Image.fromarray(digit).save(path)
    return paths


def test_an_image_is_found_and_drawn(
    tiny_run: Path, digits: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(tiny_run), "--no-invert", "--trust", "--json"]
    assert main(["index", *words, *map(str, digits)]) == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["images"], about["channels"], about["pool"]) == (6, 4, "gem")
    with np.load(tiny_run / "index.npz") as index:
        vectors = index["vectors"]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)

    picture = tmp_path / "found.png"
    assert main(["search", *words, str(digits[2]), "--top", "3", "--show", str(picture)]) == 0
    found = json.loads(capsys.readouterr().out)
    wanted = np.argsort(-(vectors @ vectors[2]), kind="stable")[:3]
    assert [Path(row["image"]).name for row in found] == [f"{place}.png" for place in wanted]
    assert Path(found[0]["image"]).name == "2.png" and found[0]["cosine"] == pytest.approx(1, abs=1e-5)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_images_found_are_printed_if_one_cannot_be_drawn(
    tiny_run: Path, digits: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(tiny_run), "--no-invert", "--trust", "--json"]
    assert main(["index", *words, *map(str, digits)]) == 0
    capsys.readouterr()
    moved = digits[2].rename(tmp_path / "moved.png")
    assert main(["search", *words, str(moved), "--show", str(tmp_path / "none.png")]) == 2
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)) == 6 and not (tmp_path / "none.png").exists()
    assert "2.png of the index is missing. Make it again by jaxcnn index" in printed.err
    moved.rename(digits[2])
    with np.load(tiny_run / "index.npz") as index:
        narrow = {**index, "vectors": index["vectors"][:, :3]}
    np.savez(tiny_run / "index.npz", **narrow)
    assert main(["search", *words, str(digits[2])]) == 2
    assert "has vectors of 3 numbers, but those of the run have 4; make it again" in capsys.readouterr().err


@pytest.mark.gate
def test_a_layer_of_vectors_needs_no_pool(
    tiny_run: Path, digits: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["index", str(tiny_run), str(digits[0]), "--layer", "output", "--trust"]
    assert main(words) == 0
    assert "1 images by 10 channels of output:" in capsys.readouterr().out
    assert main(["search", str(tiny_run), str(digits[0]), "--trust"]) == 0
    assert "0.png" in capsys.readouterr().out
    assert main([*words, "--pool", "mac"]) == 2
    assert "--pool mac: the layer 'output' is one vector for each image" in capsys.readouterr().err
    assert main(["index", str(tiny_run), str(digits[0]), "--layer", "outptu", "--trust"]) == 2
    assert "there is no layer 'outptu'. Did you mean 'output'" in capsys.readouterr().err


def test_a_search_without_an_index_or_in_a_damaged_one_is_refused(
    tiny_run: Path, digits: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file = tiny_run / "index.npz"
    file.unlink(missing_ok=True)
    words = ["search", str(tiny_run), str(digits[0]), "--trust"]
    assert main(words) == 2
    assert "has no index. Make one: jaxcnn index" in capsys.readouterr().err
    file.write_bytes(b"no archive")
    assert main(words) == 2
    assert "index.npz is damaged; make it again by jaxcnn index" in capsys.readouterr().err
    file.unlink()
    assert main([*words, "--top", "0"]) == 2
    assert "--top 0: find at least one image" in capsys.readouterr().err


def test_blocks_find_what_the_whole_product_does() -> None:
    generator = np.random.default_rng(0)
    vectors, query = np.round(generator.standard_normal((50, 4))), generator.standard_normal(4)
    for block in (1, 7, 50, 64):
        scores, places = nearest(vectors, query, 9, block=block)
        wanted = np.argsort(-(vectors @ query), kind="stable")[:9]
        np.testing.assert_allclose(scores, (vectors @ query)[wanted])
        np.testing.assert_allclose((vectors @ query)[places], scores)
    assert len(nearest(vectors, query, 90)[0]) == 50
