"""Layers in jaxcnn, and in stock JAX and Flax.

Stock convolutions are ``jax.lax.conv_general_dilated`` and its transposes, which ``flax.linen.Conv`` and its gradients
run; stock pools and norms are Flax's.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn.bench._layers import ConvLayer, Entry, NormLayer, PoolLayer
from jaxcnn.bench._program import random_array
from jaxcnn.functional import (
    BatchStats,
    ConvChoice,
    avg_pool,
    batch_norm,
    conv,
    conv_input_grad,
    conv_kernel_grad,
    explain_conv,
    max_pool,
)

Function = Callable[..., Any]

MOMENTUM, EPSILON = 0.9, 1e-5


def arguments(entry: Entry) -> list[np.ndarray]:
    """The arguments of the functions of the entry."""
    layer = entry.layer
    assert isinstance(layer, ConvLayer | PoolLayer | NormLayer)
    x = random_array("x", layer.x_shape)
    if isinstance(layer, ConvLayer):
        kernel = random_array("kernel", layer.kernel_shape)
        if entry.operation == "forward":
            return [x, kernel]
        g = random_array("g", layer.geometry.out_shape)
        return [g, kernel] if entry.operation == "input_grad" else [x, g]
    if isinstance(layer, PoolLayer):
        # Pools usually follow a ReLU, which produces ties. Before a batch norm entries are equal or clearly different,
        # so that the different rounding of the two implementations does not change the order.
        x = np.round(4 * x) / 4 if layer.after_norm else np.maximum(x, 0)
    out = jax.eval_shape(ours(Entry(layer, "forward")), jnp.asarray(x))
    return [x] if entry.operation == "forward" else [x, random_array("g", jax.tree.leaves(out)[0].shape)]


def ours(entry: Entry) -> Function:
    """The entry in ``jaxcnn.functional``."""
    layer = entry.layer
    if isinstance(layer, ConvLayer):
        return _our_conv(layer, entry.operation)
    if isinstance(layer, PoolLayer):
        return _with_gradient(_our_pool(layer), entry.operation)
    return _with_gradient(_our_norm, entry.operation)


def stock(entry: Entry) -> Function:
    """The entry in stock JAX and Flax."""
    layer = entry.layer
    if isinstance(layer, ConvLayer):
        return _stock_conv(layer, entry.operation)
    if isinstance(layer, PoolLayer):
        return _with_gradient(_stock_pool(layer), entry.operation)
    return _with_gradient(_stock_norm, entry.operation)


def algorithm(entry: Entry) -> str:
    """The algorithm that is selected for a convolution; empty for other layers."""
    layer = entry.layer
    if not isinstance(layer, ConvLayer):
        return ""
    choice: ConvChoice = getattr(explain_conv(layer.x_shape, layer.kernel_shape, **layer.options), entry.operation)
    return choice.algorithm


def _our_conv(layer: ConvLayer, operation: str) -> Function:
    options = layer.options
    if operation == "forward":
        return lambda x, kernel: conv(x, kernel, **options)
    if operation == "input_grad":
        return lambda g, kernel: conv_input_grad(g, kernel, layer.x_shape, **options)
    return lambda x, g: conv_kernel_grad(x, g, layer.kernel_shape[:-2], **options)


def _stock_conv(layer: ConvLayer, operation: str) -> Function:
    spatial = "DHW"[-layer.geometry.ndim :]

    def forward(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(
            x,
            kernel,
            layer.geometry.strides,
            layer.geometry.pads,
            layer.geometry.input_dilation,
            layer.geometry.kernel_dilation,
            (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
            layer.groups,
        )

    x, kernel = (jax.ShapeDtypeStruct(shape, np.float32) for shape in (layer.x_shape, layer.kernel_shape))
    if operation == "forward":
        return forward
    if operation == "input_grad":
        return lambda g, kernel: jax.linear_transpose(lambda x: forward(x, kernel), x)(g)[0]
    return lambda x, g: jax.linear_transpose(lambda kernel: forward(x, kernel), kernel)(g)[0]


def _our_pool(layer: PoolLayer) -> Function:
    options: dict[str, Any] = {"strides": layer.strides, "padding": layer.padding}
    if not layer.maximum:
        options["count_include_pad"] = True
    pool, first = max_pool if layer.maximum else avg_pool, _normalized(_our_norm, layer)
    return lambda x: pool(first(x), (layer.window, layer.window), **options)


def _stock_pool(layer: PoolLayer) -> Function:
    pool = flax.linen.max_pool if layer.maximum else flax.linen.avg_pool
    pads = ((layer.padding, layer.padding),) * 2
    first = _normalized(_stock_norm, layer)
    return lambda x: pool(first(x), (layer.window,) * 2, (layer.strides,) * 2, pads)


def _normalized(norm: Function, layer: PoolLayer) -> Function:
    """The input of a pool: the argument, or the result of batch norm and ReLU."""
    return (lambda x: jax.nn.relu(norm(x)[0])) if layer.after_norm else lambda x: x


def _our_norm(x: jax.Array) -> tuple[jax.Array, ...]:
    zeros, ones = jnp.zeros(x.shape[-1]), jnp.ones(x.shape[-1])
    stats = BatchStats(zeros, ones, jnp.zeros(()))
    # Flax's running variance is biased.
    y, stats = batch_norm(
        x, stats, scale=ones, bias=zeros, train=True, momentum=MOMENTUM, epsilon=EPSILON, unbiased=False
    )
    return y, stats.mean, stats.var


def _stock_norm(x: jax.Array) -> tuple[jax.Array, ...]:
    zeros, ones = jnp.zeros(x.shape[-1]), jnp.ones(x.shape[-1])
    variables = {"params": {"scale": ones, "bias": zeros}, "batch_stats": {"mean": zeros, "var": ones}}
    norm = flax.linen.BatchNorm(use_running_average=False, momentum=MOMENTUM, epsilon=EPSILON)
    y, updated = norm.apply(variables, x, mutable=["batch_stats"])
    return y, updated["batch_stats"]["mean"], updated["batch_stats"]["var"]


def _with_gradient(function: Function, operation: str) -> Function:
    """The function, or its first result together with the cotangent of its argument."""
    if operation == "forward":
        return function

    def both(x: jax.Array, g: jax.Array) -> Sequence[jax.Array]:
        y, back, others = jax.vjp(lambda x: _split(function(x)), x, has_aux=True)
        return y, back(g)[0], *others

    return both


def _split(result: Any) -> tuple[jax.Array, Sequence[jax.Array]]:
    return (result[0], result[1:]) if isinstance(result, tuple) else (result, ())
