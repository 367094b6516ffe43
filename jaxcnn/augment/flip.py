"""Images mirrored."""

import jax
import jax.numpy as jnp

from jaxcnn.augment.images import as_amount, as_images, beside
from jaxcnn.shapes.errors import check_choice

_AXES = {"height": 1, "width": 2}


def random_flip(key: jax.Array, images: jax.Array, *, axis: str = "width", probability: float = 0.5) -> jax.Array:
    """Mirrors each image with a probability: ``y[r, c] = x[r, width - 1 - c]`` along the width.

    Args:
        key: decides which images, together with their number.
        images: ``(batch, height, width, channels)``, floating, of any range.
        axis: ``"width"`` swaps left and right, ``"height"`` top and bottom.
        probability: of being mirrored.

    Returns:
        images of the same shape and dtype.

    Raises:
        ShapeError: images that are not a batch, another axis, or a probability outside ``[0, 1]``.
        TypeError: images that are not floating, or a probability that is not a plain number.

    Source: Krizhevsky, Sutskever and Hinton (2012), "ImageNet classification with deep convolutional neural networks",
    section 4.1.

    >>> row = jnp.arange(3.0)[None, None, :, None]
    >>> random_flip(jax.random.key(1), jnp.concatenate([row, row]))[:, 0, :, 0]
    Array([[2., 1., 0.],
           [0., 1., 2.]], dtype=float32)
    """
    who = "random_flip"
    images = as_images(images, who=who)
    check_choice(axis, _AXES, who=who, name="axis")
    probability = as_amount(probability, who=who, name="probability", most=1)
    drawn = jax.random.uniform(key, (len(images),), jnp.float32) < probability
    mirrored = beside(drawn, images)[:, None, None, None]
    return jnp.where(mirrored, jnp.flip(images, _AXES[axis]), images)
