"""``jaxcnn.check_gradients`` finds and names one wrong entry, and distinguishes a kink from an error."""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from jax.test_util import check_grads

import jaxcnn
from jaxcnn._check_gradients import GradientError


def with_wrong_entry(index: tuple[int, ...], factor: float) -> Callable[[Any, Any], jax.Array]:
    """``sin(x) * y``, whose gradient of ``x`` is wrong by a factor at one index."""

    @jax.custom_vjp
    def function(x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.sin(x) * y

    function.defvjp(
        lambda x, y: (jnp.sin(x) * y, (x, y)),
        lambda saved, g: ((g * jnp.cos(saved[0]) * saved[1]).at[index].multiply(factor), g * jnp.sin(saved[0])),
    )
    return function


X, Y = np.random.default_rng(0).uniform(0.2, 1.2, (2, 10, 10))


@pytest.mark.parametrize("factor", [1.001, 0.999, 0.0, np.nan])
def test_one_wrong_entry_of_a_hundred_is_named_with_both_values(factor: float) -> None:
    right = np.cos(X[4, 7]) * Y[4, 7]
    with pytest.raises(GradientError, match=r"check_gradients: argument 0\[4, 7\]: the gradient is ") as caught:
        jaxcnn.check_gradients(with_wrong_entry((4, 7), factor), X, Y)
    found, numeric = re.findall(r"(?:is|give) (\S+?),? ", str(caught.value))
    # Both figures contain the random weight of the entry.
    np.testing.assert_allclose(float(found) / float(numeric), factor, rtol=1e-5)
    assert 0.5 <= float(numeric) / right <= 1.5


def test_the_check_of_jax_passes_a_wrong_entry() -> None:
    """This is the reason for a separate function. The gradient is wrong by two per cent here."""
    with jax.enable_x64(True):
        check_grads(
            with_wrong_entry((4, 7), 1.02), (jnp.asarray(X), jnp.asarray(Y)), order=1, modes=("rev",), rtol=2e-3
        )


def test_right_gradients_agree_with_scipy() -> None:
    def loss(x: Any) -> Any:
        return jnp.sum(jnp.tanh(x) ** 3)

    found = jaxcnn.check_gradients(loss, X)
    assert found.checked == 100 and found.largest < 1e-8 and found.kinks == ()
    with jax.enable_x64(True):
        gradient = jax.grad(loss)(jnp.asarray(X))
        numeric = scipy.optimize.approx_fprime(X.ravel(), lambda flat: float(loss(flat.reshape(X.shape))))
        np.testing.assert_allclose(gradient.ravel(), numeric, atol=1e-6)


def test_kinks_are_no_errors() -> None:
    found = jaxcnn.check_gradients(jax.nn.relu, jnp.array([-1.0, 0.0, 2.0]))
    assert found.kinks == ("argument 0[1]",)
    # Close to a kink, a smaller step does not cross it.
    assert jaxcnn.check_gradients(jax.nn.relu, jnp.array([-2e-7, 2e-7])).kinks == ()


@jax.custom_jvp
def outside(x: jax.Array) -> jax.Array:
    """``relu`` with a derivative at 0 that is outside of the interval between the left and the right derivative."""
    return jax.nn.relu(x)


outside.defjvps(lambda t, y, x: t * jnp.where(x == 0, 1.5, jnp.where(x > 0, 1.0, 0.0)))


def test_a_derivative_outside_of_both_sides_of_a_kink_is_wrong() -> None:
    with pytest.raises(GradientError, match=r"argument 0\[1\]"):
        jaxcnn.check_gradients(outside, jnp.array([-1.0, 0.0, 2.0]))


def test_a_wrong_rule_of_forward_mode_is_found() -> None:
    @jax.custom_jvp
    def double(x: jax.Array) -> jax.Array:
        return 2 * x

    double.defjvps(lambda t, y, x: 2.002 * t)
    with pytest.raises(GradientError, match=r"argument 0, along a random direction: the derivative of jax.jvp is"):
        jaxcnn.check_gradients(double, X, modes=("forward",))


def test_rounding_in_float32_is_no_error() -> None:
    found = jaxcnn.check_gradients(lambda x: jnp.sin(x.astype(jnp.float32)).sum(), X)
    assert found.checked == 100
    with pytest.raises(GradientError, match=r"argument 0\[4, 7\]"):
        jaxcnn.check_gradients(lambda x: with_wrong_entry((4, 7), 1.02)(x.astype(jnp.float32), jnp.float32(Y)), X)


def test_float32_is_found_inside_of_a_function_of_float64() -> None:
    def loss(x: jax.Array, target: jax.Array) -> jax.Array:
        return jnp.sum((jax.jit(jnp.sin)(x.astype(jnp.float32)).astype(target.dtype) - target) ** 2)

    assert jaxcnn.check_gradients(loss, X[0], Y[0]).checked == 20
    with pytest.raises(GradientError, match=r"argument 0\[3\]"):
        jaxcnn.check_gradients(
            lambda x: with_wrong_entry((3,), 1.02)(x.astype(jnp.float32), jnp.float32(Y[0])).astype(jnp.float64), X[0]
        )


def test_arguments_are_named_by_their_paths_and_others_stay() -> None:
    def function(params: dict[str, Any], key: jax.Array, times: jax.Array) -> Any:
        assert times.dtype == jnp.int32
        drawn = jax.random.normal(key, (3,), params["kernel"].dtype)
        return {"y": with_wrong_entry((2,), 1.1)(params["kernel"], drawn + 3.0) * times.astype(drawn.dtype), "n": times}

    params = {"bias": jnp.ones(2), "kernel": jnp.ones(3)}
    with pytest.raises(GradientError, match=r"argument 0\['kernel'\]\[2\]"):
        jaxcnn.check_gradients(function, params, jax.random.key(0), jnp.int32(2))


def test_of_large_arrays_some_entries_are_checked() -> None:
    assert jaxcnn.check_gradients(jnp.sin, jnp.ones((50, 50)), max_entries=7).checked == 7
    assert jaxcnn.check_gradients(jnp.sin, jnp.ones(())).checked == 1
    assert jaxcnn.check_gradients(jnp.sin, jnp.ones((0, 3))).checked == 0


@pytest.mark.parametrize(
    ("arguments", "options", "kind", "message"),
    [
        ((jnp.ones(2),), {"max_entries": 0}, ValueError, "check_gradients: max_entries=0 must be at least 1"),
        ((jnp.ones(2),), {"modes": ("rev",)}, ValueError, r"check_gradients: modes=\('rev',\) must be a sequence of"),
        ((jnp.ones(2),), {"modes": "reverse"}, ValueError, r"modes='reverse' must be a sequence .* \('reverse',\)"),
        ((jnp.ones(2),), {"modes": ()}, ValueError, r"modes=\(\) must be a sequence of 'reverse', 'forward', or both"),
        ((jnp.arange(2),), {}, TypeError, "check_gradients: no argument has floating entries"),
    ],
)
def test_mistakes(arguments: Any, options: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        jaxcnn.check_gradients(jnp.negative, *arguments, **options)


def test_a_function_without_floating_results_is_refused() -> None:
    with pytest.raises(TypeError, match="check_gradients: the function has no floating result"):
        jaxcnn.check_gradients(jnp.argmax, jnp.ones(2))
