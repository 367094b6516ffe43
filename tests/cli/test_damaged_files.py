"""A damaged file is named, and all other entries of a table are shown."""

import json
import shutil
from pathlib import Path

import pytest

from jaxcnn.cli import main
from tests.tiers import default_rows

DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("config", "reason"),
    default_rows(
        {
            "half": ("{", "damaged: "),
            "deep": (DEEP, "damaged"),
            "another type": ("[]", "damaged"),
            "missing entries": ('{"seed": 0}', "damaged"),
            "a folder": (None, "damaged"),
        },
        keep=["half", "missing entries"],
    ),
)
def test_a_damaged_run_is_a_row_of_its_own(
    tiny_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    config: str | None,
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("good", "bad"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        for file in ("config.json", "metrics.jsonl"):
            shutil.copy(tiny_run / file, tmp_path / "runs" / name / file)
    broken = tmp_path / "runs" / "bad" / "config.json"
    if config is None:
        broken.unlink()
        broken.mkdir()
    else:
        broken.write_text(config, encoding="utf-8")
    (tmp_path / "runs" / "good" / "metrics.jsonl").write_text(
        '{"step": 6, "epoch": "x", "test/accuracy": "y"}\n', encoding="utf-8"
    )
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "half.py").write_text("def (", encoding="utf-8")
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("half ") and "cannot be read: invalid syntax" in line for line in lines)
    (good,) = (line for line in lines if line.startswith(str(Path("runs") / "good")))
    (bad,) = (line for line in lines if line.startswith(str(Path("runs") / "bad")))
    assert "tiny" in good and reason in bad
    assert main(["list", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 2


@pytest.mark.parametrize(
    "content",
    default_rows(["", "[]", "3", '{"experiment": "x"}', DEEP, '{"experiment": "x", "seeds": "y"}'], keep=["[]"]),
)
def test_a_damaged_results_file_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments" / "results").mkdir(parents=True)
    (tmp_path / "experiments" / "results" / "damaged.json").write_text(content, encoding="utf-8")
    for words in ([], ["--json"], ["--markdown"]):
        assert main(["results", *words]) == 0
        printed = capsys.readouterr()
        assert "lenet5_digits" in printed.out
        assert "damaged.json is left out: " in printed.err and printed.err.count("\n") == 1


@pytest.mark.parametrize(
    "content",
    default_rows(
        ["garbage", "[]", DEEP, '{"devices": "many"}', '{"device": 1}', '{"fsdp": 1}'], keep=["[]", '{"device": 1}']
    ),
    ids=range(6),
)
def test_a_damaged_record_of_devices_is_named(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / "parallel.json").write_text(content, encoding="utf-8")
    assert main(["train", "--resume", str(run)]) == 2
    error = capsys.readouterr().err
    assert f"{run / 'parallel.json'} is damaged (" in error and "delete it, and give those" in error
    assert len(error) < 1000
