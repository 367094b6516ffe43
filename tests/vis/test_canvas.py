"""The style does not depend on the user's style, nothing is printed, and a file is complete or absent."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from jaxcnn.vis import curves_figure, draw_confusion, draw_curves
from jaxcnn.vis._canvas import new_figure, save_figure, shortened
from tests.vis.pictures import run_of


def test_the_users_style_neither_changes_a_picture_nor_is_changed(tmp_path: Path) -> None:
    draw_curves(run_of(2), tmp_path / "plain.png")
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black", "savefig.dpi": 30, "font.family": "serif"}):
        before = dict(matplotlib.rcParams)
        draw_curves(run_of(2), tmp_path / "dark.png")
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "dark.png").read_bytes()


def test_a_failed_write_leaves_the_old_picture_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "curves.png"
    path.write_bytes(b"old")
    figure = curves_figure(run_of(2))

    def fill_the_disk(file: Any, **_: object) -> None:
        file.write(b"half of")
        raise OSError("No space left on device")

    monkeypatch.setattr(figure, "savefig", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        save_figure(figure, path)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
    draw_curves(run_of(2), path)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["curves", "curves.jpeg"])
def test_an_ending_that_is_no_picture(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=rf"draw_curves: a picture is written as .pdf, .png or .svg, but.*{name}"):
        draw_curves(run_of(2), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_class_names_that_matplotlib_would_read_as_formulas_or_lacks_letters_for(tmp_path: Path) -> None:
    draw_confusion([[1, 0], [1, 1]], ("$\\frac{1}$", "猫_^"), tmp_path / "confusion.png")  # warnings are errors here


def test_a_figure_knows_no_window() -> None:
    assert "agg" in type(new_figure(1, 1).canvas).__module__


def test_shortened() -> None:
    assert shortened("dog", 3) == "dog"
    assert shortened("a dog", 3) == "a…"


@pytest.mark.gate
def test_the_first_picture_on_a_machine_prints_nothing_and_needs_no_display(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, logging\n"
        "from jaxcnn.vis._canvas import new_figure, style\n"
        "assert 'matplotlib' not in sys.modules, 'imported before anything is drawn'\n"
        "with style():\n"
        "    new_figure(1, 1).text(0, 0, 'a')\n"
        "logging.getLogger('matplotlib.font_manager').warning('Matplotlib is building the font cache; wait.')\n"
        "logging.getLogger('matplotlib.font_manager').warning('heard')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    fresh = {name: value for name, value in os.environ.items() if name not in {"DISPLAY", "MPLBACKEND"}}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=fresh | {"MPLCONFIGDIR": str(tmp_path / "matplotlib")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "" and done.stderr.strip() == "heard"
