"""The layers inside of a function of arrays: their names and values, and the function from a layer on."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from flax import linen
from jax.ad_checkpoint import checkpoint_name

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn._hints import did_you_mean
from jaxcnn._programs import Program, Value, trace
from jaxcnn.attribution._rectifiers import GATES

Function = Callable[[jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class Traced:
    """The program of a function, with its layers by name.

    Attributes:
        program: its operations.
        layers: the values of each name; a layer that is computed several times has several.
    """

    program: Program
    layers: Mapping[str, list[Value]]

    def layer(self, name: str) -> Value:
        """The value of a layer: an entry of ``features`` or a named value, or else the result of a module.

        Raises:
            ValueError: no such layer, or several.
        """
        found = self.layers.get(name) or self.layers.get(f"{name}()")
        if not found:
            known = dict.fromkeys(each.removesuffix("()") for each in self.layers if each != "()")
            hint = did_you_mean(name, known) if known else "jax.ad_checkpoint.checkpoint_name(x, NAME) names one."
            raise ValueError(f"there is no layer {name!r}. {hint}")
        if len(set(found)) > 1:
            raise ValueError(
                f"the layer {name!r} is computed {len(set(found))} times, so its name does not say which one."
            )
        return found[0]

    def run(self, x: jax.Array, **options: Any) -> Any:
        """The result of the function at ``x``; options are those of ``Program.run``."""
        return jax.tree.unflatten(self.program.structure, self.program.run([x], **options))


def traced(f: Function, x: jax.Array) -> Traced:
    """The program of a function at an array, in which the results of Flax modules are named."""

    def call(x: jax.Array) -> Any:
        with linen.intercept_methods(_named):
            return f(x)

    program = trace(call, x, keep=GATES)
    layers: dict[str, list[Value]] = {}
    for operation in program.operations:
        if operation.name == "name":
            value = operation.inputs[0]
            while (made := program.producer.get(value)) is not None and made.name == "name":
                value = made.inputs[0]  # named before, by a call of a method inside of the function
            layers.setdefault(operation.params["name"], []).append(value)
    return Traced(program, layers)


def _named(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
    """Names the result of a call of a module, and the entries of ``features`` of the outermost one."""
    result, path = call(*args, **kwargs), context.module.path
    if context.method_name == "features" and not path and isinstance(result, dict):
        return {name: _name(value, name) for name, value in result.items()}
    return _name(result, f"{'/'.join(path)}()") if context.method_name == "__call__" else result


def _name(value: Any, name: str) -> Any:
    return checkpoint_name(value, name) if isinstance(value, jax.Array) else value


def layer_shapes(f: Function, x: ArrayLike) -> dict[str, tuple[int, ...]]:
    """The layers of a function, by name, with the shapes of their values.

    Layers are the entries of the dict that a model's ``features`` returns, such as ``"stage3"``; the result of each
    call of a Flax module, under its path and ``()``, such as ``"stage3_block0/conv1()"``; and values that the function
    names by ``jax.ad_checkpoint.checkpoint_name``. In the argument ``layer``, ``()`` may be omitted if no other layer
    has the name without it. Values inside of loops are not layers.

    Args:
        f: a function of one array, such as ``lambda x: model.apply(variables, x, train=False)``.
        x: an array that it accepts.

    Raises:
        TypeError: ``x`` is not made of numbers.

    >>> import jax.numpy as jnp
    >>> layer_shapes(lambda x: checkpoint_name(x * 2, "twice").sum(-1), jnp.ones((1, 3)))
    {'twice': (1, 3)}
    """
    found = traced(f, as_array(x, name="x"))
    return {name: tuple(values[0].aval.shape) for name, values in found.layers.items()}


def layer_outputs(f: Function, x: ArrayLike, *, layers: Sequence[str]) -> dict[str, jax.Array]:
    """The values of layers of a function; operations that they do not depend on are not run.

    The result is differentiable, so that ``lambda x: layer_outputs(f, x, layers=["conv3"])["conv3"][:, 4, 4, 7]`` is
    the score of one unit for ``saliency``, ``deconvnet`` and the other methods.

    Args:
        f: a function of one array, such as ``lambda x: model.apply(variables, x, train=False)``.
        x: an array that it accepts.
        layers: names from ``layer_shapes``.

    Raises:
        ValueError: there is no such layer, or several layers have its name.

    >>> import jax.numpy as jnp
    >>> f = lambda x: checkpoint_name(x * 2, "twice").sum(-1)
    >>> layer_outputs(f, jnp.ones((1, 3)), layers=["twice"])
    {'twice': Array([[2., 2., 2.]], dtype=float32)}
    """
    x = as_array(x, name="x")
    found = traced(f, x)
    values = [found.layer(name) for name in layers]
    return dict(zip(layers, found.program.run([x], wanted=values), strict=True))
