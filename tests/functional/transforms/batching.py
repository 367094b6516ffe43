"""``vmap`` over each array, gradients of each example, and any number of batch axes."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.functional.cases.case import Case
from tests.functional.transforms.calls import (
    Arrays,
    batched_floats,
    batched_outputs,
    batched_trained,
    by_example,
    each_batched,
    expect_close,
    outputs,
    reference,
    run,
    trained,
    value_and_gradients,
)

CLOSE = 2e-5  # float32, summed in another order


def check_vmap(case: Case) -> None:
    """``vmap`` over each array and over all of them equals a Python loop, and so does ``vmap`` of the gradient."""
    row = reference(case)
    first, second = row.arrays, case.draw(1, np.float32)
    pairs = [np.stack(pair) for pair in zip(first, second, strict=True)]
    got = run(functools.partial(_vmapped, case), pairs, row.weight)
    for index in range(len(first)):
        mixed = [*first[:index], second[index], *first[index + 1 :]]
        expected = _stack(row.values, row.program(mixed, row.weight)[0])
        expect_close(got["one"][index], expected, f"vmap over array {index}", CLOSE)
    expected = _stack((row.values, row.grads), row.program(second, row.weight))
    expect_close(got["all"], expected, "vmap over all arrays, values and gradients", CLOSE)


def _stack(one: Any, two: Any) -> Any:
    return jax.tree.map(lambda a, b: np.stack([a, b]), one, two)


def _vmapped(case: Case, pairs: Arrays, weight: Arrays) -> dict[str, Any]:
    one = []
    for index in range(len(pairs)):
        axes = [0 if index == number else None for number in range(len(pairs))]
        operands = [pair if index == number else pair[0] for number, pair in enumerate(pairs)]
        one.append(jax.vmap(lambda *arrays: outputs(case.call, arrays), axes)(*operands))
    # Over all at once the axis is the last one, where a batching rule that assumes the first would show.
    last = [jnp.moveaxis(pair, 0, -1) for pair in pairs]
    both = jax.vmap(lambda *arrays: value_and_gradients(case, arrays, weight), in_axes=-1)(*last)
    return {"one": one, "all": both}


def check_examples(case: Case) -> None:
    """Results of single examples, by ``vmap``, sum to those of the batch: gradients, and sums over the batch."""
    row = reference(case)
    values, grads = run(functools.partial(_each_example, case), row.arrays, row.weight)
    if case.reduces_batch:
        expect_close([leaf.sum(0) for leaf in values], row.values, "sum of the outputs of single examples", CLOSE)
        return
    summed = []
    for index, gradient in zip(trained(case), grads, strict=True):
        summed.append(np.concatenate(gradient) if case.batched[index] else gradient.sum(0))
    expect_close(summed, row.grads, "sum of the gradients of single examples", CLOSE)


def _each_example(case: Case, arrays: Arrays, weight: Arrays) -> Any:
    def split(array: Any) -> Any:
        return array.reshape(array.shape[0], 1, *array.shape[1:])

    parts, axes = each_batched(case, arrays, split), [0 if batched else None for batched in case.batched]
    if case.reduces_batch:
        return jax.vmap(lambda *one: outputs(case.call, one), in_axes=axes)(*parts), []
    each = jax.vmap(lambda one, w: value_and_gradients(case, one, w), in_axes=(axes, 0))
    return each(parts, [split(w) for w in weight])


def check_batch_axes(case: Case) -> None:
    """No, one and two batch axes give the same numbers and gradients; an empty batch gives an empty output."""
    row = reference(case)
    got = run(functools.partial(_batch_axes, case), row.arrays, row.weight)
    has_axis = batched_trained(case)
    expect_close(got["two"][0], _split(row.values, batched_outputs(case)), "two batch axes", CLOSE)
    if row.grads:
        expect_close(got["two"][1], _split(row.grads, has_axis), "gradient with two batch axes", CLOSE)
    if not by_example(case):
        return
    expect_close(got["none"][0], [leaf[0] for leaf in row.values], "no batch axis", CLOSE)
    if row.grads:
        expected = [leaf[0] for leaf, yes in zip(row.grads, has_axis, strict=True) if yes]
        none = [leaf for leaf, yes in zip(got["none"][1], has_axis, strict=True) if yes]
        expect_close(none, expected, "gradient with no batch axis", CLOSE)
    expect_close(got["empty"], [leaf[:0] for leaf in row.values], "a batch of none", CLOSE)


def _split(leaves: Sequence[Any], mask: Sequence[bool]) -> list[Any]:
    """Splits the batch axis of 8 into two batch axes."""
    return [leaf.reshape(2, 4, *leaf.shape[1:]) if yes else leaf for leaf, yes in zip(leaves, mask, strict=True)]


def _batch_axes(case: Case, arrays: Arrays, weight: Arrays) -> dict[str, Any]:
    two = value_and_gradients(case, _split(arrays, case.batched), _split(weight, batched_floats(case)))
    if not by_example(case):
        return {"two": two}
    none = value_and_gradients(case, each_batched(case, arrays, lambda array: array[0]), [w[0] for w in weight])
    empty = outputs(case.call, each_batched(case, arrays, lambda array: array[:0]))
    return {"two": two, "none": none, "empty": empty}
