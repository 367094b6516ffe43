"""Brightness, contrast, saturation and hue of images in [0, 1]."""

import jax
import jax.numpy as jnp

from jaxcnn._arrays import ArrayLike, accumulator_dtype
from jaxcnn._errors import ShapeError
from jaxcnn.augment._images import as_amount, as_images, as_key, per_image, with_batch_shape, with_sharding_of

# Weights of red, green and blue in the luminance: ITU-R BT.601, as in Pillow and torchvision.
_LUMA = (0.299, 0.587, 0.114)


def adjust_brightness(images: ArrayLike, factors: ArrayLike) -> jax.Array:
    """Multiplies images by factors: ``clip(f x, 0, 1)``. A factor of 0 gives black, 1 the image.

    Args:
        images: ``(*batch, height, width, channels)``, floating, in [0, 1].
        factors: a number for all images, or one for each, ``(*batch,)``.

    Returns:
        images of the same shape and dtype.

    Raises:
        ShapeError: images with fewer than three axes or no pixels, or factors of another shape.
        TypeError: images that are not floating, or factors that are not real numbers.

    >>> adjust_brightness(jnp.full((2, 1, 1, 1), 0.6), jnp.array([0.5, 2.0]))[:, 0, 0, 0]
    Array([0.3, 1. ], dtype=float32)
    >>> adjust_brightness(jnp.full((1, 1, 1), 0.6), 0.5)
    Array([[[0.3]]], dtype=float32)
    """
    x, factors, batch_shape = _as_pair(images, factors, name="factors")
    return with_batch_shape(_blend(x, jnp.zeros_like(x), factors), batch_shape)


def adjust_contrast(images: ArrayLike, factors: ArrayLike) -> jax.Array:
    """Scales the distance from the mean luminance ``m`` of each image: ``clip(m + f (x - m), 0, 1)``.

    A factor of 0 gives uniform grey, 1 the image.

    Args:
        images: ``(*batch, height, width, channels)``, floating, in [0, 1]. The luminance of three channels is
            ``0.299 red + 0.587 green + 0.114 blue``, that of any other number of channels is their mean.
        factors: a number for all images, or one for each, ``(*batch,)``.

    Returns:
        images of the same shape and dtype.

    Raises:
        ShapeError: images with fewer than three axes or no pixels, or factors of another shape.
        TypeError: images that are not floating, or factors that are not real numbers.

    >>> adjust_contrast(jnp.array([0.25, 0.75]).reshape(1, 2, 1), 0.5)[0, :, 0]
    Array([0.375, 0.625], dtype=float32)
    """
    x, factors, batch_shape = _as_pair(images, factors, name="factors")
    return with_batch_shape(_blend(x, luminance(x).mean((1, 2), keepdims=True), factors), batch_shape)


def adjust_saturation(images: ArrayLike, factors: ArrayLike) -> jax.Array:
    """Scales the distance of each pixel from its luminance ``l``: ``clip(l + f (x - l), 0, 1)``.

    A factor of 0 gives a grey image, 1 the image.

    Args:
        images: ``(*batch, height, width, channels)``, floating, in [0, 1], with 3 channels; images with 1 channel have
            no colour and come back unchanged.
        factors: a number for all images, or one for each, ``(*batch,)``.

    Returns:
        images of the same shape and dtype.

    Raises:
        ShapeError: images with fewer than three axes, no pixels or other channels, or factors of another shape.
        TypeError: images that are not floating, or factors that are not real numbers.

    >>> adjust_saturation(jnp.array([1.0, 0, 0]).reshape(1, 1, 3), 0.0)[0, 0]
    Array([0.299, 0.299, 0.299], dtype=float32)
    """
    x, factors, batch_shape = _as_pair(images, factors, name="factors")
    y = _blend(x, luminance(x), factors) if _has_colour(x) else x
    return with_batch_shape(y, batch_shape)


def adjust_hue(images: ArrayLike, turns: ArrayLike) -> jax.Array:
    """Rotates the hue of images on the colour circle: 1/3 of a turn maps red to green, green to blue, blue to red.

    The model is the hexcone (HSV); value and saturation do not change. With ``v`` the largest channel, ``c`` the
    largest minus the smallest, and ``h`` the hue in sixths of a turn, channel ``n`` of (5, 3, 1) becomes
    ``v - c max(0, min(k, 4 - k, 1))`` where ``k = (n + h + 6 turns) mod 6``.

    Args:
        images: ``(*batch, height, width, channels)``, floating, in [0, 1], with 3 channels; images with 1 channel have
            no hue and come back unchanged.
        turns: a number of turns for all images, or one for each, ``(*batch,)``.

    Returns:
        images of the same shape and dtype.

    Raises:
        ShapeError: images with fewer than three axes, no pixels or other channels, or turns of another shape.
        TypeError: images that are not floating, or turns that are not real numbers.

    Source: Smith (1978), "Color gamut transform pairs", SIGGRAPH 12, section "hexcone".

    >>> adjust_hue(jnp.array([1.0, 0.5, 0]).reshape(1, 1, 3), 0.5)[0, 0]  # orange becomes sky blue
    Array([0. , 0.5, 1. ], dtype=float32)
    """
    x, turns, batch_shape = _as_pair(images, turns, name="turns")
    y = _rotate_hue(x, turns) if _has_colour(x) else x
    return with_batch_shape(y, batch_shape)


def random_color(
    key: jax.Array,
    images: ArrayLike,
    *,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
) -> jax.Array:
    """Changes brightness, contrast, saturation and hue of each image by random amounts, in this order.

    The first three are factors uniform in ``[max(0, 1 - a), 1 + a]``, hue is a turn uniform in ``[-hue, hue]``. The
    order is the same for all images: under ``jit``, a random order would compute every order for every image.

    Args:
        key: determines the amounts, together with the number of images.
        images: ``(*batch, height, width, channels)``, floating, in [0, 1].
        brightness: amount ``a`` of ``adjust_brightness``.
        contrast: amount ``a`` of ``adjust_contrast``.
        saturation: amount ``a`` of ``adjust_saturation``.
        hue: amount of ``adjust_hue`` in turns, at most 0.5.

    Returns:
        images of the same shape and dtype, in [0, 1].

    Raises:
        ShapeError: images with fewer than three axes or no pixels, or with channels other than 1 and 3 where
            saturation or hue change.
        ValueError: an amount that is negative, not finite or too large.
        TypeError: images that are not floating, an amount that is not a plain number, or an invalid key.

    Source: Howard (2013), "Some improvements on deep convolutional neural network based image classification",
    section 2.1; the ranges as in torchvision's ``ColorJitter``.

    >>> grey = jnp.full((3, 1, 1, 1), 0.5)
    >>> y = random_color(jax.random.key(0), grey, brightness=0.4)
    >>> [round(value, 2) for value in y[:, 0, 0, 0].tolist()]
    [0.68, 0.69, 0.43]
    """
    key = as_key(key)
    x, batch_shape = as_images(images)
    factors = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    amounts = {name: as_amount(amount, name=name) for name, amount in factors.items()}
    hue = as_amount(hue, name="hue", most=0.5)
    if amounts["saturation"] or hue:
        _has_colour(x)
    draws = jax.random.uniform(key, (4, len(x)), jnp.float32)
    adjust = (adjust_brightness, adjust_contrast, adjust_saturation)
    for draw, change, amount in zip(draws, adjust, amounts.values(), strict=False):
        low = max(0.0, 1 - amount)
        x = change(x, low + (1 + amount - low) * draw) if amount else x
    return with_batch_shape(adjust_hue(x, hue * (2 * draws[3] - 1)) if hue else x, batch_shape)


def luminance(images: jax.Array) -> jax.Array:
    """The luminance of each pixel, ``(n, height, width, 1)``, in float32 or float64."""
    x = images.astype(accumulator_dtype(images.dtype))
    if images.shape[-1] != 3:
        return x.mean(-1, keepdims=True)
    return sum(weight * x[..., index : index + 1] for index, weight in enumerate(_LUMA))  # type: ignore[return-value]


def _rotate_hue(images: jax.Array, turns: jax.Array) -> jax.Array:
    x = images.astype(accumulator_dtype(images.dtype))
    red, green, blue = x[..., 0], x[..., 1], x[..., 2]
    value = x.max(-1)
    chroma = value - x.min(-1)
    divisor = jnp.where(chroma > 0, chroma, 1)
    # The channels are compared with each other: `value` may be rounded differently, and equal none of them.
    hue = jnp.where(
        (red >= green) & (red >= blue),
        (green - blue) / divisor,
        jnp.where(green >= blue, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    hue = hue + 6 * turns.astype(x.dtype)[:, None, None]
    shifted = [(n + hue) % 6 for n in (5, 3, 1)]
    y = [value - chroma * jnp.clip(jnp.minimum(k, 4 - k), 0, 1) for k in shifted]
    return jnp.clip(jnp.stack(y, axis=-1), 0, 1).astype(images.dtype)


def _blend(images: jax.Array, base: jax.Array, factors: jax.Array) -> jax.Array:
    """``clip(base + f (x - base), 0, 1)``."""
    dtype = accumulator_dtype(images.dtype)
    x, base, factors = images.astype(dtype), base.astype(dtype), factors.astype(dtype)[:, None, None, None]
    return jnp.clip(base + factors * (x - base), 0, 1).astype(images.dtype)


def _as_pair(images: ArrayLike, values: ArrayLike, *, name: str) -> tuple[jax.Array, jax.Array, tuple[int, ...]]:
    """Images and a real number for each, with one batch axis, and the batch shape."""
    x, batch_shape = as_images(images)
    return x, with_sharding_of(per_image(values, batch_shape, name=name), x), batch_shape


def _has_colour(images: jax.Array) -> bool:
    if images.shape[-1] not in (1, 3):
        raise ShapeError(
            f"images must have 3 channels (red, green, blue), or 1 for grey, but images.shape={images.shape}."
        )
    return images.shape[-1] == 3
