"""Runs in processes of their own: killed, interrupted, resumed; the end is the same bit for bit."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxcnn.train.checkpoint import restore
from jaxcnn.train.run_folder import RunFolder
from jaxcnn.train.state import create_state
from tests.cli.conftest import TINY

WORDS = [sys.executable, "-m", "jaxcnn", "train"]
SETTINGS = ["--set", "epochs=40"]


def start(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([*WORDS, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: "subprocess.Popen[str]") -> str:
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    return out


def wait_for_epochs(folder: Path, count: int) -> None:
    """Until the run has recorded so many epochs."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        metrics = folder / "metrics.jsonl"
        if metrics.exists() and metrics.read_text().count("\n") >= count:
            return
        time.sleep(0.005)
    raise TimeoutError(f"{folder} did not record {count} epochs")


def fingerprint(folder: Path) -> tuple[str, list[dict[str, float]]]:
    """A hash of every array of the last checkpoint, and the metrics without their times."""
    run = RunFolder.open(folder)
    file, config = run.load_experiment()
    state = restore(run.checkpoints, "last", create_state(file.build(config)))
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(state):
        digest.update(np.asarray(leaf).tobytes())
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for record in records:
        del record["seconds"]
    return digest.hexdigest(), records


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict[str, float]]]:
    folder = tmp_path_factory.mktemp("whole") / "run"
    finish(start(str(TINY), *SETTINGS, "--run-dir", str(folder)))
    return fingerprint(folder)


def test_killed_and_resumed(whole: tuple[str, list[dict[str, float]]], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(str(TINY), *SETTINGS, "--run-dir", str(folder))
    wait_for_epochs(folder, 7)
    process.kill()
    process.communicate()
    again = start("--resume", str(folder))
    wait_for_epochs(folder, 20)
    again.kill()
    again.communicate()
    assert "resumed at step" in finish(start("--resume", str(folder)))
    assert fingerprint(folder) == whole


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_and_resumed(
    whole: tuple[str, list[dict[str, float]]], tmp_path: Path, number: signal.Signals, status: int
) -> None:
    folder = tmp_path / "run"
    process = start(str(TINY), *SETTINGS, "--run-dir", str(folder))
    wait_for_epochs(folder, 3)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == status
    assert "everything is saved" in out and f"jaxcnn train --resume {folder}" in out
    finish(start("--resume", str(folder)))
    assert fingerprint(folder) == whole


def test_a_second_signal_stops_at_once(whole: tuple[str, list[dict[str, float]]], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(str(TINY), *SETTINGS, "--run-dir", str(folder))
    wait_for_epochs(folder, 3)
    for number in (signal.SIGINT, signal.SIGTERM):
        process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode in (130, 143) and "stopped at once; the last checkpoint is kept" in out
    finish(start("--resume", str(folder)))
    assert fingerprint(folder) == whole
