"""Figures for Weights & Biases."""

from collections.abc import Mapping
from typing import Any

from jaxcnn._extras import import_optional
from jaxcnn.train._watch._callback import Callback, RunInfo, Status


class WeightsAndBiases(Callback):
    """Logs all figures of steps and epochs, and the settings, to a run of Weights & Biases.

    The run there has the identity of the run here, so that a resumed run continues it. Weights & Biases leaves out the
    steps that it has already; their figures are the same.

    Args:
        project: the name of the project.
        every: the number of steps from one figure of a step to the next.
        options: further arguments of ``wandb.init``, such as ``entity`` or ``mode="offline"``. Do not set ``dir`` to
            the folder of the run: ``wandb`` makes links, which a run folder may not contain.

    Raises:
        ModuleNotFoundError: the package ``wandb`` is not installed.
    """

    def __init__(self, *, project: str, every: int = 100, **options: Any) -> None:
        self._wandb = import_optional("wandb")
        self._options, self.every = {"project": project, **options}, every

    def start(self, run: RunInfo) -> None:
        """Starts a run, or continues the one of this identity."""
        about = {"id": run.identity, "name": run.path.name, "resume": "allow", "config": dict(run.settings)}
        self._run = self._wandb.init(**{**about, **self._options})
        if not self._run.resumed:
            for record in run.history:
                self._log(record)

    def step(self, record: Mapping[str, Any]) -> None:
        """Logs the figures of a batch."""
        self._log(record)

    def evaluation(self, record: Mapping[str, Any]) -> None:
        """Logs the figures of an epoch."""
        self._log(record)

    def end(self, status: Status, step: int) -> None:
        """Ends the run; one that failed is marked so."""
        self._run.finish(exit_code=int(status == "failed"))

    def _log(self, record: Mapping[str, Any]) -> None:
        self._run.log({name: value for name, value in record.items() if name != "step"}, step=record["step"])
