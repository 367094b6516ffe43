"""How much each pixel of the input contributes to a unit, measured by gradients."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxcnn._errors import ShapeError
from jaxcnn.attribution._layers import Function, layer_outputs
from jaxcnn.attribution._scores import as_batch


def effective_receptive_field(
    key: jax.Array, f: Function, x: ArrayLike, *, layer: str, position: Sequence[int] | None = None
) -> jax.Array:
    """The root mean square of the gradient of a layer's value at one position with respect to the input.

    ``sqrt(mean over i, c of (d sum over k of v[i, k] h(x[i])[position, k] / d x[i, ..., c])**2)`` with normal ``v``,
    which is the root of the mean over the images and channels of the squared gradients, added up over the units ``k``.
    It is 0 outside of the theoretical receptive field (``jaxcnn.shapes.receptive_field``), within which it is often
    concentrated on the centre.

    Args:
        key: of ``v``.
        f: a function of one batch of images, such as ``lambda x: model.apply(variables, x, train=False)``.
        x: ``(n, *spatial, channels)``, floating; many images average the influence of their content.
        layer: a name from ``layer_shapes``, of a layer ``(n, *spatial, units)``.
        position: of the unit in the layer; by default the centre.

    Returns:
        the map ``(*spatial)`` of the input.

    Raises:
        ShapeError: an ``x`` without batch axis, a layer without spatial axes, or a position outside of it.
        TypeError: an ``x`` that is not floating.
        ValueError: no such layer.

    Source: Luo, Li, Urtasun, Zemel (2016), "Understanding the effective receptive field in deep convolutional neural
    networks", section 2.

    >>> from jax.ad_checkpoint import checkpoint_name
    >>> f = lambda x: checkpoint_name(1.0 * x, "map").sum(1)
    >>> effective_receptive_field(jax.random.key(0), f, jnp.ones((500, 3, 1)), layer="map").round(1)
    Array([0., 1., 0.], dtype=float32)
    """
    x = as_batch(x)
    shape = tuple(jax.eval_shape(lambda x: layer_outputs(f, x, layers=[layer])[layer], x).shape)
    spatial = shape[1:-1]
    place = tuple(size // 2 for size in spatial) if position is None else tuple(position)
    if not spatial or len(place) != len(spatial) or any(not 0 <= i < n for i, n in zip(place, spatial, strict=True)):
        raise ShapeError(f"position={place} is not in the layer {layer!r}, whose spatial shape is {spatial}.")
    weights = jax.random.normal(key, (shape[0], shape[-1]), x.dtype)

    def score(x: jax.Array) -> jax.Array:
        value = layer_outputs(f, x, layers=[layer])[layer]
        return (value[(slice(None), *place)] * weights).sum()

    return jnp.sqrt((jax.grad(score)(x) ** 2).mean((0, x.ndim - 1)))
