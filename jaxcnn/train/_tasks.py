"""The functions of an experiment for the usual tasks, each short enough to be copied into an experiment and changed.

Each returns a dict for ``Experiment(**classification(model), data=..., optimizer=..., ...)``.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxcnn._errors import ShapeError
from jaxcnn.train._experiment import Aux

Functions = dict[str, Any]
Batch = Mapping[str, Any]

# logits or predictions, and targets -> the loss of each label or number
Loss = Callable[[jax.Array, jax.Array], jax.Array]


def cross_entropy(label_smoothing: float = 0.0) -> Loss:
    """The function that computes the softmax cross-entropy of each label, ``-sum(t * log softmax(logits))``.

    In the target ``t``, the label has ``1 - label_smoothing``, and the rest is spread evenly over all classes
    (Szegedy et al. 2016, "Rethinking the Inception architecture", section 7). Labels may also be probabilities of all
    classes, in the shape of the logits, as ``augment.mixup`` returns them; these are smoothed in the same way.

    Raises:
        ValueError: ``label_smoothing`` is not in [0, 1).

    >>> logits, labels = jnp.array([[2.0, 0.0]]), jnp.array([0])
    >>> [round(float(cross_entropy(smoothing)(logits, labels)[0]), 3) for smoothing in (0.0, 0.1)]
    [0.127, 0.227]
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(
            f"expected a label_smoothing of at least 0 and less than 1, got {label_smoothing}. "
            f"It is the share of each label that is spread over all classes; 0.1 is usual."
        )

    def loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
        targets = labels if labels.ndim == logits.ndim else jax.nn.one_hot(labels, logits.shape[-1])
        return optax.softmax_cross_entropy(logits, optax.smooth_labels(targets, label_smoothing))

    return loss


def by_example(values: jax.Array) -> jax.Array:
    """The mean over all axes but the first, in float32.

    >>> by_example(jnp.array([[1.0, 3.0], [5.0, 5.0]]))
    Array([2., 5.], dtype=float32)
    """
    values = jnp.asarray(values, jnp.float32)
    return values.mean(tuple(range(1, values.ndim))) if values.ndim > 1 else values


def check_model(model: nn.Module, *, masked: bool = False) -> None:
    """Refuses a model that cannot be called as ``model.apply(variables, x, train=...)``, with ``mask`` if ``masked``.

    Raises:
        TypeError: it is not a Linen module, or its ``__call__`` has no argument ``train`` or ``mask``.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"expected a Linen module, got {type(model).__name__}. Write init and objective yourself.")
    parameters = inspect.signature(type(model).__call__).parameters.values()
    names = {each.name for each in parameters}
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return
    if "train" not in names:
        raise TypeError(
            f"expected a model that is called with train=True or False, but {type(model).__name__}.__call__ has no "
            f"argument train. Write def __call__(self, x, train: bool = False)."
        )
    if masked and "mask" not in names:
        raise TypeError(
            f"mask is for a model that is called with mask=..., but {type(model).__name__}.__call__ has no argument "
            f"mask. Models of series, such as fcn_1d, have one."
        )


def _masks(batch: Batch, mask: str | None) -> dict[str, Any]:
    """The argument ``mask`` of the model, if it has one."""
    return {} if mask is None else {"mask": batch[mask]}


def unchanged(x: jax.Array) -> jax.Array:
    return x


def classification(
    model: nn.Module,
    *,
    loss: Loss | None = None,
    normalize: Callable[[jax.Array], jax.Array] = unchanged,
    test_time: Callable[[Callable[[jax.Array], jax.Array], jax.Array], jax.Array] | None = None,
    train_mode: bool = True,
    source: str = "image",
    mask: str | None = None,
    target: str = "label",
) -> Functions:
    """The functions of an experiment whose model gives logits of classes, for each example or for parts of it.

    Args:
        model: a Linen module; ``model.apply(variables, x, train=...)`` gives logits ``(batch, ..., classes)``.
        loss: logits and labels -> the loss of each label; by default ``cross_entropy()``.
        normalize: prepared and augmented arrays -> the input of the model, as ``standardize`` makes it.
        test_time: ``(apply, images) -> logits`` for evaluation and prediction, where ``apply`` maps prepared images to
            logits; such as an average over several views of each image by ``augment.average_over_views``. None is one
            view of each image.
        train_mode: False trains with ``model.apply(train=False)``, for fine-tuning on few images: the running
            statistics are used and do not change, and dropout is off.
        source: the array that the model reads.
        mask: the array that the model reads as its argument ``mask``, such as that of series of different lengths; None
            if it has no such argument, or all entries count.
        target: the array of the labels, integers ``(batch, ...)`` or probabilities of the classes ``(batch, ...,
            classes)``.

    Returns:
        ``init``, ``objective``, ``evaluate`` and ``predict``. The objective's metric is ``accuracy``; evaluation gives
        ``loss``, which is the cross-entropy without smoothing, and ``accuracy``; predictions are
        ``{"probabilities": ...}``.

    >>> from jaxcnn import models
    >>> sorted(classification(models.create("lenet5", num_classes=10)))
    ['evaluate', 'init', 'objective', 'predict']
    """
    check_model(model, masked=mask is not None)
    loss_of = cross_entropy() if loss is None else loss

    def init(key: jax.Array, batch: Batch) -> Any:
        return model.init(key, normalize(batch[source]), train=False, **_masks(batch, mask))

    def objective(variables: Any, batch: Batch, key: jax.Array) -> tuple[jax.Array, Aux]:
        others = [name for name in variables if name != "params"]
        options: dict[str, Any] = {"mutable": others, "rngs": {"dropout": key}, **_masks(batch, mask)}
        logits, updates = model.apply(variables, normalize(batch[source]), train=train_mode, **options)
        logits = as_logits(logits, batch[target])
        with jax.named_scope("compute_loss"):
            losses = by_example(loss_of(logits, batch[target]))
        return losses, Aux(updates=updates, metrics={"accuracy": _hits(logits, batch[target])})

    def logits_of(variables: Any, batch: Batch) -> jax.Array:
        def apply(x: jax.Array) -> jax.Array:
            return as_logits(model.apply(variables, normalize(x), train=False, **_masks(batch, mask)))

        return apply(batch[source]) if test_time is None else test_time(apply, batch[source])

    def evaluate(variables: Any, batch: Batch) -> dict[str, jax.Array]:
        logits = as_logits(logits_of(variables, batch), batch[target])
        shares = batch[target].ndim == logits.ndim
        entropy = optax.softmax_cross_entropy if shares else optax.softmax_cross_entropy_with_integer_labels
        losses = entropy(logits, batch[target])
        return {"loss": by_example(losses), "accuracy": _hits(logits, batch[target])}

    def predict(variables: Any, batch: Batch) -> dict[str, jax.Array]:
        return {"probabilities": jax.nn.softmax(logits_of(variables, batch))}

    return {"init": init, "objective": objective, "evaluate": evaluate, "predict": predict}


def as_logits(returned: Any, labels: jax.Array | None = None) -> jax.Array:
    """The output of a model as logits in float32, to which the output of models in bfloat16 and float16 is converted.

    Raises:
        TypeError: it is not an array, such as the tuple of a model with auxiliary heads; or the labels are integers of
            the shape of the logits.
        ShapeError: there is not a row of logits for each label.
    """
    if not isinstance(returned, jax.Array):
        raise TypeError(
            f"expected a model that returns logits, got {type(returned).__name__}. A model with several outputs, such "
            f"as auxiliary heads, needs an objective of its own."
        )
    if labels is not None and labels.shape not in (returned.shape[:-1], returned.shape):
        raise ShapeError(
            f"expected logits with a row of classes for each label, but the labels have the shape {labels.shape} and "
            f"the logits {returned.shape}."
        )
    if labels is not None and labels.shape == returned.shape and not jnp.issubdtype(labels.dtype, jnp.floating):
        raise TypeError(
            f"labels of the shape of the logits, {labels.shape}, must be probabilities of the classes, floating, and "
            f"not {labels.dtype}. For several classes of an example use train.multilabel; of one-hot labels take "
            f"argmax(-1)."
        )
    return jnp.asarray(returned, jnp.float32)


def _hits(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The share of the labels of each example that are the most probable class."""
    right = labels.argmax(-1) if labels.ndim == logits.ndim else labels
    return by_example(logits.argmax(-1) == right)


def regression(
    model: nn.Module,
    *,
    loss: Loss = optax.squared_error,
    normalize: Callable[[jax.Array], jax.Array] = unchanged,
    source: str = "image",
    mask: str | None = None,
    target: str = "target",
) -> Functions:
    """The functions of an experiment whose model predicts numbers.

    Args:
        model: a Linen module; ``model.apply(variables, x, train=...)`` gives numbers of the shape of the target.
        loss: predictions and targets -> the loss of each number, such as ``optax.huber_loss``.
        normalize: the prepared and augmented array -> the input of the model.
        source: the array that the model reads.
        mask: the array that the model reads as its argument ``mask``, as in ``classification``.
        target: the array that it predicts, floats ``(batch, ...)``.

    Returns:
        ``init``, ``objective``, ``evaluate`` and ``predict``. Evaluation gives ``loss`` and ``absolute_error``;
        predictions are ``{target: ...}``.

    Raises:
        ShapeError: when it is traced, predictions of another shape than the targets, which would be broadcast.

    >>> from jaxcnn import models
    >>> sorted(regression(models.create("lenet5", num_classes=1)))
    ['evaluate', 'init', 'objective', 'predict']
    """
    check_model(model, masked=mask is not None)

    def init(key: jax.Array, batch: Batch) -> Any:
        return model.init(key, normalize(batch[source]), train=False, **_masks(batch, mask))

    def compared(values: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        values = jnp.asarray(values, jnp.float32)
        if values.shape != batch[target].shape:
            raise ShapeError(
                f"expected predictions of the shape of {target!r}, {batch[target].shape}, but the model gives "
                f"{values.shape}. Does one of them have an axis of size 1 at the end?"
            )
        return values, jnp.asarray(batch[target], jnp.float32)

    def objective(variables: Any, batch: Batch, key: jax.Array) -> tuple[jax.Array, Aux]:
        others = [name for name in variables if name != "params"]
        options: dict[str, Any] = {"mutable": others, "rngs": {"dropout": key}, **_masks(batch, mask)}
        values, updates = model.apply(variables, normalize(batch[source]), train=True, **options)
        with jax.named_scope("compute_loss"):
            losses = by_example(loss(*compared(values, batch)))
        return losses, Aux(updates=updates)

    def predict(variables: Any, batch: Batch) -> dict[str, jax.Array]:
        values = model.apply(variables, normalize(batch[source]), train=False, **_masks(batch, mask))
        return {target: jnp.asarray(values, jnp.float32)}

    def evaluate(variables: Any, batch: Batch) -> dict[str, jax.Array]:
        values, wanted = compared(predict(variables, batch)[target], batch)
        return {"loss": by_example(loss(values, wanted)), "absolute_error": by_example(jnp.abs(values - wanted))}

    return {"init": init, "objective": objective, "evaluate": evaluate, "predict": predict}


def multilabel(
    model: nn.Module,
    *,
    normalize: Callable[[jax.Array], jax.Array] = unchanged,
    target: str = "label",
) -> Functions:
    """The functions of an experiment in which several classes may apply to one ``image``, each with a sigmoid.

    Args:
        model: a Linen module; ``model.apply(variables, x, train=...)`` gives logits ``(batch, classes)``.
        normalize: prepared and augmented images -> the input of the model.
        target: the array of the labels ``(batch, classes)``: 1 for each class that applies, else 0.

    Returns:
        ``init``, ``objective``, ``evaluate`` and ``predict``. Evaluation gives ``loss``, the binary cross-entropy, and
        ``accuracy``, the share of right decisions at the probability 1/2; predictions are ``{"probabilities": ...}``.

    >>> from jaxcnn import models
    >>> sorted(multilabel(models.create("lenet5", num_classes=10)))
    ['evaluate', 'init', 'objective', 'predict']
    """

    def loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
        return optax.sigmoid_binary_cross_entropy(logits, labels)

    functions = regression(model, loss=loss, normalize=normalize, target=target)

    def evaluate(variables: Any, batch: Batch) -> dict[str, jax.Array]:
        logits, labels = functions["predict"](variables, batch)[target], batch[target]
        return {"loss": by_example(loss(logits, labels)), "accuracy": by_example((logits > 0) == (labels > 0))}

    def predict(variables: Any, batch: Batch) -> dict[str, jax.Array]:
        return {"probabilities": jax.nn.sigmoid(functions["predict"](variables, batch)[target])}

    return functions | {"evaluate": evaluate, "predict": predict}
