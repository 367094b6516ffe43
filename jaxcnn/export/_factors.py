"""Shared parts of factorisations of convolutions: the layers, the second moments of their inputs, and new layers."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn.export._fold import out_axis
from jaxcnn.export._operations import Operation, Value, constant
from jaxcnn.export._portable import PortableProgram

BATCH = 32
# The parameters of a 1x1 convolution that reads every position.
ONE = {"window_strides": (1, 1), "rhs_dilation": (1, 1), "padding": ((0, 0), (0, 0))}
RIDGE = 1e-6  # lower bound of eigenvalues, relative to the mean second moment, so that the root has an inverse


def is_full(operation: Operation) -> bool:
    """Whether an operation is a two-dimensional convolution of all channels, channels last, that can be factorised."""
    if operation.name != "conv_general_dilated" or out_axis(operation) is None:
        return False
    params, kernel = operation.params, operation.inputs[1]
    layout = tuple(params["dimension_numbers"].rhs_spec) == (3, 2, 0, 1) and len(kernel.shape) == 4
    return layout and params["feature_group_count"] == 1 and max(params["lhs_dilation"]) == 1


def moments_of(program: PortableProgram, layers: Sequence[Operation], images: jax.Array) -> list[np.ndarray]:
    """For each layer, the second moments of the entries that one column of its window reads, ``(a * in, a * in)``."""
    if not layers:
        return []
    values = [layer.inputs[0] for layer in layers]
    whole = dataclasses.replace(program, results=tuple(values), tree=jax.tree.structure([0] * len(values)))

    @jax.jit
    def measured(images: jax.Array) -> list[jax.Array]:
        return [_column_moments(x, layer) for x, layer in zip(whole.exported.call(images), layers, strict=True)]

    rows = program.input.shape[0] if isinstance(program.input.shape[0], int) else BATCH
    found = [measured(images[np.arange(start, start + rows) % len(images)]) for start in range(0, len(images), rows)]
    return [np.mean([np.asarray(part, np.float64) for part in parts], 0) for parts in zip(*found, strict=True)]


def _column_moments(x: jax.Array, layer: Operation) -> jax.Array:
    """The second moments of ``x`` over the windows ``(a, 1)`` that are read, with the order ``(a, in)`` of the entries.

    A window of several columns is assumed to read all columns; a window of one column reads those that the stride
    selects.
    """
    height, width = layer.inputs[1].shape[:2]
    (rows, columns), dilation = layer.params["window_strides"], layer.params["rhs_dilation"][0]
    margins = [(max(before, 0), max(after, 0)) for before, after in layer.params["padding"]]
    if width > 1:
        margins[1], columns = (0, 0), 1
    x = jnp.pad(x, ((0, 0), *margins, (0, 0)))[:, :, ::columns]
    last = (layer.outputs[0].shape[1] - 1) * rows + 1
    taps = [x[:, tap * dilation : tap * dilation + last : rows] for tap in range(height)]
    table = jnp.concatenate(taps, -1).reshape(-1, height * x.shape[-1])
    return lax.dot(table.T, table, precision="highest") / table.shape[0]


def root_of(moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``L^T`` and its inverse, for second moments ``C = L L^T`` with ``L = V diag(s)`` from the eigenvectors of ``C``.

    >>> root, inverse = root_of(np.array([[2.0, 1.0], [1.0, 2.0]]))
    >>> np.allclose(root.T @ root, [[2, 1], [1, 2]]), np.allclose(inverse @ root, np.eye(2))
    (True, True)
    """
    ridge = RIDGE * max(np.trace(moments) / len(moments), 1e-30)
    squares, vectors = np.linalg.eigh(moments)
    scales = np.sqrt(np.maximum(squares, ridge))
    return scales[:, None] * vectors.T, vectors / scales


def unreachable(budget: float, share: float) -> ValueError:
    """The error about a budget that even the lowest ranks exceed."""
    return ValueError(
        f"budget={budget} cannot be reached: with ranks of 1 the program still has {share:.3f} of its multiply-adds."
    )


def factor(layer: Operation, inputs: tuple[Value, ...], result: Value, changes: Mapping[str, Any]) -> Operation:
    """A convolution in place of a part of a layer, with some parameters changed."""
    params = {**layer.params, **changes}
    names = ("window_strides", "padding", "rhs_dilation", "dimension_numbers", "precision")
    options: dict[str, Any] = {name: params[name] for name in names}

    def apply(x: jax.Array, kernel: jax.Array, *bias: jax.Array) -> list[jax.Array]:
        y = lax.conv_general_dilated(x, kernel, **options)
        return [y + bias[0].reshape(1, 1, 1, -1) if bias else y]

    return dataclasses.replace(layer, inputs=inputs, outputs=(result,), params=params, apply=apply)


def pair(
    layer: Operation,
    kernels: tuple[np.ndarray, np.ndarray],
    columns: Any,
    changes: tuple[Mapping[str, Any], Mapping[str, Any]],
) -> list[Operation]:
    """The two convolutions that replace a layer; the second one has the bias.

    Args:
        layer: the convolution.
        kernels: ``(*window, in, K)`` and ``(*window, K, out)``.
        columns: the number of columns of the maps between the convolutions; the number of rows is that of the result.
        changes: for each convolution, the parameters that differ from those of the layer.
    """
    x, kernel, *bias = layer.inputs
    result = layer.outputs[0]
    first, second = (constant(each.astype(kernel.dtype)) for each in kernels)
    middle = Value((x.shape[0], result.shape[1], columns, first.shape[-1]), result.dtype)
    return [
        factor(layer, (x, first), middle, changes[0]),
        factor(layer, (middle, second, *bias), result, changes[1]),
    ]
