"""Training: experiments, the training loop, and run folders."""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.train._compile import Collective, CompileReport, compile_for, largest_batch, target_mesh
from jaxcnn.train._compile_cache import keep_compiled_programs
from jaxcnn.train._detection import detection
from jaxcnn.train._devices import Parallel
from jaxcnn.train._distributed import join_processes
from jaxcnn.train._dry_run import dry_run
from jaxcnn.train._early_stopping import EarlyStopping
from jaxcnn.train._errors import ConfigError, RunError
from jaxcnn.train._experiment import Aux, Experiment, images_to_unit, standardize, to_unit
from jaxcnn.train._finetune import by_pattern, frozen, start_from
from jaxcnn.train._fit import fit
from jaxcnn.train._kept import load_kept
from jaxcnn.train._localisation import localisation
from jaxcnn.train._loop import Outcome
from jaxcnn.train._muon import muon
from jaxcnn.train._network import networks
from jaxcnn.train._optim import decay_mask, triangular, warmup_cosine, with_schedule
from jaxcnn.train._prepare import Start, resume_run, start_run
from jaxcnn.train._profiling import Profile, profile_run
from jaxcnn.train._recorded import RecordedModel, load
from jaxcnn.train._reports import ConsoleProgress, Progress
from jaxcnn.train._runs import (
    ExperimentFile,
    RunFolder,
    Setting,
    config_of,
    experiment_folders,
    find_experiment,
    find_setting,
    list_experiments,
    settings_of,
    settings_to_json,
    variants_of,
    with_settings,
)
from jaxcnn.train._segmentation import segmentation
from jaxcnn.train._stages import Stage, in_stages
from jaxcnn.train._tasks import classification, cross_entropy, multilabel, regression
from jaxcnn.train._trained import Trained, load_trained
from jaxcnn.train._watch import CSV, Callback, MLflow, RunInfo, TensorBoard, WeightsAndBiases

__all__ = [
    "CSV",
    "Aux",
    "Callback",
    "Collective",
    "CompileReport",
    "ConfigError",
    "ConsoleProgress",
    "EarlyStopping",
    "Experiment",
    "ExperimentFile",
    "MLflow",
    "Outcome",
    "Parallel",
    "Profile",
    "Progress",
    "RecordedModel",
    "RunError",
    "RunFolder",
    "RunInfo",
    "Setting",
    "Stage",
    "Start",
    "TensorBoard",
    "Trained",
    "WeightsAndBiases",
    "by_pattern",
    "classification",
    "compile_for",
    "config_of",
    "cross_entropy",
    "decay_mask",
    "detection",
    "dry_run",
    "experiment_folders",
    "find_experiment",
    "find_setting",
    "fit",
    "frozen",
    "images_to_unit",
    "in_stages",
    "join_processes",
    "keep_compiled_programs",
    "largest_batch",
    "list_experiments",
    "load",
    "load_kept",
    "load_trained",
    "localisation",
    "multilabel",
    "muon",
    "networks",
    "profile_run",
    "regression",
    "resume_run",
    "segmentation",
    "settings_of",
    "settings_to_json",
    "standardize",
    "start_from",
    "start_run",
    "target_mesh",
    "to_unit",
    "triangular",
    "variants_of",
    "warmup_cosine",
    "with_schedule",
    "with_settings",
]

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals())
