"""Every form of a rectifier is found; a form that is not known is an error."""

import functools
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from jaxcnn import functional, models
from jaxcnn.attribution import deconvnet, guided_backprop, saliency

Function = Callable[[jax.Array], jax.Array]
relu = jax.nn.relu


@jax.custom_jvp
def own_jvp(x: jax.Array) -> jax.Array:
    return jnp.maximum(x, 0)


@jax.custom_vjp
def own_vjp(x: jax.Array) -> jax.Array:
    return relu(x)


@jax.custom_vjp
def own_softplus(x: jax.Array) -> jax.Array:
    return jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


own_jvp.defjvp(lambda x, t: (own_jvp(x[0]), t[0] * jnp.sign(own_jvp(x[0]))))
own_vjp.defvjp(lambda x: (own_vjp(x), x), lambda x, g: (g * jnp.sign(relu(x)),))
own_softplus.defvjp(lambda x: (own_softplus(x), x), lambda x, g: (g * jax.nn.sigmoid(x),))


def scanned(x: jax.Array) -> jax.Array:
    return lax.scan(lambda carry, _: (relu(carry), None), x, None, length=2)[0]


ZEROS = np.zeros((1, 4), np.float32)
# Every function computes max(x, 0).
RECTIFIERS: dict[str, Function] = {
    "jax.nn.relu": relu,
    "flax's relu": nn.relu,
    "maximum": lambda x: jnp.maximum(x, 0),
    "maximum, the other way round": lambda x: jnp.maximum(0.0, x),
    "maximum with an array": lambda x: jnp.maximum(x, ZEROS),
    "maximum with computed zeros": lambda x: jnp.maximum(x, jnp.zeros_like(x) * 2),
    "where": lambda x: jnp.where(x > 0, x, 0),
    "where, the other way round": lambda x: jnp.where(x <= 0, 0, x),
    "where with the constant first": lambda x: jnp.where(lax.lt(ZEROS, x), x, jnp.zeros_like(x)),
    "clip": lambda x: jnp.clip(x, 0),
    "clip on both sides": lambda x: jnp.clip(x, 0, 100),
    "clamp": lambda x: lax.clamp(0.0, x, 100.0),
    "relu6": lambda x: jax.nn.relu6(x),
    "jit": jax.jit(lambda x: jax.jit(relu)(x)),
    "remat": jax.checkpoint(lambda x: relu(x)),
    "scan": scanned,
    "branches": lambda x: lax.cond(x.sum() < 1e6, relu, lambda x: x, x),
    "own jvp": own_jvp,
    "own vjp": own_vjp,
}
X = np.array([[2.0, -1.0, 0.5, 3.0]], np.float32)
WEIGHTS = np.array([[1.0, 1.0], [2.0, 3.0], [-4.0, 5.0], [-1.0, -2.0]], np.float32)


def around(rectifier: Function) -> Function:
    """A function whose gradient, guided gradient and projection differ: at [2, -1, 0.5, 3] of 1, 2, -4 and -1."""
    return lambda x: rectifier(x) @ WEIGHTS


def test_a_rectifier_in_each_form_gets_the_rule() -> None:
    @jax.jit
    def call(x: jax.Array) -> Any:
        methods = (saliency, guided_backprop, deconvnet)
        return {name: [each(around(form), x, target=0) for each in methods] for name, form in RECTIFIERS.items()}

    for name, found in call(X).items():
        expected = [[[1, 0, 4, 1]], [[1, 0, 0, 0]], [[1, 2, 0, 0]]]
        np.testing.assert_array_equal(found, expected, err_msg=name)


UNCLEAR: dict[str, tuple[Function, str]] = {
    "leaky": (jax.nn.leaky_relu, "a selection by the size of a computed array"),
    "elu": (jax.nn.elu, "a selection by the size"),
    "where of something else": (lambda x: jnp.where(x > 0, 2 * x, 0), "a selection by the size"),
    "where with a mask": (lambda x: jnp.where((x > 0) & (X > 1), x, 0), "a selection by the size"),
    "where at another threshold": (lambda x: jnp.where(x > 1, x, 0), "a selection by the size"),
    "product with a mask": (
        lambda x: x * (x > 0).astype(x.dtype),
        "a comparison with a constant that becomes a number",
    ),
    "product with an integer mask": (
        lambda x: x * (x > 0).astype(jnp.int8).astype(x.dtype),
        "a comparison with a constant that becomes a number",
    ),
    "absolute value": (lambda x: (x + jnp.abs(x)) / 2, r"x \+ abs\(x\), which is twice a rectifier"),
    "sign": (lambda x: x * (jnp.sign(x) + 1) / 2, "the sign of a computed array"),
    "some zeros": (lambda x: jnp.maximum(x, np.array([[0, 0, 1, 1]], np.float32)), "a maximum with an array"),
    "own softplus": (own_softplus, "a rectifier among other operations inside of 'own_softplus'"),
    "in a scan": (
        lambda x: lax.scan(lambda c, _: (jax.nn.leaky_relu(c), None), x, None, length=1)[0],
        "a selection by the size",
    ),
    "in a while loop": (
        lambda x: lax.while_loop(lambda c: c[1] < 1, lambda c: (relu(c[0]), c[1] + 1), (x, 0))[0],
        "a rectifier inside of 'while'",
    ),
}


@pytest.mark.parametrize("form", UNCLEAR)
def test_what_may_be_a_rectifier_is_an_error(form: str) -> None:
    function, message = UNCLEAR[form]
    for method in (guided_backprop, deconvnet):
        with pytest.raises(ValueError, match=f"^{method.__name__}: the function has {message}"):
            jax.eval_shape(functools.partial(method, around(function), target=0), X)


def test_a_threshold_that_is_traced_is_an_error() -> None:
    """Its value is unknown while the function is traced."""

    @jax.jit
    def call(x: jax.Array, threshold: jax.Array) -> jax.Array:
        return guided_backprop(lambda x: around(relu)(jnp.maximum(x, threshold)), x, target=0)

    with pytest.raises(ValueError, match="a maximum with an array that is not known to be 0"):
        call(X, jnp.zeros(()))


def test_a_function_without_rectifiers_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^deconvnet: the function has no rectifier max\(x, 0\) between its input"):
        deconvnet(around(jnp.tanh), X, target=0)
    with pytest.raises(ValueError, match="has no rectifier"):  # the argument of the rectifier is a constant
        guided_backprop(lambda x: x @ WEIGHTS + relu(np.ones((1, 2), np.float32)), X, target=0)


# Functions with a maximum, a selection or a comparison that is not a rectifier; their derivatives stay unchanged.
LEFT: dict[str, Function] = {
    "softplus": jax.nn.softplus,
    "softmax": jax.nn.softmax,
    "log_softmax": jax.nn.log_softmax,
    "logsumexp": lambda x: x + jax.nn.logsumexp(x, -1, keepdims=True),
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "hard_silu": jax.nn.hard_silu,
    "silu": jax.nn.silu,
    "gelu": jax.nn.gelu,
    "layer norm": lambda x: nn.LayerNorm().bind({"params": {"scale": np.ones(4, "f"), "bias": np.ones(4, "f")}})(x),
    "max pool": lambda x: jnp.repeat(functional.max_pool(x[..., None], (2,), strides=2)[..., 0], 2, -1),
    "max pool by doubling": lambda x: jnp.tile(
        functional.max_pool(jnp.tile(x, (1, 30))[..., None], (70,), strides=10)[..., 0], (1, 2)
    )[:, :4],
    "flax max pool": lambda x: jnp.repeat(nn.max_pool(x[..., None], (2,), (2,))[..., 0], 2, -1),
    "maxout": lambda x: jnp.maximum(x, 2 * x),
    "floor": lambda x: x / jnp.maximum(jnp.abs(x).sum(-1, keepdims=True), 1e-3),
    "clip at 1": lambda x: jnp.clip(x, -1, 1),
    "a mask that does not depend on the input": lambda x: jnp.where(X > 0, x, 0),
    "one hot": lambda x: x * jax.nn.one_hot(x.argmax(-1), 4),
}


def test_other_functions_keep_their_derivative() -> None:
    def compare(form: Function, x: jax.Array) -> Any:
        def after(x: jax.Array) -> jax.Array:
            return form(x) @ np.abs(WEIGHTS)

        gradient = jax.grad(lambda x: after(x)[:, 0].sum())(relu(x))
        return jnp.where((x > 0) & (gradient > 0), gradient, 0), guided_backprop(lambda x: after(relu(x)), x, target=0)

    found = jax.jit(lambda x: {name: compare(form, x) for name, form in LEFT.items()})(X)
    for name, (expected, guided) in found.items():
        np.testing.assert_allclose(guided, expected, rtol=1e-6, err_msg=name)
        assert np.abs(expected).max() > 0, name


def test_each_of_the_rectifiers_of_a_model_is_found() -> None:
    """The backward passes of a chain of linear layers and rectifiers are easy to compute with NumPy."""
    kernels = np.random.default_rng(0).standard_normal((3, 4, 4)).astype(np.float32)

    def f(x: jax.Array) -> jax.Array:
        for kernel in kernels:
            x = relu(x @ kernel)
        return x

    x, before = X, []
    for kernel in kernels:
        before.append(x @ kernel)
        x = np.maximum(before[-1], 0)
    guided = projected = np.eye(4, dtype=np.float32)[[int(x.argmax())]]
    for kernel, value in zip(kernels[::-1], before[::-1], strict=True):
        guided = (np.maximum(guided, 0) * (value > 0)) @ kernel.T
        projected = np.maximum(projected, 0) @ kernel.T
    found = jax.jit(lambda x: [guided_backprop(f, x), deconvnet(f, x)])(X)
    np.testing.assert_allclose(found, [guided, projected], rtol=1e-5)


@pytest.mark.gate
@pytest.mark.parametrize(
    ("name", "size"), [("alexnet", 227), ("vgg11_bn", 64), ("resnet50", 64), ("mobilenet_v2", 64), ("unet", 188)]
)
def test_models_are_searched_without_an_error(name: str, size: int) -> None:
    shape = (1, size, size, 3)
    model = models.create(name)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(shape))

    def call(variables: Any, x: jax.Array) -> jax.Array:
        def f(x: jax.Array) -> jax.Array:
            y = model.apply(variables, x, train=False)
            return y.reshape(1, -1)[:, :2]

        return guided_backprop(f, x, target=0)

    assert jax.eval_shape(call, variables, jnp.zeros(shape)).shape == shape


@pytest.mark.gate
@pytest.mark.parametrize("name", ["convnext_tiny", "vit_b_16", "efficientnet_b0"])
def test_models_without_rectifiers_are_refused(name: str) -> None:
    model = models.create(name)
    x = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    variables = jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), x)
    with pytest.raises(ValueError, match=re.escape("has no rectifier max(x, 0)")):
        jax.eval_shape(
            lambda v, x: guided_backprop(lambda x: model.apply(v, x, train=False), x, target=0), variables, x
        )
