r"""What padding is for: depth, and the pixels at the border.

Without padding ("VALID") every 3x3 convolution reduces height and width of its map by two pixels, so seven of them
reduce a 16x16 field to 2x2; and a pixel in the corner is part of one window, a pixel in the middle of nine. With zero
padding ("SAME") maps keep their size. Networks of 1 to 7 convolutions and a mean over the last map, with the same
number of parameters for both paddings, are trained on digits at random positions of the field and tested on digits in
the middle and in the corners. docs/reports/padding.md has the accuracies.

run     jaxcnn repeat padding_matters
cost    0:10 a run on 1 core
result  SAME_1: 40.28 ± 6.55 % test accuracy, 59.72 ± 6.55 % error over 3 seeds
result  SAME_4: 97.13 ± 0.32 % test accuracy, 2.87 ± 0.32 % error over 3 seeds
result  SAME_7: 98.06 ± 0.73 % test accuracy, 1.94 ± 0.73 % error over 3 seeds
result  VALID_1: 39.17 ± 4.94 % test accuracy, 60.83 ± 4.94 % error over 3 seeds
result  VALID_4: 97.22 ± 1.11 % test accuracy, 2.78 ± 1.11 % error over 3 seeds
result  VALID_7: 86.39 ± 2.68 % test accuracy, 13.61 ± 2.68 % error over 3 seeds
"""

import dataclasses
import functools
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen

from jaxcnn import augment, data, nn
from jaxcnn.train import Experiment, Trained, classification, decay_mask, to_unit, warmup_cosine, with_schedule

Padding = Literal["SAME", "VALID"]
VARIANTS = {
    f"{padding}_{depth}": {"padding": padding, "depth": depth} for padding in ("SAME", "VALID") for depth in (1, 4, 7)
}
MARGIN = 4  # pixels from a digit in the middle to the border
CORNERS = ((-MARGIN, -MARGIN), (-MARGIN, MARGIN), (MARGIN, -MARGIN), (MARGIN, MARGIN))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    padding: Annotated[Padding, "SAME puts zeros around every map, VALID nothing"] = "SAME"
    depth: Annotated[int, "convolutions"] = 7
    width: Annotated[int, "channels of each"] = 8
    hold_out: Annotated[int, "one training image in this many is held out for validation; 0 holds out none"] = 0
    seed: Annotated[int, "decides initial parameters, order and places"] = 0
    epochs: Annotated[int, "passes over the training images"] = 15
    batch_size: Annotated[int, "images of a step"] = 32
    peak_lr: Annotated[float, "learning rate after the warm-up"] = 1e-2
    weight_decay: Annotated[float, "decoupled decay of kernels, not of biases"] = 1e-2


class Network(linen.Module):
    """``depth`` 3x3 convolutions, and a linear head on the mean of the last map."""

    num_classes: int
    padding: Padding
    depth: int
    width: int

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits of images."""
        for index in range(1, self.depth + 1):
            x = nn.Conv(self.width, (3, 3), padding=self.padding, use_bias=False, name=f"conv{index}")(x)
            x = linen.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9, name=f"norm{index}")(x))
        return linen.Dense(self.num_classes, name="head")(nn.global_avg_pool(x, spatial_ndim=2))


def in_a_field(batch: dict[str, Any]) -> dict[str, Any]:
    """Digits in [0, 1] in the middle of a field of twice their size."""
    images = to_unit(batch["image"])
    return {**batch, "image": jnp.pad(images, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)))}


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    digits = data.hold_out(data.load("digits", image_size=8), one_in=config.hold_out)
    total_steps = config.epochs * data.steps_per_epoch(len(digits.train), config.batch_size)
    schedule = warmup_cosine(config.peak_lr, total_steps=total_steps, warmup=0.1)
    model = Network(num_classes=len(digits.class_names), padding=config.padding, depth=config.depth, width=config.width)
    return Experiment(
        **classification(model),
        data=digits,
        optimizer=with_schedule(optax.adamw, schedule, weight_decay=config.weight_decay, mask=decay_mask),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        prepare=in_a_field,
        augment=augment.on("image", functools.partial(augment.random_shift, max_pixels=MARGIN)),
        measure=functools.partial(measure, model),
    )


def measure(model: Network, trained: Trained) -> dict[str, float]:
    """Accuracy on test digits in the middle of the field, and the mean of those in its four corners."""
    test: Any = trained.experiment.data.test  # the digits are in memory
    field = in_a_field({"image": jnp.asarray(test["image"])})["image"]

    @jax.jit
    def guesses(x: jax.Array) -> Any:
        return model.apply(trained.variables, x, train=False).argmax(-1)  # type: ignore[union-attr]

    def accuracy(down: int, across: int) -> float:
        found = np.asarray(guesses(jnp.roll(field, (down, across), (1, 2))))
        return float(np.mean(found == test["label"]))

    corners = np.mean([accuracy(down, across) for down, across in CORNERS])
    return {"middle": round(accuracy(0, 0), 4), "corners": round(float(corners), 4)}
