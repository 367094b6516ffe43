"""``jaxcnn train --live`` and ``jaxcnn watch``: what the verbs pass on, and what they refuse."""

from pathlib import Path
from typing import Any

import pytest

from jaxcnn.cli import main


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
