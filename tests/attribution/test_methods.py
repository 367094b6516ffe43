"""The methods against loops in NumPy, and their errors; ``test_captum`` compares them with another library."""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name

from jaxcnn import attribution, functional
from jaxcnn._errors import ShapeError
from jaxcnn.data import load
from jaxcnn.models import create

DRAW = np.random.default_rng(0)
X = DRAW.standard_normal((2, 5, 4, 1)).astype(np.float32)
KERNEL = DRAW.standard_normal((3, 3, 1, 2)).astype(np.float32)


def scores(x: jax.Array) -> jax.Array:
    y = checkpoint_name(functional.conv(x, KERNEL), "map")
    return (jnp.tanh(y) ** 2).sum((1, 2))


def numpy_scores(x: np.ndarray) -> np.ndarray:
    return np.asarray(jax.jit(scores)(x))


def test_smoothgrad_is_the_mean_of_gradients_of_noisy_inputs() -> None:
    key = jax.random.key(3)
    found = jax.jit(lambda x: attribution.smoothgrad(key, scores, x, target=1, samples=4, noise=0.2))(X)
    gradient = jax.jit(jax.grad(lambda x: scores(x)[:, 1].sum()))
    spread = 0.2 * np.array([each.max() - each.min() for each in X]).reshape(2, 1, 1, 1)
    noisy = [X + spread * np.asarray(jax.random.normal(each, X.shape)) for each in jax.random.split(key, 4)]
    np.testing.assert_allclose(found, np.mean([gradient(each) for each in noisy], 0), rtol=1e-4, atol=1e-6)


def test_integrated_gradients_add_up_to_the_difference_of_the_scores_up_to_the_gap() -> None:
    start = np.full((1, 1, 1, 1), 0.5, np.float32)
    found = jax.jit(lambda x: attribution.integrated_gradients(scores, x, target=1, baseline=start, steps=3))(X)
    expected = numpy_scores(X) - numpy_scores(np.broadcast_to(start, X.shape))
    total = np.asarray(found.attributions).sum((1, 2, 3))
    np.testing.assert_allclose(total - found.gap, expected[:, 1], rtol=1e-5)
    assert (np.abs(found.gap) > 1e-3).all()  # three nodes are too few, which the gap shows


def test_occlusion_is_the_mean_fall_over_the_windows_that_contain_a_pixel() -> None:
    found = jax.jit(
        lambda x: attribution.occlusion(scores, x, target=0, window_shape=(3, 2), strides=(2, 2), baseline=X.mean())
    )(X)
    total, count, whole = np.zeros((2, 5, 4)), np.zeros((2, 5, 4)), numpy_scores(X)[:, 0]
    for row in (0, 2):
        for column in (0, 2):
            hidden = X.copy()
            hidden[:, row : row + 3, column : column + 2] = X.mean()
            inside = np.zeros((2, 5, 4))
            inside[:, row : row + 3, column : column + 2] = 1
            total += inside * (whole - numpy_scores(hidden)[:, 0])[:, None, None]
            count += inside
    np.testing.assert_allclose(found, total / count, rtol=1e-4, atol=1e-5)


def test_each_entry_is_a_group_of_its_own_without_groups() -> None:
    found = jax.jit(lambda x: attribution.feature_ablation(scores, x, target=1))(X)
    hidden = X.copy()
    hidden[:, 3, 2, 0] = 0
    np.testing.assert_allclose(found[:, 3, 2, 0], (numpy_scores(X) - numpy_scores(hidden))[:, 1], rtol=1e-4, atol=1e-5)


def test_the_target_is_the_highest_class_unless_given() -> None:
    best = numpy_scores(X).argmax(-1)
    found = jax.jit(
        lambda x: (
            [attribution.saliency(scores, x), attribution.saliency(scores, x, target=best)]
            + [attribution.grad_cam(scores, x, layer="map", target=each) for each in (None, best)]
        )
    )(X)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[2], found[3])


def test_layers_are_features_results_of_modules_and_named_values() -> None:
    model = create("lenet5")
    x = jax.ShapeDtypeStruct((2, 32, 32, 1), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    shapes: dict[str, Any] = {}

    def call(variables: Any, x: jax.Array) -> Any:
        def f(x: jax.Array) -> jax.Array:
            return model.apply(variables, x, train=False)

        shapes.update(attribution.layer_shapes(f, x))
        # A method that is called within a function names the layers of that function again.
        again = attribution.layer_outputs(
            lambda x: attribution.layer_outputs(f, x, layers=["()"])["()"], x, layers=["c3"]
        )
        assert "s4" in attribution.layer_shapes(lambda x: attribution.layer_outputs(f, x, layers=["f6"])["f6"], x)
        return attribution.layer_outputs(f, x, layers=["c3()", "output", "()"]) | again

    values = jax.eval_shape(call, variables, x)
    assert (
        shapes["c3"] == shapes["c3()"] == (2, 10, 10, 16) and shapes["()"] == (2, 10) and shapes["s2"][1:3] == (14, 14)
    )
    assert {name: value.shape for name, value in values.items()} == {
        "c3": (2, 10, 10, 16),
        "c3()": (2, 10, 10, 16),
        "output": (2, 10),
        "()": (2, 10),
    }


def test_a_layer_of_features_is_after_its_rectifier_and_that_of_the_module_before() -> None:
    class Net(nn.Module):
        @nn.compact
        def features(self, x: jax.Array) -> dict[str, jax.Array]:
            y = nn.relu(nn.Dense(3, name="hidden")(x))
            return {"hidden": y, "logits": nn.Dense(2, name="head")(y)}

        def __call__(self, x: jax.Array) -> jax.Array:
            return self.features(x)["logits"]

    x = DRAW.standard_normal((4, 3)).astype(np.float32)
    variables = {
        "params": {
            "hidden": {"kernel": np.eye(3, dtype=np.float32), "bias": np.zeros(3, np.float32)},
            "head": {"kernel": np.ones((3, 2), np.float32), "bias": np.zeros(2, np.float32)},
        }
    }
    found = jax.jit(
        lambda x: attribution.layer_outputs(lambda x: Net().apply(variables, x), x, layers=["hidden", "hidden()"])
    )(x)
    np.testing.assert_array_equal(found["hidden()"], x)
    np.testing.assert_array_equal(found["hidden"], np.maximum(x, 0))


def test_operations_after_a_layer_are_not_run() -> None:
    """A selection after the layer would be an error in ``deconvnet``."""

    def f(x: jax.Array) -> jax.Array:
        return jax.nn.leaky_relu(checkpoint_name(jax.nn.relu(x), "map"))

    def unit(x: jax.Array) -> jax.Array:
        return attribution.layer_outputs(f, x, layers=["map"])["map"][:, 1]

    np.testing.assert_array_equal(attribution.deconvnet(unit, np.ones((1, 3), np.float32)), [[0, 1, 0]])


def test_shuffled_weights_change_what_depends_on_them() -> None:
    variables = {"params": {"first": DRAW.standard_normal((6, 6)), "second": DRAW.standard_normal((6, 6))}, "other": {}}

    def by_weights(v: Any) -> np.ndarray:
        assert "other" in v
        return np.asarray(v["params"]["first"]) @ np.asarray(v["params"]["second"])

    found = attribution.weight_randomization(jax.random.key(0), by_weights, variables, layers=["second", "first"])
    assert list(found) == ["second", "first"] and all(abs(value) < 0.5 for value in found.values())
    found = attribution.weight_randomization(
        jax.random.key(0), lambda v: np.asarray(v["params"]["first"]), variables, layers=["second", "first"]
    )
    assert found["second"] == pytest.approx(1) and abs(found["first"]) < 0.5


@pytest.mark.gate
def test_guided_backprop_depends_less_on_the_upper_layers_than_the_gradient() -> None:
    """A result of Adebayo et al. (2018); docs/attribution.md has the figures of a trained network."""
    x = jax.image.resize(load("digits").test["image"][:8].astype(np.float32) / 255, (8, 32, 32, 1), "bilinear")
    model = create("lenet5")
    variables = jax.jit(model.init)(jax.random.key(0), x)

    def correlation(method: Any) -> float:
        attribute = jax.jit(lambda v: method(lambda x: model.apply(v, x, train=False), x, target=0))
        layers = ["output", "f6"]
        return attribution.weight_randomization(jax.random.key(1), attribute, variables, layers=layers)["f6"]

    assert correlation(attribution.guided_backprop) > correlation(attribution.saliency) + 0.2


LINEAR: Callable[[Any], Any] = lambda x: x.reshape(x.shape[0], -1)  # noqa: E731


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: attribution.saliency(LINEAR, np.ones(3)),
            ShapeError,
            r"saliency: expected a batch \(n, ..., channels\)",
        ),
        (
            lambda: attribution.saliency(LINEAR, np.ones((1, 3), int)),
            TypeError,
            "saliency: expected floating x, got int",
        ),
        (
            lambda: attribution.saliency(LINEAR, X, target=20),
            ValueError,
            "expected classes from 0 to 19, got target=20",
        ),
        (lambda: attribution.saliency(LINEAR, X, target=0.5), TypeError, "expected classes as integers"),
        (
            lambda: attribution.saliency(LINEAR, X, target=[1, 2, 3]),
            ShapeError,
            "one of each of 2 examples, got target",
        ),
        (lambda: attribution.saliency(lambda x: x, X), ShapeError, r"gives scores \(n, classes\) or \(n,\) of n=2"),
        (lambda: attribution.saliency(lambda x: x.sum((1, 2, 3)), X, target=1), ValueError, "so there is no class"),
        (
            lambda: attribution.saliency(lambda x: (LINEAR(x), x), X),
            TypeError,
            r"saliency: expected a function that returns one array of scores, got a tuple\. .* lambda x: f\(x\)\[0\]",
        ),
        (lambda: attribution.occlusion(lambda x: {"y": x}, X, window_shape=(1, 1), strides=1), TypeError, "got a dict"),
        (lambda: attribution.smoothgrad(jax.random.key(0), LINEAR, X, samples=0), ValueError, "at least one sample"),
        (lambda: attribution.integrated_gradients(LINEAR, X, steps=0), ValueError, "at least one step, got steps=0"),
        (
            lambda: attribution.integrated_gradients(LINEAR, X, baseline=np.ones((3, 1, 1))),
            ShapeError,
            r"integrated_gradients: expected baseline of a shape that broadcasts to \(2, 5, 4, 1\)",
        ),
        (
            lambda: attribution.grad_cam(LINEAR, X, layer="mop"),
            ValueError,
            "grad_cam: there is no layer 'mop'. jax.ad_ch",
        ),
        (lambda: attribution.grad_cam(scores, X, layer="mop"), ValueError, "no layer 'mop'. Did you mean 'map'?"),
        (
            lambda: attribution.grad_cam(lambda x: checkpoint_name(LINEAR(x), "flat"), X, layer="flat"),
            ShapeError,
            r"expected a layer \(2, \*spatial, channels\), but 'flat' has the shape \(2, 20\)",
        ),
        (
            lambda: attribution.layer_outputs(
                lambda x: checkpoint_name(checkpoint_name(x, "a") * 2, "a"), X, layers=["a"]
            ),
            ValueError,
            "layer_outputs: the layer 'a' is computed 2 times",
        ),
        (
            lambda: attribution.occlusion(LINEAR, X, window_shape=(3,), strides=1),
            ShapeError,
            r"occlusion: window_shape=\(3,\) does not fit the spatial axes \(5, 4\) of x",
        ),
        (lambda: attribution.occlusion(LINEAR, X, window_shape=(3, 5), strides=1), ShapeError, "does not fit"),
        (lambda: attribution.occlusion(LINEAR, X, window_shape=(3, 2), strides=3), ValueError, "that are never hidden"),
        (lambda: attribution.feature_ablation(LINEAR, X, groups=X), TypeError, "expected groups as integers"),
        (
            lambda: attribution.feature_ablation(LINEAR, X, groups=np.ones((5, 3, 1), int)),
            ShapeError,
            "expected groups",
        ),
        (
            lambda: attribution.weight_randomization(
                jax.random.key(0), lambda v: X, {"params": {"c1": {"kernel": X}}}, layers=["c2"]
            ),
            ValueError,
            "there are no parameters of a layer 'c2'. Known: 'c1'.",
        ),
    ],
)
def test_other_arguments_are_refused(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.compile(message)):
        call()
