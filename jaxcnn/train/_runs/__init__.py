"""The folder of a run: its settings, its code, its records, and the lock that holds it."""

from jaxcnn.train._runs._config import Setting, find_setting, settings_of, settings_to_json, with_settings
from jaxcnn.train._runs._discover import ExperimentFile, experiment_folders, find_experiment, list_experiments
from jaxcnn.train._runs._durable_folders import make_folder, sync_tree
from jaxcnn.train._runs._folder import EXTENDED, RunFolder
from jaxcnn.train._runs._held_folder import HeldFolder
from jaxcnn.train._runs._metrics import Record
from jaxcnn.train._runs._variants import config_of, variants_of
from jaxcnn.train._runs._versions import cpu_kind, installed_packages

__all__ = [
    "EXTENDED",
    "ExperimentFile",
    "HeldFolder",
    "Record",
    "RunFolder",
    "Setting",
    "config_of",
    "cpu_kind",
    "experiment_folders",
    "find_experiment",
    "find_setting",
    "installed_packages",
    "list_experiments",
    "make_folder",
    "settings_of",
    "settings_to_json",
    "sync_tree",
    "variants_of",
    "with_settings",
]
