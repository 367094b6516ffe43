"""Each check of the table fails for a function with the defect that it detects, and passes for a correct function."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.functional.cases.case import Case
from tests.functional.transforms import CHECKS

REFUSALS = Exception  # a failed comparison, or the error of JAX if a transform is not possible


def row(call: Any, **options: Any) -> Case:
    fields = {"shapes": ((8, 3, 2), (2,)), "batched": (True, False)}
    return Case(function="sound", call=call, **(fields | options))


def sound(x: jax.Array, k: jax.Array) -> jax.Array:
    return jnp.sin(x) * k.reshape((1,) * (x.ndim - 1) + k.shape)


def share_of_batch(x: jax.Array, k: jax.Array) -> jax.Array:
    total = jax.lax.psum(jnp.sum(x), "data")
    return sound(x, k) + total


def share_of_sum(x: jax.Array, k: jax.Array) -> jax.Array:
    return jnp.sum(sound(x, k))


SOUND = {
    "of each example": row(sound),
    "over the batch": row(lambda x, k: sound(x, k) + jnp.sum(x), couples_batch=True, scoped=share_of_batch),
    "a sum": row(share_of_sum, reduces_batch=True),
    "of no batch": row(lambda k: k * k, shapes=((3,),), batched=(False,)),
    "of nothing": row(lambda: jnp.arange(3.0), shapes=(), batched=()),
    "with integers": row(
        lambda x, i: (x * i.astype(x.dtype), i), shapes=((8, 3), (8, 3)), batched=(True, True), integer=(0, 5)
    ),
}


@pytest.mark.gate  # by default the functions of the table are the correct functions
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", SOUND)
def test_a_sound_function_passes(name: str, check: str) -> None:
    function, supports = CHECKS[check]
    if supports(SOUND[name]):
        function(SOUND[name])


@jax.custom_vjp
def wrong_gradient(x: jax.Array) -> jax.Array:
    return x * x


wrong_gradient.defvjp(lambda x: (x * x, x), lambda x, g: (g * x,))


@jax.custom_jvp
def wrong_second(x: jax.Array) -> jax.Array:
    return x * x


@wrong_second.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (x,), (v,) = primals, tangents
    return x * x, 2 * jax.lax.stop_gradient(x) * v


def only_whole_batches(x: jax.Array) -> jax.Array:
    if x.shape[0] != 8:
        raise ValueError("only batches of 8")
    return x


def blind_vmap(x: jax.Array) -> jax.Array:
    """A batching rule that assumes the first axis."""
    function = jax.custom_batching.custom_vmap(jnp.cos)
    function.def_vmap(lambda size, batched, y: (jnp.cos(y) * 2, True))
    return function(x)


def sees_tracers(x: jax.Array) -> jax.Array:
    return x if isinstance(x, jax.core.Tracer) else 2 * x


def counts_calls() -> Any:
    calls = []

    def function(x: jax.Array) -> jax.Array:
        calls.append(1)
        return x * len(calls)

    return function


def calls_host(x: jax.Array) -> jax.Array:
    return jax.pure_callback(np.asarray, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="sequential")


def sees_mesh(x: jax.Array) -> jax.Array:
    return x if jax.sharding.get_abstract_mesh().empty else 2 * x


def gathers(x: jax.Array) -> jax.Array:
    mesh = jax.sharding.get_abstract_mesh()
    return x if mesh.empty else jax.sharding.reshard(x, jax.sharding.PartitionSpec())


def gathers_and_splits(x: jax.Array) -> jax.Array:
    """The result is split over the devices as expected, but each device has computed all of it."""
    if jax.sharding.get_abstract_mesh().empty:
        return jnp.sin(x)
    return jax.sharding.reshard(jnp.sin(gathers(x)), jax.sharding.PartitionSpec("data"))


def merges_axes(x: jax.Array) -> jax.Array:
    """Merges the batch axis by a reshape that Explicit sharding does not support."""
    return jnp.sin(x.reshape(-1, 2)).reshape(x.shape[::-1]).T


@jax.custom_jvp
def wrong_in_one_row(x: jax.Array) -> jax.Array:
    return x * x


@wrong_in_one_row.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (x,), (v,) = primals, tangents
    return x * x, 2 * x * v * jnp.ones(x.shape, x.dtype).at[1].set(1.001)


BROKEN = {
    "derivatives": [wrong_gradient, wrong_second, lambda x: x * jax.lax.stop_gradient(x)],
    "slopes": [wrong_gradient, lambda x: x * jax.lax.stop_gradient(x)],
    "jit": [sees_tracers, counts_calls()],
    "export": [calls_host, counts_calls()],
    "entries": [wrong_gradient, wrong_in_one_row, lambda x: x * jax.lax.stop_gradient(x)],
    "dtypes": [
        lambda x: x.astype(jnp.float32),
        lambda x: (x + 1e4) - 1e4,
        lambda x: x + 1e-3 if x.dtype == jnp.float32 else x,
        lambda x: jnp.cumsum(jnp.tile(x, 300), -1)[..., -1:] * 0 + jnp.nan if x.dtype == jnp.bfloat16 else x[..., :1],
    ],
    "vmap": [blind_vmap, counts_calls()],
    "examples": [only_whole_batches, lambda x: x - x[:1] if x.shape[0] > 1 else x],
    "batch_axes": [lambda x: x * x.ndim, lambda x: x * x.shape[0], lambda x: x.reshape(-1, 3, 2)],
    "auto_mesh": [counts_calls(), only_whole_batches, lambda x: x * x.shape[0]],
    "explicit_mesh": [
        sees_mesh,
        gathers,
        gathers_and_splits,
        lambda x: jnp.sin(x.reshape(-1, 2)).reshape(x.shape[::-1]).T,
    ],
    "pmap": [only_whole_batches, lambda x: x * x.shape[0]],
}
ATTEMPTS = [
    pytest.param(check, number, marks=pytest.mark.gate if number else ())
    for check, calls in BROKEN.items()
    for number in range(len(calls))
]


@pytest.mark.parametrize(("check", "number"), ATTEMPTS)
@pytest.mark.gate
def test_a_broken_function_is_refused(check: str, number: int) -> None:
    broken = BROKEN[check][number]
    with pytest.raises(REFUSALS):
        CHECKS[check][0](row(lambda x, k: sound(broken(x), k)))


def test_forward_mode_that_is_blocked_is_refused() -> None:
    """A ``custom_vjp`` with a correct gradient has no forward mode."""
    square = jax.custom_vjp(lambda x: x * x)
    square.defvjp(lambda x: (x * x, x), lambda x, g: (2 * g * x,))
    with pytest.raises((TypeError, NotImplementedError), match=r"custom_lin|custom_vjp|forward-mode"):
        CHECKS["derivatives"][0](row(lambda x, k: sound(square(x), k)))


def test_batch_statistics_of_one_device_are_refused() -> None:
    """The function depends on the batch, and has no ``axis_name`` to sum over devices."""
    local = row(lambda x, k: sound(x, k) - jnp.mean(x))
    for check in ("examples", "batch_axes", "auto_mesh", "pmap"):
        with pytest.raises(AssertionError):
            CHECKS[check][0](local)


def test_every_check_has_a_broken_function() -> None:
    assert set(BROKEN) == set(CHECKS)
