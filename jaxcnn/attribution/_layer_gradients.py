"""The values of all layers of a function, and the gradients of a score with respect to them, in one pass."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn._arrays import ArrayLike
from jaxcnn._programs import Operation, Rule, Value
from jaxcnn.attribution._layers import Traced, traced
from jaxcnn.attribution._scores import Function, Target, as_batch, score_of


@dataclasses.dataclass(frozen=True)
class LayerGradient:
    """A layer of a function at a batch.

    Attributes:
        value: of the layer.
        gradient: of the sum of the scores with respect to the value; of the same shape.
    """

    value: jax.Array
    gradient: jax.Array


jax.tree_util.register_dataclass(LayerGradient)


def layer_gradients(
    f: Function, x: ArrayLike, *, target: Target = None, layers: Sequence[str] | None = None
) -> dict[str, LayerGradient]:
    """The value of each layer of a function, and the gradient ``d f(x)[target] / d value`` of its score.

    One forward and one backward pass compute the values and gradients of all layers.

    Args:
        f: a function of one batch that gives scores ``(n, classes)``, or one number for each example ``(n,)``, such as
            the loss.
        x: ``(n, ..., channels)``, floating.
        target: a class, or one for each example; None for the class with the highest score, and for ``(n,)``.
        layers: names from ``layer_shapes``. Unless given: every layer of floating numbers, in the order in which they
            are computed. A value that has several names is listed once, and layers that are computed several times are
            left out.

    Returns:
        values and gradients by the name of the layer.

    Raises:
        ShapeError: an ``x`` without batch axis, or scores or targets of another shape.
        TypeError: an ``x`` that is not floating, or targets or a layer of integers.
        ValueError: no such layer, or a target that is no class.

    >>> from jax.ad_checkpoint import checkpoint_name
    >>> f = lambda x: (checkpoint_name(2 * x, "twice") ** 2).sum(-1)
    >>> layer_gradients(f, jnp.ones((1, 2)))["twice"]
    LayerGradient(value=Array([[2., 2.]], dtype=float32), gradient=Array([[4., 4.]], dtype=float32))
    """
    x = as_batch(x)
    found = traced(score_of(f, x, target), x)
    places = _all_layers(found) if layers is None else {name: found.layer(name) for name in layers}
    for name, place in places.items():
        if not jnp.issubdtype(place.aval.dtype, jnp.floating):
            raise TypeError(f"the layer {name!r} has no gradient, since it holds {place.aval.dtype}.")
    wanted = list(dict.fromkeys(places.values()))
    program = found.program

    def score(offsets: list[jax.Array]) -> tuple[jax.Array, list[jax.Array]]:
        """The sum of the scores with these arrays added to the layers, and the values of the layers."""
        by_place = dict(zip(wanted, offsets, strict=True))
        makers = {program.producer[place] for place in wanted if place in program.producer}
        moved = {operation: _moved(operation, by_place) for operation in makers}
        start = x + by_place.get(program.inputs[0], 0)
        *values, scores = program.run([start], wanted=[*wanted, *program.outputs], rules=moved)
        return scores.sum(), values

    nothing = [jnp.zeros(place.aval.shape, place.aval.dtype) for place in wanted]
    gradients, values = jax.grad(score, has_aux=True)(nothing)
    pairs = dict(zip(wanted, map(LayerGradient, values, gradients), strict=True))
    return {name: pairs[place] for name, place in places.items()}


def _moved(operation: Operation, offsets: Mapping[Value, jax.Array]) -> Rule:
    """The operation, with an offset added to its results."""

    def rule(*operands: Any) -> list[Any]:
        results = operation.run(operands)
        return [
            result + offsets[value] if value in offsets else result
            for value, result in zip(operation.outputs, results, strict=True)
        ]

    return rule


def _all_layers(found: Traced) -> dict[str, Value]:
    """Each layer under the first of its names, in the order in which they are computed."""
    order = {value: index for index, each in enumerate(found.program.operations) for value in each.outputs}
    places: dict[Value, str] = {}
    for name, values in found.layers.items():
        if len(set(values)) == 1 and jnp.issubdtype(values[0].aval.dtype, jnp.floating):
            places.setdefault(values[0], name)
    return {places[value]: value for value in sorted(places, key=lambda value: order.get(value, -1))}
