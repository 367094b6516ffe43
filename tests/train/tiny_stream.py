"""The tiny experiment, its images streamed."""

import dataclasses

from jaxcnn.train import Experiment
from tests.train import tiny
from tests.train.streams import streamed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(tiny.Config):
    """As of the tiny experiment."""


def build(config: Config) -> Experiment:
    experiment = tiny.build(config)
    return dataclasses.replace(experiment, data=streamed(experiment.data))
