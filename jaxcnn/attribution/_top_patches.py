"""The patches of a data set to which each unit of a layer responds most."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax

from jaxcnn._axes import as_int
from jaxcnn._errors import ShapeError
from jaxcnn.attribution._layers import Function, layer_outputs
from jaxcnn.shapes import ReceptiveField


class TopPatches(NamedTuple):
    """The result of ``top_patches``; each row is a unit, and its entries are in descending order of the values.

    Attributes:
        values: ``(units, k)``, the activations.
        images: ``(units, k)``, the numbers of the images, counted over all batches.
        positions: ``(units, k, spatial axes of the layer)``.
        patches: ``(units, k, *size, channels)``, the images within the receptive field, in the dtype of the images.
    """

    values: np.ndarray
    images: np.ndarray
    positions: np.ndarray
    patches: np.ndarray


def top_patches(
    f: Function,
    batches: Iterable[np.ndarray],
    *,
    layer: str,
    receptive_field: ReceptiveField | None,
    k: int = 9,
    fill: float | None = None,
) -> TopPatches:
    """For each unit of a layer, the patches of a data set with its greatest activations, at most one of an image.

    The data set is read once, and only the patches found so far are held. Of equal activations the first is chosen, by
    image and then by position in row-major order.

    Args:
        f: a function of a batch of images, such as ``lambda x: model.apply(variables, x / 255, train=False)``.
        batches: images ``(n, *spatial, channels)``, as ``f`` reads them.
        layer: a name from ``layer_shapes``, of a layer ``(n, *spatial, units)`` or ``(n, units)``.
        receptive_field: of the layer, from ``jaxcnn.summary(...).maps`` or ``.layers``, or
            ``jaxcnn.shapes.receptive_field``: the size of a patch. None for whole images.
        k: number of patches of each unit.
        fill: the value of pixels outside of an image; by default mid-grey, 127 or 0.5.

    Raises:
        ShapeError: a layer of another rank than the images or with other axes than the receptive field.
        ValueError: no such layer, ``k`` below 1, or fewer images than ``k``.

    Source: Zeiler and Fergus (2013), "Visualizing and understanding convolutional networks", section 2.1 and figure 2.

    >>> from jax.ad_checkpoint import checkpoint_name
    >>> images = np.array([0, 3, 1, 0, 0, 2], np.float32).reshape(2, 3, 1)
    >>> point = ReceptiveField(size=(1,), jump=(1,), offset=(0,))
    >>> f = lambda x: checkpoint_name(x, "map").sum(1)
    >>> top_patches(f, [images], layer="map", receptive_field=point, k=2).values
    array([[3., 2.]], dtype=float32)
    """
    if as_int(k, name="k") < 1:
        raise ValueError(f"k={k} must be at least 1.")

    @jax.jit
    def best(images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """For each image and unit, the greatest activation and its position, counted in row-major order."""
        value = layer_outputs(f, images, layers=[layer])[layer]
        _check(tuple(value.shape), images.ndim, receptive_field, layer)
        flat = value.reshape(value.shape[0], -1, value.shape[-1])
        return flat.max(1), flat.argmax(1)

    @jax.jit
    def merge(found: jax.Array, new: jax.Array) -> tuple[jax.Array, jax.Array]:
        return lax.top_k(jax.numpy.concatenate([found, new.T.astype(found.dtype)], 1), k)

    state: _State | None = None
    seen = 0
    for batch in batches:
        batch = np.asarray(batch)
        values, places = best(batch)
        if state is None:
            shape = jax.eval_shape(lambda x: layer_outputs(f, x, layers=[layer])[layer], batch).shape
            state = _State(tuple(shape), k, batch, receptive_field, fill)
        state.values, order = (np.asarray(each) for each in merge(state.values, values))
        state.take(order, np.asarray(places), batch, seen)
        seen += len(batch)
    if state is None or seen < k:
        raise ValueError(f"k={k} patches of each unit require as many images, but there are {seen}.")
    return TopPatches(state.values, state.images, state.positions, state.patches)


def _check(shape: tuple[int, ...], ndim: int, receptive_field: ReceptiveField | None, layer: str) -> None:
    if receptive_field is None:
        if len(shape) < 2:
            raise ShapeError(f"expected a layer (n, ..., units), but {layer!r} has the shape {shape}.")
    elif not len(shape) - 2 == len(receptive_field.size) == ndim - 2:
        raise ShapeError(
            f"expected images, a layer and a receptive field with the same number of spatial axes, but the images have "
            f"{ndim - 2}, {layer!r} has {len(shape) - 2}, and the receptive field {len(receptive_field.size)}."
        )


class _State:
    """The greatest activations so far."""

    def __init__(
        self,
        shape: tuple[int, ...],
        k: int,
        batch: np.ndarray,
        receptive_field: ReceptiveField | None,
        fill: float | None,
    ) -> None:
        units, self.spatial, self.field, self.k = shape[-1], shape[1:-1], receptive_field, k
        floating = not np.issubdtype(batch.dtype, np.integer)
        self.fill: Any = (0.5 if floating else 127) if fill is None else fill
        size = batch.shape[1:-1] if receptive_field is None else receptive_field.size
        self.values = np.full((units, k), -np.inf, np.float32)
        self.images = np.full((units, k), -1)
        self.positions = np.zeros((units, k, len(self.spatial)), int)
        self.patches = np.zeros((units, k, *size, batch.shape[-1]), batch.dtype)

    def take(self, order: np.ndarray, places: np.ndarray, batch: np.ndarray, seen: int) -> None:
        """Sorts the stored entries, and adds the new ones from a batch, whose first image has the number ``seen``."""
        old = np.minimum(order, self.k - 1)
        self.images, self.positions, self.patches = (
            np.take_along_axis(each, old.reshape(*old.shape, *[1] * (each.ndim - 2)), 1)
            for each in (self.images, self.positions, self.patches)
        )
        for unit, rank in np.argwhere(order >= self.k):
            index = order[unit, rank] - self.k
            position = np.unravel_index(places[index, unit], self.spatial)
            self.images[unit, rank], self.positions[unit, rank] = seen + index, position
            self.patches[unit, rank] = crop(batch[index], position, self.field, self.fill)


def crop(image: np.ndarray, position: Any, receptive_field: ReceptiveField | None, fill: float) -> np.ndarray:
    """The receptive field of a unit at a position in an image ``(*spatial, channels)``, or the whole image."""
    if receptive_field is None:
        return image
    found = np.full((*receptive_field.size, image.shape[-1]), fill, image.dtype)
    source, place = [], []
    for (low, high), size in zip(receptive_field.span(position), image.shape, strict=False):
        first = int(low)
        source.append(slice(max(first, 0), max(min(int(high) + 1, size), 0)))
        place.append(slice(max(-first, 0), max(-first, 0) + max(source[-1].stop - source[-1].start, 0)))
    found[tuple(place)] = image[tuple(source)]
    return found
