"""The tiny experiment with two variants, and something that is measured after training."""

import dataclasses

import numpy as np
from tiny import Config  # the module next to this file
from tiny import build as build_tiny

from jaxcnn.train import Experiment, Trained

VARIANTS = {"averaged": {}, "plain": {"ema_decay": 0}}

__all__ = ["VARIANTS", "Config", "build"]


def measure(trained: Trained) -> dict[str, object]:
    kernel = np.asarray(trained.variables["params"]["output"]["kernel"])
    return {"norm": np.linalg.norm(kernel), "norms": np.linalg.norm(kernel, axis=0)}


def build(config: Config) -> Experiment:
    return dataclasses.replace(build_tiny(config), measure=measure)
