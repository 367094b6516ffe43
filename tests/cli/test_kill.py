"""Runs in separate processes that are killed, interrupted and resumed; the result is the same bit for bit."""

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxcnn.train import RunFolder
from tests.cli.conftest import TINY
from tests.train.runs import wait_for_epochs
from tests.train.states import last_state


class Process:
    """``jaxcnn train`` with default settings, and with a folder of its own for compiled programs."""

    def __init__(self, home: Path, *words: str) -> None:
        suite = ("JAX_ENABLE_COMPILATION_CACHE", "JAX_COMPILATION_CACHE_DIR", "JAX_DISABLE_MOST_OPTIMIZATIONS")
        environment = {name: value for name, value in os.environ.items() if name not in suite}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jaxcnn", "train", *words],
            env={**environment, "XDG_CACHE_HOME": str(home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def end(self, *signals: signal.Signals) -> tuple[str, int]:
        """The output and the exit status after these signals."""
        for number in signals:
            self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=120)
        return out, self.process.returncode


def fingerprint(folder: Path) -> tuple[str, list[dict[str, float]]]:
    """A hash of every array of the last checkpoint, and the metrics without their times."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(last_state(RunFolder.open(folder))):
        digest.update(np.asarray(leaf).tobytes())
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    for record in records:
        del record["seconds"]
    return digest.hexdigest(), records


@pytest.mark.gate
def test_stopped_in_every_way_it_ends_like_the_run_that_was_not(tmp_path: Path) -> None:
    """One run with four starts: killed, stopped by Ctrl-C, stopped at once by SIGTERM after a Ctrl-C, and finished.

    The very first start compiles; the others load its compiled programs.
    """
    cache, whole, folder = (tmp_path / name for name in ("cache", "whole", "stopped"))
    settings = [str(TINY), "--set", "epochs=13"]
    out, status = Process(cache, *settings, "--run-dir", str(whole)).end()
    assert status == 0 and "compiled the training step in" in out, out
    compiled = cache / "jaxcnn" / "compiled"
    assert stat.S_IMODE(compiled.stat().st_mode) == 0o700 and any(compiled.iterdir())

    process = Process(cache, *settings, "--run-dir", str(folder))
    wait_for_epochs(folder, 2)
    assert process.end(signal.SIGKILL)[1] == -signal.SIGKILL
    process = Process(cache, "--resume", str(folder))
    wait_for_epochs(folder, 5)
    out, status = process.end(signal.SIGINT)
    assert status == 130, out
    assert "everything is saved" in out and f"jaxcnn train --resume {folder}" in out
    assert "loaded the training step in" in out and "compiled by an earlier start" in out
    process = Process(cache, "--resume", str(folder))
    wait_for_epochs(folder, 8)
    out, status = process.end(signal.SIGINT, signal.SIGTERM)
    assert status in (130, 143) and "stopped at once; the last checkpoint is kept" in out, out
    out, status = Process(cache, "--resume", str(folder)).end()
    assert status == 0 and "resumed at step" in out, out
    assert fingerprint(folder) == fingerprint(whole)
