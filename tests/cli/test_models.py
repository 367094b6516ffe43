"""The commands that show models."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxcnn.cli import main
from jaxcnn.cli._summary import read_input_shape
from jaxcnn.models import create, info, list_models, summary
from jaxcnn.vis import draw_receptive_fields


def test_models_lists_names_with_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "lenet*", "--json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert sorted(listed) == list_models("lenet*")
    assert listed["lenet5"]["parameters"] == 61_706 and listed["lenet5"]["input_shape"] == [32, 32, 1]
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in list_models()) and "61,706" in out


def test_summary_prints_layers_and_totals(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "fields.png"
    assert main(["summary", "lenet5", "--picture", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "LeCun" in out.splitlines()[0] and "s4      (map)" in out
    assert out.splitlines()[-1].split()[:4] == ["total", "LeNet5", "61,706", "416,520"]
    draw_receptive_fields(summary(create("lenet5"), (1, 32, 32, 1)), tmp_path / "again.png")
    assert picture.read_bytes() == (tmp_path / "again.png").read_bytes()


def test_summary_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["summary", "lenet5", "--input", "34x33x3", "--batch", "2", "--classes", "4", "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["input_shape"] == [2, 34, 33, 3]
    assert found["parameters"] == info("lenet5").parameters + 2 * 25 * 6 - 6 * 85


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["models", "lenett*"], "no model's name matches 'lenett*'. Did you mean 'lenet5'?"),
        (
            ["summary", "lenet"],
            "'lenet' is not a model, an experiment, an experiment file (.py) or a run folder. Did you",
        ),
        (["summary", "lenet5", "--input", "big"], "--input big: write a size as 224, as 224x160, or as 224x160x3"),
        (["summary", "lenet5", "--input", "224"], "LeNet5: expected images of 32x32"),
        (["summary", "lenet5", "--batch", "0"], "--batch 0: a batch has at least one image"),
        (["summary", "lenet5", "--picture", "a.bmp"], "a picture is written as .pdf, .png or .svg"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "usual", "shape"),
    [
        ("64", (224, 224, 3), (64, 64, 3)),
        ("64x48", (224, 224, 3), (64, 48, 3)),
        ("64x48x1", (224, 224, 3), (64, 48, 1)),
        ("64", (16, 112, 112, 3), (16, 64, 64, 3)),
        ("64x48", (16, 112, 112, 3), (16, 64, 48, 3)),
        ("8x64x48", (16, 112, 112, 3), (8, 64, 48, 3)),
        ("300", (150, 1), (300, 1)),
        ("300x6", (150, 1), (300, 6)),
        (None, (150, 1), (150, 1)),
    ],
)
def test_sizes_of_images_videos_and_series(text: str | None, usual: tuple[int, ...], shape: tuple[int, ...]) -> None:
    assert read_input_shape(text, usual) == shape


def test_a_size_with_too_many_axes_is_refused() -> None:
    with pytest.raises(ValueError, match="--input 1x2x3: write a size as 150, or as 150x1"):
        read_input_shape("1x2x3", (150, 1))


@pytest.mark.skipif("resnet152" not in list_models(), reason="there is no ResNet-152")
@pytest.mark.gate
def test_resnet152_takes_no_compilation() -> None:
    """Two seconds, of which importing JAX and Flax takes 0.8.

    The test compares processor times, whose ratio does not depend on the load of the machine.
    """
    for _attempt in range(3):
        _, importing = _run(["-c", "import jax, flax.linen"])
        output, asking = _run(["-m", "jaxcnn", "summary", "resnet152", "--input", "224"])
        assert "60,192,808" in output and "11,513,626,624" in output
        if asking < 2.5 * importing:
            break
    else:
        pytest.fail(f"the command took {asking:.2f} s of processor time, importing JAX and Flax {importing:.2f}.")


def _run(arguments: list[str]) -> tuple[str, float]:
    """The output of a Python process, and the processor time that it took."""
    before = os.times()
    done = subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True)
    after = os.times()
    taken = after.children_user + after.children_system - before.children_user - before.children_system
    return done.stdout, taken
