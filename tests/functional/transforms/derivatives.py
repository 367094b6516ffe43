"""Derivatives in float64 against finite differences, in every order of forward and reverse mode."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxcnn
from tests.functional.cases.case import Case
from tests.functional.transforms.calls import (
    Arrays,
    Call,
    expect_close,
    floats,
    outputs,
    pick,
    put,
    scalar,
    weights,
)

STEP = 3e-6
DIFFERENCE = 1e-6  # a central difference with this step in float64 is good to about 1e-9 of the largest entry
SAME = 1e-11  # two ways to the same derivative


def check_derivatives(case: Case) -> None:
    """One program gives every derivative; run beside the point, its values are the finite differences."""
    arrays, directions = case.draw(), pick(case, case.draw(seed=1))

    def at(step: float) -> dict[str, Any]:
        moved = [array + step * v for array, v in zip(pick(case, arrays), directions, strict=True)]
        return derivatives(case, put(case, arrays, moved), directions)

    here, ahead, behind = at(0.0), at(STEP), at(-STEP)

    def slope(name: str) -> Any:
        return jax.tree.map(lambda a, b: (a - b) / (2 * STEP), ahead[name], behind[name])

    along = np.asarray(sum(np.vdot(g, v) for g, v in zip(here["reverse"], directions, strict=True)))
    expect_close(here["forward"], slope("value"), "jvp against finite differences", DIFFERENCE)
    expect_close(along, slope("scalar"), "gradient against finite differences", DIFFERENCE)
    expect_close(here["linearize"], here["forward"], "linearize against jvp", SAME)
    expect_close(here["transpose"], here["pullback"], "linear_transpose of linearize against vjp", SAME)
    expect_close(here["checkpoint"], here["reverse"], "gradient through jax.checkpoint", SAME)
    expect_close(here["forward of reverse"], slope("reverse"), "second derivative against differences", DIFFERENCE)
    expect_close(here["reverse of reverse"], here["forward of reverse"], "reverse over reverse", SAME)
    expect_close(here["reverse of forward"], here["forward of reverse"], "reverse over forward", SAME)


def check_entries(case: Case) -> None:
    """Every array entry by entry, up to 12 of each, in both modes; the table's arrays are away from kinks."""
    arrays = case.draw()
    parts = pick(case, arrays)
    found = jaxcnn.check_gradients(
        lambda *inner: floats(case.call, put(case, arrays, inner)), *parts, modes=("reverse", "forward"), max_entries=12
    )
    assert found.checked == sum(min(part.size, 12) for part in parts) and found.kinks == ()


def derivatives(case: Case, arrays: Arrays, directions: Arrays) -> dict[str, Any]:
    """Every derivative at a point, in float64 and NumPy."""
    with jax.enable_x64(True):
        return jax.device_get(_program(case)(arrays, directions, weights(case, np.float64)))


@functools.lru_cache(maxsize=2)
def _program(case: Case) -> Call:
    return jax.jit(functools.partial(_derivatives, case))


def _derivatives(case: Case, arrays: Arrays, directions: Arrays, weight: Arrays) -> dict[str, Any]:
    parts, v = tuple(pick(case, arrays)), tuple(directions)
    every = tuple(range(len(parts)))

    def call(*inner: Any) -> list[jax.Array]:
        return floats(case.call, put(case, arrays, inner))

    def loss(*inner: Any) -> jax.Array:
        return scalar(call(*inner), weight)

    gradient = jax.grad(loss, every)

    def gradient_along(*inner: Any) -> Any:
        return sum(jnp.vdot(g, w) for g, w in zip(gradient(*inner), v, strict=True))

    value, linear = jax.linearize(call, *parts)
    reverse, forward_of_reverse = jax.jvp(gradient, parts, v)
    return {
        "outputs": outputs(case.call, arrays),
        "value": value,
        "scalar": loss(*parts),
        "forward": jax.jvp(call, parts, v)[1],
        "linearize": linear(*v),
        "transpose": jax.linear_transpose(linear, *parts)(list(weight)),
        "pullback": jax.vjp(call, *parts)[1](list(weight)),
        "reverse": list(reverse),
        "checkpoint": list(jax.grad(jax.checkpoint(loss), every)(*parts)),
        "forward of reverse": list(forward_of_reverse),
        "reverse of reverse": list(jax.grad(gradient_along, every)(*parts)),
        "reverse of forward": list(jax.grad(lambda *inner: jax.jvp(loss, inner, v)[1], every)(*parts)),
    }
