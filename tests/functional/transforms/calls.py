"""Helpers of all checks of the table: the arrays of a row, its outputs, a scalar of the outputs, and a comparison."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.functional.cases.case import Case

Arrays = Sequence[Any]
Call = Callable[..., Any]


@contextlib.contextmanager
def optimized() -> Iterator[None]:
    """Compiles programs as users compile them; elsewhere the suite disables LLVM's optimizer."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


def run(function: Call, *operands: Any) -> Any:
    """Compiles and runs a function once; the result is converted to NumPy, so that reading it compiles nothing."""
    return jax.device_get(jax.jit(function)(*operands))


def is_floating(array: Any) -> bool:
    return jnp.issubdtype(array.dtype, jnp.floating)


def outputs(call: Call, arrays: Arrays) -> list[jax.Array]:
    """The outputs of a call, as a flat list."""
    return jax.tree.leaves(call(*arrays))


def floats(call: Call, arrays: Arrays) -> list[jax.Array]:
    """The outputs that have derivatives."""
    return [leaf for leaf in outputs(call, arrays) if is_floating(leaf)]


# The properties of a row. Those that decide which checks the row goes through depend on its fields alone, since every
# process evaluates them for every row when it collects the tests.


@functools.lru_cache(maxsize=8)
def output_specs(case: Case, batches: int = 1) -> list[jax.ShapeDtypeStruct]:
    """Shapes and types of the outputs, for a batch that is ``batches`` times as large."""
    arrays = each_batched(case, case.draw(dtype=np.float32), lambda array: np.concatenate([array] * batches))
    return jax.tree.leaves(jax.eval_shape(case.call, *arrays))


def has_batch(case: Case) -> bool:
    return any(case.batched)


def trained(case: Case) -> tuple[int, ...]:
    """The indices of the arrays with derivatives."""
    pairs = zip(case.differentiable, case.integer, strict=True)
    return tuple(index for index, (yes, bound) in enumerate(pairs) if yes and not bound)


def has_derivatives(case: Case) -> bool:
    return bool(trained(case))


def batched_outputs(case: Case) -> list[bool]:
    """For each output, whether its axis 0 is the batch axis: it grows when the batch grows."""
    if not has_batch(case):
        return [False] * len(output_specs(case))
    pairs = zip(output_specs(case), output_specs(case, 2), strict=True)
    return [before.shape != after.shape for before, after in pairs]


def batched_floats(case: Case) -> list[bool]:
    """The values of ``batched_outputs`` for the outputs that have derivatives."""
    pairs = zip(batched_outputs(case), output_specs(case), strict=True)
    return [yes for yes, spec in pairs if is_floating(spec)]


def batched_trained(case: Case) -> list[bool]:
    """The values of ``batched`` for the arrays that have derivatives."""
    return [case.batched[index] for index in trained(case)]


def each_batched(case: Case, arrays: Arrays, change: Callable[[Any], Any]) -> list[Any]:
    """Applies a function to the arrays with a batch axis, and leaves the others unchanged."""
    return [change(array) if batched else array for array, batched in zip(arrays, case.batched, strict=True)]


def by_example(case: Case) -> bool:
    """Whether every output belongs to one example, and to no other."""
    return has_batch(case) and not case.couples_batch and not case.reduces_batch


# The scalar that is differentiated.


def weights(case: Case, dtype: Any = np.float32) -> list[np.ndarray]:
    """One random array for each floating output."""
    generator = np.random.default_rng(7)
    shapes = [spec.shape for spec in output_specs(case) if is_floating(spec)]
    return [generator.standard_normal(shape).astype(dtype) for shape in shapes]


def scalar(leaves: Sequence[jax.Array], weight: Arrays) -> jax.Array:
    """``sum of w * y * (1 + y / 2)``: not linear in ``y``, so that even linear functions have second derivatives."""
    total = jnp.zeros((), weight[0].dtype)
    for leaf, w in zip(leaves, weight, strict=True):
        wide = leaf.astype(w.dtype)
        total = total + jnp.sum(w * wide * (1 + wide / 2))
    return total


def pick(case: Case, arrays: Arrays) -> list[Any]:
    """The arrays that have derivatives."""
    return [arrays[index] for index in trained(case)]


def put(case: Case, arrays: Arrays, parts: Arrays) -> list[Any]:
    """All arrays, with those that have derivatives replaced."""
    whole = list(arrays)
    for index, part in zip(trained(case), parts, strict=True):
        whole[index] = part
    return whole


def value_and_gradients(case: Case, arrays: Arrays, weight: Arrays, call: Call | None = None) -> Any:
    """Outputs, and the gradient of the scalar for each array that has derivatives."""
    call = call or case.call
    parts = pick(case, arrays)
    if not parts or not weight:
        return outputs(call, arrays), []

    def loss(*inner: Any) -> tuple[jax.Array, list[jax.Array]]:
        leaves = outputs(call, put(case, arrays, inner))
        return scalar([leaf for leaf in leaves if is_floating(leaf)], weight), leaves

    grads, leaves = jax.grad(loss, tuple(range(len(parts))), has_aux=True)(*parts)
    return leaves, list(grads)


@dataclasses.dataclass(frozen=True)
class Reference:
    """The results of a row in float32, by one jitted program on one device."""

    arrays: list[np.ndarray]
    weight: list[np.ndarray]
    values: list[np.ndarray]
    grads: list[np.ndarray]
    program: Call


@functools.lru_cache(maxsize=2)
def reference(case: Case) -> Reference:
    """Computes the reference once for all checks of a row, which are consecutive."""
    arrays, weight = case.draw(0, np.float32), weights(case)
    program = jax.jit(functools.partial(value_and_gradients, case))
    with optimized():
        values, grads = jax.device_get(program(arrays, weight))
    return Reference(arrays, weight, values, grads, program)


def expect_close(got: Any, expected: Any, what: str, tolerance: float) -> None:
    """Compares two trees of arrays; the tolerance is relative to the largest entry of each array.

    Integers must be equal.
    """
    got_leaves, expected_leaves = jax.tree.leaves(got), jax.tree.leaves(expected)
    assert len(got_leaves) == len(expected_leaves), f"{what}: {len(got_leaves)} arrays, not {len(expected_leaves)}"
    for number, (one, two) in enumerate(zip(got_leaves, expected_leaves, strict=True)):
        assert one.shape == two.shape, f"{what}[{number}]: shape {one.shape}, not {two.shape}"
        if not is_floating(two):
            np.testing.assert_array_equal(one, two, err_msg=f"{what}[{number}]")
            continue
        a, b = np.asarray(one, np.float64), np.asarray(two, np.float64)
        assert np.isfinite(b).all(), f"{what}[{number}]: the expected values are not finite"
        scale = max(float(np.max(np.abs(b), initial=0.0)), 1e-3)
        worst = float(np.max(np.abs(a - b), initial=0.0)) / scale
        assert worst <= tolerance, f"{what}[{number}]: off by {worst:.3g} of the largest entry, allowed {tolerance:.3g}"
