"""Brightness, contrast, saturation and hue of images in [0, 1]."""

import jax
import jax.numpy as jnp

from jaxcnn.augment.images import as_amount, as_images, beside
from jaxcnn.functional.dtypes import accumulator_dtype
from jaxcnn.shapes.errors import ShapeError

# How bright red, green and blue are: ITU-R BT.601, as in Pillow and torchvision.
_LUMA = (0.299, 0.587, 0.114)


def adjust_brightness(images: jax.Array, factors: jax.Array) -> jax.Array:
    """Multiplies each image by its own factor, ``clip(f x, 0, 1)``: 0 is black, 1 the image.

    Args:
        images: ``(batch, height, width, channels)``, floating, in [0, 1].
        factors: ``(batch,)``, real.

    Raises:
        ShapeError: images that are not a batch, or other than one factor for each.
        TypeError: images that are not floating, or factors that are not real numbers.

    >>> adjust_brightness(jnp.full((2, 1, 1, 1), 0.6), jnp.array([0.5, 2.0]))[:, 0, 0, 0]
    Array([0.3, 1. ], dtype=float32)
    """
    images, factors = _pair(images, factors, who="adjust_brightness")
    return _blend(images, jnp.zeros_like(images), factors)


def adjust_contrast(images: jax.Array, factors: jax.Array) -> jax.Array:
    """Moves each image away from its mean luminance ``m``: ``clip(m + f (x - m), 0, 1)``; 0 is grey, 1 the image.

    Args:
        images: ``(batch, height, width, channels)``, floating, in [0, 1]. The luminance of three channels is
            ``0.299 red + 0.587 green + 0.114 blue``, of any other number their mean.
        factors: ``(batch,)``, real.

    Raises:
        ShapeError: images that are not a batch, or other than one factor for each.
        TypeError: images that are not floating, or factors that are not real numbers.

    >>> adjust_contrast(jnp.array([0.25, 0.75]).reshape(1, 1, 2, 1), jnp.array([0.5]))[0, 0, :, 0]
    Array([0.375, 0.625], dtype=float32)
    """
    images, factors = _pair(images, factors, who="adjust_contrast")
    return _blend(images, luminance(images).mean((1, 2), keepdims=True), factors)


def adjust_saturation(images: jax.Array, factors: jax.Array) -> jax.Array:
    """Moves each pixel away from its own luminance ``l``: ``clip(l + f (x - l), 0, 1)``; 0 is grey, 1 the image.

    Args:
        images: ``(batch, height, width, channels)``, floating, in [0, 1]; 3 channels, or 1, which has no colour and
            comes back as it is.
        factors: ``(batch,)``, real.

    Raises:
        ShapeError: images that are not a batch, other channels, or other than one factor for each.
        TypeError: images that are not floating, or factors that are not real numbers.

    >>> adjust_saturation(jnp.array([1.0, 0, 0]).reshape(1, 1, 1, 3), jnp.array([0.0]))[0, 0, 0]
    Array([0.299, 0.299, 0.299], dtype=float32)
    """
    images, factors = _pair(images, factors, who="adjust_saturation")
    if not _has_colour(images, who="adjust_saturation"):
        return images
    return _blend(images, luminance(images), factors)


def adjust_hue(images: jax.Array, turns: jax.Array) -> jax.Array:
    """Turns the hue of each image round the colour circle: 1/3 of a turn makes red green, green blue, blue red.

    In the hexcone model HSV, of which value and saturation stay: with ``v`` the largest channel, ``c`` that less the
    smallest, and ``h`` the hue in sixths of a turn, channel ``n`` of (5, 3, 1) becomes
    ``v - c max(0, min(k, 4 - k, 1))`` where ``k = (n + h + 6 turns) mod 6``.

    Args:
        images: ``(batch, height, width, channels)``, floating, in [0, 1]; 3 channels, or 1, which has no hue and comes
            back as it is.
        turns: ``(batch,)``, real, in whole turns.

    Raises:
        ShapeError: images that are not a batch, other channels, or other than one turn for each.
        TypeError: images that are not floating, or turns that are not real numbers.

    Source: Smith (1978), "Color gamut transform pairs", SIGGRAPH 12, section "hexcone".

    >>> adjust_hue(jnp.array([1.0, 0.5, 0]).reshape(1, 1, 1, 3), jnp.array([0.5]))[0, 0, 0]  # orange, sky blue
    Array([0. , 0.5, 1. ], dtype=float32)
    """
    images, turns = _pair(images, turns, who="adjust_hue")
    if not _has_colour(images, who="adjust_hue"):
        return images
    x = images.astype(accumulator_dtype(images.dtype))
    red, green, blue = x[..., 0], x[..., 1], x[..., 2]
    value = x.max(-1)
    spread = value - x.min(-1)
    divisor = jnp.where(spread > 0, spread, 1)
    hue = jnp.where(
        value == red,
        (green - blue) / divisor,
        jnp.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    hue = hue + 6 * turns.astype(x.dtype)[:, None, None]
    places = [(n + hue) % 6 for n in (5, 3, 1)]
    y = [value - spread * jnp.clip(jnp.minimum(place, 4 - place), 0, 1) for place in places]
    return jnp.clip(jnp.stack(y, axis=-1), 0, 1).astype(images.dtype)


def random_color(
    key: jax.Array,
    images: jax.Array,
    *,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
) -> jax.Array:
    """Changes brightness, contrast, saturation and hue of each image, in this order, by draws of its own.

    The first three are factors uniform in ``[max(0, 1 - a), 1 + a]``, hue is a turn uniform in ``[-hue, hue]``. The
    order is fixed: with an order for each image every image would pay for all orders.

    Args:
        key: decides the draws, together with the number of images.
        images: ``(batch, height, width, channels)``, floating, in [0, 1].
        brightness: amount ``a`` of ``adjust_brightness``.
        contrast: amount of ``adjust_contrast``.
        saturation: amount of ``adjust_saturation``.
        hue: in turns, at most a half, of ``adjust_hue``.

    Returns:
        images of the same shape and dtype, in [0, 1].

    Raises:
        ShapeError: images that are not a batch, an amount that is negative, not finite or too large, or channels other
            than 1 and 3 where saturation or hue are asked for.
        TypeError: images that are not floating, or an amount that is not a plain number.

    Source: Howard (2013), "Some improvements on deep convolutional neural network based image classification",
    section 2.1; the ranges as in torchvision's ``ColorJitter``.

    >>> grey = jnp.full((3, 1, 1, 1), 0.5)
    >>> y = random_color(jax.random.key(0), grey, brightness=0.4)
    >>> [round(value, 2) for value in y[:, 0, 0, 0].tolist()]
    [0.68, 0.69, 0.43]
    """
    who = "random_color"
    images = as_images(images, who=who)
    factors = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    amounts = {name: as_amount(amount, who=who, name=name) for name, amount in factors.items()}
    hue = as_amount(hue, who=who, name="hue", most=0.5)
    if amounts["saturation"] or hue:
        _has_colour(images, who=who)
    draws = jax.random.uniform(key, (4, len(images)), jnp.float32)
    adjust = (adjust_brightness, adjust_contrast, adjust_saturation)
    for draw, change, amount in zip(draws, adjust, amounts.values(), strict=False):
        low = max(0.0, 1 - amount)
        images = change(images, low + (1 + amount - low) * draw) if amount else images
    return adjust_hue(images, hue * (2 * draws[3] - 1)) if hue else images


def luminance(images: jax.Array) -> jax.Array:
    """How bright each pixel is, ``(batch, height, width, 1)``, in float32 or float64."""
    x = images.astype(accumulator_dtype(images.dtype))
    if images.shape[-1] != 3:
        return x.mean(-1, keepdims=True)
    return sum(weight * x[..., index : index + 1] for index, weight in enumerate(_LUMA))  # type: ignore[return-value]


def _blend(images: jax.Array, base: jax.Array, factors: jax.Array) -> jax.Array:
    """``clip(base + f (x - base), 0, 1)``."""
    dtype = accumulator_dtype(images.dtype)
    x, base, factors = images.astype(dtype), base.astype(dtype), factors.astype(dtype)[:, None, None, None]
    return jnp.clip(base + factors * (x - base), 0, 1).astype(images.dtype)


def _pair(images: jax.Array, numbers: jax.Array, *, who: str) -> tuple[jax.Array, jax.Array]:
    """Images, and one real number for each beside them."""
    images, numbers = as_images(images, who=who), jnp.asarray(numbers)
    if not jnp.issubdtype(numbers.dtype, jnp.floating) and not jnp.issubdtype(numbers.dtype, jnp.integer):
        raise TypeError(f"{who}: one real number for each image is wanted, not {numbers.dtype}.")
    if numbers.shape != (len(images),):
        raise ShapeError(
            f"{who}: {len(images)} images want numbers of the shape ({len(images)},), not {numbers.shape}. "
            f"One for all: jnp.full({len(images)}, number)."
        )
    return images, beside(numbers, images)


def _has_colour(images: jax.Array, *, who: str) -> bool:
    if images.shape[-1] not in (1, 3):
        raise ShapeError(
            f"{who}: colour wants 3 channels (red, green, blue), or 1 for grey, but images.shape={images.shape}."
        )
    return images.shape[-1] == 3
