"""Pairs of images mixed into one, together with their targets."""

import jax
import jax.numpy as jnp

from jaxcnn._arrays import ArrayLike, accumulator_dtype
from jaxcnn.augment._images import as_amount, as_images, as_key, as_targets, rolled, with_batch_shape, with_sharding_of
from jaxcnn.augment._rectangles import rectangle_mask

Pair = tuple[jax.Array, jax.Array]


def mixup(key: jax.Array, images: ArrayLike, targets: ArrayLike, *, alpha: float = 0.2) -> Pair:
    """Averages each image with the previous one in the batch, and their targets alike: ``l x[i] + (1 - l) x[i - 1]``.

    ``l`` is drawn from Beta(alpha, alpha) for each image. Batches are in random order, so the previous image is a
    random partner; that of the first image is the last.

    Args:
        key: determines the weights, together with the number of images.
        images: ``(*batch, height, width, channels)``, floating, of any range. Several batch axes count as one; an image
            without a batch axis is its own partner.
        targets: ``(*batch, ..., classes)``, floating, such as ``jax.nn.one_hot(labels, num_classes)``.
        alpha: 0.1 to 0.4 for ImageNet, 1 for CIFAR-10; 0 changes nothing.

    Returns:
        images and targets of the same shapes and dtypes.

    Raises:
        ShapeError: images with fewer than three axes or no pixels, or targets with other batch axes.
        ValueError: a negative ``alpha``.
        TypeError: images or targets that are not floating, an ``alpha`` that is not a plain number, or an invalid key.

    Source: Zhang et al. (2018), "mixup: beyond empirical risk minimization", equation 2 (there one weight for all
    images of a batch).

    >>> black_and_white = jnp.array([0.0, 1.0]).reshape(2, 1, 1, 1)
    >>> x, targets = mixup(jax.random.key(1), black_and_white, jnp.eye(2), alpha=1.0)
    >>> bool(jnp.allclose(x[:, 0, 0, 0], targets[:, 1]))  # as white as its target
    True
    """
    key, alpha = as_key(key), as_amount(alpha, name="alpha")
    x, t, batch_shape = _as_pair(images, targets)
    if alpha and len(x):
        weights = with_sharding_of(_beta(key, alpha, len(x)), x)
        x, t = _mixed(x, weights), _mixed(t, weights)
    return with_batch_shape(x, batch_shape), with_batch_shape(t, batch_shape)


def cutmix(key: jax.Array, images: ArrayLike, targets: ArrayLike, *, alpha: float = 1.0) -> Pair:
    """Pastes a rectangle of the previous image in the batch into each image, and mixes their targets by area.

    With ``l`` from Beta(alpha, alpha) for each image, the rectangle is ``sqrt(1 - l)`` times as high and wide as the
    image; its centre is uniform over the image, and the part outside is cut off. The weights of the targets are the
    shares of the pixels after the cut.

    Args:
        key: determines the rectangles, together with the number of images.
        images: ``(*batch, height, width, channels)``, floating, of any range. Several batch axes count as one; an image
            without a batch axis is its own partner.
        targets: ``(*batch, ..., classes)``, floating, such as ``jax.nn.one_hot(labels, num_classes)``.
        alpha: 1 draws the area uniformly; 0 changes nothing.

    Returns:
        images and targets of the same shapes and dtypes.

    Raises:
        ShapeError: images with fewer than three axes or no pixels, or targets with other batch axes.
        ValueError: a negative ``alpha``.
        TypeError: images or targets that are not floating, an ``alpha`` that is not a plain number, or an invalid key.

    Source: Yun et al. (2019), "CutMix: regularization strategy to train strong classifiers with localizable features",
    equations 1 and 2.

    >>> black_and_white = jnp.array([0.0, 1.0]).reshape(2, 1, 1, 1) * jnp.ones((2, 4, 4, 1))
    >>> x, targets = cutmix(jax.random.key(0), black_and_white, jnp.eye(2))
    >>> bool(jnp.allclose(x.mean((1, 2, 3)), targets[:, 1]))  # as many white pixels as its target says
    True
    """
    key, alpha = as_key(key), as_amount(alpha, name="alpha")
    x, t, batch_shape = _as_pair(images, targets)
    if alpha and len(x):
        batch, height, width, _ = x.shape
        size_key, place_key = jax.random.split(key)
        share_of_side = jnp.sqrt(1 - _beta(size_key, alpha, batch))
        centres = jax.random.uniform(place_key, (2, batch), jnp.float32)
        ends = []
        for centre, size in zip(centres, (height, width), strict=True):
            middle, length = jnp.floor(centre * size), jnp.floor(share_of_side * size)
            first = middle - jnp.floor(length / 2)
            ends += [jnp.clip(first, 0, size), jnp.clip(first + length, 0, size)]
        pasted = (ends[1] - ends[0]) * (ends[3] - ends[2]) / (height * width)
        x = jnp.where(rectangle_mask(x, *ends), rolled(x, 1), x)
        t = _mixed(t, with_sharding_of(1 - pasted, x))
    return with_batch_shape(x, batch_shape), with_batch_shape(t, batch_shape)


def mixup_or_cutmix(
    key: jax.Array, images: ArrayLike, targets: ArrayLike, *, mixup_alpha: float = 0.2, cutmix_alpha: float = 1.0
) -> Pair:
    """Applies ``mixup`` or ``cutmix`` to each image, with equal probabilities.

    Args:
        key: determines everything, together with the number of images.
        images: ``(*batch, height, width, channels)``, floating, of any range.
        targets: ``(*batch, ..., classes)``, floating, such as ``jax.nn.one_hot(labels, num_classes)``.
        mixup_alpha: ``alpha`` of ``mixup``.
        cutmix_alpha: ``alpha`` of ``cutmix``.

    Returns:
        images and targets of the same shapes and dtypes.

    Raises:
        ShapeError: images with fewer than three axes or no pixels, or targets with other batch axes.
        ValueError: a negative ``alpha``.
        TypeError: images or targets that are not floating, an ``alpha`` that is not a plain number, or an invalid key.

    Source: torchvision's reference recipe (2021), "How to train state-of-the-art models using TorchVision's latest
    primitives"; there one choice for the whole batch.

    >>> x, targets = jax.jit(mixup_or_cutmix)(jax.random.key(0), jnp.zeros((4, 8, 8, 3)), jnp.eye(4))
    >>> targets.sum(-1).round(4)
    Array([1., 1., 1., 1.], dtype=float32)
    """
    key = as_key(key)
    as_amount(mixup_alpha, name="mixup_alpha")
    as_amount(cutmix_alpha, name="cutmix_alpha")
    x, t, batch_shape = _as_pair(images, targets)
    coin_key, mixup_key, cutmix_key = jax.random.split(key, 3)
    averaged, averaged_targets = mixup(mixup_key, x, t, alpha=mixup_alpha)
    pasted, pasted_targets = cutmix(cutmix_key, x, t, alpha=cutmix_alpha)
    coins = with_sharding_of(jax.random.bernoulli(coin_key, 0.5, (len(x),)), x)
    x = jnp.where(_with_ndim_of(coins, x), averaged, pasted)
    t = jnp.where(_with_ndim_of(coins, t), averaged_targets, pasted_targets)
    return with_batch_shape(x, batch_shape), with_batch_shape(t, batch_shape)


def _as_pair(images: ArrayLike, targets: ArrayLike) -> tuple[jax.Array, jax.Array, tuple[int, ...]]:
    """Images and targets with one batch axis, and the batch shape."""
    x, batch_shape = as_images(images)
    return x, with_sharding_of(as_targets(targets, batch_shape), x), batch_shape


def _beta(key: jax.Array, alpha: float, count: int) -> jax.Array:
    """Draws from Beta(alpha, alpha). Beta(1, 1) is drawn as a uniform distribution, which compiles much faster."""
    if alpha == 1:
        return jax.random.uniform(key, (count,), jnp.float32)
    return jax.random.beta(key, alpha, alpha, (count,), jnp.float32)


def _mixed(values: jax.Array, weights: jax.Array) -> jax.Array:
    """``w v[i] + (1 - w) v[i - 1]`` over the first axis."""
    dtype = accumulator_dtype(values.dtype)
    weights = _with_ndim_of(weights.astype(dtype), values)
    x = values.astype(dtype)
    return (weights * x + (1 - weights) * rolled(x, 1)).astype(values.dtype)


def _with_ndim_of(values: jax.Array, array: jax.Array) -> jax.Array:
    """Values ``(n,)`` with axes of size 1 added, up to the number of axes of the array."""
    return jnp.expand_dims(values, tuple(range(1, array.ndim)))
