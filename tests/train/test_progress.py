"""The output of a run: a live bar on a terminal, and whole lines elsewhere."""

import dataclasses
import io
import time

import pytest
from rich.console import Console

from jaxcnn.train._reports._progress import COLUMNS, ConsoleProgress, epoch_line, new_console
from tests.train import tiny
from tests.train.any_loss import numbers

RECORD = {"step": 10, "epoch": 1, "train/loss": 0.5, "train/accuracy": 0.8, "test/accuracy": 0.9}


def shown(*, terminal: bool) -> str:
    """All output of two epochs of ten steps."""
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
    assert second.startswith("epoch 1/2  loss 0.5000 acc 80.00%  test acc 90.00%  ")
    assert second.endswith("left")


def test_a_terminal_gets_a_bar_too() -> None:
    text = shown(terminal=True)
    assert "\x1b[" in text and "compiled the training step in 2.3 s" in text and "test acc 90.00%" in text


def test_the_bar_tells_loss_accuracy_pace_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    with ConsoleProgress(console, steps_per_epoch=10, batch_size=4) as progress:
        progress.start(step=0, total=20)
        progress.step(11, {"loss": 0.75, "accuracy": 0.5})
        assert progress._live is not None
        task = progress._live.tasks[0]
        assert task.description == "epoch 2/2" and (task.completed, task.total) == (11, 20)
        assert task.fields["figures"].startswith("step 11/20  loss 0.7500 acc 50.00%")
        assert "images/s" in task.fields["figures"] and task.fields["figures"].endswith("left")


@pytest.mark.parametrize("waited", [None, 0.0123])
@pytest.mark.parametrize("splits", [("test",), ("val",), ("val", "test")])
@pytest.mark.parametrize(("epochs", "left"), [(3, 7.0), (400, 400_000.0)])
def test_the_line_of_an_epoch_has_at_most_80_columns(
    epochs: int, left: float, splits: tuple[str, ...], waited: float | None
) -> None:
    measures = {f"{split}/{name}": 0.123456 for split in ("train", *splits) for name in ("loss", "accuracy")}
    line = epoch_line({"step": 9, "epoch": epochs, **measures}, epochs=epochs, speed=123456.0, left=left, waited=waited)
    assert len(line) <= COLUMNS == 80 and line.startswith(f"epoch {epochs}/{epochs}  loss 0.1235")
    assert all(f"{split} acc 12.35%" in line for split in splits) and ("input wait 1.2%" in line) == (
        waited is not None
    )


def test_the_usual_line_has_everything() -> None:
    line = epoch_line(RECORD, epochs=20, speed=10512.0, left=75.0)
    assert line == "epoch  1/20  loss 0.5000 acc 80.00%  test acc 90.00%  10512 images/s  1:15 left"


def test_the_measure_that_chooses_the_best_checkpoint_is_shown_first() -> None:
    measures = {f"val/{name}": 0.5 for name in ("loss", "accuracy", "pixel_accuracy", "class_accuracy", "mean_iou")}
    record = {"step": 9, "epoch": 1, "train/loss": 1.0, **measures}
    line = epoch_line(record, epochs=1, speed=1.0, left=1.0, best="mean_iou")
    assert "val mIoU 50.00% acc 50.00% " in line
    assert "val loss 0.5000 acc 50.00% " in epoch_line(record, epochs=1, speed=1.0, left=1.0, best="loss")
    assert "mIoU" not in epoch_line(record, epochs=1, speed=1.0, left=1.0)
    assert (
        ConsoleProgress.of(dataclasses.replace(tiny.build(tiny.Config()), best="-loss"), new_console())._best == "loss"
    )


def test_examples_that_are_no_images_are_called_examples() -> None:
    units = [ConsoleProgress.of(each, new_console())._unit for each in (tiny.build(tiny.Config()), numbers())]
    assert units == ["images", "examples"]
    assert "  5 examples/s  " in epoch_line(RECORD, epochs=2, speed=5.0, left=1.0, unit="examples")


def test_a_program_in_a_cell_of_a_notebook_writes_lines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jupyter gives the program a terminal, and requests colours."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    assert new_console().is_terminal
    monkeypatch.setenv("JPY_PARENT_PID", "123")
    console = new_console()
    assert not console.is_terminal and console.no_color and console.width >= 160
