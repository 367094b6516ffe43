"""The code of the documentation runs, and its pictures equal those that the code draws."""

import doctest
import json
import re
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxcnn.vis import Panel, draw_bench, panels_figure
from tests.ink import assert_drawn_alike, unmatched
from tests.tiers import default_rows

DOCS = Path(__file__).parent.parent / "docs"
PAGES = [
    page
    for page in sorted(path for folder in (".", "start", "tasks", "reports") for path in (DOCS / folder).glob("*.md"))
    if ">>>" in page.read_text(encoding="utf-8")
]
# Pictures drawn by commands are compared in tests/vis/test_augmentations.py and below. Others show trained runs, and
# are drawn by a script of docs/bench.
OF_COMMANDS = {"augmentations.png", "steps.png", "learned_kmeans.png", "learned_cdbn1.png", "learned_cdbn2.png"}


@pytest.mark.parametrize("page", default_rows({page.stem: page for page in PAGES}, keep=["index", "classification"]))
def test_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    # the default setting, which Optax requires: it multiplies a float by an integer step
    with jax.numpy_dtype_promotion("standard"):
        result = doctest.testfile(str(page), module_relative=False, optionflags=flags)
    assert result.failed == 0 and result.attempted > 0
    drawn = {picture.name for picture in tmp_path.glob("*.png")}
    assert drawn == set(re.findall(r"\(images/(\w+\.png)\)", page.read_text(encoding="utf-8"))) - OF_COMMANDS
    for name in drawn:
        assert_drawn_alike(tmp_path / name, DOCS / "images" / name)


def test_every_example_of_a_page_is_in_a_code_block() -> None:
    for page in PAGES:
        fences, outside = 0, []
        for number, text in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
            fences += text.startswith("```")
            if text.startswith(">>>") and fences % 2 == 0:
                outside.append(f"{page.name}:{number}")
        assert not outside, "Markdown renders these lines as quotations: put them between ``` and ```"


@pytest.mark.gate
def test_the_bars_of_the_benchmarks_are_their_results(tmp_path: Path) -> None:
    results = json.loads((DOCS / "bench" / "jax-0.12.json").read_text(encoding="utf-8"))["results"]
    steps = [result for result in results if result["operation"] == "step"]
    for name, drawn in {"bench.png": results, "steps.png": steps}.items():
        draw_bench(drawn, tmp_path / name)
        assert_drawn_alike(tmp_path / name, DOCS / "images" / name)


def sample() -> Figure:
    """Two panels: one with two curves, their bands and a legend, one with a single curve."""
    lines = {"plain": [[0.2, 0.4, 0.5], [0.3, 0.6, 0.8]], "residual": [[0.1, 0.5, 0.9], [0.2, 0.7, 1.0]]}
    return panels_figure(
        [
            Panel(title="Accuracy", over="depth", places=[1, 2, 3], lines=lines),
            Panel(title="Loss", over="steps", places=[1, 2, 3], lines={"plain": [[3.0, 2.0, 1.5]]}),
        ]
    )


def without_tick_label(figure: Figure) -> None:
    figure.axes[0].set_xticklabels(["1", "", "3"])


REMOVALS: dict[str, Callable[[Figure], object]] = {
    "a curve": lambda figure: figure.axes[0].lines[0].remove(),
    "a curve alone in its panel": lambda figure: figure.axes[1].lines[0].remove(),
    "a band": lambda figure: figure.axes[0].collections[0].remove(),
    "a panel": lambda figure: figure.axes[1].remove(),
    "a title": lambda figure: figure.axes[0].set_title("", loc="left"),
    "the label of an axis": lambda figure: figure.axes[1].set_xlabel(""),
    "the label of a tick": without_tick_label,
    "a name in the legend": lambda figure: figure.axes[0].get_legend().get_texts()[1].set_text(""),
    "the legend": lambda figure: figure.axes[0].get_legend().remove(),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "whole.png"
    sample().savefig(path, dpi=150)
    return path


@pytest.mark.parametrize(
    "what", default_rows(list(REMOVALS), keep=["a curve", "a panel", "the label of a tick", "a name in the legend"])
)
def test_a_picture_without_one_of_its_parts_is_refused(what: str, whole: Path, tmp_path: Path) -> None:
    figure = sample()
    REMOVALS[what](figure)
    figure.savefig(tmp_path / "part.png", dpi=150)
    with pytest.raises(AssertionError, match=r"whole\.png differs in \d+ pixels: draw it again"):
        assert_drawn_alike(tmp_path / "part.png", whole)


def test_a_picture_that_moved_by_a_pixel_or_is_a_little_paler_is_accepted() -> None:
    figure = sample()
    figure.canvas.draw()
    drawn = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    assert unmatched(np.roll(drawn, 1, axis=1), drawn) == 0
    assert unmatched(255 - (255 - drawn) // 10 * 9, drawn) == 0


def test_a_picture_of_another_size_is_refused(whole: Path, tmp_path: Path) -> None:
    sample().savefig(tmp_path / "small.png", dpi=100)
    with pytest.raises(AssertionError, match=r"whole\.png has another size"):
        assert_drawn_alike(tmp_path / "small.png", whole)
