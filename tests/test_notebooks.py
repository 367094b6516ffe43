"""The notebooks of the documentation run, and their stored outputs are small."""

import ast
import json
import shutil
from pathlib import Path

import pytest

from tests.notebooks import ROOT, execute

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def test_outputs_are_there_and_small() -> None:
    assert len(NOTEBOOKS) == 4
    for path in NOTEBOOKS:
        assert path.stat().st_size < 150_000, path.name
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                shows = isinstance(ast.parse("".join(cell["source"])).body[-1], ast.Expr)
                assert bool(cell["outputs"]) or not shows, f"{path.name}: run it and keep its outputs"
                assert all(output["output_type"] != "error" for output in cell["outputs"])


@pytest.mark.gate  # half a minute each
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(notebook: Path, tmp_path: Path) -> None:
    shutil.copy(notebook, tmp_path)
    execute(tmp_path / notebook.name)
