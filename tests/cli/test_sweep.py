"""Every combination of some settings: the runs that are trained, the files, and the selected variant."""

import json
import re
from pathlib import Path

import pytest

from jaxcnn.cli import _in_turn, main
from jaxcnn.cli._sweep import choose, read_grid
from jaxcnn.train import ConfigError, RunFolder, config_of, find_experiment
from tests.cli.conftest import TINY

# The last epoch of a run by its learning rate and batch size. The best loss and the best accuracy are in different
# runs.
FIGURES = {
    ("0.02", "16"): {"val/loss": 0.5, "val/accuracy": 0.75, "test/loss": 0.6, "test/accuracy": 0.5},
    ("0.02", "20"): {"val/loss": 0.7, "val/accuracy": 0.875, "test/loss": 0.5, "test/accuracy": 0.625},
    ("0.5", "16"): {"val/loss": 0.25, "val/accuracy": 0.5, "test/loss": 0.4, "test/accuracy": 1.0},
}
WORDS = ["--over", "peak_lr=0.02,5e-1", "--over", "batch_size=16,20", "--set", "epochs=2", "--run-dir", "grid"]


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of the runs, which are not trained: each command records ``FIGURES``, and the fourth one fails."""
    monkeypatch.chdir(tmp_path)
    commands: list[list[str]] = []

    def record(command: list[str], output: int | None) -> int:
        commands.append(command)
        settings = [command[place + 1] for place, word in enumerate(command) if word == "--set"]
        values = dict(text.split("=") for text in settings)
        figures = FIGURES.get((values["peak_lr"], values["batch_size"]))
        if figures is None:
            return 2
        file = find_experiment(str(TINY))
        folder = Path(command[command.index("--run-dir") + 1])
        run = RunFolder.create(folder, file, vars(config_of(file, settings)))
        run.metrics.append({"step": 12, "epoch": 2, "seconds": 1.0, "train/loss": 0.1, **figures})
        return 0

    monkeypatch.setattr(_in_turn, "wait_for", record)
    return commands


def test_the_grid_is_trained_written_and_chosen_from_by_the_validation_split(
    trained: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", str(TINY), *WORDS]) == 0
    folders = [command[command.index("--run-dir") + 1] for command in trained]
    assert folders[1] == "grid/peak_lr=0.02,batch_size=20/seed-0" and len(folders) == 4
    out, err = capsys.readouterr()
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "peak_lr batch_size val/accuracy test/accuracy"
    assert lines[1:5] == ["0.02 16 75.00 % 50.00 %", "0.02 20 87.50 % 62.50 %", "0.5 16 50.00 % 100.00 %",
                          "0.5 20 failed failed"]  # fmt: skip
    assert lines[5] == "best by val/accuracy: peak_lr=0.02 batch_size=20 (0.8750)"
    assert "ended with status 2. To try it again: jaxcnn sweep" in err
    result = json.loads(Path("grid/sweep.json").read_text(encoding="utf-8"))
    assert result["over"] == {"peak_lr": ["0.02", "0.5"], "batch_size": ["16", "20"]}
    assert result["failed"] == ["peak_lr=0.5 batch_size=20"]
    assert result["chosen"] == {"by": "val/accuracy", "variant": "peak_lr=0.02 batch_size=20", "mean": 0.875}
    assert result["variants"]["peak_lr=0.5 batch_size=16"]["settings"] == {"batch_size": 16, "peak_lr": 0.5}
    assert result["settings"]["epochs"] == 2

    # The second call keeps finished runs. Another metric selects another variant. Only JSON is printed to standard
    # output.
    assert main(["sweep", str(TINY), *WORDS, "--by=-val/loss", "--json"]) == 0
    out, err = capsys.readouterr()
    assert len(trained) == 5 and "grid/peak_lr=0.02,batch_size=16/seed-0 is trained" in err
    again = json.loads(out)
    assert again["chosen"]["variant"] == "peak_lr=0.5 batch_size=16"
    assert "runs" not in again["variants"]["peak_lr=0.5 batch_size=16"]


def test_without_a_validation_split_nothing_is_chosen(
    trained: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for values, figures in list(FIGURES.items()):
        tested = {name: value for name, value in figures.items() if name.startswith("test/")}
        monkeypatch.setitem(FIGURES, values, tested)
    assert main(["sweep", str(TINY), *WORDS]) == 0
    assert "nothing is chosen: there is no validation split" in capsys.readouterr().out
    assert json.loads(Path("grid/sweep.json").read_text(encoding="utf-8"))["chosen"] is None
    assert main(["sweep", str(TINY), *WORDS, "--by", "test/accuracy"]) == 0
    assert "best by test/accuracy: peak_lr=0.5 batch_size=16 (1.0000)" in capsys.readouterr().out
    assert main(["sweep", str(TINY), *WORDS, "--by", "val/accuracy"]) == 2
    assert "--by val/accuracy: the runs have the metrics test/loss, test/accuracy." in capsys.readouterr().err


def test_a_diverged_mean_is_never_the_best() -> None:
    runs = {name: {"runs": [{"val/loss": loss}]} for name, loss in (("a", float("nan")), ("b", 0.5), ("c", 0.25))}
    assert choose({"variants": runs}, None) == {"by": "-val/loss", "variant": "c", "mean": 0.25}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--over", "peak=0.1"], "there is no setting 'peak'"),
        (["--over", "peak_lr"], "--over peak_lr: expected KEY=VALUE,VALUE"),
        (["--over", "peak_lr=fast"], "setting peak_lr: expected float, got 'fast'"),
        (["--over", "seed=0,1"], "--over seed=0,1: every combination is trained with the same seeds; give --seeds N."),
        (["--over", "epochs=1,2", "--set", "epochs=3"], "--over epochs=1,2: the setting epochs is given twice."),
        (["--over", "epochs=,"], "--over epochs=,: there is no value. Write KEY=VALUE,VALUE"),
        (["--over", "epochs=1", "--set", "seed=5"], "--set seed=5: the seeds are 0 to N-1 of --seeds N"),
        (["--over", "epochs=1", "--seeds", "0"], "--seeds 0: at least one run is needed."),
    ],
)
def test_mistakes_are_found_before_anything_is_trained(
    trained: list[list[str]], words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", str(TINY), *words]) == 2
    assert message in capsys.readouterr().err
    assert not trained and not Path("runs").exists()


def test_values_of_tuples_have_semicolons_between_them() -> None:
    import dataclasses

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Config:
        widths: tuple[int, ...] = (8,)
        crop: tuple[int, int] | None = None
        rate: float | None = 0.1

    assert read_grid(Config, ["widths=8,16; 4", "crop=24,32;none", "rate=1e-1,.1,2"], []) == {
        "widths": ["8,16", "4"],
        "crop": ["24,32", "none"],
        "rate": ["0.1", "2.0"],
    }
    with pytest.raises(ConfigError, match=re.escape("--over rate=1: the setting rate is given twice")):
        read_grid(Config, ["rate=2", "rate=1"], [])


@pytest.mark.gate
def test_a_sweep_trains_in_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", str(TINY), "--over", "peak_lr=0.03", "--set", "epochs=1", "--run-dir", "one"]) == 0
    result = json.loads(Path("one/sweep.json").read_text(encoding="utf-8"))
    (figures,) = result["variants"].values()
    last = RunFolder(tmp_path / "one" / "peak_lr=0.03" / "seed-0").metrics.read()[-1]
    assert figures["runs"][0]["test/accuracy"] == last["test/accuracy"] and last["epoch"] == 1
