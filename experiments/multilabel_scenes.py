"""Multi-label classification: which of ten digits are in a scene, by one network with ten sigmoids.

Scenes are those of ``data.digit_scenes`` without photographs: one to four digits in random colours on black. A class is
present if the scene has a pixel of it. The labels have no positions: the network computes logits for each position, and
the logits of the scene are their maxima, or their means. The settings were chosen with ``hold_out=6``.

run     jaxcnn repeat multilabel_scenes --seeds 3
cost    1:15 a run on 1 core
result  max: 96.58 ± 0.20 % test accuracy, 0.9717 ± 0.0027 mean average precision over 3 seeds
result  mean: 93.55 ± 0.23 % test accuracy, 0.9295 ± 0.0054 mean average precision over 3 seeds
"""

import dataclasses
from typing import Annotated, Any, Literal

import jax
import numpy as np
import optax
from flax import linen

from jaxcnn import data, metrics, nn
from jaxcnn.train import Experiment, decay_mask, multilabel, standardize, warmup_cosine, with_schedule

VARIANTS: dict[str, dict[str, Any]] = {"max": {}, "mean": {"pooling": "mean"}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    pooling: Annotated[Literal["max", "mean"], "how the logits of all positions become those of the scene"] = "max"
    hold_out: Annotated[int, "one training image in this many is held out for validation; 0 holds out none"] = 0
    scenes: Annotated[int, "training scenes"] = 5000
    seed: Annotated[int, "determines initial parameters and order; scenes are the same for every seed"] = 0
    epochs: Annotated[int, "passes over the training scenes"] = 10
    batch_size: Annotated[int, "scenes of a step"] = 64
    width: Annotated[int, "channels of the first convolution"] = 8
    peak_lr: Annotated[float, "learning rate after the warm-up"] = 5e-3
    weight_decay: Annotated[float, "decoupled decay of kernels, not of biases"] = 1e-2


class Network(linen.Module):
    """Four convolutions with batch norm, and a linear head at every position of the last map."""

    num_classes: int
    width: int
    pooling: str

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits of images."""
        for index, (factor, strides) in enumerate(((1, 1), (2, 2), (4, 2), (4, 1)), 1):
            x = nn.Conv(factor * self.width, (3, 3), strides=strides, use_bias=False, name=f"conv{index}")(x)
            x = linen.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9, name=f"norm{index}")(x))
        pool = {"max": nn.global_max_pool, "mean": nn.global_avg_pool}[self.pooling]
        return pool(linen.Dense(self.num_classes, name="head")(x), spatial_ndim=2)


def present(scenes: data.Dataset) -> data.Dataset:
    """The same images with 1 for each class that is present in ``label`` ``(scenes, 10)``, else 0."""

    def split(scenes: data.Split) -> data.Split:
        label = [(scenes["segmentation"] == value).any((1, 2)) for value in range(1, len(names) + 1)]
        return data.Split(image=scenes["image"], label=np.stack(label, 1).astype(np.int32))

    names = scenes.class_names[1:]
    parts: dict[str, Any] = {name: split(each) for name, each in scenes.splits.items()}
    return data.Dataset(name=f"classes of {scenes.name}", class_names=names, **parts)


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    digits = data.hold_out(data.load("digits", image_size=16), one_in=config.hold_out)
    black = data.Split(image=np.zeros((1, 8, 8, 1), np.uint8))
    nothing = data.Dataset(name="black", train=black, validation=black, test=black)
    scenes = present(data.digit_scenes(digits, nothing, size=32, train_count=config.scenes, test_count=1000))
    total_steps = config.epochs * data.steps_per_epoch(len(scenes.train), config.batch_size)
    schedule = warmup_cosine(config.peak_lr, total_steps=total_steps, warmup=0.1)
    model = Network(num_classes=len(scenes.class_names), width=config.width, pooling=config.pooling)

    def summarize(outputs: Any, targets: Any) -> dict[str, float]:
        precisions = metrics.average_precision(targets["label"], outputs["probabilities"])
        return {"mean_average_precision": float(precisions.mean())}

    return Experiment(
        **multilabel(model, normalize=standardize(scenes.mean, scenes.std)),
        summarize=summarize,
        data=scenes,
        optimizer=with_schedule(optax.adamw, schedule, weight_decay=config.weight_decay, mask=decay_mask),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        best="mean_average_precision",
    )
