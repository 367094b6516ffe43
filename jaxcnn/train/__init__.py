"""Training: what an experiment is, the loop that runs it, and the folder that a run leaves behind."""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.train._devices import Parallel
from jaxcnn.train._errors import ConfigError, RunError
from jaxcnn.train._experiment import Experiment, cross_entropy, standardize, to_unit
from jaxcnn.train._finetune import by_pattern, frozen, start_from
from jaxcnn.train._loop import Outcome, fit
from jaxcnn.train._muon import muon
from jaxcnn.train._optim import decay_mask, triangular, warmup_cosine
from jaxcnn.train._runs.config import with_settings
from jaxcnn.train._runs.folder import RunFolder
from jaxcnn.train._trained import Trained, load_trained

__all__ = [
    "ConfigError",
    "Experiment",
    "Outcome",
    "Parallel",
    "RunError",
    "RunFolder",
    "Trained",
    "by_pattern",
    "cross_entropy",
    "decay_mask",
    "fit",
    "frozen",
    "load_trained",
    "muon",
    "standardize",
    "start_from",
    "to_unit",
    "triangular",
    "warmup_cosine",
    "with_settings",
]

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals())
