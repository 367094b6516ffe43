"""The work of a live view between two steps: whether a frame is due, its computation, and requests of the page."""

import base64
import binascii
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxcnn.live._board import Board
from jaxcnn.live._examples import can_draw, drawing, is_light, some_examples
from jaxcnn.live._frame import Example, FrameProgram
from jaxcnn.train import Experiment

FRAME_SECONDS = 0.25  # between two frames, at least
MOST_SHARE = 0.05  # of the time, for frames
SHOWN_PIXELS = 96  # of the side of a test image
BEST = 3  # classes of a prediction


class Viewer:
    """The frames of a run, and the example that the page has selected for them.

    Args:
        experiment: of the run.
        board: what the page shows.
        name: of the run.
        controls: whether the page may pause the run.
    """

    def __init__(self, experiment: Experiment, board: Board, *, name: str, controls: bool) -> None:
        self.board, self.controls = board, controls
        self.examples = some_examples(experiment)
        self.program = FrameProgram(experiment, self.examples)
        self._classes = list(experiment.data.class_names)
        self._example = self._example_at(0)
        self._chosen: int | None = 0
        self._requested, self._shown, self._next, self._before = True, -1, 0.0, 0.0
        self.until: int | None = None  # the step at which the run is held
        self._now = -1  # the number of steps at the last call of ``holds``
        draws = can_draw(self.examples)
        board.describe(
            name=name,
            controls=controls,
            classes=self._classes,
            draws=draws,
            light=draws and is_light(self.examples),
            images=_shown(self.examples["image"]) if "image" in self.examples else None,
            size=list(self.examples["image"].shape[1:3]) if draws else None,
            labels=self._labels(),
            total_steps=experiment.total_steps,
            steps_per_epoch=experiment.steps_per_epoch,
        )
        board.update_state(step=0, status="starting", failure=None)

    def due(self, step: int) -> bool:
        """Whether a frame of this step is to be computed: a browser shows the page and the last frame is old."""
        if not self.board.readers or self.program.failure is not None:
            return False
        return self._requested or (step != self._shown and time.monotonic() >= self._next)

    def draw(self, step: int, variables: Mapping[str, Any]) -> None:
        """Computes and shows a frame, if the program of frames is compiled."""
        if not self.program.ready(variables):
            if self.program.failure is not None:
                self.board.update_state(failure=self.program.failure)
            return
        self._requested, example, chosen = False, self._example, self._chosen
        jax.block_until_ready(dict(variables))  # the step is waited for, and is not part of the time of the frame
        began = time.monotonic()
        found = self.program(variables, example)
        seconds = time.monotonic() - began
        self._next = began + max(FRAME_SECONDS, seconds / MOST_SHARE)
        share = seconds / (began - self._before) if self._before else 0.0
        self._shown, self._before = step, began
        about = self.program.about()
        for kind, parts in (("layers", ("value", "gradient")), ("weights", ("value", "gradient"))):
            for each, tiles in zip(about[kind], found[kind], strict=True):
                each |= dict(zip(parts, tiles, strict=True))
        self.board.show(
            {
                **about,
                "step": step,
                "input": found["input"],
                "loss": found["loss"],
                "example": chosen,
                "answer": self._best(found["probabilities"]) if "probabilities" in found else None,
                "predictions": [self._best(row) for row in found.get("predictions", [])],
                "milliseconds": 1000 * seconds,
                "share": share,
            }
        )

    def act(self, request: dict[str, Any]) -> None:
        """Handles a request of the page.

        Raises:
            ValueError: an unknown request, or one that this run does not support.
        """
        match request:
            case {"do": "pause" | "resume" | "step" as what} if self.controls:
                self._control(what)
            case {"do": "example", "index": int(index)} if 0 <= index < self._count():
                self._example, self._chosen, self._requested = self._example_at(index), index, True
            case {"do": "draw", "pixels": str(text)} if can_draw(self.examples):
                try:
                    pixels = base64.b64decode(text, validate=True)
                except binascii.Error as error:
                    raise ValueError(f"pixels: {error}.") from error
                self._example, self._chosen, self._requested = drawing(self.examples, pixels), None, True
            case _:
                raise ValueError("the live view of this run does not do that.")

    def _control(self, what: str) -> None:
        """Pauses after the step that is computed now, or after the next one, or continues."""
        if what == "resume":
            self.until = None
        elif what == "step" or self.until is None:
            self.until = self._now + 1
        self.board.update_state(status=self.status)

    @property
    def status(self) -> str:
        """Whether the run trains or is paused."""
        return "training" if self.until is None else "paused"

    def holds(self, step: int) -> bool:
        """Whether the run is paused before its next step."""
        self._now = step
        held = self.until is not None and step >= self.until
        if held and step != self._shown:
            self._requested = True  # a frame of a paused run takes no training time, so it is computed at once
        return held

    def _count(self) -> int:
        return len(next(iter(self.examples.values())))

    def _example_at(self, index: int) -> Example:
        return Example({name: array[index : index + 1] for name, array in self.examples.items()})

    def _labels(self) -> list[int] | None:
        labels = self.examples.get("label")
        return labels.tolist() if labels is not None and labels.ndim == 1 and labels.dtype.kind in "iu" else None

    def _best(self, probabilities: np.ndarray) -> list[list[Any]]:
        """The most probable classes, each with its probability."""
        order = np.argsort(-probabilities, kind="stable")[:BEST]
        return [[int(index), float(probabilities[index])] for index in order]


def _shown(images: np.ndarray) -> np.ndarray | None:
    """Images as bytes, at most ``SHOWN_PIXELS`` high and wide."""
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        return None
    step = -(-max(images.shape[1:3]) // SHOWN_PIXELS)
    images = images[:, ::step, ::step]
    if images.dtype == np.uint8:
        return images
    low, high = float(images.min()), float(images.max())
    return (255 * (images.astype(np.float32) - low) / ((high - low) or 1.0)).astype(np.uint8)
