"""A run that detects objects: the output and pictures of `jaxcnn predict`, and the picture of its training."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxcnn.cli import main
from jaxcnn.cli._predict_boxes import describe, draw, is_detection, rows_of

OUTPUTS = {
    "boxes": np.array([[[1, 2, 5.126, 6], [0, 0, 8, 8], [0, 0, 0, 0]], [[0, 0, 3, 3], [0, 0, 0, 0], [0, 0, 0, 0]]]),
    "labels": np.array([[2, 1, 0], [1, 0, 0]]),
    "scores": np.array([[0.91, 0.3, 0.0], [0.2, 0.0, 0.0]]),
    "mask": np.array([[True, True, False], [True, False, False]]),
}
NAMES = ("background", "cat", "dog")


def test_objects_are_described_and_drawn(tmp_path: Path) -> None:
    assert is_detection(OUTPUTS) and not is_detection({"boxes": 0, "probabilities": 0})
    found = describe(OUTPUTS, [Path("a.png"), Path("b.png")], NAMES)
    assert found[0]["objects"] == [
        {"class": "dog", "score": 0.91, "box": [1.0, 2.0, 5.13, 6.0]},
        {"class": "cat", "score": 0.3, "box": [0.0, 0.0, 8.0, 8.0]},
    ]
    assert rows_of(found) == [["a.png", "dog", "91.0 %", "1.0 2.0 5.1 6.0"], ["b.png", "none found", "", ""]]
    draw(OUTPUTS, np.zeros((2, 8, 8, 3), np.uint8), NAMES, tmp_path / "a.png", title="Two")
    draw(OUTPUTS, np.zeros((2, 8, 8, 3), np.uint8), (), tmp_path / "b.png", title="Without names", count=1)
    assert (tmp_path / "a.png").stat().st_size > 1000 < (tmp_path / "b.png").stat().st_size


EXPERIMENT = '''"""Digits of 32 pixels with their boxes, found by a detector of one convolution."""

import dataclasses
import functools

import optax

from jaxcnn import data
from jaxcnn.train import Experiment, detection
from tests.train.test_detection import model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    seed: int = 0


def build(config):
    digits = data.load("digits", image_size=16)
    scenes = data.digit_scenes(digits, digits, size=32, train_count=8, test_count=3)
    return Experiment(
        **detection(model(num_classes=11, score_threshold=0.0)),
        data=scenes, optimizer=optax.sgd(1e-3), epochs=1, batch_size=4,
    )
'''


@pytest.mark.gate
def test_a_detector_is_trained_recorded_and_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, run, picture = tmp_path / "objects.py", tmp_path / "run", tmp_path / "digit.png"
    file.write_text(EXPERIMENT, encoding="utf-8")
    assert main(["train", str(file), "--run-dir", str(run)]) == 0
    assert "pictures  curves.png, boxes.png" in capsys.readouterr().out
    assert (run / "model.json").exists()
    record = json.loads((run / "metrics.jsonl").read_text(encoding="utf-8"))
    assert {"test/loss", "test/proposal_recall", "test/ap50", "train/objectness"} <= set(record)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)).save(picture)
    words = ["predict", str(run), str(picture), "--no-invert"]
    assert main([*words, "--json", "--show", str(tmp_path / "shown.png")]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["objects"] and {"class", "score", "box"} == set(found["objects"][0])
    assert main(words) == 0
    assert "box x0 y0 x1 y1" in capsys.readouterr().out
