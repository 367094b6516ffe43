"""``jaxcnn export``: a file that another program runs, and its card."""

import hashlib
import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxcnn.cli import _export, main
from jaxcnn.data import load
from jaxcnn.train import load as load_run


@pytest.mark.parametrize("target", ["stablehlo", "onnx"])
def test_a_file_and_its_card(
    target: str, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if target == "onnx":
        pytest.importorskip("onnx", reason="the extra onnx is not installed")
        runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    monkeypatch.setattr(_export, "RUNS", 1)
    file = tmp_path / f"digits.{target}"
    assert main(["export", str(tiny_run), "--to", target, "--output", str(file), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    card = json.loads((tmp_path / f"digits.{target}.json").read_text(encoding="utf-8"))
    assert {name: value for name, value in report.items() if name != "milliseconds"} == card
    assert sorted(report["milliseconds"]) == ["file", "jit"] and min(report["milliseconds"].values()) > 0
    assert card["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest() and card["bytes"] == file.stat().st_size
    assert card["classes"] == [str(digit) for digit in range(10)]
    assert card["input"]["shape"] == ["batch", 32, 32, 1] and card["input"]["dtype"] == "uint8"
    assert card["outputs"] == {"probabilities": ["float32", "batch", "10"]}
    assert 0 < card["metrics"]["test/accuracy"] <= 1 and card["largest_difference"] < 1e-5
    assert card["nodes"][{"onnx": "Conv", "stablehlo": "convolution"}[target]] == 1
    images = load("digits").test["image"][:3]
    expected = load_run(tiny_run).predict(images)["probabilities"]
    if target == "onnx":
        (found,) = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(None, {"x": images})
    else:
        found = jax.export.deserialize(bytearray(file.read_bytes())).call(images)["probabilities"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.gate
def test_integers(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "small.stablehlo"
    words = ["--to", "stablehlo", "--int8", "--calibration", "minmax", "--batch", "2", "--output", str(file)]
    assert main(["export", str(tiny_run), *words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["integers"] == "minmax" and 0 < report["largest_difference"] < 0.1
    images = load("digits").test["image"][:2]
    found = jax.export.deserialize(bytearray(file.read_bytes())).call(images)["probabilities"]
    np.testing.assert_allclose(found, load_run(tiny_run).predict(images)["probabilities"], atol=0.05)


def test_the_table(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "one.stablehlo"
    assert main(["export", str(tiny_run), "--to", "stablehlo", "--output", str(file), "--batch", "1"]) == 0
    out = capsys.readouterr().out
    assert "convolution" in out and "MB, card one.stablehlo.json" in out and "on 1 test images" in out
    assert "milliseconds for a call: jit " in out
    assert jax.export.deserialize(bytearray(file.read_bytes())).in_avals[0].shape == (1, 32, 32, 1)


def test_mistakes(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["export", str(tiny_run), "--to", "onnx", "--batch", "many"]) == 2
    assert "--batch many: write the number of images of a call, such as 1, or dynamic." in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "onnx", None)  # as where it is not installed
    assert main(["export", str(tiny_run), "--to", "onnx", "--output", str(tmp_path / "x.onnx")]) == 2
    assert "pip install 'jaxcnn[onnx]'" in capsys.readouterr().err
    assert not (tmp_path / "x.onnx").exists()
    with pytest.raises(ValueError, match=r"on test images the file differs from the run by 5.0e-01 of the largest"):
        _export.compare([1.0, 2.0], [1.0, 3.0], 1e-4)
