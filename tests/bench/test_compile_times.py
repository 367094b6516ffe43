"""The time before the first step of a model: every phase is measured by name, without a cache."""

import json
from pathlib import Path
from unittest import mock

import jax
import pytest

from docs.bench.compile_page import page
from jaxcnn import bench
from jaxcnn.bench._compile_times import PHASES, _smallest_batch, compile_times
from jaxcnn.cli import main
from jaxcnn.cli._compile_times import medians, row
from jaxcnn.models import create, list_models


@pytest.fixture(autouse=True)
def keep_cache_setting() -> object:
    """Restores JAX's cache, which the command turns off for its process."""
    before = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    yield
    jax.config.update("jax_enable_compilation_cache", before)


@pytest.mark.gate  # the doctest of compile_times measures one model
def test_every_phase_is_measured_and_cold() -> None:
    first, second, other = compile_times("lenet5"), compile_times("lenet5"), compile_times("convnetjs_cifar10", batch=2)
    for found in (first, second, other):
        assert list(found["seconds"]) == list(PHASES)
        # The second measurement reuses nothing of the first: it compiles again, which takes far longer than a step.
        assert found["seconds"]["compile"] > 10 * found["seconds"]["second_step"]
    assert second["seconds"]["trace"] > 0.2 * first["seconds"]["trace"]
    assert first["input"] == [1, 32, 32, 1] and other["input"] == [2, 32, 32, 3]


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="batch=0 must be at least 1"):
        compile_times("lenet5", batch=0)


def test_a_detector_is_refused() -> None:
    with pytest.raises(
        ValueError, match="fasterrcnn_vgg16 gives no logits, and the step that is measured has the cross"
    ):
        compile_times("fasterrcnn_vgg16")


@pytest.mark.parametrize(("name", "smallest"), [("fcn_resnet50", 1), ("deeplabv3_resnet50", 2)])
def test_a_model_that_refuses_one_image_is_given_two(name: str, smallest: int) -> None:
    model = create(name, stage_sizes=(1, 1, 1, 1), width=1)
    assert _smallest_batch(model, (33, 33, 3)) == smallest


def made(name: str, seconds: float = 1.0) -> dict[str, object]:
    return {"name": name, "input": [1, 8, 8, 1], "seconds": dict.fromkeys(PHASES, seconds)}


def test_rows_and_medians() -> None:
    assert row(made("a")) == ["a", "1x8x8x1", *["1.00"] * 5]
    assert medians([made("a", 1), made("b", 5), made("c", 2)])[2:] == ["2.00"] * 5


def test_the_verb_prints_a_table_and_adds_to_its_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "new" / "compile.json"
    with mock.patch.object(bench, "compile_times", side_effect=made):
        assert main(["bench", "lenet5", "--compile", "--json", str(file)]) == 0
        assert main(["bench", "resnet1*_cifar", "--compile", "--json", str(file), "--append"]) == 0
    out = capsys.readouterr().out
    assert "1/2  resnet110_cifar  compiled in 1.0 s" in out and "first step s" in out and "median" in out
    found = json.loads(file.read_text(encoding="utf-8"))
    assert [each["name"] for each in found["results"]] == ["lenet5", "resnet110_cifar", "resnet18_cifar"]
    file.write_text(json.dumps(found | {"machine": found["machine"] | {"cores": -1}}), encoding="utf-8")
    assert main(["bench", "lenet5", "--compile", "--json", str(file), "--append"]) == 2
    assert "measured on another machine" in capsys.readouterr().err


def test_ctrl_c_keeps_what_was_measured(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "compile.json"
    with mock.patch.object(bench, "compile_times", side_effect=[made("lenet5"), KeyboardInterrupt]):
        assert main(["bench", "lenet5*", "--compile", "--json", str(file)]) == 130
    assert "stopped; what was measured is kept" in capsys.readouterr().out
    assert len(json.loads(file.read_text(encoding="utf-8"))["results"]) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lenet6"], "no model's name matches 'lenet6'. Did you mean 'lenet5'?"),
        (["lenet5", "--append"], "--append adds to the file of --json; name it."),
        (["--tune"], "--tune and --compile measure different things: use one of them."),
    ],
)
def test_mistakes_end_in_one_sentence(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--compile", *words]) == 2
    assert message in capsys.readouterr().err


def test_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "vgg1?_bn", "--compile", "--list"]) == 0
    assert capsys.readouterr().out.split() == ["model", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"]


def test_the_page_is_what_was_measured() -> None:
    docs = Path(__file__).parent.parent.parent / "docs"
    report, costs = (
        json.loads((docs / "bench" / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("compile_times", "compile_costs")
    )
    assert (docs / "compile_times.md").read_text(encoding="utf-8") == page(report, costs)
    measured = [each["name"] for each in report["results"]]
    assert measured == [name for name in list_models() if name in measured]
