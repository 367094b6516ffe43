"""The output in a notebook: one line that is updated during training, and tables of objects."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from jaxcnn.train._reports._notebook import NotebookProgress, in_notebook
from tests.notebooks import execute
from tests.train.runs import TINY

ROOT = Path(__file__).parent.parent.parent
CELLS = {
    "experiment": """
import sys
import jaxcnn, optax
from jaxcnn import data, models, train
digits = data.load("digits")
few = data.Dataset(name="few", train=digits.train.take(slice(64)), test=digits.test.take(slice(32)))
experiment = train.Experiment(
    **train.classification(models.create("lenet5")), data=few, optimizer=optax.adam(1e-3), epochs=2, batch_size=32
)
experiment""",
    "fit": "outcome = train.fit(experiment, 'run')",
    "outcome": "outcome",
    "trained": "trained = train.Trained(experiment, outcome.variables, outcome.step); trained",
    "predict": "trained.predict(few.test['image'])['probabilities'].shape, list(trained.evaluate('train'))",
    "summary": "jaxcnn.summary('lenet5', (1, 32, 32, 1))",
    "command": f"!{{sys.executable}} -m jaxcnn train {TINY} --set epochs=1 --run-dir other",
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """The last output of each cell, by the name of the cell."""
    path = tmp_path_factory.mktemp("notebook") / "notebook.ipynb"
    cells = [
        {"cell_type": "code", "id": name, "metadata": {}, "execution_count": None, "outputs": [], "source": source}
        for name, source in CELLS.items()
    ]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), encoding="utf-8")
    execute(path)
    yield {cell["id"]: cell["outputs"] for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]}


def text(output: dict[str, Any], kind: str = "text/plain") -> str:
    return "".join(output["text"] if "text" in output else output["data"][kind])


@pytest.mark.gate
def test_a_run_is_one_line(outputs: dict[str, list[dict[str, Any]]]) -> None:
    (shown,) = outputs["fit"]
    assert shown["output_type"] == "display_data"
    assert text(shown).startswith("epoch 2/2  loss ") and "\n" not in text(shown) and len(text(shown)) <= 80


@pytest.mark.gate
def test_the_command_writes_lines_without_control_codes(outputs: dict[str, list[dict[str, Any]]]) -> None:
    written = "".join(text(output) for output in outputs["command"])
    assert "epoch 1/1" in written and "test accuracy" in written
    assert "\x1b" not in written and len(written) < 2000


@pytest.mark.gate
def test_objects_are_tables(outputs: dict[str, list[dict[str, Any]]]) -> None:
    expected = {
        "experiment": "<td>objective</td><td>objective</td>",
        "outcome": "<td>step</td><td>4 (all epochs done)</td>",
        "trained": "<td>step</td><td>4</td>",
        "summary": "61,706",
    }
    for name, part in expected.items():
        (shown,) = outputs[name]
        assert "<table>" in text(shown, "text/html") and part in text(shown, "text/html")
    (shown,) = outputs["predict"]
    assert text(shown) == "((32, 10), ['accuracy', 'loss'])"


class FakeDisplay:
    """A stand-in for ``IPython.display`` that records every text of the updated line."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.lines = 0

    def display(self, data: dict[str, str], *, raw: bool, display_id: bool) -> "FakeDisplay":
        assert raw and display_id
        self.lines += 1
        self.shown.append(data["text/plain"])
        return self

    def update(self, data: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.shown.append(data["text/plain"])


def test_each_step_and_each_epoch_replaces_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeDisplay()
    monkeypatch.setitem(sys.modules, "IPython.display", fake)  # type: ignore[arg-type]
    with NotebookProgress(Console(), steps_per_epoch=10, batch_size=4, unit="examples") as progress:
        progress.compiling()
        progress.compiled(2.0, from_cache=False)
        progress.start(step=0, total=20)
        assert progress.due(0.0) and not progress.due(1000.0)
        progress.step(11, {"loss": 0.75})
        progress.epoch({"step": 20, "epoch": 2, "train/loss": 0.5, "val/loss": 0.75})
    assert fake.lines == 1
    assert fake.shown[:3] == ["compiling the training step", "compiled the training step in 2.0 s", "training"]
    assert fake.shown[3].startswith("epoch 2/2  step 11/20  loss 0.7500") and "examples/s" in fake.shown[3]
    assert fake.shown[4].startswith("epoch 2/2  loss 0.5000  val loss 0.7500")


def test_this_is_no_notebook() -> None:
    assert not in_notebook()
