"""The live view of a run in another process, or of one that is done: from its records and checkpoints."""

import time
from collections.abc import Callable
from typing import Any

from jaxcnn.live._board import Board
from jaxcnn.live._server import Server
from jaxcnn.live._viewer import Viewer
from jaxcnn.train import Experiment, RunError, RunFolder, Trained, load_trained

READ_SECONDS = 1.0  # between two reads of the files
POLL_SECONDS = 0.05  # between two checks of the requests of the page


def watch_run(
    run: RunFolder,
    *,
    experiment: Experiment | None = None,
    trust: bool = False,
    checkpoint: str = "last",
    port: int = 0,
    opened: Callable[[str], object] = print,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Shows a run that trains in another process, or has ended: ``jaxcnn watch RUN``.

    The page is that of ``LiveView``. Its curves are the records of the epochs, and its network is that of the newest
    checkpoint, which is read while a browser shows the page. It cannot pause the run.

    Args:
        run: the folder of the run.
        experiment: what was trained; built from the recorded ``experiment.py`` unless given.
        trust: whether to run the recorded ``experiment.py`` if this user has not run it before.
        checkpoint: ``"last"`` or ``"best"``.
        port: of the server; 0 for a free one.
        opened: called with the address of the page.
        should_stop: called 20 times a second; True ends the view.

    Raises:
        RunError: the code of the run is not trusted, or there is none.
        OSError: the port is in use.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from jaxcnn.train import find_experiment
    >>> lenet = find_experiment("lenet5_digits")
    >>> experiment = lenet.build(lenet.config_class())
    >>> run = RunFolder(Path(tempfile.mkdtemp()))
    >>> watch_run(run, experiment=experiment, opened=lambda url: print(url[:17]), should_stop=lambda: True)
    http://127.0.0.1:
    """
    if experiment is None:
        file, config = run.load_experiment(trust=trust)
        experiment = file.build(config)
    board = Board()
    viewer = Viewer(experiment, board, name=run.path.name, controls=False)
    server = Server(board, viewer.act, port=port)
    opened(server.url)
    files = _Files(run, experiment, checkpoint)
    last_read = float("-inf")
    try:
        board.describe(run=str(run.path))
        while not should_stop():
            if board.readers and time.monotonic() - last_read >= READ_SECONDS:
                files.read(board)
                last_read = time.monotonic()
            if files.trained is not None and viewer.due(files.trained.step):
                viewer.draw(files.trained.step, files.trained.variables)
            time.sleep(POLL_SECONDS)
    finally:
        server.close()


class _Files:
    """The records and the checkpoint that were last read from a run's folder."""

    def __init__(self, run: RunFolder, experiment: Experiment, checkpoint: str) -> None:
        self.run, self.experiment, self.checkpoint = run, experiment, checkpoint
        self.trained: Trained | None = None
        self._names: set[str] = set()
        self._records: list[dict[str, Any]] = []

    def read(self, board: Board) -> None:
        """Reads new records and a new checkpoint."""
        records = self.run.metrics.read()
        if records != self._records:
            self._records = records
            board.replace_epochs(records)
            board.update_state(rate=self._rate(records), epoch=records[-1]["epoch"] if records else 0)
        folder = self.run.checkpoints / self.checkpoint
        names = {path.name for path in folder.iterdir() if path.name.isdecimal()} if folder.is_dir() else set()
        if not names:
            board.update_state(status="waiting for the first checkpoint")
        elif names != self._names:
            try:
                self.trained = load_trained(self.run, self.checkpoint, experiment=self.experiment)  # type: ignore[arg-type]
            except RunError as error:  # the run may delete a checkpoint while it is read; the next read finds another
                board.update_state(failure=str(error))
                return
            self._names = names
            board.update_state(status=f"{self.checkpoint} checkpoint", step=self.trained.step, failure=None)

    def _rate(self, records: list[dict[str, Any]]) -> float | None:
        """Images per second of the last epoch, with its evaluation."""
        if len(records) < 2:
            return None
        before, last = records[-2], records[-1]
        seconds = last["seconds"] - before["seconds"]
        steps = last["step"] - before["step"]
        return steps * self.experiment.batch_size / seconds if seconds > 0 else None
