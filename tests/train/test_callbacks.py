"""Callbacks: the arguments of their calls, and that they do not change the run."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
import pytest

from jaxcnn import train
from jaxcnn.train._errors import RunError
from jaxcnn.train._state import create_state
from jaxcnn.train._watch import Watchers, _watchers
from tests.train import tiny
from tests.train.runs import Quiet, assert_same, final_state, without_seconds

STEPS = 6  # the steps of an epoch of the tiny experiment


class Recorder(train.Callback):
    """Records all calls in order."""

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
    """Raises in each call after recording it, and tries to change the record first."""

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


class Looker(Recorder):
    """Reads the variables at two steps, and pauses the run for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def looks(self, step: int) -> bool:
        return step in (0, 9)

    def look(self, step: int, variables: Mapping[str, Any]) -> None:
        self.calls.append(("look", (step, jax.tree.map(np.asarray, dict(variables)))))
        variables["params"] = None  # type: ignore[index]

    def holds(self, step: int) -> bool:
        self.asked += step == 4
        return step == 4 and self.asked < 3


class AfterAnEpoch(Looker):
    """Reads the variables after the first epoch."""

    def looks(self, step: int) -> bool:
        return step == STEPS

    def holds(self, step: int) -> bool:
        return False


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
    recorder, broken, dead, looker = Recorder(), Broken(), NeverStarts(), Looker()
    with caplog.at_level(logging.WARNING):
        outcome = fit(experiment, tmp_path / "run", broken, recorder, dead, looker)
    run = train.RunFolder(outcome.run)
    assert without_seconds(run) == without_seconds(plain)
    assert_same(final_state(run, experiment), final_state(plain, experiment))

    # Every call is made, in order, even if other callbacks raise.
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

    # The variables that are evaluated: the initial ones at the start, and later ones afterwards.
    (first, initial), (second, later) = looker.of("look")
    assert (first, second) == (0, 9) and looker.asked == 3
    jax.tree.map(np.testing.assert_array_equal, initial, create_state(experiment).eval_variables)
    assert np.abs(later["params"]["conv"]["kernel"] - initial["params"]["conv"]["kernel"]).max() > 0

    said = [record.getMessage() for record in caplog.records if "callback" in record.getMessage()]
    assert said == [
        "the callback NeverStarts raised ConnectionError: no route to host. Training continues without it",
        "the callback Looker raised TypeError: 'mappingproxy' object does not support item assignment. "
        "Training continues",
        "the callback Broken raised TypeError: 'mappingproxy' object does not support item assignment. "
        "Training continues",
    ]
    assert all(text in (run.path / "warnings.log").read_text(encoding="utf-8") for text in said)


@pytest.mark.gate
def test_the_figures_of_steps_are_those_of_their_batches(experiment: train.Experiment, tmp_path: Path) -> None:
    """The mean over the steps of an epoch equals the record of the epoch, which is computed on the device."""

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


@pytest.mark.gate
def test_a_resumed_run_repeats_no_step_of_its_checkpoint(
    experiment: train.Experiment, plain: train.RunFolder, tmp_path: Path
) -> None:
    asked, first, second, looker = iter(range(100)), Recorder(), Recorder(), AfterAnEpoch()
    stopped = fit(
        experiment, tmp_path / "run", first, looker, should_stop=lambda: next(asked) == 9, keep_epochs=[1, 2, 7]
    )
    assert stopped.step == 9 and first.of("end") == [("stopped", 9)]
    outcome = fit(experiment, tmp_path / "run", second)
    (info,) = second.of("start")
    assert info.step == 9 and [dict(record) for record in info.history] == stopped.history
    steps = [record["step"] for one in (first, second) for record in one.of("step")]
    assert steps == [2, 4, 6, 8, 10, 12]
    assert without_seconds(train.RunFolder(outcome.run)) == without_seconds(plain)

    # The variables of the selected epochs are kept, also after the run is continued without the option.
    kept = train.load_kept(train.RunFolder(outcome.run), experiment=experiment)
    assert [each.step for each in kept] == [STEPS, 2 * STEPS]
    for each, expected in zip(kept, [looker.of("look")[0][1], outcome.variables], strict=True):
        jax.tree.map(np.testing.assert_array_equal, each.variables, dict(expected))
    assert train.load_kept(plain, experiment=experiment) == []


@pytest.mark.gate
def test_steps_are_passed_on_before_a_checkpoint_includes_them(experiment: train.Experiment, tmp_path: Path) -> None:
    """A kill after a save loses no step that the checkpoint includes."""
    place, seen = tmp_path / "run", []

    class Each(Recorder):
        every = 1

        def evaluation(self, record: Mapping[str, Any]) -> None:
            saved = [int(path.name) for path in (place / "checkpoints" / "last").glob("[0-9]*")]
            seen.append((record["step"], max(saved, default=0), len(self.of("step"))))

    fit(experiment, place, Each())
    assert [(step, steps) for step, _, steps in seen] == [(STEPS, STEPS), (2 * STEPS, 2 * STEPS)]
    assert all(saved < step for step, saved, _ in seen)


def test_a_run_that_is_held_is_looked_at_and_stops_when_it_is_asked_to(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Holder(train.Callback):
        def holds(self, step: int) -> bool:
            return True

        def looks(self, step: int) -> bool:
            looked.append(step)
            raise ArithmeticError("no answer")

    monkeypatch.setattr(_watchers, "POLL_SECONDS", 0.0)
    looked: list[int] = []
    asked = iter(range(10))
    info = train.RunInfo(Path(), "", "", {}, 0, 1, 1, ())
    watchers = Watchers([Holder()], info)
    with caplog.at_level(logging.WARNING):
        watchers.before_step(7, cast(Any, None), lambda: next(asked) == 3)
    assert looked == [7] * 4 and watchers.held_seconds > 0
    assert len([record for record in caplog.records if "ArithmeticError: no answer" in record.getMessage()]) == 1


def test_a_run_that_fails_says_so(tmp_path: Path) -> None:
    recorder = Recorder()
    diverging = tiny.build(tiny.Config(epochs=2, peak_lr=1e38))
    with pytest.raises(RunError, match="the run diverged"):
        fit(diverging, tmp_path / "run", recorder)
    assert [status for status, _ in recorder.of("end")] == ["failed"]


@pytest.mark.parametrize(
    ("epochs", "message"),
    [
        ([1, 0], "fit: keep_epochs has 0: epochs are counted from 1"),
        (["2"], "fit: keep_epochs has '2': expected ints"),
    ],
)
def test_epochs_that_are_none_are_refused(
    experiment: train.Experiment, tmp_path: Path, epochs: list[Any], message: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        fit(experiment, tmp_path / "run", keep_epochs=epochs)
    assert not (tmp_path / "run").exists()


def test_callbacks_may_come_from_a_generator(experiment: train.Experiment, tmp_path: Path) -> None:
    """A generator was empty after the check of its callbacks."""
    given = [Recorder(), Recorder()]
    assert _watchers.check_callbacks(each for each in given) == tuple(given)
    with pytest.raises(TypeError, match=r"callbacks: expected a list, got a Recorder\. Write callbacks=\[\.\.\.\]"):
        train.fit(experiment, tmp_path / "run", callbacks=Recorder())  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


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
