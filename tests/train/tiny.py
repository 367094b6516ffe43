"""A small experiment for tests of the loop: 100 digits, a network of one convolution, dropout and batch norm."""

import dataclasses
from typing import Annotated

import jax
import optax
from flax import linen as nn

from jaxcnn.data import Dataset, Split, load
from jaxcnn.nn import BatchNorm, Conv
from jaxcnn.train import Experiment, decay_mask, standardize


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    seed: Annotated[int, "decides everything random"] = 0
    epochs: Annotated[int, "passes over the training images"] = 3
    batch_size: int = 16
    peak_lr: float = 0.02
    ema_decay: float = 0.9


class TinyNetwork(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = Conv(4, (5, 5), strides=4, name="conv")(x)
        x = nn.relu(BatchNorm(use_running_average=not train, name="norm")(x))
        x = nn.Dropout(0.1, deterministic=not train)(x)
        return nn.Dense(10, name="output")(x.reshape(*x.shape[:-3], -1))


def some(split: Split, count: int) -> Split:
    return Split(images=split.images[:count], labels=split.labels[:count])


def build(config: Config) -> Experiment:
    digits = load("digits")
    schedule = optax.cosine_decay_schedule(config.peak_lr, 100)
    return Experiment(
        model=TinyNetwork(),
        dataset=Dataset(
            name="digits100",
            train=some(digits.train, 100),
            test=some(digits.test, 50),
            class_names=digits.class_names,
        ),
        optimizer=optax.adamw(schedule, weight_decay=0.01, mask=decay_mask),
        schedule=schedule,
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        augment=lambda key, x: x + 0.05 * jax.random.normal(key, x.shape, x.dtype),
        normalize=standardize([0.3], [0.3]),
        ema_decay=config.ema_decay,
    )
