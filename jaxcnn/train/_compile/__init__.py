"""Programs compiled for accelerators that are not there, and what the compilers report of them."""

from jaxcnn.train._compile._collectives import Collective
from jaxcnn.train._compile._report import CompileReport, compile_for, largest_batch
from jaxcnn.train._compile._topologies import target_mesh

__all__ = ["Collective", "CompileReport", "compile_for", "largest_batch", "target_mesh"]
