"""``jaxcnn train --tensorboard``."""

import argparse
import sys
from pathlib import Path

import pytest

from jaxcnn.cli import _train, main
from jaxcnn.train import RunFolder, TensorBoard
from tests.train.event_files import curves
from tests.train.runs import TINY


@pytest.mark.gate
def test_the_command_writes_event_files_and_goes_on_with_them(tmp_path: Path) -> None:
    place = tmp_path / "run"
    assert main(["train", str(TINY), "--set", "epochs=1", "--tensorboard", "--run-dir", str(place)]) == 0
    (record,) = RunFolder(place).metrics.read()
    found = curves(place / "tensorboard")
    assert set(found) == set(record) - {"step", "epoch", "seconds"}
    assert found["test/accuracy"] == [(6, pytest.approx(record["test/accuracy"]))]
    assert main(["train", "--resume", str(place)]) == 0
    assert len(list((place / "tensorboard").iterdir())) == 2 and curves(place / "tensorboard") == found


def test_without_the_package_the_option_is_refused_and_a_run_goes_on_without_it(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = tmp_path / "run"
    (place / "tensorboard").mkdir(parents=True)
    resumed = argparse.Namespace(tensorboard=False, resume=place)
    assert [type(each) for each in _train._callbacks(resumed)] == [TensorBoard]
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.record_writer", None)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    text = "it comes with pip install 'jaxcnn[tensorboard]'"
    assert main(["train", str(TINY), "--tensorboard", "--run-dir", str(tmp_path / "other")]) == 2
    assert text in capsys.readouterr().err and not (tmp_path / "other").exists()
    assert _train._callbacks(resumed) == []
    assert "the event files in" in caplog.text and "are not continued" in caplog.text and text in caplog.text
