"""Factorised layers that compensate for the errors of the layers before them.

A factorised layer reads other inputs ``x'`` than the original one, since the layers before it are approximated too. Its
last factor ``B``, with the bias ``c``, is fitted again so that its outputs are those of the original layer for the
original inputs: ``min over B, c of sum |y(x) - (z(x') B + c)|^2``, where ``z`` has the inputs of the factor. Layers are
fitted in the order of the program (Zhang, Zou, He and Sun, Accelerating very deep convolutional networks for
classification and detection, 2016, "Asymmetric reconstruction for multi-layer", where all factors of a layer are
fitted).
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export, lax

from jaxcnn import functional as F
from jaxcnn._symbolic import is_symbolic
from jaxcnn.export._operations import Operation, constant
from jaxcnn.export._portable import PortableProgram

RIDGE = 0.1  # of the mean second moment of a factor's inputs; where these are 0, the factor is not changed

Arrays = dict[int, jax.Array]


def refitted(
    program: PortableProgram, changed: Mapping[int, Sequence[Operation]], images: jax.Array
) -> list[Operation]:
    """The operations, with those in ``changed`` replaced and the last convolution of each replacement fitted.

    Args:
        program: the original one.
        changed: the convolutions that replace an operation, by its id.
        images: inputs of the program; the arrays of all of them are in memory at once.
    """
    rows = program.input.shape[0]
    if not is_symbolic(rows):  # batches of the size that the program reads
        images = images[np.arange(-(-len(images) // rows) * rows) % len(images)].reshape(-1, rows, *images.shape[1:])
    original, smaller = ({id(program.input): images} for _ in range(2))
    last = max((place for place, each in enumerate(program.operations) if id(each) in changed), default=-1)
    fitted, unread = list[Operation](), _count_reads(program.operations)
    for place, operation in enumerate(program.operations):
        parts = list(changed.get(id(operation), [operation]))
        if place <= last:
            compute = _compiled(program, operation)
            _add(original, operation, compute(original))
            if id(operation) in changed:
                for part in parts[:-1]:
                    _add(smaller, part, _compiled(program, part)(smaller))
                target = original[id(operation.outputs[0])]
                parts[-1] = _fitted(parts[-1], smaller[id(parts[-1].inputs[0])], target)
                _add(smaller, operation, _compiled(program, parts[-1])(smaller))
                for part in parts[:-1]:
                    del smaller[id(part.outputs[0])]
            elif all(smaller.get(id(value)) is original.get(id(value)) for value in operation.inputs):
                smaller.update({id(value): original[id(value)] for value in operation.outputs})
            else:
                _add(smaller, operation, compute(smaller))
            for value in operation.inputs:  # arrays without further readers are freed
                unread[id(value)] -= 1
                if not unread[id(value)] and value is not program.input:
                    original.pop(id(value), None)
                    smaller.pop(id(value), None)
        fitted += parts
    return fitted


def _count_reads(operations: Sequence[Operation]) -> dict[int, int]:
    """How often each value is read."""
    counts: dict[int, int] = {}
    for operation in operations:
        for value in operation.inputs:
            counts[id(value)] = counts.get(id(value), 0) + 1
    return counts


def _add(arrays: Arrays, operation: Operation, results: Sequence[jax.Array]) -> None:
    arrays.update(zip(map(id, operation.outputs), results, strict=True))


def _compiled(program: PortableProgram, operation: Operation) -> Callable[[Arrays], list[jax.Array]]:
    """A function of the arrays of both programs that computes the results of an operation; it is compiled once."""
    if is_symbolic(program.input.shape[0]):
        # the size of the batch is that of the program's input, which the operation itself may not read
        values = [program.input, *operation.inputs]
        structs = [jax.ShapeDtypeStruct(value.shape, value.dtype) for value in values]
        whole = jax.jit(lambda _, *operands: operation.apply(*operands), keep_unused=True)
        disabled = [export.DisabledSafetyCheck.platform()]
        call = jax.jit(export.export(whole, platforms=("cpu",), disabled_checks=disabled)(*structs).call)
        return lambda arrays: call(arrays[id(program.input)], *_operands(operation, arrays))

    @functools.cache
    def vectorized(axes: tuple[int | None, ...]) -> Callable[..., list[jax.Array]]:
        return jax.jit(jax.vmap(operation.apply, axes))

    def compute(arrays: Arrays) -> list[jax.Array]:
        axes = tuple(0 if id(value) in arrays else None for value in operation.inputs)
        if 0 in axes:
            return vectorized(axes)(*_operands(operation, arrays))
        groups = len(arrays[id(program.input)])  # the result does not depend on the images
        return [jnp.broadcast_to(y, (groups, *y.shape)) for y in operation.apply(*_operands(operation, arrays))]

    return compute


def _operands(operation: Operation, arrays: Arrays) -> list[Any]:
    return [arrays.get(id(value), value.array) for value in operation.inputs]


def _fitted(factor: Operation, x: jax.Array, target: jax.Array) -> Operation:
    """The convolution whose results are closest to the target; a bias is fitted if there is one."""
    kernel, *bias = (np.asarray(value.array, np.float64) for value in factor.inputs[1:])
    patches, residuals = _patches_and_residuals(
        factor, x.reshape(-1, *x.shape[-3:]), target.reshape(-1, *target.shape[-3:])
    )
    means = [each.mean(0, keepdims=True) * bool(bias) for each in (patches, residuals)]
    patches, residuals = patches - means[0], residuals - means[1]
    moments, products = (
        np.asarray(lax.dot(patches.T, each, precision="highest"), np.float64) / len(patches)
        for each in (patches, residuals)
    )
    ridge = RIDGE * max(np.trace(moments) / len(moments), 1e-30)
    step = np.linalg.solve(moments + ridge * np.eye(len(moments)), products)
    updated = [
        kernel + step.reshape(kernel.shape),
        *(each + np.asarray(means[1] - means[0] @ step)[0] for each in bias),
    ]
    new = [constant(each.astype(value.dtype)) for each, value in zip(updated, factor.inputs[1:], strict=True)]
    return factor.with_inputs(factor.inputs[0], *new)


def _patches_and_residuals(factor: Operation, x: jax.Array, target: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The inputs of a convolution at each position, ``(n, window * in)``, and its residuals, ``(n, out)``."""
    params, window = factor.params, factor.inputs[1].shape[:2]
    patches = F.extract_patches(
        x,
        window,
        strides=params["window_strides"],
        padding=params["padding"],
        window_dilation=params["rhs_dilation"],
    )
    (y,) = factor.apply(x, *(value.array for value in factor.inputs[1:]))
    return patches.reshape(-1, prod(factor.inputs[1].shape[:3])), (target - y).reshape(-1, y.shape[-1])
