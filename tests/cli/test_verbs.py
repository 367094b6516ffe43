"""The commands as a user calls them, in this process."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from jaxcnn.cli import _train, main
from jaxcnn.data import Dataset, Split, load
from jaxcnn.train import Parallel, RunFolder, Trained
from jaxcnn.vis import predictions_figure
from tests.cli.conftest import TINY
from tests.train.runs import final_state


def run_json(capsys: pytest.CaptureFixture[str], *words: str) -> object:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_run_leaves_pictures_of_its_records_and_its_evaluation(tiny_run: Path, tmp_path: Path) -> None:
    run = RunFolder.open(tiny_run)
    file, settings = run.load_experiment()
    experiment = file.build(settings)
    trained = Trained(experiment, final_state(run, experiment).eval_variables, step=0)
    found = _train._outputs(trained, Parallel.over(1))
    names = _train._draw(SimpleNamespace(path=tmp_path, metrics=run.metrics), experiment, *found)
    assert names == ["curves.png", "confusion.png", "mistakes.png"]
    for name in names:
        assert (tmp_path / name).read_bytes() == (tiny_run / name).read_bytes(), name


def test_of_labelled_pixels_it_draws_their_classes(tiny_run: Path, tmp_path: Path) -> None:
    split = Split(image=np.zeros((3, 4, 4, 1), np.uint8), segmentation=np.zeros((3, 4, 4), int))
    data = Dataset(name="blank", train=split, test=split, class_names=("background", "other"))
    classes = {"segmentation": split["segmentation"]}
    run = SimpleNamespace(path=tmp_path, metrics=RunFolder(tiny_run).metrics)
    names = _train._draw(run, SimpleNamespace(data=data, streams=False), classes, classes)
    assert names == ["curves.png", "confusion.png", "segmentation.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    figures = {"test/loss": 0.1, "test/accuracy": 1.0, "test/mean_iou": 1.0}
    assert _train._in_words(figures) == "test accuracy  100.00 %   mean IoU  100.00 %"
    assert _train._in_words({"test/loss": 0.1}) == "test loss  0.1000"


def test_train_speaks_plainly_where_nobody_looks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # A seed that no other test uses; otherwise compiled programs of other tests would be loaded.
    settings = ["--set", "epochs=2", "--set", "seed=41"]
    assert main(["train", str(TINY), *settings, "--run-dir", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert "\x1b" not in out
    assert lines[0].startswith("run folder")
    assert lines[1].startswith("compiled the training step in ")
    assert lines[2].startswith("epoch 1/2  loss ")
    assert lines[3].endswith("0:00 left")
    assert lines[4].startswith("test accuracy ")


def test_evaluate_agrees_with_the_metrics(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [json.loads(line) for line in (tiny_run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    last = run_json(capsys, "evaluate", str(tiny_run))
    assert isinstance(last, dict)
    assert last["test/accuracy"] == records[-1]["test/accuracy"]
    assert last["test/loss"] == pytest.approx(records[-1]["test/loss"], rel=1e-5)
    assert sum(row["images"] for row in last["classes"].values()) == last["images"] == 50
    best = run_json(capsys, "evaluate", str(tiny_run), "--checkpoint", "best")
    assert isinstance(best, dict)
    assert best["test/accuracy"] == max(record["test/accuracy"] for record in records)


def test_evaluate_prints_a_table(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(tiny_run)]) == 0
    out = capsys.readouterr().out
    assert "class" in out and "wrong" in out and "last checkpoint, step 72: test accuracy" in out


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16"])
def test_predict_reads_any_picture(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    """The same digit in another mode and size is predicted as the same class."""
    from jaxcnn.data import load

    digit = load("digits").train["image"][3, :, :, 0]
    grey = Image.fromarray(digit)
    picture = Image.fromarray(digit.astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    plain, other = tmp_path / "plain.png", tmp_path / "other.png"
    grey.save(plain)
    picture.save(other)
    first, second = run_json(capsys, "predict", str(tiny_run), str(plain), str(other))  # type: ignore[misc]
    assert len(first["top"]) == 3 and first["image"] == str(plain)
    assert [guess["class"] for guess in first["top"]] == [guess["class"] for guess in second["top"]]
    assert first["top"][0]["probability"] == pytest.approx(second["top"][0]["probability"], abs=1e-4)


def test_predict_prints_the_top_classes(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.zeros((70, 50), np.uint8)).save(tmp_path / "blank.png")
    assert main(["predict", str(tiny_run), str(tmp_path / "blank.png"), "--top", "2"]) == 0
    assert capsys.readouterr().out.count("%") == 2


def test_list_names_experiments_and_runs(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "one").symlink_to(tiny_run)
    monkeypatch.chdir(tmp_path)
    listed = run_json(capsys, "list")
    assert isinstance(listed, dict)
    names = {row["name"]: row for row in listed["experiments"]}
    assert names["lenet5_digits"]["about"].startswith("LeNet-5 on the 1,797 handwritten digits")
    assert [(row["run"], row["experiment"], row["epoch"]) for row in listed["runs"]] == [("runs/one", "tiny", 12)]
    assert main(["list"]) == 0
    assert "lenet5_mnist" in capsys.readouterr().out


def test_list_shows_what_differs_between_the_runs_of_an_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Five runs: three of one experiment, one of them in a folder of runs; one of another; one that is not readable."""
    monkeypatch.chdir(tmp_path)
    runs: list[tuple[str, dict[str, object], dict[str, object]]] = [
        ("a", {"rate": 0.1, "epochs": 3, "seed": 0}, {"test/loss": 0.5, "test/accuracy": 0.875}),
        ("b", {"rate": 0.3, "epochs": 3, "seed": 0}, {"val/loss": 0.4, "val/psnr": 21.5}),
        ("many/mean/seed-1", {"rate": 0.1, "epochs": 3, "seed": 1}, {"train/loss": 0.25, "train/skipped": 0}),
    ]
    for name, settings, figures in runs:
        run = RunFolder.create(Path("runs") / name, None, settings, name="same")
        run.metrics.append({"step": 6, "epoch": 1, "seconds": 1.0, **figures})
    RunFolder.create(Path("runs") / "other", None, {"rate": 9.0}, name="other").extend(3, {"rate": 8.0})
    (tmp_path / "runs" / "damaged").mkdir()
    (tmp_path / "runs" / "damaged" / "config.json").write_text("{", encoding="utf-8")
    listed = run_json(capsys, "list")
    assert isinstance(listed, dict)
    found = {row["run"]: (row["settings"], row["metric"]) for row in listed["runs"]}
    assert found == {
        "runs/a": ({"rate": 0.1, "seed": 0}, {"name": "test/accuracy", "value": 0.875}),
        "runs/b": ({"rate": 0.3, "seed": 0}, {"name": "val/psnr", "value": 21.5}),
        "runs/many/mean/seed-1": ({"rate": 0.1, "seed": 1}, {"name": "train/loss", "value": 0.25}),
        "runs/other": ({}, None),
        "runs/damaged": ({}, None),
    }
    assert main(["list"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "run experiment settings that differ epoch step metric" in lines
    assert "runs/a same rate=0.1 seed=0 1 6 test accuracy 87.50 %" in lines
    assert "runs/b same rate=0.3 seed=0 1 6 val psnr 21.5" in lines


def test_own_experiments_come_before_the_package_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "lenet5_digits.py").write_text('"""Mine."""\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    listed = run_json(capsys, "list")
    assert isinstance(listed, dict)
    assert {row["name"]: row["about"] for row in listed["experiments"]}["lenet5_digits"] == "Mine."


def test_show_gives_types_defaults_and_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run_json(capsys, "show", "lenet5_digits")
    assert isinstance(shown, dict)
    settings = {row["name"]: row for row in shown["settings"]}
    assert settings["seed"] == {
        "name": "seed",
        "type": "int",
        "default": 0,
        "meaning": "decides initial parameters, order and augmentation",
    }
    assert all(row["meaning"] for row in shown["settings"])
    assert main(["show", "lenet5_mnist"]) == 0
    out = capsys.readouterr().out
    assert "LeNet-5 on MNIST" in out and "str or none" in out


def test_summary_of_a_run_and_of_an_experiment(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The input is the result of the experiment's ``prepare`` and ``normalize`` for its images."""
    expected = None
    for model in (str(tiny_run), str(TINY)):
        found = run_json(capsys, "summary", model)
        assert isinstance(found, dict) and found["name"] == "TinyNetwork"
        assert found["input_shape"] == [1, 32, 32, 1] and found == (expected or found)
        expected = found
    assert run_json(capsys, "summary", "lenet5_digits", "--batch", "3")["input_shape"] == [3, 32, 32, 1]  # type: ignore[index]


def test_predict_guesses_the_polarity_of_strokes_and_shows_what_it_read(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    light = load("digits").test["image"][3, ..., 0]
    Image.fromarray(light).save(tmp_path / "light.png")
    Image.fromarray(255 - light).resize((96, 96)).save(tmp_path / "dark.png")
    paths = [str(tmp_path / name) for name in ("light.png", "dark.png")]
    first, second = run_json(capsys, "predict", str(tiny_run), *paths)  # type: ignore[misc]
    assert (first["inverted"], second["inverted"]) == (False, True)
    assert second["top"][0]["probability"] == pytest.approx(first["top"][0]["probability"], abs=0.05)
    for option, inverted in (("--no-invert", False), ("--invert", True)):
        rows = run_json(capsys, "predict", str(tiny_run), *paths, option)
        assert [row["inverted"] for row in rows] == [inverted, inverted]  # type: ignore[attr-defined]
    assert main(["predict", str(tiny_run), *paths, "--show", str(tmp_path / "seen.png")]) == 0
    out = capsys.readouterr().out
    assert f"dark on light, so inverted: {paths[1]} (--no-invert keeps them)\n" in out and "light.png (" not in out
    assert f"what the network gets: {tmp_path / 'seen.png'}\n" in out
    with Image.open(tmp_path / "seen.png") as picture:
        grey = np.asarray(picture.convert("L"))
    assert (grey < 8).mean() > 0.05, "both tiles are black with light strokes, not one"


def test_the_picture_of_a_prediction_has_every_image_and_its_class(tmp_path: Path) -> None:
    images = np.stack([np.zeros((8, 8, 1), np.uint8), np.full((8, 8, 1), 255, np.uint8)])
    top = [{"class": "seven", "probability": 0.75}]
    rows = [{"image": f"a/{name}.png", "inverted": name == "two", "top": top} for name in ("one", "two")]
    figure = predictions_figure(images, rows)
    assert len(figure.axes[0].images) == 2
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["one.png\nseven 75.0 %", "two.png (inverted)\nseven 75.0 %"]
