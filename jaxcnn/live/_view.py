"""The live view of a run that trains in this process: a callback."""

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import jax

from jaxcnn.live._board import Board
from jaxcnn.live._server import Server
from jaxcnn.live._viewer import Viewer
from jaxcnn.train import Callback, Experiment, RunInfo

RATE_SECONDS = 3.0  # over which images per second are averaged


class LiveView(Callback):
    """Shows a run in a browser of this machine while it trains: ``jaxcnn train EXPERIMENT --live``.

    The page has the curves, images per second, and the predictions for some test images. For one of them, or for a
    drawing on the page, it has the activations of each layer and its weights, with the gradients of the loss of this
    example. It can pause the run, and take single steps.

    Nothing is computed while no browser shows the page, and a run is the same bit for bit with and without one. Frames
    take at most about 5 % of the time: those of a large network come less often.

    The server listens on 127.0.0.1 only, and the address has a random token. For a machine elsewhere forward the port:
    ``ssh -L 8000:127.0.0.1:8000 MACHINE`` with ``port=8000``.

    Args:
        experiment: the one that is trained.
        port: of the server; 0 for a free one.
        every: the number of steps from one point of the curves to the next.

    Attributes:
        url: the address of the page.

    Raises:
        OSError: the port is in use.

    >>> from jaxcnn.train import find_experiment
    >>> lenet = find_experiment("lenet5_digits")
    >>> view = LiveView(lenet.build(lenet.config_class()))  # then fit(experiment, callbacks=[view])
    >>> view.url.startswith("http://127.0.0.1:")
    True
    >>> view.close()
    """

    def __init__(self, experiment: Experiment, *, port: int = 0, every: int = 1) -> None:
        self.every = every
        self._batch_size = experiment.batch_size
        self._board = Board()
        self._viewer = Viewer(experiment, self._board, name=experiment.data.name, controls=True)
        self._times: deque[tuple[float, int]] = deque()
        self._server: Server | None = Server(self._board, self._viewer.act, port=port)
        self.url = self._server.url

    def start(self, run: RunInfo) -> None:
        """Shows the epochs that are done.

        Raises:
            ValueError: several processes train together; each has a part of the variables.
        """
        if jax.process_count() > 1:
            self.close()
            raise ValueError("the live view shows runs of one process. Use jaxcnn watch RUN in another one.")
        self._board.describe(name=run.name, run=str(run.path))
        self._board.replace_epochs(run.history)
        self._board.update_state(step=run.step, status=self._viewer.status)

    def step(self, record: Mapping[str, Any]) -> None:
        """Adds a point to the curves."""
        step = record["step"]
        now = time.monotonic()
        self._times.append((now, step))
        while now - self._times[0][0] > RATE_SECONDS:
            self._times.popleft()
        (began, first), (ended, last) = self._times[0], self._times[-1]
        rate = (last - first) * self._batch_size / (ended - began) if ended > began else None
        figures = {name: value for name, value in record.items() if name.startswith("batch/")}
        self._board.add_point(step, figures)
        self._board.update_state(step=step, epoch=record["epoch"], rate=rate)

    def looks(self, step: int) -> bool:
        """Whether a browser is to be sent a new frame."""
        return self._viewer.due(step)

    def look(self, step: int, variables: Mapping[str, Any]) -> None:
        """Computes a frame."""
        self._viewer.draw(step, variables)

    def holds(self, step: int) -> bool:
        """Whether the page has paused the run."""
        held = self._viewer.holds(step)
        if held:
            self._times.clear()
        return held

    def evaluation(self, record: Mapping[str, Any]) -> None:
        """Adds an epoch to the curves."""
        self._board.add_epoch(record)

    def end(self, status: str, step: int) -> None:
        """Sends the last figures, and ends the server."""
        self._board.update_state(status=status, step=step)
        self.close()

    def close(self) -> None:
        """Ends the server of a view whose run never began; ``end`` does the same."""
        if self._server is not None:
            self._server.close()
            self._server = None
