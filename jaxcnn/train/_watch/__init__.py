"""Callbacks, which receive the records of a run and cannot change it; some write the records to files or services."""

from jaxcnn.train._watch._callback import Callback, RunInfo
from jaxcnn.train._watch._csv import CSV
from jaxcnn.train._watch._mlflow import MLflow
from jaxcnn.train._watch._tensorboard import TensorBoard
from jaxcnn.train._watch._wandb import WeightsAndBiases
from jaxcnn.train._watch._watchers import Watchers, check_callbacks

__all__ = [
    "CSV",
    "Callback",
    "MLflow",
    "RunInfo",
    "TensorBoard",
    "Watchers",
    "WeightsAndBiases",
    "check_callbacks",
]
