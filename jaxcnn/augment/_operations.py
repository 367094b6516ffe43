"""The fourteen operations of RandAugment and TrivialAugment, with a different one for each image of a batch.

Under ``jit``, a switch over fourteen operations would compute all fourteen for every image. Here they are five
computations: one sampling for all operations that move pixels, one blend for all that scale the distance from a base
image, and posterize, solarize and the two operations on histograms, which are cheap.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn._arrays import accumulator_dtype
from jaxcnn.augment._color import luminance
from jaxcnn.augment._images import with_sharding_of
from jaxcnn.augment._sampling import affine_positions, nearest

OPERATIONS = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "auto_contrast",
    "equalize",
)


def strength_table(
    *,
    bins: int,
    shear: float,
    translate: tuple[float, float],
    rotate: float,
    factor: float,
    bits: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The strength of each operation at each of ``bins`` magnitudes, and which operations have a random sign.

    Strengths rise linearly from 0 to the given maximum, in whole pixels for ``translate`` (columns, rows); posterize
    goes from 8 bits down by ``bits``, solarize from a threshold of 255 to 0.

    Returns:
        ``(operations, bins)`` and ``(operations,)``.

    >>> table, signed = strength_table(bins=3, shear=0.3, translate=(8, 4), rotate=30, factor=0.9, bits=4)
    >>> table[OPERATIONS.index("posterize")], int(signed.sum())
    (array([8., 6., 4.], dtype=float32), 9)
    """
    linear = np.linspace(0, 1, bins)
    translate_x, translate_y = (np.trunc(linear * most) for most in translate)
    none = np.zeros(bins)
    posterize = 8 - np.round(np.arange(bins) / ((bins - 1) / bits))
    moves = [linear * shear, linear * shear, translate_x, translate_y, linear * rotate]
    rows = [none, *moves, *[linear * factor] * 4, posterize, 255 * (1 - linear), none, none]
    signed = np.array([1 <= index <= 9 for index in range(len(OPERATIONS))])
    return np.stack(rows).astype(np.float32), signed


def apply_operations(images: jax.Array, which: jax.Array, strengths: jax.Array, *, fill: float) -> jax.Array:
    """Applies to each image the operation ``OPERATIONS[which]`` with a strength.

    Strengths are slopes for the shears (relative to the corner of the first pixel), pixels for the translations,
    degrees counterclockwise for the rotation, the difference of the factor from 1 for the four blends (a factor of 0 is
    grey, black or smooth, 1 the image), the number of bits that remain for posterize, and the level, 0 to 255, from
    which solarize inverts. Moves take the nearest pixel, as in the papers. Each result equals Pillow's for images of
    bytes up to rounding.

    Args:
        images: ``(n, height, width, channels)``, floating, in [0, 1].
        which: ``(n,)``, indices into ``OPERATIONS``.
        strengths: ``(n,)``.
        fill: the value outside the images.

    >>> image = jnp.array([0.0, 0.25, 0.5]).reshape(1, 1, 3, 1)
    >>> jitted = jax.jit(apply_operations, static_argnames="fill")
    >>> jitted(image, jnp.array([12]), jnp.zeros(1), fill=0.0)[0, 0, :, 0]  # auto_contrast
    Array([0. , 0.5, 1. ], dtype=float32)
    """
    dtype = accumulator_dtype(images.dtype)
    x = images.astype(dtype)
    which, strengths = with_sharding_of(which, images), with_sharding_of(strengths.astype(dtype), images)
    selected = {name: (which == index)[:, None, None, None] for index, name in enumerate(OPERATIONS)}
    levels = jnp.clip(jnp.round(255 * x), 0, 255).astype(jnp.int32)
    amount = strengths[:, None, None, None]
    # For an image that does not move, the positions are those of its own pixels, so it does not change.
    y = nearest(x, *affine_positions(x, _matrices(x, which, strengths)), fill)
    y = _blended(x, y, selected, 1 + amount)
    dropped = 8 - jnp.clip(amount, 0, 8).astype(jnp.int32)
    y = jnp.where(selected["posterize"], ((levels >> dropped) << dropped).astype(dtype) / 255, y)
    y = jnp.where(selected["solarize"], jnp.where(levels.astype(dtype) >= amount, 1 - x, x), y)
    y = jnp.where(selected["auto_contrast"], _stretched(x), y)
    y = jnp.where(selected["equalize"], _equalized(levels).astype(dtype) / 255, y)
    return y.astype(images.dtype)


def _matrices(x: jax.Array, which: jax.Array, strengths: jax.Array) -> jax.Array:
    """Matrices from output to input relative to the centre, ``(n, 2, 3)``; identities for operations without a move."""
    _, height, width, _ = x.shape

    def of(name: str) -> jax.Array:
        return jnp.where(which == OPERATIONS.index(name), strengths, 0)

    by_row, by_column, angle = of("shear_x"), of("shear_y"), jnp.deg2rad(of("rotate"))
    right, down = of("translate_x"), of("translate_y")
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    # A shear fixes the upper left corner, half an image from the centre.
    rows = (cosine, sine + by_column, by_column * (width / 2) + down)
    columns = (by_row - sine, cosine, by_row * (height / 2) + right)
    return jnp.stack([jnp.stack(rows, -1), jnp.stack(columns, -1)], axis=1)


def _blended(x: jax.Array, y: jax.Array, selected: dict[str, jax.Array], factor: jax.Array) -> jax.Array:
    """``base + factor (x - base)`` where a blend is selected, else ``y``; a factor of 0 gives the base."""
    grey = luminance(x)
    base = jnp.where(selected["color"], grey if x.shape[-1] == 3 else x, _smooth(x))
    base = jnp.where(selected["contrast"], grey.mean((1, 2), keepdims=True), base)
    base = jnp.where(selected["brightness"], jnp.zeros((), x.dtype), base)
    any_blend = selected["brightness"] | selected["color"] | selected["contrast"] | selected["sharpness"]
    return jnp.where(any_blend, jnp.clip(base + factor * (x - base), 0, 1), y)


def _smooth(x: jax.Array) -> jax.Array:
    """Inner pixels averaged with their eight neighbours, with weight 5 of 13; the border does not change."""
    _, height, width, _ = x.shape
    if height < 3 or width < 3:
        return x
    total = 4 * x[:, 1:-1, 1:-1]
    for row in range(3):
        for column in range(3):
            total = total + x[:, row : height - 2 + row, column : width - 2 + column]
    inner = jnp.pad(total / 13, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows, columns = np.arange(height)[None, :, None, None], np.arange(width)[None, None, :, None]
    inside = jnp.asarray((rows > 0) & (rows < height - 1) & (columns > 0) & (columns < width - 1))
    return jnp.where(inside, inner, x)


def _stretched(x: jax.Array) -> jax.Array:
    """Each channel scaled linearly to the range [0, 1]; a constant channel does not change."""
    low, high = x.min((1, 2), keepdims=True), x.max((1, 2), keepdims=True)
    flat = high == low
    return jnp.where(flat, x, (x - low) / jnp.where(flat, 1, high - low))


def _equalized(levels: jax.Array) -> jax.Array:
    """Levels 0 to 255 of each channel, mapped so that all are about equally frequent."""
    batch, height, width, channels = levels.shape
    flat = jnp.moveaxis(levels, 3, 1).reshape(batch, channels, height * width)
    counts = jax.vmap(jax.vmap(lambda values: jnp.zeros(256, jnp.int32).at[values].add(1)))(flat)
    # As in Pillow, the pixels of the highest level do not count in the size of a step.
    brightest = (flat == flat.max(-1, keepdims=True)).sum(-1, keepdims=True, dtype=jnp.int32)
    step = (height * width - brightest) // 255
    before = jnp.cumsum(counts, axis=-1, dtype=jnp.int32) - counts
    table = jnp.clip((before + step // 2) // jnp.maximum(step, 1), 0, 255)
    table = jnp.where(step == 0, jnp.arange(256, dtype=jnp.int32)[None, None], table)
    spread = jax.vmap(jax.vmap(lambda row, values: row.at[values].get(mode="clip")))(table, flat)
    return jnp.moveaxis(spread.reshape(batch, channels, height, width), 1, 3)
