"""A run that predicts boxes: its picture, and the output and pictures of `jaxcnn predict`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jaxcnn.cli import main
from jaxcnn.cli._predict_boxes import draw

EXPERIMENT = '''"""Digits of 32 pixels with a box each, found by a linear network."""

import dataclasses

import optax
from flax import linen

from jaxcnn import data
from jaxcnn.train import Experiment, localisation, standardize


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    seed: int = 0


class Linear(linen.Module):
    @linen.compact
    def __call__(self, x, train=False):
        return linen.Dense(11 + 4)(x.reshape(len(x), -1))


def build(config):
    digits = data.load("digits", image_size=16)
    scenes = data.digit_scenes(digits, digits, size=32, train_count=8, test_count=3, most=1)
    return Experiment(
        **localisation(Linear(), normalize=standardize([0.3], [0.3])),
        data=scenes, optimizer=optax.sgd(1e-3), epochs=1, batch_size=4,
    )
'''


@pytest.mark.gate
def test_boxes_are_drawn_and_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, run, picture = tmp_path / "boxes_of_digits.py", tmp_path / "run", tmp_path / "digit.png"
    file.write_text(EXPERIMENT, encoding="utf-8")
    assert main(["train", str(file), "--run-dir", str(run)]) == 0
    assert "pictures  curves.png, boxes.png" in capsys.readouterr().out
    assert (run / "boxes.png").stat().st_size > 10_000
    record = json.loads((run / "metrics.jsonl").read_text(encoding="utf-8"))
    assert {"test/accuracy", "test/iou", "test/localised"} <= set(record)

    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)).save(picture)
    shown = tmp_path / "shown.png"
    words = ["predict", str(run), str(picture), "--trust", "--no-invert"]
    assert main([*words, "--json", "--show", str(shown)]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert len(found["box"]) == 4 and min(found["box"]) >= 0 and max(found["box"]) <= 32
    assert shown.read_bytes().startswith(b"\x89PNG")
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "box x0 y0 x1 y1" in out and " ".join(f"{value:.1f}" for value in found["box"]) in out


@pytest.mark.parametrize(("names", "drawn"), [(("cat", "dog"), ["cat", "dog"]), (("background", "dog"), ["dog"])])
def test_the_first_class_is_drawn_unless_it_is_the_background(
    names: tuple[str, str], drawn: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []

    def record(images: Any, boxes: Any, labels: np.ndarray, names: list[str], path: Path, **_: object) -> None:
        found.extend(names[label] for label in labels.ravel() if label > 0)

    monkeypatch.setattr("jaxcnn.vis.draw_boxes", record)
    outputs = {"probabilities": np.array([[0.9, 0.1], [0.1, 0.9]]), "boxes": np.array([[1.0, 1, 5, 5]] * 2)}
    draw(outputs, np.zeros((2, 8, 8, 3), np.uint8), names, tmp_path / "boxes.png", title="Two")
    assert found == drawn
