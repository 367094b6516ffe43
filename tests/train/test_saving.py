"""Failed saves: reported within one interval, the last good checkpoint is kept, and the next save is tried."""

import gc
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jaxcnn.train._checkpoints import _saving as saving
from jaxcnn.train._checkpoints._reading import restore, saved
from jaxcnn.train._checkpoints._saving import open_checkpoints
from jaxcnn.train._errors import RunError
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._runs._metrics import MetricsLog
from tests.kept_programs import nothing_kept
from tests.train.runs import assert_same, final_state, new_run, train, without_seconds
from tests.train.states import array_file, flip_bit, save_steps, state_at

# If a save fails, threads of Orbax also end with the error that the caller gets.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def leave_nothing() -> Iterator[None]:
    """Collects the objects of those threads, which are young, so that they do not affect tests of other files."""
    yield
    gc.collect(1)


@pytest.fixture
def full_disk() -> Iterator[Callable[[bool], None]]:
    """A switch: while it is on, files may not grow beyond 100 bytes, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def switch(full: bool) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100 if full else before[0], before[1]))

    with nothing_kept():
        yield switch
    switch(False)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_told_and_the_last_good_kept(
    full_disk: Callable[[bool], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_steps(tmp_path, 1, 2)
    with open_checkpoints(tmp_path) as checkpoints:
        full_disk(True)
        checkpoints.save("last", state_at(3))
        checkpoints.save("last", state_at(4))  # the failure is known within one interval
        assert "checkpoint of step 3" in caplog.text and "(step 2 is kept)" in caplog.text
        assert "File too large" in caplog.text
        checkpoints.settle("last")  # otherwise step 4 might run on a disk that has space again
        full_disk(False)
        checkpoints.save("last", state_at(5))
    assert [one.step for one in saved(tmp_path, ["last"])] == [5, 2]
    assert not list(tmp_path.glob("last/.*"))
    assert_same(restore(tmp_path, "last", state_at(0)), state_at(5))


def test_each_step_may_ask_after_a_failed_save(
    full_disk: Callable[[bool], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_steps(tmp_path, 1)
    with open_checkpoints(tmp_path) as checkpoints:
        full_disk(True)
        checkpoints.save("last", state_at(2))
        while checkpoints._pending:
            checkpoints.check()
        assert "checkpoint of step 2" in caplog.text
        full_disk(False)
        checkpoints.save("last", state_at(3))


def test_a_run_that_cannot_save_stops(full_disk: Callable[[bool], None], tmp_path: Path) -> None:
    save_steps(tmp_path, 1)
    steps = iter(range(2, 100))
    message = r"step 4 .*could not be saved \(step 1 is kept\).*\nIs the disk full"
    with pytest.raises(RunError, match=message), open_checkpoints(tmp_path) as checkpoints:
        full_disk(True)
        for step in steps:
            checkpoints.save("last", state_at(step))
    assert next(steps) in (5, 6)  # the failure is found by the next save or by its thread
    full_disk(False)
    assert_same(restore(tmp_path, "last", state_at(0)), state_at(1))


def test_the_last_save_of_all_is_not_forgotten(full_disk: Callable[[bool], None], tmp_path: Path) -> None:
    save_steps(tmp_path, 1)
    message = r"step 2 .*could not be saved \(step 1 is kept\)"
    with pytest.raises(RunError, match=message), open_checkpoints(tmp_path) as checkpoints:
        full_disk(True)
        checkpoints.save("last", state_at(2))


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operating system refuses the write; this is simulated, since root may write anywhere."""
    save_steps(tmp_path, 1)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    message = r"could not be saved \(step 1 is kept\): .*Permission denied\n.*not writable"
    with pytest.raises(RunError, match=message), open_checkpoints(tmp_path) as checkpoints:
        monkeypatch.setattr(checkpoints._savers["last"], "save", refuse)
        checkpoints.save("last", state_at(2))


def test_what_reads_back_otherwise_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A save succeeds, but the disk returns other bytes.

    Older checkpoints stay, and the bad checkpoint is deleted.
    """
    save_steps(tmp_path, 1, 2)
    original = saving.read_arrays
    lie = True

    def read(place: Path, arrays: Any, template: Any) -> Any:
        if lie:
            flip_bit(array_file(place), share=0.5)
        return original(place, arrays, template)

    monkeypatch.setattr(saving, "read_arrays", read)
    with open_checkpoints(tmp_path) as checkpoints:
        checkpoints.save("last", state_at(3))
        checkpoints.save("last", state_at(4))
        assert "step 3" in caplog.text and "(step 2 is kept)" in caplog.text
        assert [one.step for one in saved(tmp_path, ["last"]) if one.step < 4] == [2, 1]
        checkpoints._pending["last"].work.exception()
        lie = False
        checkpoints.save("last", state_at(5))
    assert [one.step for one in saved(tmp_path, ["last"])] == [5, 2]


@pytest.mark.gate
def test_a_full_disk_does_not_end_a_run(
    full_disk: Callable[[bool], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metrics and checkpoints of one epoch cannot be written; the next epoch has space again."""
    file, whole = new_run(tmp_path / "whole")
    experiment: Experiment = file.build(file.config_class())
    train(whole, experiment)
    _, run = new_run(tmp_path / "full")
    epochs = 0
    append = MetricsLog.append

    def fill_and_append(log: MetricsLog, record: dict[str, Any]) -> None:
        nonlocal epochs
        epochs += 1
        full_disk(epochs == 2)
        append(log, record)

    monkeypatch.setattr(MetricsLog, "append", fill_and_append)
    assert train(run, experiment).finished
    assert epochs == 3
    assert without_seconds(run) == without_seconds(whole)
    assert_same(final_state(run, experiment), final_state(whole, experiment))
