"""How a CPU computes the convolutions of a program in JAX: by the algorithms of this library, on prepared kernels.

A file has one ``lax.conv_general_dilated`` for each convolution. On a CPU, XLA computes them slowly for single images,
and depthwise convolutions slowest. A program that is called in JAX need not be portable. Its kernels are known when it
is compiled, so computations on kernels alone are executed once instead of in every call:

- a window of one position is a matrix product;
- a 3x3 window over many positions is Winograd's minimal filtering, with the transformed kernel;
- other windows over few positions are rows of a matrix, which the transposed kernel multiplies from the left: a matrix
  product packs its right operand first, which takes longer for the kernel than for the rows;
- all other convolutions are ``functional.conv``, which selects an algorithm by its estimates.

In Winograd's filtering a NaN or an infinity reaches all outputs of its tile.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._symbolic import is_symbolic
from jaxcnn._winograd import KERNEL as OF_KERNEL
from jaxcnn._winograd import STEP, TILE, Tiling, along_both_axes, convolve
from jaxcnn.export._fold import out_axis
from jaxcnn.export._operations import Operation
from jaxcnn.functional import conv, extract_patches

Convolve = Callable[[jax.Array], jax.Array]

FEW_POSITIONS = 256  # with more, the kernel is read often enough that its order matters less
FEW_CHANNELS = 32  # with fewer, the contiguous parts of a row are short
WINOGRAD_CHANNELS = 48  # with fewer, transforming the tiles takes longer than it saves
WINOGRAD_TILES = 12  # with fewer, reading the transformed kernel, four times as large, takes longer than it saves
TILE_BYTES = 12 * 2**20  # of all tiles; more do not fit into the cache


def for_cpu(operations: Sequence[Operation]) -> list[Operation]:
    """The same operations, with convolutions by the algorithms of this module; finite results are equal."""
    return [_for_cpu(each) for each in operations]


def _for_cpu(operation: Operation) -> Operation:
    params = operation.params
    if operation.name != "conv_general_dilated" or len(operation.inputs) < 2 or out_axis(operation) is None:
        return operation
    numbers, last = params["dimension_numbers"], len(operation.inputs[0].shape) - 1
    ordered = (0, last, *range(1, last))
    if numbers.lhs_spec != ordered or numbers.out_spec != ordered or numbers.rhs_spec[:2] != (last, last - 1):
        return operation
    compute = _algorithm_for(operation)
    if compute is None:
        return operation

    def apply(x: jax.Array, _: Any, *bias: Any) -> list[jax.Array]:
        y = compute(x)
        return [y + jnp.asarray(bias[0], y.dtype).reshape((1,) * (y.ndim - 1) + (-1,)) if bias else y]

    return dataclasses.replace(operation, apply=apply)


def _algorithm_for(operation: Operation) -> Convolve | None:
    """The function that computes a convolution; None for the operation that is in the file."""
    kernel, params = np.asarray(operation.inputs[1].array), operation.params
    groups, one_position = params["feature_group_count"], set(kernel.shape[:-2]) == {1}
    default = functools.partial(
        conv,
        kernel=kernel,
        strides=params["window_strides"],
        padding=params["padding"],
        input_dilation=params["lhs_dilation"],
        kernel_dilation=params["rhs_dilation"],
        feature_group_count=groups,
        precision=params["precision"],
        preferred_element_type=params["preferred_element_type"],
    )
    if is_symbolic(operation.inputs[0].shape[0]):
        if groups == operation.inputs[0].shape[-1]:
            return functools.partial(default, algorithm="shifted")
        return functools.partial(default, algorithm="matmul") if one_position and groups == 1 else None
    prepared = _prepared(operation, kernel) if _is_plain(operation) else None
    if prepared is None and one_position and groups == 1:
        return functools.partial(default, algorithm="matmul")
    return default if prepared is None else prepared


def _is_plain(operation: Operation) -> bool:
    """Whether this is a convolution of float32 over two axes, of one group, without dilation and cropping."""
    x, result, params = operation.inputs[0], operation.outputs[0], operation.params
    dilations = {*params["lhs_dilation"], *params["rhs_dilation"]}
    floats = x.dtype == result.dtype == np.float32 and params["precision"] is None
    over_two_axes = len(params["padding"]) == 2 and min(map(min, params["padding"])) >= 0
    return floats and over_two_axes and params["feature_group_count"] == 1 and dilations == {1}


def _prepared(operation: Operation, kernel: np.ndarray) -> Convolve | None:
    """A plain convolution with a kernel that is prepared in advance, or None if this is not faster."""
    (height, width, reads, writes), shape = kernel.shape, operation.outputs[0].shape
    strides, pads = operation.params["window_strides"], operation.params["padding"]
    tiling = Tiling(-(-shape[1] // STEP), -(-shape[2] // STEP), shape[0])
    tiles = tiling.rows * tiling.columns * tiling.images
    minimal = (height, width) == (3, 3) and set(strides) == {1} and min(reads, writes) >= WINOGRAD_CHANNELS
    if minimal and tiles >= WINOGRAD_TILES and tiles * TILE**2 * max(reads, writes) * 4 <= TILE_BYTES:
        return _winograd(kernel, pads, tiling, shape)
    wide = height * width == 1 or (reads >= FEW_CHANNELS and height * width <= prod(operation.inputs[0].shape[1:3]))
    return _rows(kernel, strides, pads, shape) if wide and prod(shape[:-1]) <= FEW_POSITIONS else None


def _winograd(kernel: np.ndarray, pads: Any, tiling: Tiling, shape: Sequence[int]) -> Convolve:
    """Minimal filtering with the transformed kernel."""
    u = (along_both_axes(OF_KERNEL).astype(np.float64) @ kernel.reshape(9, -1)).astype(np.float32)
    u = u.reshape(TILE**2, *kernel.shape[2:])
    return lambda x: lax.slice(convolve(x, jnp.asarray(u), pads, tiling, None), (0,) * 4, shape)


def _rows(kernel: np.ndarray, strides: Sequence[int], pads: Any, shape: Sequence[int]) -> Convolve:
    """A matrix product of windows, as rows, with the transposed kernel."""
    height, width, _, channels = kernel.shape
    transposed = np.ascontiguousarray(kernel.reshape(-1, channels).T)

    def compute(x: jax.Array) -> jax.Array:
        rows = extract_patches(x, (height, width), strides=strides, padding=pads).reshape(-1, transposed.shape[1])
        return lax.dot_general(jnp.asarray(transposed), rows, (((1,), (1,)), ((), ()))).T.reshape(shape)

    return compute
