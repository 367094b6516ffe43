"""``jaxcnn compare``: differences, common settings, and the folders that are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from jaxcnn.cli import main
from jaxcnn.train import RunFolder


def make(path: Path, name: str = "lenet5_digits", last: dict[str, float] | None = None, **settings: Any) -> Path:
    folder = RunFolder.create(path, None, settings, name=name)
    for epoch in (1, 2):
        record = {
            "step": 9 * epoch,
            "epoch": epoch,
            "seconds": 1.0,
            "train/loss": 1 / epoch,
            "val/accuracy": 0.4 * epoch,
        }
        folder.metrics.append(record | ((last or {}) if epoch == 2 else {}))
    return path


def compare(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main(["compare", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_two_runs_are_a_table_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "a", peak_lr=0.1, epochs=2, last={"test/accuracy": 0.75})
    make(tmp_path / "b", peak_lr=0.3, epochs=2, last={"test/accuracy": 0.5})
    lines = compare(capsys, "a", tmp_path / "b").splitlines()
    assert [line.split() for line in lines] == [
        ["run", "peak_lr", "epoch", "val/accuracy", "test/accuracy"],
        ["a", "0.1", "2", "80.00", "%", "75.00", "%"],
        ["b", "0.3", "2", "80.00", "%", "50.00", "%"],
        ["curves", "comparison.png"],
    ]
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_runs_of_two_experiments_are_compared_by_what_they_share(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = (
        make(tmp_path / "x" / "run", seed=0),
        make(tmp_path / "y" / "run", "unet", {"val/mean_iou": 0.5}, width=8),
    )
    picture = tmp_path / "picture.svg"
    text = compare(capsys, one, other, "--picture", picture)
    assert "lenet5_digits" in text and "unet" in text and "seed" in text and "width" in text
    assert f"not shared: val/mean_iou, which only {other} has" in text and picture.exists()
    found = json.loads(compare(capsys, one, other, "--picture", picture, "--json"))
    assert found["differing"] == ["seed", "width"] and found["shared"] == ["train/loss", "val/accuracy"]
    assert found["not_shared"] == {"val/mean_iou": [str(other)]} and found["picture"] == str(picture)
    assert [row["settings"] for row in found["runs"]] == [{"seed": 0, "width": None}, {"seed": None, "width": 8}]
    assert found["runs"][1]["metrics"] == {"train/loss": 0.5, "val/accuracy": 0.8, "val/mean_iou": 0.5}


def test_runs_without_records_are_compared_by_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, rate in (("a", 0.1), ("b", 0.2)):
        RunFolder.create(tmp_path / name, None, {"peak_lr": rate}, name="digits")
    text = compare(capsys, tmp_path / "a", tmp_path / "b", "--picture", tmp_path / "none.png")
    assert "0.1" in text and "no curves: the runs have no metric in common" in text
    assert not (tmp_path / "none.png").exists()


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = make(tmp_path / "a")
    (tmp_path / "empty").mkdir()
    for words, text in (
        ([place], "name two runs or more, such as: jaxcnn compare runs/a runs/b"),
        (
            [place, tmp_path / "none"],
            f"there is no folder {tmp_path / 'none'}. `jaxcnn list` names the runs in ./runs.",
        ),
        ([place, tmp_path / "empty"], f"there is no run (no config.json) in {tmp_path / 'empty'}."),
        ([place, tmp_path / "empty" / ".." / "a"], "a run is compared with itself:"),
    ):
        assert main(["compare", *map(str, words)]) == 2
        assert text in capsys.readouterr().err
