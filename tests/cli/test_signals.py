"""Signals and closed standard output: nothing is lost, and no message is printed twice."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jaxcnn.cli import main
from jaxcnn.cli._signals import stop_on_signals
from tests.cli.conftest import TINY
from tests.tiers import default_rows
from tests.train.runs import wait_for_epochs

ROOT = Path(__file__).parent.parent.parent


def saved_steps(run: Path) -> list[int]:
    """The steps of the checkpoints of a run."""
    return sorted(int(path.name) for path in (run / "checkpoints" / "last").iterdir() if path.name.isdecimal())


# Sends Ctrl-C at the moment at which a module is imported.
INTERRUPTED = """
import os, signal, sys, time

signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background may ignore it
module, folder = sys.argv[1:]

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)

sys.meta_path.insert(0, Interrupt())
sys.argv = ["jaxcnn", "train", "lenet5_digits", "--run-dir", folder]
from jaxcnn.__main__ import command
command()
"""


@pytest.mark.parametrize("module", default_rows(["argparse", "jaxlib", "optax"], keep=["jaxlib"]))
def test_ctrl_c_during_imports_is_quiet(tmp_path: Path, module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, module, str(tmp_path / "run")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
    assert not (tmp_path / "run").exists()


@pytest.mark.gate
def test_a_closed_terminal_saves_like_sigterm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"

    def hang_up() -> None:
        wait_for_epochs(folder, 1)
        os.kill(os.getpid(), signal.SIGHUP)

    earlier = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    try:
        threading.Thread(target=hang_up).start()
        assert main(["train", str(TINY), "--set", "epochs=500", "--run-dir", str(folder)]) == 128 + signal.SIGHUP
    finally:
        signal.signal(signal.SIGHUP, earlier)
    assert "everything is saved" in capsys.readouterr().out
    assert saved_steps(folder)


def test_what_nohup_ignores_stays_ignored() -> None:
    earlier = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
            assert stop.signal is None
    finally:
        signal.signal(signal.SIGHUP, earlier)


def broken_pipe() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


OUTPUTS = {
    "| head -1": (broken_pipe, "Broken pipe"),
    "full": (lambda: os.open("/dev/full", os.O_WRONLY), "No space left on device"),
}


@pytest.mark.parametrize(("output", "reason"), default_rows(OUTPUTS, keep=["| head -1"]))
def test_training_outlives_its_output(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    output: Callable[[], int],
    reason: str,
) -> None:
    folder = tmp_path / "run"
    with os.fdopen(output(), "w", buffering=1, encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["train", str(TINY), "--set", "epochs=1", "--run-dir", str(folder)]) == 0
    assert saved_steps(folder) == [6]
    assert caplog.text.count(reason) == caplog.text.count("training continues without it") == 1


@pytest.mark.parametrize(("output", "reason"), default_rows(OUTPUTS, keep=["full"]))
def test_other_verbs_end_with_a_sentence_or_none(output: Callable[[], int], reason: str) -> None:
    """Runs in a process, since Python reports at exit that it could not write."""
    descriptor = output()
    words = [sys.executable, "-m", "jaxcnn", "models", "lenet*"]
    done = subprocess.run(words, cwd=ROOT, stdout=descriptor, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(descriptor)
    if reason == "Broken pipe":
        assert (done.returncode, done.stderr) == (141, "")
    else:
        sentence = "jaxcnn models: standard output cannot be written: No space left on device.\n"
        assert (done.returncode, done.stderr) == (2, sentence)
