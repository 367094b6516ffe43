"""``jit`` against no ``jit``, export and reload by ``jax.export``, and every floating type against float64."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.functional.cases.case import Case
from tests.functional.transforms.calls import (
    expect_close,
    has_derivatives,
    is_floating,
    outputs,
    pick,
    reference,
    run,
    value_and_gradients,
    weights,
)
from tests.functional.transforms.derivatives import derivatives

AGAIN = 2e-6
# The largest error, relative to the largest entry: about ten roundings of each type.
VALUE = {"float32": 1e-5, "float16": 1e-2, "bfloat16": 6e-2}
GRADIENT = {"float32": 3e-5, "float16": 2e-2, "bfloat16": 1e-1}


def check_jit(case: Case) -> None:
    """A call without ``jit`` equals a call with ``jit``."""
    row = reference(case)
    got = jax.device_get(outputs(case.call, [jnp.asarray(array) for array in row.arrays]))
    expect_close(got, row.values, "without jit", AGAIN)


def check_export(case: Case) -> None:
    """A function that is exported to bytes and loaded again gives the same values and gradients."""
    row = reference(case)
    specs = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in row.arrays]
    written = jax.export.export(jax.jit(case.call))(*specs).serialize(vjp_order=1 if row.grads else 0)
    again = jax.export.deserialize(written)
    got = run(functools.partial(value_and_gradients, case, call=again.call), row.arrays, row.weight)
    expect_close(got, (row.values, row.grads), "jax.export, values and gradients", AGAIN)


def check_dtypes(case: Case) -> None:
    """The type of the result is that of the input, and its numbers are close to those of float64."""
    half = [name for name in case.dtypes if name in ("float16", "bfloat16")]
    drawn = {name: case.draw(0, jnp.dtype(name)) for name in half}

    def every(arrays: Any, weight: Any) -> dict[str, Any]:
        return {name: value_and_gradients(case, arrays[name], weight) for name in half}

    got = run(every, drawn, weights(case)) if half else {}
    if "float32" in case.dtypes:
        row = reference(case)
        drawn["float32"], got["float32"] = row.arrays, (row.values, row.grads)
    for name, (values, grads) in got.items():
        # The exact values of the rounded inputs.
        exact_values, exact_grads = _in_float64(case, drawn[name])
        _expect_types(values, grads, name)
        expect_close(values, exact_values, f"values in {name}", VALUE[name])
        expect_close(grads, exact_grads, f"gradients in {name}", GRADIENT[name])
    if "float64" in case.dtypes:
        _expect_types(*_in_float64(case, case.draw()), "float64")


def _expect_types(values: Any, grads: Any, name: str) -> None:
    for what, leaves in (("a result", values), ("a gradient", grads)):
        for leaf in leaves:
            assert not is_floating(leaf) or leaf.dtype == name, f"in {name}, {what} is {leaf.dtype}"


def _in_float64(case: Case, arrays: Any) -> Any:
    wide = [np.asarray(array, np.float64) if is_floating(array) else array for array in arrays]
    if has_derivatives(case):  # that program is compiled in any case
        found = derivatives(case, wide, pick(case, wide))
        return found["outputs"], found["reverse"]
    with jax.enable_x64(True):
        return run(functools.partial(value_and_gradients, case), wide, weights(case, np.float64))
