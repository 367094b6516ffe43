"""The live view of a run: its frames, its commands, and that it does not change the run."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jaxcnn import live, train
from tests.train import tiny
from tests.train.runs import Quiet, assert_same, final_state, without_seconds

STEPS = 6  # the steps of an epoch of the tiny experiment
WAIT_SECONDS = 240.0


def until(condition: Callable[[], Any]) -> Any:
    """Waits until a condition holds; returns its value."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.005)
    raise AssertionError("this takes too long")


class Reader(threading.Thread):
    """Stands in for a browser: reads the events of a view, and sends given commands at each frame."""

    def __init__(self, view: live.LiveView, at_frame: Callable[[dict[str, Any]], None] = lambda frame: None) -> None:
        super().__init__(daemon=True)
        self.board, self.at_frame, self.frames = view._board, at_frame, []
        self.start()
        until(lambda: self.board.readers)

    def run(self) -> None:
        frame: Any = None
        for _ in self.board.events():
            if self.board._frame is not frame:
                frame = self.board._frame
                self.frames.append(frame)
                self.at_frame(frame)


@pytest.fixture(scope="module")
def experiment() -> train.Experiment:
    return tiny.build(tiny.Config(epochs=2))


def test_the_page_pauses_a_run_and_a_paused_run_is_shown_at_once(experiment: train.Experiment) -> None:
    view = live.LiveView(experiment)
    try:
        viewer = view._viewer
        assert not viewer.due(4), "nobody looks"
        viewer.board.readers = 1
        viewer._requested, viewer._shown, viewer._next = False, 3, float("inf")  # a frame of step 3 that took long
        assert not view.holds(4) and not view.looks(4)
        viewer.act({"do": "pause"})  # while step 5 is computed
        viewer.act({"do": "pause"})
        assert view._board._state["status"] == "paused" and not view.holds(4)
        assert view.holds(5) and view.looks(5)
        viewer.act({"do": "step"})
        assert not view.holds(5) and view.holds(6)
        viewer.act({"do": "resume"})
        assert not view.holds(6) and view._board._state["status"] == "training"
        for wish in ({"do": "example", "index": 8}, {"do": "example", "index": "1"}, {"do": "stop"}, {}):
            with pytest.raises(ValueError, match="does not do that"):
                viewer.act(wish)
        with pytest.raises(ValueError, match="pixels: "):
            viewer.act({"do": "draw", "pixels": "?"})
        viewer.board.readers = 0
    finally:
        view.close()


@pytest.mark.gate
def test_a_run_with_a_viewer_is_the_same_and_without_one_nothing_is_computed(
    experiment: train.Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jaxcnn.live._viewer.FRAME_SECONDS", 0.0)
    monkeypatch.setattr("jaxcnn.live._viewer.MOST_SHARE", 1e9)

    def fit(name: str, *views: live.LiveView) -> train.RunFolder:
        return train.RunFolder(train.fit(experiment, tmp_path / name, progress=Quiet(), callbacks=views).run)

    unseen, seen = live.LiveView(experiment), live.LiveView(experiment)
    plain = fit("unseen", unseen)
    assert unseen._viewer.program._thread is None and unseen._board._frame is None

    # The run waits before its first step until the program of frames is compiled, so that each step has a frame.
    seen._viewer.act({"do": "pause"})

    def at_frame(frame: dict[str, Any]) -> None:
        seen._viewer.act({"do": "resume"})

    reader = Reader(seen, at_frame)
    run = fit("seen", seen)
    reader.join(WAIT_SECONDS)
    assert len(reader.frames) >= 1 and seen._viewer._shown == 2 * STEPS - 1  # a frame before the last step
    assert [point[0] for point in seen._board._points] == list(range(1, 2 * STEPS + 1))
    assert [record["epoch"] for record in seen._board._epochs] == [1, 2]
    assert seen._board._state["status"] == "finished" and seen._board.readers == 0
    assert without_seconds(run) == without_seconds(plain)
    assert_same(final_state(run, experiment), final_state(plain, experiment))

    frame = reader.frames[0]
    assert frame["step"] == 0 and [each["name"] for each in frame["weights"]] == ["conv/kernel", "output/kernel"]
    assert len(frame["predictions"]) == 8 and frame["milliseconds"] > 0
    assert frame["layers"][0]["value"]["pixels"].any()
