"""``jaxcnn explain`` and ``jaxcnn units``: the maps equal those of the library for the network of the run."""

import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxcnn import attribution, models
from jaxcnn.cli import main
from jaxcnn.cli._evolution import epochs_until
from jaxcnn.cli._inside import explained
from jaxcnn.data import load, read_image
from jaxcnn.train import RunError, RunFolder, load_kept, load_trained
from tests.cli.test_verbs import run_json
from tests.train.tiny import TinyNetwork


@pytest.fixture(scope="module")
def digit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "digit.png"
    Image.fromarray(load("digits").test["image"][3, ..., 0]).save(path)
    return path


def test_explain_draws_maps_of_the_score_of_a_class(
    tiny_run: Path, digit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "maps.png"
    words = ["--class", "2", "--method", "saliency", "--method", "grad_cam", "--picture", str(picture), "--no-invert"]
    found = run_json(capsys, "explain", str(tiny_run), str(digit), *words)
    assert isinstance(found, dict) and picture.exists()
    trained = load_trained(RunFolder.open(tiny_run), "last")
    x = load("digits").test["image"][3:4].astype(np.float32) / 255

    @jax.jit
    def scores(x: jax.Array) -> jax.Array:
        return TinyNetwork().apply(trained.variables, (x - 0.3) / 0.3, train=False)

    logits = np.asarray(scores(x))[0]
    assert found["class"] == "2" and found["score"] == pytest.approx(logits[2], rel=1e-4)
    assert found["top"][0]["class"] == str(logits.argmax())
    saliency, grad_cam = found["maps"]
    expected = np.asarray(jax.jit(lambda x: attribution.saliency(scores, x, target=2))(x))
    assert saliency["greatest"] == pytest.approx(expected.max(), rel=1e-4) and saliency["size"] == "32x32x1"
    assert grad_cam["size"] == "8x8" and found["layer"] == "Dropout_0()"


REGRESSION = '''"""The mean of an image and of its left half, from the image."""

import dataclasses

import numpy as np
import optax

from jaxcnn import data, models, train


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    seed: int = 0


def build(config):
    digits = data.load("digits", image_size=32)

    def split(images):
        pixels = images["image"][:64]
        means = np.stack([half.mean((1, 2, 3)) / 255 for half in (pixels, pixels[:, :, :16])], -1)
        return data.Split(image=pixels, means=means)

    means = data.Dataset(name="means", train=split(digits.train), test=split(digits.test))
    return train.Experiment(
        **train.regression(models.create("lenet5", num_classes=2), target="means"),
        data=means, optimizer=optax.adam(1e-3), epochs=1, batch_size=32,
    )
'''


def test_explain_draws_maps_of_a_number_of_a_regression(
    digit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "means.py").write_text(REGRESSION, encoding="utf-8")
    assert main(["train", str(tmp_path / "means.py"), "--run-dir", str(tmp_path / "run")]) == 0
    picture = tmp_path / "maps.png"
    words = [str(tmp_path / "run"), str(digit), "--class", "means 1", "--no-invert", "--picture", str(picture)]
    words += ["--method", "input_x_gradient", "--method", "grad_cam"]
    capsys.readouterr()
    found = run_json(capsys, "explain", *words)
    assert isinstance(found, dict) and picture.exists() and found["number"] == "means 1" and found["top"] == []
    trained = load_trained(RunFolder.open(tmp_path / "run"), "last")
    x = read_image(digit, image_shape=(32, 32, 1))[None].astype(np.float32) / 255

    @jax.jit
    def values(x: jax.Array) -> jax.Array:
        return models.create("lenet5", num_classes=2).apply(trained.variables, x, train=False)

    assert found["score"] == pytest.approx(float(values(x)[0, 1]), rel=1e-4)
    expected = np.asarray(jax.jit(lambda x: attribution.input_x_gradient(values, x, target=1))(x))
    assert found["maps"][0]["least"] == pytest.approx(expected.min(), rel=1e-3)
    assert main(["explain", *words]) == 0
    assert f"means 1: {found['score']:.3g}" in capsys.readouterr().out
    assert main(["explain", *[word if word != "means 1" else "means 2" for word in words]]) == 2
    assert "--class means 2: there is no such class or number. Did you mean" in capsys.readouterr().err


@pytest.mark.parametrize(
    "outputs",
    [
        {"segmentation": np.zeros((1, 8, 8), np.int32)},
        {"a": np.zeros(1), "b": np.zeros(1)},
        {"embedding": np.zeros((1, 8))},
        {"a": np.zeros(1, int)},
        np.zeros(1),
    ],
)
def test_other_predictions_are_not_explained(outputs: object) -> None:
    message = r"this run predicts neither the probabilities of classes of an image nor the numbers of a regression"
    with pytest.raises(RunError, match=message):
        explained(outputs, targets=["image", "a", "b"])


def test_numbers_of_a_regression_in_bfloat16_are_explained() -> None:
    assert explained({"a": jnp.zeros(1, jnp.bfloat16)}, targets=["image", "a"]) == "a"


@pytest.mark.gate
def test_units_draws_how_kernels_and_units_developed(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--evolution", "--layer", "Dropout_0()", "--units", "2", "--images", "20", "--folder", str(tmp_path)]
    found = run_json(capsys, "units", str(tiny_run), *words)
    assert isinstance(found, list)
    kernels, layer = found
    assert kernels["kernels"] == "conv" and kernels["epochs"] == [1, 4, 12]
    assert [Path(each["picture"]).name for each in found] == ["evolution-kernels.png", "evolution-Dropout_0.png"]
    assert all(Path(each["picture"]).exists() for each in found)
    run = RunFolder.open(tiny_run)
    everything = [*load_kept(run), load_trained(run, "last")]
    assert [each.step for each in everything] == [6, 24, 72]
    x = (load("digits").test["image"][:20].astype(np.float32) / 255 - 0.3) / 0.3
    for trained, row in zip(everything, layer["epochs"], strict=True):
        _, state = TinyNetwork().apply(trained.variables, x, train=False, capture_intermediates=True)
        greatest = np.asarray(state["intermediates"]["Dropout_0"]["__call__"][0]).max((0, 1, 2))
        assert [unit["unit"] for unit in row["units"]] == [0, 3]
        np.testing.assert_allclose([unit["greatest"] for unit in row["units"]], greatest[[0, 3]], rtol=1e-4)


def test_a_run_stopped_within_an_epoch_has_a_fraction_of_it() -> None:
    assert [epochs_until(step, 8) for step in (8, 12, 16)] == [1, 1.5, 2]
    assert f"epoch {epochs_until(16, 8)}" == "epoch 2"


def test_units_names_the_option_that_keeps_epochs(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(tiny_run, copy, ignore=lambda folder, names: {"kept"} & set(names))
    assert main(["units", str(copy), "--evolution", "--folder", str(tmp_path)]) == 2
    assert "keeps the variables of no epoch. Train with --keep-epochs" in capsys.readouterr().err


def test_explain_refuses_other_classes_and_layers(
    tiny_run: Path, digit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["explain", str(tiny_run), str(digit), "--picture", str(tmp_path / "a.png")]
    assert main([*words, "--class", "cat"]) == 2
    assert "--class cat: there is no such class" in capsys.readouterr().err
    assert main([*words, "--layer", "cone"]) == 2
    assert "there is no layer 'cone'. Did you mean 'conv'?" in capsys.readouterr().err


def test_units_draws_patches_and_made_images_of_a_layer(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "--layer",
        "conv()",
        "--units",
        "2",
        "--top",
        "3",
        "--made",
        "1",
        "--steps",
        "20",
        "--folder",
        str(tmp_path),
    ]
    found = run_json(capsys, "units", str(tiny_run), *words)
    assert isinstance(found, list)
    (layer,) = found
    assert (tmp_path / "units-conv.png").exists() and layer["layer"] == "conv()"
    trained = load_trained(RunFolder.open(tiny_run), "last")
    images = load("digits").test["image"][:50].astype(np.float32) / 255
    kernel = np.asarray(trained.variables["params"]["conv"]["kernel"])[..., 0, 3]
    bias = float(trained.variables["params"]["conv"]["bias"][3])
    padded = np.pad((images[..., 0] - 0.3) / 0.3, ((0, 0), (0, 1), (0, 1)))  # SAME, with the extra zero after
    values = np.array(
        [
            [[(each[4 * i : 4 * i + 5, 4 * j : 4 * j + 5] * kernel).sum() for j in range(8)] for i in range(8)]
            for each in padded
        ]
    )
    unit = layer["units"][1]
    assert unit["unit"] == 3 and unit["greatest"] == pytest.approx(values.max() + bias, rel=1e-3)
    assert unit["image"] == np.unravel_index(values.argmax(), values.shape)[0]
    assert main(["units", str(tiny_run), "--layer", "cone"]) == 2
    assert "--layer cone: there is no such layer of maps. Did you mean" in capsys.readouterr().err
    assert json.dumps(found)
    assert main(["units", str(tiny_run), "--made", "-1"]) == 2
    assert "--made -1: give at least 0." in capsys.readouterr().err
