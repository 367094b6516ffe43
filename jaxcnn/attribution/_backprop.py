"""Gradients in which rectifiers have another derivative: guided backpropagation and the deconvolutional network."""

import jax

from jaxcnn._arrays import ArrayLike
from jaxcnn.attribution._layers import traced
from jaxcnn.attribution._rectifiers import Rectifier, guided, rectified_backward, rectifier_rules
from jaxcnn.attribution._scores import Function, Target, as_batch, gradient_of, score_of


def guided_backprop(f: Function, x: ArrayLike, *, target: Target = None) -> jax.Array:
    """The gradient of a class's score, in which each rectifier passes only positive values, forwards and backwards.

    At ``y = max(x, 0)`` a cotangent ``g`` becomes ``g * (x > 0) * (g > 0)``. The result depends little on the weights
    of the upper layers (Adebayo et al. 2018), so it shows the image more than the network.

    Every rectifier between the input and the score is replaced: ``jax.nn.relu``, ``jnp.maximum(x, 0)`` and
    ``jnp.where(x > 0, x, 0)``, also within ``jit``, ``scan``, branches, and functions with their own derivative. Gates
    (``hard_sigmoid``), variances that are clipped at 0, and smooth activations do not change. A function with an
    operation that may be a rectifier in another form is an error. Of equal maxima in a pool the first receives the
    cotangent. Higher derivatives of the result have no meaning.

    Args:
        f: as in ``saliency``.
        x: ``(n, ..., channels)``, floating.
        target: a class, or one for each example; None for the class with the highest score.

    Returns:
        an array of the shape of ``x``.

    Raises:
        ShapeError: an ``x`` without batch axis, or scores or targets of another shape.
        TypeError: an ``x`` that is not floating, targets that are not integers, or a function of several results.
        ValueError: a function without rectifiers or with an unclear one, or a target that is no class.

    Source: Springenberg, Dosovitskiy, Brox, Riedmiller (2014), "Striving for simplicity", section 3.4.

    >>> import jax.numpy as jnp
    >>> f = lambda x: -jax.nn.relu(x) + 3 * jax.nn.relu(x)
    >>> guided_backprop(f, jnp.array([[2.0, -1.0]]), target=0)  # the gradient is 2
    Array([[3., 0.]], dtype=float32)
    """
    return _backprop(f, as_batch(x), target, guided)


def deconvnet(f: Function, x: ArrayLike, *, target: Target = None) -> jax.Array:
    """The projection of a score to the input by a deconvolutional network.

    The gradient of the score, in which a cotangent ``g`` becomes ``max(g, 0)`` at each rectifier, whatever the
    rectifier's input is. So each layer is inverted as in the paper: max pools pass a value to the position of their
    maximum, rectifiers rectify, and convolutions use their transposed kernels. Biases have no effect. Where pooling
    windows overlap, the values that several of them pass to one position are added; the paper does not specify this.

    To project one unit, give its value as the score: ``lambda x: layer_outputs(f, x, layers=["conv3"])["conv3"][:, i,
    j, c]``. Rectifiers are found as in ``guided_backprop``, and Adebayo's result holds for this method too.

    Args:
        f: as in ``saliency``.
        x: ``(n, ..., channels)``, floating.
        target: a class, or one for each example; None for the class with the highest score.

    Returns:
        an array of the shape of ``x``.

    Raises:
        ShapeError: an ``x`` without batch axis, or scores or targets of another shape.
        TypeError: an ``x`` that is not floating, targets that are not integers, or a function of several results.
        ValueError: a function without rectifiers or with an unclear one, or a target that is no class.

    Source: Zeiler and Fergus (2013), "Visualizing and understanding convolutional networks", section 2.1.

    >>> import jax.numpy as jnp
    >>> f = lambda x: 3 * jax.nn.relu(x)
    >>> deconvnet(f, jnp.array([[2.0, -1.0]]), target=1)  # the gradient is 0
    Array([[0., 3.]], dtype=float32)
    """
    return _backprop(f, as_batch(x), target, rectified_backward)


def _backprop(f: Function, x: jax.Array, target: Target, rectifier: Rectifier) -> jax.Array:
    found = traced(score_of(f, x, target), x)
    rules = rectifier_rules(found.program, rectifier)
    return gradient_of(lambda x: found.run(x, rules=rules), x)
