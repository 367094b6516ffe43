"""Compilation for accelerators that need not be present, and the reports of the compilers."""

from jaxcnn.train._compile._collectives import Collective
from jaxcnn.train._compile._report import CompileReport, compile_for, largest_batch
from jaxcnn.train._compile._topologies import target_mesh

__all__ = ["Collective", "CompileReport", "compile_for", "largest_batch", "target_mesh"]
