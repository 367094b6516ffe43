"""Training: what an experiment is, the loop that runs it, and the folder that a run leaves behind."""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.train._compile._report import CompileReport, compile_for, largest_batch
from jaxcnn.train._compile._topologies import target_mesh
from jaxcnn.train._devices import Parallel
from jaxcnn.train._dry_run import dry_run
from jaxcnn.train._early_stopping import EarlyStopping
from jaxcnn.train._errors import ConfigError, RunError
from jaxcnn.train._experiment import Aux, Experiment, images_to_unit, standardize, to_unit
from jaxcnn.train._finetune import by_pattern, frozen, start_from
from jaxcnn.train._fit import fit
from jaxcnn.train._loop import Outcome
from jaxcnn.train._muon import muon
from jaxcnn.train._optim import decay_mask, triangular, warmup_cosine, with_schedule
from jaxcnn.train._recorded import RecordedModel, load
from jaxcnn.train._runs._config import with_settings
from jaxcnn.train._runs._folder import RunFolder
from jaxcnn.train._tasks import classification, cross_entropy, multilabel, regression, segmentation
from jaxcnn.train._trained import Trained, load_trained
from jaxcnn.train._watch import CSV, Callback, MLflow, RunInfo, TensorBoard, WeightsAndBiases

__all__ = [
    "CSV",
    "Aux",
    "Callback",
    "CompileReport",
    "ConfigError",
    "EarlyStopping",
    "Experiment",
    "MLflow",
    "Outcome",
    "Parallel",
    "RecordedModel",
    "RunError",
    "RunFolder",
    "RunInfo",
    "TensorBoard",
    "Trained",
    "WeightsAndBiases",
    "by_pattern",
    "classification",
    "compile_for",
    "cross_entropy",
    "decay_mask",
    "dry_run",
    "fit",
    "frozen",
    "images_to_unit",
    "largest_batch",
    "load",
    "load_trained",
    "multilabel",
    "muon",
    "regression",
    "segmentation",
    "standardize",
    "start_from",
    "target_mesh",
    "to_unit",
    "triangular",
    "warmup_cosine",
    "with_schedule",
    "with_settings",
]

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals())
