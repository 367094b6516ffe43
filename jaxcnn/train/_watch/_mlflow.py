"""Figures for MLflow."""

import json
import time
from collections.abc import Mapping
from typing import Any

from jaxcnn._extras import import_optional
from jaxcnn._files import write_json
from jaxcnn.train._watch._callback import Callback, RunInfo, Status

_STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
_FILE = "mlflow.json"


class MLflow(Callback):
    """Logs all figures of steps and epochs, and the settings, to a run of MLflow.

    ``mlflow.json`` in the folder of the run has the identity of the run there, which a resumed run continues. Steps
    that MLflow has already are left out; their figures are the same.

    Args:
        experiment: the name of the experiment of MLflow; by default the name of the run's experiment.
        tracking_uri: of the server or the folder; by default what MLflow is configured with.
        every: the number of steps from one figure of a step to the next.

    Raises:
        ModuleNotFoundError: the package ``mlflow`` is not installed (``mlflow-skinny`` suffices).
    """

    def __init__(self, *, experiment: str | None = None, tracking_uri: str | None = None, every: int = 100) -> None:
        self._mlflow, self._metric = import_optional("mlflow"), import_optional("mlflow.entities").Metric
        self._experiment, self._uri, self.every = experiment, tracking_uri, every

    def start(self, run: RunInfo) -> None:
        """Starts a run, or continues the one that ``mlflow.json`` names."""
        self._client = self._mlflow.MlflowClient(tracking_uri=self._uri)
        self._known: dict[str, set[int]] = {}
        file = run.path / _FILE
        self._resumed = file.exists()
        if self._resumed:
            self._id = json.loads(file.read_text(encoding="utf-8"))["run_id"]
            self._client.update_run(self._id, status="RUNNING")
            return
        name = self._experiment or run.name
        found = self._client.get_experiment_by_name(name)
        place = self._client.create_experiment(name) if found is None else found.experiment_id
        self._id = self._client.create_run(place, run_name=run.path.name).info.run_id
        write_json(file, {"run_id": self._id})
        for setting, value in run.settings.items():
            self._client.log_param(self._id, setting, value)
        for record in run.history:
            self._log(record)

    def step(self, record: Mapping[str, Any]) -> None:
        """Logs the figures of a batch."""
        self._log(record)

    def evaluation(self, record: Mapping[str, Any]) -> None:
        """Logs the figures of an epoch."""
        self._log(record)

    def end(self, status: Status, step: int) -> None:
        """Ends the run."""
        self._client.set_terminated(self._id, _STATUS[status])

    def _log(self, record: Mapping[str, Any]) -> None:
        now, step = int(1000 * time.time()), record["step"]
        new = [
            self._metric(name, float(value), now, step)
            for name, value in record.items()
            if name != "step" and step not in self._steps(name)
        ]
        if new:
            self._client.log_batch(self._id, metrics=new)

    def _steps(self, name: str) -> set[int]:
        """The steps for which MLflow had a figure before this start."""
        if self._resumed and name not in self._known:
            self._known[name] = {metric.step for metric in self._client.get_metric_history(self._id, name)}
        return self._known.get(name, set())
