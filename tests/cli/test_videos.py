"""Runs whose input is a stream of videos: they are evaluated and exported, and no pictures of images are drawn."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxcnn.cli import _export, main
from jaxcnn.train import RunError
from jaxcnn.train import load as load_run
from tests.cli.test_export import requires
from tests.tiers import default_rows

EXPERIMENT = '''"""Videos of two classes, one of which cannot be read in each split."""

import dataclasses

import jax
import numpy as np
import optax

from jaxcnn import data, train
from tests.train.streams import streamed
from tests.train.test_video_stream import Network


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    seed: int = 0


def split(count):
    labels = np.arange(count) % 2
    pixels = np.random.default_rng(count).integers(0, 128, (count, 3, 6, 6, 1))
    return data.Split(video=(pixels + 100 * labels[:, None, None, None, None]).astype(np.uint8), label=labels)


def build(config):
    clips = data.Dataset(name="clips", train=split(8), test=split(6), class_names=("left", "right"))
    return train.Experiment(
        **train.classification(Network(), source="video"),
        data=streamed(clips, damaged=(4,)),
        optimizer=optax.sgd(0.1), epochs=1, batch_size=4,
    )
'''


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    (folder / "clips.py").write_text(EXPERIMENT, encoding="utf-8")
    assert main(["train", str(folder / "clips.py"), "--run-dir", str(folder / "run")]) == 0
    return folder / "run"


def test_examples_that_cannot_be_read_are_not_counted(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["evaluate", str(run), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    classes = report["classes"]
    assert {name: row["images"] for name, row in classes.items()} == {"left": 2, "right": 3} and report["images"] == 5
    assert report["test/accuracy"] == pytest.approx(sum(row["correct"] for row in classes.values()) / 5)
    assert main(["evaluate", str(run)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["class", "examples", "wrong"]
    assert [line[:2] for line in lines[1:4]] == [["left", "2"], ["right", "3"], ["all", "5"]]


def of_stablehlo(file: Path, x: np.ndarray) -> np.ndarray:
    return jax.export.deserialize(bytearray(file.read_bytes())).call(x)["probabilities"]


def of_onnx(file: Path, x: np.ndarray) -> np.ndarray:
    import onnxruntime

    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def of_tflite(file: Path, x: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    found: np.ndarray = Interpreter(model_path=str(file)).get_signature_runner()(x=x)["probabilities"]
    return found


@pytest.mark.parametrize("compute", default_rows([of_stablehlo, of_onnx, of_tflite], keep=[of_stablehlo]))
def test_videos_are_exported(
    compute: Callable[[Path, np.ndarray], np.ndarray], run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = compute.__name__.removeprefix("of_")
    requires(target)
    file = tmp_path / f"clips.{target}"
    capsys.readouterr()
    assert main(["export", str(run), "--to", target, "--batch", "2", "--output", str(file), "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["input"]["shape"] == [2, 3, 6, 6, 1] and card["input"]["dtype"] == "uint8"
    assert card["input"]["preprocessing"].startswith("inside: the input is 'video' as the data set holds it")
    assert card["compared_images"] == 64 and card["largest_difference"] < 1e-5
    videos = np.random.default_rng(0).integers(0, 256, (2, 3, 6, 6, 1)).astype(np.uint8)
    np.testing.assert_allclose(compute(file, videos), load_run(run).predict(videos)["probabilities"], atol=1e-5)


def test_a_run_that_predicts_from_several_arrays_is_not_exported(run: Path) -> None:
    model = load_run(run)
    assert _export.input_of(model) == "video"
    several = dataclasses.replace(model, inputs=("series", "mask"))
    message = r"the run predicts from series, mask, but a file has one input: .*predict\(series=\.\.\., mask=\.\.\.\)\."
    with pytest.raises(RunError, match=message):
        _export.input_of(several)
    nothing = dataclasses.replace(model, inference=dataclasses.replace(model.inference, predict=None), inputs=())
    with pytest.raises(RunError, match=r"this run predicts nothing: its experiment has no predict\."):
        _export.input_of(nothing)


def test_augmentations_are_drawn_of_images_only(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["show", str(run.parent / "clips.py"), "--augment", str(tmp_path / "drawn.png")]) == 2
    expected = "--augment draws the array 'image', but the batches of clips have only 'video', 'label'. In Python, "
    assert expected in capsys.readouterr().err and not any(tmp_path.iterdir())


def test_predict_names_the_function_that_reads_a_video(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["predict", str(run), "clip.png"]) == 2
    expected = "jaxcnn.load(run).predict(video=...). data.read_video reads the frames of a video."
    assert expected in " ".join(capsys.readouterr().err.split())
