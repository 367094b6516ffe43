"""Affine maps of images: shifts, rotations, changes of scale and shears, by one bilinear sampling."""

import math

import jax
import jax.numpy as jnp

from jaxcnn._arrays import ArrayLike
from jaxcnn.augment._images import as_amount, as_fill, as_images, as_key, per_image, with_batch_shape, with_sharding_of
from jaxcnn.augment._sampling import affine_positions, bilinear


def affine(images: ArrayLike, matrices: ArrayLike, *, fill: float = 0.0) -> jax.Array:
    """Samples each image at positions given by a matrix ``[A | t]``: ``y[p] = x[A p + t]``, from output to input.

    Positions ``p`` are (row, column) in pixels, relative to the centre ``((height - 1) / 2, (width - 1) / 2)``.
    A position between pixels is interpolated from the four around it, ``sum over q of x[q] max(0, 1 - |r|)
    max(0, 1 - |c|)`` with ``(r, c) = A p + t - q``, and every pixel outside the image is ``fill``, as in
    ``scipy.ndimage.affine_transform(order=1, mode="grid-constant")``. The result is differentiable in the images, and
    in the matrices where a position is between pixels; it is computed in float32, or in float64 for float64 images.

    Args:
        images: ``(*batch, height, width, channels)``, floating, of any range.
        matrices: ``(2, 3)`` for all images, or one for each, ``(*batch, 2, 3)``. Row 0 gives the row of the input and
            row 1 its column; the columns multiply the row of the output, its column, and 1.
        fill: the value outside the images.

    Returns:
        images of the same shape and dtype.

    Raises:
        ShapeError: images with fewer than three axes or no pixels, or matrices of another shape.
        TypeError: images that are not floating, or matrices that are not real numbers.

    Source: Jaderberg et al. (2015), "Spatial Transformer Networks", equations 1 and 5.

    >>> image = jnp.arange(9.0).reshape(3, 3, 1)
    >>> one_up = jnp.array([[1.0, 0, 1], [0, 1, 0]])  # each pixel is the one in the next row
    >>> affine(image, one_up)[:, :, 0]
    Array([[3., 4., 5.],
           [6., 7., 8.],
           [0., 0., 0.]], dtype=float32)
    """
    x, batch_shape = as_images(images)
    each = with_sharding_of(per_image(matrices, batch_shape, (2, 3), name="matrices"), x)
    return with_batch_shape(bilinear(x, *affine_positions(x, each), as_fill(fill)), batch_shape)


def random_affine(
    key: jax.Array,
    images: ArrayLike,
    *,
    shift: float = 0.0,
    rotate: float = 0.0,
    scale: float = 0.0,
    shear: float = 0.0,
    fill: float = 0.0,
) -> jax.Array:
    """Shears, scales, rotates and shifts each image by random amounts, in one bilinear sampling.

    The content at ``q`` moves to ``R Z S q + s`` relative to the centre: ``S`` shears, ``Z`` scales, ``R`` rotates, and
    ``s`` shifts. All amounts are independent for each image; without amounts, images are unchanged.

    Args:
        key: determines the amounts, together with the number of images.
        images: ``(*batch, height, width, channels)``, floating, of any range.
        shift: rows and columns each move by ``u`` pixels, ``u`` uniform in ``[-shift, shift]``.
        rotate: degrees; the angle is uniform in ``[-rotate, rotate]``.
        scale: the factor is ``(1 + scale)**u`` with ``u`` uniform in ``[-1, 1]``: smaller as often as larger.
        shear: degrees; vertical lines lean by an angle uniform in ``[-shear, shear]``.
        fill: the value outside the images.

    Returns:
        images of the same shape and dtype.

    Raises:
        ShapeError: images with fewer than three axes or no pixels.
        ValueError: an amount that is negative or not finite, over 180 (``rotate``), or 90 and more (``shear``).
        TypeError: images that are not floating, an amount that is not a plain number, or an invalid key.

    Source: Simard, Steinkraus and Platt (2003), "Best practices for convolutional neural networks applied to visual
    document analysis", section 2.

    >>> image = jnp.zeros((1, 5, 5, 1)).at[0, 2, 2, 0].set(1.0)
    >>> rotated = random_affine(jax.random.key(0), image, rotate=45.0)  # the centre does not move
    >>> float(rotated[0, 2, 2, 0])
    1.0
    """
    key = as_key(key)
    x, batch_shape = as_images(images)
    shift = as_amount(shift, name="shift")
    rotate = as_amount(rotate, name="rotate", most=180)
    scale = as_amount(scale, name="scale")
    shear = as_amount(shear, name="shear", below=90)
    fill = as_fill(fill)
    if not (shift or rotate or scale or shear):
        return with_batch_shape(x, batch_shape)
    draws = jax.random.uniform(key, (5, len(x)), jnp.float32, minval=-1.0, maxval=1.0)
    angle = math.radians(rotate) * draws[0]
    inverse_scale = jnp.exp(-math.log1p(scale) * draws[1])
    slope = jnp.tan(math.radians(shear) * draws[2])
    down, right = shift * draws[3], shift * draws[4]
    # From output to input: the inverses in the opposite order, A = S^-1 Z^-1 R^-1 and t = -A s. S^-1 adds slope * row
    # to the column.
    cosine, sine = inverse_scale * jnp.cos(angle), inverse_scale * jnp.sin(angle)
    rows = (cosine, sine), (-sine + slope * cosine, cosine + slope * sine)
    matrices = jnp.stack([jnp.stack([a, b, -(a * down + b * right)], axis=-1) for a, b in rows], axis=1)
    return with_batch_shape(bilinear(x, *affine_positions(x, with_sharding_of(matrices, x)), fill), batch_shape)
