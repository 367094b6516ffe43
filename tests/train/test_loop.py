"""The loop on a tiny experiment: determinism, resuming bit for bit, and errors."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from jaxcnn.train._errors import RunError
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._runs._folder import RunFolder
from jaxcnn.train._step import epoch_order
from tests.tiers import default_rows
from tests.train.runs import TINY, assert_same, final_state, new_run, train, without_seconds


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, RunFolder]:
    file, run = new_run(tmp_path_factory.mktemp("run") / "whole")
    experiment = file.build(file.config_class())
    assert train(run, experiment).finished
    return experiment, run


@pytest.mark.gate
def test_two_runs_of_one_seed_are_equal(uninterrupted: tuple[Experiment, RunFolder], tmp_path: Path) -> None:
    experiment, first = uninterrupted
    _, second = new_run(tmp_path / "again")
    train(second, experiment)
    assert without_seconds(first) == without_seconds(second)
    assert_same(final_state(first, experiment), final_state(second, experiment))


@pytest.mark.gate
def test_another_seed_gives_another_run(uninterrupted: tuple[Experiment, RunFolder], tmp_path: Path) -> None:
    experiment, first = uninterrupted
    _, second = new_run(tmp_path / "other")
    train(second, dataclasses.replace(experiment, seed=1))
    assert without_seconds(first) != without_seconds(second)


@pytest.mark.parametrize("stop_after", default_rows([0, 4, 6, 11], keep=[4]))
def test_stopped_and_resumed_equals_uninterrupted(
    uninterrupted: tuple[Experiment, RunFolder], tmp_path: Path, stop_after: int
) -> None:
    """An epoch has six steps; stops are before the first step, in mid-epoch, between epochs, in the second epoch."""
    experiment, whole = uninterrupted
    _, run = new_run(tmp_path / "stopped")
    outcome = train(run, experiment, stop_after=stop_after)
    assert (outcome.finished, outcome.step) == (False, stop_after)
    assert train(run, experiment).finished
    assert without_seconds(run) == without_seconds(whole)
    assert_same(final_state(run, experiment), final_state(whole, experiment))


@pytest.mark.gate
def test_metrics_after_the_checkpoint_are_written_again(
    uninterrupted: tuple[Experiment, RunFolder], tmp_path: Path
) -> None:
    """A kill may come between the metrics of an epoch and its checkpoint."""
    experiment, whole = uninterrupted
    _, run = new_run(tmp_path / "killed")
    train(run, experiment, stop_after=8)
    run.metrics.append({"step": 12, "epoch": 2, "seconds": 1.0, "test/accuracy": 0.999})
    train(run, experiment)
    assert without_seconds(run) == without_seconds(whole)


def test_the_memory_of_a_step_decides_whether_freed_memory_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released: list[int] = []
    monkeypatch.setattr("jaxcnn.train._loop.release_freed_memory", lambda *, temporary: released.append(temporary))
    file, run = new_run(tmp_path / "run")
    train(run, file.build(file.config_class()), stop_after=1)
    assert len(released) == 1 and released[0] > 0


def test_what_a_run_leaves_behind(uninterrupted: tuple[Experiment, RunFolder]) -> None:
    _, run = uninterrupted
    config = json.loads((run.path / "config.json").read_text(encoding="utf-8"))
    assert (config["experiment"], config["seed"], config["epochs"]) == ("tiny", 0, 3)
    assert json.loads((run.path / "versions.json").read_text(encoding="utf-8"))["packages"]["jax"] == jax.__version__
    assert (run.path / "experiment.py").read_text(encoding="utf-8") == TINY.read_text(encoding="utf-8")
    assert set(json.loads((run.path / "timing.json").read_text(encoding="utf-8"))) == {
        "compile_seconds",
        "examples_per_second",
    }
    records = run.metrics.read()
    assert [(record["step"], record["epoch"]) for record in records] == [(6, 1), (12, 2), (18, 3)]
    assert set(records[0]) >= {"seconds", "learning_rate", "train/loss", "train/accuracy", "test/loss", "test/accuracy"}


def test_each_epoch_reads_images_once_in_another_order(uninterrupted: tuple[Experiment, RunFolder]) -> None:
    experiment, _ = uninterrupted
    first, second = (np.asarray(epoch_order(experiment, np.int32(epoch))) for epoch in (0, 1))
    assert first.shape == (6, 16) and len(np.unique(first)) == 96
    assert (first != second).any()


def test_a_run_that_diverges_says_so_and_keeps_its_checkpoint(tmp_path: Path) -> None:
    file, run = new_run(tmp_path / "diverged")
    experiment = dataclasses.replace(file.build(file.config_class()), optimizer=optax.sgd(1e30))
    with pytest.raises(RunError, match=r"had a NaN or an infinity.*the run diverged.*smaller learning"):
        train(run, experiment)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    _, run = new_run(tmp_path / "run")
    with (
        run.locked(),
        pytest.raises(RunError, match=r"another process \(pid \d+\) is training into .*run\. Wait for it"),
        run.locked(),
    ):
        pass
    with run.locked():
        pass  # the lock is free again


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    new_run(tmp_path / "run")
    with pytest.raises(RunError, match=r"holds a run already\. Continue it with: jaxcnn train --resume"):
        new_run(tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, r"epochs=0: a run needs at least one"),
        ({"batch_size": 101}, r"a batch of 101 does not fit 100 images; take a batch_size of at most 100"),
        ({"batch_size": 0}, r"batch_size=0 must be at least 1"),
        ({"ema_decay": 1.0}, r"ema_decay=1.0: it is a weight"),
    ],
)
def test_impossible_experiments_are_refused(
    uninterrupted: tuple[Experiment, RunFolder], change: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(uninterrupted[0], **change)  # type: ignore[arg-type]
