"""Recurrent refinement: a per-pixel network that reads its own label map (Pinheiro and Collobert 2014)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn._axes import as_int
from jaxcnn._errors import ShapeError
from jaxcnn.models._layers import as_images


class Refinement(nn.Module):
    r"""A per-pixel network applied several times, each time to the image and to its own previous label map.

    Repetition ``p`` computes ``logits_p = network([x, softmax(logits_{p-1})])``, with a map of zeros at first (Pinheiro
    and Collobert 2014, section 3.2). All repetitions share the parameters, and each depends on a larger part of the
    image than the previous one. The paper trains on the sum of the losses of all repetitions. ``features`` returns the
    logits of the repetitions as ``step1``, ``step2``, ... and those of the last one also as ``logits``. In training,
    batch statistics are updated in each repetition.

    Args:
        network: maps images ``(*batch, height, width, channels + num_classes)`` to logits
            ``(*batch, height, width, num_classes)``; called as ``network(x, train)``.
        num_classes: number of logits of each pixel.
        repetitions: number of applications, at least 1.
        stop_gradient: whether the gradient of a repetition ends at the label map that it reads.

    Raises:
        ShapeError: the network returns maps of another size or number of channels.
        ValueError: fewer than one repetition.

    Source: Pinheiro and Collobert: Recurrent Convolutional Neural Networks for Scene Labeling, 2014; Goodfellow, Bengio
    and Courville: Deep Learning, 2016, section 9.6.

    >>> from jaxcnn.models import create
    >>> network = create("unet", num_classes=3, padding="SAME", widths=(4, 8), dropout_rate=0.0)
    >>> model, x = Refinement(network, num_classes=3), jnp.zeros((1, 8, 8, 1))
    >>> variables = jax.jit(model.init)(jax.random.key(0), x)
    >>> {name: maps.shape for name, maps in model.apply(variables, x, method="features").items()}
    {'step1': (1, 8, 8, 3), 'step2': (1, 8, 8, 3), 'step3': (1, 8, 8, 3), 'logits': (1, 8, 8, 3)}
    """

    network: nn.Module
    num_classes: int
    repetitions: int = 3
    stop_gradient: bool = False

    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """The logits of every repetition, and the logits of the last repetition as ``logits``."""
        x = as_images(x)
        if as_int(self.repetitions, name="repetitions") < 1:
            raise ValueError(f"repetitions={self.repetitions} must be at least 1.")
        network: Any = self.network
        labels = jnp.zeros((*x.shape[:-1], self.num_classes), x.dtype)
        outputs: dict[str, jax.Array] = {}
        for index in range(1, self.repetitions + 1):
            logits = network(jnp.concatenate([x, labels], axis=-1), train)
            if logits.shape != labels.shape:
                raise ShapeError(
                    f"the network must return a map of the image's size with num_classes={self.num_classes} channels, "
                    f"{labels.shape}; got {logits.shape}. Networks with padding='SAME' keep the size."
                )
            outputs[f"step{index}"] = logits
            labels = nn.softmax(logits.astype(jnp.float32)).astype(x.dtype)
            labels = jax.lax.stop_gradient(labels) if self.stop_gradient else labels
        return outputs | {"logits": logits}

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits of the last repetition, ``(*batch, height, width, num_classes)``."""
        return self.features(x, train)["logits"]
