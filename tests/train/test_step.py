"""One step against the update computed by hand, and evaluation against counting."""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn.data import Split
from jaxcnn.train._devices import Parallel
from jaxcnn.train._evaluate import Evaluator, Inference, evaluation_size
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._optim import decay_mask
from jaxcnn.train._runs._discover import load_experiment
from jaxcnn.train._state import STEP, TrainState, create_state, stream
from jaxcnn.train._step import epoch_order, train_step
from jaxcnn.train._tasks import cross_entropy
from tests.tiers import default_rows
from tests.train.tiny import TinyNetwork, functions


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    file = load_experiment(Path(__file__).parent / "tiny.py")
    return dataclasses.replace(file.build(file.config_class()), optimizer=optax.sgd(0.1))


def steps(experiment: Experiment, count: int) -> list[TrainState]:
    """The states after 0, 1, ... steps."""
    arrays = {name: jnp.asarray(array) for name, array in experiment.data.train.arrays.items()}
    order = jax.jit(functools.partial(epoch_order, experiment))(0)
    states, step = [create_state(experiment)], jax.jit(functools.partial(train_step, experiment))
    for _ in range(count):
        state, _ = step(states[-1], arrays, order)
        states.append(state)
    return states


def test_a_step_is_the_gradient_of_the_smoothed_loss_of_its_batch(experiment: Experiment) -> None:
    experiment = dataclasses.replace(experiment, **functions(TinyNetwork(), loss=cross_entropy(0.1)))
    before, after = steps(experiment, 1)
    batch = np.asarray(epoch_order(experiment, jnp.int32(0)))[0]
    augment_key, dropout_key = jax.random.split(jax.random.fold_in(stream(experiment.seed, STEP), 0))
    assert experiment.augment is not None
    split = experiment.data.train.take(batch)
    x = experiment.augment(augment_key, {"image": jnp.asarray(split["image"] / np.float32(255))})["image"]
    targets = 0.9 * np.eye(10, dtype=np.float32)[split["label"]] + 0.01

    def loss(params: dict[str, jax.Array]) -> jax.Array:
        variables = {"params": params, **before.collections}
        logits, _ = TinyNetwork().apply(
            variables, (x - 0.3) / 0.3, train=True, mutable=["batch_stats"], rngs={"dropout": dropout_key}
        )
        return -jnp.mean(jnp.sum(targets * jax.nn.log_softmax(logits), axis=1))

    value, gradients = jax.tree.map(np.asarray, jax.jit(jax.value_and_grad(loss))(before.params))
    by_hand = jax.tree.map(lambda p, g: p - np.float32(0.1) * g, before.params, gradients)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), after.params, by_hand)
    assert float(after.loss_sum) == pytest.approx(float(value), rel=1e-5)


def test_the_average_follows_the_parameters(experiment: Experiment) -> None:
    """Its weight is min(decay, (1 + t) / (10 + t)) at step t."""
    states = steps(dataclasses.replace(experiment, ema_decay=0.15), 3)
    average = states[0].params
    for step, state in enumerate(states[1:]):
        weight = min(0.15, (1 + step) / (10 + step))
        average = jax.tree.map(lambda a, p, w=weight: w * a + (1 - w) * p, average, state.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), states[-1].ema_params, average)
    assert states[-1].eval_variables["params"] is states[-1].ema_params
    without = steps(dataclasses.replace(experiment, ema_decay=0.0), 1)[-1]
    assert without.ema_params is None and without.eval_variables["params"] is without.params


def test_biases_and_norm_parameters_do_not_decay(experiment: Experiment) -> None:
    state = create_state(experiment)
    decay = optax.add_decayed_weights(1.0, mask=decay_mask)
    nothing = jax.tree.map(jnp.zeros_like, state.params)
    shrunk, _ = decay.update(nothing, decay.init(state.params), state.params)
    moved = {"/".join(str(key.key) for key in path): bool(jnp.any(leaf)) for path, leaf in leaves(shrunk)}
    assert moved == {
        "conv/bias": False,
        "conv/kernel": True,
        "norm/bias": False,
        "norm/scale": False,
        "output/bias": False,
        "output/kernel": True,
    }


def leaves(tree: object) -> list[tuple[tuple[jax.tree_util.DictKey, ...], jax.Array]]:
    return jax.tree_util.tree_flatten_with_path(tree)[0]


def test_labels_and_shares_of_the_classes_are_evaluated_alike(experiment: Experiment) -> None:
    variables, test = create_state(experiment).eval_variables, experiment.data.test
    image, label = (jnp.asarray(test[name][:5]) for name in ("image", "label"))
    evaluate = functions(TinyNetwork())["evaluate"]
    shares = jax.nn.one_hot(label, 10)
    found, expected = (evaluate(variables, {"image": image, "label": each}) for each in (shares, label))
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)
    mixed = evaluate(variables, {"image": image, "label": 0.5 * shares + 0.05})["loss"]
    assert not np.allclose(mixed, expected["loss"], rtol=1e-3)


@pytest.mark.parametrize("batch_size", default_rows([1000, 50, 16, 7], keep=[16]))
def test_every_example_counts_once(experiment: Experiment, batch_size: int) -> None:
    """The results do not depend on the batch size; the padding of the last batch is not counted."""
    variables = create_state(experiment).eval_variables
    test = experiment.data.test
    x = (test["image"] / np.float32(255) - 0.3) / 0.3
    logits = np.asarray(TinyNetwork().apply(variables, jnp.asarray(x), train=False), np.float64)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    evaluator = Evaluator(Inference.of(experiment), test, batch_size=batch_size)
    result = evaluator(variables)
    assert result["loss"] == pytest.approx(-np.mean(log_p[np.arange(50), test["label"]]), rel=1e-5)
    assert result["accuracy"] == np.mean(logits.argmax(1) == test["label"])
    outputs, targets = evaluator.outputs(variables)
    np.testing.assert_allclose(outputs["probabilities"], np.exp(log_p), rtol=1e-4, atol=1e-6)
    assert set(targets) == {"label"}
    np.testing.assert_array_equal(targets["label"], test["label"])


@pytest.mark.parametrize(
    ("side", "count", "devices", "rows"), [(28, 900, 1, 500), (28, 90, 8, 96), (256, 60, 1, 42), (256, 60, 8, 64)]
)
def test_large_images_are_evaluated_few_at_a_time(side: int, count: int, devices: int, rows: int) -> None:
    split = Split(image=np.zeros((count, side, side, 3), np.uint8))
    assert evaluation_size(split, Parallel.over(devices)) == rows


def test_one_example_more_changes_what_is_counted(experiment: Experiment) -> None:
    variables = create_state(experiment).eval_variables
    part = experiment.data.test.take(slice(15))
    outputs, _ = Evaluator(Inference.of(experiment), part, batch_size=8).outputs(variables)
    assert len(outputs["probabilities"]) == 15
