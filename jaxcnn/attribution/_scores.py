"""The score that is explained: one number for each example."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn._errors import ShapeError

Function = Callable[[jax.Array], jax.Array]
Target = ArrayLike | None


def as_batch(x: ArrayLike) -> jax.Array:
    """The array, if it is a batch of floating arrays.

    Raises:
        ShapeError: it has no batch axis.
        TypeError: it is not floating.
    """
    x = as_array(x, name="x")
    if x.ndim < 2:
        raise ShapeError(f"expected a batch (n, ..., channels), got x.shape={x.shape}. Of one example pass x[None].")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"expected floating x, got {x.dtype}. Pass the input of the network, such as x / 255.")
    return x


def score_of(f: Function, x: jax.Array, target: Target) -> Function:
    """The function that gives one score for each example: that of a class, or of the class that is highest at ``x``.

    Args:
        f: gives ``(n, classes)``, or ``(n,)``.
        x: where the class that is highest is chosen.
        target: a class, or one for each example; None for the highest, and for ``(n,)``.

    Raises:
        ShapeError: results of another shape, or a number of targets that does not fit.
        TypeError: targets that are not integers, or several results.
        ValueError: a target that is no class, or one for a function that gives a single score.
    """
    shape = shape_of_scores(f, x)
    if shape == x.shape[:1]:
        if target is not None:
            raise ValueError(f"target={target!r}: the function gives one score for each example, so there is no class.")
        return f
    if len(shape) != 2 or shape[0] != x.shape[0]:
        raise ShapeError(
            f"expected a function that gives scores (n, classes) or (n,) of n={x.shape[0]} examples, got {shape}. "
            f"Take the scores out of its result in a function of your own."
        )
    places = f(x).argmax(-1) if target is None else _checked(target, shape)
    return lambda x: jnp.take_along_axis(f(x), places[:, None], 1)[:, 0]


def shape_of_scores(f: Function, x: jax.Array | jax.ShapeDtypeStruct) -> tuple[int, ...]:
    """The shape of what a function returns.

    Raises:
        TypeError: it returns something other than one array.
    """
    found = jax.eval_shape(f, x)
    if not isinstance(found, jax.ShapeDtypeStruct):
        raise TypeError(
            f"expected a function that returns one array of scores, got a {type(found).__name__}. Take the scores out "
            f"of its result, such as lambda x: f(x){'[0]' if isinstance(found, tuple | list) else '[NAME]'}."
        )
    return tuple(found.shape)


def _checked(target: ArrayLike, shape: tuple[int, ...]) -> jax.Array:
    """One class of each example."""
    target = as_array(target, name="target")
    if not jnp.issubdtype(target.dtype, jnp.integer):
        raise TypeError(f"expected classes as integers, got target of {target.dtype}.")
    if target.shape not in ((), shape[:1]):
        raise ShapeError(f"expected one class, or one of each of {shape[0]} examples, got target.shape={target.shape}.")
    if not isinstance(target, jax.core.Tracer):
        low, high = int(np.min(target)), int(np.max(target))
        if low < 0 or high >= shape[1]:
            raise ValueError(f"expected classes from 0 to {shape[1] - 1}, got target={np.asarray(target)}.")
    return jnp.broadcast_to(target, shape[:1])


def gradient_of(score: Function, x: jax.Array) -> jax.Array:
    """The gradient of each example's score with respect to the example."""
    return jax.grad(lambda x: score(x).sum())(x)
