"""Checks of keys, images and amounts, and the one batch axis that every augmentation computes with."""

import math
import numbers
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn._errors import ShapeError

BatchShape = tuple[int, ...]
ImageAxis = Literal["width", "height"]


def as_key(key: Any) -> jax.Array:
    """The key, if it is a valid one.

    Raises:
        TypeError: anything but one JAX key, of the new kind or of raw ``uint32``.

    >>> as_key(3)
    Traceback (most recent call last):
    TypeError: key must be a JAX random key, but is 3. Make one: jax.random.key(3).
    """
    dtype, ndim = getattr(key, "dtype", None), getattr(key, "ndim", None)
    if dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key):
        if ndim == 0:
            return key
        raise TypeError(f"key must be a single JAX random key for all images, but key.shape={key.shape}.")
    if dtype == jnp.uint32 and ndim == 1:
        return jnp.asarray(key)
    if isinstance(key, numbers.Integral):
        raise TypeError(f"key must be a JAX random key, but is {key!r}. Make one: jax.random.key({key}).")
    got = f"an array of {dtype} with shape {key.shape}" if ndim is not None else repr(key)
    raise TypeError(f"key must be a JAX random key, such as jax.random.key(0), but is {got}. The key comes first.")


def as_images(images: ArrayLike) -> tuple[jax.Array, BatchShape]:
    """Images with exactly one batch axis, ``(n, height, width, channels)``, and their original batch shape.

    Raises:
        ShapeError: fewer than three axes, or no pixel.
        TypeError: a dtype that is not floating.

    >>> x, batch_shape = as_images(jnp.zeros((2, 5, 8, 8, 1)))
    >>> x.shape, batch_shape
    ((10, 8, 8, 1), (2, 5))
    """
    if isinstance(images, Mapping):
        raise TypeError(
            "images must be an array of numbers, not of type dict. The images of a batch are augmented by "
            "augment.on('image', ...), images with boxes and label maps by random_scene_flip, random_scene_crop and "
            "random_scene_scale."
        )
    x = as_array(images, name="images")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            f"images must have a floating dtype, not {x.dtype}. Convert them first: "
            f"images.astype(jnp.float32) / 255 for uint8."
        )
    if x.ndim < 3:
        raise ShapeError(
            f"images must have the shape (*batch, height, width, channels), but images.shape={x.shape}. "
            f"Grey images have one channel: images[..., None]."
        )
    if not all(x.shape[-3:]):
        raise ShapeError(f"images of shape {x.shape} have no pixels.")
    batch_shape = x.shape[:-3]
    return (x if x.ndim == 4 else x.reshape(math.prod(batch_shape), *x.shape[-3:])), batch_shape


def with_batch_shape(y: jax.Array, batch_shape: BatchShape) -> jax.Array:
    """The inverse of ``as_images``: ``(n, ...)`` -> ``(*batch_shape, ...)``.

    >>> with_batch_shape(jnp.zeros((10, 8, 8, 1)), (2, 5)).shape
    (2, 5, 8, 8, 1)
    """
    return y if len(batch_shape) == 1 else y.reshape(*batch_shape, *y.shape[1:])


def per_image(values: ArrayLike, batch_shape: BatchShape, shape: tuple[int, ...] = (), *, name: str) -> jax.Array:
    """Values for each image with one batch axis, ``(n, *shape)``.

    Args:
        values: ``(*batch_shape, *shape)``, or ``shape`` where all images have the same.
        batch_shape: of the images.
        shape: of the values of one image.
        name: of the argument.

    Raises:
        ShapeError: another shape.
        TypeError: values that are not real numbers.

    >>> per_image(0.5, (2,), name="turns").tolist()
    [0.5, 0.5]
    """
    array = as_array(values, name=name)
    if not jnp.issubdtype(array.dtype, jnp.floating) and not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"{name} must be real numbers, not {array.dtype}.")
    if array.shape == shape:
        array = jnp.broadcast_to(array, (*batch_shape, *shape))
    if array.shape != (*batch_shape, *shape):
        raise ShapeError(
            f"{name} must have the shape {(*batch_shape, *shape)}, one for each image, or {shape}, the same for "
            f"all, but {name}.shape={array.shape}."
        )
    return array.reshape(math.prod(batch_shape), *shape)


def as_amount(value: float, *, name: str, most: float = math.inf, below: float = math.inf) -> float:
    """A finite number from 0 to ``most``, or less than ``below``.

    Raises:
        ValueError: negative, not finite, or too large.
        TypeError: not a plain number. Amounts are part of the compiled program, so they cannot be traced.

    >>> as_amount(12, name="rotate", most=180)
    12.0
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        traced = (
            " It is part of the compiled program: jax.jit(..., static_argnames)."
            if isinstance(value, jax.core.Tracer)
            else ""
        )
        raise TypeError(f"{name} must be a plain number, not {value!r} ({type(value).__name__}).{traced}")
    amount = float(value)
    if not (math.isfinite(amount) and 0 <= amount <= most and amount < below):
        limits = (
            f" and at most {most:g}" if most < math.inf else f" and less than {below:g}" if below < math.inf else ""
        )
        raise ValueError(f"{name}={value} must be finite, at least 0{limits}.")
    return amount


def rolled(values: jax.Array, by: int) -> jax.Array:
    """``v[i - by]`` over the first axis, with indices modulo its size.

    JAX does not roll a sharded axis of an Explicit mesh, so there the batch is replicated first. Otherwise XLA sends
    one image from each device to the next.
    """
    sharding = jax.typeof(values).sharding
    if sharding.spec[0] is None:
        return jnp.roll(values, by, axis=0)
    replicated = jax.sharding.NamedSharding(sharding.mesh, jax.sharding.PartitionSpec())
    return with_sharding_of(jnp.roll(jax.sharding.reshard(values, replicated), by, axis=0), values)


def as_range(value: object, *, name: str, above: float = 0.0, most: float = math.inf) -> tuple[float, float]:
    """Two finite numbers ``(low, high)`` with ``above < low <= high <= most``.

    Raises:
        ValueError: out of order or out of bounds.
        TypeError: not a pair of plain numbers.

    >>> as_range((0.08, 1), name="area", most=1)
    (0.08, 1.0)
    """
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"{name} must be a pair (low, high), not {value!r}.")
    low, high = (as_amount(end, name=name) for end in value)
    if not above < low <= high <= most:
        limit = f" <= {most:g}" if most < math.inf else ""
        raise ValueError(f"{name}={value!r} must have {above:g} < low <= high{limit}.")
    return low, high


def as_fill(value: float) -> float:
    """The value of pixels outside of an image.

    Raises:
        TypeError: not a single real number.

    >>> as_fill((0, 0, 0))
    Traceback (most recent call last):
    TypeError: fill must be a single number for all channels, not (0, 0, 0).
    """
    scalar = isinstance(value, numbers.Real) or getattr(value, "shape", None) == ()
    if not scalar or isinstance(value, bool):
        raise TypeError(f"fill must be a single number for all channels, not {value!r}.")
    return value


def as_targets(targets: ArrayLike, batch_shape: BatchShape) -> jax.Array:
    """The targets of images with one batch axis, ``(n, ..., classes)``, floating.

    Raises:
        ShapeError: targets without the batch axes of the images, or without an axis of classes.
        TypeError: targets that are not floating, such as labels.

    >>> as_targets([[0.0, 1.0]], (1,)).shape
    (1, 2)
    """
    array = as_array(targets, name="targets")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(
            f"targets must be floating, a share for each class, not {array.dtype}. "
            f"Of labels: jax.nn.one_hot(labels, num_classes)."
        )
    ndim = len(batch_shape)
    if array.ndim <= ndim or array.shape[:ndim] != batch_shape:
        expected = ", ".join([*map(str, batch_shape), "..., classes"])
        raise ShapeError(f"targets must have the shape ({expected}), but targets.shape={array.shape}.")
    return array if ndim == 1 else array.reshape(math.prod(batch_shape), *array.shape[ndim:])


def with_sharding_of(values: jax.Array, images: jax.Array) -> jax.Array:
    """Values of each image, ``(n, ...)``, on the devices that hold the images.

    Only a mesh with Explicit axes needs it; elsewhere the values come back unchanged.
    """
    sharding = jax.typeof(images).sharding
    if sharding.spec[0] is None:
        return values
    placement = jax.sharding.NamedSharding(sharding.mesh, jax.sharding.PartitionSpec(sharding.spec[0]))
    return jax.sharding.reshard(values, placement)


def take_pixels(images: jax.Array, index: jax.Array) -> jax.Array:
    """Pixels of each image by flat index, ``(n, count)`` -> ``(n, count, channels)``; indices are clipped."""
    batch, height, width, channels = images.shape
    flat = images.reshape(batch, height * width, channels)
    return jax.vmap(lambda pixels, chosen: pixels.at[chosen].get(mode="clip"))(flat, index)
