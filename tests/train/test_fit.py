"""Training from Python with one call, and uses of the run."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

import jaxcnn
from jaxcnn import data, train
from jaxcnn.cli import main
from jaxcnn.train._checkpoints._keys import without_keys
from jaxcnn.train._state import create_state
from jaxcnn.train._tasks import as_logits
from tests.train import tiny
from tests.train.any_loss import numbers
from tests.train.runs import assert_same, final_state, without_seconds


@pytest.fixture(scope="module")
def experiment() -> train.Experiment:
    return tiny.build(tiny.Config(epochs=2))


@pytest.fixture(scope="module")
def outcome(experiment: train.Experiment, tmp_path_factory: pytest.TempPathFactory) -> train.Outcome:
    """A run trained with an experiment and a folder only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("here"))
        found = train.fit(experiment)
        return dataclasses.replace(found, run=found.run.resolve())


def test_an_experiment_is_all_that_it_needs(experiment: train.Experiment, outcome: train.Outcome) -> None:
    assert outcome.finished and outcome.step == experiment.total_steps
    assert [record["epoch"] for record in outcome.history] == [1, 2] and outcome.history[-1] == outcome.metrics
    assert outcome.run.parent.name == "runs" and outcome.run.name.startswith("digits100-")
    assert outcome.variables.keys() == {"params", "batch_stats"}
    assert {"config.json", "metrics.jsonl", "model.json", "checkpoints"} <= {
        path.name for path in outcome.run.iterdir()
    }
    assert not (outcome.run / "experiment.py").exists()


def test_the_run_is_used_from_its_folder_alone(
    experiment: train.Experiment, outcome: train.Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Predictions from arrays, from files and by the command; the experiment and its data are not available."""
    loaded = jaxcnn.load(outcome.run)
    images = experiment.data.test["image"][:3]
    expected = train.Trained(experiment, outcome.variables, outcome.step).predict(image=images)["probabilities"]
    np.testing.assert_allclose(loaded.predict(images)["probabilities"], expected, atol=1e-6)
    np.testing.assert_allclose(loaded.predict(image=images)["probabilities"], expected, atol=1e-6)
    picture = tmp_path / "digit.png"
    Image.fromarray(images[0, :, :, 0]).save(picture)
    np.testing.assert_allclose(loaded.predict(picture)["probabilities"], expected[:1], atol=1e-6)
    np.testing.assert_allclose(loaded.predict([picture, str(picture)])["probabilities"], expected[[0, 0]], atol=1e-6)
    assert loaded.class_names[:2] == ("0", "1") and loaded.step == outcome.step and "params" in repr(loaded)
    assert main(["predict", str(outcome.run), str(picture), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["top"][0]["probability"] == pytest.approx(float(expected[0].max()), abs=1e-5)
    with pytest.raises(train.RunError, match="expected the arrays image, got label"):
        loaded.predict(label=np.zeros(3))


@pytest.mark.gate
def test_a_path_is_a_run_and_is_continued(experiment: train.Experiment, outcome: train.Outcome, tmp_path: Path) -> None:
    asked = iter(range(100))
    place = str(tmp_path / "run")
    stopped = train.fit(experiment, place, should_stop=lambda: next(asked) == 7)
    assert not stopped.finished and stopped.step == 7 and stopped.metrics is None and len(stopped.history) == 1
    finished = train.fit(experiment, place)
    whole, run = train.RunFolder(outcome.run), train.RunFolder(Path(place))
    assert finished.finished and without_seconds(run) == without_seconds(whole)
    assert_same(final_state(run, experiment), final_state(whole, experiment))
    again = train.fit(experiment, place)
    assert again.finished and again.history == finished.history


def line(*, slopes: int = 2, unit: float = 1.0, **changes: Any) -> train.Experiment:
    """``y = x1 + x2 + ...``, with predictions in a unit."""
    x = np.random.default_rng(0).normal(size=(32, slopes)).astype(np.float32)
    examples = data.Split(x=x, y=x.sum(-1))

    def values(variables: Any, batch: Any) -> Any:
        return batch["x"] @ variables["params"]["slopes"]

    made = train.Experiment(
        init=lambda key, batch: {"params": {"slopes": jnp.zeros(slopes)}},
        objective=lambda variables, batch, key: ((values(variables, batch) - batch["y"]) ** 2, train.Aux()),
        evaluate=lambda variables, batch: {"loss": (values(variables, batch) - batch["y"]) ** 2},
        predict=lambda variables, batch: unit * values(variables, batch),
        data=data.Dataset(name="line", train=examples, test=examples),
        optimizer=optax.sgd(0.1),
        epochs=1,
        batch_size=16,
    )
    return dataclasses.replace(made, **changes)


def interrupted() -> bool:
    raise KeyboardInterrupt


def test_a_run_that_was_interrupted_before_its_first_checkpoint_takes_a_changed_experiment(tmp_path: Path) -> None:
    """The case occurs in a notebook.

    The settings and the recorded model are those of the changed experiment.
    """
    place = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train.fit(line(), place, should_stop=interrupted)
    before = train.RunFolder.open(place)
    assert before.settings()["epochs"] == 1 and not list((place / "checkpoints" / "last").iterdir())
    identity = before.identity
    changed = line(slopes=3, epochs=3, batch_size=8, seed=4)
    outcome = train.fit(changed, place)
    run = train.RunFolder.open(place)
    assert run.identity == identity and "extended" not in run.recorded()
    assert {name: run.settings()[name] for name in ("epochs", "batch_size", "seed")} == {
        "epochs": 3,
        "batch_size": 8,
        "seed": 4,
    }
    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(jaxcnn.load(place).predict(x=x), x @ outcome.variables["params"]["slopes"], rtol=1e-6)


def test_a_run_that_is_continued_with_other_settings_records_them_and_its_model(tmp_path: Path) -> None:
    place, x = tmp_path / "run", np.ones((1, 2), np.float32)
    train.fit(line(), place)
    longer = line(unit=100.0, epochs=2, max_skipped=5)
    outcome = train.fit(longer, place)
    run = train.RunFolder.open(place)
    assert outcome.step == 4 and run.recorded()["epochs"] == 1
    assert run.recorded()["extended"] == [{"step": 2, "settings": {"epochs": 2, "max_skipped": 5}}]
    assert run.settings()["epochs"] == 2
    warned = (place / "warnings.log").read_text(encoding="utf-8")
    changed = "is continued with other settings: from step 2 on: epochs was 1 and is 2, max_skipped was 10 and is 5; 4"
    assert changed in warned and "has changed" not in warned
    expected = 100 * np.asarray(outcome.variables["params"]["slopes"]).sum()
    np.testing.assert_allclose(jaxcnn.load(place).predict(x=x), [expected], rtol=1e-6)
    # If no steps remain, nothing is recorded.
    train.fit(line(epochs=1), place)
    assert len(run.recorded()["extended"]) == 1


def test_keys_of_the_optimizer_and_of_a_collection_are_saved(tmp_path: Path) -> None:
    """``optax.add_noise`` has a typed key in its state, and so has this model; Orbax and NumPy cannot store keys."""
    key = jax.random.key(3)

    def objective(variables: Any, batch: Any, _: jax.Array) -> Any:
        after = {"last": jax.random.split(variables["keys"]["last"])[1]}
        return (batch["x"] @ variables["params"]["slopes"] - batch["y"]) ** 2, train.Aux(updates={"keys": after})

    noisy = line(
        init=lambda _, batch: {"params": {"slopes": jnp.zeros(2)}, "keys": {"last": key}},
        objective=objective,
        optimizer=optax.chain(optax.add_noise(0.1, 0.5, 7), optax.sgd(0.1)),
        epochs=2,
    )
    asked = iter(range(100))
    train.fit(noisy, tmp_path / "whole")
    assert not train.fit(noisy, tmp_path / "stopped", should_stop=lambda: next(asked) == 3).finished
    train.fit(noisy, tmp_path / "stopped")
    whole, stopped = (final_state(train.RunFolder(tmp_path / name), noisy) for name in ("whole", "stopped"))
    noise, _ = whole.opt_state  # type: ignore[misc]
    assert jax.dtypes.issubdtype(noise.rng_key.dtype, jax.dtypes.prng_key)
    assert (jax.random.key_data(noise.rng_key) != jax.random.key_data(jax.random.key(7))).any()
    assert_same(without_keys(whole), without_keys(stopped))
    for _ in range(noisy.total_steps):
        key = jax.random.split(key)[1]
    loaded = jaxcnn.load(tmp_path / "stopped")
    assert loaded.variables["keys"]["last"] == key
    x = np.ones((1, 2), np.float32)
    np.testing.assert_allclose(loaded.predict(x=x), x @ whole.params["slopes"], rtol=1e-6)


def test_arrays_that_the_recorded_model_does_not_read(outcome: train.Outcome) -> None:
    """``jax.export`` would name ``args[1]``; without any example, the error was a missing argument of ``map``."""
    loaded, images = jaxcnn.load(outcome.run), np.zeros((2, 32, 32, 1), np.uint8)
    for wrong, message in (
        (images[0], r"of the shape \(n, 32, 32, 1\), got \(32, 32, 1\)\. Add an axis for the examples in front"),
        (images[:, :31], r"of the shape \(n, 32, 32, 1\), got \(2, 31, 32, 1\)\.$"),
        (images[:0], r"of the shape \(n, 32, 32, 1\), got \(0, 32, 32, 1\)\.$"),
        ([], r"of the shape \(n, 32, 32, 1\), got \(0,\)"),
        (images / 255, "'image' of the dtype uint8, as the data set of the run has it, got float32"),
        (images.astype(np.int64), "'image' of the dtype uint8, .* got int32"),
    ):
        with pytest.raises(train.RunError, match=message):
            loaded.predict(wrong)
    assert len(loaded.predict(images)["probabilities"]) == 2


def test_the_command_says_that_images_of_floats_are_not_read_from_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(0).random((16, 2, 2, 1)).astype(np.float32)
    examples = data.Split(image=pixels, label=np.zeros(16, int))

    def values(variables: Any, batch: Any) -> Any:
        return batch["image"].reshape(-1, 4) @ variables["params"]["kernel"]

    experiment = line(
        init=lambda key, batch: {"params": {"kernel": jnp.zeros((4, 3))}},
        objective=lambda variables, batch, key: ((values(variables, batch) ** 2).mean(-1), train.Aux()),
        evaluate=lambda variables, batch: {"loss": (values(variables, batch) ** 2).mean(-1)},
        predict=lambda variables, batch: {"probabilities": jax.nn.softmax(values(variables, batch))},
        data=data.Dataset(name="floats", train=examples, test=examples),
    )
    train.fit(experiment, tmp_path / "run")
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "a.png")]) == 2
    error = capsys.readouterr().err
    assert "expected 'image' of the dtype float32, as the data set of the run has it, got uint8." in error
    assert jaxcnn.load(tmp_path / "run").predict(pixels[:2])["probabilities"].shape == (2, 3)


def test_a_mistake_makes_no_folder(experiment: train.Experiment, tmp_path: Path) -> None:
    wrong = dataclasses.replace(experiment, objective=lambda variables, batch, key: batch["labels"])
    with pytest.raises(ValueError, match="objective: 'labels' is not in the batch"):
        train.fit(wrong, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_needs_code_says_that_there_is_none(outcome: train.Outcome, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(train.RunError, match=r"was trained from Python and has no experiment\.py\. .*jaxcnn\.load"):
        train.load_trained(train.RunFolder.open(outcome.run), "last")
    assert main(["train", "--resume", str(outcome.run)]) == 2
    assert "call train.fit with the same experiment and this folder" in capsys.readouterr().err


def test_a_run_is_named_by_its_path(experiment: train.Experiment, outcome: train.Outcome) -> None:
    folder = train.RunFolder.open(outcome.run)
    for run in (outcome.run, str(outcome.run), folder):
        assert train.load_trained(run, "last", experiment=experiment).step == outcome.step
    assert train.load_kept(str(outcome.run), experiment=experiment) == []
    missing = r"there is no folder nowhere\. `jaxcnn list` names the runs"
    with pytest.raises(train.RunError, match=missing):
        train.load_trained("nowhere", "last")
    with pytest.raises(train.RunError, match=missing):
        train.load_kept("nowhere")


def test_a_run_of_numbers_is_used_by_name(tmp_path: Path) -> None:
    experiment = dataclasses.replace(numbers(), epochs=1)
    train.fit(experiment, tmp_path / "run")
    loaded, series = jaxcnn.load(tmp_path / "run", "best"), experiment.data.test["series"]  # type: ignore[index]
    assert loaded.inputs == ("series",)
    np.testing.assert_allclose(loaded.predict(series)["target"], loaded.predict(series=series)["target"])
    advice = r"from series, not from images alone\. .* by name: jaxcnn\.load\(run\)\.predict\(series=\.\.\.\)"
    with pytest.raises(train.RunError, match=advice):
        _ = loaded.image_shape


def test_a_run_without_a_recorded_model_names_the_other_way(outcome: train.Outcome, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(outcome.run, copy)
    (copy / "model.json").unlink()
    with pytest.raises(train.RunError, match=r"has no model\.json.*train\.load_trained"):
        jaxcnn.load(copy)


def test_the_state_of_another_experiment_is_refused(experiment: train.Experiment, outcome: train.Outcome) -> None:
    other = dataclasses.replace(experiment, seed=5)
    with pytest.raises(train.RunError, match="with seed 0, but this run has 5"):
        train.fit(other, outcome.run)
    assert create_state(other).step == 0


@pytest.mark.gate
def test_what_is_measured_is_written_when_the_run_ends(experiment: train.Experiment, tmp_path: Path) -> None:
    def measure(trained: train.Trained) -> dict[str, np.ndarray]:
        return {"steps": np.array([trained.step]), "accuracy": np.float32(trained.evaluate()["accuracy"])}

    measuring, place, asked = dataclasses.replace(experiment, measure=measure), tmp_path / "run", iter(range(100))
    assert not train.fit(measuring, place, should_stop=lambda: next(asked) == 3).finished
    assert not (place / "measured.json").exists()
    outcome = train.fit(measuring, place)
    found = json.loads((place / "measured.json").read_text(encoding="utf-8"))
    assert found["steps"] == [outcome.step]
    assert found["accuracy"] == pytest.approx(outcome.metrics["test/accuracy"])


def test_what_was_trained_predicts_arrays_and_evaluates_splits(
    experiment: train.Experiment, outcome: train.Outcome
) -> None:
    trained = train.Trained(experiment, outcome.variables, outcome.step)
    images = experiment.data.test["image"][:2]
    np.testing.assert_array_equal(
        trained.predict(images)["probabilities"], trained.predict(image=images)["probabilities"]
    )
    with pytest.raises(TypeError, match=r"expected each array once by its name, .*; the experiment has image, label"):
        trained.predict(images, image=images)
    assert trained.evaluate() == trained.evaluate("test") == trained.evaluate(experiment.data.test)
    assert trained.evaluate("train")["accuracy"] != trained.evaluate("test")["accuracy"]
    with pytest.raises(ValueError, match="there is no split 'validation'"):
        trained.evaluate("validation")


def test_an_outcome_is_readable(outcome: train.Outcome) -> None:
    shown = repr(outcome)
    accuracy = f"{outcome.metrics['test/accuracy']:.4g}"
    assert shown.startswith("Outcome(step 12 (all epochs done), test/accuracy ") and len(shown) < 300
    assert f"test/accuracy {accuracy}, test/loss " in shown and str(outcome.run) in shown
    assert f"<td>test/accuracy</td><td>{accuracy}</td>" in outcome._repr_html_()
    stopped = dataclasses.replace(outcome, metrics=None, history=[], step=3)
    assert repr(stopped).startswith("Outcome(step 3 (can be resumed), run ")


def test_a_dict_of_arrays_and_labels_like_logits_are_refused(
    experiment: train.Experiment, outcome: train.Outcome
) -> None:
    trained = train.Trained(experiment, outcome.variables, outcome.step)
    with pytest.raises(TypeError, match=r"expected arrays by name, not a dict of them: predict\(\*\*arrays\)"):
        trained.predict({"image": experiment.data.test["image"][:2]})
    with pytest.raises(TypeError, match=r"must be probabilities .* not int32\. For several .* train\.multilabel"):
        as_logits(jnp.zeros((2, 3)), jnp.zeros((2, 3), jnp.int32))
