"""Derivatives in float64 against finite differences, in every order of forward and reverse mode."""

import functools
from collections.abc import Callable
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
DIFFERENCE = 1e-6  # the error of a central difference with this step in float64 is about 1e-9 of the largest entry
SAME = 1e-11  # two ways to the same derivative
Orders = Callable[[Case, Arrays, Arrays, Arrays], dict[str, Any]]


def check_slopes(case: Case) -> None:
    """The first derivatives alone, in forward and in reverse mode."""
    _around(case, _first_order)


def check_derivatives(case: Case) -> None:
    """One program computes every derivative; its values at two nearby points give the finite differences."""
    here, slopes = _around(case, _every_order)
    expect_close(here["linearize"], here["forward"], "linearize against jvp", SAME)
    expect_close(here["transpose"], here["pullback"], "linear_transpose of linearize against vjp", SAME)
    expect_close(here["checkpoint"], here["reverse"], "gradient through jax.checkpoint", SAME)
    expect_close(here["forward of reverse"], slopes["reverse"], "second derivative against differences", DIFFERENCE)
    expect_close(here["reverse of reverse"], here["forward of reverse"], "reverse over reverse", SAME)
    expect_close(here["reverse of forward"], here["forward of reverse"], "reverse over forward", SAME)


def _around(case: Case, orders: Orders) -> tuple[dict[str, Any], dict[str, Any]]:
    """The derivatives at a point and their finite differences, after comparing the first order."""
    arrays, directions = case.draw(), pick(case, case.draw(seed=1))

    def at(step: float) -> dict[str, Any]:
        moved = [array + step * v for array, v in zip(pick(case, arrays), directions, strict=True)]
        return _computed(case, orders, put(case, arrays, moved), directions)

    here, ahead, behind = at(0.0), at(STEP), at(-STEP)
    slopes = {
        name: jax.tree.map(lambda a, b: (a - b) / (2 * STEP), ahead[name], behind[name])
        for name in ("value", "scalar", "reverse")
    }
    along = np.asarray(sum(np.vdot(g, v) for g, v in zip(here["reverse"], directions, strict=True)))
    expect_close(here["forward"], slopes["value"], "jvp against finite differences", DIFFERENCE)
    expect_close(along, slopes["scalar"], "gradient against finite differences", DIFFERENCE)
    return here, slopes


def check_entries(case: Case) -> None:
    """Checks up to 12 entries of each array, in both modes; the arrays of the table are away from kinks."""
    arrays = case.draw()
    parts = pick(case, arrays)
    found = jaxcnn.check_gradients(
        lambda *inner: floats(case.call, put(case, arrays, inner)), *parts, modes=("reverse", "forward"), max_entries=12
    )
    assert found.checked == sum(min(part.size, 12) for part in parts) and found.kinks == ()


def derivatives(case: Case, arrays: Arrays, directions: Arrays) -> dict[str, Any]:
    """Every derivative at a point, in float64 and NumPy."""
    return _computed(case, _every_order, arrays, directions)


def _computed(case: Case, orders: Orders, arrays: Arrays, directions: Arrays) -> dict[str, Any]:
    with jax.enable_x64(True):
        return jax.device_get(_program(case, orders)(arrays, directions, weights(case, np.float64)))


@functools.lru_cache(maxsize=2)
def _program(case: Case, orders: Orders) -> Call:
    return jax.jit(functools.partial(orders, case))


def _functions(case: Case, arrays: Arrays, weight: Arrays) -> tuple[Call, Call]:
    """Two functions of the arrays that have derivatives: the outputs, and their scalar."""

    def call(*inner: Any) -> list[jax.Array]:
        return floats(case.call, put(case, arrays, inner))

    return call, lambda *inner: scalar(call(*inner), weight)


def _first_order(case: Case, arrays: Arrays, directions: Arrays, weight: Arrays) -> dict[str, Any]:
    parts = tuple(pick(case, arrays))
    call, loss = _functions(case, arrays, weight)
    value, forward = jax.jvp(call, parts, tuple(directions))
    total, reverse = jax.value_and_grad(loss, tuple(range(len(parts))))(*parts)
    return {"value": value, "scalar": total, "forward": forward, "reverse": list(reverse)}


def _every_order(case: Case, arrays: Arrays, directions: Arrays, weight: Arrays) -> dict[str, Any]:
    parts, v = tuple(pick(case, arrays)), tuple(directions)
    every = tuple(range(len(parts)))
    call, loss = _functions(case, arrays, weight)
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
