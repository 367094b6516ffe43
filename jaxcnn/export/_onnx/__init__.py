"""A writer of ONNX files, with one file for each group of operations.

``_write.py`` walks a portable program and calls an emitter for each operation; ``_graph.py`` holds what is written and
in which order the axes of each value are.
"""

from jaxcnn.export._onnx._write import to_onnx

__all__ = ["to_onnx"]
