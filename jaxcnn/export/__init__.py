"""Trained networks for other runtimes: portable programs, integers, files of StableHLO, ONNX, LiteRT and Core ML."""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.export._approximate import prune_filters, separate
from jaxcnn.export._coreml import to_coreml
from jaxcnn.export._fold_batch_norms import FoldedModel, fold_batch_norms
from jaxcnn.export._onnx import to_onnx
from jaxcnn.export._portable import PortableProgram, portable
from jaxcnn.export._quantize import QuantizedProgram, quantize
from jaxcnn.export._stablehlo import to_stablehlo
from jaxcnn.export._tflite import to_tflite

__all__ = [
    "FoldedModel",
    "PortableProgram",
    "QuantizedProgram",
    "fold_batch_norms",
    "portable",
    "prune_filters",
    "quantize",
    "separate",
    "to_coreml",
    "to_onnx",
    "to_stablehlo",
    "to_tflite",
]

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals())
