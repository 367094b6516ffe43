"""The README stays correct: its examples run, its results equal the files, and every command shown exists."""

import doctest
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from docs.results import pages, with_results
from jaxcnn.cli._main import build_parser, main
from jaxcnn.cli._results import head_lines, read_results
from jaxcnn.train import find_experiment

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"


def between(mark: str) -> str:
    """The text of the README between a mark and its end."""
    found = re.search(rf"<!-- {mark} -->\n(.*?)<!-- end -->", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None, f"the README lost its mark {mark!r}"
    return found.group(1)


UCR = ROOT.parent / "shared" / "data" / "ucr.zip"


def command(mark: str) -> str:
    return between(mark).replace("```bash", "").replace("```", "").strip()


@pytest.mark.gate
def test_examples_run() -> None:
    assert doctest.testfile(str(README), module_relative=False).failed == 0


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_tables_are_what_the_results_say(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(README.parent)
    text = page.read_text(encoding="utf-8")
    assert with_results(text, read_results()) == text, "run python -m docs.results"


def test_a_page_with_all_results_and_one_with_those_of_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(README.parent)
    results = read_results()
    text = with_results("<!-- results -->\n<!-- end -->\n<!-- results lenet5_digits -->\n<!-- end -->\n", results)
    assert text.count("lenet5_digits |") == 2 and text.count("lenet5_mnist |") == 1
    with pytest.raises(ValueError, match=r"there are no results of nothing\."):
        with_results("<!-- results nothing -->\n<!-- end -->\n", results)


def test_a_table_of_measured_values_has_a_row_for_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(README.parent)
    variants = {"a": {"measured": {"iou_of_classes": {"mean": [0.5] * 10 + [1.0]}}}, "b": {}}
    results = [{"experiment": "segment_camvid", "variants": variants}]
    marks = "<!-- measured segment_camvid {} CLASSES -->\n<!-- end -->\n"
    lines = with_results(marks.format("iou_of_classes"), results).splitlines()
    assert lines[1:4] == ["|  | a |", "| --- | --- |", "| sky | 50.0 |"]
    assert lines[-3:-1] == ["| cyclist | 100.0 |", "| mean | 54.5 |"]
    with pytest.raises(ValueError, match=r"no variant of segment_camvid has measured time\."):
        with_results(marks.format("time"), results)


def test_a_grid_of_measured_numbers() -> None:
    measured = {name: {"mean": value} for name, value in {"one_a": 0.1, "one_b": 0.25, "two_a": 1, "two_b": 0}.items()}
    page = with_results(
        "<!-- grid each one,two a,b -->\n<!-- end -->\n", [{"experiment": "each", "measured": measured}]
    )
    assert page.splitlines()[1:5] == [
        "|  | a | b |",
        "| --- | --- | --- |",
        "| one | 0.100 | 0.250 |",
        "| two | 1.000 | 0.000 |",
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "experiments" / "results").glob("*.json")), ids=lambda path: path.stem)
def test_the_head_of_an_experiment_is_what_its_results_say(path: Path) -> None:
    result = json.loads(path.read_text(encoding="utf-8"))
    head = find_experiment(result["experiment"]).doc
    assert [line for line in head_lines(result) if line not in head] == []


def in_one_line(text: str) -> str:
    return " ".join(text.split())


def files_of_one_variant() -> list[Path]:
    """Those that ``jaxcnn results`` shows; the others in these folders belong to reports."""
    paths = sorted((ROOT / "experiments" / "results").glob("*/*.json"))
    return [
        path for path in paths if [path.stem] == list(json.loads(path.read_text(encoding="utf-8")).get("variants", {}))
    ]


@pytest.mark.parametrize("path", files_of_one_variant(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_head_of_an_experiment_has_the_figures_of_each_variant_in_a_file_of_its_own(path: Path) -> None:
    """Each has its own cost, of which the head gives one; lines may be broken."""
    result = json.loads(path.read_text(encoding="utf-8"))
    head = in_one_line(find_experiment(result["experiment"]).doc)
    _, *figures = head_lines(result)
    assert [line for line in figures if in_one_line(line) not in head] == []


def variant(experiment: str, name: str) -> dict[str, Any]:
    path = ROOT / "experiments" / "results" / experiment / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["variants"][name]


def test_the_figures_in_the_text_about_segmentation_are_those_of_the_results() -> None:
    page = in_one_line((ROOT / "docs" / "tasks" / "segmentation.md").read_text(encoding="utf-8"))
    first, second, third = variant("segment_digits", "refinement")["measured"]["mean_iou_of_repetitions"]["mean"]
    repetitions = f"{100 * first:.2f}, {100 * second:.2f} and {100 * third:.2f} %"
    assert repetitions in page and repetitions in in_one_line(find_experiment("segment_digits").doc)
    head = in_one_line(find_experiment("segment_camvid").doc)
    found = {name: variant("segment_camvid", name) for name in find_experiment("segment_camvid").variants}
    held_out = {name: f"{100 * each['runs'][0]['val/mean_iou']:.2f}" for name, each in found.items()}
    *most, last = held_out.values()
    assert f"is {', '.join(most)} and {last} %, in the same order" in head
    standardized, mild = held_out["deeplab_standardized"], held_out["deeplab_mildly_balanced"]
    assert f"the mean IoU is {standardized} instead of {mild} %" in page
    assert f"it is {held_out['deeplab_decoder']} %" in page
    on_test = {name: each["test/mean_iou"]["mean"] for name, each in found.items()}
    one, views = found["deeplab_views"]["measured"]["mean_iou_of_one_view_and_all"]["mean"]
    assert views == pytest.approx(on_test["deeplab_views"], abs=1e-5)
    assert f"gives {100 * one:.2f} % on the test images" in page and f"gives {100 * views:.2f} %:" in page
    best = max(on_test["deeplab_standardized"], on_test["deeplab_decoder"])
    assert best - on_test["deeplab_mildly_balanced"] < 0.003 and "neither helps by more than 0.3 points" in page
    for name in ("unet", "deeplab"):
        plain, weighted = on_test[name], on_test[f"{name}_mildly_balanced"]
        assert f"from {100 * plain:.2f} to {100 * weighted:.2f} % for the" in page
    assert f"and the mean IoU is {100 * on_test['unet_balanced']:.2f} %" in page
    classes = find_experiment("segment_camvid").build_function.__globals__["CLASSES"]
    balanced = dict(zip(classes, found["unet_balanced"]["measured"]["iou_of_classes"]["mean"], strict=True))
    assert f"the IoU of buildings falls to {100 * balanced['building']:.1f} %" in page
    iou = dict(zip(classes, found["unet"]["measured"]["iou_of_classes"]["mean"], strict=True))
    assert iou["cyclist"] == 0 and max(iou[name] for name in ("pole", "sign", "fence")) < 0.04
    first, second, third = found["refinement"]["measured"]["mean_iou_of_repetitions"]["mean"]
    repetitions = f"{100 * first:.2f}, {100 * second:.2f} and {100 * third:.2f} % "
    assert repetitions.strip() in page and repetitions + "on the test images" in head


def test_the_precisions_of_retrieval_are_those_of_the_results() -> None:
    path = ROOT / "experiments" / "results" / "retrieve_unseen_classes.json"
    found = {name: value["mean"] for name, value in json.loads(path.read_text(encoding="utf-8"))["measured"].items()}
    assert found["best"] == found["map3_mac"] and found["best"] > found["pixels"] + 0.2
    head = in_one_line(find_experiment("retrieve_unseen_classes").doc)
    assert f"{found['best']:.3f} by the maxima of the last map, {found['best_pca_32']:.3f} of these in 32" in head
    assert f"{found['pixels']:.3f} by pixels, {found['untrained']:.3f} by the untrained network" in head


@pytest.mark.skipif(not UCR.is_file(), reason="the sets of the archive are not there")
def test_the_page_about_series_says_how_many_permuted_labels_are_right() -> None:
    file = find_experiment("series_ucr")
    configs = [file.config_class(archive=str(UCR), permuted=permuted) for permuted in (False, True)]
    labels, permuted = (file.build(config).data.train["label"] for config in configs)
    page = in_one_line((ROOT / "docs" / "tasks" / "series.md").read_text(encoding="utf-8"))
    assert f"of which {(labels == permuted).sum()} of {len(labels)} happen to be right" in page


@pytest.mark.parametrize("mark", ["main command", "test command"])
def test_both_commands_are_one_line_that_sets_up_an_environment(mark: str) -> None:
    steps = command(mark).split(" && ")
    assert "\n" not in command(mark)
    assert steps[0] == "python3 -m venv .venv" and steps[1].startswith(".venv/bin/pip install ")


@pytest.mark.gate  # .ci/run runs both commands word for word; here the last step of the first one runs, shortened
def test_the_first_command_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, *words = shlex.split(command("main command").split(" && ")[-1])
    assert program == ".venv/bin/jaxcnn"
    assert main([*words, "--set", "epochs=1", "--run-dir", str(tmp_path / "run")]) == 0
    assert "test accuracy" in capsys.readouterr().out


def test_every_command_shown_is_understood() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in [README, *(ROOT / "docs").rglob("*.md")])
    text = re.sub(r"\\\n *", "", text)  # commands of several lines
    shown = re.findall(r"^(?:\| `)?jaxcnn ([^`#\n]*)", text, re.MULTILINE)
    assert len(shown) >= 25
    for words in shown:
        words = words.replace("...", "")
        if words.strip() not in ("list", "results"):
            build_parser().parse_args(shlex.split(words))
