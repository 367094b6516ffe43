"""The picture of the page for docs/live_view.md: ``python -m tests.live.screenshot RUN docs/images/live_view.png``.

Shows a run of ``lenet5_digits`` that has ended, with a drawn three. More pictures, for looking at, are written where a
folder is given as third argument.
"""

import sys
import threading
from itertools import pairwise
from pathlib import Path

from jaxcnn import live, train
from tests.live.browser import Page, browser

# The corners of a digit three on the drawing area of the page, which is 224 pixels wide and high.
THREE = [(60, 50), (80, 30), (120, 25), (150, 45), (150, 80), (120, 105), (100, 108), (125, 112), (155, 135)]
THREE += [(155, 170), (125, 198), (85, 198), (55, 175)]


def draw(page: Page, corners: list[tuple[int, int]]) -> None:
    """Draws a line on the page with the mouse."""
    left, top = page.run("(() => { const box = pad.getBoundingClientRect(); return [box.left, box.top]; })()")
    page.mouse("mousePressed", left + corners[0][0], top + corners[0][1])
    for (x, y), (u, v) in pairwise(corners):
        for part in (0.25, 0.5, 0.75, 1.0):
            page.mouse("mouseMoved", left + x + part * (u - x), top + y + part * (v - y))
    page.mouse("mouseReleased", left + corners[-1][0], top + corners[-1][1])


def main(run: str, picture: str, others: str | None = None) -> None:
    """Writes the picture."""
    opened, urls, done = threading.Event(), [], threading.Event()

    def show(url: str) -> None:
        urls.append(url)
        opened.set()

    options = {"trust": True, "opened": show, "should_stop": done.is_set}
    watching = threading.Thread(target=live.watch_run, args=(train.RunFolder.open(Path(run)),), kwargs=options)
    watching.start()
    opened.wait()
    try:
        with browser() as page:
            page.size(1180, 860)
            page.open(urls[0])
            page.wait_for("frame !== null")
            draw(page, THREE)
            page.wait_for("frame.example === null && frame.answer.length && timer === null")
            page.picture(Path(picture))
            for name, (width, height, dark) in {
                "light": (1280, 2600, False),
                "dark": (1280, 1000, True),
                "narrow": (400, 2600, True),
            }.items():
                if others is not None:
                    page.size(width, height, dark=dark)
                    page.run("new Promise((done) => setTimeout(done, 500))")
                    page.picture(Path(others) / f"{name}.png")
            print(page.run("JSON.stringify(frame.answer)"), page.errors)
    finally:
        done.set()
        watching.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
