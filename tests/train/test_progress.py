"""What a person sees: a live bar on a terminal, whole lines everywhere else."""

import io
import time

import pytest
from rich.console import Console

from jaxcnn.train._reports._progress import ConsoleProgress

RECORD = {"step": 10, "epoch": 1, "train/loss": 0.5, "train/accuracy": 0.8, "test/accuracy": 0.9}


def shown(*, terminal: bool) -> str:
    """Everything written during two epochs of ten steps."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120)
    with ConsoleProgress(console, steps_per_epoch=10, batch_size=4) as progress:
        progress.compiling()
        progress.compiled(2.34, from_cache=False)
        progress.start(step=0, total=20)
        for step in range(1, 11):
            time.sleep(0.002)
            if progress.due(0.0):
                progress.step(step, {"loss": 0.75, "accuracy": 0.5})
        progress.epoch(RECORD)
    return out.getvalue()


def test_a_file_gets_lines_only() -> None:
    first, second = shown(terminal=False).splitlines()
    assert first == "compiled the training step in 2.3 s"
    assert second.startswith("epoch 1/2  step     10  train loss 0.5000 acc  80.00 %  test acc  90.00 %")
    assert second.endswith("left")


def test_a_terminal_gets_a_bar_too() -> None:
    text = shown(terminal=True)
    assert "\x1b[" in text and "compiled the training step in 2.3 s" in text and "test acc  90.00 %" in text


def test_the_bar_tells_loss_accuracy_pace_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    with ConsoleProgress(console, steps_per_epoch=10, batch_size=4) as progress:
        progress.start(step=0, total=20)
        progress.step(11, {"loss": 0.75, "accuracy": 0.5})
        assert progress._live is not None
        task = progress._live.tasks[0]
        assert task.description == "epoch 2/2" and (task.completed, task.total) == (11, 20)
        assert task.fields["figures"].startswith("step 11/20  loss 0.7500 acc  50.00 %")
        assert "images/s" in task.fields["figures"] and task.fields["figures"].endswith("left")
