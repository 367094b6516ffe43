"""The neocognitron's competition and learning rule, and the features that it learns from digits without labels."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ShapeError, models
from jaxcnn.data import load
from jaxcnn.models import Stage
from jaxcnn.unsupervised import learn_neocognitron, reinforce, winners
from tests.compiled import compiled
from tests.models.small import quick_jit


def test_of_a_column_one_cell_wins_and_of_a_plane_one_cell() -> None:
    answers = np.zeros((7, 7, 3), np.float32)
    answers[1, 1] = (5, 4, 0)  # plane 0 wins here, so plane 1 does not
    answers[5, 5, 0] = 3  # plane 0 has a better cell
    answers[5, 1, 1] = 2  # the best cell of plane 1 among those that win their column
    places, won = compiled(winners)(answers, window=3)
    assert won.tolist() == [True, True, False]
    assert places[:2].tolist() == [[1, 1], [5, 1]]


def test_a_winner_becomes_selective(key: jax.Array) -> None:
    """After it has learned a pattern, a cell responds to it and to no pattern that is far from it."""
    stage = Stage(planes=1, s_window=3, selectivity=4.0)
    model = models.create("neocognitron", stages=(stage,), num_classes=0)
    line = np.zeros((8, 8, 1), np.float32)
    line[2] = 1
    params = {"a": np.full((3, 3, 1, 1), 1e-4, np.float32), "b": np.zeros(1, np.float32)}
    answer = jax.jit(lambda params, x: model.apply({"params": {"s1": params}}, x, method="features")["s1"])
    for _ in range(20):
        params = compiled(reinforce)(params, line, answer(params, line), rate=1.0, window=5)
    across = np.swapaxes(line, 0, 1)
    assert answer(params, line).max() > 0.2
    assert answer(params, across).max() == 0
    assert answer(params, np.ones((8, 8, 1), np.float32))[2, 2, 0] == 0


def test_one_step_is_the_rule() -> None:
    x = np.random.default_rng(0).uniform(size=(6, 6, 2)).astype(np.float32)
    answers = np.zeros((6, 6, 2), np.float32)
    answers[3, 2, 1] = 1
    params = {"a": np.ones((3, 3, 2, 2), np.float32), "b": np.ones(2, np.float32)}
    new = compiled(reinforce)(params, x, answers, rate=4.0, window=3)
    c = 0.9 ** np.hypot(*np.indices((3, 3)) - 1.0)
    c = c[:, :, None] / c.sum() / 2
    seen = x[2:5, 1:4]
    gain = 4 * c * seen
    found = np.asarray(new["a"])
    np.testing.assert_allclose(found[..., 1], 1 + gain, rtol=1e-5)
    np.testing.assert_allclose(new["b"], [1, 1 + 2 * np.sqrt((c * seen**2).sum())], rtol=1e-5)
    np.testing.assert_array_equal(found[..., 0], params["a"][..., 0])


def test_a_layer_learns_with_a_selectivity_of_its_own(key: jax.Array) -> None:
    """The learned weights are those of a network with that selectivity; upper layers read the usual responses."""
    stage = Stage(planes=6, s_window=3, c_window=3, selectivity=1.0)
    both = tuple(dataclasses.replace(stage, learning_selectivity=r) for r in (9.0, None))
    model = models.create("neocognitron", stages=both)
    sharp = models.create("neocognitron", stages=(dataclasses.replace(stage, selectivity=9.0), stage))
    images = jax.random.uniform(key, (8, 8, 8, 1))
    params = quick_jit(model.init)(key, images)["params"]
    learned = learn_neocognitron(model, params, images)
    wanted = learn_neocognitron(sharp, params, images)
    plain = learn_neocognitron(models.create("neocognitron", stages=(stage, stage)), params, images)
    np.testing.assert_array_equal(learned["s1"]["a"], wanted["s1"]["a"])
    assert not np.array_equal(learned["s1"]["a"], plain["s1"]["a"])
    assert not np.array_equal(learned["s2"]["a"], wanted["s2"]["a"])


def test_refusals() -> None:
    model = models.create("neocognitron")
    with pytest.raises(ShapeError, match=r"images must have the shape \(n, height, width, channels\), not \(8, 8, 1\)"):
        learn_neocognitron(model, {}, jnp.zeros((8, 8, 1)))
    with pytest.raises(ValueError, match="passes=0 must be at least 1"):
        learn_neocognitron(model, {}, jnp.zeros((1, 8, 8, 1)), passes=0)


def linear_accuracy(train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray) -> float:
    """The accuracy of ridge regression on standardised features."""
    mean, deviation = train.mean(0), train.std(0) + 1e-3
    train, test = (np.c_[(x - mean) / deviation, np.ones(len(x))] for x in (train, test))
    gram = train.T @ train + 0.01 * len(train) * np.eye(train.shape[1])
    weights = np.linalg.solve(gram, train.T @ np.eye(10)[train_labels])
    return float((np.argmax(test @ weights, 1) == test_labels).mean())


@pytest.mark.gate
def test_what_it_learns_without_labels_separates_digits() -> None:
    """Linear classification of the responses of the second C-layer.

    Ridge regression on the pixels or on the responses of large random weights is about as accurate: the test shows that
    the learned features are useful, not that these images require them.
    """
    stages = (
        Stage(planes=24, s_window=3, c_window=3, selectivity=10.0),
        Stage(planes=96, s_window=3, c_window=5, c_strides=2, selectivity=4.0),
    )
    model, digits = models.create("neocognitron", stages=stages), load("digits")

    def pictures(images: np.ndarray) -> jax.Array:
        small = jax.image.resize(images.astype(np.float32) / 255, (len(images), 16, 16, 1), "linear")
        return jnp.clip(1.6 * small - 0.5, 0, 1)

    train, test = pictures(digits.train["image"]), pictures(digits.test["image"])
    params = quick_jit(model.init)(jax.random.key(0), train[:1])["params"]
    learned = learn_neocognitron(model, params, train[:500])
    see = jax.jit(lambda params, x: model.apply({"params": params}, x, method="features")["c2"])

    def features(params: object, x: jax.Array) -> np.ndarray:
        parts = [see(params, x[start : start + 120]) for start in range(0, len(x) // 120 * 120, 120)]
        return np.concatenate([np.asarray(part).reshape(120, -1) for part in parts])

    labels = digits.train["label"][:1320], digits.test["label"][:360]
    accuracy = linear_accuracy(features(learned, train), labels[0], features(learned, test), labels[1])
    assert accuracy >= 0.9, accuracy
