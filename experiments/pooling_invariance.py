r"""The effect of pooling on shifted images: the same network with maxima, with means, and with strides.

Max pooling is often said to make a network insensitive to small shifts. Here each of three convolutions is followed by
2x2 pooling, or keeps one pixel of four, as a strided convolution does; the numbers of parameters are equal. Networks
are trained on 16x16 digits in the middle of a 24x24 field and tested on digits shifted by 0 to 4 pixels in each
direction. docs/reports/pooling.md has the accuracies, and the change of the last map.

run     jaxcnn repeat pooling_invariance
cost    0:16 a run on 1 core
result  max: 99.63 ± 0.16 % test accuracy, 0.37 ± 0.16 % error over 3 seeds
result  mean: 99.91 ± 0.16 % test accuracy, 0.09 ± 0.16 % error over 3 seeds
result  none: 99.17 ± 0.56 % test accuracy, 0.83 ± 0.56 % error over 3 seeds
"""

import dataclasses
import functools
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen

from jaxcnn import data, nn
from jaxcnn.train import Experiment, Trained, classification, decay_mask, to_unit, warmup_cosine, with_schedule

VARIANTS = {"max": {}, "mean": {"pooling": "mean"}, "none": {"pooling": "none"}}
MARGIN = 4  # pixels around a digit, so that no shift takes ink away
DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    pooling: Annotated[str, "what is kept of 2x2 pixels: their max, their mean, or none, which keeps one of four"] = (
        "max"
    )
    hold_out: Annotated[int, "one training image in this many is held out for validation; 0 holds out none"] = 0
    seed: Annotated[int, "decides initial parameters and order"] = 0
    epochs: Annotated[int, "passes over the training images"] = 15
    batch_size: Annotated[int, "images of a step"] = 32
    peak_lr: Annotated[float, "learning rate after the warm-up"] = 3e-3
    weight_decay: Annotated[float, "decoupled decay of kernels, not of biases"] = 1e-2


def halved(x: jax.Array, pooling: str) -> jax.Array:
    """A map of half the height and width."""
    if pooling == "none":
        return x[:, ::2, ::2]
    return {"max": nn.max_pool, "mean": nn.avg_pool}[pooling](x, (2, 2), strides=2)


class Network(linen.Module):
    """Three convolutions, each followed by a reduction of the map to half, and a linear head on all that is left."""

    num_classes: int
    pooling: str

    @linen.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """The last map and the logits."""
        for index, width in enumerate((16, 32, 64), 1):
            x = nn.Conv(width, (3, 3), use_bias=False, name=f"conv{index}")(x)
            x = linen.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9, name=f"norm{index}")(x))
            x = halved(x, self.pooling)
        return {"map": x, "logits": linen.Dense(self.num_classes, name="head")(x.reshape(len(x), -1))}

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits of images."""
        return self.features(x, train)["logits"]


def in_a_field(batch: dict[str, Any]) -> dict[str, Any]:
    """Digits in [0, 1] with a margin around them."""
    images = to_unit(batch["image"])
    return {**batch, "image": jnp.pad(images, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)))}


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    if config.pooling not in VARIANTS:
        raise ValueError(f"pooling={config.pooling!r}: it is one of {', '.join(VARIANTS)}.")
    digits = data.hold_out(data.load("digits", image_size=16), one_in=config.hold_out)
    total_steps = config.epochs * data.steps_per_epoch(len(digits.train), config.batch_size)
    schedule = warmup_cosine(config.peak_lr, total_steps=total_steps, warmup=0.1)
    model = Network(num_classes=len(digits.class_names), pooling=config.pooling)
    return Experiment(
        **classification(model),
        data=digits,
        optimizer=with_schedule(optax.adamw, schedule, weight_decay=config.weight_decay, mask=decay_mask),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        prepare=in_a_field,
        measure=functools.partial(measure, model),
    )


def measure(model: Network, trained: Trained) -> dict[str, list[float]]:
    """Of shifts by 0 to 4 pixels: accuracy on the test images, and ``|shifted map - map| / |map|``, mean over images.

    Both are means over the four directions.
    """
    test: Any = trained.experiment.data.test  # the digits are in memory

    @jax.jit
    def features(x: jax.Array) -> Any:
        return model.apply(trained.variables, x, method="features")

    field = in_a_field({"image": jnp.asarray(test["image"])})["image"]
    still = features(field)["map"].reshape(len(field), -1)
    accuracies, changes = [], []
    for shift in range(MARGIN + 1):
        right, change = [], []
        for down, across in DIRECTIONS:
            found = features(jnp.roll(field, (shift * down, shift * across), (1, 2)))
            moved = found["map"].reshape(len(field), -1)
            right.append(np.mean(np.asarray(found["logits"]).argmax(-1) == test["label"]))
            change.append(jnp.mean(jnp.linalg.norm(moved - still, axis=1) / jnp.linalg.norm(still, axis=1)))
        accuracies.append(round(float(np.mean(right)), 4))
        changes.append(round(float(np.mean(change)), 4))
    return {"accuracy": accuracies, "change": changes}
