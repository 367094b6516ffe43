"""What every augmentation does first: look at its images, and at the amounts that it was asked for."""

import math
import numbers

import jax
import jax.numpy as jnp

from jaxcnn.shapes.errors import ShapeError


def as_images(images: jax.Array, *, who: str) -> jax.Array:
    """The batch of floating images as a JAX array.

    Raises:
        ShapeError: not four axes, or no pixel.
        TypeError: a dtype that is not floating.

    >>> as_images([[[[0.5]]]], who="random_affine").shape
    (1, 1, 1, 1)
    """
    images = jnp.asarray(images)
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(
            f"{who}: images want a floating dtype, not {images.dtype}. Convert them first: "
            f"images.astype(jnp.float32) / 255 for uint8."
        )
    if images.ndim != 4:
        raise ShapeError(
            f"{who}: images want the shape (batch, height, width, channels), but images.shape={images.shape}. "
            f"One image alone is images[None]; grey images have one channel, images[..., None]."
        )
    if not all(images.shape[1:]):
        raise ShapeError(f"{who}: there is no pixel in images of the shape {images.shape}.")
    return images


def as_amount(value: float, *, who: str, name: str, most: float = math.inf, below: float = math.inf) -> float:
    """A finite number from 0 to ``most``, or under ``below``.

    Raises:
        ShapeError: negative, not finite, or too large.
        TypeError: not a plain number. It decides what is compiled, so it cannot be traced.

    >>> as_amount(12, who="random_affine", name="rotate", most=180)
    12.0
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{who}: {name} wants a plain number, not {value!r} ({type(value).__name__}).")
    amount = float(value)
    if not (math.isfinite(amount) and 0 <= amount <= most and amount < below):
        limits = f" and at most {most:g}" if most < math.inf else f" and under {below:g}" if below < math.inf else ""
        raise ShapeError(f"{who}: {name}={value} must be finite, at least 0{limits}.")
    return amount


def beside(values: jax.Array, images: jax.Array) -> jax.Array:
    """Numbers of each image, ``(batch, ...)``, placed on the devices where the images are.

    Only a mesh with Explicit axes needs telling; elsewhere the values come back as they are.
    """
    sharding = jax.typeof(images).sharding
    if sharding.spec[0] is None:
        return values
    placement = jax.sharding.NamedSharding(sharding.mesh, jax.sharding.PartitionSpec(sharding.spec[0]))
    return jax.sharding.reshard(values, placement)


def take_pixels(images: jax.Array, index: jax.Array) -> jax.Array:
    """Pixels of each image by flat index, ``(batch, count)`` -> ``(batch, count, channels)``; indices are clipped."""
    batch, height, width, channels = images.shape
    flat = images.reshape(batch, height * width, channels)
    return jax.vmap(lambda pixels, chosen: pixels.at[chosen].get(mode="clip"))(flat, index)


def as_range(value: object, *, who: str, name: str, above: float = 0.0, most: float = math.inf) -> tuple[float, float]:
    """Two finite numbers ``(low, high)`` with ``above < low <= high <= most``.

    Raises:
        ShapeError: other than two, out of order or out of bounds.
        TypeError: an end that is not a plain number.

    >>> as_range((0.08, 1), who="random_resized_crop", name="area", most=1)
    (0.08, 1.0)
    """
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ShapeError(f"{who}: {name} wants its two ends (low, high), not {value!r}.")
    low, high = (as_amount(end, who=who, name=name) for end in value)
    if not above < low <= high <= most:
        limit = f" <= {most:g}" if most < math.inf else ""
        raise ShapeError(f"{who}: {name}={value!r} must have {above:g} < low <= high{limit}.")
    return low, high


def as_targets(targets: jax.Array, images: jax.Array, *, who: str) -> jax.Array:
    """The targets of each image as a JAX array, ``(batch, ..., classes)``, floating.

    Raises:
        ShapeError: other than one for each image, or no axis of classes.
        TypeError: targets that are not floating, such as labels.

    >>> as_targets([[0.0, 1.0]], jnp.zeros((1, 4, 4, 1)), who="mixup").shape
    (1, 2)
    """
    targets = jnp.asarray(targets)
    if not jnp.issubdtype(targets.dtype, jnp.floating):
        raise TypeError(
            f"{who}: targets want a share for each class, floating, not {targets.dtype}. "
            f"Of labels: jax.nn.one_hot(labels, num_classes)."
        )
    if targets.ndim < 2 or len(targets) != len(images):
        raise ShapeError(
            f"{who}: {len(images)} images want targets of the shape ({len(images)}, classes), but "
            f"targets.shape={targets.shape}."
        )
    return targets
