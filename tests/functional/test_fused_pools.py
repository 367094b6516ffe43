"""Pools of the result of other operations, in one program.

XLA may compute that result twice with different rounding. A maximum and its index must be consistent: every window has
one index, and passes its gradient to that entry.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import functional as F
from jaxcnn._geometry import plan_pool
from jaxcnn.functional._pooling._extrema import _Taps
from jaxcnn.functional._pooling._materialized import materialized
from tests.functional.transforms.calls import optimized

Function = Callable[[jax.Array], jax.Array]


def multiply_add(x: jax.Array) -> jax.Array:
    channels = jnp.arange(x.shape[-1], dtype=x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))
    return x * (1.3 + channels / 7) + channels / 9


def batch_norm(x: jax.Array) -> jax.Array:
    return F.batch_norm(x, F.batch_stats(x.shape[-1]), train=True)[0]


def conv(x: jax.Array) -> jax.Array:
    shape = (3,) * (x.ndim - 2) + (x.shape[-1], x.shape[-1])
    kernel = np.random.default_rng(5).standard_normal(shape) / math.sqrt(math.prod(shape[:-1]))
    return multiply_add(F.conv(x, jnp.asarray(kernel, x.dtype)))


PRODUCERS: tuple[Function, ...] = (
    multiply_add,
    batch_norm,
    conv,
    lambda x: jax.nn.relu(batch_norm(conv(x))),
    lambda x: jax.nn.gelu(multiply_add(x)),
)


def windows(
    function: Callable[..., jax.Array], window: int, **options: Any
) -> Callable[[jax.Array], Callable[..., jax.Array]]:
    return lambda x: functools.partial(function, window_shape=(window,) * (x.ndim - 2), **options)


POOLS = (
    windows(F.max_pool, 3, strides=2, padding=1),
    windows(F.max_pool, 2, strides=2),
    windows(F.min_pool, 3, strides=1, padding="SAME"),
    windows(F.max_pool, 5, strides=1, padding="SAME", window_dilation=1),
    windows(F.max_pool, 9, strides=2, padding=4),
    windows(F.min_pool, 10, strides=11, padding=5),
    lambda x: functools.partial(F.adaptive_max_pool, output_size=(4,) * (x.ndim - 2)),
    lambda x: functools.partial(F.global_max_pool, spatial_ndim=x.ndim - 2),
    lambda x: functools.partial(F.spatial_pyramid_pool, levels=(1, 2), spatial_ndim=x.ndim - 2),
    lambda x: functools.partial(F.feature_pool, size=2),
    # above 0, where abs is differentiable
    lambda x: lambda x: F.lp_pool(x + 9, (3,) * (x.ndim - 2), strides=2, p=math.inf),
)


@dataclasses.dataclass(frozen=True)
class Fused:
    """A pool of the result of another operation, for one shape."""

    shape: tuple[int, ...]
    producer: Function
    pool: Callable[[jax.Array], Function]

    def draw(self, dtype: Any) -> jax.Array:
        return jnp.asarray(np.random.default_rng(math.prod(self.shape)).standard_normal(self.shape), dtype)


def fifty() -> list[Fused]:
    """Fifty random pairs of an operation and a pool, on shapes of one to three axes."""
    random = np.random.default_rng(0)
    pairs = [(producer, pool) for pool in POOLS for producer in PRODUCERS]
    cases = []
    for number, at in enumerate(random.permutation(len(pairs))[:50]):
        ndim = (2, 2, 1, 2, 3)[number % 5]
        longest = {1: 60, 2: 24, 3: 9}[ndim]
        shape = (
            int(random.integers(1, 5)),
            *random.integers(6, longest, ndim).tolist(),
            2 * int(random.integers(1, 9)),
        )
        cases.append(Fused(shape, *pairs[at]))
    return cases


# In bfloat16, half of the parts, which include every pool, every operation and every number of axes.
TENTHS = [(part, dtype) for dtype, parts in (("float32", range(10)), ("bfloat16", (3, 4, 6, 7, 9))) for part in parts]


@jax.custom_jvp
def probed(x: jax.Array, probe: jax.Array) -> jax.Array:
    """``x``; the derivative with respect to ``probe`` is the one with respect to ``x``, and the program is the same."""
    return x


@probed.defjvp
def _probed_jvp(primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]) -> Any:
    return probed(*primals), tangents[0] + tangents[1]


@pytest.mark.gate
@pytest.mark.parametrize(("part", "dtype"), TENTHS)
def test_every_window_passes_its_gradient_to_one_entry(part: int, dtype: str) -> None:
    cases = fifty()[part::10]

    def routed(x: jax.Array, pool: Function, producer: Function) -> jax.Array:
        grad = jax.grad(lambda probe: pool(probed(producer(x), probe)).astype(jnp.float32).sum())
        return grad(jnp.zeros_like(x)).astype(jnp.float32)

    xs = [case.draw(dtype) for case in cases]
    with optimized():
        grads = jax.jit(lambda xs: [routed(x, c.pool(x), c.producer) for c, x in zip(cases, xs, strict=True)])(xs)
        produced = jax.jit(lambda xs: [c.producer(x) for c, x in zip(cases, xs, strict=True)])(xs)
    expected = jax.jit(lambda xs: [routed(x, c.pool(x), lambda x: x) for c, x in zip(cases, xs, strict=True)])(produced)
    for case, x, grad, wanted in zip(cases, xs, grads, expected, strict=True):
        count = jax.eval_shape(case.pool(x), x).size
        assert float(grad.sum()) == float(wanted.sum()) == count, case
        # Entries that are equal up to rounding may be exchanged, in bfloat16 more often.
        assert float(jnp.abs(grad - wanted).sum()) <= count * (0.002 if dtype == "float32" else 0.1), case


@pytest.mark.gate
@pytest.mark.parametrize(("part", "dtype"), TENTHS)
def test_indices_in_one_program_are_those_of_the_array(part: int, dtype: str) -> None:
    """They differ from indices found without fusion only where two entries are equal up to rounding."""
    options = ((3, 2, 1), (2, 2, 0), (5, 1, 2), (9, 2, 4), (10, 11, 5))
    cases = [(case, options[number % 5]) for number, case in enumerate(fifty()[part::10])]
    xs = [case.draw(dtype) for case, _ in cases]

    def pooled(x: jax.Array, option: tuple[int, int, int]) -> tuple[jax.Array, jax.Array]:
        window, strides, padding = option
        return F.max_pool_with_indices(x, (window,) * (x.ndim - 2), strides=strides, padding=padding)

    with optimized():
        results = jax.jit(lambda xs: [pooled(case.producer(x), o) for (case, o), x in zip(cases, xs, strict=True)])(xs)
        produced = jax.jit(lambda xs: [case.producer(x) for (case, _), x in zip(cases, xs, strict=True)])(xs)
    for (case, option), x, (y, indices) in zip(cases, produced, results, strict=True):
        expected, places = pooled(x, option)
        flat = np.asarray(x, np.float64).reshape(x.shape[0], -1, x.shape[-1])
        there = np.take_along_axis(flat, np.reshape(indices, (x.shape[0], -1, x.shape[-1])), 1).reshape(y.shape)
        rounding = 4 * float(jnp.finfo(dtype).eps) * np.maximum(np.abs(flat).max(), 1)
        assert (np.asarray(indices) >= 0).all(), case
        np.testing.assert_allclose(there, np.asarray(y, np.float64), rtol=0, atol=rounding)
        np.testing.assert_allclose(there, np.asarray(expected, np.float64), rtol=0, atol=rounding)
        assert np.mean(np.asarray(indices) == places) > 0.95


@pytest.mark.gate
def test_under_other_transforms() -> None:
    """In a loop, under ``vmap``, rematerialized, and in forward mode: each window of 3x3 still has one tangent."""
    x = jnp.asarray(np.random.default_rng(0).standard_normal((6, 29, 28, 16)), jnp.float32)

    def loss(probe: jax.Array, x: jax.Array) -> jax.Array:
        return F.max_pool(probed(batch_norm(x[None] if x.ndim == 3 else x), probe), (3, 3), strides=2, padding=1).sum()

    probe, one = jnp.zeros_like(x), jnp.zeros_like(x[:1])
    count = 15 * 14 * 16

    def in_a_loop(x: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda total, x: (total + jax.grad(loss)(one, x).sum(), None), 0.0, x)[0]

    programs: list[Callable[[jax.Array], jax.Array]] = [
        in_a_loop,
        lambda x: jax.vmap(lambda x: jax.grad(loss)(one, x))(x).sum(),
        lambda x: jax.grad(jax.checkpoint(loss))(probe, x).sum(),
        lambda x: jax.jvp(lambda probe: loss(probe, x), (probe,), (jnp.ones_like(probe),))[1],
        lambda x: jax.grad(lambda probe: jax.grad(lambda p: loss(p, x) ** 2 / 2)(probe).sum())(probe).sum() / 6 / count,
    ]
    with optimized():
        counts = jax.jit(lambda x: [program(x) for program in programs])(x)
    np.testing.assert_allclose(counts, [6 * count] * len(programs), rtol=1e-6)


def test_an_array_is_computed_once() -> None:
    """An array with two uses is stored once: no operation before ``materialized`` is repeated after it."""

    def twice(x: jax.Array, keep: Function) -> tuple[jax.Array, jax.Array]:
        x = keep(jnp.sin(x) * 2.5 + 1)
        return jnp.cos(x), x[::2] + 1

    x = jnp.ones((64, 48))
    with optimized():
        free, kept = (
            jax.jit(functools.partial(twice, keep=keep)).lower(x).compile().as_text()
            for keep in (lambda x: x, materialized)
        )
    assert free.count(" sine(") == 2 and kept.count(" sine(") == 1
    assert kept.count(" copy(") == 0


def test_a_window_has_a_tap_whatever_the_comparisons_give() -> None:
    """If no entry equals the maximum, the last tap inside the array is taken; a window of padding has none (255)."""
    x = jnp.arange(5.0)[:, None]
    plan = plan_pool((5,), (3,), strides=2, padding=((4, 2),))
    taps = _Taps(plan, 0).place(x, jnp.full((plan[0].positions, 1), 99.0))
    assert taps[:, 0].tolist() == [255, 2, 2, 2, 0]
