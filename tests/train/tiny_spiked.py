"""The tiny experiment with wrong labels in the third epoch: its loss jumps, and the run is rolled back."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxcnn.train import Experiment, with_schedule
from tests.train import tiny


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(tiny.Config):
    """As of the tiny experiment."""


def build(config: Config) -> Experiment:
    return spiked(tiny.build(config), 3)


def spiked(experiment: Experiment, *epochs: int, max_loss_jump: float | None = 2.0) -> Experiment:
    """An experiment of five epochs without noise; in the given epochs, counted from 1, labels are exchanged."""

    def mixed_up(key: jax.Array, batch: dict[str, Any]) -> dict[str, Any]:
        bad = jnp.isin(batch["epoch"][0] + 1, jnp.array(epochs, jnp.int32))
        return {**batch, "image": jnp.where(bad, jnp.roll(batch["image"], 1, 0), batch["image"])}

    schedule = optax.linear_schedule(0.05, 0.0, 30)
    return dataclasses.replace(
        experiment,
        augment=mixed_up,
        optimizer=with_schedule(optax.sgd, schedule, momentum=0.9),
        max_loss_jump=max_loss_jump,
    )
