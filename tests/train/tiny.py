"""A small experiment for tests of the loop: 100 digits, a network of one convolution, dropout and batch norm."""

import dataclasses
from typing import Annotated, Any

import jax
import optax
from flax import linen as nn

from jaxcnn.augment import on
from jaxcnn.data import Dataset, load
from jaxcnn.nn import BatchNorm, Conv
from jaxcnn.train import Experiment, classification, decay_mask, standardize, with_schedule


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


def functions(model: nn.Module, **options: Any) -> dict[str, Any]:
    """Those of a classification of the tiny experiment's images by another model."""
    return classification(model, **{"normalize": standardize([0.3], [0.3]), **options})


def build(config: Config) -> Experiment:
    digits = load("digits")
    schedule = optax.cosine_decay_schedule(config.peak_lr, 100)
    return Experiment(
        **functions(TinyNetwork()),
        data=Dataset(
            name="digits100",
            train=digits.train.take(slice(100)),
            test=digits.test.take(slice(50)),
            class_names=digits.class_names,
        ),
        optimizer=with_schedule(optax.adamw, schedule, weight_decay=0.01, mask=decay_mask),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        augment=on("image", lambda key, x: x + 0.05 * jax.random.normal(key, x.shape, x.dtype)),
        ema_decay=config.ema_decay,
    )
