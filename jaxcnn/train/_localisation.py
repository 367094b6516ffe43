"""The functions of an experiment for classification with localisation: one object on each image, and its box."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxcnn import functional as F
from jaxcnn._errors import ShapeError, check_choice
from jaxcnn.train._experiment import Aux
from jaxcnn.train._tasks import Functions, Loss, check_model, cross_entropy, unchanged

Batch = Mapping[str, Any]
BoxLoss = Literal["giou", "smooth_l1"]


def localisation(
    model: nn.Module,
    *,
    loss: Loss | None = None,
    box_loss: BoxLoss = "giou",
    box_weight: float = 1.0,
    normalize: Callable[[jax.Array], jax.Array] = unchanged,
    target: str = "box_label",
    boxes: str = "boxes",
) -> Functions:
    """The functions of an experiment whose model gives the class of the object on each ``image``, and its box.

    The last four outputs of the model are the box relative to one in the middle of the image with half its sides, as
    ``functional.decode_boxes`` reads them; the others are logits of classes. So any classifier with four more classes
    is a model. The loss is the cross-entropy plus ``box_weight`` times the loss of the box, which is ``1 - GIoU``, or
    the sum of the smooth L1 losses of the four outputs with ``beta=1``.

    Args:
        model: a Linen module; ``model.apply(variables, x, train=...)`` gives ``(batch, classes + 4)``.
        loss: logits and labels -> the loss of each label; by default ``cross_entropy()``.
        box_loss: ``"giou"``, of boxes in pixels, or ``"smooth_l1"``, of encoded boxes.
        box_weight: of the loss of the box.
        normalize: prepared and augmented images -> the input of the model.
        target: the array of the classes, integers ``(batch,)`` or ``(batch, 1)``.
        boxes: the array of the boxes ``(x0, y0, x1, y1)`` in pixels, ``(batch, 4)`` or ``(batch, 1, 4)``.

    Returns:
        ``init``, ``objective``, ``evaluate`` and ``predict``. Evaluation gives ``loss``, ``accuracy`` (of the class),
        ``iou``, and ``localised``: whether the class is right and the IoU is at least 0.5. Predictions are
        ``{"probabilities": ..., "boxes": ...}``.

    Raises:
        ShapeError: when it is traced, boxes or classes of several objects on an image, or a model with fewer than five
            outputs.
        ValueError: an unknown ``box_loss``.

    Source: Sermanet et al. (2013), "OverFeat"; the criterion of ``localised`` is that of Russakovsky et al. (2015),
    "ImageNet Large Scale Visual Recognition Challenge", section 4.

    >>> from jaxcnn import models
    >>> sorted(localisation(models.create("lenet5", num_classes=10 + 4)))
    ['evaluate', 'init', 'objective', 'predict']
    """
    check_model(model)
    check_choice(box_loss, get_args(BoxLoss), name="box_loss")
    class_loss = cross_entropy() if loss is None else loss

    def init(key: jax.Array, batch: Batch) -> Any:
        return model.init(key, normalize(batch["image"]), train=False)

    def split(outputs: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Logits, encoded boxes, and the box that these are relative to."""
        if outputs.ndim != 2 or outputs.shape[-1] < 5:
            raise ShapeError(
                f"expected a model that gives (batch, classes + 4), the logits of the classes and a box, got "
                f"{outputs.shape}. A classifier with num_classes=classes + 4 does."
            )
        outputs = outputs.astype(jnp.float32)
        height, width = batch["image"].shape[1:3]
        middle = jnp.array([width, height, 3 * width, 3 * height], jnp.float32) / 4
        return outputs[:, :-4], outputs[:, -4:], jnp.broadcast_to(middle, (len(outputs), 4))

    def truth(batch: Batch) -> tuple[jax.Array, jax.Array]:
        count = len(batch["image"])
        label, box = batch[target], batch[boxes]
        if label.size != count or box.size != 4 * count:
            raise ShapeError(
                f"expected one object on each image, {target!r} of the shape ({count},) or ({count}, 1) and {boxes!r} "
                f"({count}, 4) or ({count}, 1, 4), got {label.shape} and {box.shape}."
            )
        return label.reshape(count), box.reshape(count, 4).astype(jnp.float32)

    def losses(outputs: jax.Array, batch: Batch) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The loss of each image, and its metrics."""
        logits, deltas, middle = split(outputs, batch)
        label, box = truth(batch)
        found = F.decode_boxes(deltas, middle)
        overlap = F.box_iou(found[:, None], box[:, None])[:, 0, 0]
        if box_loss == "giou":
            of_box = 1 - F.generalized_box_iou(found[:, None], box[:, None])[:, 0, 0]
        else:
            of_box = optax.huber_loss(deltas, F.encode_boxes(box, middle)).sum(-1)
        right = logits.argmax(-1) == label
        measures = {"accuracy": right, "iou": overlap, "localised": right & (overlap >= 0.5)}
        found_measures = {name: values.astype(jnp.float32) for name, values in measures.items()}
        return class_loss(logits, label) + box_weight * of_box, found_measures

    def objective(variables: Any, batch: Batch, key: jax.Array) -> tuple[jax.Array, Aux]:
        others = [name for name in variables if name != "params"]
        x = normalize(batch["image"])
        outputs, updates = model.apply(variables, x, train=True, mutable=others, rngs={"dropout": key})
        with jax.named_scope("compute_loss"):
            loss, measures = losses(outputs, batch)
        return loss, Aux(updates=updates, metrics=measures)

    def outputs_of(variables: Any, batch: Batch) -> Any:
        return model.apply(variables, normalize(batch["image"]), train=False)

    def evaluate(variables: Any, batch: Batch) -> dict[str, jax.Array]:
        loss, measures = losses(outputs_of(variables, batch), batch)
        return {"loss": loss, **measures}

    def predict(variables: Any, batch: Batch) -> dict[str, jax.Array]:
        logits, deltas, middle = split(outputs_of(variables, batch), batch)
        size = batch["image"].shape[1:3]
        return {
            "probabilities": jax.nn.softmax(logits),
            "boxes": F.clip_boxes(F.decode_boxes(deltas, middle), size),
        }

    return {"init": init, "objective": objective, "evaluate": evaluate, "predict": predict}
