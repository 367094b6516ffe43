"""A profile names every layer in both directions, writes a trace, and does not change the run."""

import gzip
import json
from pathlib import Path

import pytest

from jaxcnn.cli import main


def test_profile_of_a_run(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(["profile", str(tiny_run), "--steps", "2", "--output", str(tmp_path / "trace"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    rows = {row["where"]: row for row in report["rows"]}
    assert {"conv", "norm", "output", "prepare_input", "update_state"} <= set(rows)
    for layer in ("conv", "norm", "output"):
        assert rows[layer]["forward_milliseconds"] > 0 and rows[layer]["backward_milliseconds"] > 0, layer
    assert rows["update_state"]["backward_milliseconds"] == 0
    totals = [row["forward_milliseconds"] + row["backward_milliseconds"] for row in report["rows"]]
    assert totals == sorted(totals, reverse=True)
    assert 0 < sum(totals) < 16 * report["step_milliseconds"]
    assert report["input_wait"] == 0
    kinds = {path.rpartition(".")[2] for path in report["files"]}
    assert kinds == {"pb", "gz"}
    trace = next(path for path in report["files"] if path.endswith(".gz"))
    assert json.loads(gzip.decompress(Path(trace).read_bytes()))["traceEvents"]
    assert {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*") if path.is_file()} == before


@pytest.mark.gate
def test_profile_on_eight_devices_as_a_table(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder already contains a file, which is kept."""
    (tmp_path / "mine.txt").write_text("kept", encoding="utf-8")
    more = ["--devices", "8", "--spelling", "shard_map", "--steps", "1", "--output", str(tmp_path)]
    assert main(["profile", str(tiny_run), *more]) == 0
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "kept"
    out = capsys.readouterr().out
    assert "forward ms" in out and "conv" in out and "a step takes" in out and "trace  " in out
    assert "% of it is spent waiting for examples" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "0"], "a profile of 0 steps shows nothing; expected at least one"),
        (["--devices", "2", "--spelling", "pmap"], "profile with --spelling jit or shard_map"),
    ],
)
def test_what_cannot_be_profiled(
    tiny_run: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", str(tiny_run), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tiny_run / "profile").exists()
