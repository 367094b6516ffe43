"""The form in which the converters of LiteRT and Core ML recognise pools and response norms.

In both formats, pools cover two axes, and averages divide by the number of all entries of a window. Their converters
recognise a windowed sum only if it is divided in this way. So a maximum or a sum over one or three axes is written as
pools over two axes; a padded average as padding, an average, and a factor for the windows at the border; and the sum
over channels of local response norm as a convolution with a window of one pixel.
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

from jaxcnn.export._operations import Operation
from jaxcnn.export._portable import PortableProgram

Pool = Callable[[jax.Array, Sequence[int], Sequence[int]], jax.Array]


def for_converters(program: PortableProgram) -> PortableProgram:
    """The program with its pools and response norms as converters recognise them; it computes the same."""
    return dataclasses.replace(program, operations=tuple(map(_rewritten, program.operations)))


def _rewritten(operation: Operation) -> Operation:
    rule = RULES.get(operation.name)
    apply = None if rule is None else rule(operation)
    return operation if apply is None else dataclasses.replace(operation, apply=apply)


def _maximum(operation: Operation) -> Callable[..., Any] | None:
    params, dtype = operation.params, operation.inputs[0].dtype
    if not _is_spatial(operation) or len(params["window_dimensions"]) == 4:
        return None

    def pool(x: jax.Array, window: Sequence[int], strides: Sequence[int]) -> jax.Array:
        return lax.reduce_window(x, np.asarray(-np.inf, dtype), lax.max, tuple(window), tuple(strides), "VALID")

    return lambda x: [_pooled(_padded(x, operation, -np.inf), params, pool)]


def _sum(operation: Operation) -> Callable[..., Any] | None:
    if not _is_spatial(operation):
        return None
    params = operation.params
    return lambda x: [_pooled(_padded(x, operation, 0), params, _mean) * prod(params["window_dimensions"])]


def _average(operation: Operation) -> Callable[..., Any] | None:
    if not _is_spatial(operation):
        return None
    params = operation.params

    def apply(x: jax.Array, divisor: Any) -> list[jax.Array]:
        factor = prod(params["window_dimensions"]) / np.asarray(divisor)
        y = _pooled(_padded(x, operation, 0), params, _mean)
        return [y if (factor == 1).all() else y * factor.astype(x.dtype)]

    return apply


def _local_response_norm(operation: Operation) -> Callable[..., Any] | None:
    params, x = operation.params, operation.inputs[0]
    if len(x.shape) < 3:
        return None
    size, channels = params["size"], x.shape[-1]
    distance = np.arange(channels)[:, None] - np.arange(channels)[None]
    band = ((-((size - 1) // 2) <= distance) & (distance <= size // 2)).astype(x.dtype)
    spatial = len(x.shape) - 2
    kernel = band.reshape(*[1] * spatial, channels, channels)
    names = "HWD"[:spatial]
    numbers = (f"N{names}C", f"{names}IO", f"N{names}C")

    def apply(x: jax.Array) -> list[jax.Array]:
        total = lax.conv_general_dilated(x * x, kernel, [1] * spatial, "VALID", dimension_numbers=numbers)
        return [x * (params["k"] + params["alpha"] * total) ** -params["beta"]]

    return apply


RULES: dict[str, Callable[[Operation], Callable[..., Any] | None]] = {
    "average_window": _average,
    "local_response_norm": _local_response_norm,
    "reduce_window_max": _maximum,
    "reduce_window_sum": _sum,
}


def _is_spatial(operation: Operation) -> bool:
    """Whether a pool covers only the one to three axes between the first and the last, and has no dilation."""
    params, ndim = operation.params, len(operation.inputs[0].shape)
    names = ("window_dimensions", "window_strides")
    others = {params[name][place] for name in names for place in (0, -1)} | {*params["window_dilation"]}
    pads = params["padding"]
    return 3 <= ndim <= 5 and others | {*params["base_dilation"]} == {1} and not any((*pads[0], *pads[-1]))


def _padded(x: jax.Array, operation: Operation, value: float) -> jax.Array:
    pads = operation.params["padding"]
    if not np.any(pads):
        return x
    return lax.pad(x, jnp.asarray(value, x.dtype), [(before, after, 0) for before, after in pads])


def _mean(x: jax.Array, window: Sequence[int], strides: Sequence[int]) -> jax.Array:
    total = lax.reduce_window(x, np.zeros((), x.dtype), lax.add, tuple(window), tuple(strides), "VALID")
    return total / prod(window)


def _pooled(x: jax.Array, params: Any, pool: Pool) -> jax.Array:
    """A pool without padding over one to three axes, as pools over two."""
    window, strides = params["window_dimensions"][1:-1], params["window_strides"][1:-1]
    batch, *sizes, channels = x.shape
    over = functools.partial(_over_two, pool)
    if len(sizes) == 1:
        y = over(x.reshape(batch, 1, *sizes, channels), (1, *window), (1, *strides))
        return y.reshape(batch, -1, channels)
    if len(sizes) == 2:
        return over(x, window, strides)
    depth, height, width = sizes
    y = over(x.reshape(batch, depth, height * width, channels), (window[0], 1), (strides[0], 1))
    frames = y.shape[1]
    y = over(y.reshape(batch * frames, height, width, channels), window[1:], strides[1:])
    return y.reshape(batch, frames, *y.shape[1:])


def _over_two(pool: Pool, x: jax.Array, window: Sequence[int], strides: Sequence[int]) -> jax.Array:
    if prod(window) == 1 and prod(strides) == 1:
        return x
    return pool(x, (1, *window, 1), (1, *strides, 1))
