"""``jaxcnn compile``: eight CPU devices stand in for the chips of a topology."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from jaxcnn import train
from jaxcnn.cli import _compile, main
from jaxcnn.train import Collective

TINY = str(Path(__file__).parent.parent / "train" / "tiny.py")
REPORT = train.CompileReport(
    program="training step",
    batch_size=100,
    devices=4,
    device_kind="TPU v5 lite",
    lower_seconds=1.0,
    compile_seconds=2.0,
    flops=197e9,
    bytes_accessed=1638e6,
)


@pytest.fixture
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "target_mesh", lambda topology, axes=None: train.Parallel.over(8).mesh)


@pytest.mark.usefixtures("eight_cpus")
def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["compile", TINY, "--topology", "v5e:2x4", "--per-device-batch", "4", "--streamed", "--json"]
    assert main([*command, "--set", "ema_decay=0"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["mesh"] == {"data": 8} and report["problems"] == [] and report["largest_per_device_batch"] is None
    step, evaluation = report["programs"]
    assert (step["program"], step["batch_size"]) == ("training step", 32)
    assert (evaluation["program"], evaluation["batch_size"]) == ("evaluation", 56)  # 50 images over 8 devices
    assert step["fits"] and step["flops"] > evaluation["flops"] / 8 and set(step["collectives"]) == {"all-reduce"}
    assert step["bounds"] == {} and step["moved_activations"] == []  # the peak performance of a CPU is not known


def test_a_table_and_the_problems(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    gather = Collective("all-gather", (10,), 5_000_000, "jit(step)/conv")
    reports: dict[str, Any] = {
        "training step": dataclasses.replace(REPORT, moved=(gather,), collectives=(gather,)),
        "evaluation": dataclasses.replace(REPORT, program="evaluation", too_large="it is too large"),
    }
    monkeypatch.setattr(train, "target_mesh", lambda topology, axes=None: train.Parallel.over(8).mesh)
    monkeypatch.setattr(
        train, "compile_for", lambda experiment, parallel, program="training step", **_: reports[program]
    )
    monkeypatch.setattr(train, "largest_batch", lambda *_, **options: options["start"] + 1)
    command = ["compile", TINY, "--topology", "v5e:2x4", "--largest-batch", "--per-device-batch", "8"]
    assert main(command) == 1
    lines = capsys.readouterr().out.splitlines()
    table = {cells[0]: cells[1:] for cells in (re.split(r"\s{2,}", line.strip()) for line in lines)}
    assert table["fits"] == ["yes", "no"] and table["bound by"] == ["memory"]
    assert table["least time"] == ["2.000 ms"] and table["operations"] == ["197 GFLOP"]
    assert table["exchanged"] == ["all-gather 1 of 5 MB"]
    text = "\n".join(lines)
    assert "the largest batch that fits: 9 examples on each device" in text
    assert (
        "the training step moves activations between devices" in text and "all-gather of 5 MB (jit(step)/conv)" in text
    )
    assert "the evaluation with a batch of 100 does not fit: it is too large. Try a smaller --per-device-batch" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--per-device-batch", "0"], "--per-device-batch 0: expected at least 1 example"),
        (["--mesh", "data"], "--mesh data: expected axes and their sizes, such as data=16"),
        (["--mesh", "a=2,a=4"], "--mesh a=2,a=4: expected axes"),
        (["--topology", "v5e"], "expected a topology, got 'v5e'. Write the generation"),
    ],
)
def test_refused(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", TINY, "--topology", "v5e:2x4", *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("eight_cpus")
def test_pmap_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", TINY, "--topology", "v5e:2x4", "--spelling", "pmap"]) == 2
    assert "a pmap cannot be compiled for devices that are not present" in capsys.readouterr().err


def test_a_mesh_of_several_axes() -> None:
    assert _compile.read_mesh("host=4,chip=2") == {"host": 4, "chip": 2}
