"""Two networks with an optimizer each, for tests with kills."""

import dataclasses

from jaxcnn.train import Experiment
from tests.train import tiny
from tests.train.any_loss import two_networks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(tiny.Config):
    """As of the tiny experiment."""


def build(config: Config) -> Experiment:
    return dataclasses.replace(two_networks(), epochs=config.epochs, ema_decay=config.ema_decay, seed=config.seed)
