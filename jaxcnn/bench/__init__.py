"""Measurements of layers and training steps, compared with stock JAX and PyTorch, on the user's machine."""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.bench._compile_times import compile_times
from jaxcnn.bench._layers import ConvLayer, Entry, NormLayer, PoolLayer, Step
from jaxcnn.bench._report import machine, ratio, report
from jaxcnn.bench._runner import is_wrong, run_entry
from jaxcnn.bench._suite import LAYERS, select
from jaxcnn.bench._torch_layers import torch_is_installed
from jaxcnn.bench._tune import operations_of_model, operations_of_suite, time_algorithms, tuning_table

__all__ = [
    "LAYERS",
    "ConvLayer",
    "Entry",
    "NormLayer",
    "PoolLayer",
    "Step",
    "compile_times",
    "is_wrong",
    "machine",
    "operations_of_model",
    "operations_of_suite",
    "ratio",
    "report",
    "run_entry",
    "select",
    "time_algorithms",
    "torch_is_installed",
    "tuning_table",
]

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals())
