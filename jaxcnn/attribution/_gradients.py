"""Attributions from gradients of the input."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn._errors import ShapeError
from jaxcnn.attribution._scores import Function, Target, as_batch, gradient_of, score_of


def saliency(f: Function, x: ArrayLike, *, target: Target = None) -> jax.Array:
    """The absolute gradient of a class's score with respect to the input: ``|d f(x)[target] / d x|``.

    The paper's picture is the maximum over the channels, ``saliency(f, x).max(-1)``. Scores are logits rather than
    probabilities, whose gradients also contain those of the other classes.

    Args:
        f: a function of ``x`` that gives scores ``(n, classes)`` or ``(n,)`` and computes each example independently,
            such as ``lambda x: model.apply(variables, x, train=False)``.
        x: ``(n, ..., channels)``, floating.
        target: a class, or one for each example; None for the class with the highest score.

    Returns:
        an array of the shape of ``x``, not negative.

    Raises:
        ShapeError: an ``x`` without batch axis, or scores or targets of another shape.
        TypeError: an ``x`` that is not floating, targets that are not integers, or a function of several results.
        ValueError: a target that is no class.

    Source: Simonyan, Vedaldi, Zisserman (2013), "Deep inside convolutional networks", section 3.

    >>> saliency(lambda x: x**2, jnp.array([[1.0, -3.0]]), target=1)
    Array([[0., 6.]], dtype=float32)
    """
    x = as_batch(x)
    return jnp.abs(gradient_of(score_of(f, x, target), x))


def input_x_gradient(f: Function, x: ArrayLike, *, target: Target = None) -> jax.Array:
    """The input times the gradient of a class's score: ``x * d f(x)[target] / d x``.

    For a function that is linear between the origin and ``x``, these are the contributions of the entries to the score.

    Args:
        f: as in ``saliency``.
        x: ``(n, ..., channels)``, floating.
        target: a class, or one for each example; None for the class with the highest score.

    Returns:
        an array of the shape of ``x``.

    Raises:
        ShapeError: an ``x`` without batch axis, or scores or targets of another shape.
        TypeError: an ``x`` that is not floating, targets that are not integers, or a function of several results.
        ValueError: a target that is no class.

    Source: Shrikumar, Greenside, Shcherbina, Kundaje (2016), "Not just a black box".

    >>> input_x_gradient(lambda x: 2 * x, jnp.array([[1.0, -3.0]]), target=1)
    Array([[ 0., -6.]], dtype=float32)
    """
    x = as_batch(x)
    return x * gradient_of(score_of(f, x, target), x)


def smoothgrad(
    key: jax.Array, f: Function, x: ArrayLike, *, target: Target = None, samples: int = 50, noise: float = 0.15
) -> jax.Array:
    """The mean gradient of a class's score over noisy copies of the input.

    ``mean over i of d f(x + s e[i])[target] / d x``, with normal ``e[i]`` and
    ``s = noise * (max(x) - min(x))`` of each example. Signed; the paper's picture is its absolute value.

    Args:
        key: of the noise.
        f: as in ``saliency``.
        x: ``(n, ..., channels)``, floating.
        target: a class, or one for each example; None for the class with the highest score at ``x``.
        samples: number of noisy copies.
        noise: standard deviation as a fraction of the range of the example; 0.1 to 0.2 in the paper.

    Returns:
        an array of the shape of ``x``.

    Raises:
        ShapeError: an ``x`` without batch axis, or scores or targets of another shape.
        TypeError: an ``x`` that is not floating, targets that are not integers, or a function of several results.
        ValueError: no sample, negative noise, or a target that is no class.

    Source: Smilkov, Thorat, Kim, Viegas, Wattenberg (2017), "SmoothGrad", section 2.

    >>> smoothgrad(jax.random.key(0), lambda x: 2 * x, jnp.array([[1.0, -3.0]]), target=1)
    Array([[0., 2.]], dtype=float32)
    """
    if samples < 1 or noise < 0:
        raise ValueError(f"expected at least one sample and noise of at least 0, got samples={samples}, noise={noise}.")
    x = as_batch(x)
    score, axes = score_of(f, x, target), tuple(range(1, x.ndim))
    deviation = noise * (x.max(axes, keepdims=True) - x.min(axes, keepdims=True))

    def step(total: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
        noisy = x + deviation * jax.random.normal(key, x.shape, x.dtype)
        return total + gradient_of(score, noisy), None

    total, _ = lax.scan(step, jnp.zeros_like(x), jax.random.split(key, samples))
    return total / samples


class IntegratedGradients(NamedTuple):
    """The result of ``integrated_gradients``.

    Attributes:
        attributions: of the shape of the input.
        gap: ``(n,)``, the sum of the attributions of each example minus the difference of its scores at the input and
            at the baseline. It is 0 for the exact integral.
    """

    attributions: jax.Array
    gap: jax.Array


def integrated_gradients(
    f: Function, x: ArrayLike, *, target: Target = None, baseline: ArrayLike = 0.0, steps: int = 50
) -> IntegratedGradients:
    """The gradient of a score, averaged on the straight line from a baseline to the input, times their difference.

    ``(x - b) * integral over a in [0, 1] of d f(b + a (x - b))[target] / d x``, by Gauss-Legendre quadrature. The
    attributions of an example add up to ``f(x) - f(b)`` up to the error of the quadrature, the ``gap``.

    Args:
        f: as in ``saliency``.
        x: ``(n, ..., channels)``, floating.
        target: a class, or one for each example; None for the class with the highest score at ``x``.
        baseline: an input without information, such as 0, that broadcasts to the shape of ``x``.
        steps: number of nodes of the quadrature.

    Returns:
        the attributions and their gap.

    Raises:
        ShapeError: an ``x`` without batch axis, or a baseline, scores or targets of another shape.
        TypeError: an ``x`` that is not floating, targets that are not integers, or a function of several results.
        ValueError: no step, or a target that is no class.

    Source: Sundararajan, Taly, Yan (2017), "Axiomatic attribution for deep networks", equation 1 and section 5.

    >>> found = integrated_gradients(lambda x: (x**2).sum(-1), jnp.array([[1.0, 3.0]]))
    >>> found.attributions.round(4), abs(found.gap) < 1e-5
    (Array([[1., 9.]], dtype=float32), Array([ True], dtype=bool))
    """
    if steps < 1:
        raise ValueError(f"expected at least one step, got steps={steps}.")
    x = as_batch(x)
    score, start = score_of(f, x, target), broadcast(baseline, x, name="baseline")
    nodes, weights = np.polynomial.legendre.leggauss(steps)  # of [-1, 1]
    rows = (jnp.asarray((nodes + 1) / 2, x.dtype), jnp.asarray(weights / 2, x.dtype))

    def step(total: jax.Array, node: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        place, weight = node
        return total + weight * gradient_of(score, start + place * (x - start)), None

    mean, _ = lax.scan(step, jnp.zeros_like(x), rows)
    attributions = (x - start) * mean
    total = attributions.reshape(x.shape[0], -1).sum(-1)
    return IntegratedGradients(attributions, total - (score(x) - score(start)))


def broadcast(value: ArrayLike, x: jax.Array, *, name: str) -> jax.Array:
    """A value in the shape and the dtype of ``x``.

    Raises:
        ShapeError: it does not broadcast to that shape.
    """
    array = as_array(value, name=name)
    try:
        array = array.reshape((1,) * (x.ndim - array.ndim) + array.shape)
        return jnp.broadcast_to(array.astype(x.dtype), x.shape)
    except (ValueError, TypeError):
        raise ShapeError(f"expected {name} of a shape that broadcasts to {x.shape}, got {array.shape}.") from None
