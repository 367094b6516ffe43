"""``train --resume RUN --extend`` and ``train --from RUN``."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest
from PIL import Image

from jaxcnn.cli import main
from jaxcnn.train._devices import Parallel
from jaxcnn.train._early_stopping import EarlyStopping
from jaxcnn.train._errors import ConfigError, RunError
from jaxcnn.train._extend import extend_run, next_rates
from jaxcnn.train._optim import with_schedule
from jaxcnn.train._runs._discover import load_experiment
from jaxcnn.train._runs._folder import RunFolder
from jaxcnn.train._start import started_again, starting_from
from jaxcnn.train._state import create_state
from jaxcnn.train._trained import load_trained
from tests.cli.conftest import TINY
from tests.data.test_folder import fill
from tests.tiers import default_rows
from tests.train import runs
from tests.train.test_early_stopping import with_validation

FILE = load_experiment(TINY)


def trained(folder: Path, **settings: Any) -> RunFolder:
    """A finished run of the tiny experiment."""
    config = FILE.config_class(**settings)
    run = RunFolder.create(folder, FILE, dataclasses.asdict(config), {})
    runs.train(run, FILE.build(config))
    return run


@pytest.fixture(scope="module")
def two_epochs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("two") / "run", epochs=2).path


def copied(run: Path, folder: Path) -> RunFolder:
    shutil.copytree(run, folder)
    return RunFolder.open(folder)


@pytest.mark.gate
def test_an_extended_run_is_the_longer_run_bit_for_bit(
    two_epochs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The schedule of the tiny experiment does not depend on the number of steps, so both runs have equal steps."""
    whole = trained(tmp_path / "whole", epochs=4)
    extended = copied(two_epochs, tmp_path / "extended")
    before = json.loads((extended.path / "config.json").read_text(encoding="utf-8"))
    assert main(["train", "--resume", str(extended.path), "--extend", "epochs=4"]) == 0
    out = capsys.readouterr().out
    assert "from step 12 on: epochs was 2 and is 4; 24 steps in all; learning rate was " in out
    after = json.loads((extended.path / "config.json").read_text(encoding="utf-8"))
    assert after == {**before, "extended": [{"step": 12, "settings": {"epochs": 4}}]} and after["epochs"] == 2
    experiment = FILE.build(FILE.config_class(epochs=4))
    runs.assert_same(runs.final_state(whole, experiment), runs.final_state(extended, experiment))
    assert runs.without_seconds(whole) == runs.without_seconds(extended)
    warnings = extended.path / "warnings.log"  # the change was requested, so it is no warning
    assert not warnings.exists() or "epochs was 2 and is 4" not in warnings.read_text(encoding="utf-8")
    # For every command, the run has four epochs; the same command again does nothing.
    assert load_trained(extended, "last").experiment.epochs == 4
    assert main(["train", "--resume", str(extended.path), "--extend", "epochs=6"]) == 0
    assert json.loads((extended.path / "config.json").read_text(encoding="utf-8"))["extended"] == [
        {"step": 12, "settings": {"epochs": 4}},
        {"step": 24, "settings": {"epochs": 6}},
    ]


@pytest.mark.gate
def test_an_extended_run_that_is_stopped_continues_bit_for_bit(two_epochs: Path, tmp_path: Path) -> None:
    whole, stopped = (copied(two_epochs, tmp_path / name) for name in ("whole", "stopped"))
    config = FILE.config_class(epochs=4)
    experiment, settings = FILE.build(config), dataclasses.asdict(config)
    for run in (whole, stopped):
        extend_run(run, experiment, settings, Parallel.over(1))
    runs.train(whole, experiment)
    assert runs.train(stopped, experiment, stop_after=8).step == 20
    assert "has these settings already; it continues at step 20" in extend_run(
        stopped, experiment, settings, Parallel.over(1)
    )
    runs.train(stopped, experiment)
    runs.assert_same(runs.final_state(whole, experiment), runs.final_state(stopped, experiment))


def test_the_rates_of_both_schedules_are_named(two_epochs: Path, tmp_path: Path) -> None:
    """A schedule to zero over all steps ends at zero; with twice the epochs it is half way there."""
    run = copied(two_epochs, tmp_path / "run")
    config = FILE.config_class(epochs=4)
    built = FILE.build(config)
    schedule = optax.linear_schedule(0.1, 0.0, 24)
    experiment = dataclasses.replace(
        built, optimizer=with_schedule(optax.adamw, schedule, weight_decay=0.01, mask=lambda params: True)
    )
    found = next_rates(experiment, runs.final_state(run, built))
    assert found == pytest.approx({"learning_rate": 0.1 * (1 - 12 / 24)})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["epochs=1"], "is at step 12, and these settings give it 6 steps. Give it more, such as --extend epochs=3."),
        (["epochs=2"], "is at step 12, and these settings give it 12 steps"),
        (["epochs=4", "batch_size=20"], "was trained with batch_size 16, but this run has 20"),
        (["epochs=4", "seed=1"], "was trained with seed 0, but this run has 1"),
        (["epochs=4", "ema_decay=0"], "does not fit this model"),
        (["epoch=4"], "there is no setting 'epoch'. Did you mean 'epochs'?"),
    ],
)
def test_extensions_that_would_not_continue_the_run_are_refused_and_leave_nothing(
    two_epochs: Path, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copied(two_epochs, tmp_path / "run")
    before = (run.path / "config.json").read_bytes()
    options = [each for word in words for each in ("--extend", word)]
    assert main(["train", "--resume", str(run.path), *options]) == 2
    assert message in capsys.readouterr().err
    assert (run.path / "config.json").read_bytes() == before


def test_more_epochs_do_not_continue_a_run_that_early_stopping_has_ended(two_epochs: Path, tmp_path: Path) -> None:
    """The run would end at once, with other settings in its record."""
    run = copied(two_epochs, tmp_path / "run")
    run.metrics.restore([{**record, "val/loss": 1.0} for record in run.metrics.read()])
    before = run.settings()
    config = FILE.config_class(epochs=4)
    for patience, kind, message in (
        (
            1,
            ConfigError,
            r"was ended by early stopping: val/loss has not improved for 1 epochs\. It continues only with",
        ),
        (2, RunError, "was trained with dataset"),  # the data set without a validation split
    ):
        experiment = with_validation(config, EarlyStopping(metric="loss", patience=patience))
        with pytest.raises(kind, match=message):
            extend_run(run, experiment, dataclasses.asdict(config), Parallel.over(1))
    assert run.settings() == before


@pytest.mark.gate
def test_a_new_run_starts_from_the_variables_of_another(
    two_epochs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, new = copied(two_epochs, tmp_path / "source"), tmp_path / "new"
    variables = load_trained(source, "last").variables
    words = ["train", "--from", str(source.path), "--set", "epochs=1", "--set", "seed=7", "--run-dir", str(new)]
    assert main(words) == 0
    recorded = RunFolder.open(new).recorded()
    assert recorded["from"] == {
        "run": str(source.path.resolve()), "identity": source.identity, "checkpoint": "last", "step": 12,
    }  # fmt: skip
    assert RunFolder.open(new).settings() == {**source.settings(), "epochs": 1, "seed": 7}
    experiment = FILE.build(FILE.config_class(epochs=1, seed=7))
    started, _ = starting_from(experiment, source, "last")
    jax.tree.map(np.testing.assert_array_equal, create_state(started).variables, variables)
    # The run that the command trained equals a run from this starting state.
    again = RunFolder.create(tmp_path / "again", FILE, RunFolder.open(new).settings(), {})
    runs.train(again, started)
    runs.assert_same(runs.final_state(again, experiment), runs.final_state(RunFolder.open(new), experiment))
    # After the first save, the other run is no longer required.
    shutil.rmtree(source.path)
    assert main(["train", "--resume", str(new), "--extend", "epochs=2"]) == 0
    capsys.readouterr()


@pytest.mark.gate
def test_a_run_killed_before_its_first_checkpoint_starts_from_the_same_variables_again(
    two_epochs: Path, tmp_path: Path
) -> None:
    source = copied(two_epochs, tmp_path / "source")
    experiment = FILE.build(FILE.config_class(epochs=1, seed=7))
    started, origin = starting_from(experiment, source, "last")
    new = RunFolder.create(tmp_path / "new", FILE, dataclasses.asdict(FILE.config_class(epochs=1)), origin=origin)
    again = started_again(experiment, new)
    jax.tree.map(np.testing.assert_array_equal, create_state(again).variables, create_state(started).variables)
    longer = FILE.config_class(epochs=3)
    extend_run(source, FILE.build(longer), dataclasses.asdict(longer), Parallel.over(1))
    runs.train(source, FILE.build(longer))
    with pytest.raises(RuntimeError, match=r"started from step 12 of the run \w+ in .*, where now is step 18 of the"):
        started_again(experiment, new)


def test_variables_that_do_not_fit_are_refused_by_name_and_leave_nothing(
    two_epochs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new"
    words = ["train", "lenet5_digits", "--from", str(two_epochs), "--run-dir", str(new)]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert f"cannot start from {two_epochs}: the last checkpoint of step 12" in error
    assert "was not saved; " in error and "train.start_from" in error
    assert not new.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--resume", "a", "--from", "b"], "name an experiment, such as lenet5_digits, or a run to continue"),
        (["lenet5_digits", "--extend", "epochs=3"], "--extend changes a run that exists; name it with --resume RUN"),
        (["--from", "a", "--variant", "x"], "--variant selects among the variants of an experiment"),
        (["--resume", "a", "--set", "epochs=3"], "To train it for longer: --extend epochs=N."),
    ],
)
def test_words_that_do_not_go_together(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *words]) == 2
    assert message in capsys.readouterr().err


FOLDER_EXPERIMENT = """
import dataclasses
import optax
from flax import linen
from jaxcnn import data
from jaxcnn.train import Experiment, classification

@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    seed: int = 0
    epochs: int = 1
    stream: bool = False

class Network(linen.Module):
    @linen.compact
    def __call__(self, x, train=False):
        return linen.Dense(2)(x.reshape(len(x), -1))

def build(config):
    read = data.stream if config.stream else data.load
    images = read("folder:FOLDER", image_size=5, **({"channels": 1} if config.stream else {}))
    return Experiment(
        **classification(Network()), data=images, optimizer=optax.sgd(0.1), epochs=config.epochs, batch_size=2,
        seed=config.seed,
    )
"""


@pytest.mark.parametrize("stream", default_rows(["false", "true"], keep=["false"]))
def test_a_run_whose_files_changed_names_them_and_another_can_start_from_it(
    tmp_path: Path, stream: str, capsys: pytest.CaptureFixture[str]
) -> None:
    images, file, run = tmp_path / "images", tmp_path / "of_a_folder.py", tmp_path / "run"
    for split in ("train", "test"):
        fill(images / split, {"ant": 3, "bee": 3})
    file.write_text(FOLDER_EXPERIMENT.replace("FOLDER", str(images)), encoding="utf-8")
    assert main(["train", str(file), "--set", f"stream={stream}", "--run-dir", str(run)]) == 0
    (images / "train" / "ant" / "000.png").unlink()
    (images / "train" / "bee" / "000.png").rename(images / "train" / "bee" / "900.png")
    Image.new("L", (5, 5), 77).save(images / "test" / "ant" / "001.png")
    capsys.readouterr()
    for words in ([], ["--extend", "epochs=2"]):
        assert main(["train", "--resume", str(run), *words]) == 2
        error = capsys.readouterr().err
        assert f"start a new run from its variables: jaxcnn train --from {run}" in error
        assert (
            "Since then 1 file was added (train/bee/900.png), 2 files were removed (train/ant/000.png, "
            "train/bee/000.png), 1 file was changed (test/ant/001.png)."
        ) in error
    assert main(["train", "--from", str(run), "--run-dir", str(tmp_path / "new")]) == 0
    assert RunFolder.open(tmp_path / "new").origin is not None
