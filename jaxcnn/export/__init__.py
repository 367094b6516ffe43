"""Trained networks for other runtimes: portable programs, folded norms, integers, files of StableHLO and ONNX."""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.export._approximate import prune_filters, separate
from jaxcnn.export._fold_batch_norms import FoldedModel, fold_batch_norms
from jaxcnn.export._onnx import to_onnx
from jaxcnn.export._portable import PortableProgram, portable
from jaxcnn.export._quantize import QuantizedProgram, quantize
from jaxcnn.export._stablehlo import to_stablehlo

__all__ = [
    "FoldedModel",
    "PortableProgram",
    "QuantizedProgram",
    "fold_batch_norms",
    "portable",
    "prune_filters",
    "quantize",
    "separate",
    "to_onnx",
    "to_stablehlo",
]

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals())
