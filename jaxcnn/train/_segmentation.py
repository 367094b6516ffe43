"""The functions of an experiment for semantic segmentation: a class for each pixel, some of which have no label."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxcnn import metrics
from jaxcnn.train._experiment import Aux
from jaxcnn.train._tasks import Functions, Loss, as_logits, check_model, cross_entropy, unchanged

Batch = Mapping[str, Any]


def segmentation(
    model: nn.Module,
    *,
    loss: Loss | None = None,
    class_weights: Sequence[float] | np.ndarray | None = None,
    heads: Mapping[str, float] | None = None,
    ignored: int | None = 255,
    normalize: Callable[[jax.Array], jax.Array] = unchanged,
    target: str = "segmentation",
) -> Functions:
    """The functions of an experiment whose model gives logits of classes for each pixel of ``image``.

    The loss of an image is ``sum of w[y] * l / n`` over its ``n`` labelled pixels, with the loss ``l`` of each pixel
    and the weight ``w[y]`` of its class. Pixels without a label count in no loss and in no measure; an image without
    any labelled pixel has the loss 0 and the accuracy 0.

    Args:
        model: a Linen module; ``model.apply(variables, x, train=...)`` gives logits ``(batch, *spatial, classes)``.
        loss: logits and labels -> the loss of each pixel; by default ``cross_entropy()``.
        class_weights: one for each class, such as ``data.median_frequency_weights``; by default 1. Evaluation
            computes the loss without them.
        heads: the weight of the loss of each further head, by its name in ``model.features``, such as ``{"aux": 0.5}``,
            or ``{"step1": 1.0, "step2": 1.0}`` of ``models.Refinement``. The loss of ``logits`` is always added with
            the weight 1, and evaluation reads the model's output.
        ignored: the class of pixels without a label; None where every pixel has one.
        normalize: prepared and augmented images -> the input of the model.
        target: the array of the classes, integers ``(batch, *spatial)``.

    Returns:
        ``init``, ``objective``, ``evaluate``, ``predict``, ``count_classes`` and ``summarize``. Evaluation gives
        ``loss``, ``accuracy``, and of the whole split ``pixel_accuracy``, ``class_accuracy`` (the mean over the classes
        of the share of their pixels that are right) and ``mean_iou``; predictions are ``{target: ...}``, the most
        probable class of each pixel.

    Raises:
        ShapeError: when it is traced, logits without a class for each pixel of the target, or another number of weights
            than of classes.
        TypeError: heads of a model without ``features``, or classes that are not integers.
        ValueError: weights that are negative or not finite, a head that the model does not have, or ``logits`` among
            the heads.

    >>> from jaxcnn import models
    >>> sorted(segmentation(models.create("unet", num_classes=2)))
    ['count_classes', 'evaluate', 'init', 'objective', 'predict', 'summarize']
    """
    check_model(model)
    loss_of = cross_entropy() if loss is None else loss
    weights = None if class_weights is None else np.asarray(class_weights, np.float32)
    if weights is not None and (weights.ndim != 1 or not np.isfinite(weights).all() or (weights < 0).any()):
        raise ValueError(f"class_weights={class_weights!r} must be finite numbers, at least 0, one for each class.")

    if heads and "logits" in heads:
        raise ValueError("heads has 'logits', whose loss is always added with the weight 1. Leave it out.")
    if heads is not None and not callable(getattr(model, "features", None)):
        raise TypeError(
            f"heads are outputs of the model's method features, which {type(model).__name__} does not have. It returns "
            f"a dict of logits by name, 'logits' among them, and is called as features(x, train)."
        )

    def init(key: jax.Array, batch: Batch) -> Any:
        return model.init(key, normalize(batch["image"]), train=False)

    def labels_of(batch: Batch) -> tuple[jax.Array, jax.Array]:
        """The labels, 0 for pixels without one, and whether each pixel has one."""
        labels = batch[target]
        if not jnp.issubdtype(labels.dtype, jnp.integer):
            raise TypeError(f"{target!r} must hold the classes of pixels as integers, not {labels.dtype}.")
        valid = jnp.ones(labels.shape, bool) if ignored is None else labels != ignored
        return jnp.where(valid, labels, jnp.zeros_like(labels)).astype(jnp.int32), valid

    def losses_of(logits: jax.Array, batch: Batch, weights: np.ndarray | None) -> jax.Array:
        labels, valid = labels_of(batch)
        losses = loss_of(as_logits(logits, labels), labels)
        if weights is not None:
            if weights.shape != logits.shape[-1:]:
                raise ValueError(
                    f"class_weights must have one weight for each of the {logits.shape[-1]} classes of the model, not "
                    f"{len(weights)}."
                )
            losses = losses * jnp.asarray(weights)[labels]
        return _mean_over(losses, valid)

    def hits(logits: jax.Array, batch: Batch) -> jax.Array:
        labels, valid = labels_of(batch)
        return _mean_over(logits.argmax(-1) == labels, valid)

    def objective(variables: Any, batch: Batch, key: jax.Array) -> tuple[jax.Array, Aux]:
        others = [name for name in variables if name != "params"]
        found, updates = model.apply(
            variables,
            normalize(batch["image"]),
            train=True,
            mutable=others,
            rngs={"dropout": key},
            method=None if heads is None else "features",
        )
        maps = {"logits": found} if heads is None else found
        if missing := [name for name in heads or {} if name not in maps]:
            raise ValueError(
                f"heads has {missing[0]!r}, but the features of {type(model).__name__} in training are "
                f"{', '.join(maps)}."
            )
        with jax.named_scope("compute_loss"):
            further = [weight * losses_of(maps[name], batch, weights) for name, weight in (heads or {}).items()]
            losses = sum(further, start=losses_of(maps["logits"], batch, weights))
        return losses, Aux(updates=updates, metrics={"accuracy": hits(maps["logits"], batch)})

    def logits_of(variables: Any, batch: Batch) -> jax.Array:
        return as_logits(model.apply(variables, normalize(batch["image"]), train=False))

    def evaluate(variables: Any, batch: Batch) -> dict[str, jax.Array]:
        logits = as_logits(logits_of(variables, batch), batch[target])
        labels, valid = labels_of(batch)
        return {"loss": _mean_over(cross_entropy()(logits, labels), valid), "accuracy": hits(logits, batch)}

    def predict(variables: Any, batch: Batch) -> dict[str, jax.Array]:
        return {target: logits_of(variables, batch).argmax(-1)}

    def count_classes(variables: Any, batch: Batch) -> int:
        return logits_of(variables, batch).shape[-1]

    def summarize(outputs: Any, targets: Mapping[str, np.ndarray]) -> dict[str, float]:
        truth, found = targets[target].astype(np.int32), outputs[target]
        truth = truth if ignored is None else np.where(truth == ignored, -1, truth)
        state = metrics.ConfusionMatrix.empty(1 + max(int(truth.max()), int(found.max())))
        for start in range(0, len(truth), 64):  # a part at a time: counts of a single update are exact up to 2**24
            state = state.update(truth[start : start + 64], found[start : start + 64])
        matrix = state.compute()
        return {
            "pixel_accuracy": float(metrics.recall(matrix, average="micro")),
            "class_accuracy": float(metrics.balanced_accuracy(matrix)),
            "mean_iou": float(metrics.mean_iou(matrix)),
        }

    return {
        "init": init,
        "objective": objective,
        "evaluate": evaluate,
        "predict": predict,
        "count_classes": count_classes,
        "summarize": summarize,
    }


def _mean_over(values: jax.Array, valid: jax.Array) -> jax.Array:
    """The mean of each example over its valid pixels; 0 if it has none."""
    axes = tuple(range(1, valid.ndim))
    total = jnp.where(valid, values.astype(jnp.float32), 0).sum(axes)
    return total / jnp.maximum(valid.sum(axes), 1).astype(jnp.float32)
