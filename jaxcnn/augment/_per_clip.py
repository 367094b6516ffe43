"""Augmentations of images as augmentations of videos."""

import functools
import math
from collections.abc import Callable

import jax

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn._error_context import error_context
from jaxcnn._errors import ShapeError
from jaxcnn.augment._images import as_key


def per_clip(
    function: Callable[[jax.Array, jax.Array], jax.Array],
) -> Callable[[jax.Array, ArrayLike], jax.Array]:
    """The augmentation of videos that changes all frames of a clip alike.

    Frame ``t`` of clip ``i`` is ``function(k[i], x[i, t][None])[0]`` with ``k = jax.random.split(key, clips)``. Without
    it, a function of images changes each frame independently.

    Args:
        function: ``(key, images) -> images``, such as ``random_flip`` or ``functools.partial(random_crop, size=112)``.

    Returns:
        ``(key, videos) -> videos`` of videos ``(*batch, frames, height, width, channels)``.

    Raises:
        TypeError: an argument that cannot be called; or, when the result is called, an invalid key, or a function that
            does not return images.
        ShapeError: when the result is called: videos with fewer than four axes, or without a frame.

    >>> import jax.numpy as jnp
    >>> from jaxcnn.augment import random_flip
    >>> clips = jnp.broadcast_to(jnp.arange(3.0)[:, None], (2, 4, 1, 3, 1))  # two clips of four frames of one row
    >>> per_clip(random_flip)(jax.random.key(0), clips)[:, :, 0, 0, 0]
    Array([[0., 0., 0., 0.],
           [2., 2., 2., 2.]], dtype=float32)
    """
    if not callable(function):
        raise TypeError(f"expected a function (key, images) -> images, such as random_flip, not {function!r}.")
    return functools.partial(apply_per_clip, function)


@error_context("per_clip")
def apply_per_clip(
    function: Callable[[jax.Array, jax.Array], jax.Array], key: jax.Array, videos: ArrayLike
) -> jax.Array:
    key, x = as_key(key), as_array(videos, name="videos")
    if x.ndim < 4 or not x.shape[-4]:
        raise ShapeError(
            f"videos must have the shape (*batch, frames, height, width, channels) and at least one frame, but "
            f"videos.shape={x.shape}."
        )
    clips = x if x.ndim == 5 else x.reshape(math.prod(x.shape[:-4]), *x.shape[-4:])
    keys = jax.random.split(key, len(clips))

    def changed(own: jax.Array, frame: jax.Array) -> jax.Array:
        found = function(own, frame[None])
        if not isinstance(found, jax.Array):
            raise TypeError(f"expected a function that returns images, but it returns {type(found).__name__}.")
        return found[0]

    def mapped(keys: jax.Array, clips: jax.Array) -> jax.Array:
        return jax.vmap(jax.vmap(changed, (None, 0)))(keys, clips)

    axis = jax.typeof(clips).sharding.spec[0]
    if axis is None:
        y = mapped(keys, clips)
    else:  # indices within the function have no sharding, which a mesh with Explicit axes refuses
        y = jax.sharding.auto_axes(mapped, out_sharding=jax.sharding.PartitionSpec(axis))(keys, clips)
    return y if x.ndim == 5 else y.reshape(*x.shape[:-4], *y.shape[1:])
