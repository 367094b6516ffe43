"""A run that predicts a class for each pixel: the masks that `jaxcnn predict` writes, prints and draws."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxcnn.cli import main
from jaxcnn.cli._predict import _show_masks
from jaxcnn.cli._predict_masks import write_masks

EXPERIMENT = '''"""Bright and dark pixels, classified by a linear network."""

import dataclasses

import numpy as np
import optax
from flax import linen

from jaxcnn import data
from jaxcnn.train import Experiment, segmentation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    seed: int = 0


class Linear(linen.Module):
    @linen.compact
    def __call__(self, x, train=False):
        return linen.Dense(2, use_bias=True)(x - 0.5)


def build(config):
    image = np.random.default_rng(0).choice([0, 255], (24, 8, 8, 1)).astype(np.uint8)
    split = data.Split(image=image, segmentation=np.where(image[..., 0] > 0, 1, 0).astype(np.uint8))
    pixels = data.Dataset(name="pixels", train=split, test=split, class_names=("dark", "bright"))
    return Experiment(
        **segmentation(Linear()), data=pixels, optimizer=optax.adam(0.1), epochs=3, batch_size=4,
    )
'''


def test_masks_are_written_and_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    maps = np.zeros((2, 4, 4), np.int32)
    maps[0, :1], maps[1] = 1, 2
    images = np.full((2, 4, 4, 3), 90, np.uint8)
    options = argparse.Namespace(
        images=[Path("a.jpg"), Path("b.png")], masks=tmp_path / "new", top=2, show=tmp_path / "shown.png", json=True
    )
    assert _show_masks(options, images, maps, ("sky", "road", "tree")) == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "image": "a.jpg",
            "mask": str(tmp_path / "new" / "a_mask.png"),
            "classes": [{"class": "sky", "share": 0.75}, {"class": "road", "share": 0.25}],
        },
        {
            "image": "b.png",
            "mask": str(tmp_path / "new" / "b_mask.png"),
            "classes": [{"class": "tree", "share": 1.0}],
        },
    ]
    for name, classes in zip("ab", maps, strict=True):
        with Image.open(tmp_path / "new" / f"{name}_mask.png") as mask:
            np.testing.assert_array_equal(np.asarray(mask), classes)
    assert options.show.read_bytes().startswith(b"\x89PNG")
    options.json = False
    assert _show_masks(options, images, maps, ()) == 0
    assert "0 75.0 %" in capsys.readouterr().out, "classes without names are numbers"


@pytest.mark.gate
def test_masks_are_written_printed_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pixels.py").write_text(EXPERIMENT, encoding="utf-8")
    assert main(["train", "pixels.py", "--run-dir", "run"]) == 0
    pixels = np.zeros((8, 8), np.uint8)
    pixels[:2] = 255
    Image.fromarray(pixels).save("photo.png")
    capsys.readouterr()
    assert main(["predict", "run", "photo.png", "--trust", "--no-invert", "--json", "--show", "shown.png"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found == {
        "image": "photo.png",
        "mask": "masks/photo_mask.png",
        "classes": [{"class": "dark", "share": 0.75}, {"class": "bright", "share": 0.25}],
    }
    with Image.open("masks/photo_mask.png") as mask:
        assert mask.mode == "P"
        np.testing.assert_array_equal(np.asarray(mask), pixels // 255)
    assert Path("shown.png").read_bytes().startswith(b"\x89PNG")
    assert main(["predict", "run", "photo.png", "--trust", "--no-invert", "--masks", "here"]) == 0
    out = capsys.readouterr().out
    assert "here/photo_mask.png" in out and "dark 75.0 %" in out


def test_evaluate_has_the_measures_of_whole_splits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mean IoU is computed by the code that the run folder contains; it equals that of the last epoch."""
    monkeypatch.chdir(tmp_path)
    Path("pixels.py").write_text(EXPERIMENT.replace("epochs=3", "epochs=1"), encoding="utf-8")
    assert main(["train", "pixels.py", "--run-dir", "run"]) == 0
    (record,) = [json.loads(line) for line in Path("run/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    capsys.readouterr()
    assert main(["evaluate", "run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = ("loss", "accuracy", "pixel_accuracy", "class_accuracy", "mean_iou")
    assert {name: found[f"test/{name}"] for name in names} == pytest.approx(
        {name: record[f"test/{name}"] for name in names}
    )
    assert main(["evaluate", "run"]) == 0
    assert f"test mean IoU {100 * record['test/mean_iou']:.2f} %" in capsys.readouterr().out


def test_two_masks_of_one_name_are_refused(tmp_path: Path) -> None:
    images = [tmp_path / "one" / "photo.png", tmp_path / "two" / "photo.jpg"]
    with pytest.raises(ValueError, match=r"two images would both have the mask .*photo_mask\.png\. Predict them one"):
        write_masks(np.zeros((2, 3, 3), int), images, ("a",), tmp_path, top=1)
