"""``jaxcnn export``: a file that another program can run, and its card."""

import gc
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

NEEDS = {
    "onnx": ("onnx", "onnxruntime"),
    "tflite": ("litert_converter", "litert_quantizer", "ai_edge_litert"),
    "coreml": ("coremltools", "stablehlo_coreml"),
}


def requires(target: str) -> None:
    for module in NEEDS.get(target, ()):
        pytest.importorskip(module, reason=f"the extra {target} is not installed")


@pytest.mark.parametrize("target", ["stablehlo", "onnx"])
def test_a_file_and_its_card(
    target: str, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    requires(target)
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
        import onnxruntime

        (found,) = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(None, {"x": images})
    else:
        found = jax.export.deserialize(bytearray(file.read_bytes())).call(images)["probabilities"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("expected", "found"),
    [([1.0, 2.0], [1.0, np.nan]), ([1.0, 2.0], [1.0, np.inf]), ([np.inf, 2.0], [-np.inf, 2.0]), ([4.0], [4.1])],
)
def test_results_that_differ_are_refused(expected: list[float], found: list[float]) -> None:
    """NaN is not less than any number, so a maximum found by comparisons would ignore it."""
    same = [0.0, np.nan, np.inf, -np.inf, 3.0]
    assert _export.compare({"a": np.array(same)}, {"a": np.array(same)}, 1e-4) == 0
    assert _export.compare([np.array([4.0, -8.0])], [np.array([4.0, -8.4])], None) == pytest.approx(0.05)
    with pytest.raises(ValueError, match=r"on test examples the file differs from the run by (nan|inf|2\.5e-02)"):
        _export.compare([np.array(same), np.array(expected)], [np.array(same), np.array(found)], 1e-4)


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


@pytest.mark.parametrize("words", [["--int8", "--calibration", "minmax"], ["--batch", "3"]])
def test_litert(words: list[str], tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    requires("tflite")
    from ai_edge_litert.interpreter import Interpreter

    file = tmp_path / "digits.tflite"
    assert main(["export", str(tiny_run), "--to", "tflite", *words, "--output", str(file), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    rows = 3 if "--batch" in words else 1
    assert report["input"]["shape"] == [rows, 32, 32, 1] and report["input"]["dtype"] == "uint8"
    assert report["compared_images"] == (66 if rows == 3 else 64)
    assert report["largest_difference"] < (1e-5 if rows == 3 else 0.2)
    images = load("digits").test["image"][:rows]
    found = Interpreter(model_path=str(file)).get_signature_runner()(x=images)["probabilities"]
    expected = load_run(tiny_run).predict(images)["probabilities"]
    np.testing.assert_allclose(found, expected, atol=1e-5 if rows == 3 else 0.05)


# coremltools leaves a temporary folder to the garbage collector
@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_core_ml(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    requires("coreml")
    file = tmp_path / "digits.mlpackage"
    assert main(["export", str(tiny_run), "--to", "coreml", "--output", str(file)]) == 0
    assert "not compared with the run: Core ML runs on macOS only" in capsys.readouterr().out
    card = json.loads((tmp_path / "digits.mlpackage.json").read_text(encoding="utf-8"))
    assert card["largest_difference"] is None and card["nodes"]["conv"] == 1 and card["bytes"] > 100
    first = card["sha256"]
    weights = next(file.rglob("weight.bin"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert _export.digest(file) != first
    gc.collect()


def test_the_table(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "one.stablehlo"
    assert main(["export", str(tiny_run), "--to", "stablehlo", "--output", str(file), "--batch", "1"]) == 0
    out = capsys.readouterr().out
    assert "convolution" in out and "MB, card one.stablehlo.json" in out and "on 64 test examples" in out
    assert "milliseconds for a call: jit " in out
    assert jax.export.deserialize(bytearray(file.read_bytes())).in_avals[0].shape == (1, 32, 32, 1)


def test_mistakes(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["export", str(tiny_run), "--to", "onnx", "--batch", "many"]) == 2
    assert "--batch many: write the number of examples of a call, such as 1, or dynamic." in capsys.readouterr().err
    for target in ("tflite", "coreml"):
        assert main(["export", str(tiny_run), "--to", target, "--batch", "dynamic"]) == 2
        assert f"--batch dynamic: a file of {target} has fixed sizes. Write a number" in capsys.readouterr().err
    for target, modules in NEEDS.items():
        monkeypatch.setitem(sys.modules, modules[0], None)  # behaves as if the package were not installed
        file = tmp_path / f"x{_export.SUFFIXES[target]}"
        assert main(["export", str(tiny_run), "--to", target, "--output", str(file)]) == 2
        assert f"pip install 'jaxcnn[{target}]'" in capsys.readouterr().err
        assert not file.exists()
    with pytest.raises(ValueError, match=r"on test examples the file differs from the run by 5.0e-01 of the largest"):
        _export.compare([1.0, 2.0], [1.0, 3.0], 1e-4)
