"""``jaxcnn show`` of a folder of images."""

import json
from pathlib import Path

import pytest

from jaxcnn.cli import main
from tests.data.test_folder import fill


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fill(tmp_path / "Train", {"ant": 3, "[bold]": 2})
    fill(tmp_path / "testing", {"ant": 1})
    fill(tmp_path / "val", {"ant": 2})
    fill(tmp_path / "extra", {"ant": 1})
    (tmp_path / "Train" / "ant" / "up").symlink_to(tmp_path)
    (tmp_path / "Train" / "ant" / "labels.txt").touch()
    return tmp_path


@pytest.mark.parametrize("prefix", ["", "folder:"])
def test_a_folder_shows_splits_classes_counts_and_what_is_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str], prefix: str
) -> None:
    assert main(["show", f"{prefix}{folder}"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    places = [["train", f"{folder}/Train"], ["validation", f"{folder}/val"], ["test", f"{folder}/testing"]]
    assert lines[:4] == [["folder", str(folder)], *places]
    head = ["class", "train", "validation", "test"]
    assert lines[5:9] == [head, ["[bold]", "2", "0", "0"], ["ant", "3", "2", "1"], ["total", "5", "2", "1"]]
    left_out = {" ".join(words[:-2]): words[-2:] for words in lines[11:]}
    assert left_out == {
        "not among the splits that are read": ["1", "extra"],
        "a link to a folder that contains this one": ["1", "Train/ant/up"],
        "not named as an image": ["1", "Train/ant/labels.txt"],
    }


def test_a_folder_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(folder), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["splits"] == {"train": {"[bold]": 2, "ant": 3}, "validation": {"ant": 2}, "test": {"ant": 1}}
    assert {"path": str(folder / "extra"), "reason": "not among the splits that are read"} in shown["skipped"]


def test_a_folder_without_splits_or_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "good", {"ant": 3, "bee": 2})
    assert main(["show", str(tmp_path / "good")]) == 0
    out = capsys.readouterr().out
    assert "a part of each class is held out for testing" in out and "left out" not in out
    assert main(["show", str(tmp_path / "good" / "ant")]) == 2
    assert "has 3 images but no sub-folder" in capsys.readouterr().err
    assert main(["show", f"folder:{tmp_path / 'absent'}"]) == 2
    assert "does not exist" in capsys.readouterr().err
