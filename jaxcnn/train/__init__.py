"""Training: what an experiment is, the loop that runs it, and the folder that a run leaves behind."""

from jaxcnn.train.config import with_settings
from jaxcnn.train.errors import ConfigError, RunError
from jaxcnn.train.experiment import Experiment, cross_entropy, standardize, to_unit
from jaxcnn.train.loop import Outcome, fit
from jaxcnn.train.optim import decay_mask, warmup_cosine
from jaxcnn.train.run_folder import RunFolder

__all__ = [
    "ConfigError",
    "Experiment",
    "Outcome",
    "RunError",
    "RunFolder",
    "cross_entropy",
    "decay_mask",
    "fit",
    "standardize",
    "to_unit",
    "warmup_cosine",
    "with_settings",
]
