"""Epochs that are shorter than a save: only some states are saved, and only the last work can be lost."""

import dataclasses
from concurrent.futures import wait
from pathlib import Path

import pytest

from jaxcnn.train import _epochs
from jaxcnn.train._checkpoints import _saving as saving
from jaxcnn.train._loop import train_run
from jaxcnn.train._state import TrainState
from tests.train.runs import Quiet, assert_same, final_state, new_run, train, without_seconds

EPOCHS = 5
INFINITE = float("inf")


@pytest.fixture
def saves(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The kind and the step of each save."""
    seen: list[tuple[str, int]] = []
    original = saving.Checkpoints.save

    def save(self: saving.Checkpoints, kind: str, state: TrainState) -> None:
        seen.append((kind, int(state.step)))
        original(self, kind, state)

    monkeypatch.setattr(saving.Checkpoints, "save", save)
    return seen


@pytest.mark.parametrize(
    ("seconds", "keep_epochs", "max_loss_jump", "epochs"),
    [
        pytest.param(INFINITE, (), None, [1, 4, 5], id="none is due"),
        pytest.param(INFINITE, (2,), None, [1, 2, 4, 5], id="one is kept"),
        pytest.param(INFINITE, (), 100.0, [1, 2, 3, 4, 5], id="roll-back"),
        pytest.param(0.0, (), None, [1, 2, 3, 4, 5], id="all are due"),
    ],
)
def test_which_epochs_are_saved(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    saves: list[tuple[str, int]],
    seconds: float,
    keep_epochs: tuple[int, ...],
    max_loss_jump: float | None,
    epochs: list[int],
) -> None:
    """The first epoch of a call, epochs saved as another kind, and the last epoch; others when a save is due."""
    monkeypatch.setattr(_epochs, "SAVE_SECONDS", seconds)
    file, run = new_run(tmp_path / "run")
    experiment = dataclasses.replace(
        file.build(file.config_class()),
        epochs=EPOCHS,
        evaluate_every=4,
        best="loss",  # the largest value, so that the last epoch is not the best
        max_loss_jump=max_loss_jump,
    )
    with run.locked():
        train_run(experiment, run, progress=Quiet(), should_stop=lambda: False, keep_epochs=keep_epochs)
    steps = experiment.steps_per_epoch
    assert [step for kind, step in saves if kind == "last"] == [epoch * steps for epoch in epochs]
    best = [index for index, (kind, _) in enumerate(saves) if kind == "best"]
    assert best and all(saves[index - 1] == ("last", saves[index][1]) for index in best)


def test_a_failed_save_is_tried_again_after_the_next_epoch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, saves: list[tuple[str, int]]
) -> None:
    monkeypatch.setattr(_epochs, "SAVE_SECONDS", INFINITE)
    file, run = new_run(tmp_path / "run")
    experiment = dataclasses.replace(file.build(file.config_class()), epochs=EPOCHS, evaluate_every=EPOCHS)
    finish, failed = saving.Checkpoints._finish, []

    def fail_once(self: saving.Checkpoints, kind: str, step: int, *rest: object) -> None:
        if kind == "last" and not failed:
            failed.append(step)
            raise OSError("the disk is full")
        finish(self, kind, step, *rest)  # type: ignore[arg-type]

    def save_and_wait(self: saving.Checkpoints, kind: str, state: TrainState) -> None:
        save(self, kind, state)
        wait([each.work for each in self._pending.values()])  # the failure is reported before the next step

    save = saving.Checkpoints.save
    monkeypatch.setattr(saving.Checkpoints, "save", save_and_wait)
    monkeypatch.setattr(saving.Checkpoints, "_finish", fail_once)
    assert train(run, experiment).finished
    assert failed == [experiment.steps_per_epoch]
    assert [step // experiment.steps_per_epoch for kind, step in saves if kind == "last"] == [1, 2, EPOCHS]


def test_a_run_that_dies_after_epochs_that_were_not_saved_ends_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file, whole = new_run(tmp_path / "whole")
    experiment = dataclasses.replace(file.build(file.config_class()), epochs=EPOCHS, evaluate_every=4)
    train(whole, experiment)
    monkeypatch.setattr(_epochs, "SAVE_SECONDS", INFINITE)
    _, run = new_run(tmp_path / "run")
    asked = 0

    def die() -> bool:
        nonlocal asked
        asked += 1
        if asked > 3 * experiment.steps_per_epoch + 1:
            raise KeyboardInterrupt
        return False

    with run.locked(), pytest.raises(KeyboardInterrupt):
        train_run(experiment, run, progress=Quiet(), should_stop=die)
    assert len(run.metrics.read()) == 3  # the others are recorded, but only the first epoch is saved
    assert train(run, experiment).finished
    assert without_seconds(run) == without_seconds(whole)
    assert_same(final_state(run, experiment), final_state(whole, experiment))
