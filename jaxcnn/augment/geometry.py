"""Images moved, turned, enlarged and sheared: one bilinear sampling of each, on the device."""

import math

import jax
import jax.numpy as jnp

from jaxcnn.augment.images import as_amount, as_images, beside
from jaxcnn.augment.sampling import affine_positions, bilinear
from jaxcnn.shapes.errors import ShapeError


def affine(images: jax.Array, matrices: jax.Array, *, fill: float = 0.0) -> jax.Array:
    """Samples each image where its own matrix ``[A | t]`` says: ``y[p] = x[A p + t]``, from output to input.

    Positions ``p`` are (row, column) in pixels, counted from the centre ``((height - 1) / 2, (width - 1) / 2)``.
    A position between pixels reads the four around it, ``sum over q of x[q] max(0, 1 - |r|) max(0, 1 - |c|)`` with
    ``(r, c) = A p + t - q``, and outside the image every pixel is ``fill``: this is
    ``scipy.ndimage.affine_transform(order=1, mode="grid-constant")``. Differentiable in the images, and wherever a
    position is between pixels in the matrices; computed in float32, or in float64 for float64 images.

    Args:
        images: ``(batch, height, width, channels)``, floating, of any range.
        matrices: ``(batch, 2, 3)``. Row 0 gives the input's row and row 1 its column; columns multiply the output's
            row, the output's column, and 1.
        fill: the value outside the images.

    Returns:
        images of the same shape and dtype.

    Raises:
        ShapeError: images that are not a batch, or other than one matrix ``(2, 3)`` for each.
        TypeError: images that are not floating, or matrices that are not real numbers.

    Source: Jaderberg et al. (2015), "Spatial Transformer Networks", equations 1 and 5.

    >>> image = jnp.arange(9.0).reshape(1, 3, 3, 1)
    >>> one_up = jnp.array([[[1.0, 0, 1], [0, 1, 0]]])  # every pixel shows what is one row below
    >>> affine(image, one_up)[0, :, :, 0]
    Array([[3., 4., 5.],
           [6., 7., 8.],
           [0., 0., 0.]], dtype=float32)
    """
    images, matrices = as_images(images, who="affine"), jnp.asarray(matrices)
    if not jnp.issubdtype(matrices.dtype, jnp.floating) and not jnp.issubdtype(matrices.dtype, jnp.integer):
        raise TypeError(f"affine: matrices want real numbers, not {matrices.dtype}.")
    if matrices.shape != (len(images), 2, 3):
        raise ShapeError(
            f"affine: {len(images)} images want matrices of the shape ({len(images)}, 2, 3), but "
            f"matrices.shape={matrices.shape}. One for all: jnp.broadcast_to(matrix, ({len(images)}, 2, 3))."
        )
    return bilinear(images, *affine_positions(images, beside(matrices, images)), fill)


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
    """Shears, enlarges, turns and shifts each image by amounts of its own, in one bilinear sampling.

    The content at ``q`` moves to ``R Z S q + s`` about the centre: ``S`` slants, ``Z`` enlarges, ``R`` turns, and
    ``s`` shifts. All amounts are drawn independently for each image; without any, images come back as they are.

    Args:
        key: decides the amounts, together with the number of images.
        images: ``(batch, height, width, channels)``, floating, of any range.
        shift: rows and columns each move by ``u`` pixels, ``u`` uniform in ``[-shift, shift]``.
        rotate: degrees; the angle is uniform in ``[-rotate, rotate]``.
        scale: the factor ``(1 + scale)**u`` with ``u`` uniform in ``[-1, 1]``: as often smaller as larger.
        shear: degrees; upright lines lean by an angle uniform in ``[-shear, shear]``, as italics do.
        fill: the value that comes in from outside.

    Returns:
        images of the same shape and dtype.

    Raises:
        ShapeError: images that are not a batch; an amount that is negative or not finite, over 180 (``rotate``), or
            90 and more (``shear``).
        TypeError: images that are not floating, or an amount that is not a plain number.

    Source: Simard, Steinkraus and Platt (2003), "Best practices for convolutional neural networks applied to visual
    document analysis", section 2.

    >>> image = jnp.zeros((1, 5, 5, 1)).at[0, 2, 2, 0].set(1.0)
    >>> turned = random_affine(jax.random.key(0), image, rotate=45.0)  # the centre stays where it is
    >>> float(turned[0, 2, 2, 0])
    1.0
    """
    who = "random_affine"
    images = as_images(images, who=who)
    shift = as_amount(shift, who=who, name="shift")
    rotate = as_amount(rotate, who=who, name="rotate", most=180)
    scale = as_amount(scale, who=who, name="scale")
    shear = as_amount(shear, who=who, name="shear", below=90)
    if not (shift or rotate or scale or shear):
        return images
    draws = jax.random.uniform(key, (5, len(images)), jnp.float32, minval=-1.0, maxval=1.0)
    angle = math.radians(rotate) * draws[0]
    smaller = jnp.exp(-math.log1p(scale) * draws[1])
    slant = jnp.tan(math.radians(shear) * draws[2])
    down, right = shift * draws[3], shift * draws[4]
    # Output to input, so the inverses in the opposite order: A = S^-1 Z^-1 R^-1 and t = -A s. S^-1 adds slant * row
    # to the column.
    cosine, sine = smaller * jnp.cos(angle), smaller * jnp.sin(angle)
    rows = (cosine, sine), (-sine + slant * cosine, cosine + slant * sine)
    matrices = jnp.stack([jnp.stack([a, b, -(a * down + b * right)], axis=-1) for a, b in rows], axis=1)
    return bilinear(images, *affine_positions(images, beside(matrices, images)), fill)
