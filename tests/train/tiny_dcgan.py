"""A small ``dcgan_digits`` for tests with kills."""

import dataclasses

from jaxcnn.train import Experiment
from tests.train import tiny
from tests.train.any_loss import dcgan


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(tiny.Config):
    """As of the tiny experiment."""


def build(config: Config) -> Experiment:
    return dataclasses.replace(dcgan(config.epochs, config.seed), ema_decay=config.ema_decay)
