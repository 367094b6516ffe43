"""Faults of a run that no other file tests, and the page that lists all faults."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxcnn.train import _loop as loop
from jaxcnn.train._checkpoints._reading import FORMAT, restore
from jaxcnn.train._devices import Parallel, compile_step
from jaxcnn.train._errors import RunError
from jaxcnn.train._runs._metrics import MetricsLog
from jaxcnn.train._state import create_state
from tests.train.golden import GOLDEN
from tests.train.runs import assert_same, new_run, train
from tests.train.states import state_at

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")


def test_each_row_of_the_page_names_tests_that_exist() -> None:
    tables = re.findall(r"^\| fault \|.*\n\|---.*\n((?:\| .* \|\n)+)", PAGE, re.MULTILINE)
    rows = [row for table in tables for row in table.splitlines()]
    assert len(rows) > 45
    for row in rows:
        names = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert names, f"no test is named in: {row}"
        for file, name in names:
            assert f"\ndef {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file} has no {name}"


def test_checkpoints_of_this_format_are_read() -> None:
    assert_same(restore(GOLDEN / f"format_{FORMAT}", "last", state_at(0, rows=8)), state_at(7, rows=8))


@pytest.mark.parametrize("number", range(2, FORMAT))  # format 1 was never released
def test_checkpoints_of_older_formats_are_refused(number: int) -> None:
    """Their states have other parts; the files of the checkpoints do not change."""
    message = rf"format_{number}.*was written by jaxcnn 0\.1.*its format is {number}, and this jaxcnn reads {FORMAT}"
    with pytest.raises(RunError, match=message):
        restore(GOLDEN / f"format_{number}", "last", state_at(0, rows=8))


def test_a_step_of_another_shape_is_an_error(tmp_path: Path) -> None:
    file, _ = new_run(tmp_path / "run")
    experiment = file.build(file.config_class())
    parallel = Parallel.over(1)
    state = parallel.place(create_state(experiment))
    arrays = parallel.replicate(experiment.data.train.arrays)
    order = parallel.replicate(np.zeros((6, 16), np.int32))
    step = compile_step(experiment, parallel, state, arrays, order)
    with pytest.raises(TypeError, match=r"int32\[6,16\].*int32\[6,15\]"):
        step(state, arrays, parallel.replicate(np.zeros((6, 15), np.int32)))


def test_no_memory_left_gives_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, run = new_run(tmp_path / "run")
    experiment = file.build(file.config_class())

    def compile_step(*_: object) -> object:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 3221225472 bytes.")

    monkeypatch.setattr(loop, "compile_step", compile_step)
    with pytest.raises(RunError, match=r"batches of 16 examples .*Out of memory.*batch_size=8.*--accumulate 2"):
        train(run, experiment)


def test_metrics_that_cannot_be_written_are_kept_for_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = tmp_path / "run"
    place.mkdir()
    log = MetricsLog(place / "metrics.jsonl")
    log.append({"step": 1})
    place.rename(tmp_path / "away")
    log.append({"step": 2})
    log.append({"step": 3})
    assert "metrics.jsonl could not be written, which is tried again at the next epoch: " in caplog.text
    assert "metrics.jsonl cannot be written: No such file or directory" in caplog.text
    assert log.read() == [{"step": 1}, {"step": 2}, {"step": 3}]
    (tmp_path / "away").rename(place)
    log.append({"step": 4})
    assert [record["step"] for record in MetricsLog(log.path).read()] == [1, 2, 3, 4]


def test_a_damaged_line_of_metrics_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.path.write_bytes(b'{"step": 1}\n{"st\xffp": 2}\n[3]\n{"step": 4}\n')
    assert [record["step"] for record in log.read()] == [1, 4]
    assert "line 2 is damaged" in caplog.text and "line 3 is damaged" in caplog.text
