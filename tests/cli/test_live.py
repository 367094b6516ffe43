"""``jaxcnn train --live`` and ``jaxcnn watch``: the address is printed, and Ctrl-C ends them cleanly."""

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from jaxcnn.cli import main
from tests.cli.conftest import TINY

RESET = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.executable, sys.argv[1:])"


def test_watch_shows_a_run_by_its_code_and_checkpoint(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {}

    def watch_run(run: Any, *, opened: Any, **options: Any) -> None:
        asked.update(options, run=run.path)
        opened("http://127.0.0.1:1/token/")

    monkeypatch.setattr("jaxcnn.live.watch_run", watch_run)
    assert main(["watch", str(tiny_run), "--checkpoint", "best", "--port", "8000"]) == 0
    assert asked["run"] == tiny_run and (asked["checkpoint"], asked["port"]) == ("best", 8000)
    assert asked["experiment"].data.name == "digits100" and not asked["should_stop"]()
    assert "live view   http://127.0.0.1:1/token/\n" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["watch", "RUN"], ["train", "lenet5_digits", "--live"]])
def test_a_port_that_is_none_is_refused(tiny_run: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(tiny_run) if word == "RUN" else word for word in words]
    assert main([*words, "--port", "70000"]) == 2
    assert "--port 70000: expected 1 to 65535" in capsys.readouterr().err


def start(*words: str) -> tuple[subprocess.Popen[str], str]:
    """Starts the command; returns its process and the address of its page."""
    command = [sys.executable, "-c", RESET, sys.executable, "-m", "jaxcnn", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if found := re.match(r"live view +(http://127\.0\.0\.1:\d+/[\w-]+/)$", line):
            return process, urllib.request.urlopen(found[1]).read().decode()
    raise AssertionError("".join(lines))


@pytest.mark.gate
def test_ctrl_c_ends_a_run_with_a_live_view_which_can_be_resumed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    process, page = start("train", str(TINY), "--set", "epochs=100000", "--run-dir", str(run), "--live")
    assert "<title>jaxcnn</title>" in page and process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch"):
            break
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 130 and f"jaxcnn train --resume {run}" in rest
    assert list((run / "checkpoints" / "last").iterdir())


@pytest.mark.gate
def test_watch_shows_the_page_until_ctrl_c(tiny_run: Path) -> None:
    process, page = start("watch", str(tiny_run), "--trust")
    assert "<title>jaxcnn</title>" in page
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 0
