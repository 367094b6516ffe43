"""The output of commands on terminals of every encoding, with names that are markup or contain control characters."""

import io
import json
import math
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from jaxcnn.cli import _output, main
from jaxcnn.train import ConsoleProgress
from tests.cli.conftest import TINY

ASCII = {"PYTHONIOENCODING": "ascii"}
# otherwise Python uses UTF-8 in the C locale too
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
CODE_PAGE_437, CODE_PAGE_1252 = {"PYTHONIOENCODING": "cp437"}, {"PYTHONIOENCODING": "cp1252"}
NAMES = [
    "[unknown]",
    "[/bold]",
    "[red]x[/red]",
    ":smile:",
    "a\x1b[2Jb",
    "line\nbreak",
    "left\u202eright",
    "\udce9",
    "猫",
]
SHOWN = [
    "[unknown]",
    "[/bold]",
    "[red]x[/red]",
    ":smile:",
    r"a\x1b[2Jb",
    r"line\nbreak",
    r"left\u202eright",
    r"\udce9",
    "猫",
]


@pytest.mark.parametrize(
    ("words", "environment", "expected"),
    [
        pytest.param(["results"], ASCII, b" +- 0.", marks=pytest.mark.gate),
        pytest.param(["show", "bn_mnist"], C_LOCALE, b"+-", marks=pytest.mark.gate),
        (["summary", "lenet5"], ASCII, b"1x5x5x16"),
        pytest.param(["summary", "lenet5"], CODE_PAGE_437, b"1x5x5x16", marks=pytest.mark.gate),
        pytest.param(["list"], C_LOCALE, b"bn_mnist", marks=pytest.mark.gate),
        pytest.param(["results", "--markdown"], C_LOCALE, b" +- 0.", marks=pytest.mark.gate),
        pytest.param(["results"], CODE_PAGE_437, " ± 0.".encode("cp437"), marks=pytest.mark.gate),
        pytest.param(["results"], CODE_PAGE_1252, " ± 0.".encode("cp1252"), marks=pytest.mark.gate),
    ],
)
def test_verbs_print_in_every_encoding(words: list[str], environment: dict[str, str], expected: bytes) -> None:
    command = [sys.executable, "-m", "jaxcnn", *words]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


@pytest.mark.gate
def test_training_shows_its_progress_on_a_terminal_without_utf_8(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "jaxcnn",
        "train",
        str(TINY),
        "--set",
        "epochs=1",
        "--run-dir",
        str(tmp_path / "r"),
    ]
    here, there = pty.openpty()
    process = subprocess.Popen(
        command, stdout=there, stderr=there, env=os.environ | {"TERM": "xterm", "COLUMNS": "120"} | C_LOCALE
    )
    os.close(there)
    printed = b""
    while part := _read(here):
        printed += part
    os.close(here)
    assert process.wait() == 0, printed
    assert b"epoch 1/1" in printed and b"test accuracy" in printed


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, 65536)
    except OSError:  # the error of Linux if the other end is closed
        return b""


def test_the_live_display_is_written_in_ascii() -> None:
    written = io.BytesIO()
    screen = Console(file=io.TextIOWrapper(written, "ascii", write_through=True), force_terminal=True, width=100)
    with ConsoleProgress(screen, steps_per_epoch=2, batch_size=1) as progress:
        progress.start(step=0, total=4)
        progress.step(1, {"loss": 1.0, "accuracy": 0.5})
    assert b"loss 1.000" in written.getvalue()


def test_names_in_a_table_are_shown_as_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for terminal in ("", "1"):
        monkeypatch.setenv("FORCE_COLOR", terminal)
        _output.print_table(["class[/]"], [[name] for name in NAMES], title="[bold]")
        lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
        assert "[bold]" in lines[0] and "class[/]" in lines[1]
        assert lines[2:] == SHOWN


def test_json_has_null_for_numbers_that_are_not_finite(capsys: pytest.CaptureFixture[str]) -> None:
    """NaN and Infinity are not valid JSON: ``JSON.parse`` refuses them."""
    value = {"a": math.nan, "b": [1.5, math.inf, (-math.inf, "NaN")], "c": {"d": 0, "e": None, "f": True}}
    _output.print_json(value)

    def refused(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(capsys.readouterr().out, parse_constant=refused) == {
        "a": None,
        "b": [1.5, None, [None, "NaN"]],
        "c": {"d": 0, "e": None, "f": True},
    }


def test_names_in_a_line_are_shown_as_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for terminal in ("", "1"):
        monkeypatch.setenv("FORCE_COLOR", terminal)
        _output.console().print("run folder  runs/m_[lr=0.1]\x1b[2J[/bold]", soft_wrap=True)
        assert capsys.readouterr().out == "run folder  runs/m_[lr=0.1]\\x1b[2J[/bold]\n"
    _output.say("one \x1b[2J\ntwo")
    assert capsys.readouterr().out == "one \\x1b[2J\ntwo\n"


def test_names_in_an_error_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "no\x1b[2Jsuch[/bold].py"]) == 2
    assert "there is no experiment file no\\x1b[2Jsuch[/bold].py." in capsys.readouterr().err
