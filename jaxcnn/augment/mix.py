"""Two images and their targets made into one: the labels go along, so these take and give both."""

import jax
import jax.numpy as jnp

from jaxcnn.augment.erase import rectangle
from jaxcnn.augment.images import as_amount, as_images, as_targets, beside
from jaxcnn.functional.dtypes import accumulator_dtype


def mixup(key: jax.Array, images: jax.Array, targets: jax.Array, *, alpha: float = 0.2) -> tuple[jax.Array, jax.Array]:
    """Averages each image with the one before it in the batch, and their targets alike: ``l x[i] + (1 - l) x[i - 1]``.

    ``l`` is drawn from Beta(alpha, alpha) for each image. The batch is in random order already, so its neighbour is a
    random partner; the first image's is the last.

    Args:
        key: decides the weights, together with the number of images.
        images: ``(batch, height, width, channels)``, floating, of any range.
        targets: ``(batch, ..., classes)``, floating, such as ``jax.nn.one_hot(labels, num_classes)``.
        alpha: 0.1 to 0.4 for ImageNet, 1 for CIFAR-10; 0 leaves everything as it is.

    Returns:
        images and targets of the same shapes and dtypes.

    Raises:
        ShapeError: images that are not a batch, other than one target for each, or a negative ``alpha``.
        TypeError: images or targets that are not floating, or an ``alpha`` that is not a plain number.

    Source: Zhang et al. (2018), "mixup: beyond empirical risk minimization", equation 2 (there one weight for all
    images of a batch).

    >>> black_and_white = jnp.array([0.0, 1.0]).reshape(2, 1, 1, 1)
    >>> x, targets = mixup(jax.random.key(1), black_and_white, jnp.eye(2), alpha=1.0)
    >>> bool(jnp.allclose(x[:, 0, 0, 0], targets[:, 1]))  # as white as its target says
    True
    """
    who = "mixup"
    images, targets, alpha = _checked(images, targets, alpha, who=who)
    if not alpha or not len(images):
        return images, targets
    weights = beside(_weights(key, alpha, len(images)), images)
    return _mixed(images, weights), _mixed(targets, weights)


def cutmix(key: jax.Array, images: jax.Array, targets: jax.Array, *, alpha: float = 1.0) -> tuple[jax.Array, jax.Array]:
    """Pastes a rectangle of the image before it in the batch into each image, and mixes their targets by area.

    With ``l`` from Beta(alpha, alpha) for each image, the rectangle is ``sqrt(1 - l)`` times as high and wide as the
    image and has its centre anywhere in it; the part outside is cut off. The targets' weights are the shares of pixels
    that were really kept and pasted.

    Args:
        key: decides the rectangles, together with the number of images.
        images: ``(batch, height, width, channels)``, floating, of any range.
        targets: ``(batch, ..., classes)``, floating, such as ``jax.nn.one_hot(labels, num_classes)``.
        alpha: 1 draws the area uniformly; 0 leaves everything as it is.

    Returns:
        images and targets of the same shapes and dtypes.

    Raises:
        ShapeError: images that are not a batch, other than one target for each, or a negative ``alpha``.
        TypeError: images or targets that are not floating, or an ``alpha`` that is not a plain number.

    Source: Yun et al. (2019), "CutMix: regularization strategy to train strong classifiers with localizable features",
    equations 1 and 2.

    >>> black_and_white = jnp.array([0.0, 1.0]).reshape(2, 1, 1, 1) * jnp.ones((2, 4, 4, 1))
    >>> x, targets = cutmix(jax.random.key(0), black_and_white, jnp.eye(2))
    >>> bool(jnp.allclose(x.mean((1, 2, 3)), targets[:, 1]))  # as many white pixels as its target says
    True
    """
    who = "cutmix"
    images, targets, alpha = _checked(images, targets, alpha, who=who)
    if not alpha or not len(images):
        return images, targets
    batch, height, width, _ = images.shape
    size_key, place_key = jax.random.split(key)
    side = jnp.sqrt(1 - _weights(size_key, alpha, batch))
    places = jax.random.uniform(place_key, (2, batch), jnp.float32)
    ends = []
    for place, size in zip(places, (height, width), strict=True):
        centre, length = jnp.floor(place * size), jnp.floor(side * size)
        first = centre - jnp.floor(length / 2)
        ends += [jnp.clip(first, 0, size), jnp.clip(first + length, 0, size)]
    pasted = rectangle(images, *ends)
    share = (ends[1] - ends[0]) * (ends[3] - ends[2]) / (height * width)
    mixed = jnp.where(pasted, _one_before(images), images)
    return mixed, _mixed(targets, beside(1 - share, images))


def mixup_or_cutmix(
    key: jax.Array, images: jax.Array, targets: jax.Array, *, mixup_alpha: float = 0.2, cutmix_alpha: float = 1.0
) -> tuple[jax.Array, jax.Array]:
    """One of ``mixup`` and ``cutmix`` for each image, each as often as the other.

    Args:
        key: decides everything, together with the number of images.
        images: ``(batch, height, width, channels)``, floating, of any range.
        targets: ``(batch, ..., classes)``, floating, such as ``jax.nn.one_hot(labels, num_classes)``.
        mixup_alpha: ``alpha`` of ``mixup``.
        cutmix_alpha: ``alpha`` of ``cutmix``.

    Returns:
        images and targets of the same shapes and dtypes.

    Raises:
        ShapeError: as the two do.
        TypeError: as the two do.

    Source: torchvision's reference recipe (2021), "How to train state-of-the-art models using TorchVision's latest
    primitives"; there one choice for the whole batch.

    >>> x, targets = mixup_or_cutmix(jax.random.key(0), jnp.zeros((4, 8, 8, 3)), jnp.eye(4))
    >>> targets.sum(-1).round(4)
    Array([1., 1., 1., 1.], dtype=float32)
    """
    coin_key, mixup_key, cutmix_key = jax.random.split(key, 3)
    blended, blended_targets = mixup(mixup_key, images, targets, alpha=mixup_alpha)
    pasted, pasted_targets = cutmix(cutmix_key, images, targets, alpha=cutmix_alpha)
    coins = beside(jax.random.bernoulli(coin_key, 0.5, (len(blended),)), blended)
    by_target = _beside_axes(coins, blended_targets)
    return (
        jnp.where(coins[:, None, None, None], blended, pasted),
        jnp.where(by_target, blended_targets, pasted_targets),
    )


def _weights(key: jax.Array, alpha: float, count: int) -> jax.Array:
    """Draws from Beta(alpha, alpha); that of 1 is uniform, and much sooner compiled as such."""
    if alpha == 1:
        return jax.random.uniform(key, (count,), jnp.float32)
    return jax.random.beta(key, alpha, alpha, (count,), jnp.float32)


def _mixed(values: jax.Array, weights: jax.Array) -> jax.Array:
    """``w v[i] + (1 - w) v[i - 1]`` over the first axis."""
    dtype = accumulator_dtype(values.dtype)
    weights = _beside_axes(weights.astype(dtype), values)
    wide = values.astype(dtype)
    return (weights * wide + (1 - weights) * _one_before(wide)).astype(values.dtype)


def _one_before(values: jax.Array) -> jax.Array:
    """``v[i - 1]`` over the first axis, the last before the first.

    Explicit axes refuse to be rolled over, so there the batch is gathered first; otherwise devices pass on one image.
    """
    sharding = jax.typeof(values).sharding
    if sharding.spec[0] is None:
        return jnp.roll(values, 1, axis=0)
    everywhere = jax.sharding.NamedSharding(sharding.mesh, jax.sharding.PartitionSpec())
    return beside(jnp.roll(jax.sharding.reshard(values, everywhere), 1, axis=0), values)


def _beside_axes(numbers: jax.Array, values: jax.Array) -> jax.Array:
    """Numbers ``(batch,)`` with as many axes as the values."""
    return jnp.expand_dims(numbers, tuple(range(1, values.ndim)))


def _checked(images: jax.Array, targets: jax.Array, alpha: float, *, who: str) -> tuple[jax.Array, jax.Array, float]:
    images = as_images(images, who=who)
    targets = beside(as_targets(targets, images, who=who), images)
    return images, targets, as_amount(alpha, who=who, name="alpha")
