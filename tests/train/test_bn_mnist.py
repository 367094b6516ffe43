"""The batch norm experiment: its records of units during training, and its measurements after training."""

import functools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.cli import main
from jaxcnn.train._runs._discover import ExperimentFile, load_experiment

PATH = Path(__file__).parent.parent.parent / "experiments" / "bn_mnist.py"


@pytest.fixture(scope="module")
def file() -> ExperimentFile:
    return load_experiment(PATH)


def test_percentiles_are_means_over_the_looks_of_a_window(file: ExperimentFile) -> None:
    """Windows of 100 steps, with a sample every second step, against NumPy over all samples."""
    layer = file.build_function.__globals__["Percentiles"](windows=2, steps=100)
    x = np.random.default_rng(0).normal(size=(150, 60, 3)).astype(np.float32)
    variables = layer.init(jax.random.key(0), jnp.asarray(x[0]), False)

    def step(variables: Any, x: jax.Array) -> tuple[Any, None]:
        return layer.apply(variables, x, True, mutable=["batch_stats"])[1], None

    after = jax.jit(lambda variables, x: jax.lax.scan(step, variables, x)[0])(variables, jnp.asarray(x))["batch_stats"]
    found = np.percentile(x[::2], (15, 50, 85), axis=1)  # (percentile, look, unit)
    np.testing.assert_allclose(after["means"][0], found[:, :50].mean(1), atol=1e-5)
    np.testing.assert_allclose(after["means"][1], found[:, 50:].sum(1) / 50, atol=1e-5)
    assert int(after["taken"]) == 150


@pytest.mark.gate
def test_both_arms_differ_in_the_norms_alone(file: ExperimentFile) -> None:
    shapes = []
    for batch_norm in (True, False):
        experiment = file.build(file.config_class(dataset="digits", batch_norm=batch_norm))
        batch = {"image": jnp.zeros((1, 28, 28, 1))}
        variables = jax.eval_shape(functools.partial(experiment.init, jax.random.key(0)), batch)
        shapes.append(
            {name: {leaf: each.shape for leaf, each in part.items()} for name, part in variables["params"].items()}
        )
    normed, plain = shapes
    assert {name for name in normed if name not in plain} == {"norm1", "norm2", "norm3"}
    assert plain["hidden1"] == {"kernel": (784, 100), "bias": (100,)} and normed["hidden1"] == {"kernel": (784, 100)}
    assert plain["hidden3"]["kernel"] == (100, 100) and plain["head"] == normed["head"] == {
        "kernel": (100, 10),
        "bias": (10,),
    }


def test_images_are_black_or_white(file: ExperimentFile) -> None:
    batch = {"image": jnp.array([0, 127, 128, 255], jnp.uint8), "label": jnp.arange(4)}
    found = file.build_function.__globals__["black_and_white"](batch)
    assert found["image"].tolist() == [0, 0, 1, 1] and found["label"] is batch["label"]


def test_units_are_measured_in_their_own_widths(file: ExperimentFile) -> None:
    """Two units whose spreads double while their medians rise in equal steps by one mean spread."""
    width = np.linspace(1, 2, 11)[:, None] * np.array([1.0, 10.0])
    middle = np.linspace(0, 1.5, 11)[:, None] * np.array([1.0, 10.0])
    trace = np.stack([middle - width / 2, middle, middle + width / 2], axis=1)
    trained: Any = SimpleNamespace(
        variables={"batch_stats": {"percentiles": {"means": trace}}},
        experiment=SimpleNamespace(total_steps=400),
    )
    found = file.build_function.__globals__["measure"](trained)
    assert found["growth"] == 2.0 and found["wobble"] == 0.1
    assert found["drift"] == round(float(np.linspace(0, 1, 11).std()), 4)
    assert found["step"][:2] == [2, 6]
    np.testing.assert_allclose(found["percentiles"], trace[:, :, 0].T, atol=1e-4)


@pytest.mark.gate
def test_a_run_records_what_was_measured(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert main(["train", str(PATH), "--set", "dataset=digits", "--set", "epochs=1", "--run-dir", str(run)]) == 0
    found = json.loads((run / "measured.json").read_text(encoding="utf-8"))
    assert len(found["step"]) == 23
    low, middle, high = np.array(found["percentiles"])
    assert np.all(low < middle) and np.all(middle < high)
    assert np.abs(low + high).mean() < 1, "what batch norm gives a sigmoid at first is about zero"
    assert all(0 < found[name] < 1 for name in ("drift", "wobble"))
