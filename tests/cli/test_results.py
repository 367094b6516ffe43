"""The results files that `jaxcnn results` shows."""

import json
from pathlib import Path

import pytest

from jaxcnn.cli._results import read_results, rows

RESULT = {
    "experiment": "mine",
    "seeds": 1,
    "cores": 2,
    "versions": {"device": {"platform": "cpu"}, "packages": {"jax": "0.12"}},
}


def write(folder: Path, name: str, **entries: object) -> None:
    path = folder / "experiments" / "results" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(RESULT | entries), encoding="utf-8")


def test_a_variant_that_was_trained_alone_has_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "mine.json", variants={"wide": {"test/accuracy": {"mean": 0.75}}})
    write(tmp_path, "mine/deep.json", variants={"deep": {"test/accuracy": {"mean": 0.875}}})
    write(tmp_path, "mine/of_a_report.json", variants={"a": {}, "b": {}})
    found = [row[:2] for row in rows(read_results()) if row[0].startswith("mine")]
    assert found == [["mine, wide", "75.00 %"], ["mine, deep", "87.50 %"]]
