"""Every variant with every seed, stopped or not, and the results file of the runs."""

import dataclasses
import json
import math
import os
import re
import shlex
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from jaxcnn.cli import _in_turn, _results, main
from jaxcnn.cli._figures import results_of
from jaxcnn.train import RunFolder, config_of, find_experiment
from tests.cli.conftest import TINY
from tests.train import runs

VARIANTS = TINY.with_name("tiny_variants.py")


def changed(run: Path, folder: Path, *, gain: float, measured: list[float]) -> Path:
    """A copy of a run with a changed accuracy, and with measured figures."""
    shutil.copytree(run, folder)
    lines = RunFolder(run).metrics.read()
    lines[-1]["test/accuracy"] += gain
    RunFolder(folder).metrics.restore(lines)
    (folder / "measured.json").write_text(json.dumps({"norms": measured, "norm": measured[0]}), encoding="utf-8")
    return folder


def test_a_results_file_has_mean_and_deviation_of_metrics_and_measured_values_by_variant(
    tiny_run: Path, tmp_path: Path
) -> None:
    values = np.array([[0.25, 4.0], [0.5, 7.0], [1.0, 1.0]])
    gains = np.array([0.0, 0.02, -0.05])
    runs = [
        changed(tiny_run, tmp_path / f"seed-{seed}", gain=gain, measured=measured.tolist())
        for seed, (gain, measured) in enumerate(zip(gains, values, strict=True))
    ]
    result = results_of("tiny", {"first": dict.fromkeys(runs, 2.0), "second": {runs[2]: None}})
    first, second = result["variants"]["first"], result["variants"]["second"]
    before = RunFolder(tiny_run).metrics.read()
    accuracies = before[-1]["test/accuracy"] + gains
    assert first["seeds"] == 3 and first["test/accuracy"] == pytest.approx(
        {"mean": accuracies.mean(), "std": accuracies.std(ddof=1), "min": min(accuracies), "max": max(accuracies)},
        abs=1e-6,
    )
    assert first["measured"]["norms"]["mean"] == pytest.approx(values.mean(0), rel=1e-5)
    assert first["measured"]["norms"]["std"] == pytest.approx(values.std(0, ddof=1), rel=1e-5)
    assert first["measured"]["norm"]["std"] == pytest.approx(values[:, 0].std(ddof=1), rel=1e-5)
    assert first["runs"][1]["measured"]["norms"] == values[1].tolist()
    assert first["runs"][1]["history"]["step"] == [record["step"] for record in before]
    assert first["wall_seconds"]["mean"] == 2 and "wall_seconds" not in second
    assert second["measured"]["norms"] == {"mean": values[2].tolist(), "std": [0.0, 0.0]}
    row_of_first, row_of_second = _results.rows([result])
    assert row_of_first[0] == "tiny, first" and f"{100 * accuracies.mean():.2f} ± " in row_of_first[1]
    assert row_of_first[2] == "0.5833 ± 0.38 norm" and row_of_second[4] == "not known"
    cost, *lines = _results.head_lines(result)
    assert cost.startswith("cost    0:02 a run on ")
    assert [line.split(":")[0] for line in lines] == ["result  first", "result  second"]


def test_an_experiment_without_variants_has_its_figures_at_the_top(tiny_run: Path) -> None:
    result = results_of("tiny", {"": {tiny_run: None}})
    assert "variants" not in result and "wall_seconds" not in result
    assert result["test/accuracy"]["std"] == 0 and result["settings"]["epochs"] == 12
    assert "not known" in _results.row(result)
    others = {name: value for name, value in result.items() if name not in ("test/accuracy", "test/error")}
    psnr, norm = ({"mean": mean, "std": 0.0} for mean in (20.5, 3.0))
    cost, figures = _results.head_lines({**others, "test/psnr": psnr, "measured": {"norm": norm}})
    assert cost.startswith("cost    not known (several starts, or a busy machine), ")
    assert figures == "result  3 norm, 20.5000 psnr over 1 seed"


def test_variants_are_shown_and_refused_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_in_turn, "wait_for", lambda *_: pytest.fail("a run was started"))
    assert main(["show", str(VARIANTS)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["averaged", "the", "defaults"] in lines and ["plain", "ema_decay=0.0"] in lines
    assert main(["show", str(VARIANTS), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["variants"] == {"averaged": {}, "plain": {"ema_decay": 0.0}}
    for words, message in (
        (["--variant", "plane"], "tiny_variants has no variant 'plane'. Did you mean 'plain'?"),
        (["--set", "epoch=3"], "there is no setting 'epoch'. Did you mean 'epochs'?"),
        (
            ["--variant", "plain", "--set", "ema_decay=0.5"],
            "--set ema_decay=0.5: the variants of tiny_variants differ in ema_decay, so that 'plain' would not be what "
            "its name says. Train without a variant to set it, with jaxcnn train tiny_variants --set ema_decay=0.5, or "
            "add a variant to a copy of the experiment.",
        ),
    ):
        assert main(["repeat", str(VARIANTS), *words]) == 2
        assert message in capsys.readouterr().err
    text = VARIANTS.read_text(encoding="utf-8")
    (tmp_path / "tiny.py").write_text(TINY.read_text(encoding="utf-8"), encoding="utf-8")
    mistaken = tmp_path / "mistaken.py"
    for variants, message in (
        (
            '{"plain": {"ema_decays": 0}}',
            "VARIANTS['plain']: there is no setting 'ema_decays'. Did you mean 'ema_decay",
        ),
        ('{"plain": {"ema_decay": "no"}}', "VARIANTS['plain']: setting ema_decay: expected float, got 'no' (str)"),
        ('{"a/b": {}}', "VARIANTS has the name 'a/b'. A variant's name is the name of a folder"),
        ('{"other": {"seed": 1}}', "VARIANTS['other'] sets the seed"),
        ('["plain"]', "VARIANTS is ['plain'], expected a dict of dicts of settings"),
    ):
        mistaken.write_text(re.sub("(?m)^VARIANTS = .*$", f"VARIANTS = {variants}", text), encoding="utf-8")
        assert main(["repeat", str(mistaken)]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.gate
def test_a_repeat_that_was_stopped_continues_across_variants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first variant is trained in one process.

    The second is stopped and resumed in another one.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").mkdir()
    output = tmp_path / "experiments" / "results" / "tiny_variants.json"
    waits = _in_turn.wait_for

    def stopped_in_plain(command: list[str], output: int | None) -> int:
        if "plain" not in command:
            return waits(command, output)
        file = find_experiment(str(VARIANTS))
        config = config_of(file, ["epochs=2", "seed=0"], variant="plain")
        run = RunFolder.create(Path(command[command.index("--run-dir") + 1]), file, dataclasses.asdict(config))
        assert runs.train(run, file.build(config), stop_after=8).metrics is None
        return 128 + signal.SIGTERM

    words = ["repeat", str(VARIANTS), "--seeds", "1", "--set", "epochs=2", "--run-dir", "two"]
    monkeypatch.setattr(_in_turn, "wait_for", stopped_in_plain)
    assert main(words) == 128 + signal.SIGTERM
    assert not output.exists()
    *_, advice, command = capsys.readouterr().out.splitlines()
    assert advice == "stopped; finished runs and the state of the stopped one are kept. Continue with:"
    assert shlex.split(command) == ["jaxcnn", *words]

    monkeypatch.setattr(_in_turn, "wait_for", waits)
    assert main(words) == 0
    assert "two/averaged/seed-0 is trained" in capsys.readouterr().out
    result = json.loads(output.read_text(encoding="utf-8"))
    averaged, plain = result["variants"]["averaged"], result["variants"]["plain"]
    assert averaged["settings"] == {"ema_decay": 0.9} and plain["settings"] == {"ema_decay": 0.0}
    assert result["settings"]["epochs"] == 2 and "ema_decay" not in result["settings"]
    for name, found in (("averaged", averaged), ("plain", plain)):
        folder = Path("two") / name / "seed-0"
        (run,) = found["runs"]
        assert (run["seed"], run["epochs"], run["steps"]) == (0, 2, 12)
        assert run["test/accuracy"] == RunFolder(folder).metrics.read()[-1]["test/accuracy"]
        assert run["measured"] == json.loads((folder / "measured.json").read_text(encoding="utf-8"))
        assert len(found["measured"]["norms"]["mean"]) == 10
    assert averaged["runs"][0]["wall_seconds"] > 1 and plain["runs"][0]["wall_seconds"] is None

    monkeypatch.setattr(_in_turn, "wait_for", lambda *_: pytest.fail("a run was started"))
    assert main([*words, "--set", "epochs=3"]) == 2
    message = "two/averaged/seed-0 holds a run that differs in epochs. Name another folder with --run-dir DIR."
    assert message in capsys.readouterr().err
    assert main([*words, "--variant", "plain"]) == 0  # it does not replace the file of all variants
    alone = json.loads((output.parent / "tiny_variants" / "plain.json").read_text(encoding="utf-8"))
    assert list(alone["variants"]) == ["plain"] and list(result["variants"]) == ["averaged", "plain"]
    assert main(["results", "--markdown"]) == 0
    table = capsys.readouterr().out
    assert "| tiny_variants, averaged |" in table and "| tiny_variants, plain |" in table


def test_a_seed_among_the_settings_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The counted seeds would replace it."""
    monkeypatch.chdir(tmp_path)
    assert main(["repeat", str(TINY), "--set", "seed = 5"]) == 2
    assert "--set seed = 5: the seeds are 0 to N-1 of --seeds N. Train one seed" in capsys.readouterr().err
    assert not Path("runs").exists()


@pytest.mark.parametrize("loss", [math.nan, math.inf, 1.25e-7])
def test_figures_that_are_not_finite_or_small_are_in_the_results(tmp_path: Path, loss: float) -> None:
    """``statistics.stdev`` raises an AttributeError for NaN, which would come after all seeds are trained."""
    file = find_experiment(str(TINY))
    folders = []
    for seed, value in enumerate((2.5e-7, loss)):
        run = RunFolder.create(tmp_path / str(seed), file, vars(config_of(file, [f"seed={seed}"])))
        run.metrics.append({"step": 6, "epoch": 1, "seconds": 1.0, "train/loss": value, "test/loss": value})
        folders.append(run.path)
    result = results_of("tiny", {"": dict.fromkeys(folders)})
    values = np.array([2.5e-7, loss])
    with np.errstate(invalid="ignore"):
        expected = {"mean": values.mean(), "std": values.std(ddof=1), "min": values.min(), "max": values.max()}
    assert result["test/loss"] == pytest.approx(expected, rel=1e-5, abs=0, nan_ok=True)
    assert result["runs"][1]["history"]["train/loss"] == pytest.approx([loss], rel=1e-5, abs=0, nan_ok=True)
    assert result["runs"][1]["history"]["step"] == [6]
    assert json.dumps(result["test/loss"]["std"]) != "0.0"


def test_a_run_that_fails_is_named_with_the_command_that_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_in_turn, "wait_for", lambda *_: 2)
    assert main(["repeat", str(TINY), "--set", "epochs=1", "--run-dir", "a run", "--output", "a.json"]) == 2
    assert re.search(
        r"the run in a run/seed-0 \(--set epochs=1 --set seed=0\) ended with status 2. "
        r"To try it again: jaxcnn repeat \S+ --seeds 3 --set epochs=1 --run-dir 'a run' --output a.json",
        capsys.readouterr().err,
    )


SAVES = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), sys.exit(7)))
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""


def test_a_run_receives_a_signal_and_has_time_to_save(tmp_path: Path) -> None:
    ready = tmp_path / "ready"

    def ask() -> None:
        while not ready.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=ask).start()
    assert _in_turn.wait_for([sys.executable, "-c", SAVES, str(ready)]) == 7
