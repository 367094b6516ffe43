"""An epoch in which the loss jumps is undone, and its images are skipped."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.train._errors import RunError
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._roll_back import WENT_BACK
from jaxcnn.train._runs._discover import load_experiment
from jaxcnn.train._runs._folder import RunFolder
from jaxcnn.train._step import epoch_order, train_step
from tests.train import tiny_spiked
from tests.train.runs import TINY, assert_same, final_state, new_run, rate_at, train, without_seconds

STEPS = 6  # the steps of an epoch of the tiny experiment


def spiked(*epochs: int, max_loss_jump: float | None = 2.0) -> Experiment:
    """The tiny experiment with five epochs; the loss jumps in the given epochs."""
    return tiny_spiked.spiked(load_tiny(), *epochs, max_loss_jump=max_loss_jump)


@functools.cache
def load_tiny() -> Experiment:
    file = load_experiment(TINY)
    return file.build(file.config_class(epochs=5))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a jump in the third epoch."""
    _, run = new_run(tmp_path_factory.mktemp("spiked") / "run")
    train(run, spiked(3))
    return run.path


def test_the_epoch_is_undone_and_training_goes_on_with_the_next_images(whole: Path, tmp_path: Path) -> None:
    """Compares with the state after the second epoch, trained by hand on the images of epochs four and five."""
    experiment, run = spiked(3), RunFolder.open(whole)
    records = run.metrics.read()
    assert [record.get(WENT_BACK) for record in records] == [None, None, 2 * STEPS, None, None]
    assert records[2]["train/loss"] > 2 * records[1]["train/loss"] > records[3]["train/loss"]
    assert records[2]["test/loss"] == records[1]["test/loss"]  # of the state that is kept
    taken = [5, 11, 17, 17, 23]  # the last step of each epoch, as the optimizer counts
    rates = [rate_at(experiment, step) for step in taken]
    assert [record["learning_rate"] for record in records] == pytest.approx(rates)

    _, two = new_run(tmp_path / "two")
    train(two, spiked(max_loss_jump=None), stop_after=2 * STEPS)
    state = final_state(two, experiment).replace(step=jnp.int32(3 * STEPS))
    step = jax.jit(functools.partial(train_step, experiment))
    arrays = {name: jnp.asarray(array) for name, array in experiment.data.train.arrays.items()}
    for count in range(3 * STEPS, 5 * STEPS):
        state, _ = step(state, arrays, epoch_order(experiment, jnp.int32(count // STEPS)))
    found = final_state(run, experiment)
    assert int(found.step) == 5 * STEPS
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    said = (run.path / "warnings.log").read_text(encoding="utf-8")
    assert "epoch 3: the training loss was" in said and "goes on from the state of step 12" in said


@pytest.mark.gate
@pytest.mark.parametrize("stop_after", [2 * STEPS + 3, 3 * STEPS, 3 * STEPS + 2])
def test_stopped_before_or_after_it_ends_the_same(whole: Path, tmp_path: Path, stop_after: int) -> None:
    _, run = new_run(tmp_path / "run")
    train(run, spiked(3), stop_after=stop_after)
    train(run, spiked(3))
    assert without_seconds(run) == without_seconds(RunFolder.open(whole))
    assert_same(final_state(run, spiked(3)), final_state(RunFolder.open(whole), spiked(3)))


@pytest.mark.gate
def test_it_goes_back_twice_but_not_for_ever(tmp_path: Path) -> None:
    _, run = new_run(tmp_path / "twice")
    train(run, spiked(3, 4))
    records = run.metrics.read()
    assert [record.get(WENT_BACK) for record in records] == [None, None, 2 * STEPS, 2 * STEPS, None]
    # both start from the state after the second epoch
    rates = [rate_at(spiked(), step) for step in (5, 11, 17, 17, 17)]
    assert [record["learning_rate"] for record in records] == pytest.approx(rates)
    _, run = new_run(tmp_path / "thrice")
    with pytest.raises(RunError, match=r"epoch 5: .* jumped in 3 epochs .* Try a smaller learning rate, or a max_loss"):
        train(run, spiked(3, 4, 5))


@pytest.mark.gate
def test_where_none_jumps_nothing_changes(tmp_path: Path) -> None:
    runs = [new_run(tmp_path / name)[1] for name in ("watched", "plain")]
    train(runs[0], spiked())
    train(runs[1], spiked(max_loss_jump=None))
    assert without_seconds(runs[0]) == without_seconds(runs[1])
    assert_same(final_state(runs[0], spiked()), final_state(runs[1], spiked()))
    assert (runs[0].checkpoints / "calm").is_dir() and not (runs[1].checkpoints / "calm").exists()


def test_without_a_checkpoint_to_go_back_to_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxcnn.train._roll_back.RollBack.keep", lambda self, state: None)
    _, run = new_run(tmp_path / "run")
    train(run, spiked(3))
    assert not any(WENT_BACK in record for record in run.metrics.read())
    assert "no checkpoint from before is left; training continues without a roll-back" in (
        run.path / "warnings.log"
    ).read_text(encoding="utf-8")


@pytest.mark.parametrize("factor", [1.0, float("nan"), -2.0])
def test_the_limit_is_a_factor(factor: float) -> None:
    with pytest.raises(ValueError, match=r"max_loss_jump=.*: it is a factor, over 1, or None"):
        spiked(max_loss_jump=factor)
