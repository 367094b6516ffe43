"""The experiments with their own objectives, against NumPy and scikit-learn."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.decomposition import PCA

from jaxcnn import data, train
from jaxcnn.train import Experiment, Trained
from jaxcnn.train._network import networks as networks_of
from jaxcnn.train._runs._discover import ExperimentFile, load_experiment
from jaxcnn.train._state import create_state
from tests.train.any_loss import dcgan
from tests.train.test_dry_run import stand_in

EXPERIMENTS = Path(__file__).parent.parent.parent / "experiments"


@pytest.fixture(autouse=True)
def random_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "load", stand_in)


def file_of(name: str) -> ExperimentFile:
    return load_experiment(EXPERIMENTS / f"{name}.py")


def built(name: str, **settings: Any) -> Experiment:
    file = file_of(name)
    return file.build(file.config_class(**settings))


def variables_of(experiment: Experiment) -> dict[str, Any]:
    state = create_state(experiment)
    return {"params": state.params, **state.collections}


def batch_of(experiment: Experiment, count: int) -> dict[str, Any]:
    """The first training examples as a prepared batch."""
    rows = np.arange(count, dtype=np.int32)
    examples = experiment.data.train.take(rows)  # type: ignore[union-attr]
    arrays = {name: jnp.asarray(array) for name, array in examples.arrays.items()}
    return {**experiment.prepare(arrays), "index": jnp.asarray(rows), "epoch": jnp.zeros(count, jnp.int32)}


def test_components_are_those_of_scikit_learn() -> None:
    digits = data.load("digits", image_size=16)
    train_images, test_images = (split["image"].reshape(len(split), -1) / 255 for split in (digits.train, digits.test))
    pca = PCA(8).fit(train_images)
    decoded = pca.inverse_transform(pca.transform(test_images)).clip(0, 1)
    expected = np.mean(-10 * np.log10(((decoded - test_images) ** 2).mean(1)))
    found = file_of("autoencoder_digits").build_function.__globals__["components_psnr"](digits, 8)
    assert found == pytest.approx(expected, abs=1e-3)


@pytest.mark.gate
def test_the_networks_of_the_gan_learn_from_their_own_loss_alone() -> None:
    """The gradient of each loss is zero for the other network, and the sheet of images of an epoch is written."""
    experiment = dcgan()
    variables, batch = variables_of(experiment), batch_of(experiment, 8)

    def loss(params: Any, name: str) -> tuple[jax.Array, Any]:
        _, aux = experiment.objective({**variables, "params": params}, batch, jax.random.key(1))
        return aux.metrics[name].mean(), aux.updates["samples"]["images"]

    for name, other in (("generator", "discriminator"), ("discriminator", "generator")):
        gradient, sheets = jax.grad(loss, has_aux=True)(variables["params"], name)
        sizes = {
            which: max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient[which])) for which in gradient
        }
        assert sizes[name] > 0 == sizes[other]
        assert [bool(sheet.any()) for sheet in sheets] == [True] + 5 * [False]


@pytest.mark.gate
def test_distillation_is_the_cross_entropy_at_the_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities = softmax(np.random.default_rng(0).normal(size=(40, 10)).astype(np.float32) * 3, -1)

    class Teacher:
        def predict(self, images: np.ndarray) -> dict[str, np.ndarray]:
            return {"probabilities": probabilities[: len(images)]}

    monkeypatch.setattr(train, "load", lambda run: Teacher())
    experiment = built("distill_mnist", teacher="a run", images=40, batch_size=8, temperature=2.0, labels_share=0.25)
    variables, batch = variables_of(experiment), batch_of(experiment, 8)
    losses, _ = experiment.objective(variables, batch, jax.random.key(0))
    (model, _), *_ = networks_of(experiment)
    logits = np.asarray(model.apply(variables, batch["image"]), np.float64)
    labels = -log_softmax(logits, -1)[np.arange(8), batch["label"]]
    soft = softmax(np.log(probabilities[:8].astype(np.float64)) / 2, -1)
    teacher = -(soft * log_softmax(logits / 2, -1)).sum(-1)
    np.testing.assert_allclose(losses, 0.25 * labels + 0.75 * 4 * teacher, rtol=1e-4)


def test_a_class_is_present_where_it_has_a_pixel() -> None:
    scenes = data.digit_scenes(*(2 * [stand_in("digits", image_size=16)]), size=32, train_count=30, test_count=2)
    found = file_of("multilabel_scenes").build_function.__globals__["present"](scenes)
    expected = [sorted(set(np.unique(classes).tolist()) - {0}) for classes in scenes.train["segmentation"]]
    assert [(np.flatnonzero(row) + 1).tolist() for row in found.train["label"]] == expected
    assert found.class_names == scenes.class_names[1:] and list(found.train) == ["image", "label"]


@pytest.mark.gate
def test_classes_become_rare_and_their_loss_heavy() -> None:
    settings = {"largest": 100, "ratio": 10.0, "batch_size": 16}
    plain, weighted, sampled = (
        built("imbalanced_cifar10", balance=each, **settings) for each in ("none", "loss", "sampling")
    )
    counts = np.bincount(plain.data.train["label"])  # type: ignore[index]
    assert counts.tolist() == [round(100 * 10 ** (-label / 9)) for label in range(10)]
    weights = data.balanced_weights(plain.data.train["label"])  # type: ignore[index]
    np.testing.assert_array_equal(sampled.sample_weights, weights)  # type: ignore[arg-type]
    variables, batch = variables_of(plain), batch_of(plain, 8)
    losses = [np.asarray(each.objective(variables, batch, jax.random.key(0))[0]) for each in (plain, weighted)]
    np.testing.assert_allclose(losses[1], losses[0] * weights[:8], rtol=1e-6)


@pytest.mark.gate
def test_auxiliary_heads_add_a_share_of_their_loss() -> None:
    settings: dict[str, Any] = {"images": 64, "batch_size": 8, "width": 0.03}
    experiment = built("googlenet_aux_cifar10", **settings)
    variables, batch = variables_of(experiment), batch_of(experiment, 8)
    losses, _ = experiment.objective(variables, batch, jax.random.key(0))
    (model, _), *_ = networks_of(experiment)
    rngs = {"dropout": jax.random.key(0)}
    images = train.standardize(experiment.data.mean, experiment.data.std)(batch["image"])  # type: ignore[union-attr]
    found, _ = model.apply(variables, images, train=True, method="features", mutable=["batch_stats"], rngs=rngs)
    each = [-log_softmax(found[name], -1)[np.arange(8), batch["label"]] for name in ("logits", "aux1", "aux2")]
    np.testing.assert_allclose(losses, each[0] + 0.3 * each[1] + 0.3 * each[2], rtol=1e-3)


def test_nt_xent_is_the_formula_of_the_paper() -> None:
    z = np.random.default_rng(0).normal(size=(2, 5, 4))
    flat = z.reshape(10, 4) / np.linalg.norm(z.reshape(10, 4), axis=1, keepdims=True)
    expected = np.zeros((2, 5))
    for view, example in np.ndindex(2, 5):
        i, j = 5 * view + example, 5 * (1 - view) + example
        others = [np.exp(flat[i] @ flat[k] / 0.5) for k in range(10) if k != i]
        expected[view, example] = -np.log(np.exp(flat[i] @ flat[j] / 0.5) / sum(others))
    nt_xent = file_of("simclr_cifar10").build_function.__globals__["nt_xent"]
    np.testing.assert_allclose(nt_xent(jnp.asarray(z, jnp.float32), 0.5), expected.mean(0), rtol=1e-5)


@pytest.mark.gate
def test_simclr_measures_the_probe_before_and_after() -> None:
    experiment = built("simclr_cifar10", images=600, hold_out=3, batch_size=16, width=2)
    whole: Any = experiment.data
    state = create_state(
        dataclasses.replace(experiment, data=dataclasses.replace(whole, train=whole.train.take(slice(64))))
    )
    found = Trained(experiment, state.eval_variables, 0).measured()
    assert list(found) == ["probe_accuracy", "probe_accuracy_before"]
    assert all(0 <= value <= 0.4 for value in found.values()), "of random images"
