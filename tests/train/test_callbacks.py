"""Callbacks: what they are called with, and that they change nothing of a run."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jaxcnn import train
from jaxcnn.train._errors import RunError
from tests.train import tiny
from tests.train.runs import Quiet, assert_same, final_state, without_seconds

STEPS = 6  # of an epoch of the tiny experiment


class Recorder(train.Callback):
    """Keeps all calls, in order."""

    every = 2

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def start(self, run: train.RunInfo) -> None:
        self.calls.append(("start", run))

    def step(self, record: Mapping[str, Any]) -> None:
        self.calls.append(("step", record))

    def evaluation(self, record: Mapping[str, Any]) -> None:
        self.calls.append(("evaluation", record))

    def end(self, status: str, step: int) -> None:
        self.calls.append(("end", (status, step)))

    def of(self, kind: str) -> list[Any]:
        return [what for name, what in self.calls if name == kind]


class Broken(Recorder):
    """Raises after it has noted the call, and tries to change the record before."""

    every = 1

    def step(self, record: Mapping[str, Any]) -> None:
        super().step(record)
        record["batch/loss"] = 0.0  # type: ignore[index]

    def evaluation(self, record: Mapping[str, Any]) -> None:
        super().evaluation(record)
        raise OSError("no space left")


class NeverStarts(Recorder):
    def start(self, run: train.RunInfo) -> None:
        super().start(run)
        raise ConnectionError("no route to host")


def fit(experiment: train.Experiment, place: Path, *callbacks: train.Callback, **options: Any) -> train.Outcome:
    return train.fit(experiment, place, progress=Quiet(), callbacks=callbacks, **options)


@pytest.fixture(scope="module")
def experiment() -> train.Experiment:
    return tiny.build(tiny.Config(epochs=2))


@pytest.fixture(scope="module")
def plain(experiment: train.Experiment, tmp_path_factory: pytest.TempPathFactory) -> train.RunFolder:
    """The run without callbacks."""
    return train.RunFolder(fit(experiment, tmp_path_factory.mktemp("plain") / "run").run)


def test_a_run_is_the_same_with_callbacks_and_those_that_raise_are_named_once(
    experiment: train.Experiment, plain: train.RunFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder, broken, dead = Recorder(), Broken(), NeverStarts()
    with caplog.at_level(logging.WARNING):
        outcome = fit(experiment, tmp_path / "run", broken, recorder, dead)
    run = train.RunFolder(outcome.run)
    assert without_seconds(run) == without_seconds(plain)
    assert_same(final_state(run, experiment), final_state(plain, experiment))

    # Every call, in order, whatever the other callbacks raise.
    kinds = [name for name, _ in recorder.calls]
    assert kinds == ["start", *["step"] * 3, "evaluation", *["step"] * 3, "evaluation", "end"]
    (info,) = recorder.of("start")
    assert (info.path, info.step, info.steps_per_epoch, info.total_steps) == (outcome.run, 0, STEPS, 2 * STEPS)
    assert info.history == () and info.name == "digits100" and info.identity == run.identity
    assert [record["step"] for record in recorder.of("step")] == [2, 4, 6, 8, 10, 12]
    assert [record["epoch"] for record in recorder.of("step")] == [1, 1, 1, 2, 2, 2]
    assert [dict(record) for record in recorder.of("evaluation")] == outcome.history
    assert recorder.of("end") == [("finished", 2 * STEPS)]
    assert [record["step"] for record in broken.of("step")] == list(range(1, 2 * STEPS + 1))
    assert len(broken.of("evaluation")) == 2 and [name for name, _ in dead.calls] == ["start"]

    said = [record.getMessage() for record in caplog.records if "callback" in record.getMessage()]
    assert said == [
        "the callback NeverStarts raised ConnectionError: no route to host. Training continues without it",
        "the callback Broken raised TypeError: 'mappingproxy' object does not support item assignment. "
        "Training continues",
    ]
    assert all(text in (run.path / "warnings.log").read_text(encoding="utf-8") for text in said)


def test_the_figures_of_steps_are_those_of_their_batches(experiment: train.Experiment, tmp_path: Path) -> None:
    """The mean over the steps of an epoch is what the epoch's record has, computed on the device."""

    class Each(Recorder):
        every = 1

    each = Each()
    outcome = fit(experiment, tmp_path / "run", each)
    for record in outcome.history:
        steps = [one for one in each.of("step") if one["epoch"] == record["epoch"]]
        assert steps[0].keys() == {"step", "epoch", "batch/loss", "batch/accuracy"}
        for name in ("loss", "accuracy"):
            mean = sum(one[f"batch/{name}"] for one in steps) / STEPS
            assert mean == pytest.approx(record[f"train/{name}"], rel=1e-6)


def test_a_resumed_run_repeats_no_step_of_its_checkpoint(
    experiment: train.Experiment, plain: train.RunFolder, tmp_path: Path
) -> None:
    asked, first, second = iter(range(100)), Recorder(), Recorder()
    stopped = fit(experiment, tmp_path / "run", first, should_stop=lambda: next(asked) == 9)
    assert stopped.step == 9 and first.of("end") == [("stopped", 9)]
    outcome = fit(experiment, tmp_path / "run", second)
    (info,) = second.of("start")
    assert info.step == 9 and [dict(record) for record in info.history] == stopped.history
    steps = [record["step"] for one in (first, second) for record in one.of("step")]
    assert steps == [2, 4, 6, 8, 10, 12]
    assert without_seconds(train.RunFolder(outcome.run)) == without_seconds(plain)


def test_steps_are_passed_on_before_a_checkpoint_includes_them(experiment: train.Experiment, tmp_path: Path) -> None:
    """A kill after a save loses nothing that the checkpoint includes."""
    place, seen = tmp_path / "run", []

    class Each(Recorder):
        every = 1

        def evaluation(self, record: Mapping[str, Any]) -> None:
            saved = [int(path.name) for path in (place / "checkpoints" / "last").glob("[0-9]*")]
            seen.append((record["step"], max(saved, default=0), len(self.of("step"))))

    fit(experiment, place, Each())
    assert [(step, steps) for step, _, steps in seen] == [(STEPS, STEPS), (2 * STEPS, 2 * STEPS)]
    assert all(saved < step for step, saved, _ in seen)


def test_a_run_that_fails_says_so(tmp_path: Path) -> None:
    recorder = Recorder()
    diverging = tiny.build(tiny.Config(epochs=2, peak_lr=1e38))
    with pytest.raises(RunError, match="the run diverged"):
        fit(diverging, tmp_path / "run", recorder)
    assert [status for status, _ in recorder.of("end")] == ["failed"]


def test_what_is_no_callback_is_refused(experiment: train.Experiment, tmp_path: Path) -> None:
    for wrong, kind, text in (
        (Recorder, TypeError, "expected instances of train.Callback, got the class Recorder; call it"),
        (print, TypeError, "expected instances of train.Callback, got a builtin_function_or_method"),
    ):
        with pytest.raises(kind, match=text):
            fit(experiment, tmp_path / "run", wrong)  # type: ignore[arg-type]
    for every, error, text in (
        (0, ValueError, "Recorder: every=0: expected a number of steps, at least 1"),
        (0.5, TypeError, "Recorder: every=0.5: expected an int"),
    ):
        recorder = Recorder()
        recorder.every = every  # type: ignore[assignment]
        with pytest.raises(error, match=text):
            fit(experiment, tmp_path / "run", recorder)
    assert not (tmp_path / "run").exists()
