"""Each error of a public function begins with the name of that function exactly once, wherever it is raised."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import jaxcnn
from jaxcnn import ShapeError, augment, data, models, nn, shapes, vis
from jaxcnn import functional as F
from jaxcnn._error_context import error_context

X = jnp.ones((1, 8, 8, 3))
KERNEL = jnp.ones((3, 3, 2, 4))


def _in_a_model(x: jax.Array) -> Any:
    return models.create("resnet20_cifar").init(jax.random.key(0), x)


@pytest.mark.parametrize(
    ("call", "begins"),
    [
        (lambda: F.conv(X, KERNEL), "conv: the kernel"),
        (lambda: jax.jit(F.conv)(X, KERNEL), "conv: the kernel"),
        (lambda: F.conv(X, KERNEL, strides="2"), "conv: strides"),
        (lambda: F.conv(X, stride=2), "conv: there is no argument 'stride'"),
        (lambda: F.separable_conv(X, KERNEL, KERNEL), "separable_conv: "),
        (lambda: nn.Conv(4, 3).init(jax.random.key(0), X), "Conv: kernel_size=3"),
        # The function of the lower package names its operation that refuses.
        (lambda: nn.Conv(4, (3, 3), padding="smae").init(jax.random.key(0), X), "Conv: padding='smae'"),
        (lambda: nn.LocalConv(4, (9, 9), padding="VALID").init(jax.random.key(0), X), "LocalConv: on spatial axis 0"),
        (lambda: _in_a_model(X[0, 0]), "ResNet: "),
        (lambda: models.summary("lenet5", (1, 224, 224, 1)), "LeNet5: "),
        (lambda: shapes.conv_output_shape((1, 8, 8, 3), (3, 3, 2, 4)), "conv_output_shape: the kernel"),
        (lambda: augment.chain(augment.random_flip)(3, X), "chain: key must be"),
        (lambda: vis.draw_curves([], "curves.png"), "draw_curves: there is no record"),
        (lambda: data.load("folder:/no/such/place"), "folder: /no/such/place does not exist"),
    ],
)
def test_the_name_comes_once(call: Callable[[], Any], begins: str) -> None:
    with pytest.raises((ShapeError, TypeError, ValueError, FileNotFoundError)) as caught:
        call()
    message = str(caught.value)
    assert message.startswith(begins)
    name = begins.split(":")[0]
    assert message.count(f"{name}: ") == 1


def test_errors_of_others_keep_their_message(tmp_path: Path) -> None:
    def init(key: jax.Array, shape: Any, dtype: Any) -> jax.Array:
        raise ValueError("a message of the user's own function")

    with pytest.raises(ValueError, match=r"^a message of the user's own function"):
        nn.Conv(4, (3, 3), kernel_init=init).init(jax.random.key(0), X)


def test_a_named_error_can_be_sent_to_another_process() -> None:
    with pytest.raises(ShapeError) as caught:
        F.conv(X, KERNEL)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_of_nested_functions_of_a_package_the_outermost_is_named() -> None:
    def fail() -> None:
        jaxcnn.shapes.conv_output_shape((8,), (3, 3, 1, 1))

    def nested(outer: str | None, inner: str | None) -> str:
        contexts = error_context("outer", package=outer), error_context("inner", package=inner)
        with pytest.raises(ShapeError) as caught, contexts[0], contexts[1]:
            fail()
        return str(caught.value).split(":")[0]

    assert nested("functional", "functional") == "outer"
    assert nested("nn", "functional") == nested(None, "functional") == nested("nn", None) == "inner"
    assert nested("functional", "shapes") == "outer"
