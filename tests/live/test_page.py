"""The page in a real browser, during a training run."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jaxcnn import live, train
from tests.live import browser
from tests.live.screenshot import THREE, draw
from tests.live.test_view import until
from tests.train import tiny
from tests.train.runs import Quiet

pytestmark = [
    pytest.mark.gate,
    pytest.mark.skipif(browser.find() is None, reason="there is no Chromium on this machine"),
]

# The number of different colours in each canvas that matches a selector.
COLOURS = """((selector) => [...document.querySelectorAll(selector)].map((canvas) => {
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return new Set(new Uint32Array(data.buffer)).size;
}))"""


class Run:
    """A run in a thread, until it is stopped."""

    def __init__(self, place: Path) -> None:
        self.experiment, self.place, self.stop = tiny.build(tiny.Config(epochs=100_000)), place, threading.Event()
        self.view = live.LiveView(self.experiment)
        self.outcome: Any = None
        self.thread = threading.Thread(target=self.fit)
        self.thread.start()

    def fit(self) -> None:
        self.outcome = train.fit(
            self.experiment, self.place, progress=Quiet(), callbacks=[self.view], should_stop=self.stop.is_set
        )

    def end(self) -> train.Outcome:
        self.stop.set()
        self.thread.join()
        assert self.outcome is not None
        return self.outcome


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path / "run")
    yield made
    made.stop.set()
    made.thread.join()


def test_the_page_shows_a_run_obeys_and_can_be_closed(run: Run) -> None:
    with browser.browser() as page:
        page.size(1280, 1000)  # the drawing area must be in the window, or mouse events do not reach it
        page.open(run.view.url)
        page.wait_for("frame !== null && frame.step >= 20 && epochs.length > 0")
        blank = {
            selector: page.run(f"{COLOURS}('{selector}')")
            for selector in ("#curves canvas", "#input", ".prediction canvas")
        }
        assert all(len(found) and min(found) > 1 for found in blank.values()), blank
        assert sum(found > 1 for found in page.run(f"{COLOURS}('.value')")) >= 4
        assert page.run("document.querySelectorAll('.gradient').length") >= 5
        assert page.run("$('failure').hidden && !$('controls').hidden && !$('draw-section').hidden")

        page.run("$('pause').click()")
        page.wait_for("state.status === 'paused' && !$('step').disabled")
        step = run.view._viewer.until
        assert step is not None
        page.wait_for(f"frame.step === {step}")
        page.run("$('step').click()")
        page.wait_for(f"frame.step === {step + 1}")
        assert run.view._viewer.until == step + 1

        before = page.run("document.querySelector('#layers .value').toDataURL()")
        draw(page, THREE)
        page.wait_for(
            "frame.example === null && timer === null && document.querySelectorAll('#answer li').length === 3"
        )
        page.wait_for(f"document.querySelector('#layers .value').toDataURL() !== {before!r}")
        assert min(page.run(f"{COLOURS}('#pad, #input')")) > 1
        page.run("document.querySelectorAll('.prediction')[3].click()")
        page.wait_for("frame.example === 3 && document.querySelectorAll('.prediction')[3].ariaPressed === 'true'")

        assert page.errors == []
        page.run("$('pause').click()")
        page.wait_for("state.status === 'training'")
        page.close()
        until(lambda: not run.view._board.readers)
        seen = run.view._board._points[-1][0]
        until(lambda: run.view._board._points[-1][0] > seen + 3)

    run.view._viewer.act({"do": "pause"})
    outcome = run.end()  # a paused run can be stopped too, and continues where it was
    assert not outcome.finished and outcome.step > step
    again = train.fit(run.experiment, run.place, progress=Quiet(), should_stop=lambda: True)
    assert again.step == outcome.step
