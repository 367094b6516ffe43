"""Maps of a layer, weighted by the gradient of a class's score."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn._arrays import ArrayLike
from jaxcnn._errors import ShapeError
from jaxcnn.attribution._backprop import guided_backprop
from jaxcnn.attribution._layers import traced
from jaxcnn.attribution._scores import Function, Target, as_batch, score_of


def grad_cam(f: Function, x: ArrayLike, *, layer: str, target: Target = None, rectified: bool = True) -> jax.Array:
    """The positions of a layer that support a class: its channels, weighted by the mean gradient of the class's score.

    ``max(sum over c of w[c] A[..., c], 0)`` of the layer's value ``A``, where ``w[c]`` is the mean over all positions
    of ``d f(x)[target] / d A[..., c]``. The last convolutional layer is usual. The map has the size of the layer and is
    not scaled.

    Args:
        f: as in ``saliency``.
        x: ``(n, *spatial, channels)``, floating.
        layer: a name from ``layer_shapes``, of a layer ``(n, *spatial, channels)``.
        target: a class, or one for each example; None for the class with the highest score.
        rectified: False keeps negative values, at positions that reduce the score.

    Returns:
        the map ``(n, *spatial)`` of the layer.

    Raises:
        ShapeError: an ``x`` without batch axis, a layer without spatial axes, or scores or targets of another shape.
        TypeError: an ``x`` that is not floating, targets that are not integers, or a function of several results.
        ValueError: no such layer, or a target that is no class.

    Source: Selvaraju et al. (2017), "Grad-CAM", equations 1 and 2.

    >>> from jax.ad_checkpoint import checkpoint_name
    >>> f = lambda x: checkpoint_name(2 * x, "map").sum((1, 2))
    >>> grad_cam(f, jnp.ones((1, 2, 2, 3)), layer="map", target=0)
    Array([[[2., 2.], [2., 2.]]], dtype=float32)
    """
    x = as_batch(x)
    found = traced(score_of(f, x, target), x)
    place = found.layer(layer)
    shape = tuple(place.aval.shape)
    if len(shape) < 3 or shape[0] != x.shape[0]:
        raise ShapeError(
            f"expected a layer ({x.shape[0]}, *spatial, channels), but {layer!r} has the shape {shape}. "
            f"layer_shapes lists the layers."
        )
    (value,) = found.program.run([x], wanted=[place])
    gradient = jax.grad(lambda value: found.run(x, given={place: value}).sum())(value)
    weights = gradient.mean(tuple(range(1, len(shape) - 1)), keepdims=True)
    weighted = (weights * value).sum(-1)
    return jnp.maximum(weighted, 0) if rectified else weighted


def guided_grad_cam(f: Function, x: ArrayLike, *, layer: str, target: Target = None) -> jax.Array:
    """Guided backpropagation times the Grad-CAM of a layer, which is resized to the input by nearest neighbours.

    Args:
        f: as in ``saliency``.
        x: ``(n, *spatial, channels)``, floating.
        layer: a name from ``layer_shapes``, of a layer ``(n, *spatial, channels)``.
        target: a class, or one for each example; None for the class with the highest score.

    Returns:
        an array of the shape of ``x``.

    Raises:
        ShapeError: an ``x`` without batch axis, a layer without the spatial axes of ``x``, or scores or targets of
            another shape.
        TypeError: an ``x`` that is not floating, targets that are not integers, or a function of several results.
        ValueError: no such layer, a function without rectifiers or with an unclear one, or a target that is no class.

    Source: Selvaraju et al. (2017), "Grad-CAM", section 3.2.

    >>> from jax.ad_checkpoint import checkpoint_name
    >>> f = lambda x: checkpoint_name(jax.nn.relu(x), "map").sum((1, 2))
    >>> guided_grad_cam(f, jnp.ones((1, 1, 2, 1)), layer="map", target=0)
    Array([[[[1.], [1.]]]], dtype=float32)
    """
    x = as_batch(x)
    found = grad_cam(f, x, layer=layer, target=target)
    if found.ndim != x.ndim - 1:
        raise ShapeError(f"expected a layer with the spatial axes of x.shape={x.shape}, but {layer!r} has other axes.")
    for axis, size in enumerate(x.shape[1:-1], 1):
        # Output i has the input floor(i * in / out), as PyTorch's "nearest".
        found = found.take(np.arange(size) * found.shape[axis] // size, axis)
    return guided_backprop(f, x, target=target) * found[..., None]
