"""One run per seed, stopped or not, and the results file that is made of them."""

import dataclasses
import json
import os
import re
import shlex
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from jaxcnn.cli import _repeat, _results, main
from jaxcnn.train._runs._config import with_settings
from jaxcnn.train._runs._discover import find_experiment
from jaxcnn.train._runs._folder import RunFolder
from tests.cli.conftest import TINY
from tests.train import runs


def test_other_settings_stand_beside_the_result(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained: list[tuple[str, list[str]]] = []

    def train(_: object, folder: Path, more: list[str]) -> tuple[Path, float]:
        trained.append((folder.name, more))
        return measured if "ema_decay=0" in more else tiny_run, float(len(trained))

    # A file that a run with a ``measure`` has; it stays with the copy of the run alone.
    measured = tmp_path / "measured"
    shutil.copytree(tiny_run, measured)
    (measured / "measured.json").write_text('{"shift": [1.0, 0.5]}', encoding="utf-8")
    monkeypatch.setattr(_repeat, "_train", train)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").mkdir()
    assert main(["repeat", str(TINY), "--seeds", "2", "--beside", "peak_lr=0.1", "--beside", "ema_decay=0"]) == 0
    assert trained[:3] == [("seed-0", ["seed=0"]), ("seed-1", ["seed=1"]), ("seed-0", ["peak_lr=0.1", "seed=0"])]
    result = json.loads((tmp_path / "experiments" / "results" / "tiny.json").read_text(encoding="utf-8"))
    records = [json.loads(line) for line in (tiny_run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    curves = result["beside"]["ema_decay=0"]["runs"][1]["history"]
    assert result["beside"]["ema_decay=0"]["runs"][1]["measured"] == {"shift": [1.0, 0.5]}
    assert "measured" not in result["runs"][0]
    assert curves["step"] == [record["step"] for record in records] and len(records) > 1
    assert curves["test/accuracy"] == pytest.approx([record["test/accuracy"] for record in records], abs=1e-6)
    assert result["wall_seconds"]["mean"] == 1.5 and result["beside"]["ema_decay=0"]["wall_seconds"]["mean"] == 5.5
    capsys.readouterr()
    assert main(["results", "--markdown"]) == 0
    names = [line.split(" | ")[0] for line in capsys.readouterr().out.splitlines()]
    place = names.index("| tiny")
    assert names[place + 1 : place + 3] == ["| tiny, peak_lr=0.1", "| tiny, ema_decay=0"]
    assert main(["repeat", str(TINY), "--beside", "peak=0"]) == 2
    assert "there is no setting 'peak'" in capsys.readouterr().err


def test_a_repeat_that_was_stopped_goes_on_and_results_come_from_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").mkdir()
    output = tmp_path / "experiments" / "results" / "tiny.json"
    waits = _repeat._wait_for

    def stopped_in_seed_1(command: list[str]) -> int:
        if "seed=1" not in command:
            return waits(command)
        file = find_experiment(str(TINY))
        config = with_settings(file.config_class(), ["epochs=2", "seed=1"])
        run = RunFolder.create(Path(command[command.index("--run-dir") + 1]), file, dataclasses.asdict(config))
        assert runs.train(run, file.build(config), stop_after=8).metrics is None
        return 128 + signal.SIGTERM

    words = ["repeat", str(TINY), "--seeds", "2", "--set", "epochs=2", "--run-dir", "two"]
    monkeypatch.setattr(_repeat, "_wait_for", stopped_in_seed_1)
    assert main(words) == 128 + signal.SIGTERM
    assert not output.exists()
    *_, advice, command = capsys.readouterr().out.splitlines()
    assert advice == "stopped; what is trained is kept. Go on with:"
    assert shlex.split(command) == ["jaxcnn", *words]

    monkeypatch.setattr(_repeat, "_wait_for", waits)
    assert main(words) == 0
    assert "two/seed-0 is trained" in capsys.readouterr().out
    result = json.loads(output.read_text(encoding="utf-8"))
    assert [(row["seed"], row["epochs"], row["steps"]) for row in result["runs"]] == [(0, 2, 12), (1, 2, 12)]
    assert result["settings"]["epochs"] == 2
    accuracies = [row["test/accuracy"] for row in result["runs"]]
    assert result["test/accuracy"]["mean"] == pytest.approx(np.mean(accuracies), abs=1e-6)
    assert result["test/accuracy"]["std"] == pytest.approx(np.std(accuracies, ddof=1), abs=1e-6)
    whole, resumed = (row["wall_seconds"] for row in result["runs"])
    assert resumed is None and result["wall_seconds"]["mean"] == whole > 1

    assert main([*words, "--set", "epochs=3"]) == 2
    message = "two/seed-0 holds a run that differs in epochs. Name another folder with --run-dir DIR."
    assert message in capsys.readouterr().err
    assert main(["results", "--markdown"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| tiny |"))
    assert f"{100 * np.mean(accuracies):.2f} ± " in row


def test_a_seed_that_fails_is_named_with_the_way_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_repeat, "_wait_for", lambda command: 2)
    assert main(["repeat", str(TINY), "--set", "epochs=1", "--run-dir", "a run", "--output", "a.json"]) == 2
    assert re.search(
        r"the run with seed=0 ended with status 2; its run folder is a run/seed-0. No results were written. Go on "
        r"with: jaxcnn repeat \S+ --seeds 3 --set epochs=1 --run-dir 'a run' --output a.json",
        capsys.readouterr().err,
    )


SAVES = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), sys.exit(7)))
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""


def test_a_seed_is_told_of_a_signal_and_left_the_time_to_save(tmp_path: Path) -> None:
    ready = tmp_path / "ready"

    def ask() -> None:
        while not ready.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=ask).start()
    assert _repeat._wait_for([sys.executable, "-c", SAVES, str(ready)]) == 7


def test_of_runs_that_were_resumed_no_time_is_known(tiny_run: Path) -> None:
    result = _repeat.summarise("tiny", [tiny_run], [None])
    assert "wall_seconds" not in result
    assert "not known" in _results.row(result)
