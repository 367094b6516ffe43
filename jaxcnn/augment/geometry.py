"""Images moved, turned, scaled and sheared: one bilinear sampling of each, on the device.

Images are ``(batch, height, width, channels)`` floats of any range. Each image gets its own draw.
"""

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from jaxcnn.shapes.errors import ShapeError


def affine(images: jax.Array, matrices: jax.Array, *, fill: float = 0.0) -> jax.Array:
    """Samples each image where its matrix ``[A | t]`` says: ``y[p] = x[A p + t]``, positions counted from the centre.

    Between pixels the sample is bilinear; outside the image lies ``fill``.

    Args:
        images: ``(batch, height, width, channels)``, floating.
        matrices: ``(batch, 2, 3)``; rows give the input's row and column, columns multiply the output's row, its
            column, and one (pixels).
        fill: value outside the images.

    Raises:
        ShapeError: images that are not a batch, or as many matrices as not images.
        TypeError: images that are not floating.

    >>> image = jnp.arange(9.0).reshape(1, 3, 3, 1)
    >>> one_up = jnp.array([[[1.0, 0, 1], [0, 1, 0]]])  # every pixel shows what is one row below
    >>> affine(image, one_up)[0, :, :, 0]
    Array([[3., 4., 5.],
           [6., 7., 8.],
           [0., 0., 0.]], dtype=float32)
    """
    images = _checked(images, who="affine")
    matrices = jnp.asarray(matrices)
    if matrices.shape != (len(images), 2, 3):
        raise ShapeError(f"affine: matrices want the shape ({len(images)}, 2, 3), but have {matrices.shape}.")
    rows, columns = _centred(images.shape[1]), _centred(images.shape[2])

    def sample(image: jax.Array, matrix: jax.Array) -> jax.Array:
        across, along, shift = matrix[:, 0], matrix[:, 1], matrix[:, 2]
        centre = -jnp.stack([rows[0], columns[0]])
        where = [
            across[axis] * rows[:, None] + along[axis] * columns[None, :] + (shift[axis] + centre[axis])
            for axis in range(2)
        ]
        return jax.vmap(lambda plane: map_coordinates(plane, where, order=1, cval=fill), -1, -1)(image)

    return jax.vmap(sample)(images, matrices.astype(jnp.float32)).astype(images.dtype)


def random_affine(
    key: jax.Array,
    images: jax.Array,
    *,
    shift: float = 0.0,
    rotate: float = 0.0,
    scale: float = 0.0,
    shear: float = 0.0,
    fill: float = 0.0,
) -> jax.Array:
    """Shifts, turns, scales and shears each image by amounts of its own, in one bilinear sampling.

    Args:
        key: decides the amounts.
        images: ``(batch, height, width, channels)``, floating.
        shift: rows and columns are shifted by up to so many pixels, either way.
        rotate: turned by up to so many degrees, either way.
        scale: enlarged by a factor between ``1 / (1 + scale)`` and ``1 + scale``, uniform in its logarithm.
        shear: rows are slanted by up to so many degrees, either way.
        fill: value that comes in from outside.

    Raises:
        ShapeError: images that are not a batch, or an amount that is negative or, for shear, 90 or more.
        TypeError: images that are not floating.

    >>> image = jnp.zeros((1, 5, 5, 1)).at[0, 2, 2, 0].set(1.0)
    >>> turned = random_affine(jax.random.key(0), image, rotate=45.0)  # the centre stays where it is
    >>> float(turned[0, 2, 2, 0])
    1.0
    """
    images = _checked(images, who="random_affine")
    amounts = {"shift": shift, "rotate": rotate, "scale": scale, "shear": shear}
    for name, amount in amounts.items():
        if amount < 0:
            raise ShapeError(f"random_affine: {name}={amount} is negative; give the largest amount, drawn either way.")
    if shear >= 90:
        raise ShapeError(f"random_affine: shear={shear} must be under 90 degrees.")
    draws = jax.random.uniform(key, (5, len(images)), minval=-1.0, maxval=1.0)
    angle, slant = jnp.deg2rad(rotate) * draws[0], jnp.tan(jnp.deg2rad(shear) * draws[1])
    zoom = jnp.exp(jnp.log1p(scale) * draws[2])
    down, right = shift * draws[3], shift * draws[4]
    # Output position -> input position: undo the zoom, the slant, the turn, then the shift.
    sine, cosine = jnp.sin(angle) / zoom, jnp.cos(angle) / zoom
    top = jnp.stack([cosine, -sine + cosine * slant, -down], axis=-1)
    bottom = jnp.stack([sine, cosine + sine * slant, -right], axis=-1)
    return affine(images, jnp.stack([top, bottom], axis=1), fill=fill)


def _centred(size: int) -> jax.Array:
    return jnp.arange(size, dtype=jnp.float32) - (size - 1) / 2


def _checked(images: jax.Array, *, who: str) -> jax.Array:
    images = jnp.asarray(images)
    if images.ndim != 4:
        raise ShapeError(f"{who}: images want (batch, height, width, channels), but images.shape={images.shape}.")
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(f"{who}: images want a floating dtype, not {images.dtype}; divide uint8 images by 255 first.")
    return images
