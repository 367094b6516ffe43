"""The four losses of a two-stage detector, of samples with weights.

Each loss has the shape ``(batch,)``. Its mean over the batch is the loss of torchvision: the sum over the samples of
all images, divided by the number of samples. Images with more samples therefore have a larger weight. The losses are
written with ``jax.nn``, since the core does not require Optax.
"""

import jax
import jax.numpy as jnp

BETA = 1 / 9  # below this error the box loss is quadratic


def proposal_losses(
    logits: jax.Array, deltas: jax.Array, labels: jax.Array, targets: jax.Array, weights: jax.Array
) -> dict[str, jax.Array]:
    """``objectness``, the binary cross-entropy, and ``rpn_boxes``, the smooth L1 loss of positive anchors.

    Args:
        logits: ``(batch, n)``.
        deltas: ``(batch, n, 4)``, encoded boxes.
        labels: ``(batch, n)``, 1 for anchors of objects.
        targets: ``(batch, n, 4)``, encoded true boxes.
        weights: ``(batch, n)``.
    """
    entropy = jax.nn.softplus(jnp.where(labels > 0, -logits, logits))
    return {
        "objectness": _by_image(entropy, weights, weights),
        "rpn_boxes": _by_image(smooth_l1(deltas, targets), weights * (labels > 0), weights),
    }


def region_losses(
    logits: jax.Array, deltas: jax.Array, labels: jax.Array, targets: jax.Array, weights: jax.Array
) -> dict[str, jax.Array]:
    """``classes``, the cross-entropy, and ``boxes``, the smooth L1 loss of the box of the true class.

    Args:
        logits: ``(batch, n, classes)``.
        deltas: ``(batch, n, classes, 4)``, encoded boxes.
        labels: ``(batch, n)``; 0 is the background, which has no box.
        targets: ``(batch, n, 4)``, encoded true boxes.
        weights: ``(batch, n)``.
    """
    entropy = -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], -1)[..., 0]
    of_class = jnp.take_along_axis(deltas, labels[..., None, None], 2)[:, :, 0]
    return {
        "classes": _by_image(entropy, weights, weights),
        "boxes": _by_image(smooth_l1(of_class, targets), weights * (labels > 0), weights),
    }


def smooth_l1(values: jax.Array, targets: jax.Array) -> jax.Array:
    """The sum over the four numbers of ``e**2 / (2 BETA)`` below an error of BETA, ``e - BETA / 2`` above."""
    errors = jnp.abs(values - targets)
    return jnp.where(errors < BETA, errors**2 / (2 * BETA), errors - BETA / 2).sum(-1)


def _by_image(losses: jax.Array, counted: jax.Array, weights: jax.Array) -> jax.Array:
    """The sum of each image, divided by the mean number of samples; entries that do not count may be NaN."""
    mean_count = jnp.maximum(weights.sum(), 1) / len(weights)
    return jnp.where(counted > 0, losses * counted, 0).sum(-1) / mean_count
