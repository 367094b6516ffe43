"""Early stopping: when a run ends, and that a resumed run ends at the same epoch."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from jaxcnn import data
from jaxcnn.train import ConfigError, EarlyStopping, Experiment, Outcome, RunFolder, dry_run, fit
from tests.train.runs import Quiet, assert_same, final_state, without_seconds
from tests.train.tiny import Config, build

COUNT, STOPPED = "early_stopping/epochs_without_improvement", "early_stopping/stopped"


def rule(**options: Any) -> EarlyStopping:
    return EarlyStopping(**{"metric": "val/loss", "patience": 2, "min_delta": 10.0, **options})


def with_validation(config: Config, stopping: EarlyStopping | None) -> Experiment:
    experiment = build(config)
    held = data.hold_out(experiment.data, one_in=5)  # type: ignore[arg-type]
    return dataclasses.replace(experiment, data=held, early_stopping=stopping)


def records(*values: float | None) -> list[dict[str, Any]]:
    return [
        {"epoch": epoch} if value is None else {"epoch": epoch, "val/loss": value}
        for epoch, value in enumerate(values, start=1)
    ]


def train(experiment: Experiment, place: Path, stop_at: int | None = None) -> Outcome:
    asked = iter(range(1000))
    return fit(experiment, place, progress=Quiet(), should_stop=lambda: next(asked) == stop_at)


@pytest.mark.parametrize(
    ("options", "values", "count"),
    [
        ({}, (), 0),
        ({}, (1.0,), 0),
        ({}, (1.0, 0.5, 0.5, 0.6), 2),
        ({"min_delta": 0.2}, (1.0, 0.9, 0.79), 0),
        ({"min_delta": 0.2}, (1.0, 0.9, 0.8), 2),
        ({"mode": "max"}, (1.0, 2.0, 0.5), 1),
        ({}, (1.0, math.nan, math.inf), 2),
        ({}, (math.nan, math.nan), 2),
        ({}, (1.0, None, None, 1.0, None), 3),
    ],
)
def test_epochs_are_counted_from_the_best_one(
    options: dict[str, Any], values: tuple[float | None, ...], count: int
) -> None:
    chosen = rule(**{"min_delta": 0.0, **options})
    assert chosen.epochs_without_improvement(records(*values)) == count
    assert chosen.stops(records(*values)) == (count >= 2)


@pytest.mark.parametrize(
    ("metric", "sign"),
    [("loss", -1), ("top5_error", -1), ("accuracy", 1), ("val/mean_iou", 1), ("balanced-accuracy", 1), ("PSNR", 1)],
)
def test_the_direction_is_that_of_the_metric(metric: str, sign: int) -> None:
    assert rule(metric=metric).sign == sign
    assert rule(metric=metric, mode="max").sign == 1 and rule(metric=metric, mode="min").sign == -1


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (
            {"metric": "test/loss"},
            ValueError,
            "by the test split: choices are made on validation data. Use metric='loss'",
        ),
        ({"metric": "train/loss"}, ValueError, "is not stopped by the train split"),
        ({"metric": "sharpness"}, ValueError, "metric='sharpness': is less of it better, or more\\? Give mode='min'"),
        ({"metric": "loss_of_accuracy"}, ValueError, "is less of it better, or more"),
        ({"patience": 0}, ValueError, "patience=0: expected a number of epochs, at least 1"),
        ({"patience": 1.5}, TypeError, "patience=1.5: expected an int"),
        ({"min_delta": -1.0}, ValueError, "min_delta=-1.0: expected a finite number, at least 0"),
        ({"mode": "best"}, ValueError, "mode='best': expected 'min' or 'max'"),
    ],
)
def test_what_is_refused(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        rule(**options)


def test_an_experiment_without_that_measure_is_refused() -> None:
    with pytest.raises(ValueError, match=r"early_stopping requires a validation split, and digits100 has none\. Hold"):
        dataclasses.replace(build(Config()), early_stopping=rule())
    with pytest.raises(TypeError, match=r"early_stopping=3: expected a train\.EarlyStopping, or None"):
        dataclasses.replace(build(Config()), early_stopping=3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="the evaluation has no measure 'top5_accuracy'; it has accuracy, loss"):
        dry_run(with_validation(Config(), rule(metric="top5_accuracy")))


def ending_early(folder: Path) -> tuple[Experiment, Outcome]:
    """The first epoch is the best by 10, so a patience of 2 ends the run after the third of six epochs."""
    experiment = with_validation(Config(epochs=6), rule())
    return experiment, train(experiment, folder)


@pytest.mark.gate
def test_a_run_ends_early(tmp_path: Path) -> None:
    experiment, whole = ending_early(tmp_path / "whole")
    run = RunFolder(whole.run)
    assert whole.finished and whole.stopped_early and whole.step == 3 * experiment.steps_per_epoch
    assert [record[COUNT] for record in whole.history] == [0, 1, 2]
    assert [record.get(STOPPED) for record in whole.history] == [None, None, True]
    assert ["test/accuracy" in record for record in whole.history] == [False, False, True]
    recorded = json.loads((run.path / "config.json").read_text(encoding="utf-8"))
    assert recorded["early_stopping"] == {"metric": "val/loss", "patience": 2, "min_delta": 10.0, "mode": None}
    assert recorded["epochs"] == 6
    again = train(experiment, tmp_path / "whole")
    assert again.stopped_early and again.history == whole.history


@pytest.mark.gate
@pytest.mark.parametrize("stop_at", [4, 11], ids=["first epoch", "third epoch"])
def test_a_resumed_run_ends_early_after_the_same_epoch(stop_at: int, tmp_path: Path) -> None:
    experiment, whole = ending_early(tmp_path / "whole")
    run = RunFolder(whole.run)
    assert not train(experiment, tmp_path / "stopped", stop_at=stop_at).finished
    resumed = train(experiment, tmp_path / "stopped")
    assert resumed.stopped_early and without_seconds(RunFolder(resumed.run)) == without_seconds(run)
    assert_same(final_state(RunFolder(resumed.run), experiment), final_state(run, experiment))
