"""The functions of an experiment for object detection: boxes of any number of objects on each image."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxcnn import functional as F
from jaxcnn import metrics
from jaxcnn.train._experiment import Aux
from jaxcnn.train._tasks import Functions, check_model, unchanged

Batch = Mapping[str, Any]
RECALL_OVERLAP = 0.5


def detection(
    model: nn.Module,
    *,
    normalize: Callable[[jax.Array], jax.Array] = unchanged,
    boxes: str = "boxes",
    target: str = "box_label",
    mask: str = "box_mask",
    crowd: str = "box_crowd",
    area: str = "box_area",
    size: str = "size",
) -> Functions:
    """The functions of an experiment whose model finds objects on each ``image``, such as ``models.FasterRCNN``.

    A batch has ``image``, ``boxes`` padded to one number, and their classes from 1. Optional are ``mask``, False for
    padding (else boxes of class 0 are padding); ``crowd``, boxes around many objects, which are not trained for;
    ``area``, of the objects; and ``size``, the true height and width of images that are padded at the bottom and at the
    right. ``data.voc``, ``data.coco`` and ``data.digit_scenes`` use these names. Boxes without area and inverted boxes
    are left out like padding; of an image without boxes everything is background.

    The loss is the sum of the four losses of ``model.losses``.

    Args:
        model: a Linen module. ``model.apply(variables, x, train=..., image_sizes=...)`` gives ``boxes``, ``labels``,
            ``scores`` and ``mask``; it has the methods ``losses`` and ``proposals`` of ``models.FasterRCNN``.
        normalize: prepared and augmented images -> the input of the model.
        boxes: the array of the boxes ``(x0, y0, x1, y1)`` in pixels, ``(batch, m, 4)``.
        target: the array of the classes, integers ``(batch, m)``.
        mask: the array that is False for boxes that are padding, booleans ``(batch, m)``.
        crowd: the array that is True for boxes of crowds, booleans ``(batch, m)``.
        area: the array of the areas by which objects are small, medium or large, ``(batch, m)``; by default the areas
            of the boxes.
        size: the array of the true sizes, integers ``(batch, 2)``.

    Returns:
        ``init``, ``objective``, ``evaluate``, ``predict``, ``count_classes`` and ``summarize``. The objective's metrics
        are its four losses. Evaluation gives ``loss``, with samples of one fixed key; ``proposal_recall``, the share of
        the boxes of an image that some proposal overlaps by at least 0.5 (1 without boxes); and of the whole split the
        numbers of ``metrics.detection_average_precision`` that are defined, among them ``ap`` and ``ap50``. Predictions
        are ``boxes``, ``labels``, ``scores`` and ``mask``.

    Raises:
        TypeError: a model without these methods.

    Source: Ren, He, Girshick and Sun (2015), "Faster R-CNN", section 3.2, trained jointly.

    >>> from jaxcnn import models
    >>> sorted(detection(models.create("fasterrcnn_resnet50_fpn", num_classes=11)))
    ['count_classes', 'evaluate', 'init', 'objective', 'predict', 'summarize']
    """
    check_model(model)
    if missing := [name for name in ("losses", "proposals") if not callable(getattr(model, name, None))]:
        raise TypeError(
            f"expected a detector such as models.FasterRCNN, but {type(model).__name__} has no method {missing[0]!r}. "
            f"train.localisation trains a classifier to find one object."
        )

    def init(key: jax.Array, batch: Batch) -> Any:
        return model.init(key, normalize(batch["image"]), train=False)

    def is_target(batch: Batch) -> jax.Array:
        """Whether each box is an object to be found."""
        found = batch[mask] if mask in batch else batch[target] > 0
        found = found & ~batch[crowd] if crowd in batch else found
        return found & (batch[boxes][..., 2:] > batch[boxes][..., :2]).all(-1)

    def losses(
        variables: Any, batch: Batch, key: jax.Array, *, train: bool
    ) -> tuple[jax.Array, dict[str, jax.Array], Any]:
        """The loss of each image, its parts, and the new values of other collections."""
        others = [name for name in variables if name != "params"]
        parts, updates = model.apply(
            variables,
            normalize(batch["image"]),
            batch[boxes],
            batch[target],
            train,
            mask=is_target(batch),
            image_sizes=batch.get(size),
            method="losses",
            mutable=others if train else [],
            rngs={"sampling": key, "dropout": key},
        )
        with jax.named_scope("compute_loss"):
            return jnp.sum(jnp.stack(list(parts.values())), 0), parts, updates

    def objective(variables: Any, batch: Batch, key: jax.Array) -> tuple[jax.Array, Aux]:
        loss, parts, updates = losses(variables, batch, key, train=True)
        return loss, Aux(updates=updates, metrics=parts)

    def evaluate(variables: Any, batch: Batch) -> dict[str, jax.Array]:
        loss, *_ = losses(variables, batch, jax.random.key(0), train=False)
        found: Any = model.apply(
            variables, normalize(batch["image"]), image_sizes=batch.get(size), train=False, method="proposals"
        )
        objects = is_target(batch)
        overlap = F.box_iou(batch[boxes].astype(jnp.float32), found["boxes"])
        reached = (jnp.where(found["mask"][:, None], overlap, 0).max(-1) >= RECALL_OVERLAP) & objects
        number = objects.sum(-1)
        recall = jnp.where(number > 0, reached.sum(-1) / jnp.maximum(number, 1), 1)
        return {"loss": loss, "proposal_recall": recall}

    def predict(variables: Any, batch: Batch) -> dict[str, jax.Array]:
        found: Any = model.apply(variables, normalize(batch["image"]), image_sizes=batch.get(size), train=False)
        return {name: found[name] for name in ("boxes", "labels", "scores", "mask")}

    def count_classes(variables: Any, batch: Batch) -> int | None:
        return getattr(model, "num_classes", None)

    def summarize(outputs: dict[str, np.ndarray], targets: dict[str, np.ndarray]) -> dict[str, float]:
        known = {"boxes": boxes, "labels": target, "mask": mask, "crowd": crowd, "area": area}
        arrays = {name: targets[place] for name, place in known.items() if place in targets}
        arrays.setdefault("mask", targets[target] > 0)
        truth, found = (
            [dict(zip(each, row, strict=True)) for row in zip(*each.values(), strict=True)]
            for each in (arrays, outputs)
        )
        numbers = metrics.detection_average_precision(truth, found)
        return {name: number for name, number in numbers.items() if not np.isnan(number)}

    return {
        "init": init,
        "objective": objective,
        "evaluate": evaluate,
        "predict": predict,
        "count_classes": count_classes,
        "summarize": summarize,
    }
