"""The loop trains any objective with a loss: auxiliary heads, two networks, two views without labels, numbers.

Each experiment runs on one device and on eight, and each stopped run ends like an uninterrupted one. Kills:
``test_kills.py``.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import data, train
from jaxcnn.train._reports._progress import epoch_line
from jaxcnn.train._runs._discover import load_experiment
from tests.train.any_loss import EXPERIMENTS, numbers
from tests.train.runs import assert_same, final_state, without_seconds
from tests.train.runs import train as run_training


def run_in(folder: Path, name: str) -> train.RunFolder:
    """An empty run of one of these experiments."""
    source = folder.with_suffix(".py")
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(
        f'"""{name}"""\nimport dataclasses\nfrom tests.train import any_loss\n\n'
        f"@dataclasses.dataclass(frozen=True, kw_only=True)\nclass Config:\n    epochs: int = 3\n\n"
        f"def build(config):\n"
        f"    return dataclasses.replace(any_loss.EXPERIMENTS[{name!r}](), epochs=config.epochs)\n",
        encoding="utf-8",
    )
    return train.RunFolder.create(folder, load_experiment(source), {"epochs": 3})


@pytest.mark.gate
@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_a_run_that_is_stopped_ends_as_the_one_that_was_not(name: str, tmp_path: Path) -> None:
    """The run on one device stops within the second epoch; the record has the metrics of the experiment."""
    experiment = EXPERIMENTS[name]()
    whole, stopped = (run_in(tmp_path / each, name) for each in ("whole", "stopped"))
    assert run_training(whole, experiment).finished
    assert not run_training(stopped, experiment, stop_after=4).finished
    assert run_training(stopped, experiment).finished
    assert without_seconds(whole) == without_seconds(stopped)
    assert_same(final_state(whole, experiment), final_state(stopped, experiment))
    first, *_, last = whole.metrics.read()
    expected = {
        "heads": {"learning_rate", "train/accuracy", "test/accuracy", "test/loss"},
        "networks": {
            "learning_rate/generator",
            "learning_rate/discriminator",
            "train/generator",
            "train/discriminator",
            "test/real",
        },
        "dcgan": {
            "learning_rate/generator",
            "learning_rate/discriminator",
            "train/generator",
            "train/discriminator",
            "test/called_real",
        },
        "views": {"test/norm"},
        "numbers": {"learning_rate", "test/loss", "test/absolute_error", "test/r2"},
    }[name]
    found = {each for each in last if each.startswith(("test/", "train/", "learning_rate"))}
    assert found == expected | {"train/loss", "train/skipped"}
    assert name in ("networks", "dcgan") or last["train/loss"] < first["train/loss"]
    assert (whole.checkpoints / "best").is_dir()


@pytest.mark.gate
@pytest.mark.parametrize(
    ("name", "spelling"),
    [
        (name, spelling)
        for name in EXPERIMENTS
        for spelling in (["jit"] if name == "views" else ["jit", "shard_map", "pmap"])
    ],
)
def test_eight_devices_are_one(name: str, spelling: str, tmp_path: Path) -> None:
    """A loss that compares the examples of a batch compares all of them only under ``jit``, as documented."""
    experiment = dataclasses.replace(EXPERIMENTS[name](), epochs=2)
    one, eight = (run_in(tmp_path / each, name) for each in ("one", "eight"))
    run_training(one, experiment)
    run_training(eight, experiment, parallel=train.Parallel.over(8, spelling=spelling))
    for left, right in zip(without_seconds(one), without_seconds(eight), strict=True):
        assert left.pop("test/called_real", 0) == pytest.approx(
            right.pop("test/called_real", 0), abs=0.2
        )  # the fraction of logits above a threshold
        assert left == pytest.approx(right, rel=1e-3, abs=1e-4)


@pytest.mark.gate
@pytest.mark.parametrize("name", ["networks", "dcgan"])
def test_a_nan_in_the_loss_of_one_network_leaves_no_trace_in_the_other(name: str, tmp_path: Path) -> None:
    experiment = EXPERIMENTS[name]()

    def poisoned(key: jax.Array, batch: Any) -> dict[str, Any]:
        bad = jnp.any(batch["index"] == 5)  # one batch of each epoch
        return {**batch, "image": jnp.where(bad, jnp.nan, batch["image"])}

    run = run_in(tmp_path / "run", name)
    run_training(run, dataclasses.replace(experiment, augment=poisoned))
    assert [record["train/skipped"] for record in run.metrics.read()] == [1, 1, 1]
    state = final_state(run, experiment)
    for leaf in jax.tree.leaves((state.params, state.collections, state.opt_state)):
        assert np.isfinite(leaf).all()
    count = [leaf for leaf in jax.tree.leaves(state.opt_state) if leaf.dtype == np.int32]
    assert {int(each) for each in count} == {6}  # both optimizers have left out the same three steps


@pytest.mark.gate
def test_accumulation_and_a_loss_scale_are_for_any_loss(tmp_path: Path) -> None:
    experiment = dataclasses.replace(numbers(), epochs=1)
    states = []
    for name, options, change in (
        ("plain", {}, {}),
        ("parts", {"accumulate": 2}, {}),
        ("scaled", {}, {"loss_scale": 2.0**10}),
    ):
        run = run_in(tmp_path / name, "numbers")
        changed = dataclasses.replace(experiment, **change)
        run_training(run, changed, parallel=train.Parallel.over(1, **options))
        states.append(final_state(run, changed).params)
    for other in states[1:]:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), states[0], other)


@pytest.mark.gate
def test_what_was_trained_is_used_by_its_own_names(tmp_path: Path) -> None:
    """A regression of series predicts from the series alone; evaluation gives the recorded metrics."""
    run = run_in(tmp_path / "run", "numbers")
    experiment = numbers()
    run_training(run, experiment)
    trained = train.load_trained(run, "last", trust=True)
    test = experiment.data.test
    assert isinstance(test, data.Split)
    predicted = trained.predict(series=test["series"])["target"]
    error = float(np.mean((predicted - test["target"]) ** 2))
    found = trained.evaluate()
    assert found["r2"] == pytest.approx(1 - error / np.var(test["target"]), abs=1e-4)
    assert {f"test/{name}": value for name, value in found.items()}.items() <= run.metrics.read()[-1].items()


def test_progress_shows_the_measures_that_there_are() -> None:
    record = {"step": 3, "epoch": 1, "train/loss": 0.5, "train/skipped": 0, "val/real": 0.25, "test/norm": 20000.0}
    line = epoch_line(record, epochs=2, speed=5.0, left=1.0)
    assert "loss 0.5000  val real 0.2500  test norm 2e+04" in line and "skipped" not in line
