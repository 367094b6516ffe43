"""The parts of an image that a unit responds to: projections of the greatest activations of units."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn._errors import ShapeError
from jaxcnn.attribution._backprop import deconvnet
from jaxcnn.attribution._layers import Function, layer_outputs
from jaxcnn.attribution._top_patches import TopPatches, crop
from jaxcnn.shapes import ReceptiveField


def top_projections(
    f: Function,
    images: ArrayLike,
    found: TopPatches,
    *,
    layer: str,
    receptive_field: ReceptiveField | None,
    units: Sequence[int] | np.ndarray | None = None,
) -> np.ndarray:
    """The projections of the activations of ``top_patches`` to the input, each by a deconvolutional network.

    One activation is projected at a time, as if all others of its layer were zero. The patch shows where a unit
    responds; the projection shows which part of the patch it responds to. The projection of the unit ``u`` at the
    position ``p`` is ``deconvnet`` of the score ``layer_outputs(f, x, layers=[layer])[layer][:, *p, u]``, cropped like
    the patch, with zeros outside of the image.

    Args:
        f: a function of a batch of floating images, such as ``lambda x: model.apply(variables, x, train=False)``.
        images: those in which the patches were found, ``(n, *spatial, channels)``, floating, as ``f`` reads them.
        found: what ``top_patches`` returned for the layer, or some of its rows; its ``images`` and ``positions`` are
            used.
        layer: the name of the layer.
        receptive_field: as given to ``top_patches``.
        units: the unit of each row of ``found``, where these are not all units.

    Returns:
        floats ``(units, k, *size, channels)``.

    Raises:
        ShapeError: fewer images than those in which the patches were found, or another number of units than of rows.
        TypeError: images that are not floating.
        ValueError: no such layer, or a function without rectifiers or with an unclear one.

    Source: Zeiler and Fergus (2013), "Visualizing and understanding convolutional networks", section 2.1.

    >>> from jax.ad_checkpoint import checkpoint_name
    >>> from jaxcnn.attribution import top_patches
    >>> images = np.array([1, 3, -2], np.float32).reshape(1, 3, 1)
    >>> f = lambda x: checkpoint_name(jax.nn.relu(2 * x), "map").sum(1)
    >>> point = ReceptiveField(size=(1,), jump=(1,), offset=(0,))
    >>> found = top_patches(f, [images], layer="map", receptive_field=point, k=1)
    >>> top_projections(f, images, found, layer="map", receptive_field=point)
    array([[[[2.]]]], dtype=float32)
    """
    images = as_array(images, name="images")
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(
            f"expected floating images, got {images.dtype}. Pass the input of the network, such as x / 255."
        )
    if found.images.size and len(images) <= (last := int(found.images.max())):
        raise ShapeError(f"the patches were found in image {last} too, but there are {len(images)} images.")

    units = np.arange(len(found.images)) if units is None else np.asarray(units)
    if units.shape != (len(found.images),):
        raise ShapeError(f"expected the unit of each of the {len(found.images)} rows, got units.shape={units.shape}.")

    @jax.jit
    def project(x: jax.Array, unit: jax.Array, positions: jax.Array) -> jax.Array:
        def activation(x: jax.Array) -> jax.Array:
            value = layer_outputs(f, x, layers=[layer])[layer]
            return value[(jnp.arange(len(x)), *positions.T)][:, unit]

        return deconvnet(activation, x)

    rows = []
    for unit, numbers, positions in zip(units, found.images, found.positions, strict=True):
        whole = np.asarray(project(images[numbers], np.int32(unit), positions))
        seen = functools.partial(crop, receptive_field=receptive_field, fill=0)
        rows.append(np.stack([seen(*each) for each in zip(whole, positions, strict=True)]))
    return np.stack(rows)
