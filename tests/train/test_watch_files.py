"""Files of callbacks: TensorBoard event files, tables, and the arguments of Weights & Biases and MLflow."""

import csv
import json
import subprocess
import sys
import time
import types
from collections import defaultdict
from pathlib import Path
from typing import Any, ClassVar

import pytest

from jaxcnn import train
from tests.train.event_files import curves


def info(path: Path, *history: dict[str, Any], step: int = 0) -> train.RunInfo:
    return train.RunInfo(path, "digits", "1f2e", {"peak_lr": 0.1}, step, 6, 18, history)


def batch(step: int, loss: float | None = None) -> dict[str, Any]:
    return {"step": step, "epoch": (step - 1) // 6 + 1, "batch/loss": step / 8 if loss is None else loss}


def epoch(number: int, **more: float) -> dict[str, Any]:
    return {"step": 6 * number, "epoch": number, "seconds": 2.0 * number, "val/loss": 1 / 2**number, **more}


def killed(path: Path) -> Path:
    """The event file of a process that was killed during the write of step 9, after the checkpoint of step 6."""
    board = train.TensorBoard(every=1)
    board.start(info(path))
    for step in range(1, 7):
        board.step(batch(step))
    board.evaluation(epoch(1))
    for step in (7, 8, 9):
        board.step(batch(step, loss=99.0))
    board.end("failed", 9)
    (file,) = (path / "tensorboard").iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    return file


def test_the_file_of_a_killed_run_is_read_up_to_its_last_whole_event(tmp_path: Path) -> None:
    killed(tmp_path)
    found = curves(tmp_path / "tensorboard")
    assert found["val/loss"] == [(6, 0.5)] and found.keys() == {"batch/loss", "val/loss"}
    assert found["batch/loss"] == [*((step, step / 8) for step in range(1, 7)), (7, 99.0), (8, 99.0)]


def test_a_resumed_run_has_each_step_once_even_if_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(tmp_path)
    now = time.time() - 1000
    monkeypatch.setattr(time, "time", lambda: now)
    for first, last in ((6, 10), (10, 12)):
        board = train.TensorBoard(every=1)
        board.start(info(tmp_path, epoch(1), step=first))
        for step in range(first + 1, last + 1):
            board.step(batch(step))
        if last == 12:
            board.evaluation(epoch(2, **{"test/loss": 0.75}))
        board.end("stopped", last)
    assert len(list((tmp_path / "tensorboard").iterdir())) == 3
    assert curves(tmp_path / "tensorboard") == {
        "batch/loss": [(step, step / 8) for step in range(1, 13)],
        "test/loss": [(12, 0.75)],
        "val/loss": [(6, 0.5), (12, 0.25)],
    }


def test_a_run_that_is_watched_later_has_its_earlier_epochs(tmp_path: Path) -> None:
    board = train.TensorBoard(tmp_path / "elsewhere")
    board.start(info(tmp_path, epoch(1), epoch(2), step=12))
    board.evaluation(epoch(3))
    board.end("finished", 18)
    assert curves(tmp_path / "elsewhere") == {"val/loss": [(6, 0.5), (12, 0.25), (18, 0.125)]}


def test_after_a_failed_write_the_next_event_is_in_a_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = train.TensorBoard()
    board.start(info(tmp_path))
    board.step(batch(1))
    file, writer = board._writer._writer, board._writer

    def full(data: bytes) -> None:
        file.write(data[:10])
        raise OSError("no space left on device")

    monkeypatch.setattr(writer, "write", full)
    with pytest.raises(OSError, match="no space left"):
        board.step(batch(2))
    board.step(batch(3))
    board.end("finished", 18)
    assert curves(tmp_path / "tensorboard") == {"batch/loss": [(1, 0.125), (3, 0.375)]}


@pytest.mark.gate
def test_tensorflow_and_torch_are_not_imported_where_they_are_installed(tmp_path: Path) -> None:
    for name in ("tensorflow", "torch"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(f'{__name__} is imported')", encoding="utf-8")
    program = (
        f"import sys, pathlib; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from jaxcnn.train._watch import RunInfo, TensorBoard\n"
        f"board = TensorBoard({str(tmp_path / 'events')!r})\n"
        "board.start(RunInfo(pathlib.Path(), '', '', {}, 0, 1, 1, ()))\n"
        "board.step({'step': 1, 'batch/loss': 0.5}); board.end('finished', 1)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert curves(tmp_path / "events") == {"batch/loss": [(1, 0.5)]}


def test_a_table_has_one_row_for_each_epoch_and_its_columns_grow(tmp_path: Path) -> None:
    def rows() -> list[dict[str, str]]:
        with (tmp_path / "metrics.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def expected(*records: dict[str, Any]) -> list[dict[str, str]]:
        names = list(dict.fromkeys(name for record in records for name in record))
        return [{name: str(record.get(name, "")) for name in names} for record in records]

    first, second = epoch(1), epoch(2, **{"test/loss": 1e-17, "test/a, b": 0.1})
    table = train.CSV()
    table.start(info(tmp_path))
    assert not (tmp_path / "metrics.csv").exists()
    table.evaluation(first)
    assert rows() == expected(first)
    table.evaluation(second)
    assert rows() == expected(first, second)
    table.evaluation(epoch(3))
    assert rows() == expected(first, second, epoch(3))

    resumed = train.CSV()
    resumed.start(info(tmp_path, first, step=6))
    assert rows() == expected(first)
    (tmp_path / "metrics.csv").unlink()
    (tmp_path / "metrics.csv").mkdir()
    with pytest.raises(OSError, match="directory"):
        resumed.evaluation(epoch(2))
    (tmp_path / "metrics.csv").rmdir()
    resumed.evaluation(epoch(3))
    assert rows() == expected(first, epoch(2), epoch(3))


class FakeWandb(types.ModuleType):
    """The calls of wandb 0.31 that are used, with its signatures; steps have to increase."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.stored: dict[str, dict[int, dict[str, Any]]] = {}
        self.calls: list[Any] = []

    def init(
        self,
        entity: str | None = None,
        project: str | None = None,
        dir: str | None = None,
        id: str | None = None,
        name: str | None = None,
        notes: str | None = None,
        tags: Any = None,
        config: dict[str, Any] | str | None = None,
        mode: str | None = None,
        resume: bool | str | None = None,
    ) -> Any:
        assert id is not None and resume == "allow"
        self.calls.append(("init", project, id, name, config, mode))
        resumed, rows = id in self.stored, self.stored.setdefault(id, defaultdict(dict))

        def log(data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
            assert step is not None
            if step >= max(rows, default=0):
                rows[step].update(data)

        def finish(exit_code: int | None = None) -> None:
            self.calls.append(("finish", exit_code))

        return types.SimpleNamespace(resumed=resumed, log=log, finish=finish)


def test_weights_and_biases_has_each_figure_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    watch_twice(lambda: train.WeightsAndBiases(project="digits", mode="offline"), tmp_path)
    assert wandb.calls[0] == ("init", "digits", "1f2e", tmp_path.name, {"peak_lr": 0.1}, "offline")
    assert [call for call in wandb.calls if call[0] == "finish"] == [("finish", 1), ("finish", 0)]
    rows = wandb.stored["1f2e"]
    assert {step: row["batch/loss"] for step, row in rows.items()} == {step: step / 8 for step in range(1, 13)}
    assert {step: row["val/loss"] for step, row in rows.items() if "val/loss" in row} == {6: 0.5, 12: 0.25}


def watch_twice(make: Any, path: Path) -> None:
    """A run that is killed after step 8, with a checkpoint of step 6, and then resumed."""
    first = make()
    first.start(info(path))
    for step in range(1, 9):
        first.step(batch(step))
        if step == 6:
            first.evaluation(epoch(1))
    first.end("failed", 8)
    second = make()
    second.start(info(path, epoch(1), step=6))
    for step in range(7, 13):
        second.step(batch(step))
    second.evaluation(epoch(2))
    second.end("finished", 12)


class FakeMetric:
    """``mlflow.entities.Metric`` of MLflow 3.17."""

    def __init__(self, key: str, value: float, timestamp: int, step: int, model_id: str | None = None) -> None:
        self.key, self.value, self.timestamp, self.step = key, value, timestamp, step


class FakeClient:
    """The methods of ``mlflow.MlflowClient`` of MLflow 3.17 that are used, with their signatures."""

    def __init__(self, tracking_uri: str | None = None, registry_uri: str | None = None) -> None:
        self.uri = tracking_uri

    experiments: ClassVar[dict[str, str]] = {}
    metrics: ClassVar[list[FakeMetric]] = []
    params: ClassVar[dict[str, Any]] = {}
    states: ClassVar[list[tuple[str, str | None]]] = []

    def get_experiment_by_name(self, name: str) -> Any:
        found = self.experiments.get(name)
        return None if found is None else types.SimpleNamespace(experiment_id=found)

    def create_experiment(self, name: str, artifact_location: str | None = None, tags: Any = None) -> str:
        self.experiments[name] = "7"
        return "7"

    def create_run(
        self, experiment_id: str, start_time: int | None = None, tags: Any = None, run_name: str | None = None
    ) -> Any:
        assert experiment_id == "7"
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=f"run of {run_name}"))

    def log_param(self, run_id: str, key: str, value: Any, synchronous: bool | None = None) -> Any:
        assert key not in self.params
        self.params[key] = value

    def log_batch(
        self, run_id: str, metrics: Any = (), params: Any = (), tags: Any = (), synchronous: bool | None = None
    ) -> None:
        self.metrics.extend(metrics)

    def get_metric_history(self, run_id: str, key: str) -> list[FakeMetric]:
        return [metric for metric in self.metrics if metric.key == key]

    def update_run(self, run_id: str, status: str | None = None, name: str | None = None) -> None:
        self.states.append((run_id, status))

    def set_terminated(self, run_id: str, status: str | None = None, end_time: int | None = None) -> None:
        self.states.append((run_id, status))


def test_mlflow_has_each_figure_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow, entities = types.ModuleType("mlflow"), types.ModuleType("mlflow.entities")
    mlflow.MlflowClient, entities.Metric = FakeClient, FakeMetric  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    watch_twice(lambda: train.MLflow(experiment="digits"), tmp_path)
    run = f"run of {tmp_path.name}"
    assert json.loads((tmp_path / "mlflow.json").read_text(encoding="utf-8")) == {"run_id": run}
    assert FakeClient.experiments == {"digits": "7"} and FakeClient.params == {"peak_lr": 0.1}
    assert FakeClient.states == [(run, "FAILED"), (run, "RUNNING"), (run, "FINISHED")]
    found = [(metric.step, metric.value) for metric in FakeClient.metrics if metric.key == "batch/loss"]
    assert found == [(step, step / 8) for step in range(1, 13)]
    assert [(one.step, one.value) for one in FakeClient.metrics if one.key == "val/loss"] == [(6, 0.5), (12, 0.25)]


@pytest.mark.parametrize(
    ("make", "package", "source"),
    [
        (lambda: train.WeightsAndBiases(project="a"), "wandb", "wandb"),
        (train.MLflow, "mlflow", "mlflow-skinny"),
        (train.TensorBoard, "tensorboard", r"'jaxcnn\[tensorboard\]'"),
    ],
)
def test_a_missing_package_is_named(make: Any, package: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=f"{package}.*it comes with pip install {source}"):
        make()
