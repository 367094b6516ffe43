"""The smaller experiments: measurements after training, and exact agreement with their sources."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen

from jaxcnn._errors import ShapeError
from jaxcnn.train._dry_run import dry_run
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._network import networks as networks_of
from jaxcnn.train._runs._discover import ExperimentFile, load_experiment
from jaxcnn.train._state import create_state
from jaxcnn.train._trained import Trained
from tests.train.runs import rate_at

EXPERIMENTS = Path(__file__).parent.parent.parent / "experiments"


def file_of(name: str) -> ExperimentFile:
    return load_experiment(EXPERIMENTS / f"{name}.py")


def built(name: str, **settings: Any) -> Experiment:
    file = file_of(name)
    return file.build(file.config_class(**settings))


def few(experiment: Experiment) -> Experiment:
    """The experiment with 40 test images."""
    few_images = dataclasses.replace(experiment.data, test=experiment.data.test.take(slice(40)))
    return dataclasses.replace(experiment, data=few_images)


def size(params: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def count(experiment: Experiment) -> int:
    return size(dry_run(experiment).params)


def test_convnetjs_takes_the_demo_s_steps() -> None:
    """ConvNetJS's trainer in NumPy: sums over the batch, decay added, then divided by the batch size."""
    optimizer = built("convnetjs_cifar10", dataset="digits").optimizer
    generator = np.random.default_rng(0)
    weights, bias = generator.normal(size=(3, 2)), generator.normal(size=2)
    summed = generator.normal(size=(5, 4, 3, 2)), generator.normal(size=(5, 4, 2))
    params = {"kernel": jnp.asarray(weights, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}
    state = optimizer.init(params)
    for step in range(5):
        means = {"kernel": summed[0][step].mean(0), "bias": summed[1][step].mean(0)}
        updates, state = optimizer.update(jax.tree.map(jnp.float32, means), state, params)
        params = optax.apply_updates(params, updates)
    for value, gradients, decay, after in (
        (weights, summed[0], 1e-4, params["kernel"]),
        (bias, summed[1], 0.0, params["bias"]),
    ):
        squares, moves = np.zeros_like(value), np.zeros_like(value)
        for each in gradients:
            raw = (decay * value + each.sum(0)) / 4
            squares = 0.95 * squares + 0.05 * raw**2
            move = -np.sqrt((moves + 1e-6) / (squares + 1e-6)) * raw
            moves = 0.95 * moves + 0.05 * move**2
            value = value + move
        np.testing.assert_allclose(after, value, rtol=2e-5)


@pytest.mark.gate
def test_fashion_mnist_has_a_small_network_and_a_residual_one() -> None:
    assert count(built("fashion_mnist", dataset="digits")) == 89_506
    assert count(built("fashion_mnist", dataset="digits", network="resnet")) == 11_172_810
    with pytest.raises(ValueError, match="network='large': it is one of small, resnet"):
        built("fashion_mnist", dataset="digits", network="large")


@pytest.mark.gate
def test_pooling_is_all_that_differs_and_shifts_are_measured_from_none_on() -> None:
    assert len({count(built("pooling_invariance", pooling=way)) for way in ("max", "mean", "none")}) == 1
    experiment = few(built("pooling_invariance", pooling="none"))
    variables = create_state(experiment).eval_variables
    trained = Trained(experiment, variables, step=0)
    found, accuracy = trained.measured(), trained.evaluate()["accuracy"]
    assert found["accuracy"][0] == pytest.approx(accuracy, abs=1e-4)
    assert found["change"][0] == 0 < found["change"][1] < found["change"][4]
    with pytest.raises(ValueError, match="pooling='maximum': it is one of max, mean, none"):
        built("pooling_invariance", pooling="maximum")


def test_halving_is_what_its_name_says() -> None:
    halved = file_of("pooling_invariance").build_function.__globals__["halved"]
    x = np.random.default_rng(0).normal(size=(2, 6, 4, 3)).astype(np.float32)
    four = x.reshape(2, 3, 2, 2, 2, 3)
    np.testing.assert_allclose(halved(jnp.asarray(x), "max"), four.max((2, 4)))
    np.testing.assert_allclose(halved(jnp.asarray(x), "mean"), four.mean((2, 4)), atol=1e-6)
    np.testing.assert_array_equal(halved(jnp.asarray(x), "none"), four[:, :, 0, :, 0])


@pytest.mark.gate
def test_without_padding_the_maps_come_to_an_end() -> None:
    assert count(built("padding_matters", padding="SAME", depth=7)) == count(
        built("padding_matters", padding="VALID", depth=7)
    )
    dry_run(built("padding_matters", padding="SAME", depth=8))
    with pytest.raises(ShapeError, match="window of 3 is larger than the input of 2"):
        dry_run(built("padding_matters", padding="VALID", depth=8))


def test_digits_are_judged_in_the_middle_and_in_the_corners() -> None:
    """A stand-in that is correct if the first row of the image has no ink: in the middle and the lower corners."""
    digits = few(built("padding_matters")).data
    right = jnp.asarray(np.eye(10, dtype=np.float32)[digits.test["label"]])

    def apply(_: object, x: jax.Array, *, train: bool) -> jax.Array:
        inked = x[:, 0].sum((1, 2)) > 0
        return jnp.where(inked[:, None], -right, right)

    trained = SimpleNamespace(experiment=SimpleNamespace(data=digits), variables={})
    measure = file_of("padding_matters").build_function.__globals__["measure"]
    found = measure(SimpleNamespace(apply=apply), trained)
    touching = (digits.test["image"][:, 0].max((1, 2)) > 0).mean()
    assert touching > 0.3 and found["middle"] == 1
    assert found["corners"] == pytest.approx(1 - touching / 2, abs=1e-4)


@pytest.mark.gate
def test_batch_norm_s_networks_differ_as_the_paper_says() -> None:
    """Rates and decays differ by the paper's factors; all weights but those of norms equal the plain network's."""
    names = ("inception_2015", "inception_sigmoid", "bn_baseline", "bn_x5", "bn_x30", "bn_x5_sigmoid")
    networks = {name: built("bn_ablation", dataset="digits", network=name) for name in names}
    rates = [rate_at(network, 0) / 0.1 for network in networks.values()]
    assert rates == pytest.approx([1, 1, 1, 5, 30, 5])
    shrunk = []
    for network in networks.values():
        params = {"kernel": jnp.ones((1, 1))}
        zero = jax.tree.map(jnp.zeros_like, params)
        updates, _ = network.optimizer.update(zero, network.optimizer.init(params), params)
        shrunk.append(-float(updates["kernel"][0, 0]) / rate_at(network, 0))
    assert shrunk == pytest.approx([2e-4, 2e-4, 2e-4, 4e-5, 4e-5, 4e-5])
    models = {name: networks_of(network)[0][0] for name, network in networks.items()}
    assert [model.dropout_rate for model in models.values()] == [0.4, 0.4, 0.4, 0, 0, 0]
    assert [model.activation is linen.sigmoid for model in models.values()] == [False, True, False, False, False, True]
    assert [model.norm is None for model in models.values()] == [True, True, False, False, False, False]
    plain, normed = (dry_run(networks[name]).params for name in ("inception_2015", "bn_x30"))
    scales = [leaf for path, leaf in jax.tree_util.tree_leaves_with_path(normed) if "scale" in str(path)]
    assert len(scales) == 20 and sum(each.size for each in scales) == size(normed) - size(plain)
    with pytest.raises(ValueError, match="network='bn': there are inception_2015, inception_sigmoid, bn_baseline"):
        built("bn_ablation", dataset="digits", network="bn")


@pytest.mark.gate
@pytest.mark.parametrize("depth", [20, 56])
def test_a_plain_network_is_the_residual_one_without_its_shortcuts(depth: int) -> None:
    found = [
        built("depth_of_plain_and_residual", dataset="digits", network=f"{kind}-{depth}")
        for kind in ("plain", "residual")
    ]
    assert len({count(each) for each in found}) == 1
    models = [networks_of(each)[0][0] for each in found]
    assert [model.shortcut for model in models] == ["none", "zero_pad"]
    assert 2 * sum(models[0].stage_sizes) + 2 == depth


def test_a_network_that_does_not_exist_is_refused() -> None:
    for wrong in ("plain", "dense-20", "plain-56-x"):
        with pytest.raises(
            ValueError, match=f"network='{wrong}': write plain or residual and one of the depths 20, 32"
        ):
            built("depth_of_plain_and_residual", dataset="digits", network=wrong)
