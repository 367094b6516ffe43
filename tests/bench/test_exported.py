"""The page about deployment shows the results of docs/bench/exported.py."""

import json
from pathlib import Path

import pytest

from docs.bench import exported
from docs.bench.exported import PAGE, page


def test_the_page_is_what_was_measured() -> None:
    assert page() == PAGE.read_text(encoding="utf-8"), "run python -m docs.bench.exported --page"


def test_the_page_takes_the_tables_of_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    row = {"network": "lenet5", "batch": 1, "threads": 2, "bytes": {"LiteRT": 123_456}, "least": {"LiteRT": 0.0625}}
    (tmp_path / "exported.json").write_text(json.dumps({"rows": [row]}), encoding="utf-8")
    monkeypatch.setattr(exported, "__file__", str(tmp_path / "exported.py"))
    assert "| `lenet5` | 1 | 2 | 0.06 |" in page().splitlines()
    assert "| `lenet5` | 0.12 MB |" in page().splitlines()
