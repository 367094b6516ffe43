"""The pages of the documentation run, and the pictures on them are those that their code draws."""

import doctest
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DOCS = Path(__file__).parent.parent / "docs"
PAGES = [page for page in sorted(DOCS.glob("*.md")) if ">>>" in page.read_text()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testfile(str(page), module_relative=False, optionflags=flags)
    assert result.failed == 0 and result.attempted > 0
    for picture in tmp_path.glob("*.png"):
        shown = DOCS / "images" / picture.name
        assert f"(images/{picture.name})" in page.read_text() and shown.exists()
        with Image.open(picture) as new, Image.open(shown) as old:
            assert new.size == old.size
            difference = np.abs(np.asarray(new.convert("L"), float) - np.asarray(old.convert("L"), float))
        assert difference.mean() < 4, f"{picture.name} changed: see the head of the page for how to draw it again"
